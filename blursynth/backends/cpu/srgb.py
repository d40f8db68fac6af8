"""The sRGB transfer functions in numba.

Encoding to codes is exact: a float32 estimate, several pixels at a time, decides all pixels except those within its
error bound of a threshold between two codes; these are compared with the thresholds of ``physics.color``.

Decoding is exact for the 256 codes of an 8-bit file, by table; other values go through the formula.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.checks import check_display, check_levels
from blursynth.backends.cpu.codes import find_codes, look_up
from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.cpu.elementary import exp_of_negative, natural_log
from blursynth.backends.cpu.intrinsics import fma, rint
from blursynth.physics.color import encode_thresholds, linear_of_codes

__all__ = ["srgb_decode", "srgb_encode"]

f4 = np.float32
_CHUNK = 1024
_BOUND = f4(6e-7)
"""More than twice the largest error of the estimate, the rounding of a float64 picture to float32 included."""


@compiled
def _encode_estimate(x):  # type: ignore[no-untyped-def]
    """Encoded value of a float32 0 <= x <= 1."""
    power = exp_of_negative(natural_log(max(x, f4(1e-3))) * f4(-1 / 2.4))
    curve = fma(power, f4(1.055), f4(-0.055))
    curve = curve if curve < f4(1) else f4(1)
    return x * f4(12.92) if x <= f4(0.0031308) else curve


# Each loop that is to be vectorized is a function of its own: next to other loops LLVM gives up on it.


@compiled
def _estimate_codes(image, levels, size, out, doubtful):  # type: ignore[no-untyped-def]
    """Codes of the estimate, and whether it lies too near to a threshold to be trusted. True if any does."""
    number = image.dtype.type
    top = f4(levels)
    bound = f4(top * _BOUND)
    any_doubt = np.int32(0)
    for i in range(size):
        x = image[i]
        x = number(0) if x < number(0) else x
        x = number(1) if x > number(1) else x
        y = _encode_estimate(f4(x)) * top
        code = rint(y)
        doubt = np.int32(1) if (abs(abs(y - code) - f4(0.5)) < bound) & (x == x) else np.int32(0)
        doubtful[i] = doubt
        any_doubt = np.int32(any_doubt | doubt)
        out[i] = number(code) / number(top) if x == x else x  # NaN stays NaN
    return any_doubt != 0


@compiled
def _settle_codes(image, levels, thresholds, size, out, doubtful):  # type: ignore[no-untyped-def]
    for i in range(size):
        if doubtful[i] != 0:
            x = image[i]
            code = np.int64(_encode_estimate(min(max(f4(x), f4(0)), f4(1))) * f4(levels))
            # thresholds[k - 1] is where code k begins. The true code lies at most one off.
            while code < levels and x >= thresholds[code]:
                code += 1
            while code > 0 and x < thresholds[code - 1]:
                code -= 1
            out[i] = image.dtype.type(code) / image.dtype.type(levels)


@compiled
def _encode_codes(image, levels, thresholds, out):  # type: ignore[no-untyped-def]
    doubtful = np.empty(_CHUNK, np.int32)
    for first in range(0, image.size, _CHUNK):
        size = min(_CHUNK, image.size - first)
        span = slice(first, first + size)
        if _estimate_codes(image[span], levels, size, out[span], doubtful):
            _settle_codes(image[span], levels, thresholds, size, out[span], doubtful)


@compiled
def _encode_curve_32(image, out):  # type: ignore[no-untyped-def]
    for i in range(image.size):
        x = image[i]
        x = f4(0) if x < f4(0) else x
        x = f4(1) if x > f4(1) else x
        y = _encode_estimate(x)
        y = f4(1) if x == f4(1) else y
        out[i] = y if x == x else x


@compiled
def _encode_curve_64(image, out):  # type: ignore[no-untyped-def]
    for i in range(image.size):
        x = image[i]
        x = 0.0 if x < 0.0 else (1.0 if x > 1.0 else x)
        y = 12.92 * x if x <= 0.0031308 else 1.055 * x ** (1 / 2.4) - 0.055
        out[i] = 1.0 if x == 1.0 else y


@compiled
def _decode_curve(image, size, out):  # type: ignore[no-untyped-def]
    for i in range(size):
        x = image[i]
        magnitude = abs(x)
        base = fma(magnitude, f4(1 / 1.055), f4(0.055 / 1.055))
        curve = exp_of_negative(natural_log(base) * f4(-2.4))
        value = magnitude * f4(1 / 12.92) if magnitude <= f4(0.04045) else curve
        value = value if magnitude < f4(1e10) else magnitude * magnitude  # keeps NaN and infinity what they are
        out[i] = -value if x < f4(0) else value


@compiled
def _put_codes(codes, table, size, out):  # type: ignore[no-untyped-def]
    for i in range(size):
        code = codes[i]
        if code >= 0:
            out[i] = math.copysign(table[code], out[i])


@compiled
def _decode_32(image, table, out):  # type: ignore[no-untyped-def]
    codes = np.empty(_CHUNK, np.int32)
    for first in range(0, image.size, _CHUNK):
        size = min(_CHUNK, image.size - first)
        span = slice(first, first + size)
        if find_codes(image[span], size, codes):  # pictures from 8-bit files hold nothing else
            look_up(codes, table, size, out[span])
        else:
            _decode_curve(image[span], size, out[span])
            _put_codes(codes, table, size, out[span])


@compiled
def _decode_64(image, table, out):  # type: ignore[no-untyped-def]
    for i in range(image.size):
        size = abs(image[i])
        value = size / 12.92 if size <= 0.04045 else ((size + 0.055) / 1.055) ** 2.4
        if size <= 1.0:
            code = rint(size * 255.0)
            if size == code / 255.0:
                value = table[np.int64(code)]
        out[i] = math.copysign(value, image[i])


@lru_cache(maxsize=16)
def _thresholds(levels: int, dtype: str) -> NDArray[np.floating]:
    return encode_thresholds(levels, np.float32 if dtype == "float32" else np.float64)


@lru_cache(maxsize=2)
def _table(dtype: str) -> NDArray[np.floating]:
    return linear_of_codes().astype(dtype)


def srgb_decode(image: NDArray[np.floating]) -> NDArray[np.floating]:
    """sRGB to linear light."""
    flat = _flat(image)
    out = np.empty_like(flat)
    (_decode_32 if flat.dtype == np.float32 else _decode_64)(flat, _table(flat.dtype.name), out)
    return out.reshape(image.shape)


def srgb_encode(image: NDArray[np.floating], *, levels: Sequence[int | None] | None = None) -> NDArray[np.floating]:
    """Linear light to sRGB, clipped to 0..1 and rounded to codes."""
    batch = image.shape[0] if image.ndim else 1
    wanted = check_levels(levels, batch)
    pixels = _flat(image).reshape(batch, -1)
    out = np.empty_like(pixels)
    for b, level in enumerate(wanted):
        if level is not None:
            _encode_codes(pixels[b], level, _thresholds(level, pixels.dtype.name), out[b])
        elif pixels.dtype == np.float32:
            _encode_curve_32(pixels[b], out[b])
        else:
            _encode_curve_64(pixels[b], out[b])
    return out.reshape(image.shape)


def _flat(image: NDArray[np.floating]) -> NDArray[np.floating]:
    check_display(image)
    return np.ascontiguousarray(image).reshape(-1)
