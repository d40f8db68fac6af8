"""Pairs per second end to end, split by stage, against the floor of decoding and compressing alone.

One process, one core: 256 x 256 pairs of the recipes that ship, from photographs that are bundled with scikit-image,
to a zarr data set in a temporary folder.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import skimage
from measure import machine, table

import blursynth as bs
from blursynth.dataset import generate
from blursynth.io import read_codes

PHOTOGRAPHS = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg")
SIZE = 256


def photographs() -> list[Path]:
    return [Path(skimage.__file__).parent / "data" / name for name in PHOTOGRAPHS]


def stages(recipe: bs.Recipe, count: int) -> tuple[dict[str, float], float]:
    """Milliseconds per pair in each step of the recipe, in memory; the least of three runs of ``count`` pairs."""
    codes = read_codes(photographs()[0])
    planar = np.ascontiguousarray(np.moveaxis(codes, -1, 0))
    blank = bs.Frame(np.zeros((3, 8, 8), np.float32), bs.Encoding.DISPLAY)
    best: dict[str, float] = {}
    for _ in range(3):
        spent: dict[str, float] = defaultdict(float)

        def timed(name: str, work: Callable[[], object], spent: dict[str, float] = spent) -> object:
            start = time.perf_counter()
            result = work()
            spent[name] += time.perf_counter() - start
            return result

        for index in range(count):
            draw: bs.Draw = timed("draw", lambda i=index: recipe.sample(blank, seed=5, index=i))  # type: ignore[assignment]
            reach = timed("point spread", lambda d=draw: d.reach_px(blank))
            whole = reach is None
            margin = 0 if reach is None else int(reach)  # type: ignore[call-overload]
            part = planar if whole else planar[:, 100 - margin : 356 + margin, 110 - margin : 366 + margin]
            frame: bs.Frame = timed(  # type: ignore[assignment]
                "codes to float", lambda p=part: bs.Frame(p.astype(np.float32) / np.float32(255), bs.Encoding.DISPLAY)
            )
            sharp = frame if whole else frame.crop(margin, margin, SIZE, SIZE)
            timed("target (all steps)", lambda d=draw, f=sharp: d.target()(f))
            for name, step in draw.steps:
                cut = step.reach_px(frame) or 0
                frame = timed(name, lambda s=step, f=frame: s(f))  # type: ignore[assignment]
                if cut:
                    height, width = frame.size_px
                    frame = frame.crop(cut, cut, height - 2 * cut, width - 2 * cut)
        for name, seconds in spent.items():
            best[name] = min(best.get(name, np.inf), seconds / count * 1e3)
    return best, sum(best.values())


def end_to_end(recipe: bs.Recipe, count: int) -> float:
    """Pairs per second of ``generate`` with one worker, everything included; the best of three runs."""
    fastest = 0.0
    for _ in range(3):
        folder = Path(tempfile.mkdtemp())
        try:
            start = time.perf_counter()
            generate(
                [str(p) for p in photographs()], folder / "set", recipe, count=count, size_px=SIZE, seed=5, workers=1
            )
            fastest = max(fastest, count / (time.perf_counter() - start))
        finally:
            shutil.rmtree(folder)
    return fastest


def main(count: int = 1024) -> str:
    lines = [
        "## Pairs per second, end to end",
        "",
        f"256 x 256 x 3 pairs, one process on one core, {count} pairs per run ({count // 8} where blur varies), best "
        "of three. `floor` stores crops as they are (sharp and blurred alike): decoding, compressing, hashing and "
        "writing without any blur or noise. "
        "Command: `python benchmarks/pipeline.py`.",
        "",
        machine(),
        "",
    ]
    floor = bs.Recipe([("keep", bs.Nothing())], name="floor")
    end_to_end(floor, 64)  # compiles and warms up
    floor_rate = end_to_end(floor, count)
    rows = [["floor", f"{floor_rate:.0f}", "1.00"]]
    for name in bs.recipe_names():
        recipe = bs.load_recipe(name)
        varies = any(kind.varies for _, sampler in recipe.steps for kind in sampler.kinds())
        rate = end_to_end(recipe, count // 8 if varies else count)
        rows.append([name, f"{rate:.0f}", f"{rate / floor_rate:.2f}"])
    lines += [table(["recipe", "pairs/s", "of the floor"], rows), ""]
    split, total = stages(bs.load_recipe("default"), 100)
    rows = [[name, f"{ms:.3f}", f"{100 * ms / total:.0f} %"] for name, ms in split.items()]
    lines += [
        "Where the time of the default recipe goes, in ms per pair (in memory, without decoding and writing):",
        "",
        table(["stage", "ms", "share"], [*rows, ["sum", f"{total:.3f}", "100 %"]]),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(main())
