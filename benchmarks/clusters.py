"""What a data set of 10^6 samples costs a Dask cluster before and while it is made.

``python benchmarks/run.py clusters`` writes the table. Scheduler and workers are processes of their own. The data set
is planned, begun and given to the cluster by ``bs.generate`` as always; only the work on a shard is replaced by a
function that waits and returns a manifest as a finished shard has it, so that hours of rendering are not measured.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import distributed
import psutil
from distributed.protocol.pickle import dumps
from measure import machine, table
from survival import photographs

import blursynth as bs
from blursynth.dataset import engine
from blursynth.dataset.manifest import Manifest, read_manifest
from blursynth.dataset.schema import load_spec
from blursynth.dataset.writer import Event, Job

LENGTHS = 1000, 1  # of shards
SAMPLES, WORKERS, SHARD_S, WATCHED_S = 10**6, 2, 0.02, 20.0


def main() -> str:
    lines = [measured(length) for length in LENGTHS]
    head = (
        f"{SAMPLES:,} samples of 64 px on a scheduler and {WORKERS} workers of Dask {distributed.__version__}, each a "
        f"process: {machine()}. Shards are not rendered (each takes {SHARD_S:g} s and gives a manifest), all else "
        f"is `bs.generate`. Watched for {WATCHED_S:g} s, with shards of 1000 samples and of one."
    )
    columns = [
        "shards", "planned and begun", "until the first is finished", "bytes of a task",
        "most tasks in the scheduler", "shards per second", "scheduler", "client",
    ]  # fmt: skip
    return f"## Clusters\n\n{head}\n\n{table(columns, lines)}\n"


class Watched(engine.Engine):
    """An engine with a clock."""

    def __init__(self, inner: engine.DaskEngine) -> None:
        self.inner = inner
        self.submitted = self.first = 0.0
        self.shards = self.task_bytes = 0

    def submit(self, job: Job, shards: Sequence[int], *, again: bool = False) -> None:
        self.submitted = time.monotonic()
        self.task_bytes = len(dumps((engine._make_one, job, shards[-1], again)))
        self.inner.submit(job, shards, again=again)

    def completed(self) -> Iterator[Event]:
        for event in self.inner.completed():
            self.first = self.first or time.monotonic()
            self.shards += 1
            yield event
            if time.monotonic() - self.first > WATCHED_S:
                break
        raise KeyboardInterrupt  # there are no shards on the disk to go on with

    def close(self) -> None:
        self.inner.close()


def measured(shard_length: int) -> list[str]:
    with tempfile.TemporaryDirectory() as folder, cluster(Path(folder)) as (scheduler, client):
        request = bs.DatasetRequest(
            sources=photographs(Path(folder, "photos")), recipe="clean", count=SAMPLES, size_px=64,
            shard_length=shard_length,
        )  # fmt: skip
        out = Path(folder, "out")
        bs.generate(request, out, workers=1, shards=(0, 1))  # for a manifest
        manifest = read_manifest(out, 0, load_spec(out))
        rendered, engine._make_one = engine._make_one, pretended(manifest)
        before = scheduler.memory_info().rss, psutil.Process().memory_info().rss
        most, ended = [0, 0, 0], threading.Event()
        watch = threading.Thread(target=watched, args=(client, scheduler, most, ended))
        watch.start()
        runner = Watched(engine.DaskEngine(client))
        start = time.monotonic()
        try:
            bs.generate(request, out, engine=runner)
        except KeyboardInterrupt:
            pass
        finally:
            engine._make_one = rendered
            ended.set()
            watch.join()
    return [
        f"{SAMPLES // shard_length:,}",
        f"{runner.submitted - start:.1f} s",
        f"{runner.first - runner.submitted:.2f} s",
        f"{runner.task_bytes:,}",
        f"{most[0]:,}",
        f"{runner.shards / (time.monotonic() - runner.first):.0f}",
        *(f"{now / 2**20:.0f} MiB (+{(now - then) / 2**20:.0f})" for now, then in zip(most[1:], before, strict=True)),
    ]


def pretended(manifest: Manifest) -> Any:
    def make_one(job: Job, shard: int, again: bool) -> Event:
        time.sleep(SHARD_S)
        return Event(shard, 1, dataclasses.replace(manifest, shard=shard))

    return make_one


def watched(client: Any, scheduler: psutil.Process, most: list[int], ended: threading.Event) -> None:
    """Note the largest number of tasks, and memory of the scheduler and of this process, until ``ended``."""
    while not ended.wait(0.2):
        tasks = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
        now = tasks, scheduler.memory_info().rss, psutil.Process().memory_info().rss
        most[:] = [max(pair) for pair in zip(most, now, strict=True)]


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[psutil.Process, Any]]:
    file = folder / "scheduler.json"
    common = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(file)]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    command = [sys.executable, "-m"]
    scheduler = subprocess.Popen([*command, "distributed.cli.dask_scheduler", "--port", "0", *common], **quiet)
    several = ["--nworkers", str(WORKERS), "--nthreads", "1"]
    workers = subprocess.Popen([*command, "distributed.cli.dask_worker", *several, *common], **quiet)
    try:
        while not file.exists():
            time.sleep(0.1)
        with distributed.Client(json.loads(file.read_text())["address"]) as client:
            client.wait_for_workers(WORKERS)
            yield psutil.Process(scheduler.pid), client
    finally:
        workers.terminate()
        workers.wait(30)
        scheduler.terminate()
        scheduler.wait(30)


if __name__ == "__main__":
    print(main())
