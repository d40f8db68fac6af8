"""License and attribution of each source picture: as the user's list says, else its container, else its own EXIF.

The list is a CSV file with a header, or a JSON file with a list of such rows::

    name,license,attribution,url
    holiday/*.jpg,CC BY 4.0,Jane Doe,https://example.org/holiday
    IMG_0001.jpg,CC0,,

``name`` is that of a source as records state it, a pattern for it, or a file name (or a pattern) in any folder; exact
names count before patterns, and of several patterns the first. Containers state the same words: Parquet in columns,
WebDataset in ``0001.json`` beside ``0001.jpg``.
"""

from __future__ import annotations

import csv
import fnmatch
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blursynth.errors import InvalidValueError, PictureError, did_you_mean
from blursynth.io.containers import columns_of, exists, is_member, member_size, read_file, split
from blursynth.records.text import printable
from blursynth.records.toml import read_text

__all__ = ["Licenses", "Rights", "rights_in_container", "rights_of", "rows_of"]

FIELDS = ("license", "attribution", "url")
_ALIASES = {"author": "attribution"}
_LARGEST_JSON_BYTES = 1 << 20  # of the metadata of one picture
_LONGEST = 2000  # characters of one text


@dataclass(frozen=True)
class Rights:
    """What may be done with a picture, whose it is, and where it comes from; empty where nothing is stated."""

    license: str = ""
    attribution: str = ""
    url: str = ""

    def or_else(self, other: Rights) -> Rights:
        """These, and those of another place for what is not stated here."""
        return Rights(*(getattr(self, name) or getattr(other, name) for name in FIELDS))


class Licenses:
    """A list of licenses by names and patterns.

    Parameters
    ----------
    path
        A .csv or .json file, as in the description of this module.

    Raises
    ------
    InvalidValueError
        It cannot be read, has another form or unknown columns, or states a name twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._exact: dict[str, Rights] = {}
        self._patterns: list[tuple[str, re.Pattern[str], Rights]] = []
        self._used: set[str] = set()
        for where, row in rows_of(path):
            try:
                name, rights = _entry(row)
            except ValueError as error:
                raise _wrong(f"{path}: {where}: {error}.") from None
            if name in self._exact:
                raise _wrong(f"{path}: {where}: {name!r} has an entry already.")
            self._exact[name] = rights
            if any(sign in name for sign in "*?["):
                self._patterns.append((name, re.compile(fnmatch.translate(name)), rights))

    def of(self, name: str) -> Rights:
        """What the list says about a source; nothing where it has no entry."""
        short = name.rpartition("/")[2]
        for exact in (name, short):
            if exact in self._exact:
                self._used.add(exact)
                return self._exact[exact]
        for pattern, compiled, rights in self._patterns:
            if compiled.match(name) or ("/" not in pattern and compiled.match(short)):
                self._used.add(pattern)
                return rights
        return Rights()

    def unused(self) -> list[str]:
        """Entries that applied to no source so far."""
        return [name for name in self._exact if name not in self._used]


def _wrong(what: str) -> InvalidValueError:
    fix = "Write rows of name, license, attribution and url, as CSV with a header or as a list of objects in JSON."
    return InvalidValueError(what, fix=fix, field="licenses")


def rows_of(path: Path) -> Iterator[tuple[str, Any]]:
    """The rows of a .csv, .tsv or .json list, and where each stands."""
    text = read_text(path, error=InvalidValueError)
    if (suffix := path.suffix.lower()) in (".csv", ".tsv"):
        delimiter = "," if suffix == ".csv" else "\t"
        lines = csv.DictReader(text.removeprefix("# ").splitlines(), delimiter=delimiter, strict=True)
        try:
            for row in lines:
                yield f"line {lines.line_num}", row
        except csv.Error as error:
            raise _wrong(f"{path}: line {lines.line_num}: {error}.") from None
    elif suffix == ".json":
        try:
            rows = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _wrong(f"{path}: is not JSON ({error}).") from None
        if not isinstance(rows, list):
            raise _wrong(f"{path}: holds no list.")
        yield from ((f"entry {number}", row) for number, row in enumerate(rows, 1))
    else:
        raise _wrong(f"{path}: must be a .csv, .tsv or .json file.")


def _entry(row: Any) -> tuple[str, Rights]:
    """The name and rights of a row; a ValueError says what is wrong with it."""
    if not isinstance(row, Mapping):
        raise ValueError("is no object")
    for key in row:
        if key is None:
            raise ValueError("has more values than the header has columns")
        if key not in ("name", *FIELDS, *_ALIASES):
            raise ValueError(f"there is no column {key!r}. {did_you_mean(key, ('name', *FIELDS))}".rstrip("."))
    name = row.get("name")
    if not isinstance(name, str) or not name.strip():
        raise ValueError("has no name")
    return name.strip().removeprefix("./"), rights_of(row)


def rights_of(values: Mapping[str, Any]) -> Rights:
    """The license, attribution and url among the values of a row; a ValueError says what is wrong with them."""
    found: dict[str, str] = {}
    for key, value in values.items():
        field = _ALIASES.get(key, key)
        if field in FIELDS and value is not None and value != "":
            if not isinstance(value, str) or len(value) > _LONGEST:
                raise ValueError(f"its {key} is no text of at most {_LONGEST} characters")
            found.setdefault(field, printable(" ".join(value.split())))
    return Rights(**found)


def rights_in_container(path: Path) -> Rights:
    """What a Parquet file or WebDataset states about one of its pictures; nothing of ordinary files.

    Raises
    ------
    PictureError
        What belongs to the picture is no JSON object, or too large.
    """
    if not is_member(path):
        return Rights()
    beside = path.with_name(f"{path.name.partition('.')[0]}.json")
    try:
        stated: Any = columns_of(path, (*FIELDS, *_ALIASES))
        if beside != path and exists(beside) and (inside := split(beside)):
            if member_size(*inside) > _LARGEST_JSON_BYTES:
                raise ValueError(f"has more than {_LARGEST_JSON_BYTES:,} bytes")
            stated = json.loads(read_file(beside))
            if not isinstance(stated, dict):
                raise ValueError("holds no object")
        return rights_of(stated)
    except (ValueError, RecursionError) as error:
        raise PictureError(f"what {beside.name} or its row states is not usable ({error}).", place=str(path)) from None
