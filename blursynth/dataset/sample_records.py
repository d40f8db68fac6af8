"""``draws/<shard>.jsonl``, one record per line, and ``draws/<shard>.index``: where each line lies, and its crc32c.

With the index, reading a record is as quick as reading a chunk, and a changed or moved line is detected. Layout, like
the index of zarr's shards: ``[N, 3]`` little-endian uint64 of (offset, length, crc32c), then the crc32c of these bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import google_crc32c
import numpy as np
from pydantic import ConfigDict, Field

from blursynth.dataset.files import Sha256, read_at, read_bounded, size_of, typed_json
from blursynth.errors import DatasetError
from blursynth.io.object_store import Place

__all__ = ["RECORD_BYTES", "RecordReader", "encode_index", "index_path", "lines_path"]

RECORD_BYTES = 2**24  # of one record; most have a few thousand
_READ_BYTES = 2**24  # at a time, of all records of a shard

_FIX = "Run blursynth verify; it names the shards to make again with blursynth resume --redo."


@dataclass(frozen=True)
class _Window:
    top: Annotated[int, Field(ge=0)]
    left: Annotated[int, Field(ge=0)]
    size: Annotated[int, Field(ge=1)]
    reach: Annotated[int, Field(ge=0)] | None


@dataclass(frozen=True)
class _Record:
    """The required fields of a record and their types; a record may hold more."""

    __pydantic_config__: ClassVar = ConfigDict(extra="allow")

    index: int
    source: str
    source_sha256: Sha256
    license: str
    window: _Window
    draw: dict[str, Any] | None  # None for real pairs
    sha256: dict[str, Sha256]


def lines_path(out: Place, shard: int) -> Place:
    return out / "draws" / f"{shard:06d}.jsonl"


def index_path(out: Place, shard: int) -> Place:
    return out / "draws" / f"{shard:06d}.index"


def encode_index(lines: Sequence[bytes]) -> bytes:
    """The index of consecutive lines, each including its line break."""
    sizes = np.array([len(line) for line in lines], np.uint64)
    index = np.empty((len(lines), 3), "<u8")
    index[:, 0] = np.cumsum(sizes) - sizes
    index[:, 1] = sizes
    index[:, 2] = [google_crc32c.value(line) for line in lines]
    data = index.tobytes()
    return data + int(google_crc32c.value(data)).to_bytes(4, "little")


def index_size(count: int) -> int:
    """Size in bytes of the index of this many lines."""
    return 24 * count + 4


class RecordReader:
    """Reads records of one shard; the index is read once, the file is opened for each call."""

    def __init__(self, out: Place, shard: int, samples: range) -> None:
        self._lines, self._samples = lines_path(out, shard), samples
        path = index_path(out, shard)
        size = index_size(len(samples))
        try:
            data = read_bounded(path, size) if size_of(path) == size else b""
            self._size = total = size_of(self._lines)
        except OSError as error:
            raise error if isinstance(error, DatasetError) else _unreadable(error, path) from None
        if len(data) != size or google_crc32c.value(data[:-4]) != int.from_bytes(data[-4:], "little"):
            raise DatasetError(f"{path}: the index of the draws is damaged.", fix=_FIX)
        self._index = np.frombuffer(data, "<u8", count=3 * len(samples)).reshape(-1, 3)
        ends = np.cumsum(self._index[:, 1])
        # Lines must follow each other without gaps, and none may have a size that no record has.
        if (
            self._index[:, 1].max() > RECORD_BYTES
            or (self._index[:, 0] != ends - self._index[:, 1]).any()
            or int(ends[-1]) != total
        ):
            raise DatasetError(f"{self._lines}: the draws do not match their index.", fix=_FIX)

    def line(self, index: int) -> bytes:
        """The line of a sample, its crc32c checked."""
        offset, size, crc = self._index[index - self._samples.start].tolist()
        try:
            line = read_at(self._lines, offset, size)
        except OSError as error:
            raise _unreadable(error, self._lines) from None
        self._check(line, index, size, crc)
        return line

    def read(self, index: int) -> dict[str, Any]:
        """The record of a sample, its types checked."""
        return self._parsed(index, self.line(index))

    def read_all(self) -> Iterator[dict[str, Any]]:
        """The records of all samples of the shard, in order, many at a time."""
        data, begin = b"", 0
        for index, (offset, size, crc) in zip(self._samples, self._index.tolist(), strict=True):
            if offset + size > begin + len(data):
                begin = offset
                try:
                    data = read_at(self._lines, begin, min(max(size, _READ_BYTES), self._size - begin))
                except OSError as error:
                    raise _unreadable(error, self._lines) from None
            line = data[offset - begin : offset - begin + size]
            self._check(line, index, size, crc)
            yield self._parsed(index, line)

    def _check(self, line: bytes, index: int, size: int, crc: int) -> None:
        if len(line) != size or google_crc32c.value(line) != crc:
            what = f"{self._lines}: the record of sample {index} is damaged (its crc32c is wrong)."
            raise DatasetError(what, fix=_FIX)

    def _parsed(self, index: int, line: bytes) -> dict[str, Any]:
        try:
            typed = typed_json(_Record, line)
        except ValueError as error:
            raise DatasetError(f"{self._lines}: the record of sample {index} is damaged ({error}).", fix=_FIX) from None
        if typed.index != index:
            raise DatasetError(f"{self._lines}: the record of sample {index} is that of {typed.index}.", fix=_FIX)
        return {**vars(typed), "window": vars(typed.window)}


def _unreadable(error: OSError, path: Place) -> DatasetError:
    if isinstance(error, FileNotFoundError):
        return DatasetError(f"{error.filename or path}: the draws are missing.", fix=_FIX)
    return DatasetError(f"{path}: the draws cannot be read ({error.strerror}).")
