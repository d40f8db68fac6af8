"""TOML files and plain-text lists as editors save them: in UTF-8, with or without a byte order mark.

Recipes, sensor profiles, data set requests and training configurations are read here, so that all of them are found by
name or by path, can extend one another, can be changed by dotted names, and share the same messages.
"""

from __future__ import annotations

import codecs
import os
import re
import stat
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from blursynth.errors import BlursynthError, did_you_mean
from blursynth.records.nesting import MOST_LEVELS, is_too_deep

__all__ = ["Tables", "TomlFiles", "beside", "change", "merged", "parse_toml", "read_text", "read_toml", "without_none"]

_MOST_PARENTS = 32
_LARGEST_BYTES = 64 * 1024 * 1024  # enough for a million long paths; files written by people are far smaller

# The mark of UTF-32 begins with that of UTF-16, so it comes first.
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


@dataclass(frozen=True)
class Tables:
    """The content of a file, merged with what it extends.

    Parameters
    ----------
    values
        Its tables.
    name
        Name used in messages: its own if it ships with the library, otherwise that of the file.
    folder
        Folder of the file, for the paths in it; None if it ships with the library.
    """

    values: dict[str, Any]
    name: str
    folder: Path | None = None


Merge = Callable[[Tables, Tables], dict[str, Any]]
"""Merges a file with the file that it extends; the extended one is the first argument."""


