"""Pretrained weights from a file: found, checked and loaded safely, or refused; never made up."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from blursynth.errors import InvalidValueError

__all__ = ["fit_weights", "read_weights", "weights_path"]

_SHOWN = 5  # names listed in a message


def weights_path(weights_file: str, default_name: str, *, what: str) -> Path:
    """Where the weights lie: ``weights_file``, or ``default_name`` in the cache that torchvision downloads to.

    The cache is ``checkpoints`` in ``torch.hub.get_dir()``, which the environment variable TORCH_HOME moves.

    Raises
    ------
    InvalidValueError
        There is no such file.
    """
    path = Path(weights_file).expanduser() if weights_file else Path(torch.hub.get_dir()) / "checkpoints" / default_name
    if not path.is_file():
        raise InvalidValueError(
            f"{what} needs pretrained weights, and there is no file {str(path)!r}.",
            why="Random weights under its name would measure something else.",
            fix=f"Put torchvision's {default_name} there, or give weights_file; fft_l1, edge and ms_ssim need none.",
        )
    return path


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of ``torch.save``, on the CPU, by the loader that runs no code.

    A name such as ``vgg19-dcbb9e9d.pth`` ends in the first digits of the file's sha256 (the custom of torch.hub); they
    are compared.

    Raises
    ------
    InvalidValueError
        The digits differ, the file cannot be read, or it holds something else than named tensors.
    """
    digits = re.search(r"-([0-9a-f]{8,64})$", path.stem)
    if digits:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if not digest.startswith(digits[1]):
            raise InvalidValueError(
                f"{str(path)!r} is damaged or another file: its sha256 begins with {digest[: len(digits[1])]}, its "
                f"name says {digits[1]}.",
                fix="Get it again, or give it a name without digits if it is meant to be another one.",
            )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the loader raises whatever a damaged file makes its parts raise
        raise InvalidValueError(
            f"{str(path)!r} cannot be read as weights: {type(error).__name__}.",
            why="It is damaged, or holds more than tensors, which is not loaded since it could run code.",
            fix="Save a state dict of tensors with torch.save.",
        ) from error
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InvalidValueError(
            f"{str(path)!r} holds {type(state).__name__}, not tensors by their names.",
            fix="Save a state dict with torch.save(module.state_dict(), path).",
        )
    return {str(name): tensor for name, tensor in state.items()}


def fit_weights(module: nn.Module, state: Mapping[str, Tensor], *, path: Path) -> None:
    """Put the tensors that the module needs into it; further ones (a classifier's) are left out.

    The module may be one of the meta device, without numbers of its own: then no random weights are drawn first.

    Raises
    ------
    InvalidValueError
        Something that the module needs is missing or has another shape or is not finite; the message lists it.
    """
    needed = module.state_dict()
    missing = [name for name in needed if name not in state]
    other = [
        f"{name} {list(state[name].shape)} instead of {list(tensor.shape)}"
        for name, tensor in needed.items()
        if name in state and state[name].shape != tensor.shape
    ]
    broken = [name for name in needed if name in state and not bool(torch.isfinite(state[name]).all())]
    if missing or other or broken:
        parts = [
            f"{len(names)} {how}: {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"
            for how, names in (("missing", missing), ("of another shape", other), ("not finite", broken))
            if names
        ]
        raise InvalidValueError(
            f"{str(path)!r} does not fit {type(module).__name__}: {'; '.join(parts)}.",
            fix="Use the weights of this architecture under torchvision's names.",
        )
    # Assigned, not copied, so that the module may have been built without numbers.
    module.load_state_dict({name: state[name] for name in needed}, assign=True)
