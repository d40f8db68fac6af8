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
from blursynth.backends.cpu.vectors import absolute, by_value, data_of, everywhere, multiply_add, vector_of

__all__ = ["AFFINE", "DEPTH", "NUMBERS", "PARALLAX", "PROJECTIVE", "VECTORS", "blend_block", "send_block"]

VECTORS = 4 if _MANY_REGISTERS else 2  # of a block; its pixels and weights stay in registers

# What the table of a block holds for each moment. With k the pixel's number in the block, q its inverse depth less the
# block's middle: s = S + DS k + QS q; x = (U + DU k + DDU k^2 + (QU + DQU k) q) / s beyond the first tap's column,
# y = (V + DV k + QV q) / s beyond its row.
_WEIGHT, _U, _DU, _DDU, _V, _DV, _S, _DS, _QU, _DQU, _QV, _QS = range(12)
NUMBERS = 12

# Forms of motion: without depth, affine or not; with depth, any, or a camera that moves in its own plane.
AFFINE, PROJECTIVE, DEPTH, PARALLAX = 0, 1, 2, 3


def _moments(transpose: bool) -> Any:
    """Code that adds moments to a block of 1 or 3 channels: [0, pairs) by 2 x 2 taps, [firsts, total) by any number.

    Transposed, the block's light is added to the places that it came from.
    """

    @intrinsic
    def add(
        typing_context, channels, mode, pairs, firsts, total, address, table, taps, depth, plane, pitch, block
    ):  # fmt: skip
        word = types.int64
        signature = types.void(*[word] * 5, address, table, taps, depth, word, word, block)
        number = table.dtype
        item = number.bitwidth // 8
        lanes = VECTOR_BYTES // item

        def generate(context, builder, signature, arguments):
            channels, mode, pairs, firsts, total, *arrays, plane, pitch, block = arguments
            word = ir.IntType(64)
            vector = vector_of(context, number, lanes)
            address, table, taps, depth, block = (
                data_of(context, builder, kind, array)
                for kind, array in zip((*signature.args[5:9], signature.args[11]), (*arrays, block), strict=True)
            )
            fused, magnitude = multiply_add(builder, vector), absolute(builder, vector)

            def fma(a, b, c):
                return builder.call(fused, [a, b, c])

            def spread(value):
                return everywhere(builder, vector, value)

            def at(place, distance=0):
                return builder.inttoptr(builder.add(place, ir.Constant(word, distance)), vector.as_pointer())

            def load(place, distance=0):
                return builder.load(at(place, distance), align=item)

            one, zero = ir.Constant(vector, [1.0] * lanes), ir.Constant(vector, [0.0] * lanes)
            numbers = [ir.Constant(vector, [float(v * lanes + k) for k in range(lanes)]) for v in range(VECTORS)]
            block_at = builder.ptrtoint(block, word)
            depth_at = builder.ptrtoint(depth, word)

            def hat(distance):
                share = builder.fsub(one, builder.call(magnitude, [distance]))
                return builder.select(builder.fcmp_ordered(">", share, zero), share, zero)

            def emit(deep, form, general, first, last):
                held = []  # the block's pixels, in registers while the moments go by
                for part in range(deep * VECTORS):
                    slot = cgutils.alloca_once(builder, vector)
                    builder.store(load(block_at, part * VECTOR_BYTES), slot)
                    held.append(slot)

                def tap(place, shares):
                    """One tap of every vector and channel; ``place`` is the address in the first channel."""
                    for c in range(deep):
                        for v in range(VECTORS):
                            slot = held[c * VECTORS + v]
                            there = load(place, v * VECTOR_BYTES)
                            if transpose:
                                light = builder.load(slot)
                                builder.store(fma(shares[v], light, there), at(place, v * VECTOR_BYTES), align=item)
                            else:
                                builder.store(fma(shares[v], there, builder.load(slot)), slot)
                        if c + 1 < deep:
                            place = builder.add(place, plane)

                with cgutils.for_range_slice(builder, first, last, ir.Constant(word, 1)) as (entry, _):
                    start = builder.mul(entry, ir.Constant(word, NUMBERS))

                    def value(which):
                        place = builder.add(start, ir.Constant(word, which))
                        return spread(builder.load(builder.gep(table, [place])))

                    base = builder.load(builder.gep(address, [entry]))
                    weight = value(_WEIGHT)
                    right, down = [], []
                    for v, k in enumerate(numbers):
                        if form in (AFFINE, PARALLAX):
                            u, w = fma(value(_DU), k, value(_U)), fma(value(_DV), k, value(_V))
                            if form == PARALLAX:
                                q = load(depth_at, v * VECTOR_BYTES)
                                u, w = fma(q, value(_QU), u), fma(q, value(_QV), w)
                            right.append(u)
                            down.append(w)
                            continue
                        s = fma(value(_DS), k, value(_S))
                        u = fma(fma(value(_DDU), k, value(_DU)), k, value(_U))
                        w = fma(value(_DV), k, value(_V))
                        if form == DEPTH:
                            q = load(depth_at, v * VECTOR_BYTES)
                            s = fma(q, value(_QS), s)
                            u = fma(q, fma(value(_DQU), k, value(_QU)), u)
                            w = fma(q, value(_QV), w)
                        reciprocal = builder.fdiv(one, s)
                        right.append(builder.fmul(u, reciprocal))
                        down.append(builder.fmul(w, reciprocal))
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
                        place = builder.shl(entry, ir.Constant(word, 1))
                        rows = builder.load(builder.gep(taps, [place]))
                        columns = builder.load(builder.gep(taps, [builder.add(place, ir.Constant(word, 1))]))
                        with cgutils.for_range(builder, rows) as row:
                            far = spread(builder.sitofp(row.index, vector.element))
                            height = [builder.fmul(weight, hat(builder.fsub(down[v], far))) for v in range(VECTORS)]
                            line = builder.add(base, builder.mul(row.index, pitch))
                            with cgutils.for_range(builder, columns) as column:
                                far = spread(builder.sitofp(column.index, vector.element))
                                beside = [hat(builder.fsub(right[v], far)) for v in range(VECTORS)]
                                shares = [builder.fmul(height[v], beside[v]) for v in range(VECTORS)]
                                tap(builder.add(line, builder.mul(column.index, ir.Constant(word, item))), shares)
                if not transpose:
                    for part in range(deep * VECTORS):
                        builder.store(builder.load(held[part]), at(block_at, part * VECTOR_BYTES), align=item)

            for form in by_value(builder, mode, (AFFINE, PROJECTIVE, PARALLAX, DEPTH)):
                for deep in by_value(builder, channels, (3, 1)):
                    emit(deep, form, False, ir.Constant(word, 0), pairs)
                    emit(deep, form, True, firsts, total)
            return context.get_dummy_value()

        return signature, generate

    return add


_blend, _send = _moments(False), _moments(True)


@compiled
def _next_channels(address, pairs, firsts, total, step):
    for e in range(pairs):
        address[e] += step
    for e in range(firsts, total):
        address[e] += step


@compiled
def blend_block(mode, channels, pairs, firsts, total, address, table, taps, depth, plane, pitch, block):
    """Add the moments of the tables to all channels of a block: [0, pairs) by 2 x 2 taps, [firsts, total) by others."""
    c = 0
    while c < channels:
        group = 3 if channels - c >= 3 else 1
        _blend(group, mode, pairs, firsts, total, address, table, taps, depth, plane, pitch, block[c])
        c += group
        if c < channels:
            _next_channels(address, pairs, firsts, total, group * plane)


@compiled
def send_block(mode, channels, pairs, firsts, total, address, table, taps, depth, plane, pitch, block):
    """The transpose of :func:`blend_block`: add the block to the places that it came from."""
    c = 0
    while c < channels:
        group = 3 if channels - c >= 3 else 1
        _send(group, mode, pairs, firsts, total, address, table, taps, depth, plane, pitch, block[c])
        c += group
        if c < channels:
            _next_channels(address, pairs, firsts, total, group * plane)
