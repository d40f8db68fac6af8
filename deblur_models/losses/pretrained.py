"""Pretrained features from a file: found, checked and fitted, or refused; never made up."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import torch
from torch import nn

from blursynth.errors import InvalidValueError
from deblur_models.checkpoints.weights_file import read_weights, shape_of, some_of

__all__ = ["check_digits", "load_pretrained", "pretrained_path"]


def pretrained_path(weights_file: str, default_name: str, *, what: str) -> Path:
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


def load_pretrained(module: nn.Module, path: Path) -> None:
    """Put the tensors of a file that the module needs into it; further ones (a classifier's) are left out.

    A name such as ``vgg19-dcbb9e9d.pth`` ends in the first digits of the file's sha256 (the custom of torch.hub); they
    are compared. The module may be one of the meta device, without numbers of its own: then no random weights are drawn
    first.

    Raises
    ------
    DatasetError
        The file is damaged, no checkpoint, or holds more than tensors; see
        :func:`deblur_models.checkpoints.weights_file.read_weights`.
    InvalidValueError
        The digits differ, or something that the module needs is missing, has another shape or is not finite.
    """
    check_digits(path)
    state = read_weights(path)
    needed = module.state_dict()
    there = {name: state[name] for name in needed if name in state}
    misfits = {
        "missing": [name for name in needed if name not in there],
        "of another shape": [
            f"{name} {shape_of(tensor)} instead of {shape_of(needed[name])}"
            for name, tensor in there.items()
            if tensor.shape != needed[name].shape
        ],
        "not finite": [name for name, tensor in there.items() if not bool(torch.isfinite(tensor).all())],
    }
    if any(misfits.values()):
        raise InvalidValueError(
            f"{str(path)!r} does not fit {type(module).__name__}: "
            f"{'; '.join(f'{len(names)} {how}: {some_of(names)}' for how, names in misfits.items() if names)}.",
            fix="Use the weights of this architecture under torchvision's names.",
        )
    module.load_state_dict(there, assign=True)  # a copy would need numbers to be written over


def check_digits(path: Path) -> None:
    """Compare the digits at the end of a file's name, if it has such, with those of its sha256.

    Raises
    ------
    InvalidValueError
        They differ.
    """
    digits = re.search(r"-([0-9a-f]{8,64})$", path.stem)
    if digits is None:
        return
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if not digest.startswith(digits[1]):
        raise InvalidValueError(
            f"{str(path)!r} is damaged or another file: its sha256 begins with {digest[: len(digits[1])]}, its name "
            f"says {digits[1]}.",
            fix="Get it again, or give it a name without digits if it is meant to be another one.",
        )
