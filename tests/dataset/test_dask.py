"""Shards made by a Dask cluster, as the command line does it: killed workers, a killed scheduler, errors of workers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import blursynth as bs
from blursynth.dataset import DatasetRequest, Progress, engine, generate
from blursynth.dataset.folder import DatasetFolder
from blursynth.dataset.writer import Event, Job
from blursynth.errors import DatasetError, InvalidValueError

pytest.importorskip("distributed")

SMALL: dict[str, Any] = {"count": 6, "size_px": 32, "shard_length": 3}


@pytest.fixture
def begun(pictures: Path, recipe: bs.Recipe, tmp_path: Path) -> Path:
    generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), tmp_path / "out", workers=1, shards=(0, 1))
    return tmp_path / "out"


@pytest.fixture
def job(begun: Path, pictures: Path, recipe: bs.Recipe) -> Iterator[Job]:
    kinds = tuple(k for _, sampler in recipe.steps for k in sampler.kinds())
    yield Job(DatasetFolder.begun(begun), kinds, {"": str(pictures)}, any_environment=False, cache_bytes=10**6)
    engine._MAKERS.clear()


def test_a_worker_keeps_one_maker_and_knows_where_the_sources_lie(job: Job, tmp_path: Path) -> None:
    """Makers of data sets that are through held gigabytes of decoded pictures, and another source root was not seen."""
    made = engine._make_one(job, 1, False)
    assert isinstance(made, Event)
    assert made.manifest is not None
    moved = Job(job.folder, job.kinds, {"": str(tmp_path / "gone")}, any_environment=False, cache_bytes=10**6)
    error = engine._make_one(moved, 0, True)
    assert isinstance(error, DatasetError)
    assert f"{tmp_path / 'gone'}" in str(error) or "cannot be read" in str(error)
    assert [key for key, _ in engine._MAKERS.values()] == [moved.key()]
    engine._forget(job.key())
    assert engine._MAKERS
    engine._forget(moved.key())
    assert not engine._MAKERS


def test_errors_of_ours_are_not_tried_again(job: Job) -> None:
    """They come back as values: Dask would make the shard three times to get the same error."""
    (job.out / "dataset.json").unlink()
    assert isinstance(engine._make_one(job, 1, False), DatasetError)


class _Client:
    """A client whose scheduler is gone."""

    status = "closed"
    scheduler = None

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("IOLoop is closed")


def test_closing_hides_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    dask = engine.DaskEngine.__new__(engine.DaskEngine)
    dask._client, dask._futures, dask._own, dask._cluster, dask._key = _Client(), {object()}, True, None, ""
    dask.close()
    dask.close()


def test_without_a_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed

    def refuse(address: str) -> None:
        raise OSError(f"Timed out trying to connect to {address} after 30 s")

    client = type("Client", (), {"__new__": lambda cls, address: refuse(address)})
    monkeypatch.setattr(distributed, "Client", client)
    with pytest.raises(DatasetError, match=r"no Dask scheduler at 'tcp://127.0.0.1:1'.*Timed out.*Check the address"):
        engine.DaskEngine("tcp://127.0.0.1:1")


LOOK: dict[str, Callable[[], None]] = {}


def pretended(job: Job, shard: int, again: bool) -> Event:
    """A shard that is not made; at its place in the module, since Dask pickles it."""
    LOOK["now"]()
    return Event(shard, 1)


@pytest.fixture
def client() -> Iterator[Any]:
    """Scheduler and workers as threads of this process."""
    import distributed

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, processes=False, protocol="inproc://", dashboard_address="127.0.0.1:0"
        ) as local,
        distributed.Client(local) as client,
    ):
        yield client


def test_a_cluster_holds_few_tasks_that_say_what_they_are(
    job: Job, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many shards there are. The names are those of the dashboard, computed by Dask's own function."""
    from dask.utils import key_split

    shards, ended, held, names = 100, [], [], set()

    def look() -> None:
        tasks = list(client.cluster.scheduler.tasks)
        held.append(len(tasks))
        names.update(map(key_split, tasks))

    monkeypatch.setattr(engine, "_make_one", pretended)
    monkeypatch.setitem(LOOK, "now", look)
    monkeypatch.setattr(engine, "LEAST_AHEAD", 8)
    monkeypatch.setattr(engine, "AHEAD", 3)
    runner = engine.DaskEngine(client)
    runner.submit(job, range(shards))
    for event in runner.completed():
        ended.append(event.shard)
        time.sleep(0.001)  # a client that is slower than the cluster
    assert sorted(ended) == list(range(shards))
    # 12 for four threads. One that is finished is forgotten a moment after the next one has been submitted.
    assert 12 <= max(held) <= 24
    assert names == {"shards of out"}
    runner.close()
    assert client.status == "running"  # it is the caller's


