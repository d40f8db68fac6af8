"""Names of devices and precisions in configurations and on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

from blursynth.errors import InvalidValueError, did_you_mean

__all__ = ["arithmetic", "autocast_type", "torch_device"]

_PRECISIONS = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast_type(precision: str) -> torch.dtype | None:
    """The dtype of autocast: ``float32`` (None: no autocast), ``bf16`` or ``fp16``."""
    if precision not in _PRECISIONS:
        raise InvalidValueError(f"There is no precision {precision!r}.", fix=did_you_mean(precision, _PRECISIONS))
    return _PRECISIONS[precision]


def torch_device(name: str, local: int | None = None) -> torch.device:
    """The device with a name, which must be available; ``auto`` uses CUDA if available."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InvalidValueError(f"There is no device {name!r}.", fix="Known: auto, cpu, cuda, cuda:1, mps.") from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise InvalidValueError(
                f"device {name!r}: torch sees no CUDA device here.",
                fix="Use cpu, or install a build of torch for CUDA.",
            )
        index: int | None = device.index  # torch types it without the None that "cuda" has
        if index is None and local is not None:
            device = torch.device("cuda", local)
        if (device.index or 0) >= torch.cuda.device_count():
            raise InvalidValueError(
                f"device {name!r}: there are {torch.cuda.device_count()} CUDA devices, numbered from 0."
            )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InvalidValueError("device 'mps': torch sees no such device here.", fix="Use cpu.")
    return device


@contextmanager
def arithmetic(
    device: torch.device, *, tf32: bool, cudnn: Literal["benchmark", "heuristic", "deterministic"]
) -> Iterator[None]:
    """Arithmetic of a CUDA device within the context; other devices are not affected.

    Parameters
    ----------
    tf32
        Whether float32 factors are rounded to 10 mantissa bits; sums stay float32.
    cudnn
        How convolution algorithms are chosen: ``benchmark`` measures them for each size, ``heuristic`` uses cuDNN's
        heuristics, ``deterministic`` the same among those that are deterministic bit for bit.
    """
    if device.type != "cuda":
        yield
        return
    matmul, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    wanted: tuple[tuple[Any, str, bool], ...] = (
        (matmul, "allow_tf32", tf32),
        (convolutions, "allow_tf32", tf32),
        (convolutions, "benchmark", cudnn == "benchmark"),
        (convolutions, "deterministic", cudnn == "deterministic"),
    )
    before = [getattr(place, name) for place, name, _ in wanted]
    for place, name, value in wanted:
        setattr(place, name, value)
    try:
        yield
    finally:
        for (place, name, _), value in zip(wanted, before, strict=True):
            setattr(place, name, value)
