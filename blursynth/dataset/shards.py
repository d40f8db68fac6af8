"""One shard of an array: a file of zarr's sharding codec, written as a whole and read sample by sample.

Layout (zarr 3, ``sharding_indexed``, index at the end): the chunks one after another, each ``blosc(lz4, bitshuffle)``
(or the plain samples, with the codec ``none``) followed by the crc32c of these bytes; then ``[N, 2]`` little-endian
uint64 of (offset, length), all ones for a missing chunk; then the crc32c of the index. The files are byte-identical to
those that zarr-python writes for the same samples, but take a tenth of the time, and they can be flushed and hashed
before they get their names.
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from blursynth.dataset.cache import CachedObject, ObjectCache
from blursynth.dataset.files import disk_error, read_at, size_of
from blursynth.errors import DatasetError
from blursynth.io.atomic import partial_path, sync_folder
from blursynth.io.object_store import ObjectPath, Place

__all__ = ["Codec", "ShardFile", "ShardReader", "decode_blosc", "decode_chunk", "encode_chunk", "write_shard_file"]

Codec = Literal["lz4", "none"]

_ABSENT = 2**64 - 1
CHUNK_BYTES = 2**31 - 17  # before compression: blosc's own limit
# Blosc's header: version, version of the format, flags, size of an element; then little-endian uint32: size, size of a
# block, size when compressed.
_HEADER_FIELDS = struct.Struct("<4B3I")
_HEADER = _HEADER_FIELDS.size
_FLAGS = 1 << 5 | 0x04  # lz4, bits shuffled
_COPIED = 0x02  # incompressible data are copied
_OPTIONAL_FLAGS = _COPIED | 0x10  # and whether blocks are split by byte
_HIGHEST_RATIO = 255  # of lz4
_MOST_READ = 2**26  # bytes that are copied through one buffer
_READ_ONLY = os.O_RDONLY | getattr(os, "O_BINARY", 0)


def encode_chunk(array: NDArray[Any], codec: Codec = "lz4") -> bytes:
    """One chunk as it is stored: compressed unless ``codec`` is "none", with its checksum."""
    from numcodecs import blosc  # takes a tenth of a second, and what writes no data set does without

    plain = np.ascontiguousarray(array)
    data: Any = _bytes_of(plain) if codec == "none" else blosc.compress(plain, b"lz4", 5, blosc.BITSHUFFLE)
    return b"".join((data, _crc32c(data)))


def _bytes_of(array: NDArray[Any]) -> NDArray[np.uint8]:
    """The memory of a contiguous array."""
    return array.reshape(-1).view(np.uint8)


def _crc32c(data: Any) -> bytes:
    return int(google_crc32c.value(data)).to_bytes(4, "little")


def decode_chunk(data: bytes | NDArray[np.uint8], out: NDArray[Any]) -> bool:
    """Decompress a chunk into ``out``; False if its checksum is wrong or it does not fit.

    A checksum shows that a chunk is unchanged, not that it can be trusted, and blosc believes the header: it would read
    as many bytes as that claims. Every field of the header is therefore checked against the actual data first.
    """
    stored = np.frombuffer(data, np.uint8)
    if len(stored) < _HEADER + 4 or _crc32c(body := stored[:-4]) != stored[-4:].tobytes():
        return False
    _, format_version, flags, typesize, *_ = _HEADER_FIELDS.unpack_from(body.data)
    if (format_version, typesize) != (1, out.itemsize) or flags & ~_OPTIONAL_FLAGS != _FLAGS:
        return False
    return out.nbytes <= _HIGHEST_RATIO * len(body) and decode_blosc(body, out)


def decode_blosc(packed: NDArray[np.uint8], out: NDArray[Any]) -> bool:
    """Decompress what any compressor of blosc wrote into ``out``; False if it is damaged or of another size."""
    from numcodecs import blosc

    if len(packed) < _HEADER:
        return False
    version, _, flags, _, size, block, stated = _HEADER_FIELDS.unpack_from(packed.data)
    if version != 2 or size != out.nbytes or stated != len(packed) or not 0 < block <= size:
        return False
    copied = flags & _COPIED
    if not (stated == size + _HEADER if copied else stated > _HEADER + 4 * -(-size // block)):
        return False
    try:
        blosc.decompress(packed, out)
    except (RuntimeError, ValueError):  # the header is valid but the stream is not
        return False
    return True


def largest_chunk(nbytes: int) -> int:
    """Maximum encoded size of a chunk with this many bytes, whatever its codec."""
    return nbytes + _HEADER + 4


@dataclass(frozen=True)
class ShardFile:
    """A shard that was flushed to disk under a temporary name."""

    path: Path
    partial: Path
    size: int
    sha256: str

    def commit(self) -> None:
        """Give the file its final name."""
        os.replace(self.partial, self.path)
        sync_folder(self.path.parent)

    def discard(self) -> None:
        """Remove it, unless it has its final name."""
        self.partial.unlink(missing_ok=True)


@dataclass(frozen=True)
class ShardObject:
    """A shard in memory, for object storage, which has no temporary names."""

    path: ObjectPath
    parts: tuple[bytes, ...]
    size: int
    sha256: str

    def commit(self) -> None:
        """Write the object."""
        self.path.write(b"".join(self.parts))

    def discard(self) -> None:
        """Nothing: it was written as a whole or not at all."""


def write_shard_file(path: Place, chunks: Sequence[bytes], length: int) -> ShardFile | ShardObject:
    """Write encoded chunks as a flushed but unnamed shard of ``length`` chunks, the last of which may be missing."""
    index = np.full((length, 2), _ABSENT, "<u8")
    sizes = np.array([len(c) for c in chunks], np.uint64)
    index[: len(chunks), 1] = sizes
    index[: len(chunks), 0] = np.cumsum(sizes) - sizes
    tail = index.tobytes()
    tail += _crc32c(tail)
    digest = hashlib.sha256()
    if isinstance(path, ObjectPath):
        for part in (*chunks, tail):
            digest.update(part)
        return ShardObject(path, (*chunks, tail), int(sizes.sum()) + len(tail), digest.hexdigest())
    partial = partial_path(path)
    try:
        with partial.open("wb", buffering=0) as file:
            for part in (*chunks, tail):
                digest.update(part)
                done = file.write(part)
                while done < len(part):  # a raw write may be short, usually just before the disk is full
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
    """Reads chunks of one shard file. The index is read once; the file is opened for each call.

    Nothing stays open, so that it can be sent to forked and spawned processes and used from several threads.
    """

    def __init__(
        self,
        path: Place,
        length: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        codec: Codec = "lz4",
        cache: ObjectCache | None = None,
    ) -> None:
        self.path, self.shape, self.dtype, self.codec = path, shape, dtype, codec
        self._object: ObjectPath | CachedObject | None = None
        size = 16 * length + 4
        try:
            if isinstance(path, ObjectPath):
                self._object = path if cache is None else CachedObject(path, cache)
                total = self._object.size()
                tail = self._object.read_ranges([(total - size, size)])[0] if total >= size else b""
                if isinstance(self._object, CachedObject) and tail and _crc32c(tail[:-4]) != tail[-4:]:
                    self._object.forget(total - size, size)  # the fault may be that of the local disk
                    tail = self._object.read_ranges([(total - size, size)])[0]
            else:
                total = size_of(path)
                tail = read_at(path, total - size, size) if total >= size else b""
        except FileNotFoundError:
            raise DatasetError(
                f"{path}: the shard is missing.", fix="Make it again with blursynth resume, or restore it."
            ) from None
        except OSError as error:
            raise error if isinstance(error, DatasetError) else _unreadable(path, error) from None
        if len(tail) != size or _crc32c(tail[:-4]) != tail[-4:]:
            raise DatasetError(
                f"{path}: the shard's index is damaged or cut off.",
                fix="Run blursynth verify; it names the shards to make again with blursynth resume --redo.",
            )
        self._index = np.frombuffer(tail, "<u8", count=2 * length).reshape(length, 2)
        self._end = total - size
        self._nbytes = math.prod(shape) * dtype.itemsize

    def _place(self, position: int) -> tuple[int, int]:
        """Offset and length of a chunk, if they are possible for this shape."""
        offset, size = self._index[position].tolist()
        if offset == _ABSENT or offset + size > self._end:
            raise self._damaged(position, "is missing")
        if self.codec == "none" and size != self._nbytes + 4:
            raise self._damaged(position, f"is damaged ({size} bytes cannot be {self._nbytes} bytes and their crc32c)")
        if not self._nbytes <= _HIGHEST_RATIO * size or size > largest_chunk(self._nbytes):
            raise self._damaged(position, f"is damaged ({size} bytes cannot be {self._nbytes} bytes compressed)")
        return offset, size

    def require(self, position: int) -> None:
        """Refuse a chunk that is absent or too short for its shape before memory is allocated for it."""
        self._place(position)

    def read(self, positions: Sequence[int]) -> NDArray[Any]:
        """The chunks at ``positions`` as one array ``[len(positions), *shape]``."""
        for position in positions:
            self.require(position)
        out = np.empty((len(positions), *self.shape), self.dtype)
        self.read_into(positions, out, range(len(positions)))
        return out

    def read_into(self, positions: Sequence[int], out: NDArray[Any], rows: Sequence[int]) -> None:
        """Decode the chunk ``positions[k]`` into ``out[rows[k]]``, which must be contiguous."""
        if not isinstance(self.path, Path):
            self._fetch_into(positions, out, rows)
            return
        try:
            handle = os.open(self.path, _READ_ONLY)
        except OSError as error:
            raise _unreadable(self.path, error) from None
        # One for all chunks, since fresh memory costs as much as reading into it.
        buffer = np.empty(0 if self.codec == "none" else largest_chunk(self._nbytes), np.uint8)
        try:
            for row, position in zip(rows, positions, strict=True):
                offset, size = self._place(position)
                if self.codec == "none":
                    sound = _read_plain(handle, offset, out[row])
                else:
                    part = buffer[:size]
                    sound = _read_at(handle, offset, [part.data]) and decode_chunk(part, out[row])
                if not sound:
                    raise self._wrong(position)
        finally:
            os.close(handle)

    def _fetch_into(self, positions: Sequence[int], out: NDArray[Any], rows: Sequence[int]) -> None:
        """:meth:`read_into` from object storage: all chunks at a time."""
        stored = self._object
        if stored is None:
            raise AssertionError("a shard in object storage has an object")
        places = [self._place(position) for position in positions]
        try:
            for place, row, position, data in zip(places, rows, positions, stored.read_ranges(places), strict=True):
                if self._decoded(data, out[row]):
                    continue
                if not isinstance(stored, CachedObject):
                    raise self._wrong(position)
                stored.forget(*place)  # the fault may be that of the local disk
                if not self._decoded(stored.read_ranges([place])[0], out[row]):
                    raise self._wrong(position)
        except OSError as error:
            raise error if isinstance(error, DatasetError) else _unreadable(self.path, error) from None

    def _decoded(self, data: bytes, out: NDArray[Any]) -> bool:
        """Decode a chunk; False if it is damaged."""
        if self.codec != "none":
            return decode_chunk(data, out)
        if len(data) != out.nbytes + 4 or _crc32c(body := np.frombuffer(data, np.uint8)[:-4]) != data[-4:]:
            return False
        _bytes_of(out)[:] = body
        return True

    def _wrong(self, position: int) -> DatasetError:
        stream = "" if self.codec == "none" else " or its compressed stream"
        return self._damaged(position, f"is damaged (its crc32c{stream} is wrong)")

    def _damaged(self, position: int, what: str) -> DatasetError:
        return DatasetError(
            f"{self.path}: chunk {position} of the shard {what}.",
            fix="Run blursynth verify --deep; it names the shards to make again with blursynth resume --redo.",
        )


def _unreadable(path: Place, error: OSError) -> DatasetError:
    return DatasetError(f"{path}: the shard cannot be read ({error.strerror}).")


def _read_plain(handle: int, offset: int, out: NDArray[Any]) -> bool:
    """Read an uncompressed chunk directly to where it is wanted; False if its checksum, which follows it, is wrong.

    Reading, unlike mapping the file into memory, makes a file that another program cuts off an error and no signal, and
    keeps nothing open. What is checked is what was read, so that a file that changes meanwhile cannot slip through.
    """
    plain, crc = _bytes_of(out), np.empty(4, np.uint8)
    return _read_at(handle, offset, [plain.data, crc.data]) and _crc32c(plain) == crc.tobytes()


def _read_at(handle: int, offset: int, parts: Sequence[memoryview]) -> bool:
    """Fill memory of bytes, one after another, from a file; False if it ends before."""
    total = sum(map(len, parts))
    if hasattr(os, "preadv") and os.preadv(handle, parts, offset) == total:
        return True
    for part in parts:  # where there is no preadv, and for more than the 2 GiB that it reads at a time
        done = 0
        while done < len(part):
            os.lseek(handle, offset, os.SEEK_SET)
            data = os.read(handle, min(len(part) - done, _MOST_READ))
            if not data:
                return False
            part[done : done + len(data)] = data
            done += len(data)
            offset += len(data)
    return True
