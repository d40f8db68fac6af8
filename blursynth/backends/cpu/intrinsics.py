"""Single machine operations that numba does not offer as such, so that a kernel means the same bits everywhere.

``fma`` rounds once by definition. Kernels that are written with it and compiled without any license to rearrange give
the same bytes in the vector part of a loop, in its remainder and for any vector width; a plain ``a * b + c`` under the
flag ``contract`` is fused where the compiler likes. All of these turn into one vector instruction inside a loop.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic

__all__ = ["as_float32", "as_int32", "floor", "fma", "rint"]


def _rounding(kind: Any, name: str) -> Any:
    if not isinstance(kind, types.Float):
        return None

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.call(builder.module.declare_intrinsic(name, [arguments[0].type]), arguments)

    return kind(kind), generate


def _bits(kind: Any, takes: Any, gives: Any) -> Any:
    if kind != takes:
        return None

    def generate(target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], target.get_value_type(gives))

    return gives(kind), generate


@intrinsic
def _fma(_context, a, b, c):  # type: ignore[no-untyped-def]
    """``a b + c`` rounded once; three float32 or three float64."""
    if not (isinstance(a, types.Float) and a == b == c):
        return None
    return a(a, b, c), lambda _target, builder, _signature, arguments: builder.fma(*arguments)


@intrinsic
def _floor(_context, a):  # type: ignore[no-untyped-def]
    """Round towards minus infinity, as a float of the same kind."""
    return _rounding(a, "llvm.floor")


@intrinsic
def _rint(_context, a):  # type: ignore[no-untyped-def]
    """Round to the nearest integer, halves to even (as ``numpy.rint``), as a float of the same kind."""
    return _rounding(a, "llvm.rint")


@intrinsic
def _as_int32(_context, a):  # type: ignore[no-untyped-def]
    """The bits of a float32 as an int32."""
    return _bits(a, types.float32, types.int32)


@intrinsic
def _as_float32(_context, a):  # type: ignore[no-untyped-def]
    """The float32 whose bits are this int32."""
    return _bits(a, types.int32, types.float32)


# numba's own types for these do not know how a kernel calls them.
fma: Any = _fma
floor: Any = _floor
rint: Any = _rint
as_int32: Any = _as_int32
as_float32: Any = _as_float32