@dataclass(frozen=True)
class TomlFiles:
    """TOML files with one purpose: those that ship in a package, by name, and others, by path.

    Parameters
    ----------
    noun
        Noun for such a file in messages: "recipe", "camera".
    error
        Class of the errors to raise.
    package
        Package that contains the shipped files; None if there are none.
    located
        Resolves the paths in the tables of a file (:func:`beside`) relative to the folder of the file, its second
        argument. It is applied to every file in a folder before anything is merged into it.

    Examples
    --------
    >>> cameras = TomlFiles("camera", BlursynthError, "blursynth.cameras")
    >>> cameras.read("pmrid").values["bit_depth"]
    10
    """

    noun: str
    error: type[BlursynthError]
    package: str | None = None
    located: Callable[[dict[str, Any], Path], dict[str, Any]] = lambda values, folder: values

    def names(self) -> tuple[str, ...]:
        """Names of the shipped files."""
        if self.package is None:
            return ()
        files = [file.name for file in resources.files(self.package).iterdir()]
        return tuple(sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml")))

    def read(self, source: str | Path, *, merge: Merge | None = None) -> Tables:
        """The tables of a file, merged with what it ``extends``.

        Parameters
        ----------
        source
            The name of a shipped file, or the path of a .toml file.
        merge
            Function that merges a file with the one that it extends; by default :func:`merged`.
        """
        here, identity = self._one(source, None)
        return self._extended(here, merge or (lambda below, above: merged(below.values, above.values)), (identity,))

    def _extended(self, above: Tables, merge: Merge, seen: tuple[str, ...]) -> Tables:
        base = above.values.get("extends")
        if base is None:
            return above
        if not isinstance(base, str):
            raise self.error(f"must be a name or a path, got {base!r}.", place=f"{above.name} extends", value=base)
        try:
            below, identity = self._one(base, above.folder)
        except BlursynthError as error:
            raise error.at(f"{above.name} extends") from None
        if identity in seen:
            raise self.error(
                f"{self.noun}s extend each other in a circle: {' -> '.join((*seen, identity))}.", place=above.name
            )
        if len(seen) > _MOST_PARENTS:
            raise self.error(
                f"has a chain of more than {_MOST_PARENTS} {self.noun}s that extend each other.", place=above.name
            )
        below = self._extended(below, merge, (*seen, identity))
        own = {key: value for key, value in above.values.items() if key != "extends"}
        return replace(above, values=merge(below, replace(above, values=own)))

    def _one(self, source: str | Path, folder: Path | None) -> tuple[Tables, str]:
        """One file alone, and its unique identity."""
        if not isinstance(source, str | Path):
            raise self.error(f"A {self.noun} must be a name or the path of a .toml file, got {source!r}.", value=source)
        if isinstance(source, str) and not source.endswith(".toml"):
            if source not in self.names():
                close = did_you_mean(source, self.names()) if self.package else ""
                raise self.error(
                    f"There is no {self.noun} {source!r}.",
                    fix=f"{close} The name of your own file must end in .toml.".lstrip(),
                    value=source,
                )
            text = (resources.files(str(self.package)) / f"{source}.toml").read_text("utf-8")
            return Tables(parse_toml(text, source, error=self.error), source), source
        path = Path(beside(str(source), folder))
        if path.stem in self.names() and not os.path.lexists(path):
            raise self.error(
                "there is no such file.",
                fix=f"Did you mean the built-in {self.noun} {path.stem!r}? Write it without .toml.",
                place=str(path),
            )
        values = read_toml(path, error=self.error, name=path.name, fix=f"A {self.noun} must be a TOML file.")
        try:
            values = self.located(values, path.parent)
        except BlursynthError as error:
            raise error.at(path.name, self.error) from None
        return Tables(values, path.name, path.parent), str(path.resolve())


def beside(path: str, folder: Path | None) -> str:
    """A path given in a file, resolved from the folder of the file; ``~`` is the home folder of the user.

    >>> beside("night.toml", Path("recipes")) == str(Path("recipes", "night.toml"))
    True
    """
    return str((folder or Path()) / os.path.expanduser(path))


def merged(
    below: Mapping[str, Any], above: Mapping[str, Any], *, of_a_kind: Collection[str] = (), way: str = ""
) -> dict[str, Any]:
    """Merge the tables of a file into those that it extends: fields replace fields, arrays replace whole arrays.

    Parameters
    ----------
    of_a_kind
        Dotted names of tables whose other fields belong to their ``kind``: a table of another kind replaces the whole
        table.
    way
        Dotted name of the current table, with a trailing dot.

    Examples
    --------
    >>> merged({"run": {"device": "cpu", "workers": 2}}, {"run": {"workers": 4}})
    {'run': {'device': 'cpu', 'workers': 4}}
    """
    out = dict(below)
    for key, value in above.items():
        old, name = out.get(key), f"{way}{key}"
        out[key] = value
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            same = value.get("kind", old.get("kind")) == old.get("kind")
            if same or name not in of_a_kind:
                out[key] = merged(old, value, of_a_kind=of_a_kind, way=f"{name}.")
    return out


def change(
    tables: Tables, changes: Mapping[str, Any], *, error: type[BlursynthError], of_a_kind: Collection[str] = ()
) -> Tables:
    """Tables with some values replaced, by dotted names; None removes a value.

    Entries of arrays are counted from 0. A table is replaced as a whole. If it is ``of_a_kind`` (as in :func:`merged`),
    another ``kind`` replaces it before its other fields are set. The given tables are not modified.

    >>> old = Tables({"stage": [{"steps": 5, "batch": 2}]}, "mine.toml")
    >>> change(old, {"stage.0.steps": 9}, error=BlursynthError).values
    {'stage': [{'steps': 9, 'batch': 2}]}
    """
    values = dict(tables.values)
    for key, value in _kinds_first(changes, of_a_kind):
        try:
            _set(values, key, value, of_a_kind, error)
        except BlursynthError as found:
            raise found.at(tables.name) from None
    return replace(tables, values=values)


def _kinds_first(changes: Mapping[str, Any], of_a_kind: Collection[str]) -> list[tuple[str, Any]]:
    """Changes in their order, except that the kind of a table precedes its other fields, which belong to that kind."""

    def place(numbered: tuple[int, str]) -> tuple[int, bool]:
        number, key = numbered
        table = key.rpartition(".")[0]
        if table in of_a_kind:
            number = next(n for n, other in enumerate(changes) if other.rpartition(".")[0] == table)
        return number, key != f"{table}.kind"

    return [(key, changes[key]) for _, key in sorted(enumerate(changes), key=place)]


def _set(values: dict[str, Any], key: str, value: Any, of_a_kind: Collection[str], error: type[BlursynthError]) -> None:
    """Set one dotted name, copying the tables on the way to it."""
    *way, last = key.split(".")
    at: Any = values
    for part in way:
        where = _entry(at, part, key, error)
        child = at[where] if isinstance(at, list) else at.get(where, {})
        if not isinstance(child, Mapping | list | tuple):
            raise error(f"{key!r} refers to a part of {part} = {child!r}, which has no parts.", field=key)
        at[where] = at = dict(child) if isinstance(child, Mapping) else list(child)
    where = _entry(at, last, key, error)
    if last == "kind" and ".".join(way) in of_a_kind and value not in (None, at.get("kind")):
        at.clear()
    if value is not None:
        at[where] = value
    elif isinstance(at, list):
        del at[where]
    else:
        at.pop(where, None)


def _entry(at: Any, part: str, key: str, error: type[BlursynthError]) -> Any:
    """The key of a table, or the number of an entry of an array."""
    if not isinstance(at, list):
        return part
    if not part.isdigit() or int(part) >= len(at):
        raise error(
            f"{key!r} refers to entry {part!r} of an array with {len(at)}.",
            fix=f"Entries are counted from 0 to {len(at) - 1}, as in stage.0.steps." if at else "",
            field=key,
        )
    return int(part)


def without_none(value: Any) -> Any:
    """Tables without None values: TOML has no null, and a field that is None has its default.

    >>> without_none({"seed": None, "stage": [{"steps": 3, "data": None}]})
    {'stage': [{'steps': 3}]}
    """
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    return [without_none(item) for item in value] if isinstance(value, list) else value


def read_toml(path: Path, *, error: type[BlursynthError], name: str | None = None, fix: str = "") -> dict[str, Any]:
    """The tables of a TOML file.

    Parameters
    ----------
    error
        Class of the errors to raise.
    name
        Name of the file in messages about its content; by default its path.
    fix
        What the file should be, such as "A recipe must be a TOML file."
    """
    return parse_toml(read_text(path, error=error, fix=fix), name or str(path), error=error)


def parse_toml(text: str, name: str, *, error: type[BlursynthError]) -> dict[str, Any]:
    """The tables of TOML text; a message quotes the line of an error."""
    # Checked beforehand, since the time and memory of tomllib for a dotted key grow with the square of its length.
    if _LONG_KEY.search(text):
        raise _too_deep(name, error)
    try:
        tables = tomllib.loads(text)
    except ValueError as found:  # TOMLDecodeError, and that of Python for numbers of thousands of digits
        raise error(f"is not valid TOML: {found}.", fix=_told_line(text, str(found)), place=name) from None
    except RecursionError:
        raise _too_deep(name, error) from None
    if is_too_deep(tables):
        raise _too_deep(name, error)
    return tables


_KEY = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?<![\w-]){_KEY}(?:[ \t]*+\.[ \t]*+{_KEY}){{{MOST_LEVELS}}}")


