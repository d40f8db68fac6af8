"""A list of the pictures that a data set is made of: all of them must be there, with the content that it states.

It is a .csv file with a header (.tsv with tabs), or a .json file with a list of such rows::

    name,sha256,license,attribution,url
    sharp/bridge.jpg,bd86b081f9975e2b83527f71e49b9271a8ab40885428395969d9f7d834d7f050,CC BY-SA 4.0,Jane Doe,

``name`` is that of a source as records state it. Other columns may say where each picture comes from.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from blursynth.dataset.licenses import Rights, rights_of, rows_of
from blursynth.dataset.source_pictures import SourcePictures
from blursynth.errors import InvalidValueError, PictureError
from blursynth.io.folders import expanded
from blursynth.records.kind import Record
from blursynth.records.text import printable

__all__ = ["Listed", "SourceList", "check_listed", "read_source_list"]

_FIX = "Write rows of name, sha256, license, attribution and url, as CSV with a header or as a list of objects in JSON."
_MOST_SHOWN = 40


class SourceList(Record):
    """The pictures that a request is made of.

    Parameters
    ----------
    file
        The .csv, .tsv or .json file.
    names
        Pattern of the names that are used of it, such as ``"sharp/*"``.
    command
        The command that gets the pictures, for messages.
    """

    file: Annotated[str, BeforeValidator(lambda given: str(given) if isinstance(given, Path) else given)]
    names: str = "*"
    command: str = ""

    def how_to_get(self) -> str:
        """What to do where pictures are missing."""
        return f"Get them with: {self.command}" if self.command else f"{self.file} names them."


@dataclass(frozen=True)
class Listed:
    """What a list states about one picture."""

    sha256: str
    rights: Rights


def read_source_list(source_list: SourceList) -> dict[str, Listed]:
    """The pictures that are used of a list, by name.

    Raises
    ------
    InvalidValueError
        It cannot be read, a row has no name or no sha256, a name is there twice, or none has the pattern.
    """
    path = expanded(source_list.file)
    listed: dict[str, Listed] = {}
    for where, row in rows_of(path):
        try:
            name, one = _entry(row)
            if name in listed:
                raise ValueError(f"{name!r} has an entry already")
        except ValueError as error:
            raise InvalidValueError(f"{path}: {where}: {error}.", fix=_FIX, field="source_list") from None
        listed[name] = one
    used = {name: one for name, one in listed.items() if fnmatch.fnmatchcase(name, source_list.names)}
    if not used:
        what = f"{path}: none of its {len(listed)} names matches {source_list.names!r}."
        raise InvalidValueError(what, fix='Write a pattern such as "sharp/*".', field="names", value=source_list.names)
    return used


def _entry(row: Any) -> tuple[str, Listed]:
    if not isinstance(row, Mapping):
        raise ValueError("is no object")
    name, sha256 = row.get("name"), row.get("sha256")
    if not isinstance(name, str) or not name.strip():
        raise ValueError("has no name")
    if not isinstance(sha256, str) or not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise ValueError(f"{name!r} has no sha256 of 64 hexadecimal digits")
    return name, Listed(sha256, rights_of(row))


def check_listed(
    source_list: SourceList,
    listed: Mapping[str, Listed],
    named: Collection[str],
    pictures: SourcePictures,
    *,
    places: Sequence[str | Path],
    workers: int,
) -> tuple[list[str], tuple[str, ...]]:
    """The listed ones among the names of the sources, and a note on others, which are not used.

    Raises
    ------
    PictureError
        One is missing, or has another content.
    """
    there = set(named)
    missing = [name for name in listed if name not in there]
    found = sorted(name for name in listed if name in there)
    with ThreadPoolExecutor(max_workers=workers) as pool:
        same = pool.map(lambda name: _has(pictures, name, listed[name].sha256), found)
        differ = [name for name, equal in zip(found, same, strict=True) if not equal]
    if missing or differ:
        file = Path(source_list.file).name
        lost = f"{len(missing)} missing: {_shown(missing)}" if missing else ""
        if len(missing) == len(listed):  # most likely the wrong folder
            lost = f"all are missing, such as {_shown(missing[:1])}"
        changed = f"{len(differ)} with another sha256 than listed: {_shown(differ)}" if differ else ""
        raise PictureError(
            f"Of the {len(listed)} pictures that {file} names for this data set, in {', '.join(map(str, places))}: "
            f"{'; '.join(text for text in (lost, changed) if text)}.",
            why="The samples follow from the content of all of them.",
            fix=source_list.how_to_get(),
        )
    others = len(there) - len(found)
    note = f"{others} other picture{'s' * (others > 1)} there {'is' if others == 1 else 'are'} not used"
    return found, (f"{note}: not listed for this data set.",) if others else ()


def _has(pictures: SourcePictures, name: str, sha256: str) -> bool:
    try:
        return pictures.at(name).sha256() == sha256
    except (PictureError, OSError):
        return False


def _shown(names: Sequence[str]) -> str:
    text = ", ".join(names[:_MOST_SHOWN])
    return printable(text + (f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""))
