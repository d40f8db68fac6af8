"""Keeps the memory of large images between layers instead of returning it to the system and requesting it again."""

from __future__ import annotations

import ctypes
import logging
import sys

__all__ = ["keep_freed_memory"]

_LOG = logging.getLogger(__name__)

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # parameters of glibc's mallopt


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory. Return whether it did; outside Linux with glibc there is no need.

    By default, blocks of more than 32 MiB (one feature map of a large image) are returned to the system when they are
    freed, and the next layer receives new pages that the kernel must clear. This takes nearly half of the time of a
    small network on two cores. This is for programs, not for a library: the setting applies to the whole process, which
    keeps its peak memory until it ends.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    kept = bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1))
    _LOG.debug("freed memory is %s", "kept" if kept else "returned")
    return kept
