"""Compositing with occlusion on the CPU: patches of light scattered slice by slice, from near to far.

``backends.oracle.composite`` is the definition. How it works: the result is cut into tiles. For each, the patches
that can reach it (those of the picture, of its continuation, and the hidden ones) are gathered as runs, pieces of a row
with one slice and one point spread, and sorted by slice. Per slice every run is added into an accumulator, colors and
coverage side by side, so that one vector holds a whole pixel. A point spread is coded row by row once per call: a
small one by its taps, a large one by the differences between neighboring taps, of which a disk has only O(radius);
the latter go into a second accumulator, whose rows are summed up when the slice is complete. Then as much of the slice
is taken as there is room, and a tile is done when no room is left.

All sums are float64, whatever the type of the picture: running sums of differences cancel, and four float64 fit into
the vectors of current processors. Taps at one place (in focus) are never coded by differences, so such pixels keep
their very bits. Tiles do not depend on the number of threads, so neither do the bytes of the result.
"""

# numba carries no types.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.borders import BORDER_CODES
from blursynth.backends.checks import check_image, check_one_each, check_scene, window_within
from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.cpu.composite_rows import VECTOR, add_row, add_scaled, borrowed, piece
from blursynth.backends.cpu.convolve_direct import _continued
from blursynth.backends.threads import share_out, threads_to_use
from blursynth.frame import Border, Window
from blursynth.physics.coverage import COMPLETE, GOES_ON, MOST_SCALED, NEARLY_WHOLE, NOTHING_SEEN
from blursynth.physics.scene import Scene

__all__ = ["composite", "composite_adjoint"]

_compiled = compiled(fastmath={"contract"})

_TILE_HEIGHT, _TILE_WIDTH = 32, 256
_MOST_SLICES = 4096  # numbers of slices wider apart are replaced by their ranks
_CELL = 8  # px
_STILL, _SURFACE, _EDGES = 0, 1, 2  # what a cell may have in its reach
_SAME = 1e-13  # differences of taps below this share of the largest are rounding
_NONE, _LOW, _HIGH, _MUCH = NEARLY_WHOLE
_RISE, _FALL, _GOES_ON = 1.0 / (_LOW - _NONE), 1.0 / (_MUCH - _HIGH), 1.0 / GOES_ON


@_compiled
def code_point_spreads(start, dy, dx, weight):
    """Every point spread row by row, by its taps or by the differences of neighboring taps, whichever are fewer.

    Returns
    -------
    tuple
        ``first_row`` [K + 1]; per row ``(dy, leftmost, rightmost + 1, first entry)`` [rows + 1, 4]; per entry dx and
        weight; per point spread whether it is coded by differences, and its top, bottom, left, right [K, 4].
    """
    count, taps = start.size - 1, dy.size
    first_row = np.zeros(count + 1, np.int64)
    rows = np.empty((taps + 1, 4), np.int64)
    entry_dx, entry_weight = np.empty(2 * taps, np.int64), np.empty(2 * taps, np.float64)
    summed = np.zeros(count, np.bool_)
    extent = np.zeros((count, 4), np.int64)
    row, entries = 0, 0
    for k in range(count):
        a, e = start[k], start[k + 1]
        largest = 0.0
        for t in range(a, e):
            largest = max(largest, abs(weight[t]))
            if t == a:
                extent[k, 0], extent[k, 1], extent[k, 2], extent[k, 3] = dy[t], dy[t], dx[t], dx[t]
            extent[k, 0], extent[k, 1] = min(extent[k, 0], dy[t]), max(extent[k, 1], dy[t])
            extent[k, 2], extent[k, 3] = min(extent[k, 2], dx[t]), max(extent[k, 3], dx[t])
        first_entry, the_row = entries, row
        for differences in (True, False):
            entries, row = first_entry, the_row
            t = a
            while t < e:
                rows[row, 0], rows[row, 1], rows[row, 3] = dy[t], dx[t], entries
                value = 0.0
                u = t
                while u < e and dy[u] == dy[t]:
                    if differences:
                        if u > t and dx[u] != dx[u - 1] + 1:
                            entry_dx[entries], entry_weight[entries] = dx[u - 1] + 1, -value
                            entries += 1
                            value = 0.0
                        if abs(weight[u] - value) > _SAME * largest:
                            entry_dx[entries], entry_weight[entries] = dx[u], weight[u] - value
                            entries += 1
                            value = weight[u]
                    else:
                        entry_dx[entries], entry_weight[entries] = dx[u], weight[u]
                        entries += 1
                    u += 1
                if differences:
                    entry_dx[entries], entry_weight[entries] = dx[u - 1] + 1, -value
                    entries += 1
                rows[row, 2] = dx[u - 1] + 1
                row += 1
                t = u
            if differences and e - a > 4 and entries - first_entry < e - a:
                summed[k] = True
                break
        first_row[k + 1] = row
    rows[row, 3] = entries
    return first_row, rows[: row + 1], entry_dx[:entries].copy(), entry_weight[:entries].copy(), summed, extent


