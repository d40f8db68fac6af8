"""What machine code for vectors of numbers is put together of, in the files that write it themselves."""

# llvmlite carries no types.
# mypy: disable-error-code="no-untyped-def,import-untyped"

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

__all__ = ["absolute", "everywhere", "multiply_add", "vector_of"]


def vector_of(context, number, lanes):
    """The type of a vector of numba's numbers."""
    return ir.VectorType(context.get_value_type(number), lanes)


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
