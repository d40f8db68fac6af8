"""Checkpoints: weights as safetensors, everything else in a JSON file next to them. They cannot run code.

A network on its own is two files, ``NAME.safetensors`` and ``NAME.json``. The state of a training run is the same two
files with additional content (optimizers, averages, the step), so every checkpoint of a run can be used as a network.
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
from blursynth.errors import DatasetError, InvalidValueError, did_you_mean, require
from blursynth.io.atomic import write_atomically
from blursynth.io.folders import expanded
from blursynth.records.nesting import is_too_deep
from deblur_models.checkpoints import shipped
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

MANIFEST_BYTES = 2**24  # limit of the JSON; typical files have a few thousand
FORMAT = 1  # incremented when older code could not read the files of this version


@dataclass(frozen=True)
class Checkpoint:
    """The content of one checkpoint.

    ``tensors`` holds tensors by name: names of the network begin with ``network.``, of its running average with
    ``average.``. ``manifest`` is the JSON file: architecture and its parameters, range of values, normalization, the
    number that image sides must be multiples of, configuration and step of the training, and the sha256 of the weights
    file.
    """

    tensors: dict[str, Tensor]
    manifest: dict[str, Any]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of one part, without its name as prefix."""
        front = f"{name}."
        return {key.removeprefix(front): value for key, value in self.tensors.items() if key.startswith(front)}


