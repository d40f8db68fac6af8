"""Pairs of whole pictures: blursynth data sets, and folders of sharp and blurred photographs."""

from __future__ import annotations

import difflib
import hashlib
import logging
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.cores import available_cores
from blursynth.core import Draw
from blursynth.dataset import Dataset, ObjectCache, open_dataset
from blursynth.errors import DatasetError, InvalidValueError, PictureError
from blursynth.frame import Encoding, Frame
from blursynth.io.decoders import CODE_SUFFIXES
from blursynth.io.folders import ByName, Inside, as_place, endings_text, expanded, total, walk
from blursynth.io.object_store import Place
from blursynth.io.pictures import file_sha256, read_header, read_pixels
from blursynth.records.text import name_of

log = logging.getLogger(__name__)

__all__ = ["FolderPairs", "PairSample", "PairSet", "StoredPairs", "open_pairs", "pictures_by_name"]

_GIVE_SHARP = 'Use --sharp, or in a configuration sharp = "..." next to pairs.'

BLURRED_NAMES = ("blurred", "blur_gamma", "blur", "input", "lq")
SHARP_NAMES = ("sharp", "gt", "target", "groundtruth", "hq")
"""Folder names of the two halves of pairs in public sets (GoPro, RealBlur, REDS, ...).

If a picture is in two of them, the first one counts: for GoPro, the averages of decoded frames (``blur_gamma``), which
are closer to light. Most published figures are those of ``blur``: see the protocol gopro of evaluation.
"""


@dataclass(frozen=True, eq=False)
class PairSample:
    """One pair: codes ``[H, W, 3]`` (uint8 or uint16), the draw that created it (None: real), and its position.

    ``geometry`` is a frame whose pixels have no meaning: it holds the position in the full picture, and whatever else a
    draw needs to blur.
    """

    name: str
    sharp: NDArray[Any]
    blurred: NDArray[Any]
    source: str = ""
    draw: Draw | None = None
    geometry: Frame | None = None


class PairSet(Sequence[PairSample]):
    """Pairs that are read on access.

    If not ``has_sharp``, there is no ground truth: the sharp picture of a pair is the blurred one itself, and nothing
    can be measured against it.
    """

    name: str
    has_sharp: bool = True

    @abstractmethod
    def __len__(self) -> int: ...

    @overload
    def __getitem__(self, index: int) -> PairSample: ...
    @overload
    def __getitem__(self, index: slice) -> list[PairSample]: ...
    def __getitem__(self, index: int | slice) -> PairSample | list[PairSample]:
        if isinstance(index, slice):
            return [self.read(i) for i in range(*index.indices(len(self)))]
        i = int(index) + (len(self) if index < 0 else 0)
        if not 0 <= i < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        return self.read(i)

    @abstractmethod
    def read(self, index: int) -> PairSample:
        """Pair ``index``, 0 <= index < len."""

    @abstractmethod
    def size_px(self, index: int) -> tuple[int, int]:
        """Height and width of a pair, without decoding it."""

    def smallest(self) -> int:
        """The pair with the shortest side."""
        return min(range(len(self)), key=lambda index: min(self.size_px(index)))

    @property
    def shard_length(self) -> int:
        """Number of consecutive pairs that are stored together."""
        return len(self)

    def fingerprint(self) -> str:
        """A string that changes with the pairs but not with their location; here it depends on number and sizes."""
        return hashlib.sha256(repr([self.size_px(i) for i in range(len(self))]).encode()).hexdigest()

    def check(self) -> None:
        """Raise an error if a picture cannot be used or the sizes of a pair differ, without decoding the pictures."""


