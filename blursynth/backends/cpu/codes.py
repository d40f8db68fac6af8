"""Values 0..1 of display pictures to 8-bit codes and back, in one pass each; in numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.cpu.intrinsics import rint
from blursynth.errors import InvalidValueError

__all__ = ["from_codes", "to_codes"]


@compiled
def _to_codes(values, out):  # type: ignore[no-untyped-def]
    zero, top = values.dtype.type(0), values.dtype.type(255)
    bad = np.int32(0)
    for i in range(values.size):
        code = rint(values[i] * top)
        bad = np.int32(bad | (np.int32(0) if abs(code) < np.inf else np.int32(1)))
        code = zero if code < zero else code
        out[i] = np.uint8(np.int32(top if code > top else code))
    return bad == 0


@compiled
def _from_codes(codes, out):  # type: ignore[no-untyped-def]
    top = out.dtype.type(255)
    for i in range(codes.size):
        out[i] = out.dtype.type(codes[i]) / top


def to_codes(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Codes ``round(255 x)``, clipped to 0..255."""
    flat = np.ascontiguousarray(image)
    out = np.empty(flat.shape, np.uint8)
    if not _to_codes(flat.reshape(-1), out.reshape(-1)):
        raise InvalidValueError("A picture must hold finite numbers to be stored as codes, got NaN or infinity.")
    return out


def from_codes(codes: NDArray[np.uint8], dtype: Any = np.float32, device: Any = "cpu") -> NDArray[np.floating]:
    """Values ``k / 255``; the only device is the CPU."""
    flat = np.ascontiguousarray(codes)
    out = np.empty(flat.shape, dtype)
    _from_codes(flat.reshape(-1), out.reshape(-1))
    return out
