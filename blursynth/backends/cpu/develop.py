"""The development of raw numbers, in numba: from DN to linear light in one pass over tiles of the picture.

``backends.oracle.develop`` is the definition. How it works: a tile first takes the pixels that it looks at,
levelled, balanced and clipped, into a patch whose rows lie a fixed distance apart (so the compiler sees that what is
read and what is written do not overlap, and processes several pixels at a time). Then all four kernels of a pixel are
formed of five shared sums, and the two that its site does not need are dropped: that is cheaper than to separate the
sites. Color matrix and gain follow in registers.

Each tile writes its own part of the result, and sums are rounded in a fixed order, so the bytes depend neither on the
number of threads nor on the width of vectors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.borders import BORDER_CODES
from blursynth.backends.checks import check_development, check_image, check_origin
from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.cpu.convolve_direct import _continued
from blursynth.backends.cpu.intrinsics import fma
from blursynth.backends.threads import share_out, threads_to_use
from blursynth.frame import Border
from blursynth.physics.batches import of_shape
from blursynth.physics.development import DevelopParameters
from blursynth.physics.mosaic import DEMOSAIC_REACH_PX, DEMOSAICS, EDGE_FLOOR, GREEN, pattern_colors

__all__ = ["develop"]


_REACH = DEMOSAIC_REACH_PX["malvar"]
_EDGE_REACH = DEMOSAIC_REACH_PX["edge_aware"]
_TILE_HEIGHT, _TILE_WIDTH = 32, 512
_STRIDE = _TILE_WIDTH + 24  # of the patch: with its rows in one set of the cache each they would push each other out
_ROW1, _ROW2, _ROW3 = _STRIDE, 2 * _STRIDE, 3 * _STRIDE
_ROW4, _ROW5, _ROW6 = 4 * _STRIDE, 5 * _STRIDE, 6 * _STRIDE
_DELTA = (_TILE_HEIGHT + 2 * _EDGE_REACH) * _STRIDE  # where the color differences begin, behind the patch
_THREAD_PAYS = 1 << 19  # pixels below which handing work to another thread costs more than it saves

_REFLECT = BORDER_CODES[Border.REFLECT]
_EDGE_AWARE = DEMOSAICS.index("edge_aware")
_MALVAR = DEMOSAICS.index("malvar")


# Indices are sums of a loop's counter and constants >= 0: for others the compiler must allow for numba's negative
# indices, and gives up on working on several pixels at a time.


@compiled
def _level_row(image, black, even, odd, clip, size, out):  # type: ignore[no-untyped-def]
    for i in range(size):
        light = (image[i] - black) * (even if i & 1 == 0 else odd)
        out[i] = clip if light > clip else light  # NaN passes


@compiled
def _fill(image, start, size, corner, tile, reach, black, scale, colors, clip, patch):  # type: ignore[no-untyped-def]
    """The tile's pixels and ``reach`` more on each side; ``colors`` are those of the picture's first 2 x 2 pixels.

    The picture is reflected: what is read beyond its border lies an even number of pixels away and has the same color.
    """
    height, width = size
    rows, columns = tile
    first = max(corner[1] - reach, 0)
    last = min(corner[1] + columns + reach, width)
    for r in range(rows + 2 * reach):
        row = _continued(corner[0] - reach + r, height, _REFLECT)
        even = scale[colors[row & 1, first & 1]]
        odd = scale[colors[row & 1, 1 - (first & 1)]]
        p = r * _STRIDE + reach - corner[1]  # of column 0
        _level_row(image[start + row * width + first :], black, even, odd, clip, last - first, patch[p + first :])
        for column in range(corner[1] - reach, first):
            patch[p + column] = patch[p + _continued(column, width, _REFLECT)]
        for column in range(last, corner[1] + columns + reach):
            patch[p + column] = patch[p + _continued(column, width, _REFLECT)]


@compiled
def _malvar_row(patch, size, green_at, matrix, red, green, blue):  # type: ignore[no-untyped-def]
    """One row of linear light.

    ``patch`` begins two rows above and two columns before its first pixel; ``matrix`` takes the row's own color (red
    or blue), green, and the third color.
    """
    number = patch.dtype.type
    two, four, five, six = number(2), number(4), number(5), number(6)
    half, three_halves, eighth = number(0.5), number(1.5), number(1 / 8)
    m0, m1, m2 = matrix[0, 0], matrix[0, 1], matrix[0, 2]
    m3, m4, m5 = matrix[1, 0], matrix[1, 1], matrix[1, 2]
    m6, m7, m8 = matrix[2, 0], matrix[2, 1], matrix[2, 2]
    for i in range(size):
        here = patch[i + _ROW2 + 2]
        beside = patch[i + _ROW2 + 1] + patch[i + _ROW2 + 3]
        beside2 = patch[i + _ROW2] + patch[i + _ROW2 + 4]
        above = patch[i + _ROW1 + 2] + patch[i + _ROW3 + 2]
        above2 = patch[i + 2] + patch[i + _ROW4 + 2]
        corners = (patch[i + _ROW1 + 1] + patch[i + _ROW1 + 3]) + (patch[i + _ROW3 + 1] + patch[i + _ROW3 + 3])
        far = beside2 + above2
        cross = eighth * (fma(four, here, two * (beside + above)) - far)
        around = fma(five, here, -corners)
        same_row = eighth * (fma(four, beside, around) + fma(half, above2, -beside2))
        other_row = eighth * (fma(four, above, around) + fma(half, beside2, -above2))
        opposite = eighth * fma(six, here, fma(-three_halves, far, two * corners))
        seen = (i & 1) == green_at
        x = same_row if seen else here
        y = here if seen else cross
        z = other_row if seen else opposite
        red[i] = fma(m0, x, fma(m1, y, m2 * z))
        green[i] = fma(m3, x, fma(m4, y, m5 * z))
        blue[i] = fma(m6, x, fma(m7, y, m8 * z))


@compiled
def _bilinear_row(patch, size, green_at, matrix, red, green, blue):  # type: ignore[no-untyped-def]
    """As :func:`_malvar_row`, from the nearest neighbors alone."""
    number = patch.dtype.type
    half, quarter = number(0.5), number(0.25)
    m0, m1, m2 = matrix[0, 0], matrix[0, 1], matrix[0, 2]
    m3, m4, m5 = matrix[1, 0], matrix[1, 1], matrix[1, 2]
    m6, m7, m8 = matrix[2, 0], matrix[2, 1], matrix[2, 2]
    for i in range(size):
        here = patch[i + _ROW2 + 2]
        beside = patch[i + _ROW2 + 1] + patch[i + _ROW2 + 3]
        above = patch[i + _ROW1 + 2] + patch[i + _ROW3 + 2]
        corners = (patch[i + _ROW1 + 1] + patch[i + _ROW1 + 3]) + (patch[i + _ROW3 + 1] + patch[i + _ROW3 + 3])
        seen = (i & 1) == green_at
        x = half * beside if seen else here
        y = here if seen else quarter * (beside + above)
        z = half * above if seen else quarter * corners
        red[i] = fma(m0, x, fma(m1, y, m2 * z))
        green[i] = fma(m3, x, fma(m4, y, m5 * z))
        blue[i] = fma(m6, x, fma(m7, y, m8 * z))


# -- edge-aware: the color difference along the rows or along the columns, whichever changes less ------------------


@compiled
def _difference_row(patch, size, green_at, along_row, along_column):  # type: ignore[no-untyped-def]
    """Red (blue) less green at each pixel, with the color that it does not see from its row, and from its column.

    ``patch`` begins two rows above and two columns before the first pixel.
    """
    number = patch.dtype.type
    one, two, half, quarter = number(1), number(2), number(0.5), number(0.25)
    for i in range(size):
        here = patch[i + _ROW2 + 2]
        beside = patch[i + _ROW2 + 1] + patch[i + _ROW2 + 3]
        beside2 = patch[i + _ROW2] + patch[i + _ROW2 + 4]
        above = patch[i + _ROW1 + 2] + patch[i + _ROW3 + 2]
        above2 = patch[i + 2] + patch[i + _ROW4 + 2]
        sign = -one if (i & 1) == green_at else one
        along_row[i] = sign * (here - fma(half, beside, quarter * (two * here - beside2)))
        along_column[i] = sign * (here - fma(half, above, quarter * (two * here - above2)))


@compiled
def _change_row(along_row, along_column, size, row_sums, column_sums):  # type: ignore[no-untyped-def]
    """How much the differences change along their directions, summed over five rows.

    ``along_row`` begins two rows above and one column before the first pixel, ``along_column`` three rows above.
    """
    for i in range(size):
        row_sums[i] = (
            (abs(along_row[i + 2] - along_row[i]) + abs(along_row[i + _ROW1 + 2] - along_row[i + _ROW1]))
            + (
                abs(along_row[i + _ROW3 + 2] - along_row[i + _ROW3])
                + abs(along_row[i + _ROW4 + 2] - along_row[i + _ROW4])
            )
            + abs(along_row[i + _ROW2 + 2] - along_row[i + _ROW2])
        )
    for i in range(size):
        column_sums[i] = (
            (abs(along_column[i + _ROW2] - along_column[i]) + abs(along_column[i + _ROW3] - along_column[i + _ROW1]))
            + (
                abs(along_column[i + _ROW5] - along_column[i + _ROW3])
                + abs(along_column[i + _ROW6] - along_column[i + _ROW4])
            )
            + abs(along_column[i + _ROW4] - along_column[i + _ROW2])
        )


@compiled
def _weigh_row(row_sums, column_sums, along_row, along_column, size, out):  # type: ignore[no-untyped-def]
    """The mean of both differences, weighted by the inverse squares of their changes in windows of 5 x 5."""
    number = along_row.dtype.type
    tiny, two = number(EDGE_FLOOR), number(2)
    for i in range(size):
        h = ((row_sums[i] + row_sums[i + 4]) + (row_sums[i + 1] + row_sums[i + 3])) + row_sums[i + 2]
        v = ((column_sums[i] + column_sums[i + 4]) + (column_sums[i + 1] + column_sums[i + 3])) + column_sums[i + 2]
        h, v = h * h, v * v
        out[i] = fma((v + tiny) / ((h + v) + two * tiny), along_row[i] - along_column[i], along_column[i])


@compiled
def _fill_differences(patch, rows, columns, corner, colors, along_row, along_column, row_sums, column_sums):  # type: ignore[no-untyped-def]
    """Behind the patch: red less green and blue less green where the pixels see red or blue, and one pixel around."""
    high, wide = rows + 2 * _EDGE_REACH, columns + 2 * _EDGE_REACH
    for r in range(2, high - 2):
        at = r * _STRIDE + 2
        # _EDGE_REACH is even, so the patch begins on the same colors as the tile.
        green_at = 0 if colors[(corner[0] + r) & 1, corner[1] & 1] == GREEN else 1
        _difference_row(patch[at - _ROW2 - 2 :], wide - 4, green_at, along_row[at:], along_column[at:])
    for r in range(5, high - 5):
        at = r * _STRIDE
        _change_row(along_row[at - _ROW2 + 2 :], along_column[at - _ROW3 + 3 :], wide - 6, row_sums, column_sums)
        _weigh_row(
            row_sums, column_sums, along_row[at + 5 :], along_column[at + 5 :], wide - 10, patch[_DELTA + at + 5 :]
        )


@compiled
def _edge_aware_row(patch, size, green_at, matrix, red, green, blue):  # type: ignore[no-untyped-def]
    """As :func:`_malvar_row`; ``patch`` begins one row above and one column before its first pixel."""
    number = patch.dtype.type
    half, quarter = number(0.5), number(0.25)
    m0, m1, m2 = matrix[0, 0], matrix[0, 1], matrix[0, 2]
    m3, m4, m5 = matrix[1, 0], matrix[1, 1], matrix[1, 2]
    m6, m7, m8 = matrix[2, 0], matrix[2, 1], matrix[2, 2]
    for i in range(size):
        here = patch[i + _ROW1 + 1]
        beside = patch[i + _DELTA + _ROW1] + patch[i + _DELTA + _ROW1 + 2]
        above = patch[i + _DELTA + 1] + patch[i + _DELTA + _ROW2 + 1]
        corners = (patch[i + _DELTA] + patch[i + _DELTA + 2]) + (
            patch[i + _DELTA + _ROW2] + patch[i + _DELTA + _ROW2 + 2]
        )
        seen = (i & 1) == green_at
        y = here if seen else here - patch[i + _DELTA + _ROW1 + 1]
        x = fma(half, beside, here) if seen else here
        z = fma(half if seen else quarter, above if seen else corners, y)
        red[i] = fma(m0, x, fma(m1, y, m2 * z))
        green[i] = fma(m3, x, fma(m4, y, m5 * z))
        blue[i] = fma(m6, x, fma(m7, y, m8 * z))


@compiled
def _matrix_row(patch, size, matrix, red, green, blue):  # type: ignore[no-untyped-def]
    """Three rows of the patch, one per channel, through the color matrix."""
    m0, m1, m2 = matrix[0, 0], matrix[0, 1], matrix[0, 2]
    m3, m4, m5 = matrix[1, 0], matrix[1, 1], matrix[1, 2]
    m6, m7, m8 = matrix[2, 0], matrix[2, 1], matrix[2, 2]
    for i in range(size):
        x, y, z = patch[i], patch[i + _ROW1], patch[i + _ROW2]
        red[i] = fma(m0, x, fma(m1, y, m2 * z))
        green[i] = fma(m3, x, fma(m4, y, m5 * z))
        blue[i] = fma(m6, x, fma(m7, y, m8 * z))


@compiled
def _mosaic_tiles(begin, end, image, shape, black, scale, clip, matrix, colors, method, out):  # type: ignore[no-untyped-def]
    _batch, height, width = shape
    down, across = (height + _TILE_HEIGHT - 1) // _TILE_HEIGHT, (width + _TILE_WIDTH - 1) // _TILE_WIDTH
    patch = np.empty(2 * _DELTA, image.dtype)  # pixels, and room for what the edge-aware way puts behind them
    between = np.empty((2, _DELTA), image.dtype)
    sums = np.empty((2, _STRIDE), image.dtype)
    ordered = np.empty((3, 3), image.dtype)
    plane = height * width
    for job in range(begin, end):
        b, rest = job // (down * across), job % (down * across)
        reach = _EDGE_REACH if method[b] == _EDGE_AWARE else _REACH
        top, left = rest // across * _TILE_HEIGHT, rest % across * _TILE_WIDTH
        rows, columns = min(_TILE_HEIGHT, height - top), min(_TILE_WIDTH, width - left)
        _fill(
            image, b * plane, (height, width), (top, left), (rows, columns), reach,
            black[b], scale[b], colors[b], clip[b], patch,
        )  # fmt: skip
        if method[b] == _EDGE_AWARE:
            _fill_differences(patch, rows, columns, (top, left), colors[b], between[0], between[1], sums[0], sums[1])
        for r in range(rows):
            row = top + r
            green_at = 0 if colors[b, row & 1, left & 1] == GREEN else 1
            own = colors[b, row & 1, (left + 1 - green_at) & 1]
            for i in range(3):
                ordered[i, 0] = matrix[b, i, own]
                ordered[i, 1] = matrix[b, i, GREEN]
                ordered[i, 2] = matrix[b, i, 2 - own]
            o = 3 * b * plane + row * width + left
            red, green, blue = out[o:], out[o + plane :], out[o + 2 * plane :]
            if method[b] == _MALVAR:
                _malvar_row(patch[r * _STRIDE :], columns, green_at, ordered, red, green, blue)
            elif method[b] == _EDGE_AWARE:
                first = (r + _EDGE_REACH - 1) * _STRIDE + _EDGE_REACH - 1
                _edge_aware_row(patch[first:], columns, green_at, ordered, red, green, blue)
            else:
                _bilinear_row(patch[r * _STRIDE :], columns, green_at, ordered, red, green, blue)


@compiled
def _color_rows(begin, end, image, shape, black, scale, clip, matrix, out):  # type: ignore[no-untyped-def]
    """Rows of pictures of three channels, through levels, balance, clip and matrix."""
    _batch, height, width = shape
    patch = np.empty(3 * _STRIDE, image.dtype)
    plane = height * width
    for job in range(begin, end):
        b, row = job // height, job % height
        for left in range(0, width, _TILE_WIDTH):
            columns = min(_TILE_WIDTH, width - left)
            start = 3 * b * plane + row * width + left
            for c in range(3):
                s = scale[b, c]
                _level_row(image[start + c * plane :], black[b], s, s, clip[b], columns, patch[c * _STRIDE :])
            _matrix_row(patch, columns, matrix[b], out[start:], out[start + plane :], out[start + 2 * plane :])


@compiled
def _gray_row(image, black, scale, clip, gain, size, out):  # type: ignore[no-untyped-def]
    for i in range(size):
        light = (image[i] - black) * scale
        out[i] = (clip if light > clip else light) * gain


@compiled
def _gray_planes(begin, end, image, shape, black, scale, clip, gain, out):  # type: ignore[no-untyped-def]
    """Pictures of any number of channels, through levels, clip and gain."""
    _batch, channels, size = shape
    for b in range(begin, end):
        first = b * channels * size
        _gray_row(image[first:], black[b], scale[b], clip[b], gain[b], channels * size, out[first:])


def develop(
    image: NDArray[np.floating],
    parameters: DevelopParameters,
    *,
    origin_px: NDArray[np.int64],
    threads: int | None = None,
) -> NDArray[np.floating]:
    """``gain M demosaic(min(balance (DN - black) / (white - black), clip))``."""
    check_image(image)
    check_development(image.shape, parameters)
    image = np.ascontiguousarray(image, image.dtype.newbyteorder("="))
    batch, channels, height, width = image.shape
    origin = check_origin(origin_px, batch)
    number = image.dtype

    def each(values: NDArray[np.floating]) -> NDArray[np.floating]:
        # Copies, never read-only: one type for the compiler.
        return np.array(of_shape(values, (batch, *values.shape[1:]), number))

    black, clip = each(parameters.black_dn), each(parameters.clip)
    gain = parameters.gain
    span = parameters.white_dn - parameters.black_dn
    scale, matrix = parameters.white_balance / span[:, None], parameters.color_matrix * gain[:, None, None]
    jobs_threads = threads_to_use(threads) if batch * height * width > _THREAD_PAYS else 1
    flat = image.reshape(-1)
    if not parameters.has_mosaic:
        out = np.empty_like(image)
        size = (batch, channels, height * width)
        if not parameters.has_colors:
            share_out(
                _gray_planes, batch, jobs_threads, flat, size, black, each(1 / span), clip, each(gain), out.reshape(-1)
            )
        else:
            size = (batch, height, width)
            share_out(
                _color_rows, batch * height, jobs_threads,
                flat, size, black, each(scale), clip, each(matrix), out.reshape(-1),
            )  # fmt: skip
        return out
    out = np.empty((batch, 3, height, width), number)
    mosaic, method = (of_shape(v, (batch,), np.int64) for v in (parameters.mosaic, parameters.demosaic))
    colors = np.stack([_colors_at(int(mosaic[b]), origin[b]) for b in range(batch)])
    jobs = batch * -(-height // _TILE_HEIGHT) * -(-width // _TILE_WIDTH)
    share_out(
        _mosaic_tiles, jobs, jobs_threads,
        flat, (batch, height, width), black, each(scale), clip, each(matrix), colors, np.array(method),
        out.reshape(-1),
    )  # fmt: skip
    return out


def _colors_at(code: int, origin: NDArray[np.int64]) -> NDArray[np.int64]:
    """``[2, 2]`` the channels that the first pixels of a window see."""
    row, column = int(origin[0]) % 2, int(origin[1]) % 2
    return pattern_colors(code)[[[row], [1 - row]], [[column, 1 - column]]]
