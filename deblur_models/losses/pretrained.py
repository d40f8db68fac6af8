"""Pretrained features from a file: located, validated and loaded, or rejected; never random."""

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
    """The path of the weights: ``weights_file``, or ``default_name`` in torchvision's download cache.

    The cache is ``checkpoints`` in ``torch.hub.get_dir()``, which the environment variable TORCH_HOME can change.
    """
    path = Path(weights_file).expanduser() if weights_file else Path(torch.hub.get_dir()) / "checkpoints" / default_name
    if not path.is_file():
        raise InvalidValueError(
            f"{what} needs pretrained weights, but the file {str(path)!r} does not exist.",
            why="With random weights it would measure something else.",
            fix=f"Put torchvision's {default_name} there, or set weights_file; fft_l1, edge and ms_ssim need none.",
        )
    return path


def load_pretrained(module: nn.Module, path: Path) -> None:
    """Load the tensors of a file that the module needs; others (such as a classifier's) are ignored.

    A name such as ``vgg19-dcbb9e9d.pth`` ends in the first digits of the file's sha256 (the convention of torch.hub),
    which are verified. The module may be on the meta device, without values, so that no random weights are drawn.
    """
    check_digits(path)
    state = read_weights(path)
    needed = module.state_dict()
    there = {name: state[name] for name in needed if name in state}
    misfits = {
        "missing": [name for name in needed if name not in there],
        "with another shape": [
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
    module.load_state_dict(there, assign=True)  # meta tensors cannot be copied to


def check_digits(path: Path) -> None:
    """Compare the digits at the end of a file name, if there are any, with those of its sha256."""
    digits = re.search(r"-([0-9a-f]{8,64})$", path.stem)
    if digits is None:
        return
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if not digest.startswith(digits[1]):
        raise InvalidValueError(
            f"{str(path)!r} is damaged or another file: its sha256 begins with {digest[: len(digits[1])]}, but "
            f"its name says {digits[1]}.",
            fix="Download it again, or rename it without digits if it is intentionally another file.",
        )
