"""Direct convolution in registers: only the occupied taps, two rows of the result at a time.

``y(i, j) = sum_t w_t E(i + oy - dy_t, j + ox - dx_t)``, where ``E`` is the picture continued beyond its edge.

How it works. A block of the result, two rows high and up to twelve vectors wide, stays in registers while the taps go
by: per tap one unaligned load for each vector and a multiply-add into each of the two rows. Loads that straddle cache
lines are the bottleneck (one per cycle against two multiply-adds), hence the two rows: a tap (dy, dx) of the lower row
and a tap (dy - 1, dx) of the upper one read the same pixels, and a trajectory is about two pixels thick. So the list of
taps is merged with itself, shifted by a row; an entry that only one of the rows has gets weight 0 for the other, which
costs nothing that was not idle, and adds exactly 0.

The picture is never copied to pad it: tiles whose taps stay inside read the source itself; only the tiles that touch
the edge are first gathered, with their margin, into a small buffer. The order of additions at a pixel depends on
nothing but the taps, so tiles, crops and numbers of threads do not change a bit of the result.

The blocks are written in LLVM's own language, because numba cannot keep an array of accumulators in registers. They are
portable: LLVM splits the vectors where the processor has shorter ones.
"""

# numba and llvmlite carry no types.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,import-untyped,call-arg,unreachable"

from __future__ import annotations

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.cpu.vectors import by_value, data_of, everywhere, loop, multiply_add, vector_of

__all__ = [
    "VECTOR_BYTES",
    "copy_bytes",
    "direct_tiles",
    "fill_patch",
    "least_and_most",
    "pair_rows",
    "separable_tiles",
    "tile_grid",
]

