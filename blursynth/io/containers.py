"""Files inside .tar and .parquet files, named as if these were folders: ``photos.tar/0001.jpg``, ``train.parquet/12``.

Members are read where they lie; nothing is extracted. A tar is read through once per process, headers only, to learn
where its members lie; of a Parquet file one row group at a time is kept. Names of members are untrusted: they are
looked up in the index of their container and never become paths of the file system.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tarfile
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from io import BufferedReader, BytesIO
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Generic, TypeVar

from blursynth.errors import PictureError, require

__all__ = [
    "CONTAINER_SUFFIXES",
    "Members",
    "columns_of",
    "exists",
    "is_member",
    "list_members",
    "member_size",
    "open_file",
    "read_file",
    "split",
]

T = TypeVar("T")

CONTAINER_SUFFIXES = (".tar", ".parquet")

LARGEST_MEMBER_BYTES = 512 << 20  # members are read as a whole before they are decoded
LARGEST_GROUP_BYTES = 1 << 30  # pictures of one row group, which is read as a whole
GROUPS_BYTES = 256 << 20  # row groups that one process keeps; the latest in any case
MOST_ROWS = 1 << 22  # of a Parquet file
INDEXED_MEMBERS = 1 << 22  # that one process remembers, of 24 bytes each; those of the latest tar in any case
LARGEST_HEADER_BYTES = 1 << 20  # of extended headers, which hold long names

_BLOCK = 512  # of a tar
_PADDING = 64 * 1024  # zeros that programs write behind the end marker: 10,240 bytes as a rule
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_WITHOUT_DATA = (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE)
_COMPRESSED = (
    (b"\x1f\x8b", "gzip", "gunzip"), (b"BZh", "bzip2", "bunzip2"), (b"\xfd7zXZ", "xz", "unxz"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unzstd"),
)  # fmt: skip
_KINDS = {
    tarfile.LNKTYPE: "a link, which is not followed", tarfile.SYMTYPE: "a link, which is not followed",
    tarfile.FIFOTYPE: "a pipe (FIFO)", tarfile.CHRTYPE: "a device", tarfile.BLKTYPE: "a device",
}  # fmt: skip


@dataclass(frozen=True)
class Members:
    """What a container holds.

    Parameters
    ----------
    names
        Regular files, or rows, in the container's order; each once.
    left_out
        Members that cannot be used and why; an empty name stands for the container itself.
    """

    names: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...] = ()


def split(path: Path) -> tuple[Path, str] | None:
    """The container that a path leads into, and the name in it; None for paths of ordinary files.

    A folder with such a name is a folder.
    """
    parts = path.parts
    for number, part in enumerate(parts[:-1], 1):
        if part.lower().endswith(CONTAINER_SUFFIXES) and (container := Path(*parts[:number])).is_file():
            return container, PurePosixPath(*parts[number:]).as_posix()
    return None


def is_member(path: Path) -> bool:
    """Whether a path leads into a container, which need not hold it."""
    return split(path) is not None


def exists(path: Path) -> bool:
    """Whether there is such a file, folder or member."""
    if (found := split(path)) is None:
        return path.exists()
    try:
        member_size(*found)
    except FileNotFoundError:
        return False
    return True


def list_members(container: Path) -> Members:
    """What a container holds.

    Raises
    ------
    PictureError
        It is of another format, damaged from its beginning on, or cannot be read; for Parquet also if it has no column
        of pictures, or several.
    MissingExtraError
        A Parquet file, and the package pyarrow is not installed.
    """
    if _is_tar(container):
        listing = _read_tar(container)
        _TARS.put(_identity(container), _TarIndex.of(listing.places))
        return Members(tuple(listing.places), tuple(listing.left_out))
    rows = _table(container).rows
    return Members(tuple(map(str, range(rows))))


def member_size(container: Path, name: str) -> int:
    """Bytes of a member; FileNotFoundError if there is none of this name."""
    if _is_tar(container):
        return _tar_index(container).find(container, name)[1]
    return len(_row(container, name))


def open_file(path: Path) -> BufferedReader | BytesIO:
    """A file opened for reading in binary; a member of a container as its bytes.

    Raises
    ------
    OSError
        It does not exist or cannot be read.
    PictureError
        A container is damaged, or a member too large.
    """
    found = split(path)
    return path.open("rb") if found is None else BytesIO(_read_member(*found))


def read_file(path: Path) -> bytes:
    """The bytes of a file or member; errors as of :func:`open_file`."""
    found = split(path)
    return path.read_bytes() if found is None else _read_member(*found)


def columns_of(path: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Columns of text in the row of a Parquet file, those of these names that there are; empty values left out."""
    found = split(path)
    if found is None or _is_tar(found[0]):
        return {}
    container, name = found
    table = _table(container)
    group, row = table.place(container, name)
    values = _COLUMNS.get((table.identity, group, names), lambda: _text_columns(container, group, names))
    return {column: texts[row] for column, texts in values.items() if texts[row]}


