"""Compositing with occlusion on the CPU: patches of light scattered slice by slice, from near to far.

``backends.reference.composite`` is the definition. How it works: the result is cut into tiles. For each, the patches
that can reach it (those of the picture, of its continuation, and the hidden ones) are gathered as runs, pieces of a row
with one slice and one point spread, and sorted by slice. Per slice every run is added into an accumulator, colours and
coverage side by side, so that one vector holds all of a pixel. A point spread is coded row by row once per call: a
small one by its taps, a large one by the differences between neighbouring taps, of which a disk has only O(radius);
the latter go into a second accumulator, whose rows are summed up when the slice is complete. Then as much of the slice
is taken as there is room, and a tile is done when no room is left.

All sums are float64, whatever the type of the picture: running sums of differences cancel, and four float64 fit into
the vectors of today. Taps at one place (in focus) are never coded by differences, so such pixels keep their very bits.
Tiles do not depend on the number of threads, so neither do the bytes of the result.
"""

# numba and llvmlite carry no types.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,import-untyped,call-arg"

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.cpu.convolve import _share, _threads_to_use
from blursynth.backends.cpu.convolve_direct import BORDER_CODES, _continued
from blursynth.backends.reference.composite import NOTHING_SEEN, check_scene
from blursynth.frame import Border
from blursynth.physics.scene import SLACK_PX, Scene

__all__ = ["composite", "composite_adjoint", "hidden_surface"]

_compiled = compiled(fastmath={"contract"})

_TILE_HEIGHT, _TILE_WIDTH = 64, 256
_MOST_SLICES = 4096  # numbers of slices wider apart are replaced by their ranks
_SAME = 1e-13  # differences of taps below this share of the largest are rounding
_BLOCK = 8  # px, blocks in which hidden_surface looks for anything farther at all
_VECTOR = 4  # numbers


@intrinsic
def _add_scaled(typing_context, target, source, weight, vectors):
    """Add ``weight`` times the numbers at one address to those at another, ``vectors`` times four float64."""

    def generate(context, builder, signature, arguments):
        target, source, weight, vectors = arguments
        word, index = ir.IntType(64), ir.IntType(32)
        vector = ir.VectorType(ir.DoubleType(), _VECTOR)
        multiply_add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{_VECTOR}f64"
        )
        undefined = ir.Constant(vector, ir.Undefined)
        first = builder.insert_element(undefined, weight, ir.Constant(index, 0))
        everywhere = builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(index, _VECTOR), [0] * _VECTOR))
        entry = builder.block
        loop = builder.append_basic_block("vectors")
        done = builder.append_basic_block("done")
        zero = ir.Constant(word, 0)
        builder.cbranch(builder.icmp_signed(">", vectors, zero), loop, done)
        builder.position_at_end(loop)
        number = builder.phi(word)
        number.add_incoming(zero, entry)
        distance = builder.mul(number, ir.Constant(word, 8 * _VECTOR))
        place = builder.inttoptr(builder.add(target, distance), vector.as_pointer())
        value = builder.load(builder.inttoptr(builder.add(source, distance), vector.as_pointer()), align=8)
        builder.store(builder.call(multiply_add, [value, everywhere, builder.load(place, align=8)]), place, align=8)
        following = builder.add(number, ir.Constant(word, 1))
        number.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, vectors), loop, done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.float64, types.int64), generate


def _add_entries(vectors: int) -> Any:
    """Code that adds up to eight vectors, kept in registers, times every entry of a row of a point spread."""

    @intrinsic
    def add(typing_context, target, source, offsets, weights, count):
        def generate(context, builder, signature, arguments):
            target, source, offsets, weights, count = arguments
            word, index = ir.IntType(64), ir.IntType(32)
            vector = ir.VectorType(ir.DoubleType(), _VECTOR)
            multiply_add = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{_VECTOR}f64"
            )
            undefined = ir.Constant(vector, ir.Undefined)
            everywhere = ir.Constant(ir.VectorType(index, _VECTOR), [0] * _VECTOR)

            def at(address, distance, kind):
                place = builder.add(address, ir.Constant(word, distance)) if distance else address
                return builder.inttoptr(place, kind.as_pointer())

            values = [builder.load(at(source, 8 * _VECTOR * v, vector), align=8) for v in range(vectors)]
            entry = builder.block
            loop = builder.append_basic_block("entries")
            done = builder.append_basic_block("done")
            zero = ir.Constant(word, 0)
            builder.cbranch(builder.icmp_signed(">", count, zero), loop, done)
            builder.position_at_end(loop)
            number = builder.phi(word)
            number.add_incoming(zero, entry)
            distance = builder.shl(number, ir.Constant(word, 3))
            offset = builder.load(at(builder.add(offsets, distance), 0, word))
            weight = builder.load(at(builder.add(weights, distance), 0, ir.DoubleType()))
            first = builder.insert_element(undefined, weight, ir.Constant(index, 0))
            scale = builder.shuffle_vector(first, undefined, everywhere)
            base = builder.add(target, offset)
            for v in range(vectors):
                place = at(base, 8 * _VECTOR * v, vector)
                old = builder.load(place, align=8)
                builder.store(builder.call(multiply_add, [values[v], scale, old]), place, align=8)
            following = builder.add(number, ir.Constant(word, 1))
            number.add_incoming(following, loop)
            builder.cbranch(builder.icmp_signed("<", following, count), loop, done)
            builder.position_at_end(done)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5), generate

    return add


