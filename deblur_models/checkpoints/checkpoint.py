"""Checkpoints: weights as safetensors, everything else as JSON beside them. Nothing in them can run code.

A network on its own is two files, ``NAME.safetensors`` and ``NAME.json``. The state of a training run is the same two
files with more in them (optimizers, averages, the step), so that every checkpoint of a run can be used as a network.
"""

from __future__ import annotations

import hashlib
import json
import stat
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from blursynth import __version__
from blursynth.errors import DatasetError, InvalidValueError, require
from blursynth.io.atomic import write_atomically
from blursynth.io.folders import expanded
from blursynth.records.nesting import is_too_deep
from deblur_models.networks import (
    DISCRIMINATORS,
    Architecture,
    BlurGenerator,
    Network,
    discriminator_config,
    trainable_config,
)

__all__ = [
    "Checkpoint",
    "load_blur_generator",
    "load_checkpoint",
    "load_discriminator",
    "load_network",
    "save_checkpoint",
    "save_network",
]

MANIFEST_BYTES = 2**24  # of the JSON; most have a few thousand
FORMAT = 1  # raised when a file of this version could not be read by the code before


@dataclass(frozen=True)
class Checkpoint:
    """What one checkpoint holds.

    ``tensors`` by name: those of the network begin with ``network.``, of its running average with ``average.``;
    ``manifest`` is the JSON beside them: architecture and its numbers, range of values, normalization, what
    the sides of pictures must be multiples of, the training's configuration and step, and the sha256 of the weights
    file.
    """

    tensors: dict[str, Tensor]
    manifest: dict[str, Any]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of one part, without its name in front."""
        front = f"{name}."
        return {key.removeprefix(front): value for key, value in self.tensors.items() if key.startswith(front)}


def save_checkpoint(path: str | Path, tensors: Mapping[str, Tensor], manifest: Mapping[str, Any]) -> None:
    """Write ``PATH.safetensors`` and ``PATH.json``, each whole or not at all.

    The weights come first and the manifest, which holds their hash, last: killed between the two, the files do not fit
    and reading says so; a run keeps the checkpoint before for that case.
    """
    safetensors = require("safetensors.torch", extra="train", purpose="Writing checkpoints")
    weights, beside = _paths(path)
    try:
        weights.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{weights.parent}: cannot be made ({error.strerror}).") from None
    plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    content = safetensors.save(plain, {"format": "pt"})
    complete = {"format": FORMAT, "blursynth": __version__, **manifest, "sha256": hashlib.sha256(content).hexdigest()}
    try:
        text = json.dumps(complete, indent=1, allow_nan=False)
    except ValueError:
        raise InvalidValueError(
            f"{beside}: its numbers must be finite, got {manifest!r}.",
            why="JSON has no NaN and no infinity; others could not read the file.",
            fix="Write None, or leave out what is not known.",
        ) from None
    _write_whole(weights, content)
    _write_whole(beside, f"{text}\n".encode())


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint: ``NAME.safetensors`` (or ``NAME.json``, or a run's folder: its best, else its last one).

    Raises
    ------
    DatasetError
        There is none, it is damaged, or its two files do not belong together.
    """
    safetensors = require("safetensors.torch", extra="train", purpose="Reading checkpoints")
    weights, beside = _found(expanded(path))
    try:
        for file in (weights, beside):
            if not stat.S_ISREG(file.stat().st_mode):  # a pipe waits for its writer
                raise DatasetError(f"{file}: is not a file.", fix="Copy the checkpoint again.")
        if beside.stat().st_size > MANIFEST_BYTES:
            raise DatasetError(f"{beside}: has more than {MANIFEST_BYTES:,} bytes; the checkpoint is damaged.")
        manifest = json.loads(beside.read_bytes())
        content = weights.read_bytes()
    except DatasetError:
        raise
    except OSError as error:
        raise DatasetError(
            f"{error.filename}: cannot be read ({error.strerror}).",
            why="A checkpoint is two files: NAME.safetensors with the weights, NAME.json with what they belong to.",
        ) from None
    except (ValueError, RecursionError):
        raise DatasetError(f"{beside}: is no JSON; the checkpoint is damaged.") from None
    if is_too_deep(manifest):
        raise DatasetError(f"{beside}: is nested too deep; the checkpoint is damaged.")
    if not isinstance(manifest, dict) or "network" not in manifest or "sha256" not in manifest:
        raise DatasetError(
            f"{beside}: does not describe a network of deblur_models.",
            fix="Checkpoints of published code are read by: deblur import FILE --network KIND.",
        )
    if manifest.get("format") != FORMAT:
        raise DatasetError(f"{beside}: has format {manifest.get('format')!r}, this version reads {FORMAT}.")
    if hashlib.sha256(content).hexdigest() != manifest["sha256"]:
        raise DatasetError(
            f"{weights}: does not belong to {beside.name} (its sha256 differs).",
            why="One of the two was damaged or replaced, or writing was stopped between them.",
            fix="Use the checkpoint before it, or copy both files together.",
        )
    try:
        # It gives them in another order in each process, and processes that share weights must agree on one.
        tensors = dict(sorted(safetensors.load(content).items()))
    except Exception as error:
        raise DatasetError(f"{weights}: is not a safetensors file ({error}).") from None
    return Checkpoint(tensors, manifest)


