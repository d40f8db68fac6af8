"""Convolution by Fourier transforms of tiles (overlap-save), for point spreads with very many taps.

A tile of the result needs the pixels of the tile and of a margin as large as the point spread. They are transformed,
multiplied with the transformed point spread, and transformed back; what wraps around falls into the margin and is
dropped. Tiles fit the second cache, which whole pictures do not, and the point spread is transformed only once, at the
size of a tile.

Two tiles go through one complex transform, one as its real part, the other as its imaginary part: the point spread is
real, so they come out apart again.

The transform. Radix 8, 4, 3 and 2, decimation in frequency forwards and in time backwards, so that neither needs to
bring its numbers into order: the spectra stay shuffled, tile and point spread alike. A vector holds neighboring
columns, which makes the transform of columns free of shuffles; for that of the rows, as many of them as a vector has
lanes are transposed into a strip that stays in the first cache, where they are transformed, multiplied, transformed
back, and transposed back. A tile is stored as strips of columns, one vector wide: ``[Nx / lanes, Ny, 2 (real,
imaginary), lanes]``.

Error: of the order of ``eps log2(N) ||k|| ||x||`` with norms over a tile. Results can be slightly negative where the
picture is 0.

Source of the method: Cooley and Tukey 1965; Gentleman and Sande 1966 (decimation in frequency).
"""

# numba and llvmlite carry no types.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,import-untyped,call-arg,unreachable"

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.cpu.convolve_direct import VECTOR_BYTES, copy_bytes, fill_patch, least_and_most
from blursynth.backends.cpu.vectors import by_value, data_of, everywhere, vector_of

__all__ = ["LENGTHS", "choose_tiles", "fourier_tiles", "spectrum", "stages"]

# Multiples of 16, so that every vector is full.
LENGTHS = np.array(sorted(2**a * 3**b for a in range(4, 14) for b in range(3) if 2**a * 3**b <= 8192), np.int64)

# Cost of a pair of tiles, forwards and backwards, in ns on one core, for VECTOR_BYTES = 64 (AMD Zen 5, 3.7 GHz, 1 MiB
# of second cache; best of 20 runs for sizes 32 to 1024 and both types): fixed parts, and per number of 4 bytes and
# stage of radix 2 a cost that grows where the tile and the transformed point spread outgrow the second and the third
# cache.
_CALL_NS, _PAIR_NS = 1e4, 2000.0
_STAGE_NS = ((1.3e6, 0.098), (5.5e6, 0.128), (np.inf, 0.33))  # (bytes of both, ns)

_CONTRACT = ("contract",)

Complex = tuple[Any, Any]


