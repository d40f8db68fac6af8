"""Files that are either complete or absent, whatever stops their writer."""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["PARTIAL", "partial_path", "sync_folder", "write_atomically", "writer_is_gone"]

PARTIAL = ".partial"
"""Ending of files that are being written; one that is left over is litter."""

_OLD_S = 3600.0  # age from which a file that is being written is taken for left over
_WRITING: set[Path] = set()  # what this process is writing
# What a flush of a folder says where the file system has none; everything else is a fault of the disk.
_NO_FLUSH = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut, where the system can.

    Raises
    ------
    OSError
        The disk failed. That a file system cannot flush folders is none: each file itself has been flushed.
    """
    if sys.platform == "win32":
        return  # it cannot open folders
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise
    finally:
        os.close(handle)


def partial_path(path: Path) -> Path:
    """A name for a file while it is written, of this process and this write alone."""
    return path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}.{os.urandom(4).hex()}{PARTIAL}")


def writer_is_gone(partial: Path) -> bool:
    """Whether no process writes this file any more: its writer has ended or, if that is unknown, it is an hour old.

    For files that no lock protects; one that is left over is swept sooner or later, one that is in use never.
    """
    found = re.search(r"\.(\d+)\.[0-9a-f]{8}$", partial.name.removesuffix(PARTIAL))
    if found is not None and sys.platform != "win32" and partial.name[: found.start()].endswith(socket.gethostname()):
        pid = int(found[1])
        if pid == os.getpid():  # or of a process of this number in the same container before it was started again
            return partial not in _WRITING
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):  # it belongs to another user, and runs
            pass
    try:
        return time.time() - partial.stat().st_mtime > _OLD_S
    except OSError:
        return False


def write_atomically(path: Path, data: bytes, *, exclusive: bool = False) -> bool:
    """Write a file that is either complete or absent: temporary file, fsync, rename, fsync of the folder.

    Parameters
    ----------
    path
        The file; its folder must exist.
    data
        The content.
    exclusive
        Leave an existing file alone and return False.

    Raises
    ------
    OSError
        The disk is full, or it cannot be written.
    """
    partial = partial_path(path)
    _WRITING.add(partial)
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if exclusive:
            try:
                os.link(partial, path)  # fails when it exists, and appears with its whole content
            except FileExistsError:
                return False
            except OSError:  # a file system without links: the small window between the two lines is all that is left
                if path.exists():
                    return False
                os.replace(partial, path)
        else:
            os.replace(partial, path)
        sync_folder(path.parent)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        _WRITING.discard(partial)
    return True
