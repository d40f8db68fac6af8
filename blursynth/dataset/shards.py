"""One shard of an array: a file of zarr's sharding codec, written as a whole and read sample by sample.

Layout (zarr 3, ``sharding_indexed``, index at the end): the chunks one after another, each ``blosc(lz4, bitshuffle)``
followed by the crc32c of its bytes; then ``[N, 2]`` little-endian uint64 of (offset, length), all ones for a chunk that
is not there; then the crc32c of the index. What is written here equals, byte for byte, what zarr-python writes for the
same samples, in a tenth of the time, and can be flushed and hashed before it gets its name.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from blursynth.dataset.files import PARTIAL, disk_error, sync_folder
from blursynth.errors import DatasetError

__all__ = ["ShardFile", "ShardReader", "decode_chunk", "encode_chunk", "write_shard_file"]

_ABSENT = np.uint64(2**64 - 1)


def encode_chunk(array: NDArray[Any]) -> bytes:
    """Compress one chunk and append its checksum."""
    plain = np.ascontiguousarray(array)
    data: bytes = blosc.compress(plain, b"lz4", 5, blosc.BITSHUFFLE)
    return data + int(google_crc32c.value(data)).to_bytes(4, "little")


def decode_chunk(data: bytes, out: NDArray[Any]) -> bool:
    """Decompress a chunk into ``out``; False if its checksum is wrong or it does not fit."""
    if len(data) < 20 or google_crc32c.value(data[:-4]) != int.from_bytes(data[-4:], "little"):
        return False
    body = data[:-4]
    if int.from_bytes(body[4:8], "little") != out.nbytes:  # size field of blosc's header
        return False
    blosc.decompress(body, out)
    return True


@dataclass(frozen=True)
class ShardFile:
    """A shard that lies flushed on the disk under a temporary name."""

    path: Path
    partial: Path
    size: int
    sha256: str

    def commit(self) -> None:
        """Give it its name."""
        os.replace(self.partial, self.path)
        sync_folder(self.path.parent)


def write_shard_file(path: Path, chunks: Sequence[bytes], length: int) -> ShardFile:
    """Write encoded chunks as a shard of ``length`` chunks, of which the last may be absent; flushed, not yet named.

    Raises
    ------
    DatasetError
        The disk is full or the folder cannot be written; the temporary file is removed.
    """
    index = np.full((length, 2), _ABSENT, "<u8")
    sizes = np.array([len(c) for c in chunks], np.uint64)
    index[: len(chunks), 1] = sizes
    index[: len(chunks), 0] = np.cumsum(sizes) - sizes
    tail = index.tobytes()
    tail += int(google_crc32c.value(tail)).to_bytes(4, "little")
    digest = hashlib.sha256()
    partial = path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}{PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb", buffering=0) as file:
            for part in (*chunks, tail):
                digest.update(part)
                done = file.write(part)
                while done < len(part):  # a raw write may be short, most often just before the disk is full
                    done += file.write(part[done:])
            os.fsync(file.fileno())
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise disk_error(error, path) from None
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return ShardFile(path, partial, int(sizes.sum()) + len(tail), digest.hexdigest())


class ShardReader:
    """Reads chunks of one shard file; the index is read once, the file is opened for each call.

    Nothing stays open, so that it may cross into forked and spawned processes and be used from several threads.

    Raises
    ------
    DatasetError
        The file is missing, cut off, or its index is damaged.
    """

    def __init__(self, path: Path, length: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.path, self.shape, self.dtype = path, shape, dtype
        size = 16 * length + 4
        try:
            with path.open("rb") as file:
                total = file.seek(0, os.SEEK_END)
                file.seek(max(0, total - size))
                tail = file.read()
        except FileNotFoundError:
            raise DatasetError(
                f"{path}: the shard is missing.", fix="Make it again with blursynth resume, or restore it."
            ) from None
        except OSError as error:
            raise DatasetError(f"{path}: the shard cannot be read ({error.strerror}).") from None
        if len(tail) != size or google_crc32c.value(tail[:-4]) != int.from_bytes(tail[-4:], "little"):
            raise DatasetError(
                f"{path}: the shard's index is damaged or cut off.",
                fix="Run blursynth verify; it names the shards to make again with blursynth resume --redo.",
            )
        self._index = np.frombuffer(tail, "<u8", count=2 * length).reshape(length, 2)
        self._end = total - size

    def read(self, positions: Sequence[int]) -> NDArray[Any]:
        """The chunks at ``positions`` as one array ``[len(positions), *shape]``."""
        out = np.empty((len(positions), *self.shape), self.dtype)
        self.read_into(positions, out, range(len(positions)))
        return out

    def read_into(self, positions: Sequence[int], out: NDArray[Any], rows: Sequence[int]) -> None:
        """Decode the chunk ``positions[k]`` into ``out[rows[k]]``.

        Raises
        ------
        DatasetError
            A chunk is absent or damaged; the message says which.
        """
        try:
            handle = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise DatasetError(f"{self.path}: the shard cannot be read ({error.strerror}).") from None
        try:
            for row, position in zip(rows, positions, strict=True):
                offset, size = (int(v) for v in self._index[position])
                if offset == int(_ABSENT) or offset + size > self._end:
                    raise self._damaged(position, "is not there")
                if not decode_chunk(_read_at(handle, offset, size), out[row]):
                    raise self._damaged(position, "is damaged (its crc32c is wrong)")
        finally:
            os.close(handle)

    def _damaged(self, position: int, what: str) -> DatasetError:
        return DatasetError(
            f"{self.path}: chunk {position} of the shard {what}.",
            fix="Run blursynth verify --deep; it names the shards to make again with blursynth resume --redo.",
        )


def _read_at(handle: int, offset: int, size: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(handle, size, offset)
    os.lseek(handle, offset, os.SEEK_SET)
    return os.read(handle, size)
