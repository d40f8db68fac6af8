"""The mean of the pictures that a moving camera sees, in registers: one block of a row at a time, all moments of it.

``y(p) = sum_t weight(row of p, t) x(place(p, t))``, bilinear; ``backends.oracle.warp_mean`` is the definition.

How it works. Along a row the displacement ``place(p, t) - p`` changes slowly, so for a block of two vectors of pixels
all sources lie in a few whole displacements: most often 2 x 2 taps, which are contiguous loads with weights that vary
from lane to lane. Where the displacement crosses an integer inside the block, one more row or column of taps is
read, each with the weight ``max(0, 1 - distance)``, which is the bilinear share again; so nothing branches on single
pixels. Only where depth jumps, and a block would need very many taps, pixels are worked on one by one.

The places are computed from the block's first pixel in float64, less the whole displacement; the remainder within the
block is small, so that float32 holds it to 1e-7 px wherever in the picture the block lies.

Each tile first gathers the pixels that it looks at, the border's too, into a patch whose rows do not share sets of the
cache. Each tile writes its own part of the result, so the bytes do not depend on the number of threads.
"""

# numba carries no types.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.borders import BORDER_CODES
from blursynth.backends.checks import (
    check_ahead,
    check_depth_given,
    check_image,
    check_one_each,
    check_plane,
    check_warps,
)
from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.cpu.convolve import _prepared
from blursynth.backends.cpu.convolve_direct import (
    VECTOR_BYTES,
    _continued,
    _load,
    fill_patch,
)
from blursynth.backends.cpu.intrinsics import floor
from blursynth.backends.cpu.warp_mean_block import (
    AFFINE,
    DEPTH,
    NUMBERS,
    PARALLAX,
    PROJECTIVE,
    VECTORS,
    blend_block,
    send_block,
)
from blursynth.backends.threads import share_out, threads_to_use
from blursynth.frame import Border
from blursynth.physics.warps import Warps

__all__ = ["warp_mean", "warp_mean_adjoint"]


_TILE_HEIGHT, _TILE_WIDTH = 96, 384  # with the margins of a 31 px motion 0.6 MB of float32 RGB: the second cache
_LARGEST_PATCH = 1 << 23  # numbers; motions that would need more go pixel by pixel
_MANY_TAPS = 128  # beyond which single pixels are faster than a block
_THREAD_PAYS = 1 << 18  # samples below which handing work to another thread costs more than it saves