_add_1, _add_2, _add_3, _add_4 = (_add_entries(vectors) for vectors in (1, 2, 3, 4))
_add_5, _add_6, _add_7, _add_8 = (_add_entries(vectors) for vectors in (5, 6, 7, 8))


@_compiled
def _add_row(target, source, offsets, weights, count, vectors):
    """Add a run, ``vectors`` times four numbers, times every entry of one row of its point spread."""
    while vectors >= 8:
        _add_8(target, source, offsets, weights, count)
        target += 64 * _VECTOR
        source += 64 * _VECTOR
        vectors -= 8
    if vectors == 1:
        _add_1(target, source, offsets, weights, count)
    elif vectors == 2:
        _add_2(target, source, offsets, weights, count)
    elif vectors == 3:
        _add_3(target, source, offsets, weights, count)
    elif vectors == 4:
        _add_4(target, source, offsets, weights, count)
    elif vectors == 5:
        _add_5(target, source, offsets, weights, count)
    elif vectors == 6:
        _add_6(target, source, offsets, weights, count)
    elif vectors == 7:
        _add_7(target, source, offsets, weights, count)


@_compiled
def code_point_spreads(start, dy, dx, weight):
    """Every point spread row by row, by its taps or by the differences of neighbouring taps, whichever are fewer.

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
    """Which row (or column) of the picture goes on at each place, and whether it is dark there."""
    for i in range(count):
        place = first + i
        surface[i] = _continued(place, size, 1 if border == 3 else border)
        outside[i] = border == 3 and (place < 0 or place >= size)


@_compiled
def _collect(order, kernel, hidden, width, lowest, rows, columns, row_at, column_at, extent, reach, size, runs, sort):
    """Gather the runs that reach a tile, ``(slice, kernel, row, first column, length, hidden)``, sorted by slice.

    ``sort[0, s]`` is where slice s begins in ``sort[1]``.
    """
    count = 0
    begin, index = sort
    begin[:] = 0
    for i in range(rows):
        base = row_at[i] * width
        for behind in range(2):
            j = 0
            while j < columns:
                p = base + column_at[j]
                if behind == 1:
                    p = hidden[p]
                    if p < 0:
                        j += 1
                        continue
                k, s = kernel[p], order[p]
                end = j + 1
                while end < columns:
                    p = base + column_at[end]
                    if behind == 1:
                        p = hidden[p]
                        if p < 0:
                            break
                    if kernel[p] != k or order[p] != s:
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
                    runs[count, 3], runs[count, 4], runs[count, 5] = x, end - j, behind
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
def _scatter(run, values, lanes, code, number, sums, taps, pitch, pad, size, room_from, room_to, touched):
    """Add a run, its colours and coverage in ``values``, to the accumulators of its slice."""
    first_row, rows, entry_offset, entry_weight, summed, _ = code  # offsets in bytes
    y, x, length = run[2], run[3], run[4]
    target = sums.ctypes.data if summed[number] else taps.ctypes.data
    kind = 2 if summed[number] else 0
    source = values.ctypes.data
    vectors = (length * lanes + _VECTOR - 1) // _VECTOR
    for r in range(first_row[number], first_row[number + 1]):
        line = y + rows[r, 0]
        if line < 0 or line >= size[0] or room_from[line] >= room_to[line]:
            continue
        left, right = x + rows[r, 1], x + length - 1 + rows[r, 2]
        if right <= room_from[line] or left >= room_to[line]:
            continue
        touched[line, kind] = min(touched[line, kind], left)
        touched[line, kind + 1] = max(touched[line, kind + 1], min(right + 1, size[1]))
        place = target + 8 * (line * pitch + (pad + x) * lanes)
        first, count = rows[r, 3], rows[r + 1, 3] - rows[r, 3]
        if right < size[1]:
            offsets, weights = entry_offset.ctypes.data + 8 * first, entry_weight.ctypes.data + 8 * first
            _add_row(place, source, offsets, weights, count, vectors)
            continue
        for e in range(first, first + count):
            n = min(length, size[1] - x - entry_offset[e] // (8 * lanes))
            _add_scaled(place + entry_offset[e], source, entry_weight[e], (n * lanes + _VECTOR - 1) // _VECTOR)


@_compiled
def _clear(accumulator, line, pitch, pad, lanes, begin, end):
    accumulator[line * pitch + (pad + begin) * lanes : line * pitch + (pad + end) * lanes + _VECTOR] = 0.0


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
def _take_row(sums, taps, line, pitch, pad, lanes, width, share, room, room_from, room_to, touched, result):
    """As much of a slice as there is room in one row of the tile; the row of the accumulators is cleared."""
    begin, end = touched[line, 0], touched[line, 1]  # taps
    sum_begin, sum_end = touched[line, 2], touched[line, 3]
    row = line * pitch + pad * lanes
    place = line * width
    # Beyond where there is room only the running sums matter.
    start, stop = max(min(begin, sum_begin), room_from[line]), min(max(end, sum_end), room_to[line])
    if lanes == 4:
        c0, c1, c2, c3 = 0.0, 0.0, 0.0, 0.0
        for o in range(row + sum_begin * 4, row + min(start, sum_end) * 4, 4):
            c0, c1, c2, c3 = c0 + sums[o], c1 + sums[o + 1], c2 + sums[o + 2], c3 + sums[o + 3]
        for x in range(start, stop):
            o = row + x * 4
            if x >= sum_end:  # the sums are zero from here on, and their rounding shall not touch what is in focus
                c0, c1, c2, c3 = 0.0, 0.0, 0.0, 0.0
            c0, c1, c2, c3 = c0 + sums[o], c1 + sums[o + 1], c2 + sums[o + 2], c3 + sums[o + 3]
            a = taps[o + 3] + c3
            left = room[place + x]
            if a > NOTHING_SEEN and left > 0.0:
                seen = min(a, left)
                factor = share if a <= left else share * (left / a)  # a division only where it is one
                p = (place + x) * 4
                result[p] += factor * (taps[o] + c0)
                result[p + 1] += factor * (taps[o + 1] + c1)
                result[p + 2] += factor * (taps[o + 2] + c2)
                result[p + 3] += factor * a
                left -= seen
                room[place + x] = left if left >= NOTHING_SEEN else 0.0
    else:
        carry = np.zeros(lanes)
        for x in range(sum_begin, min(start, sum_end)):
            for c in range(lanes):
                carry[c] += sums[row + x * lanes + c]
        for x in range(start, stop):
            o = row + x * lanes
            for c in range(lanes):
                carry[c] = carry[c] + sums[o + c] if x < sum_end else 0.0
            a = taps[o + lanes - 1] + carry[lanes - 1]
            left = room[place + x]
            if a > NOTHING_SEEN and left > 0.0:
                seen = min(a, left)
                factor = share if a <= left else share * (left / a)  # a division only where it is one
                p = (place + x) * lanes
                for c in range(lanes):
                    result[p + c] += factor * (taps[o + c] + carry[c])
                left -= seen
                room[place + x] = left if left >= NOTHING_SEEN else 0.0
    if begin < end:
        _clear(taps, line, pitch, pad, lanes, begin, end)
    if sum_begin < sum_end:
        _clear(sums, line, pitch, pad, lanes, sum_begin, sum_end)
    for kind in (0, 2):
        touched[line, kind], touched[line, kind + 1] = width, -pad


@_compiled
def _composite_tiles(
    first, last, image, order, kernel, hidden, lowest, slices, border, share, code, reach, tile_height, tile_width, out
):
    channels, height, width = out.shape
    lanes = channels + 1
    kernels = (code[0].size - 1) // share.size
    united, _ = _reach(code[5], kernels)
    pad = 2 * reach + 2
    pitch = ((pad + tile_width) * lanes + _VECTOR + 7) // 8 * 8
    sums, taps = _aligned(tile_height * pitch), _aligned(tile_height * pitch)
    room, result = np.empty(tile_height * tile_width), np.empty(tile_height * tile_width * lanes)
    rows_most, columns_most = tile_height + 2 * reach, tile_width + 2 * reach
    values = _aligned(columns_most * lanes + _VECTOR)
    row_at, column_at = np.empty(rows_most, np.int64), np.empty(columns_most, np.int64)
    row_dark, column_dark = np.empty(rows_most, np.bool_), np.empty(columns_most, np.bool_)
    runs = np.empty((2 * rows_most * columns_most, 6), np.int32)
    sort = (np.empty(slices + 1, np.int64), np.empty(2 * rows_most * columns_most, np.int32))
    room_from, room_to = np.empty(tile_height, np.int64), np.empty(tile_height, np.int64)
    touched = np.empty((tile_height, 4), np.int64)
    touched[:, 0], touched[:, 2] = tile_width, tile_width
    touched[:, 1], touched[:, 3] = -pad, -pad
    across = (width + tile_width - 1) // tile_width
    for job in range(first, last):
        top, left = job // across * tile_height, job % across * tile_width
        size = (min(tile_height, height - top), min(tile_width, width - left))
        rows, columns = size[0] + 2 * reach, size[1] + 2 * reach
        _places(top - reach, rows, height, border, row_at, row_dark)
        _places(left - reach, columns, width, border, column_at, column_dark)
        _collect(
            order, kernel, hidden, width, lowest, rows, columns, row_at, column_at, united, reach, size, runs, sort
        )
        begin, index = sort
        result[:] = 0.0
        for part in range(share.size):
            room[:] = 1.0
            room_from[:], room_to[:] = 0, size[1]
            some_room = True
            for s in range(slices - 1, -1, -1):
                if not some_room:
                    break
                if begin[s] == begin[s + 1]:
                    continue
                for r in range(begin[s], begin[s + 1]):
                    run = runs[index[r]]
                    i = run[2] + reach
                    base = row_at[i] * width
                    length = run[4]
                    for n in range(length):
                        j = run[3] + reach + n
                        p = base + column_at[j]
                        if run[5] == 1:
                            p = hidden[p]
                        dark = row_dark[i] or column_dark[j]
                        for c in range(channels):
                            values[n * lanes + c] = 0.0 if dark else image[c, p]
                        values[n * lanes + channels] = 1.0
                    values[length * lanes : length * lanes + _VECTOR] = 0.0
                    _scatter(
                        run, values, lanes, code, part * kernels + run[1], sums, taps, pitch, pad, size,
                        room_from, room_to, touched,
                    )  # fmt: skip
                some_room = False
                for line in range(size[0]):
                    if touched[line, 0] < touched[line, 1] or touched[line, 2] < touched[line, 3]:
                        # The pitch of room and result is the tile's full width.
                        _take_row(
                            sums, taps, line, pitch, pad, lanes, tile_width, share[part], room, room_from, room_to,
                            touched, result,
                        )  # fmt: skip
                        _shrink(room, line, tile_width, room_from, room_to)
                    some_room = some_room or room_from[line] < room_to[line]
        for i in range(size[0]):
            for j in range(size[1]):
                p = (i * tile_width + j) * lanes
                total = result[p + channels]
                if total > NOTHING_SEEN:
                    inverse = 1.0 / total if total != 1.0 else 1.0
                    for c in range(channels):
                        out[c, top + i, left + j] = result[p + c] * inverse
                else:
                    for c in range(channels):
                        out[c, top + i, left + j] = image[c, (top + i) * width + left + j]


@_compiled
def _cover(
    runs, sort, s, part, kernels, code, sums, taps, pitch, pad, size, room_from, room_to, touched, ones
):  # coverage of a slice
    begin, index = sort
    for r in range(begin[s], begin[s + 1]):
        run = runs[index[r]]
        keep = ones[run[4] : run[4] + _VECTOR].copy()
        ones[run[4] : run[4] + _VECTOR] = 0.0
        _scatter(run, ones, 1, code, part * kernels + run[1], sums, taps, pitch, pad, size, room_from, room_to, touched)
        ones[run[4] : run[4] + _VECTOR] = keep


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
            vectors = (n * channels + _VECTOR - 1) // _VECTOR
            _add_scaled(target, place + entry_offset[e], entry_weight[e], vectors)


@_compiled
def _adjoint_rows(
    first, last, image, order, kernel, hidden, lowest, slices, border, share, code, light_code, reach, tile_height,
    tile_width, back, own,
):  # fmt: skip
    """What the patches get back from each row of tiles, ``back[job, visible or hidden, row, column, channel]``."""
    channels, height, width = image.shape
    kernels = (code[0].size - 1) // share.size
    united, _ = _reach(code[5], kernels)
    pad = 2 * reach + 2
    pitch, light_pitch = pad + tile_width + _VECTOR, (pad + tile_width) * channels + _VECTOR
    sums, taps = np.zeros(tile_height * pitch), np.zeros(tile_height * pitch)
    room, total = np.empty(tile_height * tile_width), np.empty(tile_height * tile_width)
    factor = np.zeros(tile_height * tile_width)
    light, summed_light = np.zeros(tile_height * light_pitch), np.zeros(tile_height * light_pitch)
    rows_most, columns_most = tile_height + 2 * reach, tile_width + 2 * reach
    ones = np.ones(columns_most + _VECTOR)
    returned = np.zeros(columns_most * channels + _VECTOR)
    row_at, column_at = np.empty(rows_most, np.int64), np.empty(columns_most, np.int64)
    row_dark, column_dark = np.empty(rows_most, np.bool_), np.empty(columns_most, np.bool_)
    runs = np.empty((2 * rows_most * columns_most, 6), np.int32)
    sort = (np.empty(slices + 1, np.int64), np.empty(2 * rows_most * columns_most, np.int32))
    room_from, room_to = np.empty(tile_height, np.int64), np.empty(tile_height, np.int64)
    active = np.zeros(tile_height, np.bool_)
    touched = np.empty((tile_height, 4), np.int64)
    touched[:, 0], touched[:, 2] = tile_width, tile_width
    touched[:, 1], touched[:, 3] = -pad, -pad
    across = (width + tile_width - 1) // tile_width
    for job in range(first, last):
        top = job * tile_height
        for tile in range(across):
            left = tile * tile_width
            size = (min(tile_height, height - top), min(tile_width, width - left))
            rows, columns = size[0] + 2 * reach, size[1] + 2 * reach
            _places(top - reach, rows, height, border, row_at, row_dark)
            _places(left - reach, columns, width, border, column_at, column_dark)
            _collect(
                order, kernel, hidden, width, lowest, rows, columns, row_at, column_at, united, reach, size, runs, sort
            )
            begin, index = sort
            total[:] = 0.0
            for task in range(2):  # the sum of all shares first, since everything is divided by it
                for part in range(share.size):
                    room[:] = 1.0
                    room_from[:], room_to[:] = 0, size[1]
                    for s in range(slices - 1, -1, -1):
                        if begin[s] == begin[s + 1]:
                            continue
                        _cover(
                            runs, sort, s, part, kernels, code, sums, taps, pitch, pad, size, room_from, room_to,
                            touched, ones,
                        )  # fmt: skip
                        some_room = False
                        for line in range(size[0]):
                            active[line] = touched[line, 0] < touched[line, 1] or touched[line, 2] < touched[line, 3]
                            if active[line]:
                                row = line * tile_width
                                factor[row : row + size[1]] = 0.0
                                _factors(sums, taps, line, pitch, pad, tile_width, room, touched, factor, total,
                                         share[part] if task == 0 else 0.0)  # fmt: skip
                                _shrink(room, line, tile_width, room_from, room_to)
                            some_room = some_room or room_from[line] < room_to[line]
                        if task == 1:
                            for line in range(size[0]):
                                if active[line]:
                                    _spread_light(
                                        image, top, left, line, size[1], tile_width, share[part], factor, total,
                                        light, summed_light, light_pitch, pad,
                                    )  # fmt: skip
                            for r in range(begin[s], begin[s + 1]):
                                run = runs[index[r]]
                                count = run[4] * channels
                                returned[: count + _VECTOR] = 0.0
                                _gather(
                                    run, returned, channels, light_code, part * kernels + run[1], light,
                                    summed_light, light_pitch, pad, size, active,
                                )  # fmt: skip
                                n = 0
                                for j in range(run[4]):
                                    for c in range(channels):
                                        back[job, run[5], run[2] + reach, left + run[3] + reach + j, c] += returned[n]
                                        n += 1
                        if not some_room:
                            break
            for i in range(size[0]):
                for j in range(size[1]):
                    for c in range(channels):
                        covered = total[i * tile_width + j] > NOTHING_SEEN
                        own[c, top + i, left + j] = 0.0 if covered else image[c, top + i, left + j]


@_compiled
def _factors(sums, taps, line, pitch, pad, width, room, touched, factor, total, share):
    """How much of a slice is seen at each pixel of a row, as a factor of its coverage."""
    begin, end, sum_begin, sum_end = touched[line]
    row = line * pitch + pad
    carry = 0.0
    if sum_begin < sum_end:
        for x in range(sum_begin, min(0, sum_end)):
            carry += sums[row + x]
    for x in range(max(0, min(begin, sum_begin)), max(end, sum_end)):
        a = taps[row + x]
        if sum_begin <= x < sum_end:
            carry += sums[row + x]
            a += carry
        left = room[line * width + x]
        if a > NOTHING_SEEN and left > 0.0:
            seen = min(a, left)
            factor[line * width + x] = seen / a
            total[line * width + x] += share * (seen / a) * a
            left -= seen
            room[line * width + x] = left if left >= NOTHING_SEEN else 0.0
    if begin < end:
        _clear(taps, line, pitch, pad, 1, begin, end)
    if sum_begin < sum_end:
        _clear(sums, line, pitch, pad, 1, sum_begin, sum_end)
    for kind in (0, 2):
        touched[line, kind], touched[line, kind + 1] = width, -pad


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
def _return_light(back, own, hidden, height, width, border, reach, tile_height, out):
    """Add what the patches got back to the pixels whose colours they have."""
    channels = own.shape[0]
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
                for c in range(channels):
                    own[c, p // width, p % width] += back[job, 0, i, j, c]
                p = hidden[p]
                if p >= 0:
                    for c in range(channels):
                        own[c, p // width, p % width] += back[job, 1, i, j, c]
    out[...] = own


def _in_bytes(code: Any, lanes: int) -> Any:
    """The code with the places of its entries as distances in bytes, for pixels of so many numbers."""
    first_row, rows, entry_dx, *others = code
    return first_row, rows, entry_dx * (8 * lanes), *others


def _slices(order: NDArray[np.int32]) -> tuple[NDArray[np.int32], int, int]:
    """The slices as numbers close together: the numbers, the lowest, and how many there are."""
    lowest, highest = int(order.min()), int(order.max())
    if highest - lowest < _MOST_SLICES:
        return np.ascontiguousarray(order), lowest, highest - lowest + 1
    values, ranks = np.unique(order, return_inverse=True)
    return ranks.reshape(order.shape).astype(np.int32), 0, len(values)


def _tile(reach: int, height: int, width: int) -> tuple[int, int]:
    """Larger tiles for larger reaches, so that the margin stays in proportion."""
    return min(height, max(_TILE_HEIGHT, reach)), min(width, max(_TILE_WIDTH, reach))


def composite(
    image: NDArray[np.floating], scene: Scene, *, border: Border, threads: int | None = None
) -> NDArray[np.floating]:
    """Spread the light of every patch of the scene and let nearer slices cover farther ones.

    See :func:`blursynth.backends.reference.composite.composite` for the definition. The result is computed in float64
    and equals the definition's to 1e-12 (2e-5 for float32 pictures, which is the rounding of the result).

    Parameters
    ----------
    image
        ``[B, C, H, W]``, float32 or float64; any strides.
    scene
        Slices, point spreads, and what is hidden.
    border
        How pictures and scene go on beyond their edge; not ``VALID``.
    threads
        As in :func:`blursynth.backends.cpu.convolve.convolve`; the bytes of the result do not depend on it.

    Raises
    ------
    InvalidValueError
        See :func:`blursynth.backends.reference.composite.check_scene`.

    Notes
    -----
    The cost grows with the number of pixels times that of the differences of their point spreads (6 to 12 per px of
    radius for disks and polygons), and slightly with the number of slices in a tile. Not modelled: NaN and infinite
    pixels; they spread along the rows of a tile.
    """
    border = check_scene(image, scene, border)
    psf = scene.psf
    code = _in_bytes(code_point_spreads(psf.start, psf.dy, psf.dx, psf.weight), image.shape[1] + 1)
    reach = int(_reach(code[5], scene.kernels)[1])
    _, _, height, width = image.shape
    tile = _tile(reach, height, width)
    jobs = -(-height // tile[0]) * -(-width // tile[1])
    result = np.empty(image.shape, image.dtype)
    for b in range(len(image)):
        order, lowest, slices = _slices(scene.order[b].ravel())
        _share(
            _composite_tiles,
            jobs,
            _threads_to_use(threads) if height * width > 4096 else 1,
            _native(image[b]).reshape(image.shape[1], -1),
            order,
            np.ascontiguousarray(scene.kernel[b]).ravel(),
            np.ascontiguousarray(scene.hidden[b]).ravel(),
            lowest,
            slices,
            BORDER_CODES[border],
            scene.part_weight,
            code,
            reach,
            *tile,
            result[b],
        )
    return result


def composite_adjoint(
    image: NDArray[np.floating], scene: Scene, *, border: Border, threads: int | None = None
) -> NDArray[np.floating]:
    """The exact transpose of :func:`composite` as a map of images, borders and hidden surfaces included."""
    border = check_scene(image, scene, border)
    psf = scene.psf
    code = code_point_spreads(psf.start, psf.dy, psf.dx, psf.weight)
    reach = int(_reach(code[5], scene.kernels)[1])
    _, channels, height, width = image.shape
    tile = _tile(reach, height, width)
    jobs = -(-height // tile[0])
    result = np.empty(image.shape, image.dtype)
    own = np.empty(image.shape[1:])
    for b in range(len(image)):
        order, lowest, slices = _slices(scene.order[b].ravel())
        hidden = np.ascontiguousarray(scene.hidden[b]).ravel()
        # Rows of tiles overlap in what they give back, so each has an array of its own, and they are added in order.
        back = np.zeros((jobs, 2, tile[0] + 2 * reach, width + 2 * reach, channels))
        _share(
            _adjoint_rows,
            jobs,
            _threads_to_use(threads) if height * width > 4096 else 1,
            _native(image[b]),
            order,
            np.ascontiguousarray(scene.kernel[b]).ravel(),
            hidden,
            lowest,
            slices,
            BORDER_CODES[border],
            scene.part_weight,
            _in_bytes(code, 1),
            _in_bytes(code, channels),
            reach,
            *tile,
            back,
            own,
        )
        _return_light(back, own, hidden, height, width, BORDER_CODES[border], reach, tile[0], result[b])
    return result


def _native(picture: NDArray[np.floating]) -> NDArray[np.floating]:
    """One picture, contiguous, in the machine's own byte order: one compiled version for all."""
    return np.ascontiguousarray(picture, picture.dtype.newbyteorder("="))


