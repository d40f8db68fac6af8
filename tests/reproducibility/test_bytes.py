"""Sample i has the same bytes whatever the number of workers, the shard length, the order and what interrupted it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blursynth as bs
from blursynth import dataset
from blursynth.dataset import DatasetRequest, Progress, generate, resume, verify
from blursynth.dataset.engine import DaskEngine
from blursynth.errors import DatasetError

COUNT = 23
WISHES: dict[str, Any] = {"count": COUNT, "size_px": 32, "seed": 11}

RECIPE = """
summary = "All stages, small"
[[step]]
kind = "decode"
[[step]]
name = "lens"
one_of = [
  { weight = 2, kind = "gaussian_blur", sigma_px = { uniform = [0.3, 2.0] } },
  { weight = 1, kind = "disk_blur", diameter_px = { uniform = [1.0, 6.0] } },
]
[[step]]
name = "sensor"
kind = "sensor"
full_well_e = { log_uniform = [500, 5000] }
read_noise_e = 2.0
[[step]]
kind = "develop"
[[step]]
kind = "encode"
[[step]]
kind = "jpeg"
quality = { integer = [60, 95] }
"""

LIGHT = """
summary = "Blur alone"
[[step]]
kind = "decode"
[[step]]
kind = "gaussian_blur"
sigma_px = { uniform = [0.3, 2.0] }
[[step]]
kind = "encode"
"""


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "small.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def light_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For tests of interruptions, which start many processes: few kernels to load."""
    path = tmp_path_factory.mktemp("recipes") / "light.toml"
    path.write_text(LIGHT)
    return path


@pytest.fixture(scope="module")
def expected_light(tmp_path_factory: pytest.TempPathFactory, pictures: Path, light_file: Path) -> dict[str, str]:
    out = tmp_path_factory.mktemp("sets") / "serial"
    return generate(
        DatasetRequest(sources=pictures, recipe=bs.load_recipe(light_file), **WISHES, shard_length=COUNT),
        out,
        workers=1,
    ).digest


@pytest.fixture(scope="module")
def recipe(recipe_file: Path) -> bs.Recipe:
    return bs.load_recipe(recipe_file)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(4)
    for number, (height, width) in enumerate([(90, 120), (100, 80), (85, 85)]):
        smooth = np.cumsum(rng.standard_normal((3, height, width)), axis=-1)
        low, high = smooth.min(), smooth.max()
        bs.write_picture(folder / f"{number}.png", (smooth - low) / (high - low))
    return folder


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, pictures: Path, recipe: bs.Recipe) -> dict[str, str]:
    """The digest, from one process and one shard."""
    out = tmp_path_factory.mktemp("sets") / "serial"
    return generate(
        DatasetRequest(sources=pictures, recipe=recipe, **WISHES, shard_length=COUNT), out, workers=1
    ).digest


@pytest.mark.parametrize("shard_length", [1, 4, 7, 22])
def test_any_shard_length(
    pictures: Path, recipe: bs.Recipe, tmp_path: Path, expected: dict[str, str], shard_length: int
) -> None:
    report = generate(
        DatasetRequest(sources=pictures, recipe=recipe, **WISHES, shard_length=shard_length),
        tmp_path / "out",
        workers=1,
    )
    assert report.digest == expected


def test_two_workers(pictures: Path, recipe: bs.Recipe, tmp_path: Path, expected: dict[str, str]) -> None:
    report = generate(
        DatasetRequest(sources=pictures, recipe=recipe, **WISHES, shard_length=4), tmp_path / "out", workers=2
    )
    assert report.digest == expected
    assert verify(tmp_path / "out", deep=True, replay=3).ok
    serial = generate(
        DatasetRequest(sources=pictures, recipe=recipe, **WISHES, shard_length=4), tmp_path / "serial", workers=1
    )
    assert serial.digest == expected
    for path in sorted((tmp_path / "serial").rglob("*")):  # not only the samples: every file
        # The card and croissant.json hold the folder's name, and the index their hashes.
        if path.is_file() and path.name not in ("README.md", "croissant.json", "index.json"):
            other = tmp_path / "out" / path.relative_to(tmp_path / "serial")
            assert other.read_bytes() == path.read_bytes(), path
    indices = [json.loads((tmp_path / name / "index.json").read_text()) for name in ("out", "serial")]
    assert all(
        index.pop("files").keys() == {"README.md", "croissant.json"} and index.pop("sha256") for index in indices
    )
    assert indices[0] == indices[1]


