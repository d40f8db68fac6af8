"""Where shards are made: in this process, in processes of this machine, or on a Dask cluster.

All three have one interface: ``submit`` shards, take the events that ``completed`` yields, ``close``. The commit
protocol makes them equivalent: a shard is done when its manifest exists, whoever wrote it and however often it was
tried.
"""

from __future__ import annotations

import concurrent.futures
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Literal

from blursynth.backends.cores import available_cores
from blursynth.dataset.writer import Event, Job, ShardMaker
from blursynth.errors import Argument, BlursynthError, DatasetError, InvalidValueError, Message, require

__all__ = ["DaskEngine", "Engine", "Event", "LocalEngine", "SerialEngine", "make_engine"]

TRIES = 3  # attempts at a shard whose worker dies
CLOSE_S = 10.0  # time that a Dask client or cluster has to shut down
# Shards given to a Dask cluster at a time, for each of its threads and at least: enough that none waits for the client,
# and that a cluster that grows with its work begins to grow.
AHEAD, LEAST_AHEAD = 3, 64
ASK_S, ANSWER_S = 2.0, 10.0  # how often a Dask scheduler is asked for its threads, and how long it may take to answer
# Loading numba and the codecs can take longer than making a shard; the fork server does it once for all workers.
_PRELOADED = ("cv2", "numcodecs.blosc", "blursynth.dataset.engine", "blursynth.dataset.preloaded")
SILENT_S = 120.0  # time without a report of a worker until it is named, then doubled each time
# Time without a report until a worker is replaced: local workers report every sample, those of Dask whole shards.
LOCAL_STALL_S, DASK_STALL_S = 1800.0, 6 * 3600.0


class Engine(ABC):
    """Makes shards somewhere."""

    @abstractmethod
    def submit(self, job: Job, shards: Sequence[int], *, again: bool = False) -> None:
        """Give it shards to make."""

    @abstractmethod
    def completed(self) -> Iterator[Event]:
        """Yield events until all shards are finished; raises the first error of a worker."""

    def close(self) -> None:  # noqa: B027  (an engine in this process has nothing to stop)
        """Stop at once; unfinished shards are dropped."""


class SerialEngine(Engine):
    """One shard after another in this process."""

    def submit(self, job: Job, shards: Sequence[int], *, again: bool = False) -> None:
        self._job, self._shards, self._again = job, list(shards), again

    def completed(self) -> Iterator[Event]:
        maker = ShardMaker(self._job)
        for shard in self._shards:
            yield from maker.make(shard, again=self._again)


@dataclass
class _Worker:
    process: Any
    connection: Connection
    shard: int | None = None
    done: int = 0
    heard: float = field(default_factory=time.monotonic)  # when it last reported
    silence: float = field(default_factory=lambda: SILENT_S)  # after which it is named
    stalled_s: float = 0.0  # how long it was silent when it was killed for that