class StoredPairs(PairSet):
    """The pairs of a blursynth data set, with the draws that created them."""

    def __init__(self, dataset: Dataset) -> None:
        if dataset.spec.arrays[0].dtype == "float32":
            raise InvalidValueError(
                f"{dataset.path}: holds linear light, but networks are trained on encoded pictures.",
                fix="End the recipe with an encode step.",
            )
        self.dataset, self.name = dataset, dataset.path.name
        self._sizes = {s.name: (s.height, s.width) for s in dataset.spec.sources}

    def __len__(self) -> int:
        return len(self.dataset)

    def read(self, index: int) -> PairSample:
        sample = self.dataset[index]
        window, size = sample.window, sample.sharp.shape[:2]
        full = np.array([self._sizes[sample.source]]) // self.dataset.spec.downscale
        geometry = Frame.unchecked(
            np.broadcast_to(np.float32(0), (1, 3, *size)),
            Encoding.DISPLAY,
            origin_px=np.array([[window.top, window.left]]),
            full_size_px=full,
        )
        return PairSample(f"{index:06d}", sample.sharp, sample.blurred, sample.source, sample.draw, geometry)

    def size_px(self, index: int) -> tuple[int, int]:
        return self.dataset.spec.size_px, self.dataset.spec.size_px

    def smallest(self) -> int:
        return 0  # all have the same size

    @property
    def shard_length(self) -> int:
        return self.dataset.spec.shard_length

    def fingerprint(self) -> str:
        return self.dataset.spec.sha256()


class FolderPairs(PairSet):
    """Pairs of picture files ``blurred`` and ``sharp``, one to one, with their ``names``; None: no ground truth.

    ``name`` is the name of the set in reports, ``looked`` the content of the folders in which the files were found.
    """

    def __init__(
        self,
        blurred: Sequence[Path],
        sharp: Sequence[Path] | None,
        names: Sequence[str],
        name: str,
        looked: Sequence[Inside] = (),
    ) -> None:
        self.has_sharp = sharp is not None
        sharp = blurred if sharp is None else sharp
        if not len(blurred) == len(sharp) == len(names) > 0:
            raise InvalidValueError(f"{name}: needs as many blurred as sharp pictures, at least one.")
        self.blurred, self.sharp, self.names, self.name = tuple(blurred), tuple(sharp), tuple(names), name
        self.looked = tuple(looked)

    @property
    def ignored(self) -> dict[str, int]:
        """Number of files of unknown formats in its folders, by suffix."""
        return total(inside.endings for inside in self.looked)

    @property
    def left_out(self) -> tuple[tuple[str, str], ...]:
        """Parts of its folders that could not be searched, and why."""
        return tuple((name_of(inside.root / name), why) for inside in self.looked for name, why in inside.left_out)

    def __len__(self) -> int:
        return len(self.blurred)

    def read(self, index: int) -> PairSample:
        blurred, sharp = read_pixels(self.blurred[index]), read_pixels(self.sharp[index])
        if blurred.shape != sharp.shape:
            raise PictureError(
                f"{self.blurred[index]} has {_size(blurred)} and {self.sharp[index]} has {_size(sharp)}.",
                why="The two pictures of a pair share one pixel grid.",
                fix="Crop or remove this pair; resizing would change the blur.",
            )
        return PairSample(self.names[index], sharp, blurred, name_of(Path(self.blurred[index].name)))

    def size_px(self, index: int) -> tuple[int, int]:
        return self._sizes[index]

    def fingerprint(self) -> str:
        """Hash of the names of pairs and the bytes of their files."""
        with ThreadPoolExecutor(available_cores()) as threads:
            blurred, sharp = (list(threads.map(file_sha256, half)) for half in (self.blurred, self.sharp))
        together = repr(list(zip(self.names, blurred, sharp, strict=True)))
        return hashlib.sha256(together.encode()).hexdigest()

    def check(self) -> None:
        wrong: list[str] = []
        for blurred, sharp, size in zip(self.blurred, self.sharp, self._peeked(wrong), strict=True):
            if size is not None and size[0] != size[1]:
                (height, width), (h, w) = size
                wrong.append(f"{blurred} has {width}x{height} px, but {sharp} has {w}x{h} px.")
        if wrong:
            shown = " ".join(wrong[:5]) + (f" And {len(wrong) - 5} more." if len(wrong) > 5 else "")
            raise PictureError(
                f"{self.name}: {len(wrong)} of {_pairs(len(self))} cannot be used. {shown}",
                why="Both pictures of a pair must be readable and have the same size.",
                fix="Remove these pairs from the folders, or repair the pictures; resizing would change the blur.",
            )

    def _peeked(self, wrong: list[str]) -> Iterator[tuple[tuple[int, int], tuple[int, int]] | None]:
        """Sizes of both halves from their headers; None, and a message in ``wrong``, if one cannot be read."""
        for pair in zip(self.blurred, self.sharp, strict=True):
            try:
                blurred, sharp = (read_header(path) for path in pair)
            except PictureError as error:
                wrong.append(f"{error.place}: {error.what}")
                yield None
            else:
                yield (blurred.height, blurred.width), (sharp.height, sharp.width)

    @cached_property
    def _sizes(self) -> list[tuple[int, int]]:
        return [(info.height, info.width) for info in map(read_header, self.blurred)]


