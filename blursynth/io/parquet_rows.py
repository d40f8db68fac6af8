"""The pictures of a .parquet file, a row group at a time."""

from __future__ import annotations

import errno
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

from blursynth.errors import PictureError, require

__all__ = ["PictureTable", "read_footer", "read_group", "read_texts"]

T = TypeVar("T")

LARGEST_GROUP_BYTES = 1 << 30  # pictures of one row group, which is read as a whole
MOST_ROWS = 1 << 22  # of a Parquet file


@dataclass(frozen=True)
class PictureTable:
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
            raise FileNotFoundError(errno.ENOENT, "there is no such row", str(container / name))
        group = bisect_right(self.starts, int(name)) - 1
        return group, int(name) - self.starts[group]


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


def read_footer(container: Path, identity: tuple[str, int, int]) -> PictureTable:
    def read(file: Any) -> PictureTable:
        column = _picture_column(container, file.schema_arrow)
        rows = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
        if min(rows, default=0) < 0 or sum(rows) > MOST_ROWS:
            raise PictureError(
                f"states {sum(rows):,} rows, where at most {MOST_ROWS:,} are possible.",
                why="A small file can state any number of them.",
                fix="Write several files.",
                place=str(container),
            )
        return PictureTable(identity, column, tuple(accumulate(rows, initial=0)))

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


def read_group(container: Path, column: str, group: int) -> list[bytes | None]:
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


def read_texts(container: Path, group: int, names: tuple[str, ...]) -> dict[str, list[str]]:
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