def _is_tar(container: Path) -> bool:
    return container.suffix.lower() == ".tar"


def _read_member(container: Path, name: str) -> bytes:
    if not _is_tar(container):
        return _row(container, name)
    at, size = _tar_index(container).find(container, name)
    if size > LARGEST_MEMBER_BYTES:
        raise PictureError(
            f"has {size / 1e9:,.1f} GB, more than the {LARGEST_MEMBER_BYTES / 1e9:.1f} GB allowed in a container.",
            fix="Extract it to a file of its own.",
            place=str(container / name),
        )
    with container.open("rb", buffering=0) as file:
        file.seek(at)
        data = file.read(size)
    if len(data) != size:
        raise PictureError("is cut off.", fix="Copy the tar again.", place=str(container / name))
    return data


def _missing(container: Path, name: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "there is no such member", str(container / name))


def _identity(container: Path) -> tuple[str, int, int]:
    found = os.stat(container)
    return str(container), found.st_size, found.st_mtime_ns


class _Kept(Generic[T]):
    """Values by key, the least recently used forgotten when together they are larger than ``most``."""

    def __init__(self, most: int, size: Callable[[T], int]) -> None:
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._most, self._size, self._used = most, size, 0
        self._lock = threading.RLock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        with self._lock:  # held while it is made, so that threads do not make it twice
            if key not in self._values:
                self.put(key, make())
            self._values.move_to_end(key)
            return self._values[key]

    def put(self, key: Hashable, value: T) -> None:
        with self._lock:
            if key in self._values:
                self._used -= self._size(self._values.pop(key))
            self._used += self._size(value)
            while self._values and self._used > self._most:
                self._used -= self._size(self._values.popitem(last=False)[1])
            self._values[key] = value


@dataclass
class _TarListing:
    places: dict[str, tuple[int, int]] = field(default_factory=dict)  # name: (offset of its bytes, their number)
    left_out: list[tuple[str, str]] = field(default_factory=list)