@_compiled
def _lowest_near(order, rows, columns, reach):
    """Per block of the picture the lowest slice of all blocks that the reach touches."""
    height, width = order.shape
    lowest = np.full((rows, columns), np.int32(2**31 - 1), np.int32)
    for y in range(height):
        for x in range(width):
            value = order[y, x]
            if value < lowest[y // _BLOCK, x // _BLOCK]:
                lowest[y // _BLOCK, x // _BLOCK] = value
    blocks = (reach + _BLOCK - 1) // _BLOCK
    across, near = np.empty_like(lowest), np.empty_like(lowest)
    for i in range(rows):
        for j in range(columns):
            value = lowest[i, j]
            for k in range(max(0, j - blocks), min(columns, j + blocks + 1)):
                value = min(value, lowest[i, k])
            across[i, j] = value
    for i in range(rows):
        for j in range(columns):
            value = across[i, j]
            for k in range(max(0, i - blocks), min(rows, i + blocks + 1)):
                value = min(value, across[k, j])
            near[i, j] = value
    return near


@_compiled
def _first_step(order, y, x, dy, dx, wanted, known, most):
    """Steps in one direction to the first pixel of at most the slice ``wanted``; more than ``most`` for none.

    ``known`` is the answer for the neighbour and its slice, from which it follows nearly always.
    """
    height, width = order.shape
    i, j = y + dy, x + dx
    if i < 0 or i >= height or j < 0 or j >= width:
        return most + 1
    neighbour, own = np.int64(order[i, j]), np.int64(order[y, x])
    if neighbour <= wanted:
        return 1
    if neighbour == own:
        return known + 1
    step = 2 if neighbour < own else known + 1
    while step <= most:
        i, j = y + step * dy, x + step * dx
        if i < 0 or i >= height or j < 0 or j >= width:
            return most + 1
        if order[i, j] <= wanted:
            return step
        step += 1
    return step


@_compiled
def _hidden_bands(first, last, order, near, gap, reach, band, out):
    """Bands of rows, each in two sweeps: downwards for what lies above and to the left, and upwards for the rest.

    A sweep begins ``reach`` rows outside of its band; nothing farther away can matter.
    """
    height, width = order.shape
    diagonal = int(reach / math.sqrt(2.0))
    most = np.array([reach, reach, diagonal, diagonal])
    above = np.empty((3, width), np.int64)  # steps straight, and along both diagonals, of the row before
    here = np.empty((3, width), np.int64)
    for job in range(first, last):
        top, bottom = job * band, min(height, (job + 1) * band)
        best = np.empty((bottom - top, width), np.int64)
        for sweep in range(2):
            turn = -1 if sweep == 0 else 1  # the side that is looked at
            # Ties go to right, down, left, up, down-right, down-left, up-left, up-right.
            ranks = (2, 3, 6, 7) if sweep == 0 else (0, 1, 4, 5)
            start = max(0, top - reach) if sweep == 0 else min(height, bottom + reach) - 1
            end = bottom if sweep == 0 else top - 1
            above[:] = reach + 1
            for y in range(start, end, -turn):
                beside = reach + 1
                for n in range(width):
                    x = n if sweep == 0 else width - 1 - n
                    wanted = np.int64(order[y, x]) - gap
                    if near[y // _BLOCK, x // _BLOCK] > wanted:
                        beside = reach + 1
                        here[0, x], here[1, x], here[2, x] = reach + 1, reach + 1, reach + 1
                        if top <= y < bottom and sweep == 0:
                            best[y - top, x] = np.int64(2) ** 62
                            out[y, x] = -1
                        continue
                    key, found = np.int64(2) ** 62, -1
                    for d in range(4):
                        # To the side, straight, and the diagonals in the order of their ranks.
                        dy = 0 if d == 0 else turn
                        dx = turn if d in (0, 2) else 0 if d == 1 else -turn
                        known = beside
                        if d > 0:
                            known = above[d - 1, x + dx] if 0 <= x + dx < width else reach + 1
                        step = _first_step(order, y, x, dy, dx, wanted, known, most[d])
                        if d == 0:
                            beside = step
                        else:
                            here[d - 1, x] = step
                        if step <= most[d]:
                            squared = step * step if d < 2 else 2 * step * step
                            if 8 * squared + ranks[d] < key:
                                key, found = 8 * squared + ranks[d], (y + step * dy) * width + x + step * dx
                    if top <= y < bottom:
                        if sweep == 0 or key < best[y - top, x]:
                            out[y, x] = found
                        if sweep == 0:
                            best[y - top, x] = key
                above, here = here, above


@_compiled
def _hidden_rows(first, last, order, near, gap, reach, per_px, slack, out):
    """Rows first to last; what is hidden lies the farther the more distant it is, which keeps searches short."""
    height, width = order.shape
    for y in range(first, last):
        for x in range(width):
            out[y, x] = -1
            here = np.int64(order[y, x])
            room = here - np.int64(near[y // _BLOCK, x // _BLOCK])
            if room < gap:
                continue
            best = min(float(reach), room / per_px + slack) + 1e-9
            found = -1
            for d in range(8):
                # Right, down, left, up, then the diagonals: at one distance the first is kept.
                dy = 0 if d == 0 or d == 2 else 1 if d == 1 or d == 4 or d == 5 else -1
                dx = 0 if d == 1 or d == 3 else 1 if d == 0 or d == 4 or d == 7 else -1
                length = 1.0 if d < 4 else math.sqrt(2.0)
                step = 1
                while True:
                    distance = step * length
                    v, u = y + step * dy, x + step * dx
                    if distance > best or v < 0 or v >= height or u < 0 or u >= width:
                        break
                    farther = max(np.int64(gap), np.int64(math.ceil(per_px * (distance - slack) - 1e-9)))
                    if np.int64(order[v, u]) <= here - farther:
                        found = v * width + u
                        best = distance - 1e-9
                        break
                    step += 1
            out[y, x] = found


def hidden_surface(
    order: NDArray[np.int32], *, gap: int, reach_px: int, per_px: float = 0.0, threads: int | None = None
) -> NDArray[np.int32]:
    """Which surface goes on behind every pixel; equal to :func:`blursynth.backends.reference.hidden_surface`.

    Along each direction the answer follows from the neighbour's where both lie in one slice, which is nearly always,
    so that the cost does not depend on the reach; pixels with nothing farther in their surroundings are skipped.
    """
    out = np.full(order.shape, -1, np.int32)
    if reach_px < 1:
        return out
    height, width = order.shape[1:]
    band = max(128, 4 * reach_px)
    for b in range(len(order)):
        plane = np.ascontiguousarray(order[b])
        near = _lowest_near(plane, -(-height // _BLOCK), -(-width // _BLOCK), reach_px)
        if per_px > 0:
            _share(
                _hidden_rows,
                height,
                _threads_to_use(threads) if height * width > 65536 else 1,
                plane,
                near,
                int(gap),
                int(reach_px),
                float(per_px),
                SLACK_PX,
                out[b],
            )
            continue
        _share(
            _hidden_bands,
            -(-height // band),
            _threads_to_use(threads) if height * width > 65536 else 1,
            plane,
            near,
            int(gap),
            int(reach_px),
            band,
            out[b],
        )
    return out
