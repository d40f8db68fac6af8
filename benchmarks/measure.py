"""What all benchmarks share: the machine, timing, and tables."""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

__all__ = [
    "best_of",
    "best_of_each",
    "cores",
    "in_worker",
    "machine",
    "processor_time_of_each",
    "table",
    "version",
]

P = ParamSpec("P")
R = TypeVar("R")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """Model, family and widest vectors of the processor."""
    model, cpuinfo = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if cpuinfo.exists():
        fields = dict(line.split(":", 1) for line in cpuinfo.read_text().split("\n\n")[0].splitlines() if ":" in line)
        fields = {key.strip(): value.strip() for key, value in fields.items()}
        model = fields.get("model name", model)
        vectors = [name for name in ("avx512f", "avx2") if name in fields.get("flags", "").split()]
        family = f" family {fields['cpu family']} model {fields['model']}" if "cpu family" in fields else ""
        model += family + (f", {vectors[0]}" if vectors else "")
    return model


def machine() -> str:
    """Processor, cores, memory, system and interpreter in one line, with no name of the host."""
    memory, meminfo = "", Path("/proc/meminfo")
    if meminfo.exists():
        memory = f", {int(meminfo.read_text().split()[1]) / 2**20:.0f} GiB"
    return f"{processor()}, {cores()} cores{memory}, {platform.system()}, Python {platform.python_version()}"


def version(package: str) -> str:
    """Name and version of an installed package, or that it is missing."""
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{package} missing"


def best_of(function: Callable[[], object], repeat: int = 10, seconds: float = 1.0) -> float:
    """The shortest time of a call in seconds: at least ``repeat`` calls, and as many more as fit into ``seconds``.

    The shortest, because other programs can only make a call longer. The first call, which compiles or plans, is not
    timed.
    """
    return best_of_each({"": function}, repeat, seconds)[""]


def best_of_each(
    functions: Mapping[str, Callable[[], object]], repeat: int = 10, seconds: float = 1.0
) -> dict[str, float]:
    """:func:`best_of` of several functions, called in turn, so that a disturbance of the machine falls on all of them.

    ``seconds`` is for each of them.
    """
    best = dict.fromkeys(functions, float("inf"))
    spent = dict.fromkeys(functions, 0.0)
    for function in functions.values():
        function()
    rounds = 0
    while rounds < repeat or any(spent[name] < seconds for name in functions):
        for name, function in functions.items():
            if rounds >= repeat and spent[name] >= seconds:
                continue
            start = time.perf_counter()
            function()
            taken = time.perf_counter() - start
            spent[name] += taken
            best[name] = min(best[name], taken)
        rounds += 1
    return best


def processor_time_of_each(
    functions: Mapping[str, Callable[[], object]], rounds: int = 9, least_s: float = 0.02
) -> dict[str, float]:
    """The least processor time of a call in seconds, of all its threads, by functions that are called in turn.

    Unlike the time on the wall, it does not count while other programs have the processor; what they do to its caches
    and clocks falls on all functions alike, so ratios hold on busy machines. Each measurement takes ``least_s``.
    """
    calls = {}
    for name, function in functions.items():
        function()  # compiles or plans
        start, done = time.process_time(), 0
        while (spent := time.process_time() - start) < least_s:
            function()
            done += 1
        calls[name] = max(1, round(done * least_s / spent))
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.process_time()
            for _ in range(calls[name]):
                function()
            best[name] = min(best[name], (time.process_time() - start) / calls[name])
    return best


def in_worker(function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
    """The result of a call in a fresh process, where kernels use one thread, as they do in workers of data sets."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments, **named).result()


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table: the first column to the left, numbers to the right."""
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join([":--"] + ["--:"] * (len(header) - 1)) + "|"]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)