def _read_tar(container: Path) -> _TarListing:
    """Read all headers of a tar: ustar, GNU and pax.

    Every step leads forward in the file and no header is larger than a limit, so that the work is bounded by the size
    of the file, whatever sizes it states. Of members with one name the last counts, as when a tar is extracted.
    """
    listing, size = _TarListing(), os.stat(container).st_size
    with container.open("rb", buffering=0) as file:
        at, extended = 0, dict[str, str]()
        while True:
            file.seek(at)
            block = file.read(_BLOCK)
            if not at and (wrong := _not_a_tar(block)):
                raise PictureError(wrong[0], fix=wrong[1], place=str(container))
            if not block:
                listing.left_out.append(("", "it has no end marker, so members may be missing"))
                break
            if not any(block):
                if size - at > _PADDING:
                    behind = f"{size - at:,} bytes behind its end marker are not read (a concatenated tar?)"
                    listing.left_out.append(("", behind))
                break
            try:
                header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
                if header.size < 0:
                    raise tarfile.HeaderError("negative size")
                header, data, sparse = _extended(file, header, at + _BLOCK, extended)
            except (tarfile.HeaderError, ValueError) as error:
                why = f"it is damaged at byte {at:,} ({error}); members behind are not read"
                listing.left_out.append(("", why))
                break
            after = data + (0 if header.type in _WITHOUT_DATA else -(-header.size // _BLOCK) * _BLOCK)
            if header.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME):
                at = after
                continue
            if header.type not in (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK, tarfile.DIRTYPE):
                _add(listing, header, data, size, sparse=sparse)
            if header.type != tarfile.GNUTYPE_LONGLINK:
                extended.clear()
            if data + header.size > size and after > data:
                break
            at = after
    return listing


def _not_a_tar(block: bytes) -> tuple[str, str] | None:
    """What is wrong with a file that begins like this, and what to do."""
    if not block:
        return "is empty (0 bytes).", "Copy it again from the original, or leave it out."
    for magic, kind, program in _COMPRESSED:
        if block.startswith(magic):
            return (
                f"is compressed ({kind}), so its members cannot be read one by one.",
                f"Decompress it once ({program}); pictures in it are compressed already.",
            )
    try:
        if any(block):
            tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return "is not a tar, or damaged at its beginning.", "Copy it again from the original, or leave it out."
    return None


def _extended(
    file: BinaryIO, header: tarfile.TarInfo, data: int, extended: dict[str, str]
) -> tuple[tarfile.TarInfo, int, bool]:
    """A header with what extended headers before it say, where its data begin, and whether the file is sparse.

    The content of an extended header is added to ``extended``.
    """
    if header.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME):
        if header.size > LARGEST_HEADER_BYTES:
            raise ValueError(f"an extended header of {header.size:,} bytes")
        file.seek(data)
        content = file.read(header.size)
        if header.type == tarfile.GNUTYPE_LONGNAME:
            extended["path"] = content.partition(b"\0")[0].decode("utf-8", "surrogateescape")
        else:
            extended.update(_pax_records(content))
    elif header.type not in (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK):
        header.name = extended.get("GNU.sparse.name", extended.get("path", header.name))
        if "size" in extended:
            if not extended["size"].isascii() or not extended["size"].isdigit() or len(extended["size"]) > 18:
                raise ValueError("a size that is no number")
            header.size = int(extended["size"])
    sparse = header.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse.") for key in extended)
    if header.type == tarfile.GNUTYPE_SPARSE:  # more blocks with its holes may follow the header
        file.seek(data - _BLOCK)
        more = file.read(_BLOCK)[482]
        while more:
            file.seek(data)
            block = file.read(_BLOCK)
            if len(block) < _BLOCK:
                raise ValueError("a sparse file that is cut off")
            data, more = data + _BLOCK, block[504]
    return header, data, sparse


def _pax_records(content: bytes) -> Iterator[tuple[str, str]]:
    """The records ``LENGTH KEY=VALUE\\n`` of an extended header, LENGTH counting all of it."""
    at = 0
    while at < len(content) and content[at] != 0:
        digits, _, _ = content[at : at + 20].partition(b" ")
        if not digits.isdigit() or not len(digits) + 2 < int(digits) <= len(content) - at:
            raise ValueError("an extended header that is damaged")
        key, equals, value = content[at + len(digits) + 1 : at + int(digits) - 1].partition(b"=")
        if not equals:
            raise ValueError("an extended header that is damaged")
        yield key.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape")
        at += int(digits)


