"""The first minute of a user: processor time and wall time of importing, compiling and loading, each in a new process.

The first pair is made twice, from an empty folder of compiled kernels and from the one that this filled; then a preview
of two pairs from the same folder. All use one thread of kernels, since compiling does anyway.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import skimage
from measure import machine, table, version

RECIPES = ("default", "mixed", "street")
PHOTOGRAPH = str(Path(skimage.__file__).parent / "data" / "astronaut.png")
IMPORTS = {
    "numpy and pydantic": "import numpy, pydantic",
    "`import blursynth`": "import blursynth",
    "`blursynth` and its main names": "import blursynth as bs; bs.Frame, bs.Recipe, bs.kinds.Sensor",
}
FIRST_PAIR = """
import json, sys
from blursynth.backends.compiling import kernels_compiled
from blursynth.dataset import DatasetRequest
from blursynth.dataset.generate import prepare

request = DatasetRequest(sources=sys.argv[1], recipe=sys.argv[2], count=1, size_px=256, seed=0)
renderer = prepare(request, workers=1).renderer
renderer.render(renderer.place(0))
print(json.dumps(kernels_compiled()))
"""
TEXT = """
Each line is one new process (imports: the shortest of five), with files in the system's cache: {machine}; {versions}.
"""


@dataclass(frozen=True)
class Run:
    """One process."""

    processor_s: float
    wall_s: float
    said: str


def run(arguments: Sequence[str], cache: str) -> Run:
    """Run Python with these arguments, its compiled kernels in the folder ``cache``."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"NUMBA_CACHE_DIR": cache, "NUMBA_NUM_THREADS": "1"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=cache, stdout=subprocess.PIPE, text=True, check=True
    )
    wall_s, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(processor_s, wall_s, done.stdout)


def import_table(repeat: int = 5) -> str:
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: [run(["-c", code], folder) for _ in range(repeat)] for name, code in IMPORTS.items()}
    best = {name: (min(r.processor_s for r in of), min(r.wall_s for r in of)) for name, of in runs.items()}
    floor = best["numpy and pydantic"][0]
    rows = [
        (name, f"{processor:.2f} s", f"{wall:.2f} s", f"{processor / floor:.2f}x")
        for name, (processor, wall) in best.items()
    ]
    return table(("import", "processor", "wall", "processor, to numpy and pydantic"), rows)


def recipe_table(recipes: Sequence[str]) -> str:
    rows = []
    for recipe in recipes:
        with tempfile.TemporaryDirectory() as folder:
            pair = ["-c", FIRST_PAIR, PHOTOGRAPH, recipe]
            cold, warm = run(pair, folder), run(pair, folder)
            preview = ["-m", "blursynth", "preview", PHOTOGRAPH, "--recipe", recipe, "--count", "2"]
            run(preview, folder)  # its second pair may need kernels that the first did not
            shown = run(preview, folder)
        cells = [f"{r.processor_s:.1f} s ({r.wall_s:.1f} s)" for r in (cold, warm, shown)]
        rows.append((f"`{recipe}`", json.loads(cold.said), *cells))
    header = ("recipe", "kernels", "first pair, empty cache", "first pair, compiled before", "preview of two pairs")
    return table(header, rows)


def main(recipes: Sequence[str] = RECIPES) -> str:
    """The section of BENCHMARKS.md."""
    versions = ", ".join(version(package) for package in ("numba", "llvmlite", "numpy", "pydantic"))
    return "\n\n".join(
        (
            "## First use",
            " ".join(TEXT.format(machine=machine(), versions=versions).split()),
            import_table(),
            "Processor time, and wall time in brackets.",
            recipe_table(recipes),
        )
    )


if __name__ == "__main__":
    print(main(sys.argv[1:] or RECIPES))
