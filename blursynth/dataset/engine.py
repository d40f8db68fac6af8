"""Where shards are made: in this process, in processes of this machine, or on a Dask cluster.

All three are one adapter: ``submit`` shards, take what ``completed`` yields, ``close``. The commit protocol makes them
equal: a shard is done when its manifest is there, whoever wrote it, however often it was tried.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Literal

from numcodecs import blosc

from blursynth.dataset.manifest import Manifest
from blursynth.dataset.writer import Job, ShardMaker
from blursynth.errors import BlursynthError, DatasetError, InvalidValueError, require

__all__ = ["DaskEngine", "Engine", "Event", "LocalEngine", "SerialEngine", "make_engine"]

TRIES = 3  # times that a shard whose worker died is tried


@dataclass(frozen=True)
class Event:
    """``done`` samples of a shard are made; ``manifest`` is there when it is finished."""

    shard: int
    done: int
    manifest: Manifest | None = None
    note: str = ""


class Engine(ABC):
    """Makes shards somewhere."""

    @abstractmethod
    def submit(self, job: Job, shards: Sequence[int], *, again: bool = False) -> None:
        """Give it shards to make."""

    @abstractmethod
    def completed(self) -> Iterator[Event]:
        """Yield events until all shards are finished; raises the first error of a worker."""

    def close(self) -> None:  # noqa: B027  (what runs in this process has nothing to stop)
        """Stop at once; unfinished shards are dropped."""


class SerialEngine(Engine):
    """One shard after another in this process."""

    def submit(self, job: Job, shards: Sequence[int], *, again: bool = False) -> None:
        self._job, self._shards, self._again = job, list(shards), again

    def completed(self) -> Iterator[Event]:
        maker = ShardMaker(self._job)
        for shard in self._shards:
            # Progress inside a shard must get out between samples, so the shard is made by a generator of events.
            yield from _made(maker, shard, self._again)


def _made(maker: ShardMaker, shard: int, again: bool) -> Iterator[Event]:
    for step in maker.steps(shard, again=again):
        if isinstance(step, Manifest):
            yield Event(shard, step.last - step.first, step)
        else:
            yield Event(shard, step)


@dataclass
class _Worker:
    process: Any
    connection: Connection
    shard: int | None = None


class LocalEngine(Engine):
    """Processes of this machine, each making one shard at a time; one that dies is replaced and its shard tried again.

    Parameters
    ----------
    workers
        Number of processes. They come from a clean process (a fork server, or spawned), never from a fork of this one,
        and run single-threaded kernels.

    Raises
    ------
    DatasetError
        The worker of one shard died three times.
    """

    def __init__(self, workers: int) -> None:
        self._count = workers
        self._workers: list[_Worker] = []
        self._waiting: deque[int] = deque()
        self._tries: dict[int, int] = {}
        self._context = _context()

    def submit(self, job: Job, shards: Sequence[int], *, again: bool = False) -> None:
        self._job, self._again = job, again
        self._waiting.extend(shards)

    def completed(self) -> Iterator[Event]:
        for _ in range(min(self._count, len(self._waiting))):
            self._hire()
        while self._waiting or any(w.shard is not None for w in self._workers):
            for worker in self._workers:
                if worker.shard is None and self._waiting:
                    self._give(worker, self._waiting.popleft())
            ready = wait([w.connection for w in self._workers] + [w.process.sentinel for w in self._workers])
            for worker in list(self._workers):
                if worker.connection in ready:
                    yield from self._heard(worker)
                elif worker.process.sentinel in ready:
                    yield from self._lost(worker)

    def _hire(self) -> None:
        ours, theirs = self._context.Pipe()
        with _single_threaded(), _ctrl_c_waits():
            process = self._context.Process(target=_work, args=(theirs, self._job, self._again), daemon=True)
            process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours))

    def _give(self, worker: _Worker, shard: int) -> None:
        worker.shard = shard
        with suppress(OSError):  # it died before it got anything; its sentinel tells
            worker.connection.send(shard)

    def _heard(self, worker: _Worker) -> Iterator[Event]:
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._lost(worker)
            return
        if isinstance(message, BaseException):
            raise message
        if message.manifest is not None:
            worker.shard = None
        yield message

    def _lost(self, worker: _Worker) -> Iterator[Event]:
        """A worker died: put its shard back and hire another."""
        self._workers.remove(worker)
        worker.connection.close()
        worker.process.join(5)
        code = worker.process.exitcode
        shard = worker.shard
        if shard is None:
            return  # it had nothing left to do
        self._tries[shard] = self._tries.get(shard, 0) + 1
        if self._tries[shard] >= TRIES:
            raise DatasetError(
                f"The worker of shard {shard} died {TRIES} times (last exit code {code}).",
                why=_cause(code),
                fix="Mend that and run blursynth resume; finished shards are kept.",
            )
        self._waiting.appendleft(shard)
        self._hire()
        yield Event(shard, 0, note=f"the worker of shard {shard} died (exit code {code}) and was replaced")

    def close(self) -> None:
        for worker in self._workers:
            if worker.shard is None:
                with suppress(OSError):
                    worker.connection.send(None)
            else:
                worker.process.terminate()
        for worker in self._workers:
            worker.process.join(5)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.connection.close()
            worker.process.close()
        self._workers.clear()


def _cause(code: int | None) -> str:
    if code == -9:
        return "-9 is most often the system's answer to too little memory: use fewer workers or shorter shards."
    if code == 1:
        return "A script that starts workers is imported by each: put the call under if __name__ == '__main__':."
    return "Its pictures or its recipe make it crash: run it with workers=1 to see where."


def _context() -> Any:
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # Loading numba and the codecs takes longer than many a shard; the server does it once for all workers.
    context.set_forkserver_preload(["__main__", "cv2", "blursynth.dataset.engine", "blursynth.backends.cpu"])
    return context


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Processes started inside have one thread per library: the shards are what runs in parallel."""
    names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Ctrl-C takes effect afterwards, and processes started inside never see it: the parent stops them.

    Without it, the server of workers that is still loading its libraries answers with a traceback of its own.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # would let Ctrl-C through again when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection, job: Job, again: bool) -> None:
    """A worker's life: take a shard's number, make it, tell; until the other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        import cv2

        cv2.setNumThreads(1)
        blosc.use_threads = False
        maker = ShardMaker(job)
        while True:
            shard = connection.recv()
            if shard is None:
                return
            for event in _made(maker, shard, again):
                connection.send(event)
    except EOFError:
        return
    except BlursynthError as error:
        connection.send(error)
    except Exception as error:
        connection.send(_foreign(error))


def _leave(*_: object) -> None:
    raise SystemExit(143)  # so that half-written files are removed on the way out


def _die_with_parent() -> None:
    """A parent that was killed cannot stop its workers, and nobody would read what they make."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _foreign(error: Exception) -> DatasetError:
    """An error that is not ours, with its place, in a form that crosses the border between processes."""
    import traceback

    where = traceback.extract_tb(error.__traceback__)[-1]
    return DatasetError(
        f"A worker failed: {type(error).__name__}: {error} ({os.path.basename(where.filename)}:{where.lineno}).",
        fix="Run it with workers=1 to see the whole trace.",
    )


