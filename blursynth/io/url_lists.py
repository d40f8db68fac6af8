"""Lists of pictures in object storage and on the web: one URL per line, in a file that ends in ``.urls``.

A line that ends with a slash stands for all objects below it. Lines that begin with ``#`` are comments.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from blursynth.errors import InvalidValueError, PictureError
from blursynth.io.object_store import ObjectPath

__all__ = ["UrlList", "read_urls"]

LIST_BYTES = 1 << 30


@dataclass(frozen=True)
class UrlList:
    """The lines of a list; its names are the URLs without their scheme.

    Parameters
    ----------
    objects
        The objects that have a line of their own, by name.
    prefixes
        What stands for all objects below it.
    twice
        Names that an earlier line has already.
    """

    objects: dict[str, ObjectPath]
    prefixes: tuple[ObjectPath, ...]
    twice: tuple[str, ...]

    def names(self) -> list[str]:
        """All names, those below prefixes too, in order; each once."""
        below = {f"{_name(prefix)}/{name}" for prefix in self.prefixes for name, _ in prefix.below()}
        return sorted(below.union(self.objects))

    def find(self, name: str) -> ObjectPath:
        """The object of this name; FileNotFoundError if no line stands for it."""
        if name in self.objects:
            return self.objects[name]
        for prefix in self.prefixes:
            start = f"{_name(prefix)}/"
            if name.startswith(start):
                return prefix / name[len(start) :]
        raise FileNotFoundError(name)


def read_urls(path: Path) -> UrlList:
    """Read a list.

    Raises
    ------
    PictureError
        It is empty, larger than 1 GiB, not UTF-8, or has a line that is no URL.
    """
    if path.stat().st_size > LIST_BYTES:
        raise PictureError("is larger than 1 GiB.", fix="Split it into several lists.", place=str(path))
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        raise PictureError("is not text in UTF-8.", fix="Write one URL per line.", place=str(path)) from None
    objects: dict[str, ObjectPath] = {}
    prefixes: list[ObjectPath] = []
    twice = []
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        try:
            found = ObjectPath.parse(line)
        except InvalidValueError as error:
            raise PictureError(error.what, why=error.why, fix=error.fix, place=f"{path}, line {number}") from None
        if line.endswith("/") or not found.key:
            if found.read_only:
                why = "is a folder of a web server, which cannot be listed."
                raise PictureError(why, fix="Write one line for each picture.", place=f"{path}, line {number}")
            prefixes.append(found)
        elif _name(found) in objects:
            twice.append(_name(found))
        else:
            objects[_name(found)] = found
    if not objects and not prefixes:
        raise PictureError("is empty.", fix="Write one URL per line.", place=str(path))
    return UrlList(objects, tuple(prefixes), tuple(twice))


def _name(place: ObjectPath) -> str:
    return str(place).partition("://")[2]