def save_checkpoint(path: str | Path, tensors: Mapping[str, Tensor], manifest: Mapping[str, Any]) -> None:
    """Write ``PATH.safetensors`` and ``PATH.json``, each completely or not at all.

    The weights are written first and the manifest, which holds their hash, last. If the process is killed in between,
    the files do not match and reading them fails; a run keeps the previous checkpoint for that case.
    """
    safetensors = require("safetensors.torch", extra="train", purpose="Writing checkpoints")
    weights, beside = _paths(path)
    try:
        weights.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{weights.parent}: cannot be created ({error.strerror}).") from None
    plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    content = safetensors.save(plain, {"format": "pt"})
    complete = {"format": FORMAT, "blursynth": __version__, **manifest, "sha256": hashlib.sha256(content).hexdigest()}
    try:
        text = json.dumps(complete, indent=1, allow_nan=False)
    except ValueError:
        raise InvalidValueError(
            f"{beside}: its values must be finite, got {manifest!r}.",
            why="JSON has no NaN and no infinity; other programs could not read the file.",
            fix="Write None, or leave out unknown values.",
        ) from None
    _write_whole(weights, content)
    _write_whole(beside, f"{text}\n".encode())


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint: ``NAME.safetensors``, ``NAME.json``, a run directory (its best checkpoint, else its last), or
    the name of a network that ships with the package, if there is no file or folder of this name.

    Raises
    ------
    DatasetError
        It does not exist, it is damaged, or its two files do not belong together.
    """
    safetensors = require("safetensors.torch", extra="train", purpose="Reading checkpoints")
    weights, beside = _found(expanded(path))
    try:
        for file in (weights, beside):
            if not stat.S_ISREG(file.stat().st_mode):  # opening a pipe would block
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
            why="A checkpoint is two files: NAME.safetensors with the weights, NAME.json with their description.",
        ) from None
    except (ValueError, RecursionError):
        raise DatasetError(f"{beside}: is not valid JSON; the checkpoint is damaged.") from None
    if is_too_deep(manifest):
        raise DatasetError(f"{beside}: is nested too deeply; the checkpoint is damaged.")
    if not isinstance(manifest, dict) or "network" not in manifest or "sha256" not in manifest:
        raise DatasetError(
            f"{beside}: does not describe a network of deblur_models.",
            fix="Import checkpoints of published code with: deblur import FILE --network KIND.",
        )
    if manifest.get("format") != FORMAT:
        raise DatasetError(f"{beside}: has format {manifest.get('format')!r}, but this version reads format {FORMAT}.")
    if hashlib.sha256(content).hexdigest() != manifest["sha256"]:
        raise DatasetError(
            f"{weights}: does not belong to {beside.name} (its sha256 differs).",
            why="One of the two files was damaged or replaced, or writing was interrupted between them.",
            fix="Use the previous checkpoint, or copy both files together.",
        )
    try:
        # Their order differs between processes, and processes that share weights must agree on one.
        tensors = dict(sorted(safetensors.load(content).items()))
    except Exception as error:
        raise DatasetError(f"{weights}: is not a safetensors file ({error}).") from None
    return Checkpoint(tensors, manifest)


def save_network(network: nn.Module, path: str | Path, *, half: bool = False, **about: Any) -> None:
    """Write a network or a discriminator by itself.

    Parameters
    ----------
    network
        A network of this package.
    path
        ``PATH.safetensors`` and ``PATH.json`` are written.
    half
        Store weights as float16, in half the space; :func:`load_network` gives a float32 network all the same. Each
        weight is rounded to 11 significant bits.
    **about
        Added to the manifest (license, scores, ...).

    Raises
    ------
    InvalidValueError
        A weight is too large for float16 (65504), or ``about`` is not finite.
    """
    state = network.state_dict()
    if half:
        state = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
        if large := [name for name, tensor in state.items() if not bool(torch.isfinite(tensor).all())]:
            raise InvalidValueError(
                f"{large[0]} holds weights beyond 65504, the largest value of float16.", fix="Store it in float32."
            )
        about = {**about, "stored": "float16"}
    save_checkpoint(path, {f"network.{k}": v for k, v in state.items()}, {**describe(network), **about})


def describe(network: nn.Module) -> dict[str, Any]:
    """The part of the manifest that describes a network of this package."""
    config: Architecture = network.config  # type: ignore[assignment]  # as all of them have it
    return {
        "network": config.to_dict(),
        **{n: getattr(config, n) for n in ("value_range", "multiple_px", "norm") if hasattr(config, n)},
    }


def load_network(path: str | Path, *, average: bool = True) -> Network:
    """The network of a checkpoint, on the CPU in float32, ready for use (``eval()``).

    Parameters
    ----------
    path
        As in :func:`load_checkpoint`.
    average
        Use the running average of the weights if the checkpoint has one, as validation during training does.

    Raises
    ------
    DatasetError
        As in :func:`load_checkpoint`; or the weights do not fit the architecture, or the network blurs.
    """
    return restoration_network_of(load_checkpoint(path), path, average=average)


def restoration_network_of(checkpoint: Checkpoint, path: str | Path, *, average: bool = True) -> Network:
    """The network of a checkpoint that was read from ``path``, as :func:`load_network` returns it."""
    network = network_of(checkpoint, average=average)
    if isinstance(network, BlurGenerator):
        raise DatasetError(
            f"{path}: holds {network.config.kind}, which blurs pictures instead of restoring them.",
            fix='Train a network on its blur: set blur_network = "PATH" in a table [data.NAME] of a configuration.',
        )
    return network.eval()


def load_blur_generator(path: str | Path, *, average: bool = True) -> BlurGenerator:
    """The network of a checkpoint that blurs, or an error if it restores; otherwise as :func:`load_network`."""
    return blur_generator_of(load_checkpoint(path), path, average=average)


def blur_generator_of(checkpoint: Checkpoint, path: str | Path, *, average: bool = True) -> BlurGenerator:
    """The network of a checkpoint that was read from ``path``, as :func:`load_blur_generator` returns it."""
    network = network_of(checkpoint, average=average)
    if not isinstance(network, BlurGenerator):
        raise DatasetError(
            f"{path}: holds {network.config.kind}, which restores pictures instead of blurring them.",
            fix="Give the directory of a run that learned to blur, such as one of the configuration 'bgan'.",
        )
    return network.eval()


def load_discriminator(path: str | Path) -> nn.Module:
    """The discriminator of a checkpoint of ``deblur import``, or of an adversarial run (its last checkpoint)."""
    path = Path(path)
    checkpoint = load_checkpoint(path / "last" if path.is_dir() else path)  # the best checkpoint holds only the network
    state, described = checkpoint.part("network"), checkpoint.manifest["network"]
    if not isinstance(described, dict) or described.get("kind") not in [kind.kind for kind in DISCRIMINATORS]:
        state = checkpoint.part("discriminator")
        configuration = checkpoint.manifest.get("configuration")
        adversarial = configuration.get("adversarial") if isinstance(configuration, dict) else None
        described = adversarial.get("discriminator") if isinstance(adversarial, dict) else None
    if not state or not isinstance(described, dict):
        raise DatasetError(
            f"{path}: holds no discriminator.",
            fix="Give the directory of an adversarial run, or a file from deblur import --network patchgan.",
        )
    try:
        discriminator: nn.Module = _built(discriminator_config(described), state)
    except (InvalidValueError, RuntimeError) as error:
        raise DatasetError(f"{path}: its weights do not fit the discriminator it describes.", why=str(error)) from None
    return discriminator


def network_of(checkpoint: Checkpoint, *, average: bool = True) -> Network | BlurGenerator:
    """The network of a checkpoint that was read, in training mode, whether it restores or blurs."""
    described = checkpoint.manifest["network"]
    if isinstance(described, dict) and described.get("kind") in [kind.kind for kind in DISCRIMINATORS]:
        raise DatasetError(
            f"The checkpoint holds {described['kind']}, a discriminator, which does not produce pictures.",
            fix="Use it as start_from in [adversarial] of a configuration.",
        )
    state = checkpoint.part("network")
    if average:
        state |= checkpoint.part("average")
    try:
        config = trainable_config(described)
    except (InvalidValueError, TypeError, ValueError) as error:
        raise DatasetError(
            f"The checkpoint describes a network unknown to this version: {described!r}.",
            why=str(error),
            fix="Was the .json beside it edited, or written by a newer version?",
        ) from None
    try:
        network: Network | BlurGenerator = _built(config, state)
    except RuntimeError as error:
        raise DatasetError(
            f"The weights do not fit {config!r}.", why=str(error), fix="Was the .json beside them edited?"
        ) from None
    return network


def _built(config: Architecture, state: Mapping[str, Tensor]) -> Any:
    """The network with these weights; torch rejects other shapes before memory is allocated for them."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch warns that nothing is copied
        config.build().load_state_dict(state, strict=True)
    network = config.build()
    network.load_state_dict(state, strict=True)
    return network


