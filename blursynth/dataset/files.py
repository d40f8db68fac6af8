"""Files that are whole or not there: atomic writes, JSON, locks, and errors of the disk in plain words."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from blursynth.errors import DatasetError

__all__ = ["canonical", "disk_error", "locked", "read_json", "sha256_hex", "sync_folder", "write_atomically"]

PARTIAL = ".partial"  # ending of files that are being written; one that is left over is litter


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def sha256_hex(data: Any) -> str:
    return hashlib.sha256(data).hexdigest()


def disk_error(error: OSError, path: Path) -> DatasetError:
    """An error of the disk as a sentence with a fix."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DatasetError(
            f"{path}: the disk is full (or the quota is used up).",
            why="Finished shards are kept; the shard that was being written was discarded.",
            fix="Make room and run blursynth resume.",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return DatasetError(
            f"{path}: cannot be written ({os.strerror(error.errno)}).",
            fix="Choose a folder that you may write to.",
        )
    return DatasetError(f"{path}: cannot be written ({error.strerror or error}).")


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # some systems cannot open folders; there is nothing to flush then
        return
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems refuse; the file itself has been flushed
    finally:
        os.close(handle)


def write_atomically(path: Path, data: bytes, *, exclusive: bool = False) -> bool:
    """Write a file that is there as a whole or not at all: temporary file, fsync, rename, fsync of the folder.

    Parameters
    ----------
    exclusive
        Leave a file that exists alone and return False.
    """
    partial = path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}{PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
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
    except OSError as error:
        raise disk_error(error, path) from None
    finally:
        partial.unlink(missing_ok=True)
    return True


def read_json(path: Path, what: str) -> Any:
    """A JSON object from a file.

    Raises
    ------
    DatasetError
        It is missing, unreadable, or no JSON object.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DatasetError(f"{path}: {what} is missing.") from None
    except OSError as error:
        raise DatasetError(f"{path}: {what} cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise DatasetError(f"{path}: {what} is damaged, it is no JSON ({error}).") from None
    if not isinstance(value, dict):
        raise DatasetError(f"{path}: {what} is damaged, it is no JSON object.")
    return value


@contextmanager
def locked(out: Path, first: int, last: int) -> Iterator[None]:
    """Hold the shards ``first <= s < last`` of a data set: one writer per shard.

    The lock is the operating system's own (``flock``), so it goes when its owner dies, however it dies. Several
    processes may hold different ranges.

    Raises
    ------
    DatasetError
        Another process holds some of them.
    """
    folder = out / ".locks"
    path = folder / f"{first}-{last}"
    file = _held(out, path)
    try:
        file.seek(0)
        file.truncate()
        file.write(canonical({"pid": os.getpid(), "host": socket.gethostname()}))
        file.flush()
        # Ours is held before the others are looked at, so of two that start together at least one sees the other.
        for other in sorted(folder.iterdir()):
            start, _, end = other.name.partition("-")
            if other == path or not (start.isdigit() and end.isdigit()) or int(start) >= last or int(end) <= first:
                continue
            with other.open("a+b") as theirs:
                if not _try_lock(theirs.fileno()):
                    raise _busy(out, other)
                other.unlink(missing_ok=True)  # its owner died
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def _held(out: Path, path: Path) -> BinaryIO:
    """The lock file, locked."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a+b")
        except OSError as error:
            raise disk_error(error, path) from None
        if not _try_lock(file.fileno()):
            file.close()
            raise _busy(out, path)
        try:
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:
            pass
        file.close()  # its owner removed it between our opening and our locking: what we hold is no longer the lock


def _busy(out: Path, lock: Path) -> DatasetError:
    try:
        owner = json.loads(lock.read_bytes())
        who = f"process {owner['pid']} on {owner['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        who = "another process"
    return DatasetError(
        f"{out}: {who} is writing shards {lock.name.replace('-', ' to below ')} of this data set.",
        why="Two writers of one shard lose samples without a word.",
        fix="Wait for it or stop it; on several machines give each its own range of shards.",
    )


def _try_lock(handle: int) -> bool:
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # On a file system without locks the manifests still make the shards safe.
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN)
    return True