_FEATURES = llvm.get_host_cpu_features()
VECTOR_BYTES = 64 if _FEATURES.get("avx512f") else 32 if _FEATURES.get("avx2") else 16
# 2 x 12 accumulators, 2 weights and a few pixels fit into 32 registers; 2 x 6 into 16.
_MANY_REGISTERS = bool(_FEATURES.get("avx512f") or _FEATURES.get("neon"))
_WIDE = 12 if _MANY_REGISTERS else 6
_MEDIUM = 8 if _MANY_REGISTERS else 4
_BLOCKS = tuple(dict.fromkeys((_WIDE, _MEDIUM, _MEDIUM // 2, _MEDIUM // 4, 1)))  # vectors


@intrinsic
def _add_taps(typing_context, vectors, source, offsets, weights, taps, out, out_pitch):
    """A block of the result of 2 rows by ``vectors`` vectors, at any place, over any list of taps."""
    word = types.int64
    signature = types.void(word, word, offsets, weights, word, word, word)
    item = weights.dtype.bitwidth // 8
    lanes = VECTOR_BYTES // item

    def generate(context, builder, signature, arguments):
        vectors, source, offsets, weights, taps, out, out_pitch = arguments
        word = ir.IntType(64)
        vector = vector_of(context, signature.args[3].dtype, lanes)
        offset_pointer = data_of(context, builder, signature.args[2], offsets)
        weight_pointer = data_of(context, builder, signature.args[3], weights)
        fused = multiply_add(builder, vector)
        zero = ir.Constant(vector, [0.0] * lanes)

        def at(address, distance):
            return builder.inttoptr(builder.add(address, ir.Constant(word, distance)), vector.as_pointer())

        for wide in by_value(builder, vectors, _BLOCKS):

            def add(tap, sums, wide=wide):
                base = builder.add(source, builder.load(builder.gep(offset_pointer, [tap])))
                pair = []
                for row in range(2):
                    place = builder.add(builder.shl(tap, ir.Constant(word, 1)), ir.Constant(word, row))
                    pair.append(everywhere(builder, vector, builder.load(builder.gep(weight_pointer, [place]))))
                new = []
                for v in range(wide):
                    pixels = builder.load(at(base, VECTOR_BYTES * v), align=item)
                    new += [builder.call(fused, [pixels, pair[row], sums[2 * v + row]]) for row in range(2)]
                return new

            results = loop(builder, ir.Constant(word, 0), taps, [zero] * (2 * wide), add)
            # The upper row is stored last: with a pitch of 0 it is the one that stays (a result of a single row).
            for row in (1, 0):
                target = builder.add(out, builder.mul(out_pitch, ir.Constant(word, row)))
                for v in range(wide):
                    builder.store(results[2 * v + row], at(target, VECTOR_BYTES * v), align=item)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def copy_bytes(typing_context, target, source, count):
    """Copy ``count`` bytes between two addresses that do not overlap."""

    def generate(context, builder, signature, arguments):
        target, source, count = arguments
        byte = ir.IntType(8).as_pointer()
        cgutils.raw_memcpy(
            builder, builder.inttoptr(target, byte), builder.inttoptr(source, byte), count, itemsize=1, align=1
        )
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def _load(typing_context, address, like):
    """The number at an address, of the array's type."""

    def generate(context, builder, signature, arguments):
        value = context.get_value_type(signature.return_type)
        return builder.load(builder.inttoptr(arguments[0], value.as_pointer()))

    return like.dtype(types.int64, like), generate


# numpy's functions of arrays take the compiler longer than the loops that they stand for.


@compiled
def least_and_most(values):
    """The smallest and the largest of some integers."""
    least, most = np.int64(values[0]), np.int64(values[0])
    for i in range(1, values.size):
        least, most = min(least, np.int64(values[i])), max(most, np.int64(values[i]))
    return least, most


@compiled
def pair_rows(dy, dx, weight, dtype_like):
    """Merge the taps (sorted by dy, dx) with themselves moved up by a row, for results two rows high.

    Returns
    -------
    tuple
        ``dy, dx`` of the pixels to read, relative to the upper row, and the weights ``[2 n]`` (upper, lower, upper,
        ...) in the type of ``dtype_like``.
    """
    taps = dy.size
    rows, columns = np.empty(2 * taps, np.int64), np.empty(2 * taps, np.int64)
    pairs = np.empty(4 * taps, dtype_like.dtype)
    upper, lower, n = 0, 0, 0
    while upper < taps or lower < taps:
        # The lower row sees the tap (dy, dx) at (dy - 1, dx) of the upper row.
        order = 0
        if upper == taps:
            order = 1
        elif lower == taps:
            order = -1
        elif dy[upper] != dy[lower] - 1:
            order = -1 if dy[upper] < dy[lower] - 1 else 1
        elif dx[upper] != dx[lower]:
            order = -1 if dx[upper] < dx[lower] else 1
        pairs[2 * n] = 0
        pairs[2 * n + 1] = 0
        if order <= 0:
            rows[n], columns[n] = dy[upper], dx[upper]
            pairs[2 * n] = weight[upper]
            upper += 1
        if order >= 0:
            rows[n], columns[n] = dy[lower] - 1, dx[lower]
            pairs[2 * n + 1] = weight[lower]
            lower += 1
        n += 1
    return rows[:n].copy(), columns[:n].copy(), pairs[: 2 * n].copy()


@compiled
def _continued(place, size, border):
    """The pixel at ``place`` of the picture that continues beyond its edge; -1 for none (zero)."""
    if 0 <= place < size:
        return place
    if border == 1:
        return 0 if place < 0 else size - 1
    if border == 2:
        return place % size
    if border == 0:
        if size == 1:
            return 0
        period = 2 * (size - 1)  # a picture smaller than the reach is folded again and again
        place = place % period
        return place if place < size else period - place
    return -1


@compiled
def fill_patch(source, row_pitch, height, width, border, top, left, rows, columns, patch, first, pitch):
    """Gather ``rows`` by ``columns`` pixels of the continued picture, from (top, left) on, into ``patch[first:]``.

    ``source`` is the address of the plane, ``row_pitch`` its distance of rows in bytes, ``pitch`` that of the patch in
    numbers.
    """
    item = patch.itemsize
    zero = patch.dtype.type(0)
    address = patch.ctypes.data
    inside_from = min(max(0, -left), columns)  # columns of the patch that lie inside the picture
    inside_to = max(inside_from, min(columns, width - left))
    for i in range(rows):
        row = first + i * pitch
        y = _continued(top + i, height, border)
        if y < 0:
            patch[row : row + columns] = zero
            continue
        line = source + y * row_pitch
        if inside_to > inside_from:
            copy_bytes(
                address + (row + inside_from) * item,
                line + (left + inside_from) * item,
                (inside_to - inside_from) * item,
            )
        for j in range(inside_from):
            x = _continued(left + j, width, border)
            patch[row + j] = _load(line + x * item, patch) if x >= 0 else zero
        for j in range(inside_to, columns):
            x = _continued(left + j, width, border)
            patch[row + j] = _load(line + x * item, patch) if x >= 0 else zero


@intrinsic
def _prefetch(typing_context, address, write):
    """Ask for a cache line that will be read (or, with a ``write`` of 1, written) soon."""

    def generate(context, builder, signature, arguments):
        byte, index = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, index, index, index])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        flags = [ir.Constant(index, write.literal_value), ir.Constant(index, 3), ir.Constant(index, 1)]
        builder.call(function, [builder.inttoptr(arguments[0], byte), *flags])
        return context.get_dummy_value()

    if not isinstance(write, types.IntegerLiteral):
        return None
    return types.void(types.int64, write), generate


@compiled
def _two_rows_at_a_time(source, source_pitch, newest, offsets, weights, out, out_pitch, rows, columns, item):
    """A tile of the result: columns of blocks, each walked downwards, so that its pixels stay in the first cache."""
    taps = offsets.size
    lanes = VECTOR_BYTES // item
    x = 0
    while x < columns:
        left = columns - x
        if left >= _WIDE * lanes and left != 2 * _MEDIUM * lanes:
            vectors = _WIDE
        elif left >= _MEDIUM * lanes:
            vectors = _MEDIUM
        elif left >= _MEDIUM // 2 * lanes:
            vectors = _MEDIUM // 2
        elif left >= _MEDIUM // 4 * lanes:
            vectors = _MEDIUM // 4
        else:
            vectors = 1
            if left < lanes:
                x = columns - lanes  # the last vector overlaps its neighbor: the same values once more
        y = 0
        while y < rows:
            if rows - y == 1 and rows > 1:
                y -= 1  # an odd number of rows: the last pair overlaps too
            a = source + y * source_pitch + x * item
            o = out + y * out_pitch + x * item
            # The walk down a column is opaque to the processor's own prefetching: ask for the rows that come next.
            if y + 6 <= rows:
                for line in range(0, vectors * VECTOR_BYTES + 64, 64):
                    _prefetch(a + newest + 4 * source_pitch + line, 0)
                    _prefetch(a + newest + 5 * source_pitch + line, 0)
                    _prefetch(o + 4 * out_pitch + line, 1)
                    _prefetch(o + 5 * out_pitch + line, 1)
            _add_taps(vectors, a, offsets, weights, taps, o, out_pitch if rows > 1 else 0)
            y += 2
        x += vectors * lanes


@compiled
def tile_grid(height, width, tile_height, tile_width, lanes):
    """Rows and columns of tiles; a last column narrower than a vector is merged into the one before it."""
    down = max(1, (height + tile_height - 1) // tile_height)
    across = max(1, (width + tile_width - 1) // tile_width)
    if across > 1 and width - (across - 1) * tile_width < lanes:
        across -= 1
    return down, across


@compiled
def direct_tiles(
    first, last, source, plane_pitch, row_pitch, height, width, border,
    dy, dx, weights, out, tile_height, tile_width, out_height, out_width, origin_y, origin_x,
):  # fmt: skip
    """The tiles ``first .. last - 1`` (channel by channel, row by row) of the result.

    Parameters
    ----------
    first, last
        Range of tiles, so that threads can share them out.
    source, plane_pitch, row_pitch
        Address of the picture; distance of its channels and rows in bytes.
    height, width, border
        Size of the picture and how it continues beyond its edge (``BORDER_CODES``).
    dy, dx, weights
        What :func:`pair_rows` returns.
    out
        ``[C, out_height, out_width]``, contiguous.
    origin_y, origin_x
        The place of the result's first pixel in the picture.
    """
    item = weights.itemsize
    lanes = VECTOR_BYTES // item
    down, across = tile_grid(out_height, out_width, tile_height, tile_width, lanes)
    taps = dy.size
    top, bottom, left, right = 0, 0, 0, 0
    if taps > 0:
        (lowest, top), (leftmost, left) = least_and_most(dy), least_and_most(dx)
        bottom, right = -lowest - 1, -leftmost
    target = out.ctypes.data
    patch_rows = min(tile_height, max(2, out_height)) + top + bottom
    widest = max(lanes, out_width if across == 1 else max(tile_width, out_width - (across - 1) * tile_width))
    pitch = widest + left + right
    # Rows a power of two apart would fall on the same lines of the first cache.
    pitch += (lanes - pitch % lanes) + lanes * ((pitch // lanes) % 2)
    patch = np.empty(0, weights.dtype)
    narrow = np.empty(0, weights.dtype)
    from_source, from_patch = np.empty(taps, np.int64), np.empty(taps, np.int64)
    for t in range(taps):
        from_source[t] = -(dy[t] * row_pitch + dx[t] * item)
        from_patch[t] = -(dy[t] * pitch + dx[t]) * item
    for job in range(first, last):
        channel, place = job // (down * across), job % (down * across)
        i0, j0 = place // across * tile_height, place % across * tile_width
        rows = min(tile_height, out_height - i0)
        columns = out_width - j0 if place % across == across - 1 else tile_width
        plane = source + channel * plane_pitch
        o = target + ((channel * out_height + i0) * out_width + j0) * item
        y, x = i0 + origin_y, j0 + origin_x
        inside = y - top >= 0 and y + rows - 1 + bottom < height and x - left >= 0 and x + columns - 1 + right < width
        if inside and rows > 1 and columns >= lanes:
            _two_rows_at_a_time(
                plane + y * row_pitch + x * item,
                row_pitch,
                bottom * row_pitch,
                from_source,
                weights,
                o,
                out_width * item,
                rows,
                columns,
                item,
            )
            continue
        if patch.size == 0:
            patch = np.empty((patch_rows + 1) * pitch, weights.dtype)
        wide = max(columns, lanes)
        fill_patch(
            plane, row_pitch, height, width, border, y - top, x - left,
            max(rows, 2) + top + bottom, wide + left + right, patch, 0, pitch,
        )  # fmt: skip
        a = patch.ctypes.data + (top * pitch + left) * item
        if columns >= lanes:
            _two_rows_at_a_time(
                a, pitch * item, bottom * pitch * item, from_patch, weights, o, out_width * item, rows, columns, item
            )
        else:
            if narrow.size == 0:
                narrow = np.empty(tile_height * lanes, weights.dtype)
            n = np.int64(narrow.ctypes.data)
            _two_rows_at_a_time(
                a, pitch * item, bottom * pitch * item, from_patch, weights, n, lanes * item, rows, lanes, item
            )
            for i in range(rows):
                copy_bytes(o + i * out_width * item, n + i * lanes * item, columns * item)


@compiled
def separable_tiles(
    first, last, source, plane_pitch, row_pitch, height, width, border,
    across_dy, across_dx, across_weights, down_dy, down_dx, down_weights,
    out, tile_height, tile_width, out_height, out_width, origin_y, origin_x,
):  # fmt: skip
    """Like :func:`direct_tiles`, for a point spread that is a column times a row: first rows, then columns."""
    item = across_weights.itemsize
    lanes = VECTOR_BYTES // item
    down, across = tile_grid(out_height, out_width, tile_height, tile_width, lanes)
    (lowest, top), (leftmost, left) = least_and_most(down_dy), least_and_most(across_dx)
    bottom, right = -lowest - 1, -leftmost
    widest = max(lanes, out_width if across == 1 else max(tile_width, out_width - (across - 1) * tile_width))
    most_rows = max(2, min(tile_height, out_height)) + top + bottom
    pitch = widest + left + right
    pitch += (lanes - pitch % lanes) + lanes * ((pitch // lanes) % 2)
    half_pitch = widest + (lanes - widest % lanes) + lanes * ((widest // lanes) % 2)
    patch = np.empty(0, across_weights.dtype)
    half = np.empty((most_rows + 1) * half_pitch, across_weights.dtype)
    narrow = np.empty(0, across_weights.dtype)
    from_source, from_patch = np.empty(across_dx.size, np.int64), np.empty(across_dx.size, np.int64)
    for t in range(across_dx.size):
        from_source[t] = -(across_dy[t] * row_pitch + across_dx[t] * item)
        from_patch[t] = -(across_dy[t] * pitch + across_dx[t]) * item
    from_half = np.empty(down_dy.size, np.int64)
    for t in range(down_dy.size):
        from_half[t] = -(down_dy[t] * half_pitch + down_dx[t]) * item
    for job in range(first, last):
        channel, place = job // (down * across), job % (down * across)
        i0, j0 = place // across * tile_height, place % across * tile_width
        rows = min(tile_height, out_height - i0)
        columns = out_width - j0 if place % across == across - 1 else tile_width
        plane = source + channel * plane_pitch
        o = out.ctypes.data + ((channel * out_height + i0) * out_width + j0) * item
        y, x = i0 + origin_y, j0 + origin_x
        tall, wide = max(rows, 2) + top + bottom, max(columns, lanes)
        h = np.int64(half.ctypes.data)
        inside = y - top >= 0 and y - top + tall <= height and x - left >= 0 and x + wide - 1 + right < width
        if inside:
            a = plane + (y - top) * row_pitch + x * item
            _two_rows_at_a_time(a, row_pitch, 0, from_source, across_weights, h, half_pitch * item, tall, wide, item)
        else:
            if patch.size == 0:
                patch = np.empty((most_rows + 1) * pitch, across_weights.dtype)
            fill_patch(
                plane, row_pitch, height, width, border, y - top, x - left, tall, wide + left + right, patch, 0, pitch
            )
            a = patch.ctypes.data + left * item
            _two_rows_at_a_time(a, pitch * item, 0, from_patch, across_weights, h, half_pitch * item, tall, wide, item)
        a = h + top * half_pitch * item
        if columns >= lanes:
            _two_rows_at_a_time(
                a,
                half_pitch * item,
                bottom * half_pitch * item,
                from_half,
                down_weights,
                o,
                out_width * item,
                rows,
                columns,
                item,
            )
        else:
            if narrow.size == 0:
                narrow = np.empty(max(2, tile_height) * lanes, across_weights.dtype)
            n = np.int64(narrow.ctypes.data)
            _two_rows_at_a_time(
                a,
                half_pitch * item,
                bottom * half_pitch * item,
                from_half,
                down_weights,
                n,
                lanes * item,
                rows,
                lanes,
                item,
            )
            for i in range(rows):
                copy_bytes(o + i * out_width * item, n + i * lanes * item, columns * item)
