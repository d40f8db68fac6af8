"""Response curves by their tables, in numba.

A value is looked up with linear interpolation, several pixels at a time in the precision of the image. What is known
beforehand is not interpolated: the light of the 256 codes of an 8-bit file, and, for rounding to as few codes, the
light where each code begins. Thus encoding needs no curve at all: a pixel's root finds a bin in which at most one code
begins, and one comparison decides.

Rounding to codes is that of float64 throughout. Where bins do not do, because there are more codes or the curve is too
steep for them, pixels within the error bound of a border between two codes are looked up again in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.checks import check_display, check_levels, check_table
from blursynth.backends.cpu.codes import find_codes, look_up
from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.cpu.intrinsics import fma, rint
from blursynth.backends.threads import share_out, threads_to_use
from blursynth.physics.response import ROOT

__all__ = ["response_decode", "response_encode"]

_CHUNK = 256  # few, so that a doubtful pixel causes little to be computed again
_CODES_CHUNK = 1024
_BLOCK = 256 * _CHUNK  # pixels of one job: enough to be worth a thread, few enough to distribute
_BINS = 4096  # over the square root of light, so that those of dark codes are narrow; they fit the first cache
_MOST_BINNED = 255  # codes; more begin closer together than bins

assert ROOT == 4  # the kernels take two square roots


# Each loop that is to be vectorized is a function of its own: next to other loops LLVM gives up on it.


@compiled
def _decode(image, table, size, out):  # type: ignore[no-untyped-def]
    """``table`` holds its last entry twice, so that the end needs no case of its own."""
    number = image.dtype.type
    last = number(table.size - 2)
    for i in range(size):
        v = image[i]
        u = v if v > number(0) else number(0)
        u = (u if u < number(1) else number(1)) * last
        node = np.int32(u)
        low = table[node]
        light = fma(u - number(node), table[node + 1] - low, low)
        out[i] = light if v == v else v  # NaN stays NaN


@compiled
def _encode(image, table, size, out):  # type: ignore[no-untyped-def]
    number = image.dtype.type
    last = number(table.size - 2)
    for i in range(size):
        x = image[i]
        u = x if x > number(0) else number(0)
        u = np.sqrt(np.sqrt(u if u < number(1) else number(1))) * last
        node = np.int32(u)
        low = table[node]
        value = fma(u - number(node), table[node + 1] - low, low)
        out[i] = value if x == x else x


@compiled
def _error_bound(exact, levels, eps):  # type: ignore[no-untyped-def]
    """The largest error in codes of a value in a precision of ``eps``, rounded up.

    That of the place in the table (two roots and a product, 1.25 eps) times the steepest slope of the table, and that
    of the value itself (2 eps).
    """
    steepest = 0.0
    for node in range(exact.size - 2):
        steepest = max(steepest, abs(exact[node + 1] - exact[node]))
    return eps * (1.5 * steepest * (exact.size - 2) + 2.5) * levels


@compiled
def _round(out, levels, bound, size, doubtful):  # type: ignore[no-untyped-def]
    """Values to codes, and whether a value lies too near to a border between two to be trusted. True if any does."""
    number = out.dtype.type
    top = number(levels)
    any_doubt = np.int32(0)
    for i in range(size):
        y = out[i] * top
        code = rint(y)
        doubt = np.int32(1) if abs(abs(y - code) - number(0.5)) < bound else np.int32(0)
        doubtful[i] = doubt
        any_doubt = np.int32(any_doubt | doubt)
        out[i] = code / top
    return any_doubt != 0


@compiled
def _exact_code(light, exact, levels):  # type: ignore[no-untyped-def]
    u = np.sqrt(np.sqrt(min(max(np.float64(light), 0.0), 1.0))) * np.float64(exact.size - 2)
    node = np.int32(u)
    value = exact[node] + (u - node) * (exact[node + 1] - exact[node])
    return rint(value * levels)


@compiled
def _settle(image, exact, levels, size, out, doubtful):  # type: ignore[no-untyped-def]
    for i in range(size):
        if doubtful[i] != 0:
            out[i] = out.dtype.type(_exact_code(image[i], exact, levels)) / out.dtype.type(levels)


# -- few codes: by the light where each begins ---------------------------------------------------------------------


@compiled
def _start_of_code(code, levels, exact, guess, eps):  # type: ignore[no-untyped-def]
    """The least light of the guess's type (of precision ``eps``), 0 to 1, with this code or a higher one, as white."""
    number = type(guess)
    low, high, width = guess, guess, eps
    while low > number(0) and _exact_code(low, exact, levels) >= code:
        low = number(guess * max(1.0 - width, 0.0))
        width *= 8.0
    while _exact_code(high, exact, levels) < code:
        high = number(min(guess * (1.0 + width), 1.0)) if width < 1.0 else number(1)
        width *= 8.0
    middle = low + (high - low) / number(2)
    while low < middle < high:
        if _exact_code(middle, exact, levels) >= code:
            high = middle
        else:
            low = middle
        middle = low + (high - low) / number(2)
    return high