def _add(listing: _TarListing, header: tarfile.TarInfo, data: int, end: int, *, sparse: bool) -> None:
    path = PurePosixPath(header.name)
    name = path.as_posix()
    why = ""
    if path.is_absolute() or ".." in path.parts or name == "." or "\0" in name:
        why = "its name leads out of the tar"
    elif sparse:
        why = "a sparse file, which is not read"
    elif header.type not in _REGULAR:
        why = _KINDS.get(header.type, f"a member of the unknown type {header.type!r}")
    elif data + header.size > end:
        why = "it is cut off: the tar ends within it"
    elif name in listing.places:
        listing.left_out.append((name, "a later member has the same name"))
    if why:
        listing.left_out.append((name, why))
    else:
        listing.places[name] = data, header.size


@dataclass(frozen=True)
class _TarIndex:
    """Where the members of a tar lie: 24 bytes for each, sorted by a hash of the name."""

    keys: array[int]
    offsets: array[int]
    sizes: array[int]

    @staticmethod
    def of(places: dict[str, tuple[int, int]]) -> _TarIndex:
        found = sorted((_key(name), at, size) for name, (at, size) in places.items())
        columns = zip(*found, strict=True) if found else ((), (), ())
        keys, offsets, sizes = (array("Q", column) for column in columns)
        return _TarIndex(keys, offsets, sizes)

    def find(self, container: Path, name: str) -> tuple[int, int]:
        key = _key(name)
        number = bisect_left(self.keys, key)
        if number == len(self.keys) or self.keys[number] != key:
            raise _missing(container, name)
        return self.offsets[number], self.sizes[number]


def _key(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "little")


def _tar_index(container: Path) -> _TarIndex:
    return _TARS.get(_identity(container), lambda: _TarIndex.of(_read_tar(container).places))


@dataclass(frozen=True)
class _Table:
    """The column of pictures of a Parquet file."""

    identity: tuple[str, int, int]
    column: str  # as pyarrow selects it: "image.bytes" for a struct
    starts: tuple[int, ...]  # first row of each row group, and the number of rows

    @property
    def rows(self) -> int:
        return self.starts[-1]

    def place(self, container: Path, name: str) -> tuple[int, int]:
        """Row group and row in it."""
        if not (name.isascii() and name.isdigit() and str(int(name[:20])) == name and int(name) < self.rows):
            raise _missing(container, name)
        group = bisect_right(self.starts, int(name)) - 1
        return group, int(name) - self.starts[group]


def _table(container: Path) -> _Table:
    identity = _identity(container)
    return _TABLES.get(identity, lambda: _read_footer(container, identity))


def _arrow_module(name: str, container: Path) -> Any:
    require("pyarrow", extra="export", purpose=f"reading {container.name}, like all Parquet files,")
    return import_module(f"pyarrow.{name}")


def _arrow(container: Path, read: Callable[[Any], T]) -> T:
    """The result of reading a Parquet file; whatever pyarrow raises means that it is damaged."""
    parquet = _arrow_module("parquet", container)
    try:
        with parquet.ParquetFile(container, memory_map=False, pre_buffer=False) as file:
            return read(file)
    except (PictureError, MemoryError):
        raise
    except Exception as error:  # which exceptions it raises for damaged files is not documented
        raise PictureError(
            f"is damaged, truncated or no Parquet file ({str(error).splitlines()[0].rstrip('.')}).",
            fix="Copy it again from the original, or leave it out.",
            place=str(container),
        ) from None


def _read_footer(container: Path, identity: tuple[str, int, int]) -> _Table:
    def read(file: Any) -> _Table:
        column = _picture_column(container, file.schema_arrow)
        rows = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
        if min(rows, default=0) < 0 or sum(rows) > MOST_ROWS:
            raise PictureError(
                f"states {sum(rows):,} rows, where at most {MOST_ROWS:,} are possible.",
                why="A small file can state any number of them.",
                fix="Write several files.",
                place=str(container),
            )
        return _Table(identity, column, tuple(accumulate(rows, initial=0)))

    if not identity[1]:
        raise PictureError("is empty (0 bytes).", fix="Copy it again from the original.", place=str(container))
    return _arrow(container, read)