class _Arithmetic:
    """Complex arithmetic on pairs of vectors, written into a basic block."""

    def __init__(self, builder: Any, vector: Any, sign: int) -> None:
        self.builder, self.vector, self.sign = builder, vector, sign

    def constant(self, value: float) -> Any:
        return ir.Constant(self.vector, [value] * self.vector.count)

    def add(self, a: Complex, b: Complex) -> Complex:
        return tuple(self.builder.fadd(p, q, flags=_CONTRACT) for p, q in zip(a, b, strict=True))

    def subtract(self, a: Complex, b: Complex) -> Complex:
        return tuple(self.builder.fsub(p, q, flags=_CONTRACT) for p, q in zip(a, b, strict=True))

    def scale(self, a: Complex, factor: float) -> Complex:
        return tuple(self.builder.fmul(p, self.constant(factor), flags=_CONTRACT) for p in a)

    def multiply(self, a: Complex, b: Complex, *, conjugate: bool = False) -> Complex:
        f = self.builder
        rr, ii = f.fmul(a[0], b[0], flags=_CONTRACT), f.fmul(a[1], b[1], flags=_CONTRACT)
        ri, ir_ = f.fmul(a[0], b[1], flags=_CONTRACT), f.fmul(a[1], b[0], flags=_CONTRACT)
        if conjugate:
            return f.fadd(rr, ii, flags=_CONTRACT), f.fsub(ir_, ri, flags=_CONTRACT)
        return f.fsub(rr, ii, flags=_CONTRACT), f.fadd(ir_, ri, flags=_CONTRACT)

    def add_turned(self, a: Complex, b: Complex, *, minus: bool = False) -> Complex:
        """``a + s i b`` with s the sign of the transform, or ``a - s i b``."""
        f = self.builder
        if (self.sign > 0) != minus:  # a + i b
            return f.fsub(a[0], b[1], flags=_CONTRACT), f.fadd(a[1], b[0], flags=_CONTRACT)
        return f.fadd(a[0], b[1], flags=_CONTRACT), f.fsub(a[1], b[0], flags=_CONTRACT)

    def transform(self, x: list[Complex]) -> list[Complex]:
        """The discrete Fourier transform ``y_q = sum_j x_j exp(s 2 pi i j q / r)`` of r = 2, 3, 4 or 8 numbers."""
        if len(x) == 2:
            return [self.add(*x), self.subtract(*x)]
        if len(x) == 3:
            both, apart = self.add(x[1], x[2]), self.scale(self.subtract(x[1], x[2]), 0.8660254037844386)
            middle = self.subtract(x[0], self.scale(both, 0.5))
            return [self.add(x[0], both), self.add_turned(middle, apart), self.add_turned(middle, apart, minus=True)]
        if len(x) == 4:
            a, b = self.add(x[0], x[2]), self.subtract(x[0], x[2])
            c, d = self.add(x[1], x[3]), self.subtract(x[1], x[3])
            return [self.add(a, c), self.add_turned(b, d), self.subtract(a, c), self.add_turned(b, d, minus=True)]
        even, odd = self.transform(x[0::2]), self.transform(x[1::2])
        half = 0.7071067811865476
        # Odd terms turn by s pi/4 and s 3 pi/4: (1 + s i) / sqrt 2 and (-1 + s i) / sqrt 2.
        first = self.scale(self.add_turned(odd[1], odd[1]), half)
        minus = self.builder.fneg(odd[3][0]), self.builder.fneg(odd[3][1])
        third = self.scale(self.add_turned(minus, odd[3]), half)
        return [
            self.add(even[0], odd[0]),
            self.add(even[1], first),
            self.add_turned(even[2], odd[2]),
            self.add(even[3], third),
            self.subtract(even[0], odd[0]),
            self.subtract(even[1], first),
            self.add_turned(even[2], odd[2], minus=True),
            self.subtract(even[3], third),
        ]


def _butterfly(forwards: bool) -> Any:
    """One butterfly of ``radix`` complex vectors, ``step`` bytes apart, in place.

    Forwards: transform, then turn by the twiddle factors; backwards: turn back, then transform. Where ``turned`` is 0
    the factors are 1.
    """

    @intrinsic
    def butterfly(typing_context, radix, turned, address, step, twiddles, first):
        word = types.int64
        signature = types.void(word, word, word, word, twiddles, word)
        item = twiddles.dtype.bitwidth // 8
        lanes = VECTOR_BYTES // item

        def generate(context, builder, signature, arguments):
            radix, turned, address, step, twiddles, first = arguments
            word = ir.IntType(64)
            vector = vector_of(context, signature.args[4].dtype, lanes)
            factors = data_of(context, builder, signature.args[4], twiddles)
            arithmetic = _Arithmetic(builder, vector, -1 if forwards else 1)

            def pointer(j: int, part: int) -> Any:
                place = builder.add(address, builder.mul(step, ir.Constant(word, j)))
                return builder.inttoptr(builder.add(place, ir.Constant(word, part * VECTOR_BYTES)), vector.as_pointer())

            def factor(q: int) -> Complex:
                places = (builder.add(first, ir.Constant(word, 2 * (q - 1) + part)) for part in range(2))
                real, imaginary = (builder.load(builder.gep(factors, [place])) for place in places)
                return everywhere(builder, vector, real), everywhere(builder, vector, imaginary)

            def emit(size: int, turn: int) -> None:
                x: list[Complex] = [
                    (builder.load(pointer(j, 0), align=item), builder.load(pointer(j, 1), align=item))
                    for j in range(size)
                ]
                if turn and not forwards:
                    x = [x[0]] + [arithmetic.multiply(x[q], factor(q), conjugate=True) for q in range(1, size)]
                x = arithmetic.transform(x)
                if turn and forwards:
                    x = [x[0]] + [arithmetic.multiply(x[q], factor(q)) for q in range(1, size)]
                for j, value in enumerate(x):
                    for part in range(2):
                        builder.store(value[part], pointer(j, part), align=item)

            for turn in by_value(builder, turned, (1, 0)):
                for size in by_value(builder, radix, (8, 4, 3) if turn else (8, 4, 3, 2)):
                    emit(size, turn)
            return context.get_dummy_value()

        return signature, generate

    return butterfly