def test_shards_in_any_order(pictures: Path, recipe: bs.Recipe, tmp_path: Path, expected: dict[str, str]) -> None:
    for shards in ((4, 6), (0, 2), (2, 4)):
        report = generate(
            DatasetRequest(sources=pictures, recipe=recipe, **WISHES, shard_length=4),
            tmp_path / "out",
            workers=1,
            shards=shards,
            cache_bytes=1,
        )
    assert report.digest == expected


def test_the_sample_does_not_depend_on_how_many_there_are(pictures: Path, recipe: bs.Recipe, tmp_path: Path) -> None:
    for count in (3, 9):
        generate(
            DatasetRequest(sources=pictures, recipe=recipe, **{**WISHES, "count": count}),
            tmp_path / str(count),
            workers=1,
        )
    few, many = (bs.open_dataset(tmp_path / str(count)) for count in (3, 9))
    for i in range(3):
        assert few[i].record == many[i].record
        np.testing.assert_array_equal(few[i].blurred, many[i].blurred)


def test_a_killed_worker_is_replaced(
    pictures: Path, light_file: Path, tmp_path: Path, expected_light: dict[str, str]
) -> None:
    killed = []

    def kill_one(progress: Progress) -> None:
        children = [c for c in multiprocessing.active_children() if c.pid is not None]
        if progress.stage == "generate" and progress.done >= 4 and not killed and children:
            killed.append(children[0].pid)
            os.kill(children[0].pid, signal.SIGKILL)

    report = generate(
        DatasetRequest(sources=pictures, recipe=bs.load_recipe(light_file), **WISHES, shard_length=4),
        tmp_path / "out",
        workers=2,
        on_progress=kill_one,
    )
    assert killed
    assert report.digest == expected_light
    assert not list((tmp_path / "out").rglob("*.partial"))
    assert verify(tmp_path / "out", deep=True).ok


@pytest.mark.slow  # three workers start and die
def test_a_shard_that_always_kills_its_worker_is_given_up(pictures: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"""
import os, sys
import blursynth as bs
from blursynth import dataset
from blursynth.dataset.engine import LocalEngine

class Deadly(bs.Degradation):
    takes = None
    gives = None
    @classmethod
    def apply(cls, steps, frame):
        if __name__ != "__main__":  # only in workers
            os._exit(66)
        return frame

if __name__ == "__main__":
    recipe = bs.Recipe([("decode", bs.kinds.Decode()), ("deadly", Deadly()), ("encode", bs.kinds.Encode())])
    try:
        request = dataset.DatasetRequest(sources={str(pictures)!r}, recipe=recipe, count=2, size_px=32)
        dataset.generate(request, {str(tmp_path / "out")!r}, engine=LocalEngine(1))
    except bs.DatasetError as error:
        sys.exit(str(error))
"""
    )
    result = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert "died 3 times (last exit code 66)" in result.stderr


_GENERATE = """
import sys
from pathlib import Path
import blursynth as bs
from blursynth import dataset
from blursynth.dataset import render

def slowed(self, placement, original=render.Renderer.render):
    import time
    time.sleep(0.02)
    return original(self, placement)

if __name__ == "__main__":
    render.Renderer.render = slowed  # long enough to be interrupted in the middle
    pictures, out, recipe, workers = sys.argv[1:]
    request = dataset.DatasetRequest(
        sources=pictures, recipe=recipe, count=23, size_px=32, seed=11, shard_length=4
    )
    dataset.generate(request, out, workers=int(workers))
"""


