"""Convolution on the CPU: the occupied taps directly, two passes where the point spread is separable, or tiled Fourier
transforms.

``y[b] = k[b] * x[b]`` on planar pictures ``[B, C, H, W]``, float32 or float64. ``backends.oracle.convolve`` is the
definition that all of this is held against.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.borders import BORDER_CODES, margins_px
from blursynth.backends.checks import check_convolve, check_image, check_valid_size
from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.cpu.convolve_direct import (
    VECTOR_BYTES,
    _continued,
    direct_tiles,
    least_and_most,
    pair_rows,
    separable_tiles,
    tile_grid,
)
from blursynth.backends.cpu.convolve_fft import LENGTHS, choose_tiles, fourier_tiles, spectrum, stages
from blursynth.backends.threads import share_out, threads_to_use
from blursynth.errors import InvalidValueError
from blursynth.frame import Border
from blursynth.physics.point_spread import PointSpreads

__all__ = ["Method", "convolve", "convolve_adjoint"]

Method = Literal["auto", "direct", "fft"]

# Tiles of the result: their pixels with the margin stay in the second cache, and there are enough of them to share out.
_TILE_HEIGHT, _TILE_WIDTH = 64, 384
_SEPARABLE_TILE_HEIGHT = 128  # taller: its first pass works on the margin above and below too

# Cost in ns of one entry of the merged list of taps for two vectors of the result, one above the other, on one core:
# two multiply-adds and a load across cache lines. Measured on an AMD Zen 5 core at 3.7 GHz with 64-byte vectors, best
# of 25 runs, 31 to 127 px: 0.33 for a picture in cache, 0.37 for 1280 x 720. Only the ratio to the cost of the
# transforms (convolve_fft) matters.
_DIRECT_NS = 0.36
# A transform must be faster by this factor: the direct methods keep the range and exact zeros.
_PREFER_DIRECT = 1.15
_SMALLEST_PRODUCT, _SMALLEST_TRANSFORMED = 20, 48  # taps below which two passes or a transform cannot win

# Taps that are summed up in one go: each sum in float32 rounds by up to 6e-8 of what it has reached, so that 50,000
# taps in a row were off by 3e-5 of white. Sums of fewer taps are what they would be without this.
_TAPS_AT_ONCE = 1 << 14

_THREAD_PAYS_NS = 1e6  # work below which handing it to another thread costs more than it saves


@compiled
def _as_product(dy, dx, weight, tolerance):  # type: ignore[no-untyped-def]
    """A point spread as column times row, if it is one to ``tolerance`` of its sum.

    Returns
    -------
    tuple
        Whether it is, dy of the column's first weight, dx of the row's, and the weights of both, zeros among them.
    """
    (y0, y1), (x0, x1) = least_and_most(dy), least_and_most(dx)
    height, width = y1 - y0 + 1, x1 - x0 + 1
    column, row = np.zeros(height), np.zeros(width)
    if 2 * dy.size < height * width:  # zeros inside the box: all but surely not a product
        return False, y0, x0, column, row
    pivot = 0
    for t in range(dy.size):
        if abs(weight[t]) > abs(weight[pivot]):
            pivot = t
    for t in range(dy.size):
        if dx[t] == dx[pivot]:
            column[dy[t] - y0] = weight[t] / weight[pivot]
        if dy[t] == dy[pivot]:
            row[dx[t] - x0] = weight[t]
    # Both the taps and their absence must follow from the product.
    missed, total, covered = 0.0, 0.0, 0.0
    for t in range(dy.size):
        product = column[dy[t] - y0] * row[dx[t] - x0]
        missed += abs(weight[t] - product)
        covered += abs(product)
        total += abs(weight[t])
    of_column, of_row = 0.0, 0.0
    for i in range(height):
        of_column += abs(column[i])
    for i in range(width):
        of_row += abs(row[i])
    missed += max(0.0, of_column * of_row - covered)
    return missed <= tolerance * total, y0, x0, column, row


def _apply(
    source: NDArray[np.floating],  # [C, H, W], last axis contiguous
    dy: NDArray[np.int32],
    dx: NDArray[np.int32],
    weight: NDArray[np.float64],
    out: NDArray[np.floating],  # [C, H', W'], contiguous
    origin: tuple[int, int],
    border: int,
    method: Method,
    threads: int | None,
) -> None:
    """``out(i, j) = sum_t w_t E(i + origin_y - dy_t, j + origin_x - dx_t)`` by the method expected to be fastest."""
    channels, height, width = source.shape
    _, out_height, out_width = out.shape
    if weight.size == 0:
        out[...] = 0
        return
    item = out.itemsize
    lanes = VECTOR_BYTES // item
    like = out.reshape(-1)[:1]
    rows, columns, pairs = pair_rows(dy, dx, weight, like)
    vectors = channels * out_height * out_width / lanes
    pixel_ns = rows.size / lanes / 2 * _DIRECT_NS
    cost = pixel_ns * out.size
    plane = (source.__array_interface__["data"][0], source.strides[0], source.strides[1], height, width, border)
    size = (out_height, out_width, *origin)

    if method == "auto" and weight.size >= _SMALLEST_PRODUCT:
        product, y0, x0, column, row = _as_product(dy, dx, weight, 1e-15 if item == 8 else 1e-9)
    else:
        product = False
    separable_cost = np.inf
    if product:
        ys, xs = np.flatnonzero(column), np.flatnonzero(row)
        column, row = column[ys], row[xs]
        ys, xs = (ys + y0).astype(np.int32), (xs + x0).astype(np.int32)
        again = 1 + (ys[-1] - ys[0]) / min(_SEPARABLE_TILE_HEIGHT, out_height)
        separable_cost = (2 * xs.size * again + ys.size + 1) * vectors / 2 * _DIRECT_NS
    fourier_cost = np.inf
    if method == "fft" or (method == "auto" and weight.size >= _SMALLEST_TRANSFORMED):
        top, bottom, left, right = dy[-1], -dy[0], dx.max(), -dx.min()
        margins = int(top + bottom), int(left + right)
        *sizes, fourier_cost = _chosen_tiles(*margins, channels, out_height, out_width, item)
        if method == "fft" and sizes[0] == 0:
            raise InvalidValueError(
                f"method='fft' takes point spreads of less than {LENGTHS[-1]} px, "
                f"got one of {top + bottom + 1} x {left + right + 1}.",
                fix="Use method='direct' or 'auto'.",
            )

    def direct(into: NDArray[np.floating], channel: int, first_row: int, first_column: int) -> None:
        """The direct method for a part of the result, from this channel, row and column on."""
        part_height, part_width = into.shape[1:]
        down, across = tile_grid(part_height, part_width, _TILE_HEIGHT, _TILE_WIDTH, lanes)
        for first in range(0, rows.size, _TAPS_AT_ONCE):
            some = slice(first, first + _TAPS_AT_ONCE)
            sums = into if first == 0 else np.empty_like(into)
            share_out(
                direct_tiles,
                into.shape[0] * down * across,
                threads_to_use(threads) if pixel_ns * into.size > _THREAD_PAYS_NS else 1,
                *(plane[0] + channel * plane[1], *plane[1:]),
                rows[some],
                columns[some],
                pairs[2 * some.start : 2 * some.stop],
                sums,
                _TILE_HEIGHT,
                _TILE_WIDTH,
                *(part_height, part_width, origin[0] + first_row, origin[1] + first_column),
            )
            if first > 0:
                into += sums

    if method == "fft" or fourier_cost * _PREFER_DIRECT < min(cost, separable_cost):
        rows_n, columns_n, high, wide = sizes
        dtype = out.dtype
        plan = (rows_n, columns_n, *stages(columns_n, dtype), *stages(rows_n, dtype))
        spread = spectrum(dy, dx, weight, *plan)
        tiles = channels * -(-out_height // high) * -(-out_width // wide)
        share_out(
            fourier_tiles,
            (tiles + 1) // 2,
            threads_to_use(threads) if fourier_cost > _THREAD_PAYS_NS else 1,
            *plane,
            *(top, bottom, left, right),
            spread,
            *plan,
            out,
            *(high, wide),
            *size,
        )
        # Sums and products with what is not finite are not finite, and every number of a transform depends on every
        # pixel of its two tiles: one pixel of a result's tile shows whether a NaN or an infinity has spread over it.
        for channel, down, across in np.argwhere(~np.isfinite(out[:, ::high, ::wide])).tolist():
            row, column = down * high, across * wide
            part = np.empty((1, min(high, out_height - row), min(wide, out_width - column)), out.dtype)
            direct(part, channel, row, column)
            out[channel, row : row + high, column : column + wide] = part[0]
        return
    if separable_cost < cost:
        tile = (_SEPARABLE_TILE_HEIGHT, _TILE_WIDTH)
        down, across = tile_grid(out_height, out_width, *tile, lanes)
        share_out(
            separable_tiles,
            channels * down * across,
            threads_to_use(threads) if separable_cost > _THREAD_PAYS_NS else 1,
            *plane,
            *pair_rows(np.zeros_like(xs), xs, row, like),
            *pair_rows(ys, np.zeros_like(ys), column, like),
            out,
            *tile,
            *size,
        )
        return
    direct(out, 0, 0, 0)


@lru_cache(maxsize=256)  # the choice takes as long as to convolve a small picture
def _chosen_tiles(*sizes: int) -> tuple[int, int, int, int, float]:
    rows, columns, high, wide, cost = choose_tiles(LENGTHS, *sizes)
    return rows, columns, high, wide, cost


def _prepared(image: NDArray[np.floating]) -> NDArray[np.floating]:
    """The image in the machine's own byte order with contiguous rows; a copy only if it is not so already."""
    if not (
        image.dtype.isnative and image.flags.aligned and (image.shape[3] == 1 or image.strides[3] == image.itemsize)
    ):
        return np.ascontiguousarray(image, image.dtype.newbyteorder("="))
    return image