class DaskEngine(Engine):
    """Shards as tasks of a Dask cluster, whose workers see the data set and the sources under the same paths.

    Parameters
    ----------
    address
        Address of a scheduler or a ``distributed.Client``; by default a cluster on this machine.
    """

    def __init__(self, address: Any = None) -> None:
        distributed = require("distributed", extra="cluster", purpose="engine='dask'")
        self._distributed = distributed
        self._own = not isinstance(address, distributed.Client)
        self._client = distributed.Client(address) if self._own else address
        self._futures: list[Any] = []

    def submit(self, job: Job, shards: Sequence[int], *, again: bool = False) -> None:
        self._futures = [
            self._client.submit(
                _make_one, job, shard, again, key=f"blursynth-{job.out.name}-{shard}-{os.urandom(4).hex()}",
                retries=TRIES - 1, pure=False,
            )
            for shard in shards
        ]  # fmt: skip

    def completed(self) -> Iterator[Event]:
        for future in self._distributed.as_completed(self._futures):
            try:
                manifest = future.result()
            except self._distributed.scheduler.KilledWorker as error:
                raise DatasetError(f"A shard's Dask worker died {TRIES} times ({error}).") from None
            yield Event(manifest.shard, manifest.last - manifest.first, manifest)

    def close(self) -> None:
        for future in self._futures:
            future.cancel()
        if self._own:
            self._client.close()


_MAKERS: dict[str, ShardMaker] = {}


def _make_one(job: Job, shard: int, again: bool) -> Manifest:
    """One shard in a Dask worker, which keeps the maker (and its decoded pictures) of the data set it works on."""
    key = f"{job.request_sha256}-{job.out}-{threading.get_ident()}"
    if key not in _MAKERS:
        _MAKERS[key] = ShardMaker(job)
    return _MAKERS[key].make(shard, again=again)


def make_engine(engine: Literal["local", "dask"] | Engine, workers: int, tasks: int) -> Engine:
    """An engine by name; ``local`` is this process itself when there is nothing to do in parallel."""
    if isinstance(engine, Engine):
        return engine
    if engine == "local":
        return LocalEngine(workers) if workers > 1 and tasks > 1 else SerialEngine()
    if engine == "dask":
        return DaskEngine()
    raise InvalidValueError(f"engine must be 'local', 'dask' or an Engine, got {engine!r}.")
