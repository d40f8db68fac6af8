"""Pairs per second end to end, split by stage, against the floor of decoding and compressing alone.

One process, one core: 256 x 256 pairs of the recipes that ship, from photographs that are bundled with scikit-image,
to a zarr data set in a temporary folder.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import skimage
from measure import machine, table

import blursynth as bs
from blursynth.dataset import DatasetRequest, generate
from blursynth.degradations.lens.uniform_blur import UniformBlur
from blursynth.io.pictures import read_pixels

PHOTOGRAPHS = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg")
SIZE = 256


def photographs() -> list[Path]:
    return [Path(skimage.__file__).parent / "data" / name for name in PHOTOGRAPHS]


GROUPS = ("draw", "place", "blur", "noise", "development", "processing", "compression", "target")


def group_of(step: bs.Degradation) -> str:
    """Which part of the camera a step is."""
    if step.kind in ("sensor", "gaussian_noise", "poisson_noise"):
        return "noise"
    if step.kind in ("denoise", "sharpen", "rescale"):
        return "processing"
    if step.kind in ("jpeg", "webp"):
        return "compression"
    if isinstance(step, UniformBlur | bs.kinds.DeblurganBlur) or step.varies:
        return "blur"
    return "development"


def stages(recipe: bs.Recipe, count: int) -> dict[str, float]:
    """Milliseconds per pair in each part of the camera, in memory; the least of three runs of ``count`` pairs.

    ``place``: the point spreads and reaches, and what the frame is made of. ``noise``: the sensor. ``processing``:
    denoising, sharpening, resizing. ``development``: everything else between codes and light, and made-up scenes.
    """
    codes = read_pixels(photographs()[0])
    planar = np.ascontiguousarray(np.moveaxis(codes, -1, 0))
    height, width = planar.shape[1:]
    blank = bs.Frame(np.broadcast_to(np.float32(0), planar[None].shape), bs.Encoding.DISPLAY)
    seen = blank.crop((height - SIZE) // 2, (width - SIZE) // 2, SIZE, SIZE)
    best: dict[str, float] = {}
    for _ in range(3):
        spent: dict[str, float] = dict.fromkeys(GROUPS, 0.0)

        def timed(name: str, work: Callable[[], object], spent: dict[str, float] = spent) -> object:
            start = time.perf_counter()
            result = work()
            spent[name] += time.perf_counter() - start
            return result

        for index in range(count):
            draw: bs.Draw = timed("draw", lambda i=index: recipe.sample(seen, seed=5, index=i))  # type: ignore[assignment]
            reach = timed("place", lambda d=draw: d.reach_px(seen))
            whole = reach is None or SIZE + 2 * int(reach) > min(height, width)  # type: ignore[call-overload]
            margin = 0 if whole else int(reach)  # type: ignore[call-overload]
            top, left = (height - SIZE) // 2 - margin, (width - SIZE) // 2 - margin
            span = SIZE + 2 * margin
            part = planar if whole else planar[:, top : top + span, left : left + span]
            frame: bs.Frame = timed(  # type: ignore[assignment]
                "place", lambda p=part: bs.Frame(p.astype(np.float32) / np.float32(255), bs.Encoding.DISPLAY)
            )
            sharp = frame if whole else frame.crop(margin, margin, SIZE, SIZE)
            timed("target", lambda d=draw, f=sharp: d.target_draw()(f))
            for _, step in draw.steps:
                cut = 0 if whole else (step.reach_px(frame) or 0)
                frame = timed(group_of(step), lambda s=step, f=frame: s(f))  # type: ignore[assignment]
                if cut:
                    rows, columns = frame.size_px
                    frame = frame.crop(cut, cut, rows - 2 * cut, columns - 2 * cut)
        for name, seconds in spent.items():
            best[name] = min(best.get(name, np.inf), seconds / count * 1e3)
    return best


def end_to_end(recipe: bs.Recipe, count: int) -> float:
    """Pairs per second of ``generate`` with one worker, everything included; the best of three runs."""
    fastest = 0.0
    for _ in range(3):
        folder = Path(tempfile.mkdtemp())
        try:
            start = time.perf_counter()
            generate(
                DatasetRequest(
                    sources=[str(p) for p in photographs()], recipe=recipe, count=count, size_px=SIZE, seed=5
                ),
                folder / "set",
                workers=1,
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
    floor = bs.Recipe([("keep", bs.kinds.Identity())], name="floor")
    end_to_end(floor, 64)  # compiles and warms up
    floor_rate = end_to_end(floor, count)
    rows = [["floor", f"{floor_rate:.0f}", "1.00"]]
    splits = []
    for name in bs.recipe_names():
        recipe = bs.load_recipe(name)
        varies = any(kind.varies for _, sampler in recipe.steps for kind in sampler.kinds())
        rate = end_to_end(recipe, count // 8 if varies else count // 2)
        rows.append([name, f"{rate:.0f}", f"{rate / floor_rate:.2f}"])
        split = stages(recipe, 24 if varies else 60)
        splits.append([name, *(f"{split[group]:.2f}" for group in GROUPS), f"{sum(split.values()):.2f}"])
    lines += [
        table(["recipe", "pairs/s", "of the floor"], rows),
        "",
        "Where the time goes, in ms per pair (in memory, one thread, without decoding and writing). `place`: point "
        "spreads, reaches, codes to float. `noise`: the sensor. `processing`: denoising, sharpening, resizing. "
        "`development`: everything else between codes and light, and made-up scenes. `target`: all steps of the sharp "
        "picture.",
        "",
        table(["recipe", *GROUPS, "sum"], splits),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(main())