def _check_method(method: str) -> None:
    if method not in ("auto", "direct", "fft"):
        raise InvalidValueError(
            f"method must be 'auto', 'direct' or 'fft', got {method!r}.", fix="Leave it at 'auto' for the fastest one."
        )


def convolve(
    image: NDArray[np.floating],
    psf: PointSpreads,
    *,
    border: Border,
    method: Method = "auto",
    threads: int | None = None,
) -> NDArray[np.floating]:
    """``y[b](p) = sum_t weight_t x[b](p - (dy_t, dx_t))``, without a copy of pictures whose rows are contiguous.

    Parameters
    ----------
    method
        ``direct``: tap by tap, only the occupied ones. The range of the picture is kept, light stays exactly 0 beyond
        the reach, and a crop equals the whole bit by bit. ``fft``: Fourier transforms of tiles; the error is spread
        over the tile, about 1e-6 of the largest pixel in float32, so zeros can turn slightly negative: clamp before a
        Poisson draw, and use ``direct`` for very high dynamic range. ``auto``: what a model of the cost expects to be
        fastest, from the taps, the size and the type alone, never from a clock; it also takes a point spread that is a
        column times a row in two passes.

    Notes
    -----
    NaN and infinite pixels spread as far as the taps reach and to a pixel above and below, by every method: a tile that
    they spoil is computed again directly, tap by tap.

    Examples
    --------
    >>> impulse = np.zeros((1, 1, 3, 5), np.float32)
    >>> impulse[..., 1, 2] = 1
    >>> psf = PointSpreads.from_dense([np.array([[0.25, 0.5, 0.25]])])
    >>> convolve(impulse, psf, border=Border.REFLECT)[0, 0, 1].tolist()
    [0.0, 0.25, 0.5, 0.25, 0.0]
    """
    check_image(image)
    border = check_convolve(image.shape, psf, border)
    _check_method(method)
    image = _prepared(image)
    batch, channels, height, width = image.shape
    top, bottom, left, right = 0, 0, 0, 0
    if border == Border.VALID:
        top, bottom, left, right = margins_px(psf.dy, psf.dx)
        check_valid_size(image.shape, (top, bottom, left, right))
    result = np.empty((batch, channels, height - top - bottom, width - left - right), image.dtype)
    code = BORDER_CODES[border]
    start = psf.start.tolist()
    for b in range(batch):
        a, e = (start[b], start[b + 1]) if len(start) > 2 else start
        dy, dx, weight = psf.dy[a:e], psf.dx[a:e], psf.weight[a:e]
        _apply(image[b], dy, dx, weight, result[b], (top, left), code, method, threads)
    return result