def open_pairs(path: str | Place, sharp: str | Path | None = None, *, cache: ObjectCache | None = None) -> PairSet:
    """Open a blursynth data set, or a folder with blurred and sharp photographs.

    Parameters
    ----------
    path
        The folder of a data set; or a folder of pictures, with blurred and sharp ones in neighboring folders with usual
        names at any depth (``blur/1.png`` and ``sharp/1.png``, ``GOPR0372/blur/...``, RealBlur's ``blur/blur_1.png``
        and ``gt/gt_1.png``); or, with ``sharp``, the folder of the blurred ones.
    sharp
        The folder of the sharp ones, with the same names (suffixes may differ); or both are single pictures.
    cache
        Where what is read from a data set in object storage (``s3://bucket/pairs``) is kept.

    Raises
    ------
    DatasetError
        There are no pairs, or pictures have no partner.
    """
    path = as_place(path)
    if not isinstance(path, Path):
        if sharp is not None:
            raise DatasetError(f"{path}: only whole data sets can be in object storage.", fix="Give pairs alone.")
        return StoredPairs(open_dataset(path, cache=cache))
    if not path.exists():
        raise DatasetError(f"{path}: does not exist.")
    if sharp is not None:
        return _two_folders(path, expanded(sharp))
    if path.is_file():
        raise DatasetError(f"{path}: is a single picture; its sharp picture is needed too.", fix=_GIVE_SHARP)
    if (path / "dataset.json").exists() or path.suffix == ".zarr":
        return StoredPairs(open_dataset(path))
    return _named_folders(path)


def _two_folders(blurred: Path, sharp: Path) -> FolderPairs:
    if not sharp.exists():
        raise DatasetError(f"{sharp}: does not exist.")
    if blurred.is_file() and sharp.is_file():
        name = name_of(Path(blurred.stem))
        return FolderPairs([blurred], [sharp], [name], name)
    if not (blurred.is_dir() and sharp.is_dir()):
        raise DatasetError(f"{blurred} and {sharp} must be two folders or two pictures.")
    (partners, sharp_ones), (pictures, blurred_ones) = pictures_by_name(sharp), pictures_by_name(blurred)
    known = _by_name(partners)
    found = {name: one for name in sorted(pictures) if (one := _only(known, name)) is not None}
    alone = {name: str(sharp / name) for name in sorted(set(pictures) - set(found))}
    free = set(partners) - set(found.values())
    _check_alone(
        blurred, alone, len(found), {name: str(sharp / name) for name in free if name not in pictures}, blurred_ones
    )
    return FolderPairs(
        [pictures[n] for n in found], [partners[n] for n in found.values()], list(found), _called(blurred),
        (blurred_ones, sharp_ones),
    )  # fmt: skip