def _start(tmp_path: Path, pictures: Path, recipe: Path, workers: int) -> subprocess.Popen[str]:
    script = tmp_path / "run.py"
    script.write_text(_GENERATE)
    return subprocess.Popen(
        [sys.executable, str(script), str(pictures), str(tmp_path / "out"), str(recipe), str(workers)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _wait_for_two_shards(process: subprocess.Popen[str], out: Path) -> None:
    limit = time.monotonic() + 60
    while len(list((out / "manifest").glob("*.json"))) < 2:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < limit
        time.sleep(0.005)
    time.sleep(0.03)  # into the middle of a shard


@pytest.mark.parametrize("workers", [1, 2])
def test_kill_9_and_resume(
    tmp_path: Path, pictures: Path, light_file: Path, expected_light: dict[str, str], workers: int
) -> None:
    process = _start(tmp_path, pictures, light_file, workers)
    out = tmp_path / "out"
    _wait_for_two_shards(process, out)
    os.kill(process.pid, signal.SIGKILL)  # the parent alone: its workers must notice by themselves
    process.communicate()
    assert not (out / "index.json").exists()
    with pytest.raises(DatasetError, match="is not finished"):
        bs.open_dataset(out)
    report = resume(out, workers=1)
    assert len(report.kept) >= 2
    assert report.digest == expected_light
    assert not list(out.rglob("*.partial"))
    assert verify(out, deep=True).ok


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_keeps_what_is_finished_and_leaves_nothing_else(
    tmp_path: Path, pictures: Path, light_file: Path, expected_light: dict[str, str], workers: int
) -> None:
    process = _start(tmp_path, pictures, light_file, workers)
    out = tmp_path / "out"
    _wait_for_two_shards(process, out)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to the whole group
    _, errors = process.communicate(timeout=20)
    assert process.returncode != 0
    assert errors.strip().endswith("KeyboardInterrupt"), errors
    assert errors.count("Traceback") == 1, errors  # none from the workers
    assert not list(out.rglob("*.partial"))
    assert not (out / ".locks").exists()
    report = resume(out, workers=1)
    assert len(report.kept) >= 2
    assert report.digest == expected_light


def test_ctrl_c_while_workers_start_is_quiet(tmp_path: Path, pictures: Path, light_file: Path) -> None:
    process = _start(tmp_path, pictures, light_file, 2)
    limit = time.monotonic() + 60
    while not (tmp_path / "out" / "dataset.json").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < limit
        time.sleep(0.005)
    time.sleep(0.3)  # the server of workers is loading its libraries now
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode != 0
    assert errors.count("Traceback") == 1, errors  # the parent's own


def test_dask_gives_the_same_bytes(pictures: Path, recipe: bs.Recipe, tmp_path: Path, expected: dict[str, str]) -> None:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        report = generate(
            DatasetRequest(sources=pictures, recipe=recipe, **WISHES, shard_length=4),
            tmp_path / "out",
            workers=1,
            engine=DaskEngine(client),
        )
    assert report.digest == expected
    assert verify(tmp_path / "out", deep=True).ok


def test_adding_a_step_changes_no_other_steps_draw(recipe: bs.Recipe) -> None:
    frame = bs.Frame(np.zeros((3, 32, 32)), "display")
    more = bs.Recipe([
        *recipe.steps[:1],
        ("dirt", bs.Random(bs.kinds.GaussianBlur, sigma_px=bs.Uniform(0.0, 1.0))),
        *recipe.steps[1:],
    ])  # fmt: skip
    for index in range(50):
        few = dict(recipe.sample(frame, seed=11, index=index).steps)
        many = dict(more.sample(frame, seed=11, index=index).steps)
        assert {name: many[name] for name in few} == few


def test_seeds_and_samples_are_independent(pictures: Path, recipe: bs.Recipe, tmp_path: Path) -> None:
    seen = set()
    for seed in (1, 2):
        generate(
            DatasetRequest(sources=pictures, recipe=recipe, **{**WISHES, "seed": seed}), tmp_path / str(seed), workers=1
        )
        for record in dataset.open_dataset(tmp_path / str(seed)).records():
            seen.add(record["sha256"]["blurred"])
    assert len(seen) == 2 * COUNT


def test_the_draws_are_these_on_every_platform(recipe: bs.Recipe) -> None:
    """Pinned numbers: a change of the streams or the distributions changes every data set."""
    draw = recipe.sample(bs.Frame(np.zeros((3, 32, 32)), "display"), seed=11, index=3)
    assert draw["lens"] == bs.kinds.DiskBlur(diameter_px=5.62845374)
    assert draw["sensor"] == bs.kinds.Sensor(full_well_e=928.909587, read_noise_e=2.0, seed=1301931034208633498)
    assert draw["jpeg"] == bs.kinds.Jpeg(quality=76)