@compiled
def _bin(light):  # type: ignore[no-untyped-def]
    """The bin of light 0 to 1: more light is never in a lower one, since each operation is rounded correctly."""
    return np.int32(np.sqrt(np.float32(light)) * np.float32(_BINS - 1))


@compiled
def _fill_bins(exact, levels, below, start, eps):  # type: ignore[no-untyped-def]
    """The code below each bin, ``below``, and where the next one begins in it, ``start``; NaN if it does not.

    False if the curve falls somewhere, or two codes begin in one bin.
    """
    number = start.dtype.type
    for node in range(exact.size - 1):
        if not exact[node] <= exact[node + 1]:
            return False
    for i in range(start.size):
        start[i] = number(np.nan)  # which no light reaches, not even infinite
    last = exact.size - 2
    node = 0
    for code in range(1, np.int64(_exact_code(1.0, exact, levels)) + 1):
        value = (code - 0.5) / levels
        while node < last - 1 and exact[node + 1] < value:
            node += 1
        rise = exact[node + 1] - exact[node]
        place = (node + ((value - exact[node]) / rise if rise > 0.0 else 0.0)) / last
        light = _start_of_code(code, levels, exact, number(min(max(place, 0.0), 1.0) ** 4), eps)
        if start[_bin(light)] >= number(0):
            return False
        start[_bin(light)] = light
    code = 0
    for i in range(start.size):
        below[i] = code
        code += 1 if start[i] >= number(0) else 0
    return True


@compiled
def _find_bins(image, size, bins):  # type: ignore[no-untyped-def]
    """The bins of pixels, 0 for what is no number. True if none of them is."""
    number = image.dtype.type
    bad = np.int32(0)
    for i in range(size):
        x = image[i]
        u = x if x > number(0) else number(0)
        bins[i] = _bin(u if u < number(1) else number(1))
        bad = np.int32(bad | (np.int32(0) if x == x else np.int32(1)))
    return bad == 0


@compiled
def _find_values(image, bins, below, start, values, size, out):  # type: ignore[no-untyped-def]
    for i in range(size):
        place = np.uint32(bins[i])
        code = np.uint32(below[place]) + np.uint32(image[i] >= start[place])
        out[i] = values[code]


@compiled
def _encode_by_bins(image, below, start, values, bins, size, out):  # type: ignore[no-untyped-def]
    whole = _find_bins(image, size, bins)
    _find_values(image, bins, below, start, values, size, out)
    if not whole:
        for i in range(size):
            out[i] = out[i] if image[i] == image[i] else image[i]


# ------------------------------------------------------------------------------------------------------------------


@compiled
def _decode_blocks(first, last, image, tables, out):  # type: ignore[no-untyped-def]
    blocks = (image.shape[1] + _BLOCK - 1) // _BLOCK
    codes, of_codes = np.empty(_CODES_CHUNK, np.int32), np.empty(256, image.dtype)
    for job in range(first, last):
        b, begin = job // blocks, job % blocks * _BLOCK
        table = tables[b if tables.shape[0] > 1 else 0]
        for code in range(256):
            of_codes[code] = image.dtype.type(code) / image.dtype.type(255)
        _decode(of_codes, table, 256, of_codes)
        for start in range(begin, min(begin + _BLOCK, image.shape[1]), _CODES_CHUNK):
            size = min(_CODES_CHUNK, image.shape[1] - start)
            values, light = image[b, start : start + size], out[b, start : start + size]
            if find_codes(values, size, codes):  # pictures from 8-bit files hold nothing else
                look_up(codes, of_codes, size, light)
            else:
                _decode(values, table, size, light)


