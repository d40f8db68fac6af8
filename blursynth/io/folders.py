"""Folders and patterns as people name them: what lies inside, through links, and what was left out.

There is one walk for pictures, maps, pairs and kernels, so that all of them find the same files.
"""

from __future__ import annotations

import glob
import os
import re
import stat
import unicodedata
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import unquote, urlsplit

from blursynth.errors import InvalidValueError, MissingExtraError, PictureError
from blursynth.io.containers import PACKED_SUFFIXES, list_members, member_size, split
from blursynth.io.object_store import ObjectPath, Place

__all__ = [
    "HIDDEN",
    "ByName",
    "Inside",
    "alike",
    "as_place",
    "check_readable",
    "endings_text",
    "expanded",
    "matches",
    "total",
    "walk",
    "walk_into",
    "walk_with_containers",
]

T = TypeVar("T")

HIDDEN = "hidden"
"""What files and folders whose names begin with a dot are counted as."""

LARGEST_FILE_BYTES = 4 << 30  # of pictures, depth maps and kernels

NO_ENDING = "(no ending)"


@dataclass(frozen=True)
class Inside:
    """What a folder holds.

    Parameters
    ----------
    root
        The folder.
    names
        Regular files of the endings that were asked for, relative to it, with ``/`` between folders, in the order of
        their parts: strings, since a million paths take a gigabyte.
    left_out
        Entries that could not be accessed or are not regular files, relative to it, and why.
    endings
        How many other files there are of each ending; names that begin with a dot count as :data:`HIDDEN`.
    """

    root: Path
    names: tuple[str, ...]
    left_out: tuple[tuple[Path, str], ...] = ()
    endings: Mapping[str, int] = field(default_factory=dict)

    @property
    def files(self) -> tuple[Path, ...]:
        """The names as relative paths."""
        return tuple(map(Path, self.names))

    @property
    def paths(self) -> list[Path]:
        return [self.root / name for name in self.names]


def walk(folder: Path, suffixes: Sequence[str] | None, *, without: Path | None = None) -> Inside:
    """Find the files of a folder and of the folders in it, those behind links too.

    Every folder is entered once: behind a link only where no plain path leads to it, and never one that holds the link
    itself, so that the walk ends. Hidden files and folders are passed over, and nothing is opened.

    Parameters
    ----------
    suffixes
        Endings in lower case; None for all files.
    without
        A folder that is not entered.
    """
    names: list[str] = []
    left_out: list[tuple[Path, str]] = []
    endings: Counter[str] = Counter()
    entered: dict[tuple[int, int], Path] = {}
    links: deque[Path] = deque()
    if without is not None and without.is_dir():
        entered[_identity(os.stat(without))] = without
    plain = [Path()]
    while plain or links:
        relative = plain.pop() if plain else links.popleft()
        place = folder / relative
        try:
            identity = _identity(os.stat(place))
            linked = relative != Path() and os.path.islink(place)
            if linked and (why := _leads_back(place)):
                left_out.append((relative, why))
                continue
            if identity in entered and relative != Path():
                # Of the folder to be left out itself nothing is said: the caller named it.
                if linked:
                    left_out.append((relative, f"a link to {_shown(entered[identity])}, which is already read"))
                continue
            entered[identity] = relative
            with os.scandir(place) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            left_out.append((relative, f"a folder that cannot be read ({error.strerror})"))
            continue
        inside: list[Path] = []
        prefix = "" if relative == Path() else f"{relative.as_posix()}/"
        for entry in listed:
            if entry.name.startswith("."):
                endings[HIDDEN] += 1
                continue
            wanted = suffixes is None or os.path.splitext(entry.name)[1].lower() in suffixes
            if wanted and entry.is_file(follow_symlinks=False):  # known without asking the file system again
                names.append(prefix + entry.name)
                continue
            name = relative / entry.name
            try:
                mode = entry.stat().st_mode
            except OSError as error:
                if wanted or not name.suffix:
                    broken = "a broken link" if entry.is_symlink() else f"cannot be accessed ({error.strerror})"
                    left_out.append((name, broken))
                else:
                    endings[_ending(name)] += 1
                continue
            if stat.S_ISDIR(mode):
                (links if entry.is_symlink() else inside).append(name)
            elif not wanted:
                endings[_ending(name)] += 1
            elif stat.S_ISREG(mode):
                names.append(prefix + entry.name)
            else:
                left_out.append((name, f"{_kind_of_file(mode)}, not a file"))
        plain.extend(reversed(inside))
    order = dict(sorted(endings.items(), key=lambda item: (-item[1], item[0])))
    return Inside(folder, _by_parts(names), tuple(sorted(left_out)), order)