@_compiled
def _aligned(count):
    """Zeros that begin at a cache line, so that no vector of four straddles two of them."""
    memory = np.zeros(count + 8)
    first = -(memory.ctypes.data // 8) % 8
    return memory[first : first + count]


@_compiled
def _reach(extent, kernels):
    """Top, bottom, left, right of every kernel over all parts, and the largest of all."""
    united = extent[:kernels].copy()
    for k in range(kernels, extent.shape[0]):
        for side in range(4):
            value = extent[k, side]
            keep = united[k % kernels, side]
            united[k % kernels, side] = min(keep, value) if side in (0, 2) else max(keep, value)
    return united, max(1, np.abs(united).max())


@_compiled
def _places(first, count, size, border, surface, outside):
    """Which row (or column) of the picture continues at each place, and whether it is dark there."""
    for i in range(count):
        place = first + i
        surface[i] = _continued(place, size, 1 if border == 3 else border)
        outside[i] = border == 3 and (place < 0 or place >= size)


@_compiled
def _collect(scene, kinds, lowest, rows, columns, row_at, column_at, width, extent, reach, size, runs, sort):
    """Gather the runs that reach a tile, ``(slice, kernel, row, first column, length, kind, -1)``, sorted by slice.

    Kinds are visible patches, hidden ones, and places where a visible surface is missing. ``sort[0, s]`` is where slice
    s begins in ``sort[1]``.
    """
    order, kernel, there = scene[0], scene[1], scene[2]
    count = 0
    begin, index = sort
    begin[:] = 0
    first, last = _one_beside_the_other(column_at, columns)
    span = last - first
    for i in range(rows):
        base = row_at[i] * width
        within = base + column_at[first]
        for kind in range(kinds):
            n = kind * there.shape[1] + within
            some, same_kernel, same_slice = (
                piece(there, n, n + span),
                piece(kernel, n, n + span),
                piece(order, n, n + span),
            )
            j = 0
            while j < columns:
                if first <= j < last:
                    n = j - first
                    while n < span and not some[n]:
                        n += 1
                    j = n + first
                    if j == columns:
                        break
                p = base + column_at[j]
                if not there[kind, p]:
                    j += 1
                    continue
                k, s = kernel[kind, p], order[kind, p]
                end = j + 1
                if first <= end < last:
                    n = end - first
                    while n < span and some[n] and same_kernel[n] == k and same_slice[n] == s:
                        n += 1
                    end = n + first
                while end < columns:
                    p = base + column_at[end]
                    if not there[kind, p] or kernel[kind, p] != k or order[kind, p] != s:
                        break
                    end += 1
                y, x = i - reach, j - reach
                if (
                    y + extent[k, 1] >= 0
                    and y + extent[k, 0] < size[0]
                    and end - 1 - reach + extent[k, 3] >= 0
                    and x + extent[k, 2] < size[1]
                ):
                    runs[count, 0], runs[count, 1], runs[count, 2] = s - lowest, k, y
                    runs[count, 3], runs[count, 4], runs[count, 5], runs[count, 6] = x, end - j, kind, -1
                    begin[s - lowest + 1] += 1
                    count += 1
                j = end
    for s in range(1, begin.size):
        begin[s] += begin[s - 1]
    for r in range(count):
        s = runs[r, 0]
        index[begin[s]] = r
        begin[s] += 1
    for s in range(begin.size - 1, 0, -1):
        begin[s] = begin[s - 1]
    begin[0] = 0
    return count


@_compiled
def _one_beside_the_other(column_at, columns):
    """The longest piece of a row of a tile whose columns lie side by side in the picture: those within it."""
    first, last = 0, 1
    begin = 0
    for j in range(1, columns + 1):
        if j == columns or column_at[j] != column_at[j - 1] + 1:
            if j - begin > last - first:
                first, last = begin, j
            begin = j
    return first, last


@_compiled
def _cells_of(scene, united, window, height, width, reach, whole, border):
    """What is within reach of every cell of the window: light that stays in place, one surface, or edges.

    ``whole`` says whether one surface is known to cover everything, so that nothing else needs to be known of it.
    """
    order, kernel, there = borrowed(scene[0]), borrowed(scene[1]), borrowed(scene[2])
    top, left, rows, columns = window
    down, across = (rows + _CELL - 1) // _CELL, (columns + _CELL - 1) // _CELL
    around = (reach + _CELL - 1) // _CELL
    own = np.zeros((down + 2 * around, across + 2 * around), np.uint8)
    low, high = np.empty(own.shape, np.int32), np.empty(own.shape, np.int32)
    blurs = np.zeros(len(united), np.uint8)
    for k in range(len(united)):
        blurs[k] = united[k, 0] != 0 or united[k, 1] != 0 or united[k, 2] != 0 or united[k, 3] != 0
    row_at, column_at = np.empty(rows + 2 * reach, np.int64), np.empty(columns + 2 * reach, np.int64)
    dark = np.empty(max(rows, columns) + 2 * reach, np.bool_)
    _places(top - reach, row_at.size, height, border, row_at, dark)
    _places(left - reach, column_at.size, width, border, column_at, dark)
    first, last = _one_beside_the_other(column_at, column_at.size)
    lowest, highest = np.empty(column_at.size, np.int32), np.empty(column_at.size, np.int32)
    found = np.empty(column_at.size, np.uint8)
    low_of, high_of = piece(lowest, first, last), piece(highest, first, last)
    found_of = piece(found, first, last)
    margin = around * _CELL - reach
    for i in range(own.shape[0]):
        for x in range(found.size):
            lowest[x], highest[x], found[x] = 2**31 - 1, -(2**31), 0
        for y in range(max(0, i * _CELL - margin), min(row_at.size, (i + 1) * _CELL - margin)):
            row = row_at[y] * width
            for n in range(column_at.size - (last - first)):
                x = n if n < first else n + last - first
                p = row + column_at[x]
                lowest[x], highest[x] = min(lowest[x], order[0, p]), max(highest[x], order[0, p])
                found[x] |= blurs[kernel[0, p]]
                for kind in range(1, there.shape[0]):
                    found[x] |= np.uint8(2) * there[kind, p]
            begin = row + column_at[first]
            end = begin + last - first
            slices, kernels = piece(order, begin, end), piece(kernel, begin, end)
            for x in range(last - first):
                low_of[x], high_of[x] = min(low_of[x], slices[x]), max(high_of[x], slices[x])
            for x in range(last - first):
                found_of[x] |= blurs[kernels[x]]
            for kind in range(1, there.shape[0]):
                some = piece(there, kind * there.shape[1] + begin, kind * there.shape[1] + end)
                for x in range(last - first):
                    found_of[x] |= np.uint8(2) * some[x]
        for j in range(own.shape[1]):
            least, most, kinds = np.int32(2**31 - 1), np.int32(-(2**31)), np.uint8(0)
            for x in range(max(0, j * _CELL - margin), min(column_at.size, (j + 1) * _CELL - margin)):
                least, most, kinds = min(least, lowest[x]), max(most, highest[x]), kinds | found[x]
            low[i, j], high[i, j], own[i, j] = least, most, kinds
    cells = np.empty((down, across), np.uint8)
    for i in range(down):
        for j in range(across):
            all_of, nearest, farthest = 0, -(2**31), 2**31 - 1
            for v in range(i, i + 2 * around + 1):
                for u in range(j, j + 2 * around + 1):
                    all_of |= own[v, u]
                    nearest, farthest = max(nearest, high[v, u]), min(farthest, low[v, u])
            single = whole and all_of == 1 and nearest == farthest
            cells[i, j] = _STILL if all_of == 0 else _SURFACE if single else _EDGES
    return cells


@_compiled
def _boxes_of(cells, window, tile_height, tile_width, gap):
    """Boxes ``(top, left, rows, columns, kind)`` of cells of a kind that together hold all that is not still."""
    down, across = cells.shape
    rows, columns = max(1, tile_height // _CELL), max(1, tile_width // _CELL)
    boxes = np.empty((down * across, 5), np.int64)
    count = 0
    for top in range(0, down, rows):
        bottom = min(top + rows, down)
        begin, last, kind = -1, -1, 0
        for j in range(across + 1):
            found = 0
            if j < across:
                for i in range(top, bottom):
                    found = max(found, cells[i, j])
            if begin >= 0 and (j == across or j - begin >= columns or (found > 0 and found != kind) or j - last > gap):
                boxes[count, 0], boxes[count, 1] = window[0] + top * _CELL, window[1] + begin * _CELL
                boxes[count, 4] = kind
                boxes[count, 2] = min(bottom * _CELL, window[2]) - top * _CELL
                boxes[count, 3] = min((last + 1) * _CELL, window[3]) - begin * _CELL
                count += 1
                begin = -1
            if found > 0:
                if begin < 0:
                    begin, kind = j, found
                last = j
    return boxes[:count].copy()


@_compiled
def _stretch(slope, place, down, right):
    """By how much a part compresses the surface of a patch."""
    return min(max(1.0 + down * slope[0, place] + right * slope[1, place], 0.25), 4.0)


@_compiled
def _cover_of(
    kind, length, at, row, column_at, mixed, table, partly, surface, slope, down, right, values
):  # fmt: skip
    """How much of their pixels a run's patches cover, or how much of a surface is missing there."""
    edges, sloped = mixed.size > 0, slope.size > 0 and kind < 2
    for n in range(length):
        p = row + column_at[at + n]
        share = 1.0
        if kind == 0 and edges and mixed[p] >= 0:
            share = table[mixed[p], 6]
        elif kind > 1 and partly[p]:
            share = table[mixed[p], 7]
        if sloped:
            share *= _stretch(slope, surface[kind, p], down, right)
        values[n] = share
    for n in range(length, (length + VECTOR - 1) // VECTOR * VECTOR):
        values[n] = 0.0


@_compiled
def _load(
    image, kind, length, at, row, column_at, all_dark, column_dark, mixed, table, other, light, mean_of, mean_weight,
    surface, slope, down, right, values,
):  # fmt: skip
    """The light and the coverage of a run's patches, pixel by pixel."""
    channels = image.shape[0]
    lanes = channels + 1
    # As nearly everywhere: visible patches, one beside the other in the picture, whose light is that of their pixels.
    begin, end = row + column_at[at], row + column_at[at + length - 1] + 1
    plain = kind == 0 and end - begin == length
    if plain and channels == 3:
        pixels = image.shape[1]
        red, green = piece(image, begin, end), piece(image, pixels + begin, pixels + end)
        blue = piece(image, 2 * pixels + begin, 2 * pixels + end)
        for n in range(length):
            values[4 * n], values[4 * n + 1], values[4 * n + 2], values[4 * n + 3] = red[n], green[n], blue[n], 1.0
    else:
        for n in range(length):
            p = row + column_at[at + n]
            if kind == 1:
                p = light[p]
            if p >= 0:
                for c in range(channels):
                    values[n * lanes + c] = image[c, p]
            else:
                _mean(image, -1 - p, mean_of, mean_weight, n * lanes, values)
            values[n * lanes + channels] = 1.0
    if mixed.size:
        if plain:
            mixtures = piece(mixed, begin, end)
            for n in range(length):
                if mixtures[n] >= 0:
                    _mix(image, kind, begin + n, mixtures[n], table, other, n * lanes, values)
        else:
            for n in range(length):
                p = row + column_at[at + n]
                if mixed[p] >= 0:
                    _mix(image, kind, p, mixed[p], table, other, n * lanes, values)
    if slope.size > 0:
        for n in range(length):
            factor = _stretch(slope, surface[kind, row + column_at[at + n]], down, right)
            for o in range(n * lanes, (n + 1) * lanes):
                values[o] *= factor
    if all_dark or column_dark[at] or column_dark[at + length - 1]:
        for n in range(length):
            if all_dark or column_dark[at + n]:
                for o in range(n * lanes, n * lanes + channels):
                    values[o] = 0.0
    for o in range(length * lanes, (length * lanes + VECTOR - 1) // VECTOR * VECTOR):
        values[o] = 0.0


@_compiled
def _mean(image, m, of, weight, o, values):
    """The light of a hidden patch that is a mean of four colors."""
    for c in range(len(image)):
        values[o + c] = (
            weight[m, 0] * image[c, of[m, 0]]
            + weight[m, 1] * image[c, of[m, 1]]
            + weight[m, 2] * image[c, of[m, 2]]
            + weight[m, 3] * image[c, of[m, 3]]
        )


@_compiled
def _mix(image, kind, p, m, table, other, o, values):
    """The light and the coverage of a patch of a mixed pixel."""
    w, color, hidden = 3 * kind, other[m, 0], other[m, 1]
    a, b, d = table[m, w], table[m, w + 1], table[m, w + 2]
    for c in range(len(image)):
        values[o + c] = a * image[c, p] + b * image[c, color] + d * image[c, hidden]
    values[o + len(image)] = table[m, 6] if kind == 0 else 1.0


@_compiled
def _scale(covered, before, given, together, following):
    """By how much the coverage of a slice is scaled, see ``coverage_scale`` of the definition.

    ``before`` is what the slices next to it cover that came before, and ``given`` how much of that they got;
    ``together`` is of all of them, and of the next one, with the places where they are missing, and ``following`` what
    that one covers.
    """
    if covered <= NOTHING_SEEN:
        return 0.0
    scale = 1.0
    if _NONE < together < _MUCH:
        sure = min(min((together - _NONE) * _RISE, (_MUCH - together) * _FALL), 1.0)
        if together < 1.0:
            sure *= max(0.0, 1.0 - following * _GOES_ON)
        scale += sure * (1.0 / together - 1.0)
    return min(max(scale * (before + covered) - given, 0.0), min(MOST_SCALED * covered, 1.0)) / covered


@_compiled
def _seen_of(shown, hid, scale, left):
    """How much of a slice's visible and of its hidden patches is seen where ``left`` is left, see ``composite``."""
    opaque = scale * (shown + hid)
    seen = min(max(scale * shown, left - (1.0 - opaque)), min(opaque, left))
    of_shown = min(scale * shown, seen)
    return of_shown, seen - of_shown


@_compiled
def _finish(held, waiting, lanes, o, scale, room, q, share, result):
    """Finish the current slice at a pixel: as much of it as has room is seen, and the rest of what is hidden waits."""
    shown, hid, left, p = held[o + lanes - 1], held[o + 2 * lanes - 1], room[q], q * lanes
    if shown + hid > NOTHING_SEEN and left > 0.0:
        of_shown, of_hid = _seen_of(shown, hid, scale, left)
        if of_shown > 0.0:
            # In focus, where both are 1, the light keeps its very bits.
            factor = share if of_shown == shown else share * (of_shown / shown)
            for c in range(lanes):
                result[p + c] += factor * held[o + c]
        if hid > NOTHING_SEEN:
            seen = of_hid / hid
            for c in range(lanes):
                result[p + c] += share * seen * held[o + lanes + c]
                waiting[p + c] += (scale - seen) * held[o + lanes + c]
        left -= of_shown + of_hid
        room[q] = left if left >= NOTHING_SEEN else 0.0
    held[o + 2 * lanes] = 0.0  # nothing waits to be complete


@_compiled
def _finish_last(held, waiting, lanes, o, room, q, share, result):
    """Finish a pixel where no slice follows: the current one is complete, and room that is left shows what waits."""
    if held[o + 2 * lanes] > 0.0:
        covered = held[o + lanes - 1] + held[o + 2 * lanes - 1]
        together = held[o + 2 * lanes] + held[o + 2 * lanes + 1]
        scale = _scale(covered, held[o + 2 * lanes + 2], held[o + 2 * lanes + 3], together, 0.0)
        _finish(held, waiting, lanes, o, scale, room, q, share, result)
    p = q * lanes
    rest = waiting[p + lanes - 1]
    if rest > NOTHING_SEEN and room[q] > 0.0:
        factor = share * min(1.0, room[q] / rest)
        for c in range(lanes):
            result[p + c] += factor * waiting[p + c]


@_compiled
def _finish_row(held, waiting, waits, line, width, lanes, room, room_from, room_to, share, result):
    """Finish a row where no slice follows; where no room is left, all is finished."""
    for x in range(room_from[line], room_to[line]):
        q = line * width + x
        if room[q] > 0.0:
            _finish_last(held, waiting, lanes, q * (2 * lanes + 4), room, q, share, result)
    if waits[line]:
        _zero(waiting, line * width * lanes, (line + 1) * width * lanes)
        waits[line] = False


@_compiled
def _farthest_of_tile(plane, top, left, size, width, pitch, farthest):
    """Which slice is the farthest that is seen at every pixel of a tile."""
    for i in range(size[0]):
        row, p = piece(farthest, i * pitch, i * pitch + size[1]), (top + i) * width + left
        if plane.size:
            known = piece(plane, p, p + size[1])
            for j in range(size[1]):
                row[j] = known[j]
        else:
            for j in range(size[1]):
                row[j] = -(2**31)


@_compiled
def _clear_row(sums, taps, line, pitch, pad, lanes, width, touched):
    """Clear what a slice touched in a row of its accumulators."""
    if touched[line, 0] < touched[line, 1]:
        _clear(taps, line, pitch, pad, lanes, touched[line, 0], touched[line, 1])
    if touched[line, 2] < touched[line, 3]:
        _clear(sums, line, pitch, pad, lanes, touched[line, 2], touched[line, 3])
    for kind in (0, 2):
        touched[line, kind], touched[line, kind + 1] = width, -pad


@_compiled
def _hold_row(
    sums, taps, hid_sums, hid_taps, gone_sums, gone_taps, line, pitch, gone_pitch, pad, lanes, single, width, number,
    share, room, room_from, room_to, touched, hid, gone, held, waiting, waits, last, carry, farthest, result,
):  # fmt: skip
    """Hold a slice in one row of the tile. The slice before it is complete where this one is. The row is cleared."""
    begin, end, sum_begin, sum_end = touched[line, 0], touched[line, 1], touched[line, 2], touched[line, 3]
    hid_begin, hid_end, hid_sum_begin, hid_sum_end = hid[line, 0], hid[line, 1], hid[line, 2], hid[line, 3]
    gone_begin, gone_end, gone_sum_begin, gone_sum_end = gone[line, 0], gone[line, 1], gone[line, 2], gone[line, 3]
    row, gone_row = line * pitch + pad * lanes, line * gone_pitch + pad
    start = min(min(min(begin, sum_begin), min(gone_begin, gone_sum_begin)), min(hid_begin, hid_sum_begin))
    stop = max(max(max(end, sum_end), max(gone_end, gone_sum_end)), max(hid_end, hid_sum_end))
    start = max(start, room_from[line])
    stop = max(start, min(stop, room_to[line]))
    c0, c1, c2, c3, gone_carry = 0.0, 0.0, 0.0, 0.0, 0.0
    for c in range(2 * lanes):
        carry[c] = 0.0
    if lanes == 4:  # in registers
        before_it = piece(sums, row + sum_begin * 4, row + min(start, sum_end) * 4)
        for x in range(min(start, sum_end) - sum_begin):
            c0, c1 = c0 + before_it[4 * x], c1 + before_it[4 * x + 1]
            c2, c3 = c2 + before_it[4 * x + 2], c3 + before_it[4 * x + 3]
    else:
        for x in range(sum_begin, min(start, sum_end)):
            for c in range(lanes):
                carry[c] += sums[row + x * lanes + c]
    for x in range(hid_sum_begin, min(start, hid_sum_end)):
        for c in range(lanes):
            carry[lanes + c] += hid_sums[row + x * lanes + c]
    for x in range(gone_sum_begin, min(start, gone_sum_end)):
        gone_carry += gone_sums[gone_row + x]
    misses = gone_end > gone_begin or gone_sum_end > gone_sum_begin
    hides = hid_end > hid_begin or hid_sum_end > hid_sum_begin
    waits[line] = waits[line] or hides
    # What belongs to the pixels from start to stop.
    u, v = row + start * lanes, row + stop * lanes
    summed, tapped, hid_summed, hid_tapped = (
        piece(sums, u, v),
        piece(taps, u, v),
        piece(hid_sums, u, v),
        piece(hid_taps, u, v),
    )
    gone_summed = piece(gone_sums, gone_row + start, gone_row + stop)
    gone_tapped = piece(gone_taps, gone_row + start, gone_row + stop)
    p, q = line * width + start, line * width + stop
    room, last, farthest = piece(room, p, q), piece(last, p, q), piece(farthest, p, q)
    held = piece(held, p * (2 * lanes + 4), q * (2 * lanes + 4))
    waiting, result = piece(waiting, p * lanes, q * lanes), piece(result, p * lanes, q * lanes)
    for q in range(stop - start):
        x, u = start + q, q * lanes
        if lanes == 4:
            if x >= sum_end:  # the sums are zero from here on, and their rounding shall not touch what is in focus
                c0, c1, c2, c3 = 0.0, 0.0, 0.0, 0.0
            c0, c1, c2, c3 = c0 + summed[u], c1 + summed[u + 1], c2 + summed[u + 2], c3 + summed[u + 3]
            shown = tapped[u + 3] + c3
        else:
            for c in range(lanes):
                carry[c] = carry[c] + summed[u + c] if x < sum_end else 0.0
            shown = tapped[u + lanes - 1] + carry[lanes - 1]
        behind, away = 0.0, 0.0
        if hides:
            for c in range(lanes):
                carry[lanes + c] = carry[lanes + c] + hid_summed[u + c] if hid_sum_begin <= x < hid_sum_end else 0.0
            behind = hid_tapped[u + lanes - 1] + carry[2 * lanes - 1]
        if misses:
            gone_carry = gone_carry + gone_summed[q] if gone_sum_begin <= x < gone_sum_end else 0.0
            away = max(gone_tapped[q] + gone_carry, 0.0)
        here, left = shown + behind, room[q]
        if here + away <= NOTHING_SEEN or left <= 0.0:
            continue
        o = q * (2 * lanes + 4)
        if number < farthest[q]:
            _finish_last(held, waiting, lanes, o, room, q, share, result)
            room[q] = 0.0
            continue
        before, together, cover, given = held[o + 2 * lanes], here + away, 0.0, 0.0
        if before > 0.0:
            adjacent = last[q] - number == 1
            before += held[o + 2 * lanes + 1]
            covered = held[o + lanes - 1] + held[o + 2 * lanes - 1]
            cover, given = held[o + 2 * lanes + 2], held[o + 2 * lanes + 3]
            if adjacent:
                scale = _scale(covered, cover, given, before + together, here)
                cover += covered
                given += scale * covered
            else:
                scale = _scale(covered, cover, given, before, 0.0)
                before, cover, given = 0.0, 0.0, 0.0
            _finish(held, waiting, lanes, o, scale, room, q, share, result)
            left = room[q]
            if left <= 0.0:
                continue
        if lanes == 4:
            if shown >= COMPLETE and shown >= left - NOTHING_SEEN and away <= NOTHING_SEEN:
                # What is visible of one slice covers all that is left, as nearly everywhere.
                factor, p = share if shown <= left else share * (left / shown), q * 4
                result[p] += factor * (tapped[u] + c0)
                result[p + 1] += factor * (tapped[u + 1] + c1)
                result[p + 2] += factor * (tapped[u + 2] + c2)
                result[p + 3] += factor * shown
                room[q] = 0.0
                continue
            held[o], held[o + 1], held[o + 2] = tapped[u] + c0, tapped[u + 1] + c1, tapped[u + 2] + c2
        else:
            for c in range(lanes - 1):
                held[o + c] = tapped[u + c] + carry[c]
        held[o + lanes - 1], held[o + 2 * lanes - 1] = shown, behind
        if behind > NOTHING_SEEN:
            for c in range(lanes - 1):
                held[o + lanes + c] = hid_tapped[u + c] + carry[lanes + c]
        held[o + 2 * lanes], held[o + 2 * lanes + 1] = together, before
        held[o + 2 * lanes + 2], held[o + 2 * lanes + 3] = cover, given
        last[q] = number
        if shown >= COMPLETE and away <= NOTHING_SEEN:
            _finish(held, waiting, lanes, o, 1.0, room, q, share, result)
    _clear_row(sums, taps, line, pitch, pad, lanes, width, touched)
    _clear_row(hid_sums, hid_taps, line, pitch, pad, lanes, width, hid)
    _clear_row(gone_sums, gone_taps, line, gone_pitch, pad, single, width, gone)


@_compiled
def _scatter(
    y, x, length, source, lanes, first_row, rows, entry_offset, entry_weight, summed, number, sums, taps, pitch, pad,
    height, width, room_from, room_to, touched,
):  # fmt: skip
    """Add a run, its colors and coverage at an address, to the accumulators of its slice; offsets are in bytes."""
    target = sums.ctypes.data if summed[number] else taps.ctypes.data
    kind = 2 if summed[number] else 0
    vectors = (length * lanes + VECTOR - 1) // VECTOR
    for r in range(first_row[number], first_row[number + 1]):
        line = y + rows[r, 0]
        if line < 0 or line >= height or room_from[line] >= room_to[line]:
            continue
        left, right = x + rows[r, 1], x + length - 1 + rows[r, 2]
        if right <= room_from[line] or left >= room_to[line]:
            continue
        touched[line, kind] = min(touched[line, kind], left)
        touched[line, kind + 1] = max(touched[line, kind + 1], min(right + 1, width))
        place = target + 8 * (line * pitch + (pad + x) * lanes)
        first, count = rows[r, 3], rows[r + 1, 3] - rows[r, 3]
        if right < width:
            offsets, weights = entry_offset.ctypes.data + 8 * first, entry_weight.ctypes.data + 8 * first
            add_row(place, source, offsets, weights, count, vectors)
            continue
        for e in range(first, first + count):
            n = min(length, width - x - entry_offset[e] // (8 * lanes))
            add_scaled(place + entry_offset[e], source, entry_weight[e], (n * lanes + VECTOR - 1) // VECTOR)


@_compiled
def _clear(accumulator, line, pitch, pad, lanes, begin, end):
    row = line * pitch + pad * lanes
    _zero(accumulator, row + begin * lanes, row + end * lanes + VECTOR)


@_compiled
def _zero(numbers, begin, end):
    some = piece(numbers, begin, end)
    for n in range(end - begin):
        some[n] = 0.0


@_compiled
def _shrink(room, line, width, room_from, room_to):
    """Where a row still has room."""
    a, e = room_from[line], room_to[line]
    while a < e and room[line * width + a] == 0.0:
        a += 1
    while e > a and room[line * width + e - 1] == 0.0:
        e -= 1
    room_from[line], room_to[line] = a, e


@_compiled
def _take_row(sums, taps, line, pitch, pad, lanes, width, share, room, room_from, room_to, touched, carry, result):
    """Take as much of a slice as there is room for in one row of the tile, and clear the row of the accumulators."""
    begin, end = touched[line, 0], touched[line, 1]  # taps
    sum_begin, sum_end = touched[line, 2], touched[line, 3]
    row, place = line * pitch + pad * lanes, line * width
    # Beyond where there is room only the running sums matter.
    start, stop = max(min(begin, sum_begin), room_from[line]), min(max(end, sum_end), room_to[line])
    # Behind their end the sums are zero, and their rounding shall not touch what is in focus.
    middle = max(start, min(stop, sum_end))
    c0, c1, c2, c3 = 0.0, 0.0, 0.0, 0.0
    for c in range(lanes):
        carry[c] = 0.0
    if lanes == 4:  # in registers
        before = piece(sums, row + sum_begin * 4, row + min(start, sum_end) * 4)
        for x in range(min(start, sum_end) - sum_begin):
            c0, c1, c2, c3 = c0 + before[4 * x], c1 + before[4 * x + 1], c2 + before[4 * x + 2], c3 + before[4 * x + 3]
    else:
        for x in range(sum_begin, min(start, sum_end)):
            for c in range(lanes):
                carry[c] += sums[row + x * lanes + c]
    for first, last in ((start, middle), (middle, stop)):
        if first >= last:
            continue
        o, e = row + first * lanes, row + last * lanes
        summed, tapped = piece(sums, o, e), piece(taps, o, e)
        rooms = piece(room, place + first, place + last)
        results = piece(result, (place + first) * lanes, (place + last) * lanes)
        if first >= sum_end:
            c0, c1, c2, c3 = 0.0, 0.0, 0.0, 0.0
            for c in range(lanes):
                carry[c] = 0.0
        if lanes == 4:
            for x in range(last - first):
                o = 4 * x
                c0, c1, c2, c3 = c0 + summed[o], c1 + summed[o + 1], c2 + summed[o + 2], c3 + summed[o + 3]
                a, left = tapped[o + 3] + c3, rooms[x]
                if a > NOTHING_SEEN and left > 0.0:
                    factor = share if a <= left else share * (left / a)  # a division only where it is one
                    results[o] += factor * (tapped[o] + c0)
                    results[o + 1] += factor * (tapped[o + 1] + c1)
                    results[o + 2] += factor * (tapped[o + 2] + c2)
                    results[o + 3] += factor * a
                    left -= min(a, left)
                    rooms[x] = left if left >= NOTHING_SEEN else 0.0
        else:
            for x in range(last - first):
                o = lanes * x
                for c in range(lanes):
                    carry[c] += summed[o + c]
                a, left = tapped[o + lanes - 1] + carry[lanes - 1], rooms[x]
                if a > NOTHING_SEEN and left > 0.0:
                    factor = share if a <= left else share * (left / a)
                    for c in range(lanes):
                        results[o + c] += factor * (tapped[o + c] + carry[c])
                    left -= min(a, left)
                    rooms[x] = left if left >= NOTHING_SEEN else 0.0
    _clear_row(sums, taps, line, pitch, pad, lanes, width, touched)


@_compiled
def _composite_tiles(
    first, last, image, scene, center, connected, lowest, slices, border, share, code, gone_code, reach, tile_height,
    tile_width, boxes, size_px, window, out,
):  # fmt: skip
    lanes = len(image) + 1
    kinds = scene[2].shape[0]
    pad = 2 * reach + 2
    most = tile_height * ((pad + tile_width) * lanes + VECTOR + 8)
    spread = _aligned(most), _aligned(most), _aligned(most), _aligned(most)
    most = tile_height * (pad + tile_width + VECTOR + 8)
    spread_gone = _aligned(most), _aligned(most)
    pixels = tile_height * tile_width
    seen = np.empty(pixels), np.empty(pixels * lanes)
    # For every pixel the current slice: light and coverage of what is visible, and of what is hidden; the sum of these
    # and of the places where it is missing (0: there is no current slice), and the same of its neighbors before it;
    # what those cover, and what they were given of that. And light and coverage of what is hidden and waits.
    held = np.zeros(pixels * (2 * lanes + 4) if connected else 0), np.zeros(pixels * lanes if connected else 0)
    numbers = np.zeros(pixels if connected else 0, np.int64), np.empty(pixels if connected else 0, np.int64)
    rows_most, columns_most = tile_height + 2 * reach, tile_width + 2 * reach
    most = kinds * rows_most * columns_most
    # The light of the runs of a tile is the same for all parts, unless they see surfaces stretched.
    values = np.empty(most * ((lanes + VECTOR - 1) // VECTOR) * VECTOR)
    runs, sort = np.empty((most, 7), np.int32), (np.empty(slices + 1, np.int64), np.empty(most, np.int32))
    places = np.empty(rows_most, np.int64), np.empty(columns_most, np.int64)
    dark = np.empty(rows_most, np.bool_), np.empty(columns_most, np.bool_)
    edges = (
        np.empty(tile_height, np.int64), np.empty(tile_height, np.int64), np.empty((tile_height, 4), np.int64),
        np.empty((tile_height, 4), np.int64), np.empty((tile_height, 4), np.int64),
    )  # fmt: skip
    _fill_tiles(
        first, last, image, scene, center, connected, lowest, slices, border, share, code, gone_code, reach, boxes,
        size_px, window, spread, spread_gone, seen, held, numbers, np.zeros(tile_height, np.bool_), np.zeros(2 * lanes),
        values, runs, sort, places, dark, edges, out,
    )  # fmt: skip


@_compiled
def _fill_tiles(
    first, last, image, scene, center, connected, lowest, slices, border, share, code, gone_code, reach, boxes,
    size_px, window, spread, spread_gone, seen, held_of, numbers, waits, carry, values, runs, sort, places, dark, edges,
    out,
):  # fmt: skip
    height, width = size_px
    image, out = borrowed(image), borrowed(out)
    lanes = len(image) + 1
    single = lanes - len(image)  # as a literal it would be a type of its own, and compile functions twice
    scene_of = borrowed(scene[0]), borrowed(scene[1]), borrowed(scene[2])
    kinds = scene_of[2].shape[0]
    mixed, table, other, light = borrowed(scene[3]), borrowed(scene[4]), borrowed(scene[5]), borrowed(scene[6])
    surface, slope, number_at = borrowed(scene[7]), borrowed(scene[8]), borrowed(scene[9])
    partly, farthest_at = borrowed(scene[10]), borrowed(scene[11])
    mean_of, mean_weight = borrowed(scene[12]), borrowed(scene[13])
    first_row, rows_of, entry_offset = borrowed(code[0]), borrowed(code[1]), borrowed(code[2])
    entry_weight, summed, gone_offset = borrowed(code[3]), borrowed(code[4]), borrowed(gone_code[2])
    kernels = (first_row.size - 1) // share.size
    united, _ = _reach(code[5], kernels)
    pad = 2 * reach + 2
    sums, taps, hid_sums, hid_taps = (
        borrowed(spread[0]), borrowed(spread[1]), borrowed(spread[2]), borrowed(spread[3])
    )  # fmt: skip
    gone_sums, gone_taps = borrowed(spread_gone[0]), borrowed(spread_gone[1])
    room, result = borrowed(seen[0]), borrowed(seen[1])
    held, waiting = borrowed(held_of[0]), borrowed(held_of[1])
    number_of, farthest = borrowed(numbers[0]), borrowed(numbers[1])
    waits, carry, values, runs = borrowed(waits), borrowed(carry), borrowed(values), borrowed(runs)
    begin, index = borrowed(sort[0]), borrowed(sort[1])
    row_at, column_at, row_dark, column_dark = (
        borrowed(places[0]), borrowed(places[1]), borrowed(dark[0]), borrowed(dark[1])
    )  # fmt: skip
    room_from, room_to = borrowed(edges[0]), borrowed(edges[1])
    touched, gone, hid = borrowed(edges[2]), borrowed(edges[3]), borrowed(edges[4])
    sloped, source = slope.size > 0, values.ctypes.data
    for job in range(first, last):
        top, left = boxes[job, 0], boxes[job, 1]
        size = (boxes[job, 2], boxes[job, 3])
        wide = size[1]
        for line in range(size[0]):
            for n in (0, 2):
                touched[line, n], gone[line, n], hid[line, n] = wide, wide, wide
                touched[line, n + 1], gone[line, n + 1], hid[line, n + 1] = -pad, -pad, -pad
        pitch = ((pad + wide) * lanes + VECTOR + 7) // 8 * 8
        gone_pitch = (pad + wide + VECTOR + 7) // 8 * 8
        # Where one surface covers all, its coverage is not what light is weighed by.
        holds = connected and boxes[job, 4] != _SURFACE
        rows, columns = size[0] + 2 * reach, wide + 2 * reach
        _places(top - reach, rows, height, border, row_at, row_dark)
        _places(left - reach, columns, width, border, column_at, column_dark)
        _collect(
            scene_of, kinds if boxes[job, 4] == _EDGES else 1, lowest, rows, columns, row_at, column_at, width, united,
            reach, size, runs, (begin, index),
        )  # fmt: skip
        if holds:
            _farthest_of_tile(farthest_at, top, left, size, width, wide, farthest)
        loaded = 0
        _zero(result, loaded, size[0] * wide * lanes)
        for part in range(share.size):
            down, right = center[part, 0], center[part, 1]
            for q in range(size[0] * wide):
                room[q] = 1.0
            for line in range(size[0]):
                room_from[line], room_to[line] = 0, wide
            some_room = True
            for s in range(slices - 1, -1, -1):
                if not some_room:
                    break
                if begin[s] == begin[s + 1]:
                    continue
                for r in range(begin[s], begin[s + 1]):
                    n = index[r]
                    number, y, x = part * kernels + runs[n, 1], runs[n, 2], runs[n, 3]
                    length, kind, at = runs[n, 4], runs[n, 5], runs[n, 6]
                    if at < 0 or sloped:
                        row, column = row_at[y + reach] * width, x + reach
                        if at < 0:
                            at, runs[n, 6] = loaded, loaded
                            loaded += (length * (1 if kind > 1 else lanes) + VECTOR - 1) // VECTOR
                        if kind > 1:
                            _cover_of(
                                kind, length, column, row, column_at, mixed, table, partly, surface, slope, down, right,
                                piece(values, VECTOR * at, values.size),
                            )  # fmt: skip
                        else:
                            _load(
                                image, kind, length, column, row, column_at, row_dark[y + reach], column_dark, mixed,
                                table, other, light, mean_of, mean_weight, surface, slope, down, right,
                                piece(values, VECTOR * at, values.size),
                            )  # fmt: skip
                    where = source + 8 * VECTOR * at
                    if kind > 1:
                        _scatter(
                            y, x, length, where, single, first_row, rows_of, gone_offset, entry_weight, summed, number,
                            gone_sums, gone_taps, gone_pitch, pad, size[0], wide, room_from, room_to, gone,
                        )  # fmt: skip
                        continue
                    into_hidden = holds and kind == 1
                    _scatter(
                        y, x, length, where, lanes, first_row, rows_of, entry_offset, entry_weight, summed, number,
                        hid_sums if into_hidden else sums, hid_taps if into_hidden else taps, pitch, pad, size[0],
                        wide, room_from, room_to, hid if into_hidden else touched,
                    )  # fmt: skip
                some_room = False
                for line in range(size[0]):
                    there = touched[line, 0] < touched[line, 1] or touched[line, 2] < touched[line, 3]
                    more = gone[line, 0] < gone[line, 1] or gone[line, 2] < gone[line, 3]
                    more = more or hid[line, 0] < hid[line, 1] or hid[line, 2] < hid[line, 3]
                    if holds and (there or more):
                        _hold_row(
                            sums, taps, hid_sums, hid_taps, gone_sums, gone_taps, line, pitch, gone_pitch, pad, lanes,
                            single, wide, number_at[s], share[part], room, room_from, room_to, touched, hid, gone, held,
                            waiting, waits, number_of, carry, farthest, result,
                        )  # fmt: skip
                        _shrink(room, line, wide, room_from, room_to)
                    elif there:
                        _take_row(
                            sums, taps, line, pitch, pad, lanes, wide, share[part], room, room_from, room_to, touched,
                            carry, result,
                        )  # fmt: skip
                        _shrink(room, line, wide, room_from, room_to)
                    some_room = some_room or room_from[line] < room_to[line]
            if holds:
                for line in range(size[0]):
                    _finish_row(held, waiting, waits, line, wide, lanes, room, room_from, room_to, share[part], result)
        for line in range(size[0]):
            row, column = top - window[0] + line, left - window[1]
            _write_row(image, line, (top + line) * width + left, wide, result, values, row, column, out)


@_compiled
def _write_row(image, line, p, columns, result, inverse, y, x, out):
    """Write a row of a tile: light by coverage, or the picture itself, from pixel p on, where nothing is seen."""
    channels = len(image)
    lanes = channels + 1
    row = piece(result, line * columns * lanes, (line + 1) * columns * lanes)
    rows, width = out.shape[1:]
    dark = False
    if lanes == 4:
        o, e = y * width + x, y * width + x + columns
        red, green = piece(out, o, e), piece(out, rows * width + o, rows * width + e)
        blue = piece(out, 2 * rows * width + o, 2 * rows * width + e)
        for j in range(columns):
            total = row[4 * j + 3]
            one = 1.0 / total
            red[j], green[j], blue[j] = row[4 * j] * one, row[4 * j + 1] * one, row[4 * j + 2] * one
            dark = dark or total <= NOTHING_SEEN
    else:
        for j in range(columns):
            inverse[j] = 1.0 / row[j * lanes + channels]
            dark = dark or row[j * lanes + channels] <= NOTHING_SEEN
        for c in range(channels):
            for j in range(columns):
                out[c, y, x + j] = row[j * lanes + c] * inverse[j]
    if dark:
        for j in range(columns):
            if row[j * lanes + channels] <= NOTHING_SEEN:
                for c in range(channels):
                    out[c, y, x + j] = image[c, p + j]


@_compiled
def _gather(run, back, channels, code, number, light, summed_light, pitch, pad, size, active):
    """The transpose of :func:`_scatter`: what a run gets back from the rows that it was seen in."""
    first_row, rows, entry_offset, entry_weight, summed, _ = code
    y, x, length = run[2], run[3], run[4]
    source = summed_light.ctypes.data if summed[number] else light.ctypes.data
    target = back.ctypes.data
    for r in range(first_row[number], first_row[number + 1]):
        line = y + rows[r, 0]
        if line < 0 or line >= size[0] or not active[line]:
            continue
        place = source + 8 * (line * pitch + (pad + x) * channels)
        for e in range(rows[r, 3], rows[r + 1, 3]):
            n = min(length, size[1] - x - entry_offset[e] // (8 * channels))
            vectors = (n * channels + VECTOR - 1) // VECTOR
            add_scaled(target, place + entry_offset[e], entry_weight[e], vectors)


@_compiled
def _adjoint_rows(
    first, last, image, scene, center, connected, lowest, slices, border, share, code, light_code, reach, tile_height,
    tile_width, back, own,
):  # fmt: skip
    """What the patches get back from each row of tiles, ``back[job, visible or hidden, row, column, channel]``."""
    channels, height, width = image.shape
    kinds = scene[2].shape[0]
    mixed, table, _, _, surface, slope, number_at, partly, farthest_at = scene[3:12]
    first_row, rows_of, entry_offset, entry_weight, summed = code[:5]
    kernels = (code[0].size - 1) // share.size
    united, _ = _reach(code[5], kernels)
    pad = 2 * reach + 2
    pitch, light_pitch = pad + tile_width + VECTOR, (pad + tile_width) * channels + VECTOR
    sums, taps = np.zeros(tile_height * pitch), np.zeros(tile_height * pitch)
    gone_sums, gone_taps = np.zeros(tile_height * pitch), np.zeros(tile_height * pitch)
    pixels = tile_height * tile_width
    hid_sums, hid_taps = np.zeros(tile_height * pitch), np.zeros(tile_height * pitch)
    room, total, waiting = np.empty(pixels), np.empty(pixels), np.zeros(pixels)
    held = np.zeros((pixels, 6))
    farthest = np.empty(pixels, np.int64)
    number_of, begun = np.zeros(pixels, np.int64), np.zeros(pixels, np.int64)
    light, summed_light = np.zeros(tile_height * light_pitch), np.zeros(tile_height * light_pitch)
    rows_most, columns_most = tile_height + 2 * reach, tile_width + 2 * reach
    values = np.zeros(columns_most + VECTOR)
    source = values.ctypes.data
    returned = np.zeros(columns_most * channels + VECTOR)
    row_at, column_at = np.empty(rows_most, np.int64), np.empty(columns_most, np.int64)
    row_dark, column_dark = np.empty(rows_most, np.bool_), np.empty(columns_most, np.bool_)
    runs = np.empty((kinds * rows_most * columns_most, 7), np.int32)
    sort = (np.empty(slices + 1, np.int64), np.empty(kinds * rows_most * columns_most, np.int32))
    room_from, room_to = np.empty(tile_height, np.int64), np.empty(tile_height, np.int64)
    active = np.zeros(tile_height, np.bool_)
    touched, gone = np.empty((tile_height, 4), np.int64), np.empty((tile_height, 4), np.int64)
    hid = np.empty((tile_height, 4), np.int64)
    for edges in (touched, gone, hid):
        edges[:, 0], edges[:, 2] = tile_width, tile_width
        edges[:, 1], edges[:, 3] = -pad, -pad
    across = (width + tile_width - 1) // tile_width
    for job in range(first, last):
        top = job * tile_height
        for tile in range(across):
            left = tile * tile_width
            size = (min(tile_height, height - top), min(tile_width, width - left))
            rows, columns = size[0] + 2 * reach, size[1] + 2 * reach
            _places(top - reach, rows, height, border, row_at, row_dark)
            _places(left - reach, columns, width, border, column_at, column_dark)
            _collect(scene, kinds, lowest, rows, columns, row_at, column_at, width, united, reach, size, runs, sort)
            begin, index = sort
            _farthest_of_tile(farthest_at, top, left, size, width, tile_width, farthest)
            present = np.flatnonzero(begin[1:] > begin[:-1])[::-1].copy()
            # How much of every slice's visible and hidden patches is seen, as a factor of their coverage.
            factor = np.zeros((share.size, 2 if connected else 1, present.size, pixels))
            rest = np.zeros((present.size if connected else 0, pixels))
            total[:] = 0.0
            for part in range(share.size):
                down, right = center[part, 0], center[part, 1]
                room[:] = 1.0
                rest[:] = 0.0
                room_from[:], room_to[:] = 0, size[1]
                for s in range(present.size):
                    for r in range(begin[present[s]], begin[present[s] + 1]):
                        n = index[r]
                        number, y, x = part * kernels + runs[n, 1], runs[n, 2], runs[n, 3]
                        length, kind = runs[n, 4], runs[n, 5]
                        _cover_of(
                            kind, length, x + reach, row_at[y + reach] * width, column_at, mixed, table, partly,
                            surface, slope, down, right, values,
                        )  # fmt: skip
                        if kind > 1:
                            _scatter(
                                y, x, length, source, 1, first_row, rows_of, entry_offset, entry_weight, summed, number,
                                gone_sums, gone_taps, pitch, pad, size[0], size[1], room_from, room_to, gone,
                            )  # fmt: skip
                        else:
                            apart = connected and kind == 1
                            _scatter(
                                y, x, length, source, 1, first_row, rows_of, entry_offset, entry_weight, summed, number,
                                hid_sums if apart else sums, hid_taps if apart else taps, pitch, pad, size[0], size[1],
                                room_from, room_to, hid if apart else touched,
                            )  # fmt: skip
                    some_room = False
                    for line in range(size[0]):
                        _factors(
                            sums, taps, hid_sums, hid_taps, gone_sums, gone_taps, line, pitch, pad, tile_width,
                            number_at[present[s]], s, connected, room, touched, hid, gone, held, number_of, begun,
                            factor[part], rest, total, waiting, farthest, share[part],
                        )  # fmt: skip
                        _shrink(room, line, tile_width, room_from, room_to)
                        some_room = some_room or room_from[line] < room_to[line]
                    if not some_room:
                        break
                if connected:
                    for q in range(pixels):
                        _factor_end(held, q, begun, present.size, room, factor[part], rest, total, waiting, share[part])
            for part in range(share.size):
                down, right = center[part, 0], center[part, 1]
                for s in range(present.size):
                    for which in range(factor.shape[1]):
                        for line in range(size[0]):
                            active[line] = False
                            for q in range(line * tile_width, line * tile_width + size[1]):
                                active[line] = active[line] or factor[part, which, s, q] != 0.0
                            if active[line]:
                                _spread_light(
                                    image, top, left, line, size[1], tile_width, share[part], factor[part, which, s],
                                    total, light, summed_light, light_pitch, pad,
                                )  # fmt: skip
                        for r in range(begin[present[s]], begin[present[s] + 1]):
                            run = runs[index[r]]
                            if run[5] > 1 or (connected and run[5] != which):
                                continue
                            count = run[4] * channels
                            returned[: count + VECTOR] = 0.0
                            _gather(
                                run, returned, channels, light_code, part * kernels + run[1], light, summed_light,
                                light_pitch, pad, size, active,
                            )  # fmt: skip
                            n = 0
                            base = row_at[run[2] + reach] * width
                            for j in range(run[4]):
                                stretch = 1.0
                                if slope.size > 0:
                                    place = base + column_at[run[3] + reach + j]
                                    stretch = _stretch(slope, surface[run[5], place], down, right)
                                at = left + run[3] + reach + j
                                for c in range(channels):
                                    back[job, run[5], run[2] + reach, at, c] += stretch * returned[n]
                                    n += 1
            for i in range(size[0]):
                for j in range(size[1]):
                    for c in range(channels):
                        covered = total[i * tile_width + j] > NOTHING_SEEN
                        own[c, top + i, left + j] = 0.0 if covered else image[c, top + i, left + j]


@_compiled
def _factor(held, q, s, scale, room, factor, rest, total, waiting, share):
    """Slice s is complete at a pixel: how much of its patches is seen, as factors of their coverage."""
    shown, hid, left = held[q, 0], held[q, 1], room[q]
    if shown + hid > NOTHING_SEEN and left > 0.0:
        of_shown, of_hid = _seen_of(shown, hid, scale, left)
        if of_shown > 0.0:
            factor[0, s, q] = of_shown / shown
        if hid > NOTHING_SEEN:
            factor[1, s, q] = of_hid / hid
            rest[s, q] = scale - of_hid / hid
            waiting[q] += rest[s, q] * hid
        total[q] += share * (of_shown + of_hid)
        left -= of_shown + of_hid
        room[q] = left if left >= NOTHING_SEEN else 0.0
    held[q, 2] = 0.0  # nothing waits to be complete


@_compiled
def _factor_end(held, q, begun, slices, room, factor, rest, total, waiting, share):
    """What is left at the end shows what is hidden."""
    if held[q, 2] > 0.0:
        scale = _scale(held[q, 0] + held[q, 1], held[q, 4], held[q, 5], held[q, 2] + held[q, 3], 0.0)
        _factor(held, q, begun[q], scale, room, factor, rest, total, waiting, share)
    if waiting[q] > NOTHING_SEEN and room[q] > 0.0:
        left = min(1.0, room[q] / waiting[q])
        total[q] += share * left * waiting[q]
        for s in range(slices):
            factor[1, s, q] += left * rest[s, q]
    held[q, :] = 0.0
    waiting[q] = 0.0


@_compiled
def _factors(
    sums, taps, hid_sums, hid_taps, gone_sums, gone_taps, line, pitch, pad, width, number, s, connected, room, touched,
    hid, gone, held, number_of, begun, factor, rest, total, waiting, farthest, share,
):  # fmt: skip
    """How much of a slice is seen at each pixel of a row, or of the one before it, see ``_hold_row``."""
    begin, end, sum_begin, sum_end = touched[line, 0], touched[line, 1], touched[line, 2], touched[line, 3]
    hid_begin, hid_end, hid_sum_begin, hid_sum_end = hid[line, 0], hid[line, 1], hid[line, 2], hid[line, 3]
    gone_begin, gone_end, gone_sum_begin, gone_sum_end = gone[line, 0], gone[line, 1], gone[line, 2], gone[line, 3]
    row = line * pitch + pad
    carry, hid_carry, gone_carry = 0.0, 0.0, 0.0
    for x in range(sum_begin, min(0, sum_end)):
        carry += sums[row + x]
    for x in range(hid_sum_begin, min(0, hid_sum_end)):
        hid_carry += hid_sums[row + x]
    for x in range(gone_sum_begin, min(0, gone_sum_end)):
        gone_carry += gone_sums[row + x]
    start = min(min(min(begin, sum_begin), min(gone_begin, gone_sum_begin)), min(hid_begin, hid_sum_begin))
    stop = max(max(max(end, sum_end), max(gone_end, gone_sum_end)), max(hid_end, hid_sum_end))
    for x in range(max(0, start), stop):
        q = line * width + x
        carry = carry + sums[row + x] if sum_begin <= x < sum_end else 0.0
        hid_carry = hid_carry + hid_sums[row + x] if hid_sum_begin <= x < hid_sum_end else 0.0
        gone_carry = gone_carry + gone_sums[row + x] if gone_sum_begin <= x < gone_sum_end else 0.0
        shown, behind = taps[row + x] + carry, hid_taps[row + x] + hid_carry
        away = max(gone_taps[row + x] + gone_carry, 0.0)
        together = shown + behind + away
        if together <= NOTHING_SEEN or room[q] <= 0.0:
            continue
        if not connected:
            seen = min(shown, room[q])
            factor[0, s, q] = seen / shown
            total[q] += share * seen
            left = room[q] - seen
            room[q] = left if left >= NOTHING_SEEN else 0.0
            continue
        if number < farthest[q]:
            _factor_end(held, q, begun, s, room, factor, rest, total, waiting, share)
            room[q] = 0.0
            continue
        before, cover, given = held[q, 2], 0.0, 0.0
        if before > 0.0:
            before += held[q, 3]
            covered, cover, given = held[q, 0] + held[q, 1], held[q, 4], held[q, 5]
            if number_of[q] - number == 1:
                scale = _scale(covered, cover, given, before + together, shown + behind)
                cover += covered
                given += scale * covered
            else:
                scale = _scale(covered, cover, given, before, 0.0)
                before, cover, given = 0.0, 0.0, 0.0
            _factor(held, q, begun[q], scale, room, factor, rest, total, waiting, share)
            if room[q] <= 0.0:
                continue
        held[q, 0], held[q, 1], held[q, 2], held[q, 3] = shown, behind, together, before
        held[q, 4], held[q, 5] = cover, given
        number_of[q], begun[q] = number, s
        if shown >= COMPLETE and away <= NOTHING_SEEN:
            _factor(held, q, s, 1.0, room, factor, rest, total, waiting, share)
    _clear_row(sums, taps, line, pitch, pad, 1, width, touched)
    _clear_row(hid_sums, hid_taps, line, pitch, pad, 1, width, hid)
    _clear_row(gone_sums, gone_taps, line, pitch, pad, 1, width, gone)


@_compiled
def _spread_light(image, top, left, line, columns, width, share, factor, total, light, summed_light, pitch, pad):
    """A row of what a slice gets back, and its sums from the right."""
    channels = image.shape[0]
    row = line * pitch + pad * channels
    light[line * pitch : (line + 1) * pitch] = 0.0
    summed_light[line * pitch : (line + 1) * pitch] = 0.0
    for c in range(channels):
        carry = 0.0
        for x in range(columns - 1, -1, -1):
            t = total[line * width + x]
            value = 0.0
            if t > NOTHING_SEEN:
                value = share * factor[line * width + x] * (image[c, top + line, left + x] / t)
            carry += value
            light[row + x * channels + c] = value
            summed_light[row + x * channels + c] = carry
        for x in range(-pad, 0):
            summed_light[row + x * channels + c] = carry


@_compiled
def _return_light(back, own, scene, height, width, border, reach, tile_height, out):
    """Add what the patches got back to the pixels whose colors they have."""
    channels = own.shape[0]
    there, mixed, table, other, place = scene[2], scene[3], scene[4], scene[5], scene[6]
    mean_of, mean_weight = scene[12], scene[13]
    flat = own.reshape(channels, -1)
    row_at, column_at = np.empty(height + 2 * reach, np.int64), np.empty(width + 2 * reach, np.int64)
    row_dark, column_dark = np.empty(height + 2 * reach, np.bool_), np.empty(width + 2 * reach, np.bool_)
    _places(-reach, height + 2 * reach, height, border, row_at, row_dark)
    _places(-reach, width + 2 * reach, width, border, column_at, column_dark)
    for job in range(back.shape[0]):
        top = job * tile_height
        for i in range(min(tile_height, height - top) + 2 * reach):
            if row_dark[top + i]:
                continue
            for j in range(width + 2 * reach):
                if column_dark[j]:
                    continue
                p = row_at[top + i] * width + column_at[j]
                m = mixed[p] if mixed.size else -1
                for kind in range(2):
                    if not there[kind, p]:
                        continue
                    w = 3 * kind
                    for c in range(channels):
                        light = back[job, kind, i, j, c]
                        if m >= 0:
                            flat[c, p] += table[m, w] * light
                            flat[c, other[m, 0]] += table[m, w + 1] * light
                            flat[c, other[m, 1]] += table[m, w + 2] * light
                        elif kind == 0 or place[p] >= 0:
                            flat[c, p if kind == 0 else place[p]] += light
                        else:
                            for n in range(4):
                                flat[c, mean_of[-1 - place[p], n]] += mean_weight[-1 - place[p], n] * light
    out[...] = own


def _in_bytes(code: Any, lanes: int) -> Any:
    """The code with the places of its entries as distances in bytes, for pixels of so many numbers."""
    first_row, rows, entry_dx, *others = code
    return first_row, rows, entry_dx * (8 * lanes), *others


@_compiled
def _planes(
    order, kernel, hidden, front, share, pure, missing, connected, order_of, kernel_of, there, mixed, table, other,
    light, surface, partly, width, rows, columns,
):  # fmt: skip
    """The patches of every pixel within these rows and columns, see ``Scene.patches``; what is not there is not set."""
    order, kernel, hidden, front = borrowed(order), borrowed(kernel), borrowed(hidden), borrowed(front)
    missing, order_of, kernel_of, there = borrowed(missing), borrowed(order_of), borrowed(kernel_of), borrowed(there)
    edges, missed, sloped = front.size > 0, there.shape[0] > 2, surface.size > 0
    count = 0
    for y in range(rows[0], rows[1]):
        begin, end = y * width + columns[0], y * width + columns[1]
        orders, kernels, hides = piece(order, begin, end), piece(kernel, begin, end), piece(hidden, begin, end)
        orders_of, kernels_of, theres = (
            piece(order_of, begin, end),
            piece(kernel_of, begin, end),
            piece(there, begin, end),
        )
        for x in range(end - begin):
            orders_of[x], kernels_of[x], theres[x] = orders[x], kernels[x], True
        for kind in range(1, there.shape[0]):
            theres = piece(there, kind * order.size + begin, kind * order.size + end)
            for x in range(end - begin):
                theres[x] = False
        if edges:
            mixtures = piece(mixed, begin, end)
            for x in range(end - begin):
                mixtures[x] = -1
        if sloped:
            for p in range(begin, end):
                surface[0, p] = p
        for x in range(end - begin):
            if hides[x] < 0 and not (missed and missing[begin + x] >= 0):
                continue
            p = begin + x
            h, n, a = hidden[p], p, 1.0
            if edges and front[p] >= 0:
                n, a = front[p], share[p]
            there[0, p], there[1, p] = a > 0.0, h >= 0
            if missed:
                gone = missing[p]
                within = gone == front[p]
                there[2, p] = gone >= 0 and (a < 1.0 or not within)
                partly[p] = within and 0.0 < a < 1.0
                gone = max(gone, 0)
                order_of[2, p], kernel_of[2, p] = order[gone], kernel[gone]
            h = max(h, 0)
            order_of[0, p], order_of[1, p] = order[n], order[h]
            if connected:  # what is hidden is never of the slice that hides it
                order_of[1, p] = min(order[h], order[n] - 1)
            kernel_of[0, p], kernel_of[1, p] = kernel[n], kernel[h]
            # Where nothing is mixed, what is hidden has the color of one pixel: the own, or that which continues there.
            light[p] = p if a == 0.0 else h
            if sloped:
                surface[0, p], surface[1, p] = n, h
            if edges and 0.0 < a < 1.0:
                rest = 1.0 - a
                q = a * a + rest * rest
                table[count, 0], table[count, 1], table[count, 2] = a * a / q, a * rest * rest / q, -a * a * rest / q
                table[count, 3], table[count, 4], table[count, 5] = rest / q, -a * rest / q, a * a / q
                table[count, 6], table[count, 7] = a, rest
                other[count, 0], other[count, 1] = pure[p], h
                mixed[p] = count
                count += 1


@_compiled
def _edge_pixels(front, width, rows, columns):
    """How many pixels within these rows and columns are at an edge."""
    count = 0
    if front.size:
        for y in range(rows[0], rows[1]):
            line = piece(front, y * width + columns[0], y * width + columns[1])
            for x in range(columns[1] - columns[0]):
                count += line[x] >= 0
    return count


def _flat(b: int, *planes: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    return tuple(np.ascontiguousarray(plane[b]).ravel() for plane in planes)


def _compiled_scene(
    scene: Scene, b: int, rows: tuple[int, int], columns: tuple[int, int]
) -> tuple[tuple[Any, ...], int, int]:
    """The patches within some rows and columns of a picture for compiled code, the lowest slice, and how many."""
    ranks, lowest, numbers = _slices(scene.order[b].ravel())
    pixels = ranks.size
    none, no_share = np.empty(0, np.int32), np.empty(0)
    edges: tuple[NDArray[Any], ...] = (none, no_share, none, none)
    if scene.front is not None and scene.share is not None and scene.pure is not None and scene.missing is not None:
        edges = _flat(b, scene.front, scene.share, scene.pure, scene.missing)
    width = scene.order.shape[2]
    most = _edge_pixels(edges[0], width, rows, columns)
    kinds = 3 if scene.connected and scene.front is not None else 2
    sloped = scene.slope is not None
    order, kernel = (np.empty((kinds, pixels), np.int32) for _ in range(2))
    light = np.empty(pixels, np.int32)
    there = np.empty((kinds, pixels), np.bool_)
    mixed = np.empty(pixels if scene.front is not None else 0, np.int32)
    table, other = np.empty((most, 8)), np.empty((most, 2), np.int32)
    surface = np.empty((2, pixels if sloped else 0), np.int32)
    partly = np.empty(pixels if kinds > 2 else 0, np.bool_)
    _planes(
        ranks, *_flat(b, scene.kernel, scene.hidden), *edges, scene.connected,
        order, kernel, there, mixed, table, other, light, surface, partly, width,
        rows, columns,
    )  # fmt: skip
    slope = np.empty((2, 0)) if scene.slope is None else np.ascontiguousarray(scene.slope[b].reshape(2, -1))
    if scene.connected and len(numbers) > 1 and np.diff(numbers).max() > 1:
        numbers, ranked = np.unique(scene.patches(b).order[:kinds], return_inverse=True)
        order[:], lowest = ranked.reshape(order.shape), 0
    elif scene.connected:
        # What is hidden is a slice farther than what hides it, and so perhaps the farthest of all.
        lowest, numbers = lowest - 1, np.concatenate([numbers[:1] - 1, numbers])
    farthest = none if scene.farthest is None else np.ascontiguousarray(scene.farthest[b]).ravel()
    means = scene.means.of_picture(b, pixels)
    light[means.at] = np.arange(-1, -1 - len(means.at), -1)  # below 0: a mean
    planes = (
        order, kernel, there, mixed, table, other, light, surface, slope, numbers, partly, farthest,
        np.ascontiguousarray(means.of), np.ascontiguousarray(means.weight),
    )  # fmt: skip
    return planes, lowest, len(numbers)


def _slices(order: NDArray[np.int32]) -> tuple[NDArray[np.int32], int, NDArray[np.int64]]:
    """The slices as numbers close together: the numbers, the lowest, and the slice of each."""
    lowest, highest = int(order.min()), int(order.max())
    if highest - lowest < _MOST_SLICES and max(-lowest, highest) < 2**30:
        return np.ascontiguousarray(order), lowest, np.arange(lowest, highest + 1, dtype=np.int64)
    values, ranks = np.unique(order, return_inverse=True)
    return ranks.reshape(order.shape).astype(np.int32), 0, values.astype(np.int64)


def _compositing(
    image: NDArray[np.floating], scene: Scene, border: Border, window: Window
) -> tuple[Any, int, tuple[int, int], Any]:
    """The coded point spreads, the reach, the size of tiles, and what the kernels take of a picture, by its number."""
    psf = scene.psf
    code = code_point_spreads(psf.start, psf.dy, psf.dx, psf.weight)
    reach = int(_reach(code[5], scene.kernels)[1])
    top, left, height, width = window
    # Larger tiles for larger reaches, so that the margin stays in proportion.
    tile = min(height, max(_TILE_HEIGHT, reach)), min(width, max(_TILE_WIDTH, reach))
    center = np.zeros((scene.parts, 2)) if scene.part_center is None else np.ascontiguousarray(scene.part_center)
    rows, columns = (
        _around(first, count, size, reach, border)
        for first, count, size in ((top, height, image.shape[2]), (left, width, image.shape[3]))
    )

    def of_picture(b: int) -> tuple[Any, ...]:
        planes, lowest, slices = _compiled_scene(scene, b, rows, columns)
        return planes, center, scene.connected, lowest, slices, BORDER_CODES[border], scene.part_weight

    return code, reach, tile, of_picture


def _around(first: int, count: int, size: int, reach: int, border: Border) -> tuple[int, int]:
    """The rows (or columns) of a picture of this size that reach some of them, also where the picture is continued."""
    begin, end = first - reach, first + count + reach
    if border == Border.CIRCULAR and not 0 <= begin < end <= size:
        return 0, size
    return max(begin, 0), min(end, size)


def _workers(image: NDArray[np.floating], threads: int | None) -> int:
    return threads_to_use(threads) if image.shape[2] * image.shape[3] > 4096 else 1


def composite(
    image: NDArray[np.floating],
    scene: Scene | Sequence[Scene],
    *,
    border: Border,
    window: Window | None = None,
    threads: int | None = None,
) -> NDArray[np.floating]:
    """Spread the light of every patch of the scene, with nearer slices covering farther ones.

    The result is computed in float64 and equals the definition's to 1e-12 (2e-5 for float32 pictures, which is the
    rounding of the result). The cost grows with the number of pixels times that of the differences of their point
    spreads (6 to 12 per px of radius for disks and polygons), and slightly with the number of slices in a tile. Not
    modeled: NaN and infinite pixels; they spread along the rows of a tile.
    """
    check_image(image)
    if not isinstance(scene, Scene):
        check_one_each("scenes", len(scene), len(image))
        alike: Any = {"border": border, "window": window, "threads": threads}
        return np.concatenate([composite(image[b : b + 1], one, **alike) for b, one in enumerate(scene)])
    border = check_scene(image.shape, scene, border)
    _, channels, height, width = image.shape
    window = window_within(image.shape, window)
    code, reach, tile, of_picture = _compositing(image, scene, border, window)
    codes = _in_bytes(code, channels + 1), _in_bytes(code, 1)
    united, _ = _reach(code[5], scene.kernels)
    whole = scene.parts == 1 or not scene.connected
    # What is still has its own color; the rest is written over.
    top, left, rows, columns = window
    still = image[..., top : top + rows, left : left + columns]
    result = still.astype(image.dtype.newbyteorder("="), order="C")
    for b in range(len(image)):
        picture, of_scene = _native(image[b]).reshape(channels, -1), of_picture(b)
        cells = _cells_of(of_scene[0], united, window, height, width, reach, whole, BORDER_CODES[border])
        boxes = _boxes_of(cells, window, *tile, 2 * (-(-reach // _CELL)))
        share_out(
            _composite_tiles, len(boxes), _workers(still, threads), picture, *of_scene, *codes, reach, *tile, boxes,
            (height, width), window, result[b],
        )  # fmt: skip
    return result


def composite_adjoint(
    image: NDArray[np.floating], scene: Scene, *, border: Border, threads: int | None = None
) -> NDArray[np.floating]:
    """The exact transpose of :func:`composite` as a map of images."""
    check_image(image)
    border = check_scene(image.shape, scene, border)
    _, channels, height, width = image.shape
    code, reach, tile, of_picture = _compositing(image, scene, border, (0, 0, height, width))
    jobs = -(-height // tile[0])
    codes = _in_bytes(code, 1), _in_bytes(code, channels)
    result = np.empty(image.shape, image.dtype)
    own = np.empty(image.shape[1:])
    for b in range(len(image)):
        scene_of_picture = of_picture(b)
        # Rows of tiles overlap in what they give back, so each has an array of its own, and they are added in order.
        back = np.zeros((jobs, 2, tile[0] + 2 * reach, width + 2 * reach, channels))
        share_out(
            _adjoint_rows, jobs, _workers(image, threads),
            _native(image[b]), *scene_of_picture, *codes, reach, *tile, back, own,
        )  # fmt: skip
        _return_light(back, own, scene_of_picture[0], height, width, BORDER_CODES[border], reach, tile[0], result[b])
    return result


def _native(picture: NDArray[np.floating]) -> NDArray[np.floating]:
    """One picture, contiguous, in the machine's own byte order: one compiled version for all."""
    return np.ascontiguousarray(picture, picture.dtype.newbyteorder("="))
