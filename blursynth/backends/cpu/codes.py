"""Values 0..1 of display pictures to 8-bit codes and back, in one pass each; in numba.

Curves are looked up by code: nearly all pictures come from 8-bit files, and hold nothing but ``k / 255``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.cpu.intrinsics import rint
from blursynth.errors import InvalidValueError

__all__ = ["find_codes", "from_codes", "look_up", "to_codes"]


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


@compiled
def find_codes(values, size, codes):  # type: ignore[no-untyped-def]
    """The code k of values that are exactly k / 255 or -k / 255, else -1. True if all are k / 255."""
    zero, one, top = values.dtype.type(0), values.dtype.type(1), values.dtype.type(255)
    others = np.int32(0)
    for i in range(size):
        x = abs(values[i])
        code = rint((x if x <= one else zero) * top)
        found = x == code / top
        codes[i] = np.int32(code) if found else np.int32(-1)
        others = np.int32(others + (np.int32(0) if found and values[i] >= zero else np.int32(1)))
    return others == 0


@compiled
def look_up(codes, table, size, out):  # type: ignore[no-untyped-def]
    """``out = table[code]``; the codes are int32, none of them negative."""
    for i in range(size):
        out[i] = table[np.uint32(codes[i])]


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
