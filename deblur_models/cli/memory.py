"""Memory of large pictures, kept between layers instead of given back and asked for again."""

from __future__ import annotations

import ctypes
import logging
import sys

__all__ = ["keep_freed_memory"]

_LOG = logging.getLogger(__name__)

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # parameters of glibc's mallopt


def keep_freed_memory() -> bool:
    """Tell glibc to keep what is freed; whether it did (elsewhere than on Linux with glibc there is no need to).

    By default blocks of more than 32 MiB, one map of features of a large picture, go back to the system when they are
    freed, and the next layer's come as new pages that the kernel must clear: nearly half of the time of a small network
    on two cores. For programs, not for a library: the setting holds for the whole process, which keeps the largest
    amount that it ever needed until it ends.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    kept = bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1))
    _LOG.debug("freed memory is %s", "kept" if kept else "given back")
    return kept