def test_a_scheduler_that_hangs_ends_the_run(client: Any, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for its threads and tasks, and never answers."""
    import asyncio

    async def never(**_: object) -> None:
        await asyncio.sleep(600)

    monkeypatch.setattr(engine, "ANSWER_S", 0.1)
    monkeypatch.setattr(client.scheduler, "ncores", never, raising=False)
    monkeypatch.setattr(client.scheduler, "processing", never, raising=False)
    monkeypatch.setattr(engine, "_make_one", pretended)
    monkeypatch.setitem(LOOK, "now", lambda: time.sleep(2))
    runner = engine.DaskEngine(client, stall_s=0.3)
    runner.submit(job, [0])
    with pytest.raises(DatasetError, match=r"has stalled: no shard was finished for \d s, and the scheduler does not"):
        list(runner.completed())


def test_a_worker_that_says_nothing_is_named(
    pictures: Path, recipe: bs.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the engine ``local``: stopped, as a disk that hangs stops it; then it goes on."""
    monkeypatch.setattr(engine, "SILENT_S", 0.4)
    notes: list[str] = []

    def see(progress: Progress) -> None:
        if progress.stage == "generate" and progress.done == 0 and not notes and runner._workers:
            os.kill(runner._workers[0].process.pid, signal.SIGSTOP)
        if "has not reported" in progress.note:
            notes.append(progress.note)
            for worker in runner._workers:
                os.kill(worker.process.pid, signal.SIGCONT)

    runner = engine.LocalEngine(2)
    hire = runner._hire

    def hire_and_stop() -> None:
        hire()
        if len(runner._workers) == 1:
            os.kill(runner._workers[0].process.pid, signal.SIGSTOP)

    monkeypatch.setattr(runner, "_hire", hire_and_stop)
    report = generate(
        DatasetRequest(sources=pictures, recipe=recipe, **SMALL),
        tmp_path / "out",
        workers=1,
        engine=runner,
        on_progress=see,
    )
    assert report.finished
    assert "the worker of shard 0 (process " in notes[0]
    assert any("has not reported for" in note for note in report.notes)


def stop_workers(runner: engine.LocalEngine, monkeypatch: pytest.MonkeyPatch, *, times: int) -> list[int]:
    """Stop (SIGSTOP) the first workers that it starts for ever; returns the growing list of them."""
    hire, stopped = runner._hire, []

    def hire_and_stop() -> None:
        hire()
        if len(stopped) < times:
            stopped.append(runner._workers[-1].process.pid)
            os.kill(stopped[-1], signal.SIGSTOP)

    monkeypatch.setattr(runner, "_hire", hire_and_stop)
    return stopped


@pytest.mark.slow  # the limit must be longer than a busy machine needs to load libraries
def test_a_worker_that_hangs_is_replaced(
    pictures: Path, recipe: bs.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = engine.LocalEngine(2, stall_s=20.0)
    stopped = stop_workers(runner, monkeypatch, times=1)
    request = DatasetRequest(sources=pictures, recipe=recipe, **SMALL)
    report = generate(request, tmp_path / "out", workers=1, engine=runner)
    assert report.finished
    note = r"the worker of shard \d did not report for \d+ s, was killed and was replaced"
    assert re.fullmatch(note, report.notes[-1])
    with pytest.raises(ProcessLookupError):
        os.kill(stopped[0], 0)


def test_workers_that_hang_each_time_end_the_run(
    pictures: Path, recipe: bs.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = engine.LocalEngine(1, stall_s=0.2)
    stop_workers(runner, monkeypatch, times=9)
    request = DatasetRequest(sources=pictures, recipe=recipe, **SMALL)
    with pytest.raises(DatasetError, match=r"or hung 3 times \(at last it did not report for 0 s and was killed\)"):
        generate(request, tmp_path / "out", workers=1, engine=runner)
    for stall_s in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InvalidValueError, match="must be a number of seconds > 0"):
            engine.LocalEngine(1, stall_s=stall_s)


# The command line's own path.

DASK = [sys.executable, "-m"]


def _run(folder: Path, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "blursynth", *map(str, arguments)],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options,
    )  # fmt: skip


def _generate(folder: Path, pictures: Path, out: str, *more: str, count: int = 12) -> subprocess.Popen[str]:
    (folder / "recipe.toml").write_text(
        "[[step]]\nkind='decode'\n[[step]]\nkind='gaussian_blur'\nsigma_px={uniform=[0.3,2.0]}\n[[step]]\nkind='encode'\n"
    )
    options = ("-r", "recipe.toml", "-n", count, "--size", 32, "--shard-length", 2, "--workers", 2)
    return _run(folder, "generate", pictures, out, *options, *more)


@pytest.mark.slow
def test_a_cluster_of_its_own_and_a_relative_folder(pictures: Path, tmp_path: Path) -> None:
    said = {}
    for name, more in (("local", ()), ("dask", ("--engine", "dask"))):
        process = _generate(tmp_path, pictures, name, *more)
        said[name], _ = process.communicate(timeout=400)
        assert process.returncode == 0, said[name]
    digests = {line for text in said.values() for line in text.splitlines() if line.startswith("digest of pixels")}
    assert len(digests) == 1
    assert "IOLoop" not in said["dask"]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[dict[str, Any]]:
    with processes_of_a_cluster(tmp_path) as found:
        yield found


@contextmanager
def processes_of_a_cluster(folder: Path) -> Iterator[dict[str, Any]]:
    """A scheduler and a nanny with two workers, as processes of their own."""
    file = folder / "scheduler.json"
    common = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(file)]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    scheduler = subprocess.Popen([*DASK, "distributed.cli.dask_scheduler", "--port", "0", *common], **quiet)
    workers = subprocess.Popen(
        [*DASK, "distributed.cli.dask_worker", "--nworkers", "2", "--nthreads", "1", "--death-timeout", "300", *common],
        **quiet,
    )
    try:
        end = time.monotonic() + 120
        while not file.exists() and time.monotonic() < end:
            time.sleep(0.1)
        yield {"address": json.loads(file.read_text())["address"], "scheduler": scheduler, "workers": workers}
    finally:
        workers.terminate()
        scheduler.kill()
        scheduler.wait(30)
        try:
            workers.wait(30)
        except subprocess.TimeoutExpired:
            workers.kill()