def _by_parts(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names, key=lambda name: name.replace("/", "\0")))


def walk_into(container: Path, suffixes: Sequence[str]) -> Inside:
    """The files of a .tar or .parquet file, relative to its folder, as :func:`walk` gives those of a folder.

    Rows of a Parquet file have no endings: all of them count as files. A container that cannot be read is left out,
    with the reason.
    """
    root, name = container.parent, Path(container.name)
    try:
        inside = list_members(container)
    except (PictureError, MissingExtraError) as error:
        return Inside(root, (), ((name, str(error).removeprefix(f"{container}: ").rstrip(".")),))
    except OSError as error:
        return Inside(root, (), ((name, f"cannot be read ({error.strerror})"),))
    names, endings = list[str](), Counter[str]()
    for member in map(Path, inside.names):
        if any(part.startswith(".") for part in member.parts):
            endings[HIDDEN] += 1
        elif container.suffix.lower() != ".parquet" and member.suffix.lower() not in suffixes:
            endings[_ending(member)] += 1
        else:
            names.append((name / member).as_posix())
    left_out = [
        (name / member.lstrip("/"), why)
        for member, why in inside.left_out
        if not member or Path(member).suffix.lower() in suffixes
    ]
    return Inside(root, tuple(names), tuple(left_out), endings)


def walk_with_containers(folder: Path, suffixes: Sequence[str]) -> Inside:
    """As :func:`walk`, and into the .tar and .parquet files that are found, as if these were folders."""
    found = walk(folder, (*suffixes, *PACKED_SUFFIXES))
    containers = [name for name in found.names if name.lower().endswith(PACKED_SUFFIXES)]
    if not containers:
        return found
    names, left_out, endings = list[str](), list(found.left_out), Counter(found.endings)
    for container in map(Path, containers):
        inside = walk_into(folder / container, suffixes)
        prefix = "" if container.parent == Path() else f"{container.parent.as_posix()}/"
        names += [prefix + name for name in inside.names]
        left_out += [(container.parent / name, why) for name, why in inside.left_out]
        endings.update(inside.endings)
    plain = set(found.names).difference(containers)
    return Inside(folder, _by_parts([*plain, *names]), tuple(sorted(left_out)), dict(endings))


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _shown(relative: Path) -> str:
    return "the folder itself" if relative == Path() else relative.as_posix()


def _leads_back(link: Path) -> str:
    """Why a linked folder is not entered: it holds the link."""
    target, here = Path(os.path.realpath(link)), Path(os.path.realpath(link.parent))
    return "a link to a folder that contains it" if target == here or target in here.parents else ""


def _ending(name: Path) -> str:
    return name.suffix.lower() or NO_ENDING


