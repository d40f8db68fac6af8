"""Files in TOML, and lists in plain text, as editors save them: in UTF-8, with or without a byte order mark.

Recipes, cameras and training configurations are read here, so that the same file gets the same message everywhere.
"""

from __future__ import annotations

import codecs
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from blursynth.errors import BlursynthError
from blursynth.records.nesting import MOST_LEVELS, is_too_deep

__all__ = ["parse_toml", "read_text", "read_toml"]

_LARGEST_BYTES = 64 * 1024 * 1024  # a list of a million long paths; files that people write are far smaller

# The mark of UTF-32 begins with that of UTF-16, so it comes first.
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def read_toml(path: Path, *, error: type[BlursynthError], name: str | None = None, fix: str = "") -> dict[str, Any]:
    """The tables of a TOML file.

    Parameters
    ----------
    error
        What is raised.
    name
        What messages about its content call it; by default its path.
    fix
        What the file should be, such as "A recipe is a TOML file."
    """
    return parse_toml(read_text(path, error=error, fix=fix), name or str(path), error=error)


def parse_toml(text: str, name: str, *, error: type[BlursynthError]) -> dict[str, Any]:
    """The tables of a text in TOML; a message says the line of what is none."""
    # Looked for beforehand: the time and memory that tomllib takes for a dotted key grow with the square of its length.
    if _LONG_KEY.search(text):
        raise _too_deep(name, error)
    try:
        tables = tomllib.loads(text)
    except ValueError as found:  # TOMLDecodeError, and that of Python for numbers of thousands of digits
        raise error(f"{name}: is not valid TOML: {found}.", fix=_told_line(text, str(found))) from None
    except RecursionError:
        raise _too_deep(name, error) from None
    if is_too_deep(tables):
        raise _too_deep(name, error)
    return tables


_KEY = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?<![\w-]){_KEY}(?:[ \t]*+\.[ \t]*+{_KEY}){{{MOST_LEVELS}}}")


def _too_deep(name: str, error: type[BlursynthError]) -> BlursynthError:
    return error(f"{name}: is not valid TOML: its arrays or tables are nested too deeply (over {MOST_LEVELS} levels).")


def _told_line(text: str, message: str) -> str:
    """The line that a message of tomllib speaks of."""
    at = re.search(r"at line (\d+)", message)
    lines = text.splitlines()
    if at is None or not 0 < int(at[1]) <= len(lines):
        return ""
    line = lines[int(at[1]) - 1].strip()
    if not line:
        return ""
    shown = line if len(line) <= 60 else f"{line[:60]}..."
    quotes = " Quotes are straight ones." if set(line) & set("“”„‘’«»") else ""
    return f"The line is {shown!r}.{quotes}"


def read_text(path: Path, *, error: type[BlursynthError], fix: str = "") -> str:
    """The text of a file in UTF-8, without the byte order mark that editors of Windows put before it.

    ``error`` is raised where there is no such file, or where it is something else than such a text.
    """
    try:
        about = path.stat()
        if stat.S_ISDIR(about.st_mode):
            raise error(f"{path}: is a folder, not a file.", fix="Check the path.")
        if not stat.S_ISREG(about.st_mode):
            raise error(f"{path}: is a device or a pipe, not a file.", fix="Check the path.")
        if about.st_size > _LARGEST_BYTES:
            raise error(
                f"{path}: has {about.st_size:,} bytes, more than the {_LARGEST_BYTES // 2**20} MiB of a text that is "
                "read.",
                fix=fix or "Check the path.",
            )
        data = path.read_bytes()
    except (OSError, ValueError) as found:  # the latter of names with a zero byte
        why = getattr(found, "strerror", None) or found
        raise error(f"{path}: cannot be read ({why}).", fix="Check the path.") from None
    wide = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if wide is None and b"\0" in data[:64]:
        wide = "UTF-16, or no text"  # every other byte of plain letters is zero
    if wide is not None:
        raise error(
            f"{path}: is not a text file in UTF-8: it is in {wide}.",
            fix=f"Save it in UTF-8 (in PowerShell: Set-Content -Encoding utf8). {fix}".rstrip(),
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as found:
        line = data.count(b"\n", 0, found.start) + 1
        raise error(
            f"{path}: is not a text file in UTF-8: line {line} holds the byte 0x{data[found.start]:02x}.",
            why="It may be in an old code page, such as Latin-1." if b"\0" not in data else "",
            fix=f"Save it in UTF-8. {fix}".rstrip(),
        ) from None
