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
_TILE_HEIGHT, _TILE_WIDTH = 64, 320  # at most; all tiles of a picture are of nearly one size
_UNROLLED = 32  # numbers in one turn of a loop over float32: four vectors
_THREAD_PAYS = 1 << 17  # values below which handing work to another thread costs more than it saves


# Loops that run several values at a time are functions of their own.


@compiled
def _sum_three(values, pitch, size, out):  # type: ignore[no-untyped-def]
    a, b, c = values, values[pitch:], values[2 * pitch :]
    for i in range(size):
        out[i] = a[i] + b[i] + c[i]


@compiled
def _sum_five(values, pitch, size, out):  # type: ignore[no-untyped-def]
    a, b, c, d, e = values, values[pitch:], values[2 * pitch :], values[3 * pitch :], values[4 * pitch :]
    for i in range(size):
        out[i] = (a[i] + b[i]) + (c[i] + d[i]) + e[i]


@compiled
def _sum_seven(values, pitch, size, out):  # type: ignore[no-untyped-def]
    a, b, c, d = values, values[pitch:], values[2 * pitch :], values[3 * pitch :]
    e, f, g = values[4 * pitch :], values[5 * pitch :], values[6 * pitch :]
    for i in range(size):
        out[i] = ((a[i] + b[i]) + (c[i] + d[i])) + ((e[i] + f[i]) + g[i])


@compiled
def _add_four(values, pitch, size, out):  # type: ignore[no-untyped-def]
    a, b, c, d = values, values[pitch:], values[2 * pitch :], values[3 * pitch :]
    for i in range(size):
        out[i] += (a[i] + b[i]) + (c[i] + d[i])


@compiled
def _sum_window(values, pitch, radius, size, out):  # type: ignore[no-untyped-def]
    """Sums of ``2 radius + 1`` numbers ``pitch`` apart, several of them in each pass."""
    if radius == 1:
        _sum_three(values, pitch, size, out)
    elif radius % 2 == 0:
        _sum_five(values, pitch, size, out)
    else:
        _sum_seven(values, pitch, size, out)
    for k in range(5 if radius % 2 == 0 else 7, 2 * radius + 1, 4):
        _add_four(values[k * pitch :], pitch, size, out)


@compiled
def _whole(size):  # type: ignore[no-untyped-def]
    """A number of pixels that fills the vectors of an unrolled loop: what such a loop does with a rest is slow."""
    return (size + _UNROLLED - 1) // _UNROLLED * _UNROLLED


@compiled
def _window_sums(values, pitch, radius, rows, columns, line, out):  # type: ignore[no-untyped-def]
    """``[rows, columns]`` sums over windows, from ``values`` with two radii more on both axes."""
    for r in range(rows):
        _sum_window(values[r * pitch :], pitch, radius, _whole(columns + 2 * radius), line)
        _sum_window(line, 1, radius, _whole(columns), out[r * pitch :])


@compiled
def _square_rest(values, sums, share, size, out):  # type: ignore[no-untyped-def]
    """Sums become means in place; what the mean leaves is squared."""
    for i in range(size):
        mean = sums[i] * share
        sums[i] = mean
        rest = values[i] - mean
        out[i] = rest * rest


@compiled
def _weigh(squares, means, strength, share, size, out):  # type: ignore[no-untyped-def]
    """Sums of squares become the part of each window that is smoothed, in place; and its mean times it."""
    for i in range(size):
        smoothed = strength / fma(squares[i], share, strength)
        squares[i] = smoothed
        out[i] = smoothed * means[i]


@compiled
def _difference(means, parts, values, share, size, out):  # type: ignore[no-untyped-def]
    for i in range(size):
        out[i] = fma(-parts[i], values[i], means[i]) * share


@compiled
def _tiles(begin, end, image, shape, strength, radii, out):  # type: ignore[no-untyped-def]
    batch, channels, height, width = shape
    most = 0
    for plane in range(batch * channels):
        most = max(most, radii[plane] if strength[plane] > 0 else 0)
    number = image.dtype.type
    down, across = (height + _TILE_HEIGHT - 1) // _TILE_HEIGHT, (width + _TILE_WIDTH - 1) // _TILE_WIDTH
    tile_height, tile_width = (height + down - 1) // down, (width + across - 1) // across
    # Loops run on into what lies behind a row's end, which must be numbers and is not used.
    pitch = _whole(tile_width + 6 * most)
    room = (tile_height + 6 * most + 1) * pitch
    patch, means = np.zeros(room, image.dtype), np.zeros(room, image.dtype)
    first, second = np.zeros(room, image.dtype), np.zeros(room, image.dtype)
    line = np.zeros(pitch + 2 * most + _UNROLLED, image.dtype)
    for job in range(begin, end):
        plane, rest = job // (down * across), job % (down * across)
        top, left = rest // across * tile_height, rest % across * tile_width
        rows, columns = min(tile_height, height - top), min(tile_width, width - left)
        start = plane * height * width
        if strength[plane] == 0:
            for r in range(rows):
                at = start + (top + r) * width + left
                out[at : at + columns] = number(0)
            continue
        radius = radii[plane]
        share = number(1 / ((2 * radius + 1) * (2 * radius + 1)))
        high, wide = rows + 6 * radius, columns + 6 * radius
        fill_patch(
            image.ctypes.data + start * image.itemsize, width * image.itemsize, height, width, _REFLECT,
            top - 3 * radius, left - 3 * radius, high, wide, patch, 0, pitch,
        )  # fmt: skip
        high, wide = high - 2 * radius, wide - 2 * radius
        _window_sums(patch, pitch, radius, high, wide, line, means)
        for r in range(high):
            at, inner = r * pitch, (r + radius) * pitch + radius
            _square_rest(patch[inner:], means[at:], share, _whole(wide), first[at:])
        high, wide = high - 2 * radius, wide - 2 * radius
        _window_sums(first, pitch, radius, high, wide, line, second)
        for r in range(high):
            at, inner = r * pitch, (r + radius) * pitch + radius
            _weigh(second[at:], means[inner:], strength[plane], share, _whole(wide), first[at:])
        _window_sums(first, pitch, radius, rows, columns, line, means)
        _window_sums(second, pitch, radius, rows, columns, line, first)
        for r in range(rows):
            at, inner = start + (top + r) * width + left, (r + 3 * radius) * pitch + 3 * radius
            _difference(means[r * pitch :], first[r * pitch :], patch[inner:], share, columns, out[at:])


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
    strength, radius_px = check_guided(strength, radius_px, (batch, channels))
    out = np.empty_like(image)
    jobs = batch * channels * -(-height // _TILE_HEIGHT) * -(-width // _TILE_WIDTH)
    share_out(
        _tiles, jobs, threads_to_use(threads) if image.size > _THREAD_PAYS else 1,
        image.reshape(-1), image.shape, (strength**2).astype(image.dtype).ravel(), radius_px.ravel(), out.reshape(-1),
    )  # fmt: skip
    return out