@compiled
def _tile_box(y0, y1, x0, x1, line, matrix, shift, first, weight, inverse_depth):
    """Rows and columns that the pixels of a tile may look at, and whether all of them look ahead.

    ``line`` is the number of pixels in a cache line.

    The image of a box in (x, y, q) under a projective map lies in the hull of its corners, as long as s > 0 there.
    """
    low_q, high_q = 0.0, 0.0
    if inverse_depth.size:
        low_q, high_q = np.inf, -np.inf
        for y in range(y0, y1):
            for x in range(x0, min(x1, inverse_depth.shape[1])):
                q = np.float64(inverse_depth[y, x])
                low_q, high_q = min(low_q, q), max(high_q, q)
    top, bottom, left, right = np.inf, -np.inf, np.inf, -np.inf
    # With a global shutter the tile's own corners, with a rolling one the ends of every row at that row's times.
    rolling = first.size > 1
    for k in range(y1 - y0 if rolling else 2):
        y = y0 + k if rolling else (y0 if k == 0 else y1 - 1)
        r = y if rolling else 0
        down = np.float64(y)
        for n in range(weight.shape[1]):
            t = first[r] + n
            for corner in range(4):
                across = np.float64(x0 if corner & 1 else x1 - 1)
                deep = low_q if corner & 2 else high_q
                s = matrix[t, 2, 0] * across + matrix[t, 2, 1] * down + matrix[t, 2, 2] + deep * shift[t, 2]
                if not s > 0:
                    return 0, 0, 0, 0, False
                u = (matrix[t, 0, 0] * across + matrix[t, 0, 1] * down + matrix[t, 0, 2] + deep * shift[t, 0]) / s
                v = (matrix[t, 1, 0] * across + matrix[t, 1, 1] * down + matrix[t, 1, 2] + deep * shift[t, 1]) / s
                left, right, top, bottom = min(left, u), max(right, u), min(top, v), max(bottom, v)
    if not (abs(left) < 1e9 and abs(right) < 1e9 and abs(top) < 1e9 and abs(bottom) < 1e9):
        return 0, 0, 0, 0, False
    # One more on every side than bilinear weights need: blocks bound their displacements from outside.
    first_column, end_column = np.int64(np.floor(left)) - 1, np.int64(np.floor(right)) + 3
    # An odd number of cache lines per row: rows of 1280 px would share four sets of the first cache.
    end_column = first_column + (-(-(end_column - first_column) // line) | 1) * line
    return np.int64(np.floor(top)) - 1, np.int64(np.floor(bottom)) + 3, first_column, end_column, True


@compiled
def _tabulate(
    x0, y, wide, matrix, shift, begin, weight, mode, q0, spread_q, base, pitch, top, bottom, left, right, item,
    address, table, taps,
):  # fmt: skip
    """Fill the tables of a block that starts at (x0, y): 2 x 2 taps from the front, others from the back.

    Returns
    -------
    tuple
        How many there are in front, where those in the back begin, and whether all taps lie in the box of rows
        ``top`` to ``bottom`` and columns ``left`` to ``right``. All pixels of a block have the same taps, so that where
        a motion differs much between them, taps of no weight may lie beyond the box, in memory of something else.
    """
    pairs, back = 0, address.size
    last = np.float64(wide - 1)
    x, down = np.float64(x0), np.float64(y)
    here = base + (y - top) * pitch + (x0 - left) * item
    # Numbers one by one: a view of a matrix would be counted by reference, which costs more than its nine numbers.
    for n in range(weight.size):
        w = weight[n]
        if w == 0:
            continue
        t = begin + n
        m00, m10 = matrix[t, 0, 0], matrix[t, 1, 0]
        um = matrix[t, 0, 1] * down + matrix[t, 0, 2]
        vm = matrix[t, 1, 1] * down + matrix[t, 1, 2]
        u, v = m00 * x + um, m10 * x + vm
        if mode == 0:
            low_x, low_y = u - x, v - down
            slope = (m00 - 1.0) * last
            fall = m10 * last
            i0, j0 = floor(low_x + min(0.0, slope)), floor(low_y + min(0.0, fall))
            i1, j1 = floor(low_x + max(0.0, slope)), floor(low_y + max(0.0, fall))
        elif mode == 3:
            low_x, low_y = u + q0 * shift[t, 0] - x, v + q0 * shift[t, 1] - down
            slope, away = (m00 - 1.0) * last, spread_q * abs(shift[t, 0])
            fall, aside = m10 * last, spread_q * abs(shift[t, 1])
            i0, j0 = floor(low_x + min(0.0, slope) - away), floor(low_y + min(0.0, fall) - aside)
            i1, j1 = floor(low_x + max(0.0, slope) + away), floor(low_y + max(0.0, fall) + aside)
        else:
            m20 = matrix[t, 2, 0]
            sm = matrix[t, 2, 1] * down + matrix[t, 2, 2]
            s = m20 * x + sm
            se = s + m20 * last
            if mode == 1:
                near, far = 1.0 / s, 1.0 / se
                dx0, dy0 = u * near - x, v * near - down
                dx1, dy1 = (u + m00 * last) * far - (x + last), (v + m10 * last) * far - down
                low_x, high_x, low_y, high_y = min(dx0, dx1), max(dx0, dx1), min(dy0, dy1), max(dy0, dy1)
                # Along a row the place u / s has the second derivative -2 s' (u' s - u s') / s^3; the difference in it
                # is the same everywhere on the row.
                kappa = max(abs(m00 * sm - um * m20), abs(m10 * sm - vm * m20))
                sharpest = max(near, far)
            else:
                hu, hv, hs = shift[t, 0], shift[t, 1], shift[t, 2]
                low_x, high_x, low_y, high_y = np.inf, -np.inf, np.inf, -np.inf
                kappa, sharpest = 0.0, 0.0
                for end in range(2):
                    q = q0 + spread_q if end else q0 - spread_q
                    near, far = 1.0 / (s + q * hs), 1.0 / (se + q * hs)
                    uq, vq = u + q * hu, v + q * hv
                    dx0, dy0 = uq * near - x, vq * near - down
                    dx1, dy1 = (uq + m00 * last) * far - (x + last), (vq + m10 * last) * far - down
                    low_x, high_x = min(low_x, min(dx0, dx1)), max(high_x, max(dx0, dx1))
                    low_y, high_y = min(low_y, min(dy0, dy1)), max(high_y, max(dy0, dy1))
                    kappa = max(kappa, abs(m00 * (sm + q * hs) - (um + q * hu) * m20))
                    kappa = max(kappa, abs(m10 * (sm + q * hs) - (vm + q * hv) * m20))
                    sharpest = max(sharpest, max(near, far))
            bend = 0.25 * abs(m20) * kappa * last * last * sharpest * sharpest * sharpest
            i0, j0, i1, j1 = floor(low_x - bend), floor(low_y - bend), floor(high_x + bend), floor(high_y + bend)
        columns, rows = np.int64(i1 - i0) + 2, np.int64(j1 - j0) + 2
        row, column = y + np.int64(j0), x0 + np.int64(i0)
        if row < top or row + rows > bottom or column < left or column + wide - 1 + columns > right:
            return pairs, back, False
        if columns == 2 and rows == 2:
            e = pairs
            pairs += 1
        else:
            back -= 1
            e = back
        taps[2 * e], taps[2 * e + 1] = rows, columns
        address[e] = here + np.int64(j0) * pitch + np.int64(i0) * item
        table[e, 0] = w
        if mode == 0 or mode == 3:
            table[e, 1], table[e, 2] = low_x - i0, m00 - 1.0
            table[e, 4], table[e, 5] = low_y - j0, m10
            if mode == 3:
                table[e, 8], table[e, 10] = shift[t, 0], shift[t, 1]
            continue
        place_x, place_y = x + i0, down + j0
        if mode == 2:
            u, v, s = u + q0 * hu, v + q0 * hv, s + q0 * hs
            table[e, 8], table[e, 9] = hu - place_x * hs, -hs
            table[e, 10], table[e, 11] = hv - place_y * hs, hs
        table[e, 1], table[e, 2], table[e, 3] = u - place_x * s, m00 - s - place_x * m20, -m20
        table[e, 4], table[e, 5] = v - place_y * s, m10 - place_y * m20
        table[e, 6], table[e, 7] = s, m20
    return pairs, back, True


@compiled
def _block_depth(mode, inverse_depth, x, y, used, q_block):
    """Middle and half range of a block's inverse depth; ``q_block`` is filled with the rest."""
    if not inverse_depth.size:
        return 0.0, 0.0
    low, high = np.inf, -np.inf
    for k in range(used):
        q = np.float64(inverse_depth[y, x + k])
        low, high = min(low, q), max(high, q)
    middle = 0.5 * (low + high)
    for k in range(used):
        q_block[k] = np.float64(inverse_depth[y, x + k]) - middle
    q_block[used:] = 0
    return middle, 0.5 * (high - low)


@compiled
def _single_pixels(
    y,
    x_from,
    x_to,
    source,
    plane,
    pitch,
    channels,
    height,
    width,
    border,
    matrix,
    shift,
    begin,
    weight,
    inverse_depth,
    out,
):
    """Part of a row, pixel by pixel, from the picture continued beyond its edge."""
    like = out.reshape(-1)[:1]
    item = out.itemsize
    total = np.empty(channels)
    for x in range(x_from, x_to):
        q = np.float64(inverse_depth[y, x]) if inverse_depth.size else 0.0
        total[:] = 0
        for n in range(weight.size):
            if weight[n] == 0:
                continue
            m, h = matrix[begin + n], shift[begin + n]
            s = m[2, 0] * x + m[2, 1] * y + m[2, 2] + q * h[2]
            u = (m[0, 0] * x + m[0, 1] * y + m[0, 2] + q * h[0]) / s
            v = (m[1, 0] * x + m[1, 1] * y + m[1, 2] + q * h[1]) / s
            i, j = np.int64(np.floor(u)), np.int64(np.floor(v))
            right, down = u - i, v - j
            for corner in range(4):
                iy, ix = _continued(j + corner // 2, height, border), _continued(i + corner % 2, width, border)
                if iy < 0 or ix < 0:
                    continue
                share = weight[n] * (down if corner // 2 else 1 - down) * (right if corner % 2 else 1 - right)
                place = source + iy * pitch + ix * item
                for c in range(channels):
                    total[c] += share * np.float64(_load(place + c * plane, like))
        for c in range(channels):
            out[c, y, x] = total[c]


@compiled
def _tiles(
    first_job, last_job, source, plane, pitch, border, mode, matrix, shift, first, weight, inverse_depth, out, wide
):
    """Some tiles of the result ``[C, H, W]``."""
    channels, height, width = out.shape
    item = out.itemsize
    line = 64 // item
    across = -(-width // _TILE_WIDTH)
    most = weight.shape[1]
    address, taps = np.empty(most, np.int64), np.empty(2 * most, np.int64)
    table = np.zeros((most, NUMBERS), out.dtype)
    flat = table.reshape(-1)
    block = np.empty((channels, wide), out.dtype)
    q_block = np.zeros(wide, out.dtype)
    for job in range(first_job, last_job):
        y0, x0 = job // across * _TILE_HEIGHT, job % across * _TILE_WIDTH
        y1, x1 = min(y0 + _TILE_HEIGHT, height), min(x0 + _TILE_WIDTH, width)
        own = x0  # columns before it are another tile's to write
        if x1 - x0 < wide:
            x0 = max(0, x1 - wide)
        reach = max(x1, x0 + wide)  # a narrow picture's block extends beyond it
        top, bottom, left, right, ahead = _tile_box(
            y0, y1, x0, reach, line, matrix, shift, first, weight, inverse_depth
        )
        inside = ahead and top >= 0 and left >= 0 and bottom <= height and right <= width
        rows, columns = bottom - top, right - left
        large = rows * columns * channels > _LARGEST_PATCH
        if not ahead or (large and not inside):
            for y in range(y0, y1):
                r = y if first.size > 1 else 0
                _single_pixels(
                    y, own, x1, source, plane, pitch, channels, height, width, border,
                    matrix, shift, first[r], weight[r], inverse_depth, out,
                )  # fmt: skip
            continue
        patch = np.empty(0 if large else channels * rows * columns, out.dtype)
        if large:
            base_plane, base_pitch = plane, pitch
            top, bottom, left, right = 0, height, 0, width
        else:
            for c in range(channels):
                fill_patch(
                    source + c * plane, pitch, height, width, border, top, left, rows, columns,
                    patch, c * rows * columns, columns,
                )  # fmt: skip
            base_plane, base_pitch = rows * columns * item, columns * item
        x = x0
        while x < x1:
            base = source if large else patch.ctypes.data  # read here, so that the array lives as long as the loop
            if x1 - x < wide:
                x = max(x0, x1 - wide)
            used = min(wide, x1 - x)
            for y in range(y0, y1):
                r = y if first.size > 1 else 0
                q0, spread_q = _block_depth(mode, inverse_depth, x, y, used, q_block)
                pairs, back, fits = _tabulate(
                    x, y, wide, matrix, shift, first[r], weight[r], mode, q0, spread_q,
                    base, base_pitch, top, bottom, left, right, item, address, table, taps,
                )  # fmt: skip
                work = 0
                for e in range(back, most):
                    work += taps[2 * e] * taps[2 * e + 1]
                if not fits or work > _MANY_TAPS * most:
                    _single_pixels(
                        y, max(x, own), x + used, source, plane, pitch, channels, height, width, border,
                        matrix, shift, first[r], weight[r], inverse_depth, out,
                    )  # fmt: skip
                    continue
                block[:] = 0
                blend_block(
                    mode, channels, pairs, back, most, address, flat, taps, q_block, base_plane, base_pitch, block
                )
                for c in range(channels):
                    for k in range(max(0, own - x), used):
                        out[c, y, x + k] = block[c, k]
            x += wide


@compiled
def _boxes(height, width, wide, line, matrix, shift, first, weight, inverse_depth):
    """Boxes ``[tiles, 4]`` (top, bottom, left, right) that every tile looks at, and whether all look ahead."""
    across, down = -(-width // _TILE_WIDTH), -(-height // _TILE_HEIGHT)
    boxes = np.empty((across * down, 4), np.int64)
    for job in range(across * down):
        y0, x0 = job // across * _TILE_HEIGHT, job % across * _TILE_WIDTH
        y1, x1 = min(y0 + _TILE_HEIGHT, height), min(x0 + _TILE_WIDTH, width)
        reach = x0 + -(-(x1 - x0) // wide) * wide
        top, bottom, left, right, ahead = _tile_box(
            y0, y1, x0, reach, line, matrix, shift, first, weight, inverse_depth
        )
        boxes[job] = (top, bottom, left, right)
        if not ahead:
            return False, boxes
    return True, boxes


@compiled
def _send_pixels(y, x_from, x_to, light, target, border, top, left, matrix, shift, begin, weight, inverse_depth):
    """The transpose of :func:`_single_pixels`; ``target`` begins at (top, left) and continues as ``border`` says."""
    channels, height, width = target.shape
    for x in range(x_from, x_to):
        q = np.float64(inverse_depth[y, x]) if inverse_depth.size else 0.0
        for n in range(weight.size):
            if weight[n] == 0:
                continue
            m, h = matrix[begin + n], shift[begin + n]
            s = m[2, 0] * x + m[2, 1] * y + m[2, 2] + q * h[2]
            u = (m[0, 0] * x + m[0, 1] * y + m[0, 2] + q * h[0]) / s
            v = (m[1, 0] * x + m[1, 1] * y + m[1, 2] + q * h[1]) / s
            i, j = np.int64(np.floor(u)), np.int64(np.floor(v))
            right, down = u - i, v - j
            for corner in range(4):
                iy = _continued(j + corner // 2 - top, height, border)
                ix = _continued(i + corner % 2 - left, width, border)
                if iy < 0 or ix < 0:
                    continue
                share = weight[n] * (down if corner // 2 else 1 - down) * (right if corner % 2 else 1 - right)
                for c in range(channels):
                    target[c, iy, ix] += share * np.float64(light[c, y, x])


@compiled
def _send_tiles(
    first_job, last_job, light, mode, matrix, shift, first, weight, inverse_depth, boxes, start, patches, wide
):
    """Send the light of some tiles into their own patches, which lie one after another."""
    channels, height, width = light.shape
    item = patches.itemsize
    across = -(-width // _TILE_WIDTH)
    most = weight.shape[1]
    address, taps = np.empty(most, np.int64), np.empty(2 * most, np.int64)
    table = np.zeros((most, NUMBERS), patches.dtype)
    flat = table.reshape(-1)
    block = np.empty((channels, wide), patches.dtype)
    q_block = np.zeros(wide, patches.dtype)
    for job in range(first_job, last_job):
        y0, x0 = job // across * _TILE_HEIGHT, job % across * _TILE_WIDTH
        y1, x1 = min(y0 + _TILE_HEIGHT, height), min(x0 + _TILE_WIDTH, width)
        top, bottom, left, right = boxes[job]
        rows, columns = bottom - top, right - left
        own = patches[start[job] : start[job + 1]]
        own[:] = 0
        patch = own.reshape((channels, rows, columns))
        for x in range(x0, x1, wide):
            used = min(wide, x1 - x)
            for y in range(y0, y1):
                r = y if first.size > 1 else 0
                q0, spread_q = _block_depth(mode, inverse_depth, x, y, used, q_block)
                pairs, back, fits = _tabulate(
                    x, y, wide, matrix, shift, first[r], weight[r], mode, q0, spread_q,
                    own.ctypes.data, columns * item, top, bottom, left, right, item, address, table, taps,
                )  # fmt: skip
                work = 0
                for e in range(back, most):
                    work += taps[2 * e] * taps[2 * e + 1]
                if not fits or work > _MANY_TAPS * most:
                    _send_pixels(
                        y, x, x + used, light, patch, 3, top, left,
                        matrix, shift, first[r], weight[r], inverse_depth,
                    )  # fmt: skip
                    continue
                for c in range(channels):
                    for k in range(used):
                        block[c, k] = light[c, y, x + k]
                    block[c, used:] = 0
                send_block(
                    mode, channels, pairs, back, most, address, flat, taps, q_block,
                    rows * columns * item, columns * item, block,
                )  # fmt: skip


@compiled
def _send_all(light, result, border, matrix, shift, first, weight, inverse_depth):
    """All of a picture, pixel by pixel: for motions that are too large for patches."""
    result[:] = 0
    for y in range(light.shape[1]):
        r = y if first.size > 1 else 0
        _send_pixels(
            y, 0, light.shape[2], light, result, border, 0, 0, matrix, shift, first[r], weight[r], inverse_depth
        )


@compiled
def _gather_bands(first_band, last_band, boxes, start, patches, border, result, band):
    """Add all patches, in order, to some bands of rows of the result, each pixel where the border copied it from."""
    channels, height, width = result.shape
    y_from, y_to = first_band * band, min(last_band * band, height)
    result[:, y_from:y_to] = 0
    for job in range(len(boxes)):
        top, bottom, left, right = boxes[job]
        rows, columns = bottom - top, right - left
        patch = patches[start[job] : start[job + 1]].reshape((channels, rows, columns))
        inside_from = min(max(0, -left), columns)
        inside_to = max(inside_from, min(columns, width - left))
        for i in range(rows):
            y = _continued(top + i, height, border)
            if y < y_from or y >= y_to:
                continue
            for c in range(channels):
                for j in range(inside_from, inside_to):
                    result[c, y, left + j] += patch[c, i, j]
                for j in range(inside_from):
                    x = _continued(left + j, width, border)
                    if x >= 0:
                        result[c, y, x] += patch[c, i, j]
                for j in range(inside_to, columns):
                    x = _continued(left + j, width, border)
                    if x >= 0:
                        result[c, y, x] += patch[c, i, j]


def _mode(warps: Warps, b: int, inverse_depth: Any) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    """The simplest form that these warps have, and matrix and shift in it."""
    matrix, shift = warps.matrix[b], warps.shift[b]
    deep = inverse_depth is not None and shift.any()
    if matrix[:, 2, :2].any() or shift[:, 2].any() or not (matrix[:, 2, 2] > 0).all():
        return DEPTH if deep else PROJECTIVE, matrix, shift
    scale = matrix[:, 2, 2]
    matrix, shift = matrix / scale[:, None, None], shift / scale[:, None]
    return PARALLAX if deep else AFFINE, np.ascontiguousarray(matrix), np.ascontiguousarray(shift)


def _checked(image: NDArray[np.floating], warps: Warps, inverse_depth: Any, border: Border | str) -> Border:
    check_image(image)
    border = check_warps(image.shape, warps, border)
    check_depth_given(warps.shift, inverse_depth)
    if inverse_depth is not None:
        check_plane("inverse_depth", inverse_depth, image.shape)
    return border


def _check_ahead(warps: Warps, b: int, height: int, width: int, inverse_depth: Any) -> None:
    """Refuse pixels that look along or behind the plane of the camera."""
    m, h = warps.matrix[b], warps.shift[b]
    least = m[:, 2, 2] + np.minimum(m[:, 2, 0] * (width - 1.0), 0.0) + np.minimum(m[:, 2, 1] * (height - 1.0), 0.0)
    if inverse_depth is not None:
        least = least + np.minimum(h[:, 2] * float(inverse_depth.min()), h[:, 2] * float(inverse_depth.max()))
    if (least > 0).all():
        return
    # The corners are only a bound: which rows see which time, and at which depth, depends on the pixels.
    first, weight = warps.first[b], warps.weight[b]
    rows = np.arange(height)
    for time in range(len(m)):
        n = np.broadcast_to(time - first, (height,))
        share = np.broadcast_to(weight, (height, weight.shape[1]))
        seen = rows[(n >= 0) & (n < weight.shape[1])]
        seen = seen[share[seen, n[seen]] != 0]
        if seen.size:
            across = m[time, 2, 0] * np.arange(width) + m[time, 2, 1] * seen[:, None] + m[time, 2, 2]
            check_ahead(across + (0.0 if inverse_depth is None else h[time, 2] * inverse_depth[seen]))


_NO_DEPTH = np.zeros((0, 0))


def _prepared_depth(inverse_depth: Any, b: int, mode: int) -> NDArray[np.floating]:
    if mode not in (DEPTH, PARALLAX):
        return _NO_DEPTH
    # One type, so that no combination of types is compiled on its own.
    return np.ascontiguousarray(inverse_depth[b], np.float64)


def _threads_for(image: NDArray[np.floating], warps: Warps, threads: int | None) -> int:
    samples = image[0].size * warps.weight.shape[2]
    return threads_to_use(threads) if samples > _THREAD_PAYS else 1


def warp_mean(
    image: NDArray[np.floating],
    warps: Warps | Sequence[Warps],
    inverse_depth: NDArray[np.floating] | None = None,
    *,
    border: Border,
    threads: int | None = None,
) -> NDArray[np.floating]:
    """The weighted mean of the pictures that a moving camera sees.

    The cost is proportional to the number of times: 0.2 ns per pixel, channel and time on a core with 64-byte vectors.

    Examples
    --------
    >>> row = np.arange(6.0).reshape(1, 1, 1, 6)
    >>> left = np.eye(3) + [[0, 0, 2], [0, 0, 0], [0, 0, 0]]  # looks two pixels to the right
    >>> one = Warps(left[None, None], np.zeros((1, 1, 3)), np.zeros((1, 1), np.int64), np.ones((1, 1, 1)))
    >>> warp_mean(row, one, border=Border.REPLICATE)[0, 0, 0].tolist()
    [2.0, 3.0, 4.0, 5.0, 5.0, 5.0]
    """
    if not isinstance(warps, Warps):
        check_one_each("warps", len(warps), len(image))
        depths = [None if inverse_depth is None else inverse_depth[b : b + 1] for b in range(len(image))]
        each = zip(warps, depths, strict=True)
        return np.concatenate(
            [warp_mean(image[b : b + 1], *one, border=border, threads=threads) for b, one in enumerate(each)]
        )
    border = _checked(image, warps, inverse_depth, border)
    image = _prepared(image)
    batch, _, height, width = image.shape
    result = np.empty(image.shape, image.dtype)
    wide = VECTORS * VECTOR_BYTES // image.itemsize
    jobs = -(-height // _TILE_HEIGHT) * -(-width // _TILE_WIDTH)
    for b in range(batch):
        n = b % len(warps)
        _check_ahead(warps, n, height, width, None if inverse_depth is None else inverse_depth[b])
        mode, matrix, shift = _mode(warps, n, inverse_depth)
        source = image[b]
        share_out(
            _tiles,
            jobs,
            _threads_for(image, warps, threads),
            *(source.__array_interface__["data"][0], source.strides[0], source.strides[1]),
            *(BORDER_CODES[border], mode, matrix, shift, warps.first[n], warps.weight[n]),
            *(_prepared_depth(inverse_depth, b, mode), result[b], wide),
        )
    return result


def warp_mean_adjoint(
    image: NDArray[np.floating],
    warps: Warps,
    inverse_depth: NDArray[np.floating] | None = None,
    *,
    border: Border,
    threads: int | None = None,
) -> NDArray[np.floating]:
    """The exact transpose of :func:`warp_mean`.

    Every tile sends its light into a patch of its own; the patches are added in a fixed order.
    """
    border = _checked(image, warps, inverse_depth, border)
    image = np.ascontiguousarray(image, image.dtype.newbyteorder("="))
    batch, channels, height, width = image.shape
    result = np.empty(image.shape, image.dtype)
    wide = VECTORS * VECTOR_BYTES // image.itemsize
    band = 16
    threads = _threads_for(image, warps, threads)
    for b in range(batch):
        n = b % len(warps)
        _check_ahead(warps, n, height, width, None if inverse_depth is None else inverse_depth[b])
        mode, matrix, shift = _mode(warps, n, inverse_depth)
        motion = (matrix, shift, warps.first[n], warps.weight[n], _prepared_depth(inverse_depth, b, mode))
        ahead, boxes = _boxes(height, width, wide, 64 // image.itemsize, *motion)
        sizes = channels * (boxes[:, 1] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 2])
        if not ahead or sizes.max() > _LARGEST_PATCH:
            _send_all(image[b], result[b], BORDER_CODES[border], *motion)
            continue
        start = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        patches = np.empty(start[-1], image.dtype)
        share_out(_send_tiles, len(boxes), threads, image[b], mode, *motion, boxes, start, patches, wide)
        share_out(
            _gather_bands, -(-height // band), threads, boxes, start, patches, BORDER_CODES[border], result[b], band
        )
    return result
