"""No kernel reads memory at an address that it took from an array which is gone by then.

numba frees an array after its last mention, and ``array.ctypes.data`` is a mention like any other: the number that it
gives does not keep the array. What was freed most often still has its old contents, so that no result shows it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numba.core import compiler, ir
from numba.core.analysis import compute_cfg_from_blocks, compute_live_map, compute_use_defs

from blursynth.backends import cpu


def kernels() -> Iterator[Any]:
    for found in pkgutil.iter_modules(cpu.__path__):
        module = importlib.import_module(f"{cpu.__name__}.{found.name}")
        for name, kernel in vars(module).items():
            function = getattr(kernel, "py_func", None)
            if function is not None and function.__module__ == module.__name__:
                yield pytest.param(function, id=f"{found.name}.{name}")


def outlived(function: Callable[..., Any]) -> set[str]:
    """The arrays of a kernel's own whose address is still in use when they may be gone."""
    blocks = compiler.run_frontend(function, emit_dels=True).blocks
    uses = compute_use_defs(blocks)
    live = compute_live_map(compute_cfg_from_blocks(blocks), blocks, uses.usemap, uses.defmap)
    values: dict[str, list[Any]] = {}
    for block in blocks.values():
        for statement in block.find_insts(ir.Assign):
            values.setdefault(statement.target.name, []).append(statement.value)

    def attribute(value: Any, name: str) -> bool:
        return isinstance(value, ir.Expr) and value.op == "getattr" and value.attr == name

    def given(name: str) -> bool:
        """Whether it is an argument or part of one, which the caller keeps."""
        return all(
            isinstance(value, ir.Arg)
            or (isinstance(value, ir.Var) and given(value.name))
            or (isinstance(value, ir.Expr) and value.op in ("getitem", "static_getitem") and given(value.value.name))
            for value in values[name]
        )

    def same(name: str) -> set[str]:
        """All names of one array."""
        names = {name}
        while True:
            more = {value.name for known in names for value in values[known] if isinstance(value, ir.Var)}
            more |= {other for other, its in values.items() for v in its if isinstance(v, ir.Var) and v.name in names}
            if more <= names:
                return names
            names |= more

    owner = {
        name: value.value.name for name, its in values.items() for value in its if attribute(value, "ctypes")
    }  # of what `.ctypes` gives
    owners = {
        name: {owner[value.value.name]}
        for name, its in values.items()
        for value in its
        if attribute(value, "data") and value.value.name in owner
    }  # of addresses, and of all that is computed from them
    while True:
        before = sum(map(len, owners.values()))
        for name, its in values.items():
            for value in its:
                parts = [value] if isinstance(value, ir.Var) else []
                if isinstance(value, ir.Expr) and value.op not in ("getattr", "getitem", "static_getitem"):
                    parts = value.list_vars()
                for part in parts:
                    owners.setdefault(name, set()).update(owners.get(part.name, ()))
        if sum(map(len, owners.values())) == before:
            break
    names_of = {array: same(array) for its in owners.values() for array in its if not given(array)}
    gone = set()
    for label, block in blocks.items():
        there = set(live[label])
        for statement in block.body:
            if isinstance(statement, ir.Del):
                there.discard(statement.value)
                continue
            used = {array for var in statement.list_vars() for array in owners.get(var.name, ())}
            gone |= {array for array in used if array in names_of and not names_of[array] & there}
            if isinstance(statement, ir.Assign):
                there.add(statement.target.name)
    return gone


def _once(out):  # type: ignore[no-untyped-def]
    own = np.empty(out.size)
    address = own.ctypes.data
    for n in range(out.size):
        out[n] = address + 8 * n


def _in_the_loop(out):  # type: ignore[no-untyped-def]
    own = np.empty(out.size)
    for n in range(out.size):
        address = own.ctypes.data
        out[n] = address + 8 * n


def _given(out):  # type: ignore[no-untyped-def]
    address = out[1:].ctypes.data
    for n in range(out.size):
        out[n] = address + 8 * n


def test_an_address_that_outlives_its_array_is_found() -> None:
    assert outlived(_once) == {"own"}
    assert not outlived(_in_the_loop)
    assert not outlived(_given)


@pytest.mark.parametrize("function", list(kernels()))
def test_no_address_outlives_its_array(function: Callable[..., Any]) -> None:
    assert not outlived(function)
