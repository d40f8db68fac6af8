"""Machine code for one block of a row of warped pixels, which :mod:`~blursynth.backends.cpu.warp_mean` is made of.

A block is a few vectors of pixels of one row, with all moments that it sees in tables. Its pixels and weights stay in
registers while the moments are added, by 2 x 2 contiguous taps or by any number of them.
"""

# numba and llvmlite carry no types.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,import-untyped,call-arg"

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.cpu.convolve_direct import _MANY_REGISTERS, VECTOR_BYTES
from blursynth.backends.cpu.vectors import absolute, everywhere, multiply_add

__all__ = ["AFFINE", "DEPTH", "NUMBERS", "PARALLAX", "PROJECTIVE", "VECTORS", "blend_block", "send_block"]

VECTORS = 4 if _MANY_REGISTERS else 2  # of a block; its pixels and weights stay in registers

# What the table of a block holds for each moment. With k the pixel's number in the block, q its inverse depth less the
# block's middle: s = S + DS k + QS q; x = (U + DU k + DDU k^2 + (QU + DQU k) q) / s beyond the first tap's column,
# y = (V + DV k + QV q) / s beyond its row.
_WEIGHT, _U, _DU, _DDU, _V, _DV, _S, _DS, _QU, _DQU, _QV, _QS = range(12)
NUMBERS = 12

# Forms of motion: without depth, affine or not; with depth, any, or a camera that moves in its own plane.
AFFINE, PROJECTIVE, DEPTH, PARALLAX = 0, 1, 2, 3