_butterfly_forwards, _butterfly_backwards = _butterfly(True), _butterfly(False)


@intrinsic
def _transpose(typing_context, source, source_pitch, target, target_pitch, like):
    """Transpose a square of lanes by lanes numbers; pitches in bytes."""
    item = like.dtype.bitwidth // 8
    lanes = VECTOR_BYTES // item

    def generate(context, builder, signature, arguments):
        source, source_pitch, target, target_pitch, _ = arguments
        word, index = ir.IntType(64), ir.IntType(32)
        vector = ir.VectorType(context.get_value_type(like.dtype), lanes)

        def pointer(address: Any, pitch: Any, row: int) -> Any:
            return builder.inttoptr(
                builder.add(address, builder.mul(pitch, ir.Constant(word, row))), vector.as_pointer()
            )

        rows = [builder.load(pointer(source, source_pitch, i), align=item) for i in range(lanes)]
        half = lanes // 2
        masks = [
            ir.Constant(
                ir.VectorType(index, lanes), [k for j in range(half) for k in (h * half + j, h * half + j + lanes)]
            )
            for h in range(2)
        ]
        # Interleaving row i with row i + lanes/2 rotates the bits of (row, column) by one place; after log2(lanes)
        # rounds row and column have changed places.
        for _ in range(lanes.bit_length() - 1):
            rows = [builder.shuffle_vector(rows[i], rows[i + half], masks[h]) for i in range(half) for h in range(2)]
        for i, row in enumerate(rows):
            builder.store(row, pointer(target, target_pitch, i), align=item)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64, like), generate


