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


def _named(builder: Any, name: str, arguments: Any, kind: Any) -> Any:
    function = builder.module.declare_intrinsic(name, [kind])
    return builder.call(function, arguments)


@intrinsic
def _fma(_context, a, b, c):  # type: ignore[no-untyped-def]
    """``a b + c`` rounded once; three float32 or three float64."""
    if not (isinstance(a, types.Float) and a == b == c):
        return None

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return a(a, b, c), generate


@intrinsic
def _floor(_context, a):  # type: ignore[no-untyped-def]
    """Round towards minus infinity, as a float of the same kind."""
    if not isinstance(a, types.Float):
        return None

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return _named(builder, "llvm.floor", arguments, arguments[0].type)

    return a(a), generate


@intrinsic
def _rint(_context, a):  # type: ignore[no-untyped-def]
    """Round to the nearest integer, halves to even (as ``numpy.rint``), as a float of the same kind."""
    if not isinstance(a, types.Float):
        return None

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return _named(builder, "llvm.rint", arguments, arguments[0].type)

    return a(a), generate


@intrinsic
def _as_int32(_context, a):  # type: ignore[no-untyped-def]
    """The bits of a float32 as an int32."""
    if a != types.float32:
        return None

    def generate(target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], target.get_value_type(types.int32))

    return types.int32(a), generate


@intrinsic
def _as_float32(_context, a):  # type: ignore[no-untyped-def]
    """The float32 whose bits are this int32."""
    if a != types.int32:
        return None

    def generate(target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], target.get_value_type(types.float32))

    return types.float32(a), generate


# numba's own types for these do not know how a kernel calls them.
fma: Any = _fma
floor: Any = _floor
rint: Any = _rint
as_int32: Any = _as_int32
as_float32: Any = _as_float32
