"""Convolution with a point spread that varies across the picture, tile by tile: only the nodes that count somewhere.

``y(p) = sum_n w_n(p) sum_t k_nt E(p - o_nt)``, where ``E`` is the picture continued beyond its edge.

How it works. A tile of the picture is gathered with its margin into a buffer that stays in the second cache. A block of
the result, two rows high, one, two or four vectors wide and up to three channels deep, then stays in registers while
the taps of one node go by, as in ``convolve_direct``; at the end it is multiplied by the weight of that node at each of
its pixels and added to the result. Three channels share every load of a tap, so that blocks can be narrow: few nodes
count in a narrow block, often just two. Which ones is found per cell (two rows by one vector); cells are joined into
wider blocks where that costs no more.

Point spreads that are large and dense are coded as differences along rows: ``sum_x k(x) E(j - x) = sum_x (k(x) -
k(x - 1)) S(j - x)``, S the running sum of the row in the buffer. An interior run of equal taps then costs two, so a
disk of radius r costs about 8 r instead of 3 r^2. The sums run in float64 and are stored in the picture's type; a point
spread is coded so only where the rounding that this brings stays far below the tolerance of the picture's type.

The order of additions at a pixel depends on the taps, the size and the level around it, not on the threads.
"""

# numba and llvmlite carry no types.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,import-untyped,call-arg,unreachable"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.cpu.convolve_direct import (
    _MANY_REGISTERS,
    VECTOR_BYTES,
    _continued,
    copy_bytes,
    fill_patch,
    least_and_most,
    pair_rows,
)
from blursynth.backends.cpu.vectors import absolute, by_value, data_of, everywhere, loop, multiply_add, vector_of

__all__ = ["prepare_nodes", "varying_adjoint_tiles", "varying_tiles"]


# Cells (of one vector) in the widest block, and channels in the deepest: 2 x 4 x 3 sums fit 32 registers, and
# 2 x 2 x 3 fit 16.
_WIDE = 4 if _MANY_REGISTERS else 2
_DEEP = 3
# Loads of offsets and weights, and the work at the end of a block, in units of one load of pixels.
_PER_BLOCK = 2.5
# Entries that a coding as differences must save: its sums must be made, and they fill the caches too.
_DIFFERENCES_COST = 1.15
_DIFFERENCES_PAY = 64