def save_network(network: nn.Module, path: str | Path, **about: Any) -> None:
    """Write a network, or a discriminator, on its own; ``about`` is added to the manifest (license, scores, ...)."""
    save_checkpoint(path, {f"network.{k}": v for k, v in network.state_dict().items()}, {**describe(network), **about})


def describe(network: nn.Module) -> dict[str, Any]:
    """The manifest's part about a network of this package."""
    config: Architecture = network.config  # type: ignore[assignment]  # as all of them have it
    return {
        "network": config.to_dict(),
        **{n: getattr(config, n) for n in ("value_range", "multiple_px", "norm") if hasattr(config, n)},
    }


def load_network(path: str | Path, *, average: bool = True) -> Network:
    """The network of a checkpoint, on the CPU, ready for use (``eval()``).

    Parameters
    ----------
    path
        As in :func:`load_checkpoint`.
    average
        Take the running average of the weights where the checkpoint has one, as evaluation in training does.

    Raises
    ------
    DatasetError
        As in :func:`load_checkpoint`, the weights do not fit the architecture, or it blurs and does not restore.
    """
    network = network_of(load_checkpoint(path), average=average)
    if isinstance(network, BlurGenerator):
        raise DatasetError(
            f"{path}: holds {network.config.kind}, which blurs pictures and restores none.",
            fix='Train a network on its blur: blur_network = "PATH" in a table [data.NAME] of a configuration.',
        )
    return network.eval()


def load_blur_generator(path: str | Path, *, average: bool = True) -> BlurGenerator:
    """The network of a checkpoint that blurs; arguments as :func:`load_network`.

    Raises
    ------
    DatasetError
        As :func:`load_network`; the network restores and does not blur.
    """
    return blur_generator_of(load_checkpoint(path), path, average=average)


def blur_generator_of(checkpoint: Checkpoint, path: str | Path, *, average: bool = True) -> BlurGenerator:
    """The network of a checkpoint that was read from ``path``, as :func:`load_blur_generator` gives it."""
    network = network_of(checkpoint, average=average)
    if not isinstance(network, BlurGenerator):
        raise DatasetError(
            f"{path}: holds {network.config.kind}, which restores pictures and blurs none.",
            fix="Give the folder of a run that learned to blur, as the configuration 'bgan' does.",
        )
    return network.eval()