def _block(channels: int, mode: int, general: bool, transpose: bool = False) -> Any:
    """Code that adds some moments to a block of ``channels`` planes, by 2 x 2 taps or (``general``) any number.

    Transposed, the block's light is added to the places that it came from.
    """

    @intrinsic
    def block(typing_context, first, last, address, table, taps, depth, plane, pitch, block):
        signature = types.void(types.int64, types.int64, address, table, taps, depth, types.int64, types.int64, block)
        number = table.dtype
        item = number.bitwidth // 8
        lanes = VECTOR_BYTES // item

        def generate(context, builder, signature, arguments):
            first, last, address, table, taps, depth, plane, pitch, block = arguments
            word = ir.IntType(64)
            scalar = context.get_value_type(number)
            vector = ir.VectorType(scalar, lanes)

            def data(position, value):
                return context.make_array(signature.args[position])(context, builder, value).data

            address, table, taps, depth, block = (
                data(2, address),
                data(3, table),
                data(4, taps),
                data(5, depth),
                data(8, block),
            )
            fused, magnitude = multiply_add(builder, vector), absolute(builder, vector)

            def fma(a, b, c):
                return builder.call(fused, [a, b, c])

            def constant(values):
                return ir.Constant(vector, values)

            def spread(value):
                return everywhere(builder, vector, value)

            def at(place, distance=0):
                return builder.inttoptr(builder.add(place, ir.Constant(word, distance)), vector.as_pointer())

            def load(place, distance=0):
                return builder.load(at(place, distance), align=item)

            one = constant([1.0] * lanes)
            zero = constant([0.0] * lanes)
            numbers = [constant([float(v * lanes + k) for k in range(lanes)]) for v in range(VECTORS)]
            block_at = builder.ptrtoint(block, word)
            depth_at = builder.ptrtoint(depth, word)
            held = []  # the block's pixels, in registers while the moments go by
            for part in range(channels * VECTORS):
                slot = cgutils.alloca_once(builder, vector)
                builder.store(load(block_at, part * VECTOR_BYTES), slot)
                held.append(slot)

            with cgutils.for_range_slice(builder, first, last, ir.Constant(word, 1)) as (entry, _):
                start = builder.mul(entry, ir.Constant(word, NUMBERS))

                def value(which):
                    place = builder.add(start, ir.Constant(word, which))
                    return spread(builder.load(builder.gep(table, [place])))

                base = builder.load(builder.gep(address, [entry]))
                weight = value(_WEIGHT)
                right, down = [], []
                for v in range(VECTORS):
                    k = numbers[v]
                    if mode in (AFFINE, PARALLAX):
                        u, w = fma(value(_DU), k, value(_U)), fma(value(_DV), k, value(_V))
                        if mode == PARALLAX:
                            q = load(depth_at, v * VECTOR_BYTES)
                            u, w = fma(q, value(_QU), u), fma(q, value(_QV), w)
                        right.append(u)
                        down.append(w)
                        continue
                    s = fma(value(_DS), k, value(_S))
                    u = fma(fma(value(_DDU), k, value(_DU)), k, value(_U))
                    w = fma(value(_DV), k, value(_V))
                    if mode == DEPTH:
                        q = load(depth_at, v * VECTOR_BYTES)
                        s = fma(q, value(_QS), s)
                        u = fma(q, fma(value(_DQU), k, value(_QU)), u)
                        w = fma(q, value(_QV), w)
                    reciprocal = builder.fdiv(one, s)
                    right.append(builder.fmul(u, reciprocal))
                    down.append(builder.fmul(w, reciprocal))

                def tap(place, shares):
                    """One tap of every vector and channel; ``place`` is the address in the first channel."""
                    for c in range(channels):
                        for v in range(VECTORS):
                            slot = held[c * VECTORS + v]
                            there = load(place, v * VECTOR_BYTES)
                            if transpose:
                                light = builder.load(slot)
                                builder.store(fma(shares[v], light, there), at(place, v * VECTOR_BYTES), align=item)
                            else:
                                builder.store(fma(shares[v], there, builder.load(slot)), slot)
                        if c + 1 < channels:
                            place = builder.add(place, plane)

                if not general:
                    lower = [builder.fmul(weight, down[v]) for v in range(VECTORS)]
                    upper = [builder.fmul(weight, builder.fsub(one, down[v])) for v in range(VECTORS)]
                    left = [builder.fsub(one, right[v]) for v in range(VECTORS)]
                    for row in (upper, lower):
                        tap(base, [builder.fmul(row[v], left[v]) for v in range(VECTORS)])
                        beside = builder.add(base, ir.Constant(word, item))
                        tap(beside, [builder.fmul(row[v], right[v]) for v in range(VECTORS)])
                        base = builder.add(base, pitch)
                else:

                    def hat(distance):
                        share = builder.fsub(one, builder.call(magnitude, [distance]))
                        return builder.select(builder.fcmp_ordered(">", share, zero), share, zero)

                    def count(which):
                        place = builder.add(builder.shl(entry, ir.Constant(word, 1)), ir.Constant(word, which))
                        return builder.load(builder.gep(taps, [place]))

                    columns = count(1)
                    with cgutils.for_range(builder, count(0)) as row:
                        far = spread(builder.sitofp(row.index, scalar))
                        height = [builder.fmul(weight, hat(builder.fsub(down[v], far))) for v in range(VECTORS)]
                        line = builder.add(base, builder.mul(row.index, pitch))
                        with cgutils.for_range(builder, columns) as column:
                            far = spread(builder.sitofp(column.index, scalar))
                            shares = [builder.fmul(height[v], hat(builder.fsub(right[v], far))) for v in range(VECTORS)]
                            tap(builder.add(line, builder.mul(column.index, ir.Constant(word, item))), shares)

            if not transpose:
                for part in range(channels * VECTORS):
                    builder.store(builder.load(held[part]), at(block_at, part * VECTOR_BYTES), align=item)
            return context.get_dummy_value()

        return signature, generate

    return block


_affine_3, _affine_3_general = _block(3, AFFINE, False), _block(3, AFFINE, True)
_affine_1, _affine_1_general = _block(1, AFFINE, False), _block(1, AFFINE, True)
_projective_3, _projective_3_general = _block(3, PROJECTIVE, False), _block(3, PROJECTIVE, True)
_projective_1, _projective_1_general = _block(1, PROJECTIVE, False), _block(1, PROJECTIVE, True)
_depth_3, _depth_3_general = _block(3, DEPTH, False), _block(3, DEPTH, True)
_depth_1, _depth_1_general = _block(1, DEPTH, False), _block(1, DEPTH, True)
_parallax_3, _parallax_3_general = _block(3, PARALLAX, False), _block(3, PARALLAX, True)
_parallax_1, _parallax_1_general = _block(1, PARALLAX, False), _block(1, PARALLAX, True)


_back = {(c, m, g): _block(c, m, g, transpose=True) for c in (1, 3) for m in (0, 1, 2, 3) for g in (False, True)}
_affine_3_back, _affine_3_general_back = _back[3, 0, False], _back[3, 0, True]
_affine_1_back, _affine_1_general_back = _back[1, 0, False], _back[1, 0, True]
_projective_3_back, _projective_3_general_back = _back[3, 1, False], _back[3, 1, True]
_projective_1_back, _projective_1_general_back = _back[1, 1, False], _back[1, 1, True]
_depth_3_back, _depth_3_general_back = _back[3, 2, False], _back[3, 2, True]
_depth_1_back, _depth_1_general_back = _back[1, 2, False], _back[1, 2, True]
_parallax_3_back, _parallax_3_general_back = _back[3, 3, False], _back[3, 3, True]
_parallax_1_back, _parallax_1_general_back = _back[1, 3, False], _back[1, 3, True]


