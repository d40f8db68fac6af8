"""Export of a network to a file for other runtimes, which is written only if it gives the network's pictures."""

from __future__ import annotations

import copy
import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from blursynth import __version__
from blursynth.errors import DatasetError, InvalidValueError, did_you_mean, require
from blursynth.io.atomic import write_atomically
from blursynth.io.folders import expanded
from deblur_models.checkpoints.checkpoint import load_checkpoint, network_of
from deblur_models.export.graph import PictureGraph, example_picture
from deblur_models.export.layers import first_layer_that_differs
from deblur_models.export.onnx_graph import DEFAULT_OPSET, OPSETS, described, traced
from deblur_models.export.parity import SIZES_PX, TOLERANCES, Parity, blurred_pictures, measure_parity
from deblur_models.export.runtimes import RuntimeFailure, check_runtime, version_of
from deblur_models.networks import BlurGenerator, Network
from deblur_models.restore.network_restorer import usual_tiles
from deblur_models.restore.onnx_network import FORMAT

__all__ = ["FORMATS", "Exported", "Format", "Precision", "checked_target", "export_network", "publish"]

_LOG = logging.getLogger(__name__)

Format = Literal["onnx", "exported-program", "openvino"]
Precision = Literal["float32", "float16"]

FORMATS: Mapping[Format, tuple[str, str, str]] = {
    "onnx": (".onnx", "onnxruntime", "ONNX: one file for ONNX Runtime, OpenCV and the converters of others"),
    "exported-program": (
        ".pt2",
        "torch",
        "torch.export: for AOTInductor, ExecuTorch, and torch without this package",
    ),
    "openvino": (".xml", "openvino", "OpenVINO IR: two files, .xml and .bin, for Intel's processors"),
}
"""Ending, runtime and description of each format."""


@dataclass(frozen=True)
class Exported:
    """A file that was written: how far each runtime's results are from the network's, and which cannot run it."""

    path: Path
    format: Format
    precision: Precision
    size_px: tuple[int, int] | None
    bytes: int
    parity: tuple[Parity, ...]
    refused: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        return {
            "file": self.path.name,
            "format": self.format,
            "precision": self.precision,
            "size_px": self.size_px,
            "bytes": self.bytes,
            "tolerance": TOLERANCES[self.precision],
            "parity": [one.to_dict() for one in self.parity],
            "refused": dict(self.refused),
        }


def export_network(
    network: Network | str | Path,
    path: str | Path,
    *,
    format: Format = "onnx",
    size_px: tuple[int, int] | None = None,
    precision: Precision = "float32",
    opset: int = DEFAULT_OPSET,
    runtimes: Sequence[str] = (),
    pictures: str | Path | None = None,
    overwrite: bool = False,
    license: str = "",
) -> Exported:
    """Write a network as one graph that takes pictures ``[B, 3, H, W]``, RGB in 0..1, and gives restored ones.

    Padding to the network's multiple, its range of values and cropping are inside the graph. The file is run on blurred
    photographs of three sizes and compared with the network before it gets its name; the figures are written beside it,
    in ``NAME.parity.json``.

    Parameters
    ----------
    network
        A network, the path of a checkpoint or a run, or the name of a network that ships.
    path
        File to write; its ending is that of the format.
    format
        ``onnx``, ``exported-program`` (torch.export) or ``openvino``.
    size_px
        The only height and width that the graph takes, for runtimes without dynamic shapes; None: every size.
    precision
        Of weights and computation; pictures stay float32.
    opset
        Version of ONNX's operators.
    runtimes
        Runtimes that must give the network's pictures. By default the one that the format is for, and for ``onnx``
        also OpenCV, which may refuse the graph.
    pictures
        Folder of blurred photographs to compare on; by default the held-out ones of scikit-image, blurred here.
    overwrite
        Whether to overwrite the file.
    license
        License of the weights; by default that of the checkpoint.

    Returns
    -------
    Exported
        What was written, and the comparison.

    Raises
    ------
    DatasetError
        The checkpoint cannot be used; the file exists or cannot be written; or a runtime gives other pictures or none,
        in which case nothing is written, and the message names the first layer that differs.
    MissingExtraError
        A package is not installed.
    InvalidValueError
        An argument is out of range, or torch cannot trace the network.

    Notes
    -----
    Not modeled: ``every_scale`` and the ensemble of :class:`~deblur_models.NetworkRestorer`. Networks that average over
    the whole picture (``deblur networks`` says which) do so in the graph, too.
    """
    for runtime in runtimes:
        check_runtime(runtime)
    target = _checked(expanded(path), format, size_px, precision, opset, overwrite)
    about: dict[str, Any] = {}
    if not isinstance(network, Network):
        checkpoint = load_checkpoint(network)
        made = network_of(checkpoint)
        if isinstance(made, BlurGenerator):
            raise DatasetError(
                f"{network}: holds {made.config.kind}, which blurs pictures instead of restoring them.",
                fix="Give a checkpoint of a restoration network.",
            )
        manifest = checkpoint.manifest
        about = {name: str(manifest[name]) for name in ("license", "sha256") if manifest.get(name)}
        about["source"] = Path(network).resolve().name
        network = made
    network = copy.deepcopy(network).to("cpu", torch.float32).eval()
    required = tuple(runtimes) or (FORMATS[format][1],)
    tried = required if runtimes or format != "onnx" else (*required, "opencv")
    photographs = blurred_pictures(SIZES_PX if size_px is None else [size_px] * len(SIZES_PX), pictures)
    about = {
        "format": FORMAT,
        "network": network.config.to_dict(),
        "color_order": "RGB",
        "layout": "NCHW",
        "value_range": "0..1",
        "size": "any" if size_px is None else f"{size_px[1]}x{size_px[0]}",
        "precision": precision,
        "multiple_px": network.config.multiple_px,
        **usual_tiles(network),
        **about,
        **({"license": license} if license else {}),
        "blursynth": __version__,
    }
    graph_network = copy.deepcopy(network).half() if precision == "float16" else network
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / target.name
        model = program = None
        if format == "exported-program":
            _write_program(graph_network, draft, size_px, described(about))
        else:
            model, program = traced(graph_network, size_px=size_px, opset=opset, about=described(about))
            onnx_file = draft.with_suffix(".onnx")
            onnx_file.write_bytes(model.SerializeToString())
            if format == "openvino":
                _convert_to_openvino(onnx_file, draft, precision)
        parity: list[Parity] = []
        refused: dict[str, str] = {}
        for runtime in tried:
            try:
                rows = measure_parity(network, draft, runtime, photographs)
            except RuntimeFailure as error:
                if runtime in required:
                    raise DatasetError(
                        f"{target}: not written, since {runtime} {version_of(runtime)} does not run it. {error.what}",
                        fix="Try a fixed size (size_px, --size), or another runtime.",
                    ) from None
                refused[runtime] = error.what
                continue
            worst = max(range(len(rows)), key=lambda index: rows[index].largest)
            if not rows[worst].largest <= TOLERANCES[precision]:
                where = ""
                if model is not None and program is not None and format == "onnx":
                    layer = first_layer_that_differs(
                        model, program, runtime, photographs[worst], 10 * TOLERANCES[precision]
                    )
                    where = f" The first layer that differs: {layer}." if layer else " No single layer differs much."
                raise DatasetError(
                    f"{target}: not written, since {runtime} {rows[worst].version} gives pictures that differ by up to "
                    f"{rows[worst].largest:.1e} (allowed: {TOLERANCES[precision]:.1e}).{where}",
                    fix="Export it in float32, for another runtime, or with another opset.",
                )
            parity += rows
        done = Exported(
            target, format, precision, size_px, sum(p.stat().st_size for p in _files(draft)), tuple(parity), refused
        )
        publish(draft, target, done.to_dict())
    return done


