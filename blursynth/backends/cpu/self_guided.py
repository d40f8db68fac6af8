"""The guided filter with the picture as its own guide, in numba, one tile at a time.

``backends.oracle.self_guided`` is the definition. A tile takes its pixels and three radii more on each side into a
patch, the border reflected; its three rounds of window means then stay in the cache. Sums of windows are formed row by
row and not carried along, so that a pixel's sum is the same wherever the tile begins: a window of the picture equals
the whole to the bit, and the bytes do not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.borders import BORDER_CODES
from blursynth.backends.checks import check_guided, check_image
from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.cpu.convolve_direct import fill_patch
from blursynth.backends.cpu.intrinsics import fma
from blursynth.backends.threads import share_out, threads_to_use
from blursynth.frame import Border

__all__ = ["self_guided"]

_REFLECT = BORDER_CODES[Border.REFLECT]
_TILE_HEIGHT, _TILE_WIDTH = 64, 256
_THREAD_PAYS = 1 << 17  # values below which handing work to another thread costs more than it saves


# Loops that run several values at a time are functions of their own.


@compiled
def _copy(values, size, out):  # type: ignore[no-untyped-def]
    for i in range(size):
        out[i] = values[i]


@compiled
def _add(values, size, out):  # type: ignore[no-untyped-def]
    for i in range(size):
        out[i] += values[i]


@compiled
def _window_sums(values, radius, rows, columns, lines, out):  # type: ignore[no-untyped-def]
    """Sums over windows of ``values`` ``[rows, columns]``, less by two radii on both axes."""
    wide = columns - 2 * radius
    for r in range(rows - 2 * radius):
        _copy(values[r * columns :], columns, lines)
        for k in range(1, 2 * radius + 1):
            _add(values[(r + k) * columns :], columns, lines)
        into = out[r * wide :]
        _copy(lines, wide, into)
        for k in range(1, 2 * radius + 1):
            _add(lines[k:], wide, into)


@compiled
def _square_rest(values, sums, share, size, out):  # type: ignore[no-untyped-def]
    """Sums become means in place; what the mean leaves is squared."""
    for i in range(size):
        mean = sums[i] * share
        sums[i] = mean
        rest = values[i] - mean
        out[i] = rest * rest


@compiled
def _weigh(squares, means, strength, share, size, part, out):  # type: ignore[no-untyped-def]
    """The part of each window that is smoothed, and its mean times it."""
    for i in range(size):
        smoothed = strength / fma(squares[i], share, strength)
        part[i] = smoothed
        out[i] = smoothed * means[i]


@compiled
def _difference(means, parts, values, share, size, out):  # type: ignore[no-untyped-def]
    for i in range(size):
        out[i] = fma(-parts[i], values[i], means[i]) * share


@compiled
def _tiles(begin, end, image, shape, strength, radii, out):  # type: ignore[no-untyped-def]
    batch, channels, height, width = shape
    most = 0
    for b in range(batch):
        most = max(most, radii[b])
    number = image.dtype.type
    room = (_TILE_HEIGHT + 6 * most) * (_TILE_WIDTH + 6 * most)
    patch, means = np.empty(room, image.dtype), np.empty(room, image.dtype)
    first, second = np.empty(room, image.dtype), np.empty(room, image.dtype)
    lines = np.empty(_TILE_WIDTH + 6 * most, image.dtype)
    down, across = (height + _TILE_HEIGHT - 1) // _TILE_HEIGHT, (width + _TILE_WIDTH - 1) // _TILE_WIDTH
    for job in range(begin, end):
        plane, rest = job // (down * across), job % (down * across)
        b = plane // channels
        top, left = rest // across * _TILE_HEIGHT, rest % across * _TILE_WIDTH
        rows, columns = min(_TILE_HEIGHT, height - top), min(_TILE_WIDTH, width - left)
        start = plane * height * width
        if strength[b] == 0:
            for r in range(rows):
                at = start + (top + r) * width + left
                out[at : at + columns] = number(0)
            continue
        radius = radii[b]
        share = number(1 / ((2 * radius + 1) * (2 * radius + 1)))
        high, wide = rows + 6 * radius, columns + 6 * radius
        fill_patch(
            image.ctypes.data + start * image.itemsize, width * image.itemsize, height, width, _REFLECT,
            top - 3 * radius, left - 3 * radius, high, wide, patch, 0, wide,
        )  # fmt: skip
        _window_sums(patch, radius, high, wide, lines, means)
        high, mean_wide = high - 2 * radius, wide - 2 * radius
        for r in range(high):
            _square_rest(
                patch[(r + radius) * wide + radius :], means[r * mean_wide :], share, mean_wide, first[r * mean_wide :]
            )
        _window_sums(first, radius, high, mean_wide, lines, second)
        high, part_wide = high - 2 * radius, mean_wide - 2 * radius
        for r in range(high):
            at = r * part_wide
            _weigh(
                second[at:], means[(r + radius) * mean_wide + radius :], strength[b], share, part_wide,
                second[at:], first[at:],
            )  # fmt: skip
        _window_sums(first, radius, high, part_wide, lines, means)
        _window_sums(second, radius, high, part_wide, lines, first)
        for r in range(rows):
            at = start + (top + r) * width + left
            _difference(
                means[r * columns :], first[r * columns :], patch[(r + 3 * radius) * wide + 3 * radius :], share,
                columns, out[at:],
            )  # fmt: skip


def self_guided(
    image: NDArray[np.floating],
    strength: NDArray[np.float64],
    radius_px: NDArray[np.int64],
    *,
    threads: int | None = None,
) -> NDArray[np.floating]:
    """What edge-preserving smoothing adds to a picture: ``E[s m] - E[s] x``."""
    check_image(image)
    image = np.ascontiguousarray(image, image.dtype.newbyteorder("="))
    batch, channels, height, width = image.shape
    strength, radius_px = check_guided(strength, radius_px, batch)
    out = np.empty_like(image)
    jobs = batch * channels * -(-height // _TILE_HEIGHT) * -(-width // _TILE_WIDTH)
    share_out(
        _tiles, jobs, threads_to_use(threads) if image.size > _THREAD_PAYS else 1,
        image.reshape(-1), image.shape, (strength**2).astype(image.dtype), radius_px, out.reshape(-1),
    )  # fmt: skip
    return out