@intrinsic
def _add_block(
    typing_context, vectors, channels, source, source_plane, offsets, weights, first, last,
    place, part, place_pitch, level, column_place, column_part, column, upper, lower, out, out_pitch, out_plane,
):  # fmt: skip
    """Add one node's blur, times its weight, to a block of ``channels`` planes by 2 rows by ``vectors`` vectors."""
    word, number = types.int64, weights.dtype
    signature = types.void(
        word, word, word, word, offsets, weights, word, word,
        word, word, word, number, word, word, number, number, number, word, word, word,
    )  # fmt: skip
    item = weights.dtype.bitwidth // 8
    lanes = VECTOR_BYTES // item

    def generate(context, builder, signature, arguments):
        (
            vectors, channels, source, source_plane, offsets, weights, first, last,
            place, part, place_pitch, level, column_place, column_part, column, upper, lower,
            out, out_pitch, out_plane,
        ) = arguments  # fmt: skip
        word = ir.IntType(64)
        vector = vector_of(context, signature.args[5].dtype, lanes)
        offset_pointer = data_of(context, builder, signature.args[4], offsets)
        weight_pointer = data_of(context, builder, signature.args[5], weights)
        fused, magnitude = multiply_add(builder, vector), absolute(builder, vector)
        zero, one = ir.Constant(vector, [0.0] * lanes), ir.Constant(vector, [1.0] * lanes)

        def load(address, distance):
            where = builder.add(address, ir.Constant(word, distance))
            return builder.load(builder.inttoptr(where, vector.as_pointer()), align=item)

        def moved(address, distance, times):
            return builder.add(address, builder.mul(distance, ir.Constant(word, times)))

        def hat(whole, rest, node):
            distance = builder.call(magnitude, [builder.fadd(builder.fsub(whole, node), rest)])
            weight = builder.fsub(one, distance)
            return builder.select(builder.fcmp_ordered(">", weight, zero), weight, zero)

        def emit(wide, deep):
            places = [(c, v, row) for c in range(deep) for v in range(wide) for row in range(2)]
            planes = [moved(source, source_plane, c) for c in range(deep)]

            def add(tap, sums):
                offset = builder.load(builder.gep(offset_pointer, [tap]))
                pair = []
                for row in range(2):
                    entry = builder.add(builder.shl(tap, ir.Constant(word, 1)), ir.Constant(word, row))
                    pair.append(everywhere(builder, vector, builder.load(builder.gep(weight_pointer, [entry]))))
                new: list[Any] = []
                for plane in planes:
                    base = builder.add(plane, offset)
                    for v in range(wide):
                        pixels = load(base, VECTOR_BYTES * v)
                        new += [builder.call(fused, [pixels, pair[row], sums[len(new) + row]]) for row in range(2)]
                return new

            results = dict(zip(places, loop(builder, first, last, [zero] * len(places), add), strict=True))
            level_node, column_node, *rows = (everywhere(builder, vector, n) for n in (level, column, upper, lower))
            for v in range(wide):
                across = hat(load(column_place, VECTOR_BYTES * v), load(column_part, VECTOR_BYTES * v), column_node)
                for row in range(2):
                    whole = load(moved(place, place_pitch, row), VECTOR_BYTES * v)
                    rest = load(moved(part, place_pitch, row), VECTOR_BYTES * v)
                    weight = builder.fmul(builder.fmul(hat(whole, rest, level_node), across), rows[row])
                    for c in range(deep):
                        target = moved(moved(out, out_plane, c), out_pitch, row)
                        after = builder.call(fused, [results[c, v, row], weight, load(target, VECTOR_BYTES * v)])
                        where = builder.add(target, ir.Constant(word, VECTOR_BYTES * v))
                        builder.store(after, builder.inttoptr(where, vector.as_pointer()), align=item)

        for deep in by_value(builder, channels, (_DEEP, 1)):
            for wide in by_value(builder, vectors, (4, 2, 1)):
                emit(wide, deep)
        return context.get_dummy_value()

    return signature, generate


@compiled
def _total(weight):
    """The sum of the sizes of weights."""
    total = 0.0
    for t in range(weight.size):
        total += abs(weight[t])
    return total


@compiled
def _row_differences(dy, dx, weight):
    """Taps (sorted) coded as differences along rows: offsets and differences, for running sums of the picture."""
    taps = dy.size
    rows, columns, change = np.empty(2 * taps, np.int32), np.empty(2 * taps, np.int32), np.empty(2 * taps, np.float64)
    n, coded = 0, 0.0
    for t in range(taps):
        if t == 0 or dy[t] != dy[t - 1] or dx[t] != dx[t - 1] + 1:
            coded = 0.0
        # Interior taps of a disk are equal but for rounding; what is coded follows them to that precision.
        if abs(weight[t] - coded) > 1e-15 * abs(weight[t]):
            rows[n], columns[n], change[n] = dy[t], dx[t], weight[t] - coded
            coded = weight[t]
            n += 1
        if t == taps - 1 or dy[t + 1] != dy[t] or dx[t + 1] != dx[t] + 1:
            rows[n], columns[n], change[n] = dy[t], dx[t] + 1, -coded
            n += 1
    return rows[:n], columns[:n], change[:n]