class LocalEngine(Engine):
    """Processes on this machine, each making one shard at a time; the shard of one that dies is tried ``TRIES`` times.

    They are started from a clean process (by a fork server or spawned), never forked from this one, and run
    single-threaded kernels.

    Parameters
    ----------
    workers
        Number of processes.
    stall_s
        Time in seconds without a report after which a worker is killed and replaced. Workers report after each sample,
        so it must be longer than reading the slowest picture takes.
    """

    def __init__(self, workers: int, *, stall_s: float = LOCAL_STALL_S) -> None:
        self._count, self._stall_s = workers, _checked_stall(stall_s)
        self._workers: list[_Worker] = []
        self._waiting: deque[int] = deque()
        self._tries: dict[int, int] = {}
        self._context = process_context()

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
            ends = [w.connection for w in self._workers] + [w.process.sentinel for w in self._workers]
            ready = wait(ends, min(SILENT_S, self._stall_s) / 4)
            yield from self._silent()
            for worker in list(self._workers):
                if worker.connection in ready:
                    yield from self._heard(worker)
                elif worker.process.sentinel in ready:
                    yield from self._lost(worker)

    def _hire(self) -> None:
        ours, theirs = self._context.Pipe()
        with single_threaded(), _ctrl_c_waits():
            given = theirs, self._job, self._again, dict(os.environ)
            process = self._context.Process(target=_work, args=given, daemon=True)
            process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours))

    def _silent(self) -> Iterator[Event]:
        """Name workers that have been silent for long (pictures may be slow, or a disk or the worker may hang), and
        kill those that have been for too long."""
        now = time.monotonic()
        for worker in self._workers:
            if worker.shard is None or worker.stalled_s:
                continue
            if now - worker.heard > self._stall_s:
                worker.stalled_s = now - worker.heard
                worker.process.kill()  # its sentinel shows the rest
            elif now - worker.heard > worker.silence:
                worker.silence *= 2
                yield Event(
                    worker.shard,
                    worker.done,
                    note=f"the worker of shard {worker.shard} (process {worker.process.pid}) has not reported for "
                    f"{now - worker.heard:.0f} s",
                )

    def _give(self, worker: _Worker, shard: int) -> None:
        worker.shard, worker.done, worker.heard, worker.silence = shard, 0, time.monotonic(), SILENT_S
        with suppress(OSError):  # it died before it received anything; its sentinel shows that
            worker.connection.send(shard)

    def _heard(self, worker: _Worker) -> Iterator[Event]:
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._lost(worker)
            return
        if isinstance(message, BaseException):
            raise message
        worker.done, worker.heard, worker.silence = message.done, time.monotonic(), SILENT_S
        if message.manifest is not None:
            worker.shard = None
        yield message

    def _lost(self, worker: _Worker) -> Iterator[Event]:
        """Handle a dead worker: return its shard to the queue and start another worker."""
        self._workers.remove(worker)
        worker.connection.close()
        worker.process.join(5)
        code = worker.process.exitcode
        shard = worker.shard
        if shard is None:
            return  # it had nothing left to do
        self._tries[shard] = self._tries.get(shard, 0) + 1
        if self._tries[shard] >= TRIES:
            times = f"{TRIES} times (last exit code {code})"
            if worker.stalled_s:
                times = f"or hung {TRIES} times (at last it did not report for {worker.stalled_s:.0f} s and was killed)"
            raise DatasetError(
                f"The worker of shard {shard} died {times}.",
                why="A picture or its disk takes too long to read." if worker.stalled_s else _cause(code),
                fix="Fix that and run blursynth resume; finished shards are kept.",
            )
        self._waiting.appendleft(shard)
        self._hire()
        what = f"died (exit code {code})"
        if worker.stalled_s:
            what = f"did not report for {worker.stalled_s:.0f} s, was killed"
        yield Event(shard, 0, note=f"the worker of shard {shard} {what} and was replaced")

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


def _checked_stall(stall_s: float) -> float:
    """A limit in seconds, > 0."""
    if not 0 < stall_s < math.inf:
        raise InvalidValueError(
            (Argument("stall_s"), f" must be a number of seconds > 0, got {stall_s!r}."), field="stall_s", value=stall_s
        )
    return stall_s


def _cause(code: int | None) -> Message:
    if code == -9:
        return "-9 usually means that the system ran out of memory: use fewer workers or shorter shards."
    if code == 1:
        return "Each worker imports the script that starts it: put the call under if __name__ == '__main__':."
    return ("Its pictures or its recipe make it crash: run with ", Argument("workers", 1), " to see where.")


