"""Where the pictures of public test sets lie: in folders, in lists of files, with several sharp ones."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from blursynth.errors import DatasetError
from blursynth.io.decoders import CODE_SUFFIXES
from blursynth.io.folders import Inside, expanded, walk
from blursynth.io.pictures import read_pixels
from blursynth.records.text import name_of
from deblur_models.data.collate import values_of
from deblur_models.data.pair_set import FolderPairs, PairSample, PairSet
from deblur_models.evaluate.references import References

__all__ = ["Folders", "Layout", "ListFile", "open_layout"]

_LIST_BYTES = 16_000_000  # the longest list of a public set has 1 MB


class Layout(ABC):
    """A way in which the pictures of a set may lie in a folder."""

    @property
    @abstractmethod
    def text(self) -> str:
        """What is looked for, for people."""

    @abstractmethod
    def open(self, folder: Path, inside: Inside, name: str) -> tuple[PairSet, References | None] | None:
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
    """

    blurred: str
    sharp: str | None

    @property
    def text(self) -> str:
        sharp = "no sharp pictures" if self.sharp is None else f"{self.sharp}.*"
        return f"{self.blurred}.* with {sharp}"

    def open(self, folder: Path, inside: Inside, name: str) -> tuple[PairSet, References | None] | None:
        pattern = re.compile(f"(?P<above_>(?:.*/)?){_pattern(self.blurred)}", re.DOTALL)
        found = {
            path: match
            for path in (folder / file for file in inside.files)
            if (match := pattern.fullmatch(path.with_suffix("").as_posix()))
        }
        if not found:
            return None
        names = [name_of(path.relative_to(folder).with_suffix("")) for path in found]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DatasetError(f"{folder}: holds two pictures {twice}.*.", fix="Remove one of them.")
        if self.sharp is None:
            return FolderPairs(list(found), None, names, name, (inside,)), None
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
        middle = [sharp[len(sharp) // 2] for sharp in partners.values()]
        pairs = FolderPairs(list(found), middle, names, name, (inside,))
        if not several:
            return pairs, None
        of_name = dict(zip(names, partners.values(), strict=True))

        def references(sample: PairSample) -> Iterable[Tensor]:
            return (values_of(read_pixels(path), "cpu") for path in of_name[sample.name])

        return pairs, references

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

    def open(self, folder: Path, inside: Inside, name: str) -> tuple[PairSet, References | None] | None:
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
        sharp, blurred = ([base / pair[half] for pair in lines] for half in (0, 1))
        return FolderPairs(blurred, sharp, [name_of(Path(b).with_suffix("")) for _, b in lines], name, (inside,)), None


def open_layout(folder: str | Path, layouts: Sequence[Layout], name: str) -> tuple[PairSet, References | None]:
    """The pairs of a folder in the first of several layouts that it has.

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
        if (opened := layout.open(folder, inside, name)) is not None:
            return opened
    count = len(inside.files)
    there = f"{count} pictures, the first {inside.files[0]}" if count else "no pictures"
    raise DatasetError(
        f"{folder}: is not laid out like {name}. Looked for: {' -- or '.join(one.text for one in layouts)}. Found: "
        f"{there}.",
        fix="Give the folder into which the set was unpacked.",
    )


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