def _too_deep(name: str, error: type[BlursynthError]) -> BlursynthError:
    return error(
        f"is not valid TOML: its arrays or tables are nested too deeply (over {MOST_LEVELS} levels).", place=name
    )


def _told_line(text: str, message: str) -> str:
    """The line that a message of tomllib refers to."""
    at = re.search(r"at line (\d+)", message)
    lines = text.splitlines()
    if at is None or not 0 < int(at[1]) <= len(lines):
        return ""
    line = lines[int(at[1]) - 1].strip()
    if not line:
        return ""
    shown = line if len(line) <= 60 else f"{line[:60]}..."
    quotes = " Use straight quotes." if set(line) & set("“”„‘’«»") else ""
    return f"The line is {shown!r}.{quotes}"


def read_text(path: Path, *, error: type[BlursynthError], fix: str = "") -> str:
    """The text of a UTF-8 file, without the byte order mark that Windows editors put before it.

    ``error`` is raised if there is no such file, or if it is not such a text file.
    """
    place = str(path)
    try:
        about = path.stat()
        is_file = stat.S_ISREG(about.st_mode)
        data = path.read_bytes() if is_file and about.st_size <= _LARGEST_BYTES else b""
    except (OSError, ValueError) as found:  # the latter of names with a zero byte
        why = getattr(found, "strerror", None) or found
        raise error(f"cannot be read ({why}).", fix="Check the path.", place=place) from None
    if not is_file:
        what = "a folder" if stat.S_ISDIR(about.st_mode) else "a device or a pipe"
        raise error(f"is {what}, not a file.", fix="Check the path.", place=place)
    if about.st_size > _LARGEST_BYTES:
        raise error(
            f"has {about.st_size:,} bytes, more than the {_LARGEST_BYTES // 2**20} MiB allowed for a text file.",
            fix=fix or "Check the path.",
            place=place,
        )
    wide = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if wide is None and b"\0" in data[:64]:
        wide = "UTF-16, or is not text"  # every other byte of plain letters is zero
    if wide is not None:
        raise error(
            f"is not a text file in UTF-8: it is in {wide}.",
            fix=f"Save it in UTF-8 (in PowerShell: Set-Content -Encoding utf8). {fix}".rstrip(),
            place=place,
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as found:
        line = data.count(b"\n", 0, found.start) + 1
        raise error(
            f"is not a text file in UTF-8: line {line} holds the byte 0x{data[found.start]:02x}.",
            why="It may be in an old code page, such as Latin-1." if b"\0" not in data else "",
            fix=f"Save it in UTF-8. {fix}".rstrip(),
            place=place,
        ) from None
