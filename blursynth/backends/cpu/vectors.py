"""Building blocks of the machine code for vectors of numbers that some files of this folder write themselves."""

# llvmlite carries no types.
# mypy: disable-error-code="no-untyped-def,import-untyped"

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

__all__ = ["absolute", "by_value", "data_of", "everywhere", "loop", "multiply_add", "vector_of"]


def vector_of(context, number, lanes):
    """The type of a vector of numba's numbers."""
    return ir.VectorType(context.get_value_type(number), lanes)


def data_of(context, builder, kind, array):
    """Pointer to the first number of one of numba's arrays."""
    return context.make_array(kind)(context, builder, array).data


def everywhere(builder, vector, scalar):
    """A vector with the same number in every lane."""
    index = ir.IntType(32)
    unknown = ir.Constant(vector, ir.Undefined)
    single = builder.insert_element(unknown, scalar, ir.Constant(index, 0))
    return builder.shuffle_vector(single, unknown, ir.Constant(ir.VectorType(index, vector.count), [0] * vector.count))


def multiply_add(builder, vector):
    """``a b + c``: one rounding where the processor has such an instruction, never a call into the C library."""
    return _function(builder, vector, "fmuladd", 3)


def absolute(builder, vector):
    """``|a|``."""
    return _function(builder, vector, "fabs", 1)


def _function(builder, vector, name, arguments):
    bits = 64 if isinstance(vector.element, ir.DoubleType) else 32
    kind = ir.FunctionType(vector, [vector] * arguments)
    return cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{vector.count}f{bits}")


def loop(builder, first, last, start, step):
    """``values = step(number, values)`` for the numbers ``first`` to ``last - 1``, from the values ``start`` on.

    The values stay in registers; returns the last ones.
    """
    entry = builder.block
    body, done = builder.append_basic_block("loop"), builder.append_basic_block("done")
    builder.cbranch(builder.icmp_signed("<", first, last), body, done)
    builder.position_at_end(body)
    number = builder.phi(first.type)
    values = [builder.phi(value.type) for value in start]
    new = step(number, values)
    following = builder.add(number, ir.Constant(first.type, 1))
    end = builder.block
    for value, before, after in zip((number, *values), (first, *start), (following, *new), strict=True):
        value.add_incoming(before, entry)
        value.add_incoming(after, end)
    builder.cbranch(builder.icmp_signed("<", following, last), body, done)
    builder.position_at_end(done)
    results = [builder.phi(value.type) for value in start]
    for result, before, after in zip(results, start, new, strict=True):
        result.add_incoming(before, entry)
        result.add_incoming(after, end)
    return results


def by_value(builder, number, values):
    """Branches of the code, one for each of these values of a number: what the caller emits for it goes there.

    The values are compared in this order, so the most frequent one comes first; the number must be one of them.
    """
    done = builder.append_basic_block("done")
    for value in values:
        if value != values[-1]:
            case, other = builder.append_basic_block("case"), builder.append_basic_block("other")
            builder.cbranch(builder.icmp_signed("==", number, ir.Constant(number.type, value)), case, other)
            builder.position_at_end(case)
        yield value
        builder.branch(done)
        builder.position_at_end(done if value == values[-1] else other)
