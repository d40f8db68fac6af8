"""Pairs per second end to end, split by stage, against the floor of decoding and compressing alone.

256 x 256 pairs of the recipes that ship, from photographs that are bundled with scikit-image, to a zarr data set in a
temporary folder. All runs in fresh processes, where kernels use one thread, as they do in workers.
"""

from __future__ import annotations

import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import skimage
from measure import cores, in_worker, machine, table

import blursynth as bs
from blursynth.dataset import DatasetRequest, generate
from blursynth.dataset.generate import prepare
from blursynth.dataset.render import Renderer
from blursynth.dataset.shards import encode_chunk
from blursynth.degradations.lens.uniform_blur import UniformBlur

PHOTOGRAPHS = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg")
SIZE = 256
FLOOR = bs.Recipe([("keep", bs.kinds.Identity())], name="floor")
GROUPS = ("draw + place", "frame", "blur", "noise", "development", "processing", "compression", "target")
MOST_PAIRS = 800  # a later draw of `mixed` reaches too far for photographs of this size
TOGETHER = ("floor", "default", "mixed", "street")  # recipes whose workers and memory are measured


def photographs() -> list[str]:
    return [str(Path(skimage.__file__).parent / "data" / name) for name in PHOTOGRAPHS]


def recipe_of(name: str) -> bs.Recipe:
    return FLOOR if name == FLOOR.name else bs.load_recipe(name)


def request_of(recipe: bs.Recipe, count: int, sources: Sequence[str] = ()) -> DatasetRequest:
    return DatasetRequest(sources=sources or photographs(), recipe=recipe, count=count, size_px=SIZE, seed=5)


def renderer_of(recipe: bs.Recipe, count: int) -> Renderer:
    """What makes the samples of such a data set, in memory."""
    return prepare(request_of(recipe, count), workers=1).renderer


def rendered(recipe: bs.Recipe, count: int) -> Callable[[], None]:
    """Making ``count`` pairs in memory, with all but the writing of files: draw, place, render, compress."""
    renderer = renderer_of(recipe, count)

    def run() -> None:
        for index in range(count):
            for array in renderer.render(renderer.place(index)).values():
                encode_chunk(array)

    return run


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


def stages(name: str, seconds: float) -> dict[str, float]:
    """Milliseconds of processor time per pair in each part of the camera, in memory; the least of three runs."""
    recipe = recipe_of(name)
    renderer = renderer_of(recipe, 1000)
    count, best = 4, dict.fromkeys(GROUPS, np.inf)
    for attempt in range(4):
        spent = dict.fromkeys(GROUPS, 0.0)
        start = time.process_time()
        for index in range(count):
            _stages_of_one(renderer, index, spent)
        if attempt == 0:  # compiles
            continue
        best = {group: min(best[group], spent[group] / count * 1e3) for group in GROUPS}
        if attempt == 1:
            count = int(np.clip(count * seconds / 2 / (time.process_time() - start), 4, 60))
    return best


def _stages_of_one(renderer: Renderer, index: int, spent: dict[str, float]) -> None:
    last = time.process_time()

    def passed(group: str) -> None:
        nonlocal last
        now = time.process_time()
        spent[group] += now - last
        last = now

    placement = renderer.place(index)
    passed("draw + place")
    frame = renderer.frame(placement.source, placement.window)
    passed("frame")
    margin = placement.window.reach or 0
    sharp = frame.crop(margin, margin, SIZE, SIZE) if margin else frame
    last = time.process_time()
    placement.draw.target_draw()(sharp)
    passed("target")
    for _, step in placement.draw.steps:
        cut = (step.reach_px(frame) or 0) if margin else 0
        frame = step(frame)
        if cut:
            rows, columns = frame.size_px
            frame = frame.crop(cut, cut, rows - 2 * cut, columns - 2 * cut)
        passed(group_of(step))


@dataclass(frozen=True)
class Run:
    """A data set that was made."""

    count: int
    seconds: float  # on the wall
    processor_s: float  # of this process
    peak_mib: float  # of this process so far


def run(name: str, count: int, workers: int = 1, sources: Sequence[str] = ()) -> Run:
    """Make a data set, everything included."""
    folder = Path(tempfile.mkdtemp())
    try:
        start, processor = time.perf_counter(), time.process_time()
        generate(request_of(recipe_of(name), count, sources), folder / "set", workers=workers)
        return Run(
            count,
            time.perf_counter() - start,
            time.process_time() - processor,
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
        )
    finally:
        shutil.rmtree(folder)


