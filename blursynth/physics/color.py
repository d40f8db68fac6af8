"""The transfer functions between linear light and the sRGB numbers of picture files, in float64.

Definition of IEC 61966-2-1: with V the encoded and L the linear value, both 0..1,
``L = V / 12.92`` for ``V <= 0.04045``, else ``((V + 0.055) / 1.055) ** 2.4``;
``V = 12.92 L`` for ``L <= 0.0031308``, else ``1.055 L ** (1 / 2.4) - 0.055``.

The two published thresholds do not meet exactly: there is a step of 3e-8 at the joint, far below a code.

Decoding is extended beyond 0..1: above 1 by the same power, below 0 as an odd function, ``-L(-V)``, as in the
extended-range sRGB of graphics systems, so that nothing is lost on the way in. Encoding clips to 0..1, as a file must.

Not modeled: the tone curves of cameras, which are neither this curve nor a pure power, and color matrices.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blursynth.errors import InvalidValueError

__all__ = [
    "LUMA",
    "MAX_LEVELS",
    "encode_thresholds",
    "linear_of_codes",
    "srgb_codes",
    "srgb_from_linear",
    "srgb_to_linear",
]

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue of an encoded picture in its luma, ITU-R BT.601."""

MAX_LEVELS = 65535
"""The highest code that an encoded picture may have: that of a 16-bit file."""


def srgb_to_linear(encoded: ArrayLike) -> NDArray[np.float64]:
    """Linear light of encoded values; odd below 0, the same power above 1.

    Middle gray of a display is not half the light:

    >>> float(srgb_to_linear(0.5).round(4))
    0.214
    """
    value = np.asarray(encoded, np.float64)
    size = np.abs(value)
    return np.asarray(np.copysign(np.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** 2.4), value))


def srgb_from_linear(linear: ArrayLike) -> NDArray[np.float64]:
    """Encoded value of linear light, clipped to 0..1.

    A 50/50 edge between black and white is brighter than the middle code:

    >>> float(srgb_from_linear(0.5).round(4))
    0.7354
    """
    light = np.clip(np.asarray(linear, np.float64), 0.0, 1.0)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(np.where(light == 1.0, 1.0, encoded))  # 1.055 - 0.055 is not quite 1 in floating point


def srgb_codes(linear: ArrayLike, levels: int = 255) -> NDArray[np.int64]:
    """The whole code 0..levels nearest to the encoded value (halves to even).

    >>> srgb_codes([0.0, 0.214, 0.5, 1.0, 2.0]).tolist()
    [0, 127, 188, 255, 255]
    """
    return np.asarray(np.rint(_checked(levels) * srgb_from_linear(linear)).astype(np.int64))


def linear_of_codes(levels: int = 255) -> NDArray[np.float64]:
    """``[levels + 1]`` linear light of every code.

    >>> linear_of_codes()[[0, 128, 255]].round(4).tolist()
    [0.0, 0.2159, 1.0]
    """
    return srgb_to_linear(np.arange(_checked(levels) + 1) / levels)


def encode_thresholds(levels: int = 255, dtype: type[np.floating] = np.float64) -> NDArray[np.floating]:
    """``[levels]`` the smallest number of ``dtype`` whose code is k or more, for k = 1..levels.

    So ``searchsorted(thresholds, x, side="right")`` is the code of x, exactly. They are found by bisection over the
    numbers that ``dtype`` can hold, since no formula knows how the definition rounds at a tie.
    """
    codes = np.arange(1, _checked(levels) + 1)
    middle = srgb_to_linear((codes - 0.5) / levels)
    bits = np.int32 if np.dtype(dtype) == np.float32 else np.int64
    # The bits of positive floats are ordered as the floats are. The bracket is far wider than any rounding error.
    low = (middle * (1 - 1e-5)).astype(dtype).view(bits).astype(np.int64)
    high = np.minimum(middle * (1 + 1e-5), 1.0).astype(dtype).view(bits).astype(np.int64)
    while (high - low > 1).any():
        half = (low + high) // 2
        reached = srgb_codes(half.astype(bits).view(dtype), levels) >= codes
        high, low = np.where(reached, half, high), np.where(reached, low, half)
    return high.astype(bits).view(dtype)


def _checked(levels: int) -> int:
    if not 1 <= levels <= MAX_LEVELS or levels != int(levels):
        raise InvalidValueError(
            f"levels must be an integer 1 to {MAX_LEVELS}, got {levels}.",
            why="It is the highest code: 255 of an 8-bit file, 65535 of a 16-bit file.",
            fix="Pass 2 ** bits - 1.",
        )
    return int(levels)