def _kind_of_file(mode: int) -> str:
    """What a mode of ``os.stat`` says of something that is neither a file nor a folder."""
    kinds = (
        (stat.S_ISFIFO, "a pipe (FIFO)"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )  # fmt: skip
    return next((words for is_it, words in kinds if is_it(mode)), "something else")


def endings_text(endings: Mapping[str, int], most: int = 8) -> str:
    """Numbers of files by their ending, to read; the commonest first.

    >>> endings_text({".xmp": 12, ".mov": 1, "hidden": 2})
    '12 .xmp, 2 hidden, 1 .mov'
    """
    ordered = sorted(endings.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(number for _, number in ordered[most:])
    shown = [f"{number:,} {ending}" for ending, number in ordered[:most]]
    return ", ".join([*shown, f"{rest:,} others"] if rest else shown)


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path with ``~`` as the folder of the user, as all functions take it.

    Raises
    ------
    InvalidValueError
        It is a URL, which would otherwise become a folder called ``s3:``.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", os.fspath(path)):
        raise InvalidValueError(
            f"{os.fspath(path)}: is a URL, but only files and folders are possible here.",
            why="Only data sets can be in object storage.",
            value=path,
        )
    return Path(os.path.expanduser(path))


def as_place(name: str | Path | ObjectPath) -> Place:
    """A path, with ``~`` for the home folder, or a name in object storage for a URL.

    >>> as_place("s3://bucket/pairs"), as_place("file:///tmp/pairs")
    (ObjectPath(root='s3://bucket', key='pairs'), PosixPath('/tmp/pairs'))
    """
    if isinstance(name, ObjectPath):
        return name
    if not isinstance(name, str) or re.match("[A-Za-z][A-Za-z0-9+.-]+://", name) is None:
        return expanded(name)
    if name.startswith("file://"):
        from urllib.request import url2pathname  # takes as long to import as all else here

        return Path(url2pathname(unquote(urlsplit(name).path)))
    return ObjectPath.parse(name)


def matches(pattern: str | os.PathLike[str]) -> list[Path] | None:
    """What a pattern with ``*``, ``?``, ``[...]`` and ``**`` stands for, in order; None where it is not a pattern.

    A part of it that is there under its very name is that: in ``photos[1]/*.png`` the folder ``photos[1]``, if there
    is one.
    """
    given = expanded(pattern)
    found = Path(given.anchor)
    parts = given.parts[1:] if given.anchor else given.parts
    escaped = [given.anchor] if given.anchor else []
    for number, part in enumerate(parts):
        if not os.path.lexists(found / part):
            rest = parts[number:]
            if not any(glob.has_magic(one) for one in rest):
                return None
            return sorted(Path(one) for one in glob.glob(os.path.join(*escaped, *rest), recursive=True))
        found, escaped = found / part, [*escaped, glob.escape(part)]
    return None


def alike(name: str) -> str:
    """A name without what file systems may change in it: case, and how accents are composed.

    >>> alike("Caf\\u00e9.PNG") == alike("cafe\\u0301.png")
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class ByName(Generic[T]):
    """Things by names, as files find their partners: by the very name, else by one that is alike (:func:`alike`).

    >>> maps = ByName()
    >>> maps.add("Caf\\u00e9", 1); maps.add("b", 2); maps.add("B", 3)
    >>> maps.find("cafe\\u0301"), maps.find("b"), maps.find("c")
    ([1], [2], [])
    """

    def __init__(self) -> None:
        self._exact: dict[str, list[T]] = {}
        self._alike: dict[str, list[T]] = {}

    def add(self, name: str, thing: T) -> None:
        self._exact.setdefault(name, []).append(thing)
        self._alike.setdefault(alike(name), []).append(thing)

    def find(self, name: str) -> list[T]:
        """All that have this name; where none has it, all whose names are alike."""
        return self._exact.get(name) or self._alike.get(alike(name), [])


def check_readable(path: Path, noun: str = "picture") -> None:
    """Refuse what cannot be opened without harm: a pipe or a device may never end.

    Raises
    ------
    PictureError
        It is missing, a folder, no regular file, empty, or of more than 4 GiB.
    """
    try:
        inside = split(path)
        found = None if inside else path.stat()
        size = member_size(*inside) if inside else path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        raise PictureError("there is no such file.", fix="Check the path.", place=str(path)) from None
    except (OSError, ValueError) as error:  # the latter of names with a zero byte
        if isinstance(error, PictureError):
            raise
        raise PictureError(f"cannot be read ({getattr(error, 'strerror', None) or error}).", place=str(path)) from None
    if found is not None and stat.S_ISDIR(found.st_mode):
        raise PictureError(f"is a folder, not a {noun}.", place=str(path))
    if found is not None and not stat.S_ISREG(found.st_mode):
        raise PictureError(
            f"is {_kind_of_file(found.st_mode)}, not a {noun}.", why="It may never end.", place=str(path)
        )
    if size > LARGEST_FILE_BYTES:  # decoders read whole files, and holes in one take no room on a disk
        raise PictureError(
            f"has {size / 1e9:,.1f} GB, more than the {LARGEST_FILE_BYTES / 1e9:.1f} GB allowed for a {noun}.",
            fix="Split it into smaller files first.",
            place=str(path),
        )
    if size == 0:
        raise PictureError(
            "is empty (0 bytes).", fix="Copy it again from the original, or leave it out.", place=str(path)
        )


def total(endings: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The numbers of several folders together."""
    added: Counter[str] = Counter()
    for one in endings:
        added.update(one)
    return dict(added)
