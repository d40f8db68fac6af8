"""Files inside .tar and .parquet files, named as if these were folders: ``photos.tar/0001.jpg``, ``train.parquet/12``;
and those that a list of URLs names: ``web.urls/bucket/0001.jpg``; and bytes in memory.

Members are read where they lie; nothing is extracted. A tar is read through once per process, headers only, to learn
where its members lie; of a Parquet file one row group at a time is kept. Names of members are untrusted: they are
looked up in the index of their container and never become paths of the file system.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path, PurePosixPath

from blursynth.errors import PictureError
from blursynth.io.kept import Kept
from blursynth.io.parquet_rows import PictureTable, read_footer, read_group, read_texts
from blursynth.io.tar_members import TarIndex, read_tar
from blursynth.io.url_lists import UrlList, read_urls

__all__ = [
    "CONTAINER_SUFFIXES",
    "PACKED_SUFFIXES",
    "Members",
    "columns_of",
    "exists",
    "in_memory",
    "is_member",
    "list_members",
    "member_size",
    "open_file",
    "read_file",
    "split",
]

PACKED_SUFFIXES = (".tar", ".parquet")
CONTAINER_SUFFIXES = (*PACKED_SUFFIXES, ".urls")
"""Lists of URLs are used only where they are named: one that lies in somebody's folder must not cause requests."""

LARGEST_MEMBER_BYTES = 512 << 20  # members are read as a whole before they are decoded
GROUPS_BYTES = 256 << 20  # row groups that one process keeps; the latest in any case
INDEXED_MEMBERS = 1 << 22  # that one process remembers, of 24 bytes each; those of the latest tar in any case


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
    if parts[:1] and parts[0] in _IN_MEMORY:
        return Path(parts[0]), PurePosixPath(*parts[1:]).as_posix()
    for number, part in enumerate(parts[:-1], 1):
        if part.lower().endswith(CONTAINER_SUFFIXES) and (container := Path(*parts[:number])).is_file():
            return container, PurePosixPath(*parts[number:]).as_posix()
    return None


def is_member(path: Path) -> bool:
    """Whether a path leads into a container, which need not hold it."""
    return split(path) is not None


@contextmanager
def in_memory(data: bytes) -> Iterator[Path]:
    """A path under which readers of pictures find these bytes, as long as the context lasts; nothing is written.

    OpenEXR files and others whose libraries open files alone are refused, as in any container.

    >>> with in_memory(b"GIF89a") as path:
    ...     print(read_file(path), is_member(path))
    b'GIF89a' True
    """
    container = f"<memory {next(_NUMBERS)}>"
    _IN_MEMORY[container] = data
    try:
        yield Path(container, "picture")
    finally:
        del _IN_MEMORY[container]


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
        listing = read_tar(container)
        _TARS.put(_identity(container), TarIndex.of(listing.places))
        return Members(tuple(listing.places), tuple(listing.left_out))
    if _is_list(container):
        urls = _urls(container)
        return Members(tuple(urls.names()), tuple((name, "is in the list twice") for name in urls.twice))
    rows = _table(container).rows
    return Members(tuple(map(str, range(rows))))


def member_size(container: Path, name: str) -> int:
    """Bytes of a member; FileNotFoundError if there is none of this name."""
    if (held := _IN_MEMORY.get(str(container))) is not None:
        return len(held)
    if _is_tar(container):
        return _tar_index(container).find(container, name)[1]
    if _is_list(container):
        return _urls(container).find(name).size()
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
    if found is None or str(found[0]) in _IN_MEMORY or _is_tar(found[0]) or _is_list(found[0]):
        return {}
    container, name = found
    table = _table(container)
    group, row = table.place(container, name)
    values = _COLUMNS.get((table.identity, group, names), lambda: read_texts(container, group, names))
    return {column: texts[row] for column, texts in values.items() if texts[row]}


def _is_tar(container: Path) -> bool:
    return container.suffix.lower() == ".tar"


def _is_list(container: Path) -> bool:
    return container.suffix.lower() == ".urls"


def _urls(container: Path) -> UrlList:
    return _LISTS.get(_identity(container), lambda: read_urls(container))


def _read_member(container: Path, name: str) -> bytes:
    if (held := _IN_MEMORY.get(str(container))) is not None:
        return held
    if _is_list(container):
        if (fetched := _urls(container).find(name).read_all(LARGEST_MEMBER_BYTES)) is None:
            raise PictureError(
                f"is larger than the {LARGEST_MEMBER_BYTES / 1e9:.1f} GB allowed for a picture from a list.",
                fix="Copy it to a file of its own.",
                place=str(container / name),
            )
        return fetched
    if not _is_tar(container):
        return _row(container, name)
    at, size = _tar_index(container).find(container, name)
    if size > LARGEST_MEMBER_BYTES:
        raise PictureError(
            f"has {size / 1e9:,.1f} GB, more than the {LARGEST_MEMBER_BYTES / 1e9:.1f} GB allowed in a container.",
            fix="Extract it to a file of its own.",
            place=str(container / name),
        )
    with container.open("rb") as file:
        file.seek(at)
        data = file.read(size)
    if len(data) != size:
        raise PictureError("is cut off.", fix="Copy the tar again.", place=str(container / name))
    return data


def _identity(container: Path) -> tuple[str, int, int]:
    found = os.stat(container)
    return str(container), found.st_size, found.st_mtime_ns


def _tar_index(container: Path) -> TarIndex:
    return _TARS.get(_identity(container), lambda: TarIndex.of(read_tar(container).places))


def _table(container: Path) -> PictureTable:
    identity = _identity(container)
    return _TABLES.get(identity, lambda: read_footer(container, identity))


def _row(container: Path, name: str) -> bytes:
    table = _table(container)
    group, row = table.place(container, name)
    values = _GROUPS.get((table.identity, group), lambda: read_group(container, table.column, group))
    if (data := values[row]) is None:
        why = "holds no picture, only a name or nothing."
        raise PictureError(why, fix="Embed the pictures in the file.", place=str(container / name))
    return data


def _group_bytes(values: list[bytes | None]) -> int:
    return sum(len(value) for value in values if value is not None)


_NUMBERS = itertools.count()
_IN_MEMORY: dict[str, bytes] = {}
_TARS = Kept[TarIndex](INDEXED_MEMBERS, lambda index: len(index.keys))
_TABLES = Kept[PictureTable](64, lambda table: 1)
_GROUPS = Kept[list["bytes | None"]](GROUPS_BYTES, _group_bytes)
_LISTS = Kept[UrlList](INDEXED_MEMBERS, lambda urls: len(urls.objects) + 1)
_COLUMNS = Kept[dict[str, list[str]]](8, lambda columns: 1)