@compiled
def prepare_nodes(start, dy, dx, weight, pitch, width, limit, turned, like):
    """The taps of every node, merged for two rows, as offsets into a buffer.

    Parameters
    ----------
    start, dy, dx, weight
        The point spreads of the nodes.
    pitch
        Distance of the buffer's rows, in numbers.
    width
        The most numbers in a row of it.
    limit
        Largest rounding error of running sums, as a share of the largest pixel and of the sum of the taps.
    turned
        Whether the taps are turned by 180 degrees.
    like
        Any array of the picture's type.

    Returns
    -------
    tuple
        ``first`` ``[nodes + 1]``, ``offsets`` in bytes, ``weights`` (two per offset), ``summed`` ``[nodes]`` whether
        the taps are differences and belong to running sums, ``extent`` ``[nodes, 4]`` smallest and largest dy and dx.
    """
    nodes = start.size - 1
    taps = start[nodes] - start[0]
    offsets = np.empty(4 * taps, np.int64)
    weights = np.empty(8 * taps, like.dtype)
    first = np.zeros(nodes + 1, np.int64)
    summed = np.zeros(nodes, np.bool_)
    extent = np.zeros((nodes, 4), np.int64)
    item = like.itemsize
    rounding = 0.5 * (2.0**-23 if item == 4 else 2.0**-52) * width
    filled = 0
    for n in range(nodes):
        a, e = start[n], start[n + 1]
        ys, xs, shares = dy[a:e].copy(), dx[a:e].copy(), weight[a:e].copy()
        if turned:
            ys, xs, shares = (-ys[::-1]).copy(), (-xs[::-1]).copy(), shares[::-1].copy()
        if ys.size:
            extent[n, 0], extent[n, 1] = least_and_most(ys)
            extent[n, 2], extent[n, 3] = least_and_most(xs)
        rows, columns, pairs = pair_rows(ys, xs, shares, like)
        if ys.size >= _DIFFERENCES_PAY:
            change_y, change_x, change = _row_differences(ys, xs, shares)
            if rounding * _total(change) <= limit * _total(shares):
                other_rows, other_columns, other_pairs = pair_rows(change_y, change_x, change, like)
                if _DIFFERENCES_COST * other_rows.size + _DIFFERENCES_PAY <= rows.size:
                    rows, columns, pairs = other_rows, other_columns, other_pairs
                    summed[n] = True
        for t in range(rows.size):
            offsets[filled + t] = -(rows[t] * pitch + columns[t]) * item
            weights[2 * (filled + t)] = pairs[2 * t]
            weights[2 * (filled + t) + 1] = pairs[2 * t + 1]
        filled += rows.size
        first[n + 1] = filled
    return first, offsets[:filled].copy(), weights[: 2 * filled].copy(), summed, extent


@compiled
def _running_sums(patch, sums, first, rows, columns, pitch):
    """Sums along rows from ``first`` on, four rows at a time, because each addition waits for the last."""
    i = 0
    while i < rows:
        a = first + i * pitch
        if i + 4 <= rows:
            s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
            b, c, d = a + pitch, a + 2 * pitch, a + 3 * pitch
            for j in range(columns):
                s0 += patch[a + j]
                s1 += patch[b + j]
                s2 += patch[c + j]
                s3 += patch[d + j]
                sums[a + j] = s0
                sums[b + j] = s1
                sums[c + j] = s2
                sums[d + j] = s3
            i += 4
        else:
            s0 = 0.0
            for j in range(columns):
                s0 += patch[a + j]
                sums[a + j] = s0
            i += 1


@compiled
def _split(level, levels, columns, whole, part, lower, higher):
    """Levels ``[rows, columns]`` as node below and place above it, and per pixel the lowest and highest node."""
    top = levels - 1
    for j in range(columns):
        value = level[j]
        value = min(max(value, level.dtype.type(0)), level.dtype.type(top))
        below = np.int32(value)
        rest = value - below
        whole[j] = below
        part[j] = rest
        lower[j] = below
        higher[j] = below + np.int32(rest > 0)