def _checked(
    path: Path, format: Format, size_px: tuple[int, int] | None, precision: str, opset: int, overwrite: bool
) -> Path:
    if format not in FORMATS:
        raise InvalidValueError(f"There is no format {format!r}.", fix=did_you_mean(format, FORMATS), field="format")
    if precision not in get_args(Precision):
        raise InvalidValueError(f"precision must be 'float32' or 'float16', got {precision!r}.", field="precision")
    if opset not in OPSETS:
        raise InvalidValueError(f"opset must be {OPSETS[0]} to {OPSETS[-1]}, got {opset}.", field="opset")
    if size_px is not None and not all(1 <= side <= 16384 for side in size_px):
        raise InvalidValueError(f"size_px must be two sides of 1 to 16384 px, got {size_px}.", field="size_px")
    return checked_target(path, format, overwrite)


def checked_target(path: Path, format: Format, overwrite: bool) -> Path:
    """A file that can be written; its folder is created."""
    ending = FORMATS[format][0]
    if path.suffix != ending:
        raise InvalidValueError(f"{path}: files of the format {format} end in {ending}.", fix=f"Name it NAME{ending}.")
    if path.exists() and not overwrite:
        raise DatasetError(f"{path}: already exists.", fix="Choose another name, or overwrite it (--force).")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{path.parent}: cannot be created ({error.strerror}).") from None
    return path


def _write_program(network: Network, path: Path, size_px: tuple[int, int] | None, about: Mapping[str, str]) -> None:
    dynamic = torch.export.Dim.DYNAMIC
    shapes = None if size_px is not None else ({0: dynamic, 2: dynamic, 3: dynamic},)
    example = example_picture(network, size_px)
    with torch.no_grad():
        program = torch.export.export(PictureGraph(network).eval(), (example,), dynamic_shapes=shapes)
    torch.export.save(program, path, extra_files={"about.json": json.dumps(dict(about), indent=1, allow_nan=False)})


def _convert_to_openvino(onnx_file: Path, path: Path, precision: Precision) -> None:
    openvino = require("openvino", extra="openvino", purpose="Export to OpenVINO")
    model = openvino.Core().read_model(str(onnx_file))  # convert_model reports its use to its makers
    openvino.save_model(model, str(path), compress_to_fp16=precision == "float16")


def _files(path: Path) -> list[Path]:
    return [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]


def publish(draft: Path, target: Path, report: Mapping[str, Any]) -> None:
    """Give a finished file its name, and write a report beside it."""
    try:
        for made, file in reversed(list(zip(_files(draft), _files(target), strict=True))):  # .bin before the .xml
            write_atomically(file, made.read_bytes())
        text = json.dumps(report, indent=1, allow_nan=False)
        write_atomically(target.with_name(f"{target.stem}.parity.json"), f"{text}\n".encode())
    except OSError as error:
        raise DatasetError(
            f"{target}: cannot be written ({error.strerror}).", fix="Free space, or choose another folder."
        ) from None
