"""Response curves by their tables, in numba.

A value is looked up with linear interpolation, several pixels at a time in the precision of the image. Rounding to
codes is that of float64 throughout: pixels within the error bound of a border between two codes are looked up again in
float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.checks import check_display, check_levels, check_table
from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.cpu.intrinsics import fma, rint
from blursynth.backends.threads import share_out, threads_to_use
from blursynth.physics.response import ROOT

__all__ = ["response_decode", "response_encode"]

_CHUNK = 256  # few, so that a doubtful pixel causes little to be computed again
_BLOCK = 256 * _CHUNK  # pixels of one job: enough to be worth a thread, few enough to distribute

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
def _settle(image, exact, levels, size, out, doubtful):  # type: ignore[no-untyped-def]
    for i in range(size):
        if doubtful[i] != 0:
            u = np.sqrt(np.sqrt(min(max(np.float64(image[i]), 0.0), 1.0))) * np.float64(exact.size - 2)
            node = np.int32(u)
            value = exact[node] + (u - node) * (exact[node + 1] - exact[node])
            out[i] = out.dtype.type(rint(value * levels)) / out.dtype.type(levels)


@compiled
def _decode_blocks(first, last, image, tables, out):  # type: ignore[no-untyped-def]
    blocks = (image.shape[1] + _BLOCK - 1) // _BLOCK
    for job in range(first, last):
        b, start = job // blocks, job % blocks * _BLOCK
        span = slice(start, min(start + _BLOCK, image.shape[1]))
        row = tables[b if tables.shape[0] > 1 else 0]
        _decode(image[b, span], row, span.stop - span.start, out[b, span])


@compiled
def _encode_blocks(first, last, image, tables, exact, levels, bounds, out):  # type: ignore[no-untyped-def]
    blocks = (image.shape[1] + _BLOCK - 1) // _BLOCK
    doubtful = np.empty(_CHUNK, np.int32)
    for job in range(first, last):
        b, begin = job // blocks, job % blocks * _BLOCK
        t = b if tables.shape[0] > 1 else 0
        for start in range(begin, min(begin + _BLOCK, image.shape[1]), _CHUNK):
            size = min(_CHUNK, image.shape[1] - start)
            span = slice(start, start + size)
            _encode(image[b, span], tables[t], size, out[b, span])
            if levels[b] > 0 and _round(out[b, span], levels[b], bounds[b], size, doubtful):
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
    # The largest error of a value in the image's precision, in codes: that of the place in the table (two roots and a
    # product, 1.25 eps) times the steepest slope of the table, and that of the value itself (2 eps); rounded up.
    steepest = np.abs(np.diff(exact, axis=1)).max(axis=1) * (exact.shape[1] - 2)
    bounds = np.finfo(pixels.dtype).eps * (1.5 * steepest + 2.5) * tops
    out = np.empty_like(pixels)
    blocks = -(-pixels.shape[1] // _BLOCK)
    tables = np.ascontiguousarray(exact, pixels.dtype)
    arguments: tuple[Any, ...] = (pixels, tables, exact, tops, bounds.astype(pixels.dtype), out)
    share_out(_encode_blocks, batch * blocks, threads_to_use(threads), *arguments)
    return out.reshape(image.shape)


def _flat(image: NDArray[np.floating]) -> NDArray[np.floating]:
    check_display(image)
    return np.ascontiguousarray(image).reshape(image.shape[0], -1)


def _extended(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """The table with its last entry twice."""
    return np.concatenate([table, table[:, -1:]], axis=1, dtype=np.float64)