def _paths(path: str | Path) -> tuple[Path, Path]:
    path = expanded(path)
    stem = path.with_suffix("") if path.suffix in (".safetensors", ".json") else path
    return stem.with_name(stem.name + ".safetensors"), stem.with_name(stem.name + ".json")


def _names_for(path: Path) -> tuple[str, ...]:
    """Networks that ship which a path may name: none, unless it is a bare name."""
    return shipped.shipped_names() if path == Path(path.name) else ()


def _found(path: Path) -> tuple[Path, Path]:
    if path.is_dir():
        for name in ("best", "last"):
            weights, beside = _paths(path / name)
            if beside.exists():
                return weights, beside
        if path.name in _names_for(path):  # a folder of photographs, not a run
            return _paths(shipped.shipped_network(path.name))
        raise DatasetError(
            f"{path}: holds no checkpoint (best.json or last.json).",
            fix="Give a run directory, or the .safetensors file of a network.",
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
                fix="Give a run directory, or the .safetensors file of a network.",
            )
        names = _names_for(path)
        if path.name in names:
            return _paths(shipped.shipped_network(path.name))
        fix = did_you_mean(path.name, names) if names else ""
        raise DatasetError(f"{path}: there is no such checkpoint.", fix=fix)
    return weights, beside


def _write_whole(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be written ({error.strerror}).", fix="Free space or choose another folder, then resume."
        ) from None
