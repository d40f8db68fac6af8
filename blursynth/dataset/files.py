"""Files that are complete or absent: atomic writes, JSON with its own hash, locks, disk errors in plain words.

A data set may come from an untrusted source. Therefore only regular files of bounded size are read, their JSON must
have the expected types, and nothing is written through links that lead out of the folder.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TypeVar, cast

from pydantic import Field, TypeAdapter, ValidationError

from blursynth.errors import DatasetError
from blursynth.io import atomic
from blursynth.io.object_store import ObjectPath, Place
from blursynth.io.pictures import file_sha256
from blursynth.records.nesting import is_too_deep

__all__ = [
    "Sha256",
    "canonical",
    "content_sha256",
    "disk_error",
    "files_below",
    "is_there",
    "locked",
    "parsed",
    "read_at",
    "read_bounded",
    "read_json",
    "read_sealed",
    "refuse_links",
    "require_regular",
    "sealed",
    "sha256_hex",
    "size_of",
    "sweep_locks",
    "typed_json",
    "write_atomically",
    "write_unless_same",
]

_READ_BYTES = 2**23  # at a time, of what is only hashed
JSON_BYTES = 2**28  # of one file at most; dataset.json of a million sources has this size

_T = TypeVar("_T")
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces, so that equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def sha256_hex(data: Any) -> str:
    return hashlib.sha256(data).hexdigest()


def disk_error(error: OSError, path: Place) -> DatasetError:
    """A disk error as a sentence with a fix; one of ours as it is."""
    if isinstance(error, DatasetError):
        return error
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DatasetError(
            f"{path}: the disk is full (or the quota is exceeded).",
            why="Finished shards are kept; the shard that was being written was discarded.",
            fix="Free some space and run blursynth resume.",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return DatasetError(
            f"{path}: cannot be written ({os.strerror(error.errno)}).",
            fix="Choose a folder that you can write to.",
        )
    return DatasetError(f"{path}: cannot be written ({error.strerror or error}).")


def write_atomically(path: Place, data: bytes, *, exclusive: bool = False) -> bool:
    """:func:`blursynth.io.atomic.write_atomically`, with disk errors raised as DatasetError; or an object.

    The folder must exist: the caller decides whether it may be created (see :mod:`blursynth.dataset.folder`).
    """
    try:
        if isinstance(path, ObjectPath):
            if exclusive:
                return path.create(data)
            path.write(data)
            return True
        return atomic.write_atomically(path, data, exclusive=exclusive)
    except OSError as error:
        raise disk_error(error, path) from None


def write_unless_same(path: Place, data: bytes) -> None:
    """Write a file atomically if it is missing or has other content."""
    try:
        if read_bounded(path, len(data)) == data:
            return
    except OSError:  # missing, unreadable or larger
        pass
    write_atomically(path, data)


def require_regular(path: Path) -> os.stat_result:
    """The status of a file that is safe to read; a pipe could block forever, and a device might never end."""
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise DatasetError(f"{path}: is not a regular file.", fix="Restore it from a backup.")
    return state


def size_of(path: Place) -> int:
    """The size in bytes of an object, or of a file that is safe to read; an OSError says that there is none."""
    return path.size() if isinstance(path, ObjectPath) else require_regular(path).st_size


def read_bounded(path: Place, most: int) -> bytes:
    """The content of a regular file of at most that many bytes; an OSError says that it cannot be read."""
    if isinstance(path, ObjectPath):
        if (data := path.read_all(most)) is None:
            raise _too_large(path, path.size(), most)
        return data
    size = size_of(path)
    if size > most:
        raise _too_large(path, size, most)
    with path.open("rb") as file:
        return file.read(size)


def read_at(path: Place, offset: int, size: int) -> bytes:
    """Some bytes of a file, fewer if it ends before; an OSError says that it cannot be read."""
    if isinstance(path, ObjectPath):
        return path.read(offset, size)
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        return file.read(size)


def content_sha256(path: Place) -> str:
    """SHA-256 of the bytes of a regular file or an object; an OSError says that it cannot be read."""
    if not isinstance(path, ObjectPath):
        return file_sha256(path)
    digest, size = hashlib.sha256(), path.size()
    for offset in range(0, size, _READ_BYTES):
        digest.update(path.read(offset, min(_READ_BYTES, size - offset)))
    return digest.hexdigest()


def files_below(out: Place) -> Iterator[str]:
    """Names of all files below a folder, relative to it, but for locks."""
    if isinstance(out, ObjectPath):
        yield from sorted(name for name, _ in out.below())
        return
    for parent, names, files in os.walk(out):
        names[:] = sorted(name for name in names if Path(parent) != out or name != ".locks")
        yield from (Path(parent, file).relative_to(out).as_posix() for file in sorted(files))


def is_there(path: Place) -> bool:
    """Whether there is something of this name: a file, a folder, even a link that leads nowhere."""
    return path.exists() if isinstance(path, ObjectPath) else os.path.lexists(path)


def _too_large(path: Place, size: int, most: int) -> DatasetError:
    return DatasetError(
        f"{path}: has {size:,} bytes, but such a file of a data set has at most {most:,}.",
        fix="Restore it from a backup.",
    )


def read_json(path: Place, what: str, most: int = JSON_BYTES) -> Any:
    """A JSON object from a file."""
    value, _ = parsed(path, what, most)
    return value


def parsed(path: Place, what: str, most: int = JSON_BYTES) -> tuple[dict[str, Any], bytes]:
    """A JSON object from a file, and its text."""
    try:
        data = read_bounded(path, most)
        value = json.loads(data)
    except FileNotFoundError:
        raise DatasetError(f"{path}: {what} is missing.") from None
    except DatasetError:
        raise
    except OSError as error:
        raise DatasetError(f"{path}: {what} cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else f"it is not JSON ({error})"
        raise DatasetError(f"{path}: {what} is damaged: {reason}.") from None
    if not isinstance(value, dict):
        raise DatasetError(f"{path}: {what} is damaged: it is not a JSON object.")
    if is_too_deep(value):  # rewriting it would indent every value by its depth
        raise DatasetError(f"{path}: {what} is damaged: it is nested too deeply.")
    return value, data


def sealed(document: Mapping[str, Any]) -> bytes:
    """The text of a JSON file that contains its own hash, so that no change to it goes unnoticed.

    >>> sealed({"b": 1})[:10]
    b'{\\n "b": 1,'
    """
    plain = dict(document)
    text = json.dumps(
        {**plain, "sha256": sha256_hex(canonical(plain))}, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False
    )
    return (text + "\n").encode()


def read_sealed(path: Place, what: str, kind: type[_T], most: int = JSON_BYTES) -> _T:
    """Read a file written by :func:`sealed` as a dataclass; changes and values of other types are errors."""
    value, data = parsed(path, what, most)
    try:
        typed = typed_json(kind, data)  # first, since values of other types may become huge when rewritten
    except ValueError as error:
        raise DatasetError(f"{path}: {what} is damaged ({error}).") from None
    seal = value.pop("sha256", None)
    try:
        same = sealed(value) == data  # the hash matches the content, and the text is what would be written
    except (ValueError, RecursionError):  # NaN or lone surrogates: not written by this library
        same = False
    if not same:
        why = "" if seal is not None else "It does not contain its sha256."
        raise DatasetError(f"{path}: {what} was changed after it was written (its sha256 differs).", why=why)
    return typed


def typed_json(kind: type[_T], data: bytes) -> _T:
    """Parse JSON as a value of a type, without any conversion; a ValueError says where it is of another type."""
    try:
        value: _T = _adapter(cast(Any, kind)).validate_json(data, strict=True)
        return value
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None


@lru_cache(maxsize=16)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def refuse_links(out: Place) -> None:
    """Refuse to write into a folder with links that lead out of it, since that would overwrite files elsewhere."""
    for path in links_out(out):
        raise DatasetError(
            f"{path}: is a link out of the data set (to {os.path.realpath(path)}).",
            why="Writing through it would change files that are not part of the data set.",
            fix="Copy the data set including the targets of its links (cp -rL), or remove the link.",
        )


def links_out(out: Place) -> Iterator[Path]:
    """Links inside a folder that lead out of it, at any depth; their targets are not inspected."""
    if isinstance(out, ObjectPath):
        return  # there are none
    root = os.path.realpath(out)
    for parent, folders, files in os.walk(out):
        for name in sorted((*folders, *files)):
            path = Path(parent, name)
            if path.is_symlink() and os.path.commonpath([root, os.path.realpath(path)]) != root:
                yield path


@contextmanager
def locked(out: Place, first: int, last: int) -> Iterator[None]:
    """Lock the shards ``first <= s < last`` of a data set: one writer per shard.

    Object storage has no locks. There, of several writers of a shard one is first with its manifest, and the others
    compare theirs with it.

    The lock belongs to the operating system (``flock``), so it is released when its owner dies for any reason. Several
    processes may hold different ranges.
    """
    if isinstance(out, ObjectPath):
        yield
        return
    folder = out / ".locks"
    path = folder / f"{first}-{last}"
    file = _held(out, path)
    try:
        file.seek(0)
        file.truncate()
        file.write(canonical({"pid": os.getpid(), "host": socket.gethostname()}))
        file.flush()
        # Our lock is held before others are checked, so of two that start together at least one sees the other.
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
        with suppress(OSError):  # if it cannot be removed, the next run does it; in another folder it is not ours
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                path.unlink()
        file.close()
        with suppress(OSError):  # others hold locks in it
            folder.rmdir()


def sweep_locks(out: Path) -> int:
    """Remove locks whose owners are gone; the number of files."""
    folder, swept = out / ".locks", 0
    with suppress(OSError):  # none, or not writable
        for path in sorted(folder.iterdir()):
            with path.open("a+b") as file:
                if _try_lock(file.fileno()):
                    path.unlink(missing_ok=True)
                    swept += 1
        folder.rmdir()
    return swept


def _held(out: Path, path: Path) -> BinaryIO:
    """The lock file, locked."""
    while True:
        try:
            path.parent.mkdir(exist_ok=True)
            file = path.open("a+b")
        except FileNotFoundError as error:
            if out.is_dir():
                continue  # the last other process removed the folder of locks between our two lines
            raise disk_error(error, path) from None
        except OSError as error:
            raise disk_error(error, path) from None
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode) or about.st_nlink > 1:  # not created by us: never write to it
            file.close()
            path.unlink(missing_ok=True)
            continue
        if not _try_lock(file.fileno()):
            file.close()
            raise _busy(out, path)
        try:
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:
            pass
        file.close()  # its owner removed it after we opened it: what we hold is no longer the lock


def _busy(out: Path, lock: Path) -> DatasetError:
    try:
        owner = json.loads(lock.read_bytes())
        who = f"process {owner['pid']} on {owner['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        who = "another process"
    return DatasetError(
        f"{out}: {who} is writing shards {lock.name.replace('-', ' to below ')} of this data set.",
        why="Two writers of one shard would silently lose samples.",
        fix="Wait for it or stop it; with several machines, give each its own range of shards.",
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
