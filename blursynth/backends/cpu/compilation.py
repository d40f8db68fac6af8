"""How the kernels of this folder are compiled, and where the compiled code is kept.

numba keeps compiled functions next to their source or in the user's cache, and refuses to compile if it can write to
neither (read-only installations, containers without a home). The kernels are then kept in a private folder among the
temporary files, or not at all, but they always work.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import config as numba_config
from numba.core.caching import FunctionCache, NullCache

__all__ = ["compiled"]

config: Any = numba_config  # its attributes are set at run time
_log = logging.getLogger(__name__)


def compiled(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Decorate a kernel: compiled on its first call, without the interpreter's lock, divisions as numpy has them."""
    if function is None:
        return lambda function: compiled(function, **options)
    kernel = numba.njit(nogil=True, error_model="numpy", **options)(function)
    if hasattr(kernel, "enable_caching"):  # not with NUMBA_DISABLE_JIT=1, which leaves functions as they are
        kernel._cache = _cache_of(function)  # what its enable_caching() sets, with caches that tolerate errors
    return kernel


def _cache_of(function: Callable[..., Any]) -> FunctionCache | NullCache:
    folder = _folder()
    if folder is None:
        return _NoCache()
    before = config.CACHE_DIR
    config.CACHE_DIR = folder or before  # for our kernels only: other functions stay where they were
    try:
        return _Cache(function)
    except RuntimeError:  # no locator: the folder has become read-only in the meantime
        return _NoCache()
    finally:
        config.CACHE_DIR = before


@cache
def _folder() -> str | None:
    """The folder of compiled kernels: empty if numba finds one itself, None if there is none."""
    if not config.CACHE_DIR and not _writable(Path(__file__).parent / "__pycache__"):
        # Without a home and an entry among the users "~" remains "~", a folder of this name in the current one.
        if not os.path.isabs(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~")):
            return _private_folder()
        try:
            FunctionCache(_folder.__wrapped__)
        except RuntimeError:
            return _private_folder()
    return ""


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _private_folder() -> str | None:
    """A folder among the temporary files that no other user can write to; None if there is none.

    numba unpickles the files of its cache, so whoever can write there, or replace the folder by one of their own, can
    run code as this user.
    """
    if not hasattr(os, "geteuid"):
        return None
    user = os.geteuid()
    try:
        around = Path(tempfile.gettempdir()).resolve()
        folder = around / f"blursynth-{user}"
        for parent in (around, *around.parents):
            state = parent.stat()
            others_write = state.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not state.st_mode & stat.S_ISVTX
            if others_write or state.st_uid not in (0, user):
                return None
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        state = folder.lstat()
    except OSError:
        return None
    private = stat.S_ISDIR(state.st_mode) and state.st_uid == user and not state.st_mode & 0o077
    return str(folder) if private and _writable(folder) else None


class _Cache(FunctionCache):
    """A cache whose files may be missing, truncated or not writable: then the kernel is compiled again."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # whatever unpickling a damaged file raises
            _log.info("%s: cannot be used (%s: %s)", self.cache_path, type(error).__name__, error)
            with suppress(OSError):
                self.flush()  # or the kernel could not be saved with the damaged index either
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        if _folder():
            _say(f"They are kept in {_folder()}, which may not last.")
        try:
            super().save_overload(sig, data)
        except OSError as error:
            self.disable()
            _say(f"{self.cache_path} cannot be written ({error.strerror or error}).")


class _NoCache(NullCache):
    """No cache, and a warning about it on first compiling."""

    def save_overload(self, sig: Any, data: Any) -> None:
        _say("Each process compiles them again, which takes 10 to 20 seconds for each kind of blur.")


def _say(what: str) -> None:
    if multiprocessing.parent_process() is None:  # workers need not repeat it
        _say_once(what)


@cache
def _say_once(what: str) -> None:
    _log.warning(
        "There is no good place to keep compiled kernels. %s Set NUMBA_CACHE_DIR to a folder that only you may write "
        "to and that lasts (in a container: a volume).",
        what,
    )
