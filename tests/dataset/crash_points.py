"""A program that ends at every file operation of a small run, runs the same command again, and compares.

``python crash_points.py FOLDER [STRIDE]`` forks a process per operation (each STRIDE-th of them), which is ended there by
``os._exit``, as ``kill -9`` would: nothing is tidied up, no ``finally`` runs. It prints one line of JSON: how many points
there were in each scenario, and what was wrong.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import blursynth as bs
from blursynth.dataset import DatasetRequest, generate, resume
from blursynth.io import assets

ENDED = 99


def end_at(number: int, folder: Path) -> None:
    """Leave this process at its ``number``-th operation on a file below ``folder``."""
    count = 0

    def step(path: object) -> None:
        nonlocal count
        if isinstance(path, bytes | str | os.PathLike) and os.fspath(path).startswith(str(folder)):
            if count == number:
                os._exit(ENDED)
            count += 1

    def seen(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link") or (
            event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        ):
            step(arguments[0])

    fsync = os.fsync

    def flush(handle: int) -> None:
        step(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    sys.addaudithook(seen)
    os.fsync = flush


def in_a_fork(work: Callable[[], Any], *, end: tuple[int, Path] | None = None) -> int:
    """Exit code of a process that does it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if end is not None:
                end_at(*end)
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file with its content, and every folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def differences(found: dict[str, bytes | None], wanted: dict[str, bytes | None]) -> list[str]:
    """Names that are missing, too many or of other content."""
    names = sorted(found.keys() | wanted.keys())
    return [name for name in names if name not in found or name not in wanted or found[name] != wanted[name]]


def main(base: Path, stride: int) -> dict[str, Any]:
    """All scenarios."""
    os.environ["XDG_STATE_HOME"] = str(base / "work" / "state")
    rng = np.random.default_rng(1)
    for name in ("a", "b"):
        bs.write_picture(base / "photos" / f"{name}.png", rng.random((3, 48, 48)))
    (base / "photos" / "broken.png").write_bytes(b"no picture")
    kernel = assets.register(np.ones((3, 3)) / 9)
    recipe = bs.Recipe([bs.kinds.Decode(), bs.kinds.MeasuredBlur(kernel=kernel), bs.kinds.Encode()], name="small")
    out, ready = base / "work" / "out", base / "ready"

    def make(**options: Any) -> Any:
        request = DatasetRequest(
            sources=base / "photos", recipe=recipe, count=5, size_px=16, seed=3, shard_length=2, store="params"
        )
        return generate(request, out, workers=1, **options)

    def prepare(part: tuple[int, int] | None) -> None:
        shutil.rmtree(base / "work", ignore_errors=True)
        (base / "work").mkdir()
        if part is not None:
            shutil.copytree(ready, base / "work", dirs_exist_ok=True)

    prepare(None)
    make()
    wanted = tree(base / "work")
    prepare(None)
    make(shards=(0, 1))
    shutil.copytree(base / "work", ready)

    scenarios: dict[str, tuple[tuple[int, int] | None, Callable[[], Any], Callable[[], Any]]] = {
        "generate": (None, make, make),
        "resume": ((0, 1), lambda: resume(out, workers=1), lambda: resume(out, workers=1)),
        "redo": ((0, 1), lambda: resume(out, workers=1, redo=[0]), lambda: resume(out, workers=1)),
    }
    points, wrong = {}, []
    for scenario, (part, first, again) in scenarios.items():
        number = 0
        while True:
            prepare(part)
            if in_a_fork(first, end=(number, base / "work")) != ENDED:
                break
            in_a_fork(again, end=(number // 3, base / "work"))  # the second attempt is ended too
            if in_a_fork(again) != 0:
                wrong.append(f"{scenario} ended at {number}: the same command fails")
            elif bad := differences(tree(base / "work"), wanted):
                wrong.append(f"{scenario} ended at {number}: {', '.join(bad)}")
            number += stride
        points[scenario] = number
        if bad := differences(tree(base / "work"), wanted):
            wrong.append(f"{scenario}, not ended: {', '.join(bad)}")
    return {"points": points, "wrong": wrong}


if __name__ == "__main__":
    found = main(Path(sys.argv[1]).resolve(), int(sys.argv[2]) if sys.argv[2:] else 1)
    sys.stdout.write(json.dumps(found) + "\n")
