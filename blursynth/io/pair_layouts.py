"""Where the pictures of public sets of pairs lie: in folders, in lists of files, with several sharp ones.

These descriptions are the only ones: import cuts such sets into data sets, and the companion measures networks on them.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from blursynth.errors import DatasetError
from blursynth.io.decoders import CODE_SUFFIXES
from blursynth.io.folders import Inside, expanded, walk
from blursynth.records.text import name_of

__all__ = ["Folders", "FoundPairs", "Layout", "ListFile", "NotLaidOutError", "find_pairs"]

_LIST_BYTES = 16_000_000  # the longest list of a public set has 1 MB


class NotLaidOutError(DatasetError):
    """A folder has none of the layouts that were looked for."""

    def __init__(self, folder: Path, what: str) -> None:
        super().__init__(what, fix="Give the folder into which the set was unpacked.")
        self.folder = folder


@dataclass(frozen=True)
class FoundPairs:
    """The pairs of a folder.

    Parameters
    ----------
    folder
        The folder that was given, absolute.
    inside
        What it holds.
    names
        A name for each pair: the path of its blurred picture without suffix, relative to the folder or in the list.
    blurred
        The blurred pictures.
    sharp
        The sharp pictures of each; empty where the set has none.
    several
        Whether each blurred picture may have several sharp ones.
    alone
        Sharp pictures without a blurred one.
    """

    folder: Path
    inside: Inside
    names: tuple[str, ...]
    blurred: tuple[Path, ...]
    sharp: tuple[tuple[Path, ...], ...]
    several: bool = False
    alone: tuple[Path, ...] = ()


class Layout(ABC):
    """A way in which the pictures of a set may lie in a folder."""

    @property
    @abstractmethod
    def text(self) -> str:
        """What is looked for, for people."""

    @abstractmethod
    def of_split(self, split: str) -> Self:
        """The same with the name of a split for ``{split}`` in paths."""

    @abstractmethod
    def open(self, folder: Path, inside: Inside) -> FoundPairs | None:
        """The pairs below ``folder``, whose pictures are ``inside``; None if it has another layout.

        Raises
        ------
        DatasetError
            Pictures have no sharp partner.
        """


@dataclass(frozen=True)
class Folders(Layout):
    """Paths of the blurred and of the sharp pictures of a set, without suffix.

    A ``{word}`` stands for a part of a name, the same in both paths. The folder that is given may lie above such paths
    or within them. Without ``sharp`` there is no ground truth. A ``{word}`` that only ``sharp`` has stands for
    anything: each blurred picture has several sharp ones.

    Of sets that are divided by the names of their videos, ``scenes`` are those of a split, which ``{scene}`` must be
    one of, or none of if ``other_scenes``. ``shared`` says that the folder of sharp pictures is that of all splits.
    """

    blurred: str
    sharp: str | None
    scenes: tuple[str, ...] = ()
    other_scenes: bool = False
    shared: bool = False

    @property
    def text(self) -> str:
        sharp = "no sharp pictures" if self.sharp is None else f"{self.sharp}.*"
        scenes = f", scene {'none' if self.other_scenes else 'one'} of {', '.join(self.scenes)}" if self.scenes else ""
        return f"{self.blurred}.* with {sharp}{scenes}"

    def of_split(self, split: str) -> Self:
        sharp = self.sharp and self.sharp.replace("{split}", split)
        return replace(self, blurred=self.blurred.replace("{split}", split), sharp=sharp)

    def open(self, folder: Path, inside: Inside) -> FoundPairs | None:
        found = self._matches(self.blurred, folder, inside)
        if not found:
            return None
        names = [name_of(path.relative_to(folder).with_suffix("")) for path in found]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DatasetError(f"{folder}: holds two pictures {twice}.*.", fix="Remove one of them.")
        if self.sharp is None:
            return FoundPairs(folder, inside, tuple(names), tuple(found), ((),) * len(found))
        several = set(_words(self.sharp)) - set(_words(self.blurred))
        partners = {path: self._sharp(match, several) for path, match in found.items()}
        alone = [path for path, sharp in partners.items() if not sharp]
        if alone:
            template = Path(found[alone[0]]["above_"]) / _filled(self.sharp, found[alone[0]].groupdict())
            raise DatasetError(
                f"{folder}: {len(alone)} of {len(found)} blurred pictures have no sharp one. That of {alone[0]} was "
                f"expected at {template}.*.",
                fix="Was the archive unpacked completely?",
            )
        used = {path for sharp in partners.values() for path in sharp}
        sole = not several and not self.shared
        alone = [path for path in self._matches(self.sharp, folder, inside) if path not in used] if sole else []
        sharp = tuple(map(tuple, partners.values()))
        return FoundPairs(folder, inside, tuple(names), tuple(found), sharp, bool(several), tuple(alone))

    def _matches(self, template: str, folder: Path, inside: Inside) -> dict[Path, re.Match[str]]:
        """The pictures that lie where a template says, of its scenes."""
        pattern = re.compile(f"(?P<above_>(?:.*/)?){_pattern(template)}", re.DOTALL)
        found = {
            path: match
            for path in (folder / file for file in inside.files)
            if (match := pattern.fullmatch(path.with_suffix("").as_posix()))
        }
        if not self.scenes:
            return found
        return {path: match for path, match in found.items() if (match["scene"] in self.scenes) != self.other_scenes}

    def _sharp(self, match: re.Match[str], several: set[str]) -> Sequence[Path]:
        """The sharp pictures of a blurred one that exist."""
        assert self.sharp is not None  # its callers have asked
        path = match["above_"] + _filled(self.sharp, match.groupdict() | dict.fromkeys(several, "*"))
        if several:
            place = Path(path)
            # Brackets in the folder's own name are no pattern: only what is below it is.
            above = Path(match["above_"])
            return sorted(
                p for p in above.glob(place.relative_to(above).as_posix() + ".*") if p.suffix.lower() in CODE_SUFFIXES
            )
        endings = dict.fromkeys([Path(match.string).suffix, *CODE_SUFFIXES, *(s.upper() for s in CODE_SUFFIXES)])
        return [file for ending in endings if ending and (file := Path(path + ending)).is_file()][:1]


@dataclass(frozen=True)
class ListFile(Layout):
    """A text file whose lines hold the paths of a sharp and of its blurred picture, in this order.

    They are relative to the folder of the list, to the one that is given or the one above it, or to one with pictures
    below it: the first of these that holds the first picture.
    """

    name: str

    @property
    def text(self) -> str:
        return f"{self.name} with lines 'SHARP BLURRED'"

    def of_split(self, split: str) -> Self:
        return replace(self, name=self.name.replace("{split}", split))

    def open(self, folder: Path, inside: Inside) -> FoundPairs | None:
        lists = [folder / file for file in walk(folder, (".txt",)).files if file.name == self.name]
        lists += [folder.parent / self.name] if not lists and (folder.parent / self.name).is_file() else []
        if not lists:
            return None
        path = lists[0]
        lines = _lines(path)
        # Not all that is above: a list is not to be trusted with the whole disk.
        bases = [path.parent, folder, folder.parent, *(folder / file.parent for file in inside.files)]
        first = lines[0][0]
        base = next((base for base in dict.fromkeys(bases) if (base / first).is_file()), None)
        if base is None:
            raise DatasetError(
                f"{path}: its first picture, {first}, is neither in {path.parent} nor in {folder}, above or below it.",
                fix="Give the folder that holds the pictures of the list, and put the list there.",
            )
        missing = [one for pair in lines for one in pair if not (base / one).is_file()]
        if missing:
            raise DatasetError(
                f"{path}: {len(missing)} of its {2 * len(lines)} pictures do not exist, such as {base / missing[0]}.",
                fix="Was the archive unpacked completely?",
            )
        names = tuple(name_of(Path(blurred).with_suffix("")) for _, blurred in lines)
        blurred = tuple(base / blurred for _, blurred in lines)
        return FoundPairs(folder, inside, names, blurred, tuple((base / sharp,) for sharp, _ in lines))


def find_pairs(folder: str | Path, layouts: Sequence[Layout], name: str) -> FoundPairs:
    """The pairs of a folder in the first of several layouts that it has.

    ``name`` is that of the set in errors.

    Raises
    ------
    DatasetError
        The folder does not exist or has none of the layouts, or pictures have no sharp partner.
    """
    folder = expanded(folder).absolute()
    if not folder.is_dir():
        raise DatasetError(f"{folder}: is no folder." if folder.exists() else f"{folder}: does not exist.")
    inside = walk(folder, CODE_SUFFIXES)
    for layout in layouts:
        if (found := layout.open(folder, inside)) is not None:
            return found
    count = len(inside.files)
    there = f"{count} pictures, the first {inside.files[0]}" if count else "no pictures"
    looked = " -- or ".join(one.text for one in layouts)
    raise NotLaidOutError(folder, f"{folder}: is not laid out like {name}. Looked for: {looked}. Found: {there}.")


def _lines(path: Path) -> list[tuple[str, str]]:
    """The pairs of paths that a list holds."""
    if path.stat().st_size > _LIST_BYTES:
        raise DatasetError(f"{path}: is larger than {_LIST_BYTES:,} bytes, so it is no list of pairs.")
    found: list[tuple[str, str]] = []
    for number, line in enumerate(path.read_text("utf-8", errors="surrogateescape").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or any(Path(w).is_absolute() or ".." in Path(w).parts for w in words):
            raise DatasetError(
                f"{path}, line {number}: {line[:200]!r} is not a sharp and a blurred path below one folder.",
                fix="Each line holds two relative paths, separated by a space.",
            )
        found.append((words[0], words[1]))
    if not found:
        raise DatasetError(f"{path}: is empty.")
    if len({blurred for _, blurred in found}) < len(found):
        raise DatasetError(f"{path}: lists a blurred picture twice.", fix="Remove the second line.")
    return found


def _words(template: str) -> list[str]:
    return re.findall(r"{(\w+)}", template)


def _pattern(template: str) -> str:
    """The regular expression of paths; a word that occurs twice has the same value."""
    parts: list[str] = []
    seen: set[str] = set()
    for place, part in enumerate(re.split(r"{(\w+)}", template)):
        if place % 2 == 0:
            parts.append(re.escape(part))
        else:
            parts.append(f"(?P={part})" if part in seen else f"(?P<{part}>[^/]+)")
            seen.add(part)
    return "".join(parts)


def _filled(template: str, words: dict[str, str]) -> str:
    return re.sub(r"{(\w+)}", lambda found: words.get(found[1], "*"), template)
