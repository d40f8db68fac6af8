"""Exported networks in 8-bit integers, as many of their layers as lose no more than a limit on held-out pictures."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blursynth.dataset import DatasetRequest, OnlineDataset, Sample
from blursynth.dataset.bundled import BUNDLED_PREFIX
from blursynth.errors import DatasetError, InvalidValueError, did_you_mean, require
from blursynth.io.folders import expanded
from deblur_models.checkpoints.checkpoint import load_network
from deblur_models.data.collate import values_of
from deblur_models.export.exporting import checked_target, export_network, publish
from deblur_models.export.fine_tune import check_torchao, fine_tuned
from deblur_models.export.int8 import CALIBRATIONS, Calibration, Quantizer
from deblur_models.export.onnx_graph import described
from deblur_models.networks.padding import mirror_pad
from deblur_models.restore.onnx_network import OnnxNetwork

__all__ = ["HELD_OUT_PAIRS", "Loss", "Quantized", "quantize_network"]

OnStep = Callable[[str, int, int], None]
"""Called with what is done, the number done, and the total number."""

HELD_OUT_PAIRS = 32
_SIDE_PX = 192
_RANKED_ON = 8
_LEAST_SQUARE = 1e-10  # 100 dB, so that one picture that is not changed does not decide a mean
_PATCH_PX, _BATCH = 96, 8
_MOST_SAMPLES, _MOST_STEPS = 4096, 1_000_000


@dataclass(frozen=True)
class Loss:
    """What integers cost on held-out pictures: PSNR of restored against sharp ones, of float32 minus int8, in dB.

    ``mean_db`` is the difference of the mean PSNRs, ``pooled_db`` that of the PSNRs of the mean squared error over all
    pictures, ``worst_db`` the largest difference of a picture. No harm is the mean PSNR of what becomes of the sharp
    pictures against themselves.
    """

    pairs: int
    psnr_float32: float
    psnr_int8: float
    pooled_db: float
    worst_db: float
    no_harm_float32: float
    no_harm_int8: float

    @classmethod
    def between(cls, float32: NDArray[np.float64], int8: NDArray[np.float64]) -> Loss:
        """Of mean squared errors ``[2, N]``: of restored pictures, and of what becomes of sharp ones."""
        before, after = _psnr(float32), _psnr(int8)
        return cls(
            pairs=before.shape[1],
            psnr_float32=float(before[0].mean()),
            psnr_int8=float(after[0].mean()),
            pooled_db=float(_psnr(float32[0].mean()) - _psnr(int8[0].mean())),
            worst_db=float((before[0] - after[0]).max()),
            no_harm_float32=float(before[1].mean()),
            no_harm_int8=float(after[1].mean()),
        )

    @property
    def mean_db(self) -> float:
        return self.psnr_float32 - self.psnr_int8

    @property
    def db(self) -> float:
        """What a limit holds for: the larger one of ``mean_db``, where pictures with little blur decide, and
        ``pooled_db``, where those with strong blur do."""
        return max(self.mean_db, self.pooled_db)


@dataclass(frozen=True)
class Quantized:
    """A file that was written. ``layers`` is the number of layers that could be integers, ``float32_layers`` are those
    that stayed in float32, most sensitive first."""

    path: Path
    bytes: int
    bytes_float32: int
    calibration: Calibration
    samples: int
    fine_tuning_steps: int
    layers: int
    float32_layers: tuple[str, ...]
    loss: Loss

    def to_dict(self) -> dict[str, Any]:
        return {
            "file": self.path.name,
            "format": "onnx",
            "precision": "int8",
            "bytes": self.bytes,
            "bytes_float32": self.bytes_float32,
            "calibration": self.calibration,
            "samples": self.samples,
            "fine_tuning_steps": self.fine_tuning_steps,
            "layers": self.layers,
            "float32_layers": self.float32_layers,
            "loss": {**asdict(self.loss), "mean_db": self.loss.mean_db},
        }


def quantize_network(
    network: str | Path,
    path: str | Path,
    *,
    samples: int = 64,
    calibration: Calibration = "percentile",
    max_loss_db: float = 0.1,
    photos: str | Path | None = None,
    recipe: str | Path = "default",
    fine_tuning_steps: int = 0,
    overwrite: bool = False,
    on_step: OnStep = lambda what, done, total: None,
) -> Quantized:
    """Write an exported network with convolutions in 8-bit integers (INT8), calibrated on blurred photographs.

    All layers become integers if this loses no more than ``max_loss_db`` on photographs that the calibration does not
    see. Otherwise each layer's own error is measured, and as few of the most sensitive ones as needed stay in float32.
    The file is used like that of an export; the figures are beside it, in ``NAME.parity.json``.

    Parameters
    ----------
    network
        An ``.onnx`` file of :func:`~deblur_models.export_network` in float32; or the path of a checkpoint or a run, or
        the name of a network that ships, which is exported first.
    path
        The ``.onnx`` file to write.
    samples
        Number of pictures of 192 px for the calibration.
    calibration
        ``percentile``, ``entropy`` or ``minmax``; see :data:`~deblur_models.export.int8.CALIBRATIONS`.
    max_loss_db
        Largest loss of PSNR: of the mean over the pictures, and of their pooled error. See :class:`Loss`.
    photos
        Folder of sharp photographs. Three quarters are for the calibration, the others for the loss. By default the
        training and the held-out ones of scikit-image.
    recipe
        The blur of these photographs: the one that the network was trained for.
    fine_tuning_steps
        Steps of training in which values are rounded to 8 bits, each on 8 patches of the photographs for the
        calibration; not for ``.onnx`` files. See :func:`~deblur_models.export.fine_tune.fine_tuned`.
    overwrite
        Whether to overwrite the file.
    on_step
        Called as it goes on.

    Raises
    ------
    DatasetError
        The file is not a float32 one of ``deblur export``; ``path`` exists or cannot be written; or the loss is too
        large however many layers stay in float32, in which case nothing is written.
    MissingExtraError
        A package is not installed.
    InvalidValueError
        An argument is out of range.

    Notes
    -----
    Not modeled: integers in matrix products and attention, which stay in float32. Why weights have 7 bits is explained
    in :class:`~deblur_models.export.int8.Quantizer`.

    References
    ----------
    B. Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
    CVPR 2018. Entropy: S. Migacz, "8-bit Inference with TensorRT", GTC 2017.
    """
    if calibration not in CALIBRATIONS:
        raise InvalidValueError(
            f"There is no calibration {calibration!r}.",
            fix=did_you_mean(calibration, CALIBRATIONS),
            field="calibration",
        )
    if not 1 <= samples <= _MOST_SAMPLES:
        raise InvalidValueError(f"samples must be 1 to {_MOST_SAMPLES}, got {samples}.", fix="64 is usual.")
    if not (max_loss_db > 0 and math.isfinite(max_loss_db)):
        raise InvalidValueError(f"max_loss_db must be > 0 and finite, got {max_loss_db}.", fix="0.1 is usual.")
    if not 0 <= fine_tuning_steps <= _MOST_STEPS:
        raise InvalidValueError(f"fine_tuning_steps must be 0 to {_MOST_STEPS}, got {fine_tuning_steps}.")
    onnx = require("onnx", extra="onnx", purpose="Quantization")
    target = checked_target(expanded(path), "onnx", overwrite)
    source = expanded(network)
    if source.suffix == ".onnx" and fine_tuning_steps:
        raise InvalidValueError(
            f"{source}: only the weights of a checkpoint can be fine-tuned.", fix="Give the run instead of its export."
        )
    if fine_tuning_steps:
        check_torchao()
    with tempfile.TemporaryDirectory() as folder:
        if source.suffix != ".onnx":
            source = export_network(network, Path(folder) / "float32.onnx", runtimes=["onnxruntime"]).path
        in_float32 = OnnxNetwork(source)
        if (precision := in_float32.about.get("precision")) != "float32":
            raise DatasetError(
                f"{source}: has the precision {precision}, but ranges are measured in float32.",
                fix="Export the network with --precision float32, and quantize that file.",
            )
        size_px = in_float32.size_px
        side_px = min((_SIDE_PX, *(size_px or ())))
        seen = _pairs(_photographs(photos, "training", recipe, side_px, samples))
        held_out = _pairs(_photographs(photos, "held-out", recipe, side_px, HELD_OUT_PAIRS))
        start = source
        if fine_tuning_steps:
            patches = _photographs(photos, "training", recipe, _PATCH_PX, None)
            tuned = fine_tuned(
                load_network(network),
                lambda step: torch.cat([_values(patches[step * _BATCH + n].blurred) for n in range(_BATCH)]),
                fine_tuning_steps,
                on_step=lambda done: on_step("fine-tuning", done, fine_tuning_steps),
            )
            start = export_network(tuned, Path(folder) / "tuned.onnx", runtimes=["onnxruntime"]).path
        model = onnx.load(start, load_external_data=False)
        if any(one.external_data for one in model.graph.initializer):
            raise DatasetError(f"{source}: has weights in other files.", fix="Export the network again.")
        quantizer = Quantizer(
            model,
            [_padded(blurred, size_px).numpy() for blurred, _ in seen],
            calibration,
            lambda done: on_step("calibrating", done, samples),
        )

        def int8(float32_nodes: Sequence[str]) -> OnnxNetwork:
            file = Path(folder) / "int8.onnx"
            file.write_bytes(quantizer.quantized(float32_nodes).SerializeToString())
            return OnnxNetwork(file)

        expected = _squares(in_float32, held_out)

        def loss_of(float32_nodes: Sequence[str]) -> Loss:
            return Loss.between(expected, _squares(int8(float32_nodes), held_out))

        on_step("measuring", 0, HELD_OUT_PAIRS)
        float32_nodes: Sequence[str] = ()
        loss = loss_of(float32_nodes)
        if not loss.db <= max_loss_db:
            blurred = [blurred for blurred, _ in seen[:_RANKED_ON]]
            ranked = _most_sensitive_first(quantizer.layers, in_float32, int8, blurred, on_step)
            fewest = _fewest(ranked, loss_of, max_loss_db, on_step)
            if fewest is None:
                raise DatasetError(
                    f"{target}: not written, since with every layer in integers {loss.db:.2f} dB are lost, and only "
                    f"with every layer in float32 at most {max_loss_db:g} dB.",
                    fix="Allow a larger loss (--max-loss-db), calibrate on more or other photographs, or export the "
                    "network in float16.",
                )
            float32_nodes, loss = fewest
        model = quantizer.quantized(float32_nodes)
        names = tuple(quantizer.layers[node] for node in float32_nodes)
        about = {
            **in_float32.about,
            "precision": "int8",
            "quantization": {
                "calibration": calibration,
                "samples": samples,
                "photos": "scikit-image" if photos is None else expanded(photos).name,
                "recipe": Path(recipe).name,
                "fine_tuning_steps": fine_tuning_steps,
                "float32_layers": names,
            },
        }
        del model.metadata_props[:]
        for key, value in described(about).items():
            model.metadata_props.add(key=key, value=value)
        draft = Path(folder) / "int8.onnx"
        draft.write_bytes(model.SerializeToString())
        done = Quantized(
            path=target,
            bytes=draft.stat().st_size,
            bytes_float32=source.stat().st_size,
            calibration=calibration,
            samples=samples,
            fine_tuning_steps=fine_tuning_steps,
            layers=len(quantizer.layers),
            float32_layers=names,
            loss=loss,
        )
        publish(draft, target, done.to_dict())
    return done


def _psnr(square: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    return -10.0 * np.log10(np.maximum(square, _LEAST_SQUARE))


def _photographs(
    photos: str | Path | None,
    part: Literal["training", "held-out"],
    recipe: str | Path,
    size_px: int,
    count: int | None,
) -> OnlineDataset:
    """Blurred photographs; those of the two parts are others."""
    shares = {"training": (0.0, 0.75), "held-out": (0.75, 1.0)}
    return OnlineDataset(
        DatasetRequest(
            sources=f"{BUNDLED_PREFIX}{part}" if photos is None else photos,
            share=None if photos is None else shares[part],
            recipe=recipe,
            size_px=size_px,
            seed=list(shares).index(part),
            count=count,
        )
    )


def _pairs(samples: Iterable[Sample]) -> list[tuple[Tensor, Tensor]]:
    """Blurred and sharp pictures."""
    return [(_values(sample.blurred), _values(sample.sharp)) for sample in samples]


def _values(codes: NDArray[Any]) -> Tensor:
    """Codes ``[H, W, 3]`` as ``[1, 3, H, W]`` in 0..1."""
    return values_of(codes, "cpu")[None]


def _padded(picture: Tensor, size_px: tuple[int, int] | None) -> Tensor:
    """Of the only size that a graph takes, as :class:`~deblur_models.restore.onnx_network.OnnxNetwork` pads it."""
    if size_px is None:
        return picture
    height, width = picture.shape[-2:]
    return mirror_pad(picture, 0, size_px[1] - width, 0, size_px[0] - height)


def _squares(network: OnnxNetwork, pairs: Sequence[tuple[Tensor, Tensor]]) -> NDArray[np.float64]:
    """Mean squared errors ``[2, N]`` of the codes restored from blurred, and from sharp pictures."""

    def square(given: Tensor, sharp: Tensor) -> float:
        codes = (network(given).clamp(0, 1) * 255).round()
        return float((codes / 255 - sharp).double().square().mean())

    return np.array([[square(pair[side], pair[1]) for pair in pairs] for side in (0, 1)])


def _most_sensitive_first(
    nodes: Iterable[str],
    in_float32: OnnxNetwork,
    int8: Callable[[Sequence[str]], OnnxNetwork],
    pictures: Sequence[Tensor],
    on_step: OnStep,
) -> list[str]:
    """Nodes by the squared error of the result where they alone are integers."""
    nodes = list(nodes)
    expected = [in_float32(picture) for picture in pictures]
    error = {}
    for done, node in enumerate(nodes, start=1):
        network = int8([other for other in nodes if other != node])
        found = [network(picture) for picture in pictures]
        error[node] = sum(float((a - b).square().mean()) for a, b in zip(found, expected, strict=True))
        on_step("measuring layers", done, len(nodes))
    return sorted(nodes, key=error.__getitem__, reverse=True)


def _fewest(
    ranked: Sequence[str], loss_of: Callable[[Sequence[str]], Loss], max_loss_db: float, on_step: OnStep
) -> tuple[Sequence[str], Loss] | None:
    """The fewest of the most sensitive nodes that must stay in float32, and the loss; None if all of them must.

    By bisection, which takes the loss to fall with their number.
    """
    found = None
    too_few, enough = 0, len(ranked)
    while enough - too_few > 1:
        number = (too_few + enough) // 2
        on_step("choosing layers", number, len(ranked))
        loss = loss_of(ranked[:number])
        if loss.db <= max_loss_db:
            enough, found = number, (ranked[:number], loss)
        else:
            too_few = number
    return found