def _picture_column(container: Path, schema: Any) -> str:
    """The column of pictures: a struct with ``bytes`` (Hugging Face's ``Image``), else one of binary values."""
    types = _arrow_module("types", container)

    def is_binary(kind: Any) -> bool:
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    structs = [
        f"{column.name}.bytes"
        for column in schema
        if types.is_struct(column.type) and any(part.name == "bytes" and is_binary(part.type) for part in column.type)
    ]
    found = structs or [column.name for column in schema if is_binary(column.type)]
    if "image.bytes" in found or "image" in found:
        return "image.bytes" if "image.bytes" in found else "image"
    if len(found) == 1:
        return found[0]
    listed = ", ".join(repr(column.removesuffix(".bytes")) for column in found[:8])
    raise PictureError(
        f"has several columns of pictures ({listed})." if found else "has no column of pictures.",
        fix="Name the column to be read 'image'."
        if found
        else "A column of pictures holds the bytes of picture files, or structs with such 'bytes'.",
        place=str(container),
    )


def _row(container: Path, name: str) -> bytes:
    table = _table(container)
    group, row = table.place(container, name)
    values = _GROUPS.get((table.identity, group), lambda: _read_group(container, table.column, group))
    if (data := values[row]) is None:
        why = "holds no picture, only a name or nothing."
        raise PictureError(why, fix="Embed the pictures in the file.", place=str(container / name))
    return data


def _read_group(container: Path, column: str, group: int) -> list[bytes | None]:
    """The bytes of all pictures of a row group, a few rows at a time, since a small file can state huge ones."""

    def read(file: Any) -> list[bytes | None]:
        values, used = list[bytes | None](), 0
        for batch in file.iter_batches(batch_size=8, row_groups=[group], columns=[column], use_threads=False):
            array = batch.column(0)
            array = array.flatten()[0] if array.type.num_fields else array  # the only field that was selected
            used += array.nbytes
            if used > LARGEST_GROUP_BYTES:
                raise PictureError(
                    f"has more than {LARGEST_GROUP_BYTES / 1e9:.1f} GB of pictures in row group {group}.",
                    why="A row group is read as a whole.",
                    fix="Write it again with smaller ones, such as row_group_size=100.",
                    place=str(container),
                )
            values += array.to_pylist()
        if len(values) != file.metadata.row_group(group).num_rows:
            raise PictureError(f"lacks rows of row group {group}.", place=str(container))
        return values

    return _arrow(container, read)


def _text_columns(container: Path, group: int, names: tuple[str, ...]) -> dict[str, list[str]]:
    def read(file: Any) -> dict[str, list[str]]:
        types = _arrow_module("types", container)
        kinds = {column.name: column.type for column in file.schema_arrow}
        wanted = [n for n in names if n in kinds and (types.is_string(kinds[n]) or types.is_large_string(kinds[n]))]
        found: dict[str, list[str]] = {name: [] for name in wanted}
        used = 0
        for batch in file.iter_batches(batch_size=64, row_groups=[group], columns=wanted, use_threads=False):
            used += batch.nbytes
            if used > LARGEST_GROUP_BYTES:
                raise PictureError(f"has too much text in row group {group}.", place=str(container))
            for name in wanted:
                found[name] += ["" if text is None else text for text in batch.column(name).to_pylist()]
        return found

    return _arrow(container, read)


def _group_bytes(values: list[bytes | None]) -> int:
    return sum(len(value) for value in values if value is not None)


_TARS = _Kept[_TarIndex](INDEXED_MEMBERS, lambda index: len(index.keys))
_TABLES = _Kept[_Table](64, lambda table: 1)
_GROUPS = _Kept[list["bytes | None"]](GROUPS_BYTES, _group_bytes)
_COLUMNS = _Kept[dict[str, list[str]]](8, lambda columns: 1)