def load_discriminator(path: str | Path) -> nn.Module:
    """The discriminator of a checkpoint that ``deblur import`` wrote, or of an adversarial run (its last one).

    Raises
    ------
    DatasetError
        As in :func:`load_checkpoint`, or there is no discriminator in it.
    """
    path = Path(path)
    checkpoint = load_checkpoint(path / "last" if path.is_dir() else path)  # the best of a run holds the network alone
    state, described = checkpoint.part("network"), checkpoint.manifest["network"]
    if not isinstance(described, dict) or described.get("kind") not in [kind.kind for kind in DISCRIMINATORS]:
        state = checkpoint.part("discriminator")
        configuration = checkpoint.manifest.get("configuration")
        adversarial = configuration.get("adversarial") if isinstance(configuration, dict) else None
        described = adversarial.get("discriminator") if isinstance(adversarial, dict) else None
    if not state or not isinstance(described, dict):
        raise DatasetError(
            f"{path}: holds no discriminator.",
            fix="Give the folder of an adversarial run, or what deblur import --network patchgan wrote.",
        )
    try:
        config = discriminator_config(described)
        _check_weights(config, state)
        discriminator = config.build()
        discriminator.load_state_dict(state, strict=True)
    except (InvalidValueError, RuntimeError) as error:
        raise DatasetError(
            f"{path}: its weights do not fit the discriminator that it describes.", why=str(error)
        ) from None
    return discriminator


def network_of(checkpoint: Checkpoint, *, average: bool = True) -> Network | BlurGenerator:
    """The network of a checkpoint that was read, in training mode, whether it restores or blurs."""
    described = checkpoint.manifest["network"]
    if isinstance(described, dict) and described.get("kind") in [kind.kind for kind in DISCRIMINATORS]:
        raise DatasetError(
            f"The checkpoint holds {described['kind']}, a discriminator, which judges pictures and makes none.",
            fix="Write it as start_from in [adversarial] of a configuration.",
        )
    state = checkpoint.part("network")
    if average:
        state |= checkpoint.part("average")
    try:
        config = trainable_config(described)
    except (InvalidValueError, TypeError, ValueError) as error:
        raise DatasetError(
            f"The checkpoint describes no network of this version: {described!r}.",
            why=str(error),
            fix="Was the .json beside it edited, or written by a newer version?",
        ) from None
    try:
        _check_weights(config, state)
        network = config.build()
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise DatasetError(
            f"The weights do not fit {config!r}.", why=str(error), fix="Was the .json beside them edited?"
        ) from None
    return network


def _check_weights(config: Architecture, state: Mapping[str, Tensor]) -> None:
    """Refuse weights of other shapes before there is room for any: a manifest can describe a network of terabytes.

    Raises
    ------
    RuntimeError
        torch's, with the names and shapes.
    """
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that nothing is copied
        config.build().load_state_dict(state, strict=True)


def _paths(path: str | Path) -> tuple[Path, Path]:
    path = expanded(path)
    stem = path.with_suffix("") if path.suffix in (".safetensors", ".json") else path
    return stem.with_name(stem.name + ".safetensors"), stem.with_name(stem.name + ".json")


def _found(path: Path) -> tuple[Path, Path]:
    if path.is_dir():
        for name in ("best", "last"):
            weights, beside = _paths(path / name)
            if beside.exists():
                return weights, beside
        raise DatasetError(
            f"{path}: holds no checkpoint (best.json or last.json).",
            fix="Give the folder of a training run, or the .safetensors file of a network.",
        )
    weights, beside = _paths(path)
    if path.suffix in (".pth", ".pt", ".ckpt", ".h5"):
        raise DatasetError(
            f"{path}: is not a checkpoint of deblur_models.",
            fix=f"Checkpoints of published code are read by: deblur import {path} --network KIND.",
        )
    if not weights.exists() and not beside.exists():
        if path.exists():
            raise DatasetError(
                f"{path}: is not a checkpoint of deblur_models.",
                fix="Give the folder of a training run, or the .safetensors file of a network.",
            )
        raise DatasetError(f"{path}: there is no such checkpoint.")
    return weights, beside


def _write_whole(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be written ({error.strerror}).", fix="Free space or choose another folder, then resume."
        ) from None
