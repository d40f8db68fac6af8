"""Convolution with a point spread that varies over a fine grid: one blended point spread per pixel, a vector at a time.

Where the nodes of a grid are only a few pixels apart, many of them count in every block of ``convolve_varying_tiles``,
with point spreads that have most of their taps in common. So here they are blended first. For a row of nodes and a
column of the picture as wide as a vector, every tap that any of these nodes has gets a vector of weights, one for each
pixel of the vector: ``W_t(x) = sum_c w_c(x) k_ct``. Rows of the result are then sums over the taps of such a ribbon,
``y(i, x) += g(i) sum_t W_t(x) E(i - dy_t, x - dx_t)``, g(i) the weight of the row of nodes at row i. The result is that
of the other method but for rounding; a ribbon costs about as much as a point spread of its own, however many nodes it
was blended from.
"""

# numba and llvmlite carry no types.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,import-untyped,call-arg"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.cpu.convolve_direct import VECTOR_BYTES, copy_bytes, fill_patch
from blursynth.backends.cpu.convolve_varying_tiles import _row_differences
from blursynth.backends.cpu.vectors import data_of, everywhere, loop, multiply_add, vector_of

__all__ = ["prefer_ribbons", "ribbon_tiles", "send_ribbon_tiles"]

_DEEP = 3  # channels that share the weights of a ribbon


def _rows_of_ribbon(channels: int, rows: int) -> Any:
    """Code that adds a ribbon's light to ``rows`` rows by ``channels`` planes by one vector of the result."""

    @intrinsic
    def add(typing_context, source, pitch, plane, offsets, weights, taps, shares, out, out_pitch, out_plane):
        word = types.int64
        signature = types.void(word, word, word, offsets, weights, word, word, word, word, word)
        item = weights.dtype.bitwidth // 8
        lanes = VECTOR_BYTES // item

        def generate(context, builder, signature, arguments):
            source, pitch, plane, offsets, weights, taps, shares, out, out_pitch, out_plane = arguments
            word = ir.IntType(64)
            vector = vector_of(context, signature.args[4].dtype, lanes)
            scalar = vector.element
            offset_pointer = data_of(context, builder, signature.args[3], offsets)
            weight_address = builder.ptrtoint(data_of(context, builder, signature.args[4], weights), word)
            fused = multiply_add(builder, vector)

            def load(address):
                return builder.load(builder.inttoptr(address, vector.as_pointer()), align=item)

            def moved(address, distance, times):
                return builder.add(address, builder.mul(distance, ir.Constant(word, times)))

            places = [(c, r) for c in range(channels) for r in range(rows)]
            sources = [moved(moved(source, plane, c), pitch, r) for c, r in places]
            targets = [moved(moved(out, out_plane, c), out_pitch, r) for c, r in places]
            share = []
            for r in range(rows):
                where = builder.add(shares, ir.Constant(word, r * item))
                share.append(everywhere(builder, vector, builder.load(builder.inttoptr(where, scalar.as_pointer()))))

            def step(tap, sums):
                offset = builder.load(builder.gep(offset_pointer, [tap]))
                weight = load(moved(weight_address, tap, VECTOR_BYTES))
                return [
                    builder.call(fused, [load(builder.add(address, offset)), weight, value])
                    for address, value in zip(sources, sums, strict=True)
                ]

            zero = ir.Constant(vector, [0.0] * lanes)
            results = loop(builder, ir.Constant(word, 0), taps, [zero] * len(places), step)
            for (_, r), result, target in zip(places, results, targets, strict=True):
                after = builder.call(fused, [result, share[r], load(target)])
                builder.store(after, builder.inttoptr(target, vector.as_pointer()), align=item)
            return context.get_dummy_value()

        return signature, generate

    return add


