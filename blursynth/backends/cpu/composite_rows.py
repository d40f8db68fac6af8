"""Machine code that adds a run of pixels to a row of accumulators, which compositing is made of.

Numbers come in vectors of four float64: colors and coverage of a pixel side by side, and as many pixels as a run has.
"""

# numba and llvmlite carry no types.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,import-untyped,call-arg"

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.cpu.vectors import everywhere, multiply_add

__all__ = ["VECTOR", "add_row", "add_scaled"]

VECTOR = 4  # numbers


@intrinsic
def add_scaled(typing_context, target, source, weight, vectors):
    """Add ``weight`` times the numbers at one address to those at another, ``vectors`` times four float64."""

    def generate(context, builder, signature, arguments):
        target, source, weight, vectors = arguments
        word = ir.IntType(64)
        vector = ir.VectorType(ir.DoubleType(), VECTOR)
        fused, scale = multiply_add(builder, vector), everywhere(builder, vector, weight)
        entry = builder.block
        loop = builder.append_basic_block("vectors")
        done = builder.append_basic_block("done")
        zero = ir.Constant(word, 0)
        builder.cbranch(builder.icmp_signed(">", vectors, zero), loop, done)
        builder.position_at_end(loop)
        number = builder.phi(word)
        number.add_incoming(zero, entry)
        distance = builder.mul(number, ir.Constant(word, 8 * VECTOR))
        place = builder.inttoptr(builder.add(target, distance), vector.as_pointer())
        value = builder.load(builder.inttoptr(builder.add(source, distance), vector.as_pointer()), align=8)
        builder.store(builder.call(fused, [value, scale, builder.load(place, align=8)]), place, align=8)
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
            word = ir.IntType(64)
            vector = ir.VectorType(ir.DoubleType(), VECTOR)
            fused = multiply_add(builder, vector)

            def at(address, distance, kind):
                place = builder.add(address, ir.Constant(word, distance)) if distance else address
                return builder.inttoptr(place, kind.as_pointer())

            values = [builder.load(at(source, 8 * VECTOR * v, vector), align=8) for v in range(vectors)]
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
            scale = everywhere(builder, vector, weight)
            base = builder.add(target, offset)
            for v in range(vectors):
                place = at(base, 8 * VECTOR * v, vector)
                old = builder.load(place, align=8)
                builder.store(builder.call(fused, [values[v], scale, old]), place, align=8)
            following = builder.add(number, ir.Constant(word, 1))
            number.add_incoming(following, loop)
            builder.cbranch(builder.icmp_signed("<", following, count), loop, done)
            builder.position_at_end(done)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5), generate

    return add


_add_1, _add_2, _add_3, _add_4 = (_add_entries(vectors) for vectors in (1, 2, 3, 4))
_add_5, _add_6, _add_7, _add_8 = (_add_entries(vectors) for vectors in (5, 6, 7, 8))


@compiled(fastmath={"contract"})
def add_row(target, source, offsets, weights, count, vectors):
    """Add a run, ``vectors`` times four numbers, times every entry of one row of its point spread."""
    while vectors >= 8:
        _add_8(target, source, offsets, weights, count)
        target += 64 * VECTOR
        source += 64 * VECTOR
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