@compiled
def _count(mask):
    n = 0
    while mask:
        mask &= mask - np.uint64(1)
        n += 1
    return n


@compiled
def varying_tiles(
    first_job, last_job, source, plane_pitch, row_pitch, channels, height, width, border,
    level, levels, row_node, row_part, row_nodes, column_node, column_part, column_nodes,
    first, offsets, weights, summed, margins, pitch, plane, out, tile_height, tile_width,
):  # fmt: skip
    """The tiles ``first_job .. last_job - 1`` of the result.

    Parameters
    ----------
    source, plane_pitch, row_pitch
        Address of the picture; distance of its channels and rows in bytes.
    level
        ``[H, W]`` place of every pixel on the scale of the levels; not read when there is only one.
    row_node, row_part, column_node, column_part
        Per row and column of the picture the node before it and the place behind that, 0 .. 1.
    first, offsets, weights, summed
        What :func:`prepare_nodes` returns, for buffers of the given ``pitch`` (of rows) and ``plane`` (of channels).
    margins
        Top, bottom, left, right margin of the buffer.
    out
        ``[C, H, W]``, contiguous.
    """
    number = weights.dtype.type
    item = weights.itemsize
    lanes = VECTOR_BYTES // item
    top, bottom, left, right = margins
    down, across = (height + tile_height - 1) // tile_height, (width + tile_width - 1) // tile_width
    wide = (min(tile_width, width) + lanes - 1) // lanes * lanes
    tall = (min(tile_height, height) + 1) // 2 * 2
    patch = np.empty(_DEEP * plane, weights.dtype)
    any_summed = False
    for n in range(levels * row_nodes * column_nodes):
        any_summed = any_summed or summed[n]
    sums = np.empty(_DEEP * plane if any_summed else 0, weights.dtype)
    whole, part = np.zeros(tall * wide, weights.dtype), np.zeros(tall * wide, weights.dtype)
    low_node, high_node = np.zeros(tall * wide, np.int32), np.zeros(tall * wide, np.int32)
    cell_low = np.zeros((tall // 2, wide // lanes), np.int64)
    cell_high = np.zeros((tall // 2, wide // lanes), np.int64)
    column_whole, column_rest = np.zeros(wide, weights.dtype), np.zeros(wide, weights.dtype)
    result = np.empty(_DEEP * tall * wide, weights.dtype)
    masks = np.zeros(_WIDE, np.uint64)
    for job in range(first_job, last_job):
        group, tile = job // (down * across), job % (down * across)
        channel = group * _DEEP if group < channels // _DEEP else channels // _DEEP * (_DEEP - 1) + group
        deep = _DEEP if group < channels // _DEEP else 1
        i0, j0 = tile // across * tile_height, tile % across * tile_width
        rows, columns = min(tile_height, height - i0), min(tile_width, width - j0)
        even, cells = (rows + 1) // 2 * 2, (columns + lanes - 1) // lanes
        for c in range(deep):
            fill_patch(
                source + (channel + c) * plane_pitch, row_pitch, height, width, border, i0 - top, j0 - left,
                even + top + bottom, cells * lanes + left + right, patch, c * plane, pitch,
            )  # fmt: skip
        for j in range(cells * lanes):
            x = min(j0 + j, width - 1)
            column_whole[j], column_rest[j] = column_node[x], column_part[x]
        lowest, highest = 0, 0
        if levels > 1:
            lowest, highest = levels, 0
            for i in range(even):
                y = min(i0 + i, height - 1)
                a = i * wide
                b = a + columns
                _split(
                    level[y, j0 : j0 + columns], levels, columns, whole[a:b], part[a:b], low_node[a:b], high_node[a:b]
                )
                for j in range(columns, cells * lanes):
                    whole[a + j], part[a + j] = whole[a + columns - 1], part[a + columns - 1]
                    low_node[a + j], high_node[a + j] = low_node[a + columns - 1], high_node[a + columns - 1]
            for i in range(even // 2):
                for cell in range(cells):
                    a = 2 * i * wide + cell * lanes
                    low, high = levels, 0
                    for b in (a, a + wide):
                        some_low, some_high = low_node[b : b + lanes], high_node[b : b + lanes]
                        for j in range(lanes):
                            low = min(low, some_low[j])
                            high = max(high, some_high[j])
                    cell_low[i, cell], cell_high[i, cell] = low, high
                    lowest, highest = min(lowest, low), max(highest, high)
        if any_summed:
            needed = False
            for n in range(lowest * row_nodes * column_nodes, (highest + 1) * row_nodes * column_nodes):
                needed = needed or summed[n]
            if needed:
                for c in range(deep):
                    _running_sums(patch, sums, c * plane, even + top + bottom, cells * lanes + left + right, pitch)
        result[: deep * tall * wide] = number(0)
        from_patch = patch.ctypes.data + (top * pitch + left) * item
        from_sums = sums.ctypes.data + (top * pitch + left) * item
        for x in range(0, cells, _WIDE):
            strip = min(_WIDE, cells - x)
            for i in range(0, even, 2):
                y, below = i0 + i, min(i0 + i + 1, height - 1)
                rows_from = row_node[y]
                rows_to = row_node[below] + (1 if row_part[below] > 0 else 0)
                rows_to = max(rows_to, rows_from + (1 if row_part[y] > 0 else 0))
                low, high = levels, 0
                if levels == 1:
                    low, high = 0, 0
                else:
                    for k in range(strip):
                        low, high = min(low, cell_low[i // 2, x + k]), max(high, cell_high[i // 2, x + k])
                # Which levels count in a cell is a set of bits, so they are taken 64 at a time.
                for window in range(low, high + 1, 64):
                    for k in range(strip):
                        if levels == 1:
                            masks[k] = 1
                            continue
                        cell_from, cell_to = cell_low[i // 2, x + k], cell_high[i // 2, x + k]
                        mask = np.uint64(0)
                        if cell_to - cell_from <= 1:
                            for n in (cell_from, cell_to):
                                if window <= n < window + 64:
                                    mask |= np.uint64(1) << np.uint64(n - window)
                        else:
                            for b in (i * wide + (x + k) * lanes, (i + 1) * wide + (x + k) * lanes):
                                for j in range(b, b + lanes):
                                    n = low_node[j] - window
                                    if 0 <= n < 64:
                                        mask |= np.uint64(1) << np.uint64(n)
                                    n = high_node[j] - window
                                    if 0 <= n < 64:
                                        mask |= np.uint64(1) << np.uint64(n)
                        masks[k] = mask
                    # One wide block, or two half as wide, or single cells: whatever makes the least work.
                    k = 0
                    while k < strip:
                        vectors = 1
                        mask = masks[k]
                        if k % 2 == 0 and k + 2 <= strip:
                            both = mask | masks[k + 1]
                            apart = _work(1, deep, mask, column_whole, column_rest, (x + k) * lanes, lanes)
                            apart += _work(1, deep, masks[k + 1], column_whole, column_rest, (x + k + 1) * lanes, lanes)
                            joined = _work(2, deep, both, column_whole, column_rest, (x + k) * lanes, lanes)
                            if joined <= apart:
                                vectors, mask = 2, both
                            if _WIDE == 4 and k == 0 and strip == 4:
                                right_both = masks[2] | masks[3]
                                second = _work(1, deep, masks[2], column_whole, column_rest, (x + 2) * lanes, lanes)
                                second += _work(1, deep, masks[3], column_whole, column_rest, (x + 3) * lanes, lanes)
                                second = min(
                                    second,
                                    _work(2, deep, right_both, column_whole, column_rest, (x + 2) * lanes, lanes),
                                )
                                all_four = _work(
                                    4, deep, both | right_both, column_whole, column_rest, x * lanes, lanes
                                )
                                if all_four <= min(joined, apart) + second:
                                    vectors, mask = 4, both | right_both
                        j = (x + k) * lanes
                        last_column = j + vectors * lanes - 1
                        columns_from = int(column_whole[j])
                        columns_to = int(column_whole[last_column]) + (1 if column_rest[last_column] > 0 else 0)
                        here = (i * pitch + j) * item
                        n = window
                        while mask:
                            if mask & np.uint64(1):
                                for r in range(rows_from, rows_to + 1):
                                    upper = number(max(0.0, 1.0 - abs(row_node[y] - r + row_part[y])))
                                    beneath = number(max(0.0, 1.0 - abs(row_node[below] - r + row_part[below])))
                                    for column in range(columns_from, columns_to + 1):
                                        node = (n * row_nodes + r) * column_nodes + column
                                        _add_block(
                                            vectors,
                                            deep,
                                            (from_sums if summed[node] else from_patch) + here,
                                            plane * item,
                                            offsets,
                                            weights,
                                            first[node],
                                            first[node + 1],
                                            whole.ctypes.data + (i * wide + j) * item,
                                            part.ctypes.data + (i * wide + j) * item,
                                            wide * item,
                                            number(n),
                                            column_whole.ctypes.data + j * item,
                                            column_rest.ctypes.data + j * item,
                                            number(column),
                                            upper,
                                            beneath,
                                            result.ctypes.data + (i * wide + j) * item,
                                            wide * item,
                                            tall * wide * item,
                                        )
                            mask >>= np.uint64(1)
                            n += 1
                        k += vectors
        for c in range(deep):
            for i in range(rows):
                copy_bytes(
                    out.ctypes.data + (((channel + c) * height + i0 + i) * width + j0) * item,
                    result.ctypes.data + (c * tall + i) * wide * item,
                    columns * item,
                )


@compiled
def _work(vectors, deep, mask, column_whole, column_rest, j, lanes):
    """What a block costs, but for the taps: nodes times loads per tap."""
    last = j + vectors * lanes - 1
    nodes = int(column_whole[last]) - int(column_whole[j]) + 1 + (1 if column_rest[last] > 0 else 0)
    return _count(mask) * nodes * (deep * vectors + _PER_BLOCK)


@compiled
def _level_boxes(whole, part, rows_seen, columns_seen, rows, columns, pitch, boxes):
    """Per level the rows and columns ``[first, last)`` of the buffer where it counts."""
    boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3] = rows, 0, columns, 0
    for i in range(rows):
        if not rows_seen[i]:
            continue
        for j in range(columns):
            if not columns_seen[j]:
                continue
            low = int(whole[i * pitch + j])
            for n in range(low, low + (2 if part[i * pitch + j] > 0 else 1)):
                boxes[n, 0], boxes[n, 1] = min(boxes[n, 0], i), max(boxes[n, 1], i + 1)
                boxes[n, 2], boxes[n, 3] = min(boxes[n, 2], j), max(boxes[n, 3], j + 1)


@compiled
def _axis_boxes(node, part, seen, count, boxes):
    """Per node of an axis the places ``[first, last)`` of the buffer where it counts."""
    boxes[:, 0], boxes[:, 1] = count, 0
    for i in range(count):
        if seen[i]:
            for n in range(node[i], node[i] + (2 if part[i] > 0 else 1)):
                boxes[n, 0], boxes[n, 1] = min(boxes[n, 0], i), max(boxes[n, 1], i + 1)


@compiled
def _mask_row(pixels, whole, part, across, level, share, out):
    """``out = pixels w``, w the weight of a node: of the level, the column (``across``) and the row (``share``)."""
    one, nothing = out.dtype.type(1), out.dtype.type(0)
    for j in range(out.size):
        out[j] = pixels[j] * (max(nothing, one - abs((whole[j] - level) + part[j])) * across[j] * share)


@compiled
def varying_adjoint_tiles(
    first_job, last_job, source, plane_pitch, row_pitch, channels, height, width, border,
    level, levels, row_node, row_part, row_nodes, column_node, column_part, column_nodes,
    first, offsets, weights, summed, extent, margins, pitch, plane, out, tile_height, tile_width, origin_y, origin_x,
):  # fmt: skip
    """The tiles of ``out = sum_n k_n * (w_n x)`` on a grid of any size, for taps turned beforehand.

    Parameters are those of :func:`varying_tiles`, and ``extent`` of :func:`prepare_nodes`; the first pixel of ``out``
    lies at ``origin_y, origin_x`` of the picture.
    """
    number = weights.dtype.type
    item = weights.itemsize
    lanes = VECTOR_BYTES // item
    top, bottom, left, right = margins
    out_height, out_width = out.shape[1], out.shape[2]
    down, across = (out_height + tile_height - 1) // tile_height, (out_width + tile_width - 1) // tile_width
    wide = (min(tile_width, out_width) + lanes - 1) // lanes * lanes
    tall = (min(tile_height, out_height) + 1) // 2 * 2
    most_rows, most_columns = tall + top + bottom, wide + left + right
    patch, masked = np.zeros(_DEEP * plane, weights.dtype), np.zeros(_DEEP * plane, weights.dtype)
    whole, part = np.zeros(most_rows * pitch, weights.dtype), np.zeros(most_rows * pitch, weights.dtype)
    column_share = np.zeros(most_columns, weights.dtype)
    level_box = np.zeros((levels, 4), np.int64)
    row_box, column_box = np.zeros((row_nodes, 2), np.int64), np.zeros((column_nodes, 2), np.int64)
    row_seen, column_seen = np.zeros(most_rows, np.bool_), np.zeros(most_columns, np.bool_)
    rows_node, rows_part = np.zeros(most_rows, np.int64), np.zeros(most_rows)
    columns_node, columns_part = np.zeros(most_columns, np.int64), np.zeros(most_columns)
    places_x = np.zeros(most_columns, np.int64)
    result = np.empty(_DEEP * tall * wide, weights.dtype)
    zeros = np.zeros(_WIDE * lanes, weights.dtype)
    for job in range(first_job, last_job):
        group, tile = job // (down * across), job % (down * across)
        channel = group * _DEEP if group < channels // _DEEP else channels // _DEEP * (_DEEP - 1) + group
        deep = _DEEP if group < channels // _DEEP else 1
        nothing = zeros.ctypes.data  # read here, so that the array lives as long as the loop
        i0, j0 = tile // across * tile_height, tile % across * tile_width
        rows, columns = min(tile_height, out_height - i0), min(tile_width, out_width - j0)
        even, cells = (rows + 1) // 2 * 2, (columns + lanes - 1) // lanes
        patch_rows, patch_columns = even + top + bottom, cells * lanes + left + right
        y0, x0 = i0 + origin_y - top, j0 + origin_x - left
        for c in range(deep):
            fill_patch(
                source + (channel + c) * plane_pitch, row_pitch, height, width, border, y0, x0,
                patch_rows, patch_columns, patch, c * plane, pitch,
            )  # fmt: skip
        for j in range(patch_columns):
            x = _continued(x0 + j, width, border)
            places_x[j] = x
            column_seen[j] = x >= 0
            columns_node[j], columns_part[j] = column_node[max(x, 0)], column_part[max(x, 0)]
        for i in range(patch_rows):
            y = _continued(y0 + i, height, border)
            row_seen[i] = y >= 0
            rows_node[i], rows_part[i] = row_node[max(y, 0)], row_part[max(y, 0)]
            if levels > 1 and y >= 0:
                for j in range(patch_columns):
                    if places_x[j] >= 0:
                        value = level[y, places_x[j]]
                        value = min(max(value, level.dtype.type(0)), level.dtype.type(levels - 1))
                        whole[i * pitch + j] = int(value)
                        part[i * pitch + j] = value - int(value)
        _axis_boxes(rows_node, rows_part, row_seen, patch_rows, row_box)
        _axis_boxes(columns_node, columns_part, column_seen, patch_columns, column_box)
        if levels > 1:
            _level_boxes(whole, part, row_seen, column_seen, patch_rows, patch_columns, pitch, level_box)
        else:
            level_box[0, 0], level_box[0, 1], level_box[0, 2], level_box[0, 3] = 0, patch_rows, 0, patch_columns
        result[: deep * tall * wide] = number(0)
        for n in range(levels):
            if level_box[n, 0] >= level_box[n, 1]:
                continue
            for column in range(column_nodes):
                from_x = max(level_box[n, 2], column_box[column, 0])
                to_x = min(level_box[n, 3], column_box[column, 1])
                if from_x >= to_x:
                    continue
                for j in range(from_x, to_x):
                    column_share[j] = max(0.0, 1.0 - abs((columns_node[j] - column) + columns_part[j]))
                for r in range(row_nodes):
                    from_y, to_y = max(level_box[n, 0], row_box[r, 0]), min(level_box[n, 1], row_box[r, 1])
                    node = (n * row_nodes + r) * column_nodes + column
                    if from_y >= to_y or first[node] == first[node + 1]:
                        continue
                    # Rows (in pairs) and columns (in cells) of the result that this light reaches.
                    i_from = max(0, from_y - top + extent[node, 0]) // 2 * 2
                    i_to = min(even, (max(0, to_y - top + extent[node, 1]) + 1) // 2 * 2)
                    cell_from = max(0, from_x - left + extent[node, 2]) // lanes
                    cell_to = min(cells, (max(0, to_x - left + extent[node, 3]) + lanes - 1) // lanes)
                    if i_from >= i_to or cell_from >= cell_to:
                        continue
                    for c in range(deep):
                        for i in range(from_y, to_y):
                            a = i * pitch
                            share = number(max(0.0, 1.0 - abs((rows_node[i] - r) + rows_part[i])))
                            b = c * plane + a
                            _mask_row(
                                patch[b + from_x : b + to_x], whole[a + from_x : a + to_x], part[a + from_x : a + to_x],
                                column_share[from_x:to_x], number(n), share, masked[b + from_x : b + to_x],
                            )  # fmt: skip
                        if summed[node]:
                            begin = c * plane + from_y * pitch + from_x
                            _running_sums(masked, masked, begin, to_y - from_y, patch_columns - from_x, pitch)
                    for i in range(i_from, i_to, 2):
                        x = cell_from
                        while x < cell_to:
                            vectors = 4 if _WIDE == 4 and x + 4 <= cell_to else 2 if x + 2 <= cell_to else 1
                            _add_block(
                                vectors,
                                deep,
                                masked.ctypes.data + ((top + i) * pitch + left + x * lanes) * item,
                                plane * item,
                                offsets,
                                weights,
                                first[node],
                                first[node + 1],
                                nothing,
                                nothing,
                                0,
                                number(0),
                                nothing,
                                nothing,
                                number(0),
                                number(1),
                                number(1),
                                result.ctypes.data + (i * wide + x * lanes) * item,
                                wide * item,
                                tall * wide * item,
                            )
                            x += vectors
                    # The buffer holds nothing but the current node.
                    to = patch_columns if summed[node] else to_x
                    for c in range(deep):
                        for i in range(from_y, to_y):
                            masked[c * plane + i * pitch + from_x : c * plane + i * pitch + to] = number(0)
        for c in range(deep):
            for i in range(rows):
                copy_bytes(
                    out.ctypes.data + (((channel + c) * out_height + i0 + i) * out_width + j0) * item,
                    result.ctypes.data + (c * tall + i) * wide * item,
                    columns * item,
                )