def _rows_sent_by_ribbon(channels: int, rows: int) -> Any:
    """The transpose: code that sends ``rows`` rows by ``channels`` planes by one vector of light through a ribbon."""

    @intrinsic
    def send(typing_context, light, light_pitch, light_plane, shares, offsets, weights, taps, target, pitch, plane):
        word = types.int64
        signature = types.void(word, word, word, word, offsets, weights, word, word, word, word)
        item = weights.dtype.bitwidth // 8
        lanes = VECTOR_BYTES // item

        def generate(context, builder, signature, arguments):
            light, light_pitch, light_plane, shares, offsets, weights, taps, target, pitch, plane = arguments
            word = ir.IntType(64)
            vector = vector_of(context, signature.args[5].dtype, lanes)
            scalar = vector.element
            offset_pointer = data_of(context, builder, signature.args[4], offsets)
            weight_address = builder.ptrtoint(data_of(context, builder, signature.args[5], weights), word)
            fused = multiply_add(builder, vector)

            def at(address):
                return builder.inttoptr(address, vector.as_pointer())

            def moved(address, distance, times):
                return builder.add(address, builder.mul(distance, ir.Constant(word, times)))

            places = [(c, r) for c in range(channels) for r in range(rows)]
            values, targets = [], []
            for c, r in places:
                where = builder.add(shares, ir.Constant(word, r * item))
                share = everywhere(builder, vector, builder.load(builder.inttoptr(where, scalar.as_pointer())))
                source = moved(moved(light, light_plane, c), light_pitch, r)
                values.append(builder.fmul(builder.load(at(source), align=item), share))
                targets.append(moved(moved(target, plane, c), pitch, r))

            def step(tap, none):
                offset = builder.load(builder.gep(offset_pointer, [tap]))
                weight = builder.load(at(moved(weight_address, tap, VECTOR_BYTES)), align=item)
                # One after the other: what one row sends up and the other one down may be the same pixels.
                for value, address in zip(values, targets, strict=True):
                    place = at(builder.add(address, offset))
                    after = builder.call(fused, [value, weight, builder.load(place, align=item)])
                    builder.store(after, place, align=item)
                return none

            loop(builder, ir.Constant(word, 0), taps, [], step)
            return context.get_dummy_value()

        return signature, generate

    return send


_two_rows_three_planes = _rows_of_ribbon(3, 2)
_send_two_rows_three_planes = _rows_sent_by_ribbon(3, 2)
_send_four_rows_one_plane = _rows_sent_by_ribbon(1, 4)
_four_rows_one_plane = _rows_of_ribbon(1, 4)


@intrinsic
def _blend(typing_context, slots, shares, first, taps, across, ribbon):
    """Add ``taps`` taps from ``first`` on, times a vector of weights at ``across``, to their slots of the ribbon."""
    word = types.int64
    signature = types.void(slots, shares, word, word, word, ribbon)
    item = ribbon.dtype.bitwidth // 8
    lanes = VECTOR_BYTES // item

    def generate(context, builder, signature, arguments):
        slots, shares, first, taps, across, ribbon = arguments
        word = ir.IntType(64)
        vector = vector_of(context, signature.args[5].dtype, lanes)
        slot_pointer = data_of(context, builder, signature.args[0], slots)
        share_pointer = data_of(context, builder, signature.args[1], shares)
        address = builder.ptrtoint(data_of(context, builder, signature.args[5], ribbon), word)
        fused = multiply_add(builder, vector)
        weight = builder.load(builder.inttoptr(across, vector.as_pointer()), align=item)

        def step(tap, values):
            slot = builder.load(builder.gep(slot_pointer, [tap]))
            share = builder.load(builder.gep(share_pointer, [builder.add(first, tap)]))
            if item == 4:
                share = builder.fptrunc(share, ir.FloatType())
            where = builder.add(address, builder.mul(slot, ir.Constant(word, VECTOR_BYTES)))
            target = builder.inttoptr(where, vector.as_pointer())
            before = builder.load(target, align=item)
            after = builder.call(fused, [everywhere(builder, vector, share), weight, before])
            builder.store(after, target, align=item)
            return values

        loop(builder, ir.Constant(word, 0), taps, [], step)
        return context.get_dummy_value()

    return signature, generate


