"""Machine code that adds a run of pixels to a row of accumulators, which compositing is made of.

Numbers come in vectors of four float64: colors and coverage of a pixel side by side, and as many pixels as a run has.
"""

# numba and llvmlite carry no types.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,import-untyped,call-arg,unreachable"

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic as _intrinsic
from numba.np import arrayobj

from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.cpu.vectors import by_value, everywhere, loop, multiply_add

intrinsic: Any = _intrinsic

__all__ = ["VECTOR", "add_row", "add_scaled", "borrowed", "piece"]

VECTOR = 4  # numbers
_WIDEST = 8  # vectors that stay in registers


@intrinsic
def borrowed(typing_context, array):
    """The array without the count of its references; something else must keep it alive.

    Every call that an array is passed to changes that count twice, locked, which takes 10 ns.
    """

    def generate(context, builder, signature, arguments):
        lent = context.make_array(signature.return_type)(context, builder, arguments[0])
        lent.meminfo = ir.Constant(lent.meminfo.type, None)
        lent.parent = ir.Constant(lent.parent.type, None)
        return lent._getvalue()

    return array(array), generate


@intrinsic
def piece(typing_context, array, begin, end):
    """The numbers from ``begin`` to ``end`` of a contiguous array, as :func:`borrowed` and of one dimension.

    A slice means the same, but takes ten times as long to compile.
    """

    def generate(context, builder, signature, arguments):
        whole, begin, end = arguments
        source = context.make_array(signature.args[0])(context, builder, whole)
        made = context.make_array(signature.return_type)(context, builder)
        count = builder.sub(end, begin)
        arrayobj.populate_array(
            made, builder.gep(source.data, [begin]), [count], [source.itemsize], source.itemsize, meminfo=None
        )
        return made._getvalue()

    return types.Array(array.dtype, 1, "C")(array, types.int64, types.int64), generate


@intrinsic
def add_scaled(typing_context, target, source, weight, vectors):
    """Add ``weight`` times the numbers at one address to those at another, ``vectors`` times four float64."""

    def generate(context, builder, signature, arguments):
        target, source, weight, vectors = arguments
        word = ir.IntType(64)
        vector = ir.VectorType(ir.DoubleType(), VECTOR)
        fused, scale = multiply_add(builder, vector), everywhere(builder, vector, weight)

        def step(number, values):
            distance = builder.mul(number, ir.Constant(word, 8 * VECTOR))
            place = builder.inttoptr(builder.add(target, distance), vector.as_pointer())
            value = builder.load(builder.inttoptr(builder.add(source, distance), vector.as_pointer()), align=8)
            builder.store(builder.call(fused, [value, scale, builder.load(place, align=8)]), place, align=8)
            return values

        loop(builder, ir.Constant(word, 0), vectors, [], step)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.float64, types.int64), generate


@intrinsic
def _add_entries(typing_context, vectors, target, source, offsets, weights, count):
    """Add one to eight vectors, kept in registers, times every entry of a row of a point spread."""

    def generate(context, builder, signature, arguments):
        vectors, target, source, offsets, weights, count = arguments
        word = ir.IntType(64)
        vector = ir.VectorType(ir.DoubleType(), VECTOR)
        fused = multiply_add(builder, vector)

        def at(address, distance, kind):
            place = builder.add(address, ir.Constant(word, distance)) if distance else address
            return builder.inttoptr(place, kind.as_pointer())

        for wide in by_value(builder, vectors, (_WIDEST, *range(1, _WIDEST))):
            values = [builder.load(at(source, 8 * VECTOR * v, vector), align=8) for v in range(wide)]

            def step(number, none, values=values):
                distance = builder.shl(number, ir.Constant(word, 3))
                offset = builder.load(at(builder.add(offsets, distance), 0, word))
                weight = builder.load(at(builder.add(weights, distance), 0, ir.DoubleType()))
                scale = everywhere(builder, vector, weight)
                base = builder.add(target, offset)
                for v, value in enumerate(values):
                    place = at(base, 8 * VECTOR * v, vector)
                    old = builder.load(place, align=8)
                    builder.store(builder.call(fused, [value, scale, old]), place, align=8)
                return none

            loop(builder, ir.Constant(word, 0), count, [], step)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), generate


@compiled(fastmath={"contract"})
def add_row(target, source, offsets, weights, count, vectors):
    """Add a run, ``vectors`` times four numbers, times every entry of one row of its point spread."""
    while vectors > 0:
        _add_entries(min(vectors, _WIDEST), target, source, offsets, weights, count)
        target += 8 * VECTOR * _WIDEST
        source += 8 * VECTOR * _WIDEST
        vectors -= _WIDEST
