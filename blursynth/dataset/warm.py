"""Compiling the kernels of recipes before they are needed, on all cores.

Which kernels a recipe needs shows only when it is used. So its first draws are made, and among the steps of all recipes
one of each sort is kept. These are shared out by the part of the camera they belong to, since kernels are common within
a part and seldom between parts. Last, each recipe makes the pairs that showed something new, which compiles what lies
between the steps.
"""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from blursynth.backends.compiling import kernels_compiled
from blursynth.core import Degradation
from blursynth.dataset.engine import process_context, single_threaded
from blursynth.dataset.generate import checked_workers, prepare
from blursynth.dataset.progress import OnProgress, Progress
from blursynth.dataset.request import DatasetRequest
from blursynth.frame import Encoding, Frame, Intrinsics, RawMetadata
from blursynth.recipe.recipe import Recipe, load_recipe, recipe_names

__all__ = ["Warmed", "warm"]

DRAWS = 64
"""Draws of each recipe that are looked through: an option of one in twenty is missed by one recipe in thirty."""

_SIDE_PX = 256
_PHOTO_PX = 1280  # the largest reach of the recipes that ship fits in


@dataclass(frozen=True)
class Warmed:
    """What :func:`warm` has done."""

    kernels: int
    """Number of kernels that were compiled; 0 if all were there already."""
    seconds: float
    folder: Path | None
    """Where they are kept; None if there is no place, so that each process compiles them again."""


def warm(
    recipes: Sequence[str | Recipe] = (), *, workers: int | None = None, on_progress: OnProgress | None = None
) -> Warmed:
    """Compile all kernels that recipes need on this machine, so that their first use does not wait for it.

    Parameters
    ----------
    recipes
        Recipes, their names, or paths of recipe files; by default all that ship.
    workers
        Number of processes; by default the number of cores. With 1, everything runs in this process.
    on_progress
        Called from time to time with a :class:`~blursynth.dataset.progress.Progress` of the stage ``"warm"``.

    Raises
    ------
    RecipeError
        There is no such recipe, or it is not valid.

    Notes
    -----
    Depth and label maps of your own, linear pictures and tensors use a few more kernels, which are compiled then.
    """
    from blursynth.backends.cpu.compilation import kernel_folder

    start, workers = time.perf_counter(), checked_workers(workers)
    steps: dict[str, list[Degradation]] = {}
    pairs = []
    seen: set[object] = set()
    for recipe in [one if isinstance(one, Recipe) else load_recipe(one) for one in recipes or recipe_names()]:
        indices = []
        for index in range(DRAWS):
            drawn = [step for _, step in recipe.sample(_frame(Encoding.DISPLAY, maps=False), seed=0, index=index).steps]
            new = {_sort(step): step for step in drawn if _sort(step) not in seen}
            seen.update(new)
            for step in new.values():
                steps.setdefault(type(step).__module__.split(".")[-2], []).append(step)
            if new or not index:
                indices.append(index)
        pairs.append((recipe, indices))
    parts = list(reversed(steps.values()))  # the sensor and what follows takes longest
    kernels = _all(_apply, [(part,) for part in parts], workers, (0, len(parts) + len(pairs)), on_progress)
    kernels += _all(_make_pairs, pairs, workers, (len(parts), len(parts) + len(pairs)), on_progress)
    folder = kernel_folder()
    return Warmed(kernels, time.perf_counter() - start, None if folder is None else Path(folder))


def _sort(step: Degradation) -> object:
    """Steps of one sort run the same kernels, as far as can be told: the same kind with the same words and switches."""
    fields = ((name, getattr(step, name)) for name in type(step).model_fields)
    words = ((name, value) for name, value in fields if isinstance(value, str | bool | None))
    return type(step), tuple((name, value) for name, value in words if value not in step.assets())


def _all(
    work: Callable[..., int],
    jobs: Sequence[tuple[Any, ...]],
    workers: int,
    done_of: tuple[int, int],
    on_progress: OnProgress | None,
) -> int:
    """The sum of ``work(*job)`` over all jobs, each in one of several processes."""
    done, total = done_of
    kernels = 0

    def count(results: Iterable[int]) -> None:
        nonlocal done, kernels
        for number in results:
            done, kernels = done + 1, kernels + number
            if on_progress is not None:
                on_progress(Progress("warm", done, total))

    if workers == 1:
        count(work(*job) for job in jobs)
        return kernels
    with ProcessPoolExecutor(
        min(workers, len(jobs)),
        process_context(),
        initializer=signal.signal,  # Ctrl-C in a terminal ends the processes, too, without a word
        initargs=(signal.SIGINT, signal.SIG_DFL),
    ) as pool:
        with single_threaded():
            waiting: list[Future[int]] = [pool.submit(work, *job) for job in jobs]
        count(one.result() for one in as_completed(waiting))
    return kernels


def _apply(steps: Sequence[Degradation]) -> int:
    """Apply each step to a made-up frame; the number of kernels compiled."""
    before = kernels_compiled()
    for step in steps:
        step(_frame(step.takes or Encoding.LINEAR, maps=True))
    return kernels_compiled() - before


def _make_pairs(recipe: Recipe, indices: Sequence[int]) -> int:
    """Make samples of a recipe from a made-up photograph; the number of kernels compiled."""
    before = kernels_compiled()
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo.png"
        cv2.imwrite(str(photo), np.random.default_rng(0).integers(0, 256, (_PHOTO_PX, _PHOTO_PX, 3), np.uint8))
        request = DatasetRequest(sources=photo, recipe=recipe, count=max(indices) + 1, size_px=_SIDE_PX)
        renderer = prepare(request, workers=1).renderer
        for index in indices:
            renderer.render(renderer.place(index))
    return kernels_compiled() - before


def _frame(encoding: Encoding, *, maps: bool) -> Frame:
    """A picture of noise in this encoding, with depth, labels and camera if ``maps``."""
    values = np.random.default_rng(0).random((3, _SIDE_PX, _SIDE_PX), np.float32)
    if encoding is Encoding.RAW:
        raw = RawMetadata(black_dn=np.array([64.0]), white_dn=np.array([1023.0]), mosaic=("RGGB",))
        return Frame(np.rint(values[:1] * 900 + 64), encoding, raw=raw)
    if not maps:
        return Frame(values, encoding)
    rows, columns = np.mgrid[:_SIDE_PX, :_SIDE_PX]
    return Frame(
        values,
        encoding,
        depth_m=(2.0 + rows / 64.0).astype(np.float32)[None],
        labels=((rows // 64 + columns // 64) % 3).astype(np.int32)[None],
        camera=(Intrinsics(focal_length_mm=5.0, pixel_pitch_um=10.0),),
    )