def end_to_end(name: str, seconds: float) -> tuple[float, float]:
    """Pairs per second of ``generate`` with one worker, everything included, and processor time of a pair in s.

    The best of two runs, each of as many pairs as take about ``seconds``.
    """
    cv2.setNumThreads(1)
    run(name, 8)  # compiles
    first = run(name, 24)
    count = int(np.clip(24 * seconds / first.seconds, 24, 1024))
    runs = [run(name, count) for _ in range(2)]
    return max(r.count / r.seconds for r in runs), min(r.processor_s / r.count for r in runs)


def rates(names: Sequence[str], seconds: float) -> dict[str, tuple[float, float]]:
    return {name: end_to_end(name, seconds) for name in names}


def splits(names: Sequence[str], seconds: float) -> dict[str, dict[str, float]]:
    cv2.setNumThreads(1)
    return {name: stages(name, seconds) for name in names}


def scaling(names: Sequence[str], counts: Sequence[int]) -> list[list[str]]:
    """Pairs per second with one and two workers, both in processes of their own."""
    rows = []
    for name, count in zip(names, counts, strict=True):
        run(name, 8)
        alone, both = run(name, count), run(name, count, workers=2)
        ratio = alone.seconds / both.seconds
        rows.append([name, f"{count}", f"{count / alone.seconds:.0f}", f"{count / both.seconds:.0f}", f"{ratio:.2f}"])
    return rows


def large_photographs(folder: Path) -> list[str]:
    """Four JPEGs of 12 megapixels."""
    for name in PHOTOGRAPHS:
        large = cv2.resize(cv2.imread(str(Path(skimage.__file__).parent / "data" / name)), (4000, 3000))
        cv2.imwrite(str(folder / f"{Path(name).stem}.jpg"), large)
    return [str(folder)]


def memory(names: Sequence[str]) -> list[list[str]]:
    """The most memory that a worker takes, each measured in a process of its own."""
    folder = Path(tempfile.mkdtemp())
    try:
        sources = {"0.2 megapixels": photographs(), "12 megapixels": large_photographs(folder)}
        return [
            [name, *(f"{in_worker(run, name, 16, 1, paths).peak_mib:.0f}" for paths in sources.values())]
            for name in names
        ]
    finally:
        shutil.rmtree(folder)


def main(seconds: float = 2.0) -> str:
    names = bs.recipe_names()
    found = in_worker(rates, (FLOOR.name, *names), seconds)
    floor = found[FLOOR.name][1]
    rows = [[name, f"{rate:.0f}", f"{s * 1e3:.2f}", f"{floor / s:.2f}"] for name, (rate, s) in found.items()]
    split = in_worker(splits, names, seconds)
    counts = [int(np.clip(10 * seconds * found[name][0], 64, MOST_PAIRS)) for name in TOGETHER]
    lines = [
        "## Pairs per second, end to end",
        "",
        f"256 x 256 x 3 pairs, one worker, about {seconds:g} s per run, the better of two. `floor` stores crops as "
        "they are (sharp and blurred alike): decoding, compressing, hashing and writing without any blur or noise. "
        "`of the floor`: by processor time. Command: `python benchmarks/pipeline.py`.",
        "",
        machine(),
        "",
        table(["recipe", "pairs/s", "ms of processor time", "of the floor"], rows),
        "",
        "Where the processor time goes, in ms per pair (in memory, one thread, without decoding and writing). "
        "`draw + place`: `Renderer.place`, which draws, makes point spreads and finds a window. `frame`: codes to "
        "float. `noise`: the sensor. `processing`: denoising, sharpening, resizing. `development`: everything else "
        "between codes and light, and made-up scenes. `target`: all steps of the sharp picture.",
        "",
        table(
            ["recipe", *GROUPS, "sum"],
            [[name, *(f"{s[group]:.2f}" for group in GROUPS), f"{sum(s.values()):.2f}"] for name, s in split.items()],
        ),
        "",
        f"One worker and two, on {cores()} cores, pairs/s with all that happens before and after, at most {MOST_PAIRS} "
        "pairs:",
        "",
        table(
            ["recipe", "pairs", "1 worker", "2 workers", "ratio"],
            in_worker(scaling, TOGETHER, counts),
        ),
        "",
        "The most memory that one worker takes for 16 pairs, in MiB, by the size of four source pictures, which it "
        "keeps decoded (`cache_bytes`):",
        "",
        table(["recipe", "0.2 megapixels", "12 megapixels"], memory(TOGETHER[1:])),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(main())