def _some_shard_is_there(out: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 300
    while not list(out.glob("manifest/*.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_worker_is_replaced(pictures: Path, tmp_path: Path, cluster: dict[str, Any]) -> None:
    import psutil

    process = _generate(tmp_path, pictures, "out", "--engine", "dask", "--scheduler", cluster["address"], count=240)
    _some_shard_is_there(tmp_path / "out", process)
    nanny = psutil.Process(cluster["workers"].pid)
    children = [p for p in nanny.children() if "spawn_main" in " ".join(p.cmdline())]
    children[0].kill()
    said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said
    verified = _run(tmp_path, "verify", "out")
    said, _ = verified.communicate(timeout=200)
    assert verified.returncode == 0, said


@pytest.fixture
def another_cluster(tmp_path: Path) -> Iterator[dict[str, Any]]:
    (tmp_path / "another").mkdir()
    with processes_of_a_cluster(tmp_path / "another") as found:
        yield found


@pytest.mark.slow
def test_after_the_scheduler_was_killed_another_cluster_goes_on(
    pictures: Path, tmp_path: Path, cluster: dict[str, Any], another_cluster: dict[str, Any]
) -> None:
    """One message, soon; shards that were finished stay; the data set ends as one that nobody disturbed."""
    out, shards = tmp_path / "out", 600
    undisturbed = _generate(tmp_path, pictures, "undisturbed", count=2 * shards)
    said, _ = undisturbed.communicate(timeout=400)
    assert undisturbed.returncode == 0, said
    process = _generate(tmp_path, pictures, "out", *_on(cluster), count=2 * shards)
    _some_shard_is_there(out, process)
    cluster["scheduler"].kill()
    killed = time.monotonic()
    said, _ = process.communicate(timeout=200)
    assert time.monotonic() - killed < 60
    assert process.returncode == 2, said
    assert "The connection to the Dask scheduler was lost" in said
    assert "blursynth resume" in said
    _workers_are_idle(out)  # what they had begun they may finish; the commit protocol allows that
    kept = {path: path.stat().st_mtime_ns for path in out.glob("manifest/*.json")}
    assert 0 < len(kept) < shards
    again = _run(tmp_path, "resume", "out", *_on(another_cluster))
    said, _ = again.communicate(timeout=400)
    assert again.returncode == 0, said
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    digests = [bs.open_dataset(folder).digest for folder in (out, tmp_path / "undisturbed")]
    assert digests[0] == digests[1]


def _on(cluster: dict[str, Any]) -> tuple[str, ...]:
    return "--engine", "dask", "--scheduler", cluster["address"]


def _workers_are_idle(out: Path) -> None:
    """Wait until no shard has been finished for two seconds."""
    before, now = -1, len(list(out.glob("manifest/*.json")))
    while before != now:
        time.sleep(2)
        before, now = now, len(list(out.glob("manifest/*.json")))


@pytest.mark.slow
def test_an_error_of_a_worker_is_told(pictures: Path, tmp_path: Path, cluster: dict[str, Any]) -> None:
    process = _generate(tmp_path, pictures, "out", "--shards", "0:1")
    process.communicate(timeout=400)
    (tmp_path / "empty").mkdir()
    arguments = ("--sources", "empty", "--engine", "dask", "--scheduler", cluster["address"])
    process = _run(tmp_path, "resume", "out", *arguments)
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 2, said
    assert "cannot be read" in said


@pytest.mark.slow
def test_a_cluster_that_hangs_ends_the_run(pictures: Path, recipe: bs.Recipe, tmp_path: Path) -> None:
    """Its only worker is stopped, as by a file system that does not answer."""
    import distributed

    request = DatasetRequest(sources=pictures, recipe=recipe, **SMALL)
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as local,
        distributed.Client(local) as client,
    ):
        (nanny,) = local.workers.values()
        os.kill(nanny.pid, signal.SIGSTOP)
        try:
            runner = engine.DaskEngine(client, stall_s=3.0)
            with pytest.raises(DatasetError, match="has stalled: no shard was finished for"):
                generate(request, tmp_path / "out", workers=1, engine=runner)
        finally:
            os.kill(nanny.pid, signal.SIGCONT)