@compiled
def _encode_blocks(first, last, image, tables, exact, levels, eps, plan, below, starts, out):  # type: ignore[no-untyped-def]
    """``plan[b]`` is the row of ``below`` and ``starts`` with the bins of a picture, or -1 if it is done without."""
    number = image.dtype.type
    blocks = (image.shape[1] + _BLOCK - 1) // _BLOCK
    doubtful, bins = np.empty(_CHUNK, np.int32), np.empty(_CODES_CHUNK, np.int32)
    codes = np.empty(_MOST_BINNED + 1, image.dtype)
    for job in range(first, last):
        b, begin = job // blocks, job % blocks * _BLOCK
        end = min(begin + _BLOCK, image.shape[1])
        t = b if tables.shape[0] > 1 else 0
        if plan[b] >= 0:
            for code in range(levels[b] + 1):
                codes[code] = number(code) / number(levels[b])
            for start in range(begin, end, _CODES_CHUNK):
                size = min(_CODES_CHUNK, end - start)
                span = slice(start, start + size)
                _encode_by_bins(image[b, span], below[plan[b]], starts[plan[b]], codes, bins, size, out[b, span])
            continue
        bound = number(_error_bound(exact[t], levels[b], eps))
        for start in range(begin, end, _CHUNK):
            size = min(_CHUNK, end - start)
            span = slice(start, start + size)
            _encode(image[b, span], tables[t], size, out[b, span])
            if levels[b] > 0 and _round(out[b, span], levels[b], bound, size, doubtful):
                _settle(image[b, span], exact[t], levels[b], size, out[b, span], doubtful)


def response_decode(
    image: NDArray[np.floating], table: NDArray[np.float64], *, threads: int | None = None
) -> NDArray[np.floating]:
    """Linear light of display values by a table."""
    check_table(table, len(image))
    pixels, exact = _flat(image), _extended(table)
    out = np.empty_like(pixels)
    blocks = -(-pixels.shape[1] // _BLOCK)
    share_out(
        _decode_blocks,
        len(pixels) * blocks,
        threads_to_use(threads),
        pixels,
        np.ascontiguousarray(exact, pixels.dtype),
        out,
    )
    return out.reshape(image.shape)


def response_encode(
    image: NDArray[np.floating],
    table: NDArray[np.float64],
    *,
    levels: Sequence[int | None] | None = None,
    threads: int | None = None,
) -> NDArray[np.floating]:
    """Display values of linear light by a table, rounded to codes."""
    batch = image.shape[0]
    wanted = check_levels(levels, batch)
    check_table(table, len(image))
    pixels, exact = _flat(image), _extended(table)
    tops = np.array([level or 0 for level in wanted], np.int64)
    out = np.empty_like(pixels)
    blocks = -(-pixels.shape[1] // _BLOCK)
    share_out(
        _encode_blocks,
        batch * blocks,
        threads_to_use(threads),
        pixels,
        np.ascontiguousarray(exact, pixels.dtype),
        exact,
        tops,
        float(np.finfo(pixels.dtype).eps),
        *_bins(exact, tops.tolist(), pixels.dtype),
        out,
    )
    return out.reshape(image.shape)


def _flat(image: NDArray[np.floating]) -> NDArray[np.floating]:
    check_display(image)
    return np.ascontiguousarray(image).reshape(image.shape[0], -1)


def _extended(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """The table with its last entry twice."""
    return np.concatenate([table, table[:, -1:]], axis=1, dtype=np.float64)


def _bins(
    exact: NDArray[np.float64], levels: Sequence[int], dtype: np.dtype[np.floating]
) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.floating]]:
    """The rows of each picture's bins, or -1; and the bins: the codes below them, and where the next one begins."""
    rows: dict[tuple[int, int], int] = {}
    below, starts = np.empty((len(levels), _BINS), np.uint8), np.empty((len(levels), _BINS), dtype)
    plan, eps = np.full(len(levels), -1), float(np.finfo(dtype).eps)
    for b, most in enumerate(levels):
        t = b if len(exact) > 1 else 0
        if (t, most) not in rows:
            row = len(set(rows.values()) - {-1})
            fits = 0 < most <= _MOST_BINNED
            rows[t, most] = row if fits and _fill_bins(exact[t], most, below[row], starts[row], eps) else -1
        plan[b] = rows[t, most]
    return plan, below, starts