def convolve_adjoint(
    image: NDArray[np.floating],
    psf: PointSpreads,
    *,
    border: Border,
    method: Method = "auto",
    threads: int | None = None,
) -> NDArray[np.floating]:
    """The exact transpose of :func:`convolve`: a correlation, with the taps turned by 180 degrees.

    Where the border copies pixels (reflect, replicate), the correlation is taken into the margin as well, and the
    margin is then added back to the pixels that it was copied from.
    """
    check_image(image)
    border = check_convolve(image.shape, psf, border)
    _check_method(method)
    image = _prepared(image)
    batch, channels, height, width = image.shape
    folds = border in (Border.REFLECT, Border.REPLICATE)
    top, bottom, left, right = margins_px(psf.dy, psf.dx) if folds or border == Border.VALID else (0, 0, 0, 0)
    grown = np.empty((batch, channels, height + top + bottom, width + left + right), image.dtype)
    code = BORDER_CODES[Border.CIRCULAR if border == Border.CIRCULAR else Border.CONSTANT]
    start = psf.start.tolist()
    for b in range(batch):
        a, e = (start[b], start[b + 1]) if len(start) > 2 else start
        # Reversed, the negated offsets are sorted again.
        dy, dx, weight = -psf.dy[a:e][::-1], -psf.dx[a:e][::-1], psf.weight[a:e][::-1].copy()
        _apply(image[b], dy, dx, weight, grown[b], (-top, -left), code, method, threads)
    if not folds:
        return grown
    result = np.empty(image.shape, image.dtype)
    _fold(grown, result, top, left, BORDER_CODES[border])
    return result


@compiled
def _fold(grown, result, top, left, border):  # type: ignore[no-untyped-def]
    """Add every pixel of the margin to the pixel that the border copies there."""
    batch, channels, height, width = result.shape
    for b in range(batch):
        for c in range(channels):
            result[b, c] = grown[b, c, top : top + height, left : left + width]
            for i in range(grown.shape[2]):
                y = _continued(i - top, height, border)
                middle = top <= i < top + height
                for j in range(left):
                    result[b, c, y, _continued(j - left, width, border)] += grown[b, c, i, j]
                for j in range(left + width, grown.shape[3]):
                    result[b, c, y, _continued(j - left, width, border)] += grown[b, c, i, j]
                if not middle:
                    for j in range(width):
                        result[b, c, y, j] += grown[b, c, i, left + j]