@intrinsic
def _copy_vector(typing_context, target, source):
    """Copy VECTOR_BYTES bytes."""

    def generate(context, builder, signature, arguments):
        vector = ir.VectorType(ir.IntType(8), VECTOR_BYTES).as_pointer()
        target, source = (builder.inttoptr(a, vector) for a in arguments)
        builder.store(builder.load(source, align=1), target, align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def _multiply_at(typing_context, address, other, like):
    """Multiply the complex vector at ``address`` by the one at ``other``."""
    item = like.dtype.bitwidth // 8

    def generate(context, builder, signature, arguments):
        word = ir.IntType(64)
        vector = ir.VectorType(context.get_value_type(like.dtype), VECTOR_BYTES // item)

        def pointer(base: Any, part: int) -> Any:
            return builder.inttoptr(builder.add(base, ir.Constant(word, part * VECTOR_BYTES)), vector.as_pointer())

        a, b = ([builder.load(pointer(base, part), align=item) for part in range(2)] for base in arguments[:2])
        product = _Arithmetic(builder, vector, 1).multiply((a[0], a[1]), (b[0], b[1]))
        for part in range(2):
            builder.store(product[part], pointer(arguments[0], part), align=item)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, like), generate


@functools.lru_cache(maxsize=64)
def stages(length: int, dtype: np.dtype[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
    """The radices of a transform and its twiddle factors ``exp(-2 pi i k q / n)`` by stage, k, q = 1 .. r - 1."""
    rest, radices = length, []
    while rest % 3 == 0:
        radices.append(3)
        rest //= 3
    twos = rest.bit_length() - 1
    while twos not in (0, 1, 2, 4):
        radices.append(8)
        twos -= 3
    radices += {0: [], 1: [2], 2: [4], 4: [4, 4]}[twos]
    factors, n = [], length
    for radix in radices:
        angle = -2 * np.pi * np.outer(np.arange(n // radix), np.arange(1, radix)) / n
        factors.append(np.stack([np.cos(angle), np.sin(angle)], axis=-1).ravel())
        n //= radix
    return np.array(radices, np.int64), np.concatenate(factors).astype(dtype)


@compiled
def _forwards(address, length, radices, factors):
    """Transform ``length`` complex vectors, one after the other in memory."""
    pitch = 2 * VECTOR_BYTES
    first, blocks, n = 0, 1, length
    for stage in range(radices.size):
        radix = radices[stage]
        m = n // radix
        step = m * pitch
        for k in range(m):
            f = first + k * (radix - 1) * 2
            for block in range(blocks):
                a = address + (block * n + k) * pitch
                _butterfly_forwards(radix, 1 if m > 1 else 0, a, step, factors, f)
        first += m * (radix - 1) * 2
        blocks *= radix
        n = m


@compiled
def _backwards(address, length, radices, factors):
    """The inverse of :func:`_forwards`, times ``length``."""
    pitch = 2 * VECTOR_BYTES
    first, blocks, m = factors.size, length, 1
    for stage in range(radices.size - 1, -1, -1):
        radix = radices[stage]
        n = m * radix
        blocks //= radix
        first -= m * (radix - 1) * 2
        step = m * pitch
        for k in range(m):
            f = first + k * (radix - 1) * 2
            for block in range(blocks):
                a = address + (block * n + k) * pitch
                _butterfly_backwards(radix, 1 if m > 1 else 0, a, step, factors, f)
        m = n


@compiled
def _to_strip(tile, group, rows, columns, strip, like):
    """Gather one group of rows of a tile, transposed."""
    lanes = VECTOR_BYTES // like.itemsize
    pitch = 2 * VECTOR_BYTES
    for block in range(columns // lanes):
        a = tile + (block * rows + group * lanes) * pitch
        b = strip + block * lanes * pitch
        _transpose(a, pitch, b, pitch, like)
        _transpose(a + VECTOR_BYTES, pitch, b + VECTOR_BYTES, pitch, like)


@compiled
def spectrum(dy, dx, weight, rows, columns, row_radices, row_factors, column_radices, column_factors):
    """The transformed point spread, scaled for the way back: ``[rows / lanes, columns, 2, lanes]``, flat.

    It is placed so that the first tap of a tile's first pixel is the tile's first pixel.
    """
    dtype = row_factors.dtype
    item = row_factors.itemsize
    lanes = VECTOR_BYTES // item
    pitch = 2 * VECTOR_BYTES
    tile = np.zeros(2 * rows * columns, dtype)
    top, left = least_and_most(dy)[1], least_and_most(dx)[1]
    scale = 1.0 / (rows * columns)
    for t in range(weight.size):
        y, x = (dy[t] - top) % rows, (dx[t] - left) % columns
        tile[(x // lanes * rows + y) * 2 * lanes + x % lanes] += weight[t] * scale
    result = np.empty(2 * rows * columns, dtype)
    for block in range(columns // lanes):
        _forwards(tile.ctypes.data + block * rows * pitch, rows, column_radices, column_factors)
    for group in range(rows // lanes):
        strip = result.ctypes.data + group * columns * pitch
        _to_strip(tile.ctypes.data, group, rows, columns, strip, row_factors)
        _forwards(strip, columns, row_radices, row_factors)
    tile[0] = 0  # keeps the tile alive up to here: only its address was used above
    return result


@compiled
def fourier_tiles(
    first, last, source, plane_pitch, row_pitch, height, width, border,
    top, bottom, left, right, spread, rows, columns, row_radices, row_factors, column_radices, column_factors,
    out, tile_height, tile_width, out_height, out_width, origin_y, origin_x,
):  # fmt: skip
    """The pairs of tiles ``first .. last - 1`` of the result; picture and result are those of ``direct_tiles``.

    Parameters
    ----------
    top, bottom, left, right
        The largest and the negated smallest offset of the taps in rows and in columns.
    spread
        What :func:`spectrum` returns.
    rows, columns
        Size of the transform: at least that of a tile of the result with its margins.
    """
    item = row_factors.itemsize
    lanes = VECTOR_BYTES // item
    pitch = 2 * VECTOR_BYTES
    down = (out_height + tile_height - 1) // tile_height
    across = (out_width + tile_width - 1) // tile_width
    tiles = out.shape[0] * down * across
    memory = np.empty((2 * rows * columns + 2 * columns * lanes + columns) + 2 * lanes, row_factors.dtype)
    # Vectors on their own cache lines.
    tile = (memory.ctypes.data + VECTOR_BYTES - 1) // VECTOR_BYTES * VECTOR_BYTES
    strip = tile + 2 * rows * columns * item
    line = strip + 2 * columns * VECTOR_BYTES
    line_index = (line - memory.ctypes.data) // item
    spread_data = spread.ctypes.data
    for pair in range(first, last):
        for part in range(2):
            number = min(2 * pair + part, tiles - 1)  # an odd one out is its own partner
            channel, place = number // (down * across), number % (down * across)
            i0, j0 = place // across * tile_height, place % across * tile_width
            high = min(tile_height, out_height - i0) + top + bottom
            wide = min(tile_width, out_width - j0) + left + right
            plane = source + channel * plane_pitch
            y0, x0 = i0 + origin_y - top, j0 + origin_x - left
            memory[line_index : line_index + columns] = 0
            for i in range(rows):
                if i >= high:
                    if i == high:
                        memory[line_index : line_index + columns] = 0
                    row, full = line, columns // lanes
                elif 0 <= y0 + i < height and x0 >= 0 and x0 + wide <= width:
                    row, full = plane + (y0 + i) * row_pitch + x0 * item, wide // lanes
                else:
                    fill_patch(
                        plane, row_pitch, height, width, border, y0 + i, x0, 1, wide, memory, line_index, columns
                    )
                    row, full = line, columns // lanes
                target = tile + i * pitch + part * VECTOR_BYTES
                for block in range(full):
                    _copy_vector(target + block * rows * pitch, row + block * VECTOR_BYTES)
                if full * lanes < columns:
                    # The ragged end of a line of the source, with zeros after it.
                    rest = (wide - full * lanes) * item
                    copy_bytes(line, row + full * VECTOR_BYTES, rest)
                    for j in range(wide - full * lanes, columns - full * lanes):
                        memory[line_index + j] = 0
                    for block in range(full, columns // lanes):
                        _copy_vector(target + block * rows * pitch, line + (block - full) * VECTOR_BYTES)
        for block in range(columns // lanes):
            _forwards(tile + block * rows * pitch, rows, column_radices, column_factors)
        for group in range(rows // lanes):
            _to_strip(tile, group, rows, columns, strip, row_factors)
            _forwards(strip, columns, row_radices, row_factors)
            factors = spread_data + group * columns * pitch
            for k in range(columns):
                _multiply_at(strip + k * pitch, factors + k * pitch, row_factors)
            _backwards(strip, columns, row_radices, row_factors)
            for block in range(columns // lanes):
                a = strip + block * lanes * pitch
                b = tile + (block * rows + group * lanes) * pitch
                _transpose(a, pitch, b, pitch, row_factors)
                _transpose(a + VECTOR_BYTES, pitch, b + VECTOR_BYTES, pitch, row_factors)
        for block in range(columns // lanes):
            _backwards(tile + block * rows * pitch, rows, column_radices, column_factors)
        for part in range(2):
            number = 2 * pair + part
            if number >= tiles:
                continue
            channel, place = number // (down * across), number % (down * across)
            i0, j0 = place // across * tile_height, place % across * tile_width
            wide = min(tile_width, out_width - j0)
            for i in range(min(tile_height, out_height - i0)):
                o = out.ctypes.data + ((channel * out_height + i0 + i) * out_width + j0) * item
                a = tile + i * pitch + part * VECTOR_BYTES
                for block in range(wide // lanes):
                    _copy_vector(o + block * VECTOR_BYTES, a + block * rows * pitch)
                done = wide // lanes
                copy_bytes(o + done * VECTOR_BYTES, a + done * rows * pitch, (wide - done * lanes) * item)
    memory[0] = 0  # keeps the memory alive up to here: only its address was used above


@compiled
def choose_tiles(lengths, margin_rows, margin_columns, channels, out_height, out_width, item):
    """The size of transform and tile that is expected to be fastest.

    Returns
    -------
    tuple
        Rows and columns of the transform, height and width of the tiles, cost in ns on one core; rows 0 where the point
        spread is too large for any.
    """
    best = (0, 0, 0, 0, np.inf)
    for rows in lengths:
        if rows <= margin_rows:
            continue
        down = (out_height + rows - margin_rows - 1) // (rows - margin_rows)
        for columns in lengths:
            if columns <= margin_columns:
                continue
            across = (out_width + columns - margin_columns - 1) // (columns - margin_columns)
            pairs = (channels * down * across + 1) // 2
            stage = _STAGE_NS[2][1]
            for level in range(1, -1, -1):
                if 4.0 * rows * columns * item <= _STAGE_NS[level][0]:
                    stage = _STAGE_NS[level][1]
            once = _PAIR_NS + rows * columns * (item / 4) * stage * np.log2(rows * columns) * (64 / VECTOR_BYTES)
            cost = _CALL_NS + (pairs + 0.6) * once
            if cost < best[4]:
                high, wide = (out_height + down - 1) // down, (out_width + across - 1) // across
                best = (rows, columns, high, wide, cost)
        if down == 1:
            break
    return best
