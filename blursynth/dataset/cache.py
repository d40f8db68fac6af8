"""Blocks of objects on the local disk: what was read from object storage once is not fetched again."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from blursynth.dataset.files import sha256_hex
from blursynth.errors import DatasetError, InvalidValueError
from blursynth.io.atomic import PARTIAL, partial_path, writer_is_gone
from blursynth.io.folders import expanded
from blursynth.io.object_store import ObjectPath

__all__ = ["CachedObject", "ObjectCache"]

_log = logging.getLogger(__name__)
_KEPT = 0.9  # share of the limit that is kept when it is exceeded


@dataclass(frozen=True)
class ObjectCache:
    """A folder of blocks of objects. Processes may share it, and any file in it may be deleted at any time.

    A block is complete or absent, and every sample has a checksum, so that neither a killed process nor a damaged disk
    gives wrong pixels: what does not fit is fetched again. Where the folder exceeds its limit, blocks that were read
    longest ago are deleted.

    Parameters
    ----------
    folder
        Where the blocks are; made if it does not exist.
    size_bytes
        Most bytes in the folder; each process that writes may exceed it by one block for a moment.
    block_bytes
        Size of a block: what is fetched at a time. Large blocks suit training in shard order
        (:class:`~blursynth.dataset.order.WindowOrder`), which reads all of a shard; None for whole shards.

    Raises
    ------
    DatasetError
        The folder cannot be written.

    Examples
    --------
    ``bs.open_dataset("s3://bucket/pairs", cache=bs.ObjectCache("~/.cache/pairs", size_bytes=50 * 10**9))``
    """

    folder: str | Path
    size_bytes: int = 20 * 10**9
    block_bytes: int | None = 4 << 20
    _used: list[int] = field(default_factory=list, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name, value in (("size_bytes", self.size_bytes), ("block_bytes", self.block_bytes)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 2**16):
                raise InvalidValueError(
                    f"{name} must be an integer of at least 65,536, got {value!r}.", field=name, value=value
                )
        folder = expanded(self.folder)
        object.__setattr__(self, "folder", folder)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise DatasetError(
                f"{folder}: cannot be used as a cache ({error.strerror}).", fix="Choose a folder that you can write to."
            ) from None

    def __reduce__(self) -> tuple[object, ...]:
        return ObjectCache, (self.folder, self.size_bytes, self.block_bytes)

    def path(self, key: str, block: int) -> Path:
        """The file of a block."""
        return Path(self.folder, key[:2], f"{key}-{block}")

    def keep(self, path: Path, data: bytes) -> None:
        """Write a block, and delete others if there is no room. A disk that is full costs time, not pixels."""
        partial = partial_path(path)
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            partial.write_bytes(data)
            os.replace(partial, path)
        except OSError as error:
            _log.warning("%s: a block cannot be kept (%s)", self.folder, error.strerror or error)
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                self._shrink()
            return
        if not self._used:
            self._used.append(sum(size for _, size, _ in self._files()))
        else:
            self._used[0] += len(data)
        if self._used[0] > self.size_bytes:
            self._shrink()

    def _shrink(self) -> None:
        """Delete the blocks that were read longest ago."""
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if total <= _KEPT * self.size_bytes:
                break
            with suppress(OSError):  # another process was faster
                path.unlink()
            total -= size
        self._used[:] = [total]

    def _files(self) -> list[tuple[float, int, Path]]:
        """When each block was read last, its size, its path; what dead writers left is removed."""
        found = []
        for folder in Path(self.folder).iterdir():
            if len(folder.name) != 2 or not folder.is_dir():
                continue
            with suppress(OSError):
                for entry in os.scandir(folder):
                    with suppress(OSError):
                        path = Path(entry.path)
                        if entry.name.endswith(PARTIAL) and writer_is_gone(path):
                            path.unlink()
                            continue
                        state = entry.stat(follow_symlinks=False)
                        found.append((state.st_mtime, state.st_size, path))
        return found


class CachedObject:
    """An object that is read block by block through a cache."""

    def __init__(self, path: ObjectPath, cache: ObjectCache) -> None:
        self.path, self.cache = path, cache
        self._size, version = path.state()
        self._block = cache.block_bytes or max(1, self._size)
        self._key = sha256_hex(f"{path}\0{version}\0{self._size}\0{self._block}".encode())[:40]

    def size(self) -> int:
        """Size in bytes."""
        return self._size

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes of each ``(offset, length)``; blocks that are not there are fetched."""
        needed = {
            block
            for offset, length in ranges
            for block in range(offset // self._block, -(-(offset + length) // self._block))
        }
        fetched = self._fetch([block for block in sorted(needed) if not self._is_there(block)])
        return [self._part(offset, length, fetched) for offset, length in ranges]

    def forget(self, offset: int, length: int) -> None:
        """Delete the blocks that hold some bytes, which turned out to be damaged."""
        for block in range(offset // self._block, -(-(offset + length) // self._block)):
            with suppress(OSError):
                self.cache.path(self._key, block).unlink(missing_ok=True)

    def _length(self, block: int) -> int:
        return min(self._block, self._size - block * self._block)

    def _is_there(self, block: int) -> bool:
        path = self.cache.path(self._key, block)
        try:
            if path.stat().st_size != self._length(block):
                return False
            os.utime(path)  # read last now
        except OSError:
            return False
        return True

    def _fetch(self, blocks: Sequence[int]) -> dict[int, bytes]:
        """Blocks from the store, which are kept."""
        if not blocks:
            return {}
        data = self.path.read_ranges([(block * self._block, self._length(block)) for block in blocks])
        for block, part in zip(blocks, data, strict=True):
            self.cache.keep(self.cache.path(self._key, block), part)
        return dict(zip(blocks, data, strict=True))

    def _part(self, offset: int, length: int, fetched: dict[int, bytes]) -> bytes:
        parts, end = [], offset + length
        while offset < end:
            block, within = divmod(offset, self._block)
            count = min(end - offset, self._block - within)
            if block not in fetched:
                try:
                    with self.cache.path(self._key, block).open("rb", buffering=0) as file:
                        file.seek(within)
                        part = file.read(count)
                    if len(part) != count:
                        raise OSError(errno.EIO, "cut off")
                    parts.append(part)
                    offset += count
                    continue
                except OSError:  # deleted meanwhile
                    fetched |= self._fetch([block])
            parts.append(fetched[block][within : within + count])
            offset += count
        return parts[0] if len(parts) == 1 else b"".join(parts)