def process_context() -> Any:
    """How worker processes are started."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", *_PRELOADED])
    return context


def start_early(engine: Literal["local", "dask"] | Engine, workers: int, tasks: int) -> None:
    """Let the fork server load its libraries, which takes seconds, while this process still looks at the request."""
    if engine == "local" and workers > 1 and tasks > 1 and sys.platform == "linux":
        from multiprocessing import forkserver

        process_context()
        with single_threaded(), _ctrl_c_waits():
            forkserver.ensure_running()


@contextmanager
def single_threaded() -> Iterator[None]:
    """Processes started inside use one thread per library, since shards already run in parallel."""
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
    """Delay Ctrl-C until afterwards. Processes started inside never see it: the parent stops them.

    Otherwise a fork server that is still loading its libraries would print its own traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # would otherwise let Ctrl-C through again when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection, job: Job, again: bool, environment: dict[str, str]) -> None:
    """Main loop of a worker: take the number of a shard, make it, report; until the other end is gone.

    It gets the environment as it is now, for credentials; that of the fork server is as it was when this one began.
    """
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        import cv2
        from numcodecs import blosc

        cv2.setNumThreads(1)
        blosc.use_threads = False
        _make_codec_lock()
        maker = ShardMaker(job)
        while True:
            shard = connection.recv()
            if shard is None:
                return
            for event in maker.make(shard, again=again):
                connection.send(event)
    except EOFError:
        return
    except BlursynthError as error:
        connection.send(error)
    except Exception as error:
        connection.send(_foreign(error))


def _make_codec_lock() -> None:
    """Make numcodecs create the lock of its codec now, as one that ends with this process.

    By default, the lock has a system-wide name in workers, which outlives them when they are killed: "There appear to
    be 1 leaked semaphore objects". Locks for forked children have no name.
    """
    from numcodecs import blosc

    if "fork" in multiprocessing.get_all_start_methods():
        before = multiprocessing.get_start_method(allow_none=True)
        multiprocessing.set_start_method("fork", force=True)
        blosc.get_mutex()
        multiprocessing.set_start_method(before, force=True)


def _leave(*_: object) -> None:
    raise SystemExit(143)  # so that half-written files are removed on the way out


