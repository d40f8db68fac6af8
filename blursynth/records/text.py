"""Untrusted strings as text that is safe for terminals, pages and JSON.

File names, EXIF tags and messages of libraries are bytes that somebody else chose. They cause two problems: control
characters act on the terminal that shows them, and names that are not UTF-8 (photographs from old cameras and archives)
cannot be written as UTF-8 at all.
"""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["is_inside", "name_of", "path_of", "printable"]

# Controls (C0, DEL, C1), invisible marks and marks that turn the direction of text, line and paragraph separators,
# and halves of surrogate pairs, as which Python shows the bytes of file names that are not UTF-8. The joiners of
# Arabic and Indic writing and of emoji (U+200C, U+200D) stay: they belong to words and steer nothing.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
_NOT_UTF_8 = re.compile("[\ud800-\udfff]")
_ESCAPED = r"\\(x5c|x[89a-f][0-9a-f]|ud[89a-f][0-9a-f]{2})"
_LIKE_AN_ESCAPE = re.compile(rf"\\(?={_ESCAPED[2:]})")


def printable(text: object, *, lines: bool = False) -> str:
    r"""Text without control characters: each is written as a Python escape.

    Parameters
    ----------
    text
        The string to show.
    lines
        Whether to keep line breaks and tabs, for text that was formatted here rather than a name.

    Examples
    --------
    >>> print(printable("holiday\x1b[2J.png"))
    holiday\x1b[2J.png
    >>> print(printable("caf\udce9.png"), printable("straße €.png"))
    caf\xe9.png straße €.png
    """
    return _UNPRINTABLE.sub(lambda found: found[0] if lines and found[0] in "\n\t" else _escape(found[0]), str(text))


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is not UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def name_of(path: Path | str) -> str:
    r"""A relative path in the form used in records: with ``/`` between folders, and always valid UTF-8.

    A byte that is not valid UTF-8 is written as ``\xe9`` (by its value, 80 to ff). A backslash that would be read as
    such an escape is written as ``\x5c``. All other names are unchanged; :func:`path_of` is the inverse. A string has
    ``/`` between folders already.

    >>> print(name_of(Path("street", "caf\udce9.png")))
    street/caf\xe9.png
    """
    name = _LIKE_AN_ESCAPE.sub(r"\\x5c", path if isinstance(path, str) else path.as_posix())
    return _NOT_UTF_8.sub(lambda found: _escape(found[0]), name)


def path_of(name: str) -> Path:
    r"""The path that :func:`name_of` wrote.

    >>> path_of(r"street/caf\xe9.png") == Path("street", "caf\udce9.png")
    True
    """
    return Path(re.sub(_ESCAPED, lambda found: _unescape(found[1]), name))


def is_inside(name: str) -> bool:
    """Whether a name from :func:`name_of` stays in its folder, by the rules of the system that will open it.

    Every part is checked, since the first one may stand for one of several folders.

    >>> is_inside("street/a.png"), is_inside("street/../../a.png"), is_inside("street//etc/passwd")
    (True, False, False)
    """
    parts = [path_of(part) for part in name.split("/")]
    return "\0" not in name and all(len(p.parts) == 1 and not p.anchor and p.parts != ("..",) for p in parts)


def _unescape(code: str) -> str:
    number = int(code[1:], 16)
    return chr(number + 0xDC00 if number >= 0x80 and code[0] == "x" else number)