@compiled
def blend_block(mode, channels, pairs, firsts, total, address, table, taps, depth, plane, pitch, block):
    """Add the moments of the tables to all channels of a block: [0, pairs) by 2 x 2 taps, [firsts, total) by others."""
    c = 0
    here = address
    while c < channels:
        group = 3 if channels - c >= 3 else 1
        part = block[c]
        if mode == 0:
            if group == 3:
                _affine_3(0, pairs, here, table, taps, depth, plane, pitch, part)
                _affine_3_general(firsts, total, here, table, taps, depth, plane, pitch, part)
            else:
                _affine_1(0, pairs, here, table, taps, depth, plane, pitch, part)
                _affine_1_general(firsts, total, here, table, taps, depth, plane, pitch, part)
        elif mode == 1:
            if group == 3:
                _projective_3(0, pairs, here, table, taps, depth, plane, pitch, part)
                _projective_3_general(firsts, total, here, table, taps, depth, plane, pitch, part)
            else:
                _projective_1(0, pairs, here, table, taps, depth, plane, pitch, part)
                _projective_1_general(firsts, total, here, table, taps, depth, plane, pitch, part)
        elif mode == 3:
            if group == 3:
                _parallax_3(0, pairs, here, table, taps, depth, plane, pitch, part)
                _parallax_3_general(firsts, total, here, table, taps, depth, plane, pitch, part)
            else:
                _parallax_1(0, pairs, here, table, taps, depth, plane, pitch, part)
                _parallax_1_general(firsts, total, here, table, taps, depth, plane, pitch, part)
        elif group == 3:
            _depth_3(0, pairs, here, table, taps, depth, plane, pitch, part)
            _depth_3_general(firsts, total, here, table, taps, depth, plane, pitch, part)
        else:
            _depth_1(0, pairs, here, table, taps, depth, plane, pitch, part)
            _depth_1_general(firsts, total, here, table, taps, depth, plane, pitch, part)
        c += group
        if c < channels:
            for e in range(pairs):
                here[e] += group * plane
            for e in range(firsts, total):
                here[e] += group * plane


@compiled
def send_block(mode, channels, pairs, firsts, total, address, table, taps, depth, plane, pitch, block):
    """The transpose of :func:`blend_block`: add the block to the places that it came from."""
    c = 0
    here = address
    while c < channels:
        group = 3 if channels - c >= 3 else 1
        part = block[c]
        if mode == 0:
            if group == 3:
                _affine_3_back(0, pairs, here, table, taps, depth, plane, pitch, part)
                _affine_3_general_back(firsts, total, here, table, taps, depth, plane, pitch, part)
            else:
                _affine_1_back(0, pairs, here, table, taps, depth, plane, pitch, part)
                _affine_1_general_back(firsts, total, here, table, taps, depth, plane, pitch, part)
        elif mode == 1:
            if group == 3:
                _projective_3_back(0, pairs, here, table, taps, depth, plane, pitch, part)
                _projective_3_general_back(firsts, total, here, table, taps, depth, plane, pitch, part)
            else:
                _projective_1_back(0, pairs, here, table, taps, depth, plane, pitch, part)
                _projective_1_general_back(firsts, total, here, table, taps, depth, plane, pitch, part)
        elif mode == 3:
            if group == 3:
                _parallax_3_back(0, pairs, here, table, taps, depth, plane, pitch, part)
                _parallax_3_general_back(firsts, total, here, table, taps, depth, plane, pitch, part)
            else:
                _parallax_1_back(0, pairs, here, table, taps, depth, plane, pitch, part)
                _parallax_1_general_back(firsts, total, here, table, taps, depth, plane, pitch, part)
        elif group == 3:
            _depth_3_back(0, pairs, here, table, taps, depth, plane, pitch, part)
            _depth_3_general_back(firsts, total, here, table, taps, depth, plane, pitch, part)
        else:
            _depth_1_back(0, pairs, here, table, taps, depth, plane, pitch, part)
            _depth_1_general_back(firsts, total, here, table, taps, depth, plane, pitch, part)
        c += group
        if c < channels:
            for e in range(pairs):
                here[e] += group * plane
            for e in range(firsts, total):
                here[e] += group * plane
