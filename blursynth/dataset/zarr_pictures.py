"""Pictures in any zarr 3 array ``[N, H, W, C]`` or ``[N, C, H, W]``, read chunk by chunk.

The array may come from anywhere. Its sizes are therefore checked before a chunk is read, and what a chunk states about
itself before it is decompressed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Annotated, Any, Literal

import google_crc32c
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.dataset.files import read_at, read_bounded, size_of, typed_json
from blursynth.dataset.shards import decode_blosc
from blursynth.errors import DatasetError, PictureError
from blursynth.io.decoders import check_size
from blursynth.io.kept import Kept
from blursynth.io.object_store import Place

__all__ = ["ZarrPictures"]

METADATA_BYTES = 1 << 20
MOST_PICTURES = 1 << 22
LARGEST_CHUNK_BYTES = 1 << 30
MOST_CHUNKS = 1 << 12  # that one picture is divided into
MOST_IN_SHARD = 1 << 20  # chunks, whose places are read at once
KEPT_BYTES = 256 << 20  # decoded chunks of several pictures that one process keeps; the latest in any case

_ABSENT = 2**64 - 1
_READABLE = (
    "Arrays of uint8, uint16 and floats with the codecs bytes, blosc, zstd, crc32c and sharding_indexed are read."
)

_Size = Annotated[int, Field(ge=1, lt=2**40)]


@dataclass(frozen=True)
class _Named:
    """A codec, or how chunks are laid out or named."""

    name: str
    configuration: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Metadata:
    """What is used of a ``zarr.json``."""

    zarr_format: Literal[3]
    node_type: Literal["array"]
    shape: tuple[_Size, ...]
    data_type: Literal["uint8", "uint16", "float16", "float32", "float64"]
    chunk_grid: _Named
    chunk_key_encoding: _Named
    fill_value: float
    codecs: tuple[_Named, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    storage_transformers: tuple[_Named, ...] = ()


@dataclass(frozen=True)
class _Pipeline:
    """How a chunk is stored: its numbers in a byte order, then ``steps`` such as compression, the first one first."""

    dtype: np.dtype[Any]
    steps: tuple[str, ...]

    @classmethod
    def of(cls, codecs: Sequence[_Named], data_type: str) -> _Pipeline:
        steps = tuple(codec.name for codec in codecs[1:])
        compressors = [name for name in steps if name != "crc32c"]
        if not codecs or codecs[0].name != "bytes" or len(steps) > 3 or compressors not in ([], ["blosc"], ["zstd"]):
            raise ValueError(f"its codecs are {', '.join(repr(codec.name) for codec in codecs)}")
        little = np.dtype(data_type).newbyteorder("<")
        return cls(little.newbyteorder() if codecs[0].configuration.get("endian") == "big" else little, steps)

    def decoded(self, data: bytes, shape: tuple[int, ...]) -> NDArray[Any]:
        """The numbers of a chunk; a ValueError says what is wrong with it."""
        plain = math.prod(shape) * self.dtype.itemsize
        for number, name in reversed(list(enumerate(self.steps))):
            if name == "crc32c":
                if google_crc32c.value(data[:-4]) != int.from_bytes(data[-4:], "little"):
                    raise ValueError("its crc32c is wrong")
                data = data[:-4]
                continue
            unpacked = np.empty(plain + 4 * self.steps[:number].count("crc32c"), np.uint8)
            if not (decode_blosc if name == "blosc" else _decode_zstd)(np.frombuffer(data, np.uint8), unpacked):
                raise ValueError("it cannot be decompressed")
            data = unpacked.tobytes()
        if len(data) != plain:
            raise ValueError(f"it has {len(data):,} bytes, not {plain:,}")
        return np.frombuffer(data, self.dtype).reshape(shape)

    def most_bytes(self, nbytes: int) -> int:
        """That a chunk of so many bytes takes when it is stored; what cannot be compressed grows by less than 1 %."""
        return nbytes + nbytes // 64 + 4096


class ZarrPictures:
    """The pictures of an array; gray ones get three equal channels.

    Integers are codes, whose highest one is white; floats are linear light. A chunk that is missing holds the array's
    fill value, as in every zarr array, but a picture without any chunk is not there.

    Parameters
    ----------
    place
        The folder with ``zarr.json``.

    Attributes
    ----------
    height, width, dtype
        Of every picture as :meth:`read` gives it: uint8, uint16, or float32 for light.
    decoded_bytes
        Memory that reading one picture takes at the most, beside the chunks that are kept.
    attributes
        What the array states about itself beside its layout, such as ``license``.

    Raises
    ------
    PictureError
        It is a group or no zarr 3 array; or its numbers, shape, chunks or codecs are others than are read.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        try:
            about = typed_json(_Metadata, read_bounded(place / "zarr.json", METADATA_BYTES))
            self._open(about)
        except DatasetError as error:
            raise PictureError(error.what, fix=error.fix) from None
        except OSError as error:
            raise PictureError(f"its zarr.json cannot be read ({error.strerror}).", place=str(place)) from None
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            what = f"is no array of pictures that can be read: {error}."
            raise PictureError(what, fix=_READABLE, place=str(place)) from None

    def _open(self, about: _Metadata) -> None:
        shape = about.shape
        channels_last = len(shape) == 4 and shape[3] in (1, 3)
        if len(shape) != 4 or not (channels_last or shape[1] in (1, 3)):
            raise ValueError(f"its shape {list(shape)} is neither [N, H, W, C] nor [N, C, H, W] with 1 or 3 channels")
        self.height, self.width = shape[1:3] if channels_last else shape[2:]
        check_size(self.place, self.height, self.width)
        if about.storage_transformers or about.chunk_grid.name != "regular":
            raise ValueError("its chunks are not those of a regular grid")
        self._shape, self._channels_last = shape, channels_last
        self._shard = self._chunk = _sizes(about.chunk_grid.configuration["chunk_shape"])
        codecs = about.codecs
        self._sharded = [codec.name for codec in codecs] == ["sharding_indexed"]
        if self._sharded:
            inner = codecs[0].configuration
            self._chunk = _sizes(inner["chunk_shape"])
            codecs = tuple(_Named(one["name"], one.get("configuration") or {}) for one in inner["codecs"])
            index = [one["name"] for one in inner["index_codecs"]]
            self._index_first = inner.get("index_location", "end") == "start"
            if index != ["bytes", "crc32c"] or inner["index_codecs"][0]["configuration"].get("endian") != "little":
                raise ValueError("the index of its shards is stored in an unusual way")
            if any(outer % part for outer, part in zip(self._shard, self._chunk, strict=True)):
                raise ValueError("its shards do not consist of whole chunks")
        self._pipeline = _Pipeline.of(codecs, about.data_type)
        self._in_shard = tuple(outer // part for outer, part in zip(self._shard, self._chunk, strict=True))
        nbytes = math.prod(self._chunk) * self._pipeline.dtype.itemsize
        chunks = math.prod(-(-size // part) for size, part in zip(shape[1:], self._chunk[1:], strict=True))
        if nbytes > LARGEST_CHUNK_BYTES or chunks > MOST_CHUNKS or math.prod(self._in_shard) > MOST_IN_SHARD:
            raise ValueError(
                f"a chunk has {nbytes:,} bytes, a picture {chunks:,} chunks and a shard {math.prod(self._in_shard):,}, "
                f"where {LARGEST_CHUNK_BYTES:,}, {MOST_CHUNKS:,} and {MOST_IN_SHARD:,} are possible"
            )
        encoding = about.chunk_key_encoding
        self._prefix = {"default": ("c",), "v2": ()}[encoding.name]
        self._separator = encoding.configuration.get("separator", "/" if encoding.name == "default" else ".")
        if self._separator not in ("/", "."):
            raise ValueError(f"the parts of its chunks' names are separated by {self._separator!r}")
        self._stored_bytes = self._pipeline.most_bytes(nbytes)
        if not 0 <= about.fill_value <= (np.iinfo(about.data_type).max if about.data_type[0] == "u" else 1):
            raise ValueError(f"missing parts have the value {about.fill_value!r}")
        self._fill = np.array(about.fill_value).astype(about.data_type)
        self.dtype = np.dtype("float32" if self._fill.dtype.kind == "f" else about.data_type)
        self.decoded_bytes = nbytes * min(chunks, 2) + 6 * self.height * self.width * self._fill.dtype.itemsize
        self.attributes = about.attributes
        self._chunks = Kept[NDArray[Any] | None](KEPT_BYTES, lambda chunk: 1 if chunk is None else chunk.nbytes)
        self._indices = Kept[NDArray[np.uint64] | None](KEPT_BYTES, lambda index: 1 if index is None else index.nbytes)

    def __len__(self) -> int:
        return self._shape[0]

    def read(self, index: int) -> NDArray[Any]:
        """One picture, ``[H, W, 3]``.

        Raises
        ------
        PictureError
            It is damaged, or was never written.
        OSError
            It cannot be read.
        """
        picture = np.empty(self._shape[1:], self._fill.dtype)
        missing = True
        for place in product(*(range(-(-n // part)) for n, part in zip(self._shape[1:], self._chunk[1:], strict=True))):
            corners = [number * part for number, part in zip(place, self._chunk[1:], strict=True)]
            into = picture[tuple(slice(at, at + part) for at, part in zip(corners, self._chunk[1:], strict=True))]
            chunk = self._chunk_at(index, place)
            into[:] = self._fill if chunk is None else chunk[tuple(slice(size) for size in into.shape)]
            missing = missing and chunk is None
        if missing:
            raise PictureError("was never written: all its chunks are missing.", place=f"{self.place}/{index}")
        pixels = picture if self._channels_last else np.moveaxis(picture, 0, -1)
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
            return np.broadcast_to(pixels, (self.height, self.width, 3)).astype(self.dtype, order="C")

    def _chunk_at(self, index: int, place: tuple[int, ...]) -> NDArray[Any] | None:
        """The part of a picture in one chunk; None if the chunk is missing."""
        at, within = divmod(index, self._chunk[0])
        key = (at, *place)
        # A chunk of several pictures is decoded once for all of them.
        chunk = self._decoded(key) if self._chunk[0] == 1 else self._chunks.get(key, lambda: self._decoded(key))
        return None if chunk is None else chunk[within]

    def _decoded(self, key: tuple[int, ...]) -> NDArray[Any] | None:
        try:
            data = self._stored(key)
            return None if data is None else self._pipeline.decoded(data, self._chunk)
        except (ValueError, DatasetError) as error:
            why = str(error).rstrip(".")
            raise PictureError(f"is damaged: of its chunk {key}: {why}.", place=str(self.place)) from None

    def _stored(self, key: tuple[int, ...]) -> bytes | None:
        """The bytes of a chunk."""
        shard = tuple(number // count for number, count in zip(key, self._in_shard, strict=True))
        path = self._path(shard)
        if not self._sharded:
            try:
                return read_bounded(path, self._stored_bytes)
            except FileNotFoundError:
                return None
        index = self._indices.get(shard, lambda: self._index(path))
        if index is None:
            return None
        inside = tuple(number % count for number, count in zip(key, self._in_shard, strict=True))
        offset, size = index[np.ravel_multi_index(inside, self._in_shard)].tolist()
        if offset == size == _ABSENT:
            return None
        if size > self._stored_bytes:
            raise ValueError(f"it cannot have {size:,} bytes")
        data = read_at(path, offset, size) if offset + size <= size_of(path) else b""
        if len(data) != size:
            raise ValueError("the shard ends before it")
        return data

    def _index(self, path: Place) -> NDArray[np.uint64] | None:
        """Where the chunks of a shard lie, ``[chunks, 2]``: offset and size; None if there is no such shard."""
        size = 16 * math.prod(self._in_shard) + 4
        try:
            total = size_of(path)
        except FileNotFoundError:
            return None
        data = read_at(path, 0 if self._index_first else total - size, size) if total >= size else b""
        if len(data) != size or google_crc32c.value(data[:-4]) != int.from_bytes(data[-4:], "little"):
            raise ValueError("the index of its shard is damaged or cut off")
        return np.frombuffer(data[:-4], "<u8").reshape(-1, 2)

    def _path(self, key: tuple[int, ...]) -> Place:
        name = self._separator.join((*self._prefix, *map(str, key)))
        return self.place.joinpath(*name.split("/"))


def _sizes(given: Any) -> tuple[int, ...]:
    if not isinstance(given, list) or len(given) != 4 or not all(type(n) is int and 1 <= n < 2**40 for n in given):
        raise ValueError(f"its chunks have the shape {given!r}")
    return tuple(given)


def _decode_zstd(packed: NDArray[np.uint8], out: NDArray[np.uint8]) -> bool:
    """Decompress one frame of Zstandard into ``out``; False if it is damaged or of another size.

    The library writes no more than fits; that a frame is not smaller is seen from its header (RFC 8878, 3.1.1.1).
    """
    from numcodecs import zstd

    head = packed[:18].tobytes()
    if len(head) < 6 or head[:4] != b"\x28\xb5\x2f\xfd":
        return False
    single = head[4] >> 5 & 1
    width = (single, 2, 4, 8)[head[4] >> 6]
    at = 6 - single + (0, 1, 2, 4)[head[4] & 3]
    if width and int.from_bytes(head[at : at + width], "little") + 256 * (width == 2) != out.nbytes:
        return False
    try:
        zstd.decompress(packed, out)
    except (RuntimeError, ValueError):
        return False
    return True
