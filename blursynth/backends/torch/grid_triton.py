"""What all Triton kernels share: borders, tiles, and the device that they run on."""

# Triton's language carries no types.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc"

from __future__ import annotations

import contextlib
from typing import Any

import torch
import triton
import triton.language as tl

__all__ = ["continued", "on_device_of", "shines", "tiles"]


@triton.jit
def continued(place, size, BORDER: tl.constexpr):
    """The pixel 0 .. size - 1 that stands at each place of a row continued beyond its edge; any where it is dark."""
    if BORDER == 0:
        period = tl.maximum(2 * size - 2, 1)
        folded = place % period
        folded = tl.where(folded < 0, folded + period, folded)  # the sign of a remainder is that of the place
        index = tl.where(folded < size, folded, period - folded)
    elif BORDER == 2:
        index = place % size
        index = tl.where(index < 0, index + size, index)
    else:
        index = tl.minimum(tl.maximum(place, 0), size - 1)
    return index


@triton.jit
def shines(place, size, BORDER: tl.constexpr):
    """Whether there is light at each place: everywhere but beyond a constant border."""
    return (place >= 0) & (place < size) if BORDER == 3 else place == place


def tiles(height: int, width: int, rows: int, columns: int, planes: int) -> tuple[int, int, int]:
    """Programs along x, y and planes."""
    return triton.cdiv(width, columns), triton.cdiv(height, rows), planes


def on_device_of(image: torch.Tensor) -> contextlib.AbstractContextManager[Any]:
    """Triton launches on the current device, which need not be the picture's."""
    return torch.cuda.device(image.device) if image.is_cuda else contextlib.nullcontext()
