"""Work shared out among threads."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from blursynth.backends.cores import available_cores

__all__ = ["share_out", "threads_to_use"]

_pool: ThreadPoolExecutor | None = None
_pool_size = 0


def _forget_pool() -> None:
    global _pool
    _pool = None  # threads do not survive a fork; the next large call starts new ones


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def threads_to_use(threads: int | None) -> int:
    """The given number of threads; by default one per core, and a single one in a worker process."""
    if threads is not None:
        return max(1, int(threads))
    if multiprocessing.parent_process() is not None:
        return 1  # a worker of a data set or loader: its siblings use the other cores
    return _all_threads()


@cache
def _all_threads() -> int:
    # numba's own setting where it is given; its default ignores the limits of containers.
    return int(os.environ.get("NUMBA_NUM_THREADS", 0)) or available_cores()


def share_out(work: Callable[..., None], jobs: int, threads: int, *arguments: object) -> None:
    """Call ``work(first, last, *arguments)`` over all jobs, by several threads when asked.

    Compiled functions and codecs release the interpreter's lock, so plain threads suffice; unlike numba's own they are
    safe after a fork, and for several callers at a time. Every job writes its own part of the result, so the bytes do
    not depend on the number of threads.
    """
    global _pool, _pool_size
    threads = min(threads, jobs)
    if threads <= 1:
        work(0, jobs, *arguments)
        return
    parts = min(jobs, 3 * threads)  # a few per thread, for cores that are also busy with other work
    shares = iter([(jobs * i // parts, jobs * (i + 1) // parts) for i in range(parts)])

    def take() -> None:
        for first, last in shares:
            work(first, last, *arguments)

    pool = _pool
    if pool is None or _pool_size < threads - 1:
        pool = ThreadPoolExecutor(threads - 1, thread_name_prefix="blursynth")
        _pool, _pool_size = pool, threads - 1
    others = [pool.submit(take) for _ in range(threads - 1)]
    take()
    for other in others:
        other.result()
