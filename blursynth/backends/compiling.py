"""What a program shows while kernels are compiled, on the first use of each kind of blur on a machine.

Plain Python, so that a program can say what it will show before anything of numba is loaded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

__all__ = ["compiling", "kernels_compiled", "shown_while_compiling"]

_log = logging.getLogger(__name__)
_shows: list[Callable[[], AbstractContextManager[object]]] = []
_begun = 0


@contextmanager
def shown_while_compiling(show: Callable[[], AbstractContextManager[object]]) -> Iterator[None]:
    """Enter ``show()`` around the compilation of each kernel, instead of what was shown before.

    Nothing is entered for kernels that are loaded from the cache.
    """
    _shows.append(show)
    try:
        yield
    finally:
        _shows.remove(show)


@contextmanager
def compiling(kernel: str) -> Iterator[None]:
    """For the backend: around the compilation of a kernel that Python calls."""
    global _begun
    if not _begun:
        _log.info("Compiling kernels for this machine on their first use; they are kept for the next time.")
    _log.debug("compiling %s", kernel)
    _begun += 1
    with _shows[-1]() if _shows else nullcontext():
        yield


def kernels_compiled() -> int:
    """How many kernels this process has compiled so far; 0 if all came from the cache."""
    return _begun