def _named_folders(root: Path) -> FolderPairs:
    pairs: dict[str, tuple[int, Path, Path]] = {}
    alone: dict[str, str] = {}
    taken: set[Path] = set()
    everything, inside = pictures_by_name(root)
    known = _by_name(everything)
    second = 0
    for name, picture in everything.items():
        parts = name.split("/")
        place = next((i for i, part in enumerate(parts[:-1]) if part.lower() in BLURRED_NAMES), None)
        if place is None:
            continue
        word, *inner = parts[place:]
        plain = [*inner[:-1], inner[-1].removeprefix(f"{word}_")]  # "blur/blur_1" and "gt/gt_1" are pair "1"
        candidates = [
            "/".join([*parts[:place], sharp, *middle])
            for sharp in SHARP_NAMES
            for middle in (inner, [*plain[:-1], f"{sharp}_{plain[-1]}"])
        ]
        partner = next((one for other in candidates if (one := _only(known, other)) is not None), None)
        if partner is None:
            beside = (c for c in candidates if (root / c).parent.is_dir())
            alone[name] = str(root / next(beside, candidates[0]))
            continue
        taken.add(everything[partner])
        key, rank = "/".join([*parts[:place], *plain]), BLURRED_NAMES.index(word.lower())
        second += key in pairs
        if key not in pairs or rank < pairs[key][0]:
            pairs[key] = (rank, picture, everything[partner])
    if second:
        pictures = "1 picture is" if second == 1 else f"{second} pictures are"
        log.warning("%s: %s available with two kinds of blur; one of them is used.", root, pictures)
    if not pairs:
        raise DatasetError(
            f"{root}: is neither a blursynth data set nor a folder with pairs.",
            why=f"Blurred pictures are expected in folders named {', '.join(BLURRED_NAMES)}, sharp ones with the same "
            f"name next to them in {', '.join(SHARP_NAMES)}.",
            fix=f"Or give the folder of the blurred pictures and, separately, that of the sharp ones. {_GIVE_SHARP}"
            + _others(inside),
        )
    free = {
        name: str(path.with_suffix(""))
        for name, path in everything.items()
        if path not in taken and any(part.lower() in SHARP_NAMES for part in name.split("/")[:-1])
    }
    _check_alone(root, alone, len(pairs), free, inside)
    names = sorted(pairs)
    return FolderPairs([pairs[n][1] for n in names], [pairs[n][2] for n in names], names, _called(root), (inside,))


def _called(folder: Path) -> str:
    return name_of(Path(folder.name))


def _others(inside: Inside) -> str:
    return f" Other files there: {endings_text(inside.endings)}." if inside.endings else ""


def _check_alone(folder: Path, alone: Mapping[str, str], found: int, free: Mapping[str, str], inside: Inside) -> None:
    """Reject blurred pictures without a partner.

    ``alone`` holds the expected paths of the partners, without suffix; ``free`` the paths of unused sharp pictures.
    """
    if not alone and found:
        return
    if not alone:
        raise DatasetError(
            f"{folder}: contains no pictures.{_others(inside)}", fix="The pictures of a pair must have the same name."
        )
    first, expected = next(iter(alone.items()))
    close = difflib.get_close_matches(expected, free.values(), n=1) if len(free) < 1000 else []
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise DatasetError(
        f"{folder}: {len(alone)} blurred {'picture has' if len(alone) == 1 else 'pictures have'} no sharp partner; "
        f"{_pairs(found)} {'is' if found == 1 else 'are'} complete. The partner of {first!r} was expected at "
        f"{expected}.*.",
        fix=f"The pictures of a pair must have the same name.{hint}",
    )


def _pairs(count: int) -> str:
    return f"{count} {'pair' if count == 1 else 'pairs'}"


def pictures_by_name(folder: Path) -> tuple[dict[str, Path], Inside]:
    """The pictures of a folder by their relative paths without suffixes, which must differ, and its other content."""
    inside = walk(folder, CODE_SUFFIXES)
    found: dict[str, Path] = {}
    for file in inside.files:
        name, path = name_of(file.with_suffix("")), folder / file
        if name in found:
            raise DatasetError(
                f"{found[name]} and {path.name} have the same name except for the suffix.",
                why="Pairs are matched by names without suffixes.",
                fix="Remove one of them.",
            )
        found[name] = path
    return found, inside


def _by_name(names: Iterable[str]) -> ByName[str]:
    known = ByName[str]()
    for name in names:
        known.add(name, name)
    return known


def _only(known: ByName[str], name: str) -> str | None:
    """The entry with this name, or the only one with a similar name."""
    found = known.find(name)
    return found[0] if len(found) == 1 else None


def _size(codes: NDArray[Any]) -> str:
    return f"{codes.shape[1]}x{codes.shape[0]} px of {codes.dtype}"