@compiled
def prefer_ribbons(start, dy, dx, weight, margins, rows, columns, step_y, step_x, lanes, turned):
    """Whether ribbons are expected to be faster than blocks: from the taps of some nodes and the grid alone.

    The costs are loads of vectors for two rows by three channels by a vector. ``turned`` asks for the transpose, where
    blocks compute every node that their light comes from, and ribbons store what they add.
    """
    if rows * columns == 1:
        return False
    top, bottom, left, right = margins
    wide = left + right + 1
    seen = np.zeros((top + bottom + 1) * wide, np.int64)
    some = min(columns, int((lanes - 1) / step_x) + 2)
    high = min(rows, int(1 / step_y) + 2)
    blocks, ribbons = 0.0, 0.0
    for sample in range(16):  # nodes along a diagonal
        r = (2 * sample + 1) * rows // 32
        c = min((2 * sample + 1) * columns // 32, columns - some)
        union, taps, entries = 0, 0, 0.0
        for node in range(r * columns + c, r * columns + c + some):
            a, e = start[node], start[node + 1]
            differences = _row_differences(dy[a:e], dx[a:e], weight[a:e])[0].size
            entries += min(1.4 * (e - a), 1.6 * differences + 64)
            taps += e - a
            for t in range(a, e):
                key = (dy[t] + bottom) * wide + dx[t] + right
                if seen[key] <= sample:
                    seen[key] = sample + 1
                    union += 1
        # Blocks also need the taps of every node merged beforehand (by one thread), which counts on fine grids.
        merging = 2.0 * lanes / (step_y * step_x) * 25.0 * taps / some
        blocks += high * entries * (4.5 if some > 2 else 3.4) + merging
        # Two rows of nodes count; a ribbon is made once and used for two steps of rows.
        ribbons += 2 * 6.5 * union + 2 * 10.0 * taps / max(step_y, 1.0)
    if turned:
        blocks *= (1.0 + 0.5 * (top + bottom) / step_y) * (1.0 + 0.5 * (left + right) / step_x)
        ribbons *= 2.2
    return ribbons < blocks


@compiled
def _room_for_ribbons(start, extents, like):
    """The slots of a box that holds all taps (-1: none), which are used, those of a node, offsets, and the ribbon."""
    box = (extents[0] + extents[1] + 1) * (extents[2] + extents[3] + 1)
    most = 0
    for node in range(start.size - 1):
        most = max(most, start[node + 1] - start[node])
    ribbon = np.empty(box * (VECTOR_BYTES // like.itemsize), like.dtype)
    return (
        np.full(box, -1, np.int64),
        np.empty(box, np.int64),
        np.empty(most, np.int64),
        np.empty(box, np.int64),
        ribbon,
    )


@compiled
def _make_ribbon(
    first_node, last_node, start, dy, dx, weight, extents, pitch, hats, slot_of, used, slots, offsets, ribbon
):
    """Blend some nodes of a row into a ribbon; returns its number of taps."""
    item = ribbon.itemsize
    lanes = VECTOR_BYTES // item
    above, beside = extents[1], extents[3]
    box_wide = extents[2] + extents[3] + 1
    taps = 0
    for node in range(first_node, last_node + 1):
        first = start[node]
        count = start[node + 1] - first
        for t in range(count):
            y, x = dy[first + t], dx[first + t]
            key = (y + above) * box_wide + x + beside
            if slot_of[key] < 0:
                slot_of[key] = taps
                used[taps] = key
                offsets[taps] = -(y * pitch + x) * item
                ribbon[taps * lanes : (taps + 1) * lanes] = ribbon.dtype.type(0)
                taps += 1
            slots[t] = slot_of[key]
        _blend(slots, weight, first, count, hats.ctypes.data + (node - first_node) * VECTOR_BYTES, ribbon)
    for t in range(taps):
        slot_of[used[t]] = -1
    return taps


@compiled
def _hats_of(first, last, lanes, columns_from, columns_to, column_node, column_part, hats):
    """The weights of columns of nodes at the pixels of a cell; pixels beyond ``last`` have those of the last one."""
    for column in range(columns_from, columns_to + 1):
        for k in range(lanes):
            x = min(first + k, last)
            near = max(0.0, 1.0 - abs((column_node[x] - column) + column_part[x]))
            hats[(column - columns_from) * lanes + k] = near


@compiled
def _rows_of_node(r, row, top, rows, row_node, row_part, row_share):
    """The rows of a tile where a row of nodes counts, from ``row`` on, and its share there."""
    while row < rows and row_node[top + row] < r - 1:
        row += 1
    begin = row
    while begin < rows and row_node[top + begin] == r - 1 and row_part[top + begin] == 0:
        begin += 1
    end = begin
    while end < rows and row_node[top + end] <= r:
        row_share[end] = max(0.0, 1.0 - abs((row_node[top + end] - r) + row_part[top + end]))
        end += 1
    return row, begin, end


@compiled
def ribbon_tiles(
    first_job, last_job, source, plane_pitch, row_pitch, channels, height, width, border,
    row_node, row_part, row_nodes, column_node, column_part, column_nodes,
    start, dy, dx, weight, extents, margins, pitch, plane, out, tile_height, tile_width,
):  # fmt: skip
    """The tiles ``first_job .. last_job - 1`` of the result, for a field of a single level.

    Parameters are those of ``varying_tiles``; ``start, dy, dx, weight`` are the point spreads of the picture's nodes,
    and ``extents`` how far they all reach to the top, bottom, left and right.
    """
    number = out.dtype.type
    item = out.itemsize
    lanes = VECTOR_BYTES // item
    top, bottom, left, right = margins
    down, across = (height + tile_height - 1) // tile_height, (width + tile_width - 1) // tile_width
    wide = (min(tile_width, width) + lanes - 1) // lanes * lanes
    tall = (min(tile_height, height) + 3) // 4 * 4
    patch = np.empty(_DEEP * plane, out.dtype)
    result = np.empty(_DEEP * tall * wide, out.dtype)
    slot_of, used, slots, offsets, ribbon = _room_for_ribbons(start, extents, out)
    # One column of weights per node that counts in the cell.
    hats = np.zeros(column_nodes * lanes, out.dtype)
    row_share = np.zeros(tall, out.dtype)
    for job in range(first_job, last_job):
        group, tile = job // (down * across), job % (down * across)
        channel = group * _DEEP if group < channels // _DEEP else channels // _DEEP * (_DEEP - 1) + group
        deep = _DEEP if group < channels // _DEEP else 1
        i0, j0 = tile // across * tile_height, tile % across * tile_width
        rows, columns = min(tile_height, height - i0), min(tile_width, width - j0)
        even, cells = (rows + 3) // 4 * 4, (columns + lanes - 1) // lanes
        for c in range(deep):
            fill_patch(
                source + (channel + c) * plane_pitch, row_pitch, height, width, border, i0 - top, j0 - left,
                even + top + bottom, cells * lanes + left + right, patch, c * plane, pitch,
            )  # fmt: skip
        result[: deep * tall * wide] = number(0)
        rows_from, last_row = row_node[i0], i0 + rows - 1
        rows_to = row_node[last_row] + (1 if row_part[last_row] > 0 else 0)
        for cell in range(cells):
            x0 = j0 + cell * lanes
            x1 = min(x0 + lanes, width) - 1
            columns_from, columns_to = column_node[x0], column_node[x1] + (1 if column_part[x1] > 0 else 0)
            _hats_of(x0, x1, lanes, columns_from, columns_to, column_node, column_part, hats)
            row = 0
            for r in range(rows_from, rows_to + 1):
                row, begin, end = _rows_of_node(r, row, i0, rows, row_node, row_part, row_share)
                if begin == end:
                    continue
                taps = _make_ribbon(
                    r * column_nodes + columns_from, r * column_nodes + columns_to, start, dy, dx, weight, extents,
                    pitch, hats, slot_of, used, slots, offsets, ribbon,
                )  # fmt: skip
                # Rows outside of these have no share; the buffers hold a multiple of four.
                step = 2 if deep == _DEEP else 4
                for i in range(begin // step * step, end, step):
                    share = row_share.ctypes.data + i * item
                    a = patch.ctypes.data + ((top + i) * pitch + left + cell * lanes) * item
                    o = result.ctypes.data + (i * wide + cell * lanes) * item
                    if deep == _DEEP:
                        _two_rows_three_planes(
                            a, pitch * item, plane * item, offsets, ribbon, taps, share,
                            o, wide * item, tall * wide * item,
                        )  # fmt: skip
                    else:
                        _four_rows_one_plane(
                            a, pitch * item, plane * item, offsets, ribbon, taps, share,
                            o, wide * item, tall * wide * item,
                        )  # fmt: skip
                row_share[begin:end] = number(0)
        for c in range(deep):
            for i in range(rows):
                copy_bytes(
                    out.ctypes.data + (((channel + c) * height + i0 + i) * width + j0) * item,
                    result.ctypes.data + (c * tall + i) * wide * item,
                    columns * item,
                )


@compiled
def send_ribbon_tiles(
    first_job, last_job, light, row_node, row_part, row_nodes, column_node, column_part, column_nodes,
    start, dy, dx, weight, extents, margins, boxes, place, patches, tile_height, tile_width,
):  # fmt: skip
    """The transpose of :func:`ribbon_tiles` for tiles of ``light`` ``[C, H, W]``, each into a patch of its own.

    ``boxes`` ``[tiles, 4]`` are the rows and columns that these hold, ``place`` where they begin in ``patches``.
    """
    channels, height, width = light.shape
    number = light.dtype.type
    item = light.itemsize
    lanes = VECTOR_BYTES // item
    top, _, left, _ = margins
    across = (width + tile_width - 1) // tile_width
    wide = (min(tile_width, width) + lanes - 1) // lanes * lanes
    tall = (min(tile_height, height) + 3) // 4 * 4
    own = np.zeros(channels * tall * wide, light.dtype)
    slot_of, used, slots, offsets, ribbon = _room_for_ribbons(start, extents, light)
    hats = np.zeros(column_nodes * lanes, light.dtype)
    row_share = np.zeros(tall, light.dtype)
    for job in range(first_job, last_job):
        i0, j0 = job // across * tile_height, job % across * tile_width
        rows, columns = min(tile_height, height - i0), min(tile_width, width - j0)
        patch = patches[place[job] : place[job + 1]]
        patch[:] = number(0)
        pitch = boxes[job, 3] - boxes[job, 2]
        plane = pitch * (boxes[job, 1] - boxes[job, 0])
        own[:] = number(0)
        for c in range(channels):
            for i in range(rows):
                a = (c * tall + i) * wide
                own[a : a + columns] = light[c, i0 + i, j0 : j0 + columns]
        rows_from, last_row = row_node[i0], i0 + rows - 1
        rows_to = row_node[last_row] + (1 if row_part[last_row] > 0 else 0)
        for cell in range((columns + lanes - 1) // lanes):
            x0 = j0 + cell * lanes
            x1 = min(x0 + lanes, width) - 1
            columns_from, columns_to = column_node[x0], column_node[x1] + (1 if column_part[x1] > 0 else 0)
            _hats_of(x0, x1, lanes, columns_from, columns_to, column_node, column_part, hats)
            row = 0
            for r in range(rows_from, rows_to + 1):
                row, begin, end = _rows_of_node(r, row, i0, rows, row_node, row_part, row_share)
                if begin == end:
                    continue
                taps = _make_ribbon(
                    r * column_nodes + columns_from, r * column_nodes + columns_to, start, dy, dx, weight, extents,
                    pitch, hats, slot_of, used, slots, offsets, ribbon,
                )  # fmt: skip
                c = 0
                while c < channels:
                    deep = _DEEP if channels - c >= _DEEP else 1
                    step = 2 if deep == _DEEP else 4
                    for i in range(begin // step * step, end, step):
                        share = row_share.ctypes.data + i * item
                        a = own.ctypes.data + ((c * tall + i) * wide + cell * lanes) * item
                        o = patch.ctypes.data + (c * plane + (top + i) * pitch + left + cell * lanes) * item
                        if deep == _DEEP:
                            _send_two_rows_three_planes(
                                a, wide * item, tall * wide * item, share, offsets, ribbon, taps,
                                o, pitch * item, plane * item,
                            )  # fmt: skip
                        else:
                            _send_four_rows_one_plane(
                                a, wide * item, tall * wide * item, share, offsets, ribbon, taps,
                                o, pitch * item, plane * item,
                            )  # fmt: skip
                    c += deep
                row_share[begin:end] = number(0)