def _die_with_parent() -> None:
    """End a worker whose parent was killed: the parent cannot stop it, and nobody would read its results."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _foreign(error: Exception) -> DatasetError:
    """An error from outside this library, with its location, in a form that can be sent between processes."""
    import traceback

    where = traceback.extract_tb(error.__traceback__)[-1]
    return DatasetError(
        f"A worker failed: {type(error).__name__}: {error} ({os.path.basename(where.filename)}:{where.lineno}).",
        fix=("Run with ", Argument("workers", 1), " to see the whole traceback."),
    )


class DaskEngine(Engine):
    """Shards as tasks on a Dask cluster whose workers see the data set and the sources under the same paths.

    A task has the name of the data set and the number of its shard. Scheduler and client hold three tasks for each
    thread of the cluster, and at least 64, however many shards there are: when one is finished, another is submitted.

    Parameters
    ----------
    address
        Address of a scheduler or a ``distributed.Client``; by default a local cluster is started.
    workers
        Number of processes of the local cluster.
    stall_s
        Time in seconds in which no shard is finished, after which the run ends with an error that names the workers and
        their tasks: workers of a cluster cannot be killed from here. It must be longer than a shard takes.

    Raises
    ------
    DatasetError
        There is no scheduler at this address; or, later, the connection was lost, the worker of a shard repeatedly
        died, or nothing was finished for too long.
    """

    def __init__(self, address: Any = None, *, workers: int | None = None, stall_s: float = DASK_STALL_S) -> None:
        self._stall_s = _checked_stall(stall_s)
        distributed = require("distributed", extra="cluster", purpose="engine='dask'")
        self._distributed = distributed
        self._waiting: deque[int] = deque()
        self._futures: set[Any] = set()  # submitted and not finished
        self._key = ""
        self._cluster: Any = None
        self._own = not isinstance(address, distributed.Client)
        if not self._own:
            self._client = address
        elif address is not None:
            try:
                self._client = distributed.Client(address)
            except (OSError, ValueError, TypeError) as error:  # raised by its parsing of addresses and its sockets
                raise DatasetError(
                    f"There is no Dask scheduler at {address!r} ({error}).",
                    fix="Check the address (such as tcp://host:8786) and that the scheduler is running.",
                ) from None
        else:
            # One thread each, as in the engine 'local': kernels in child processes use no threads either.
            # By default its pages would be on a fixed port of all networks, which a second run finds in use.
            self._cluster = distributed.LocalCluster(
                n_workers=workers or available_cores(), threads_per_worker=1, dashboard_address="127.0.0.1:0"
            )
            self._client = distributed.Client(self._cluster)

    def submit(self, job: Job, shards: Sequence[int], *, again: bool = False) -> None:
        self._job, self._again, self._waiting = job, again, deque(shards)
        self._key = job.key()
        # The dashboard groups tasks by what is left of "-": "shards of pairs".
        self._name = f"shards of {job.out.name.replace('-', '_')}-{os.urandom(4).hex()}"

    def _submit_more(self, submitted: Any, most: int) -> None:
        """Give the cluster shards until it has ``most``; ``submitted`` yields them when they are finished."""
        while self._waiting and len(self._futures) < most:
            shard = self._waiting.popleft()
            future = self._client.submit(
                _make_one, self._job, shard, self._again, key=(self._name, shard), retries=TRIES - 1, pure=False
            )
            self._futures.add(future)
            submitted.add(future)

    def _threads(self, known: int) -> int:
        """The number of threads of the cluster, or what is ``known`` if the scheduler does not answer."""
        try:
            return sum(self._client.nthreads(callback_timeout=ANSWER_S).values())
        except TimeoutError:
            return known
        except OSError:
            raise _lost_scheduler(self._client) from None

    def completed(self) -> Iterator[Event]:
        with self._connected():
            yield from self._events()

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """Handle a lost connection that the client has not noticed yet."""
        try:
            yield
        except self._distributed.comm.CommClosedError:
            raise _lost_scheduler(self._client) from None

    def _events(self) -> Iterator[Event]:
        import asyncio  # takes .05 s, and only Dask needs it

        distributed = self._distributed
        submitted = distributed.as_completed()
        silence, heard = SILENT_S, time.monotonic()
        threads, asked = 0, -math.inf
        while self._waiting or self._futures:
            if self._client.status not in ("running", "newly-created"):  # it tries to reconnect for a while
                raise _lost_scheduler(self._client)
            if self._waiting and time.monotonic() - asked > ASK_S:
                threads, asked = self._threads(threads), time.monotonic()
            self._submit_more(submitted, max(LEAST_AHEAD, AHEAD * threads))
            future = _next(submitted, 1.0)
            if future is None:
                if time.monotonic() - heard > self._stall_s:
                    raise DatasetError(
                        f"The Dask cluster has stalled: {self._whereabouts(time.monotonic() - heard)}.",
                        fix="Restart these workers and run blursynth resume; finished shards are kept.",
                    )
                if time.monotonic() - heard > silence:
                    silence *= 2
                    yield Event(-1, 0, note=self._whereabouts(time.monotonic() - heard))
                continue
            silence, heard = SILENT_S, time.monotonic()
            self._futures.remove(future)  # otherwise its result would be kept on the cluster
            if future.cancelled():
                raise _lost_scheduler(self._client)
            try:
                made = future.result()
            except distributed.KilledWorker as error:
                raise DatasetError(
                    f"The Dask worker of a shard died repeatedly ({error}).",
                    why="Usually the workers have too little memory.",
                    fix="Fix that and run blursynth resume; finished shards are kept.",
                ) from None
            except (asyncio.CancelledError, concurrent.futures.CancelledError):
                raise _lost_scheduler(self._client) from None
            if isinstance(made, BlursynthError):
                raise made
            yield made

    def _whereabouts(self, silent_s: float) -> str:
        """A description of the workers that have not reported."""
        try:
            working = self._client.sync(self._client.scheduler.processing, workers=None, callback_timeout=ANSWER_S)
            busy = {name: keys for name, keys in working.items() if keys}
        except Exception as error:  # the scheduler is gone or busy; report that
            return f"no shard was finished for {silent_s:.0f} s, and the scheduler does not respond ({error})"
        where = "; ".join(f"{name}: {', '.join(map(_shown, keys))}" for name, keys in sorted(busy.items()))
        return f"no shard was finished for {silent_s:.0f} s; busy: {where or 'no workers'}"

    def close(self) -> None:
        futures, self._futures = list(self._futures), set()
        if self._client.status == "running":
            # Workers that hang would let this wait for ever.
            leave = threading.Thread(target=self._leave_workers, args=(futures,), daemon=True)
            leave.start()
            leave.join(CLOSE_S)
        if self._own:
            with suppress(Exception):
                self._client.close(timeout=CLOSE_S)
        if self._cluster is not None:
            with suppress(Exception):
                self._cluster.close(timeout=CLOSE_S)

    def _leave_workers(self, futures: list[Any]) -> None:
        with suppress(Exception):  # it is shutting down; its errors must not hide the one that matters
            self._client.cancel(futures)
            self._client.run(_forget, self._key, on_error="ignore")


def _shown(key: Any) -> str:
    """The key of a task as a reader wants it; others may use the cluster, too."""
    return f"shard {key[1]}" if isinstance(key, tuple) and str(key[0]).startswith("shards of ") else str(key)


def _next(waiting: Any, timeout_s: float) -> Any:
    """The next finished future; None if there is none within this time, during which the client may be lost."""
    end = time.monotonic() + timeout_s
    while not waiting.has_ready():
        if time.monotonic() > end or not waiting.count():
            return None
        time.sleep(0.02)
    return next(waiting)


def _lost_scheduler(client: Any) -> DatasetError:
    return DatasetError(
        f"The connection to the Dask scheduler was lost ({client.scheduler.address if client.scheduler else client}).",
        why="It was stopped or cannot be reached.",
        fix="Start it again and run blursynth resume; finished shards are kept.",
    )


# By worker thread, since threads must not share one. Only the latest is kept; it may hold gigabytes of pictures.
_MAKERS: dict[int, tuple[str, ShardMaker]] = {}


def _make_one(job: Job, shard: int, again: bool) -> Event | BlursynthError:
    """Make one shard in a Dask worker, which keeps the maker (and decoded pictures) of its current data set.

    An error of this library is returned instead of raised, since trying again would not help.
    """
    import cv2
    from numcodecs import blosc

    cv2.setNumThreads(1)
    blosc.use_threads = False
    _make_codec_lock()
    thread, key = threading.get_ident(), job.key()
    try:
        if _MAKERS.get(thread, ("",))[0] != key:
            _MAKERS.pop(thread, None)  # before the next one takes memory
            _MAKERS[thread] = (key, ShardMaker(job))
        *_, last = _MAKERS[thread][1].make(shard, again=again)
        return last
    except BlursynthError as error:
        return error


def _forget(key: str) -> None:
    """Release the makers of a job that has ended."""
    for thread, (known, _) in list(_MAKERS.items()):
        if known == key:
            _MAKERS.pop(thread, None)


def make_engine(engine: Literal["local", "dask"] | Engine, workers: int, tasks: int) -> Engine:
    """An engine by name; ``local`` is this process itself if there is nothing to run in parallel."""
    if isinstance(engine, Engine):
        return engine
    if engine == "local":
        return LocalEngine(workers) if workers > 1 and tasks > 1 else SerialEngine()
    if engine == "dask":
        return DaskEngine(workers=workers)
    raise InvalidValueError(
        (Argument("engine"), f" must be 'local', 'dask' or an Engine, got {engine!r}."), field="engine", value=engine
    )
