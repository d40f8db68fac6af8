"""The pictures of a study: the same crop of every version of a picture, where the versions differ most."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blursynth.dataset.files import read_bounded, read_json
from blursynth.errors import DatasetError, InvalidValueError, PictureError, did_you_mean
from blursynth.io.folders import ByName, expanded
from blursynth.io.pictures import read_header, read_pixels
from deblur_models.data.pair_set import pictures_by_name
from deblur_models.evaluate.statistics import BASELINE
from deblur_models.evaluate.store import restored_stem
from deblur_models.study.design import REFERENCE

__all__ = [
    "Versions",
    "check_sizes",
    "crop",
    "is_report",
    "most_different",
    "of_folders",
    "of_report",
    "read_versions",
    "read_windows",
]

_LOG = logging.getLogger(__name__)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601


@dataclass(frozen=True)
class Versions:
    """The versions of one picture: ``files[method]``."""

    name: str
    files: Mapping[str, Path]


def of_folders(folders: Mapping[str, str | Path], sharp: str | Path | None) -> list[Versions]:
    """The pictures that all folders hold under the same name; the suffix may differ.

    Raises
    ------
    DatasetError
        A folder is missing, or there is no such picture.
    InvalidValueError
        A method has the name of the reference.
    """
    if REFERENCE in folders:
        raise InvalidValueError(
            f"A method is named {REFERENCE!r}, like the sharp pictures.", fix="Give it another name."
        )
    places = {**({} if sharp is None else {REFERENCE: sharp}), **folders}
    known: dict[str, ByName[Path]] = {}
    names: dict[str, list[str]] = {}
    for method, place in places.items():
        folder = expanded(place)
        if not folder.is_dir():
            raise DatasetError(f"{method}: {folder} {'is not a folder' if folder.exists() else 'does not exist'}.")
        found, _ = pictures_by_name(folder)
        known[method], names[method] = ByName[Path](), list(found)
        for name, picture in found.items():
            known[method].add(name, picture)
    fewest = min(names, key=lambda method: len(names[method]))
    partners = {
        name: {method: one[0] for method, by in known.items() if len(one := by.find(name)) == 1}
        for name in sorted(names[fewest])
    }
    complete = [Versions(name, files) for name, files in partners.items() if len(files) == len(places)]
    most = max(map(len, names.values()))
    if not complete:
        counts = ", ".join(f"{method} {len(found)}" for method, found in names.items())
        raise DatasetError(
            f"No picture is in all of the {len(places)} folders (pictures: {counts}).",
            why="Versions of a picture are found by their names.",
            fix="Give them the same names, apart from suffixes.",
        )
    if len(complete) < most:
        _LOG.warning("%d of %d pictures are in all folders; the others are left out.", len(complete), most)
    return complete


def is_report(folder: str | Path) -> bool:
    """Whether a folder is a report of ``deblur evaluate``."""
    place = expanded(folder)
    return (place / "summary.json").is_file() and (place / "results").is_dir()


def of_report(folder: str | Path) -> list[Versions]:
    """The pictures that a report of ``deblur evaluate`` shows: blurred, restored by each restorer, and sharp."""
    root = expanded(folder)
    summary = read_json(root / "summary.json", "the summary of the report")
    found = []
    try:
        shown = [(str(one["name"]), str(one["folder"]), [str(n) for n in one["shown"]]) for one in summary["pictures"]]
        sharp = bool(summary["data"]["sharp"])
    except (KeyError, TypeError):
        raise DatasetError(f"{root}: is no report of deblur evaluate, or damaged.") from None
    for name, inside, restorers in shown:
        if REFERENCE in restorers:
            raise InvalidValueError(f"{root}: a restorer is named {REFERENCE!r}, like the sharp pictures.")
        if not re.fullmatch(r"pictures/\d{6,}", inside):
            raise DatasetError(f"{root}: the report is damaged: {inside!r} is no folder of pictures.")
        stems = {"blurred": "blurred", **{one: restored_stem(one) for one in restorers if one != BASELINE}}
        stems |= {REFERENCE: "sharp"} if sharp else {}
        found.append(Versions(name, {method: root / inside / f"{stem}.png" for method, stem in stems.items()}))
    methods = {tuple(one.files) for one in found}
    if len(methods) != 1:
        raise DatasetError(
            f"{root}: {'holds no pictures' if not found else 'not every restorer has every picture'}.",
            fix="Write them with: deblur evaluate --pictures N; or give folders as NAME=FOLDER.",
        )
    return found


def check_sizes(pictures: Sequence[Versions], size_px: int) -> dict[str, tuple[int, int]]:
    """Height and width of every picture, from headers.

    Raises
    ------
    PictureError
        A file is no picture, smaller than the crops, or its versions differ in size.
    """
    sizes = {}
    for one in pictures:
        found = {}
        for method, path in one.files.items():
            info = read_header(path)
            found[method] = (info.height, info.width)
        if len(set(found.values())) > 1:
            listed = ", ".join(f"{method} {width}x{height}" for method, (height, width) in found.items())
            raise PictureError(
                f"{one.name}: its versions differ in size ({listed}).",
                why="The same crop of all of them is shown.",
                fix="Restore at full size; resizing changes what is judged.",
            )
        height, width = next(iter(found.values()))
        if min(height, width) < size_px:
            raise PictureError(
                f"{one.name}: has {width}x{height} px, but crops of {size_px} px are wanted.",
                fix=f"Choose a smaller --size, at most {min(height, width)}, or leave it out.",
            )
        sizes[one.name] = (height, width)
    return sizes


def read_windows(path: str | Path, sizes: Mapping[str, tuple[int, int]], size_px: int) -> dict[str, tuple[int, int]]:
    """Crops that somebody chose: lines ``name,left,top`` of a CSV file below that heading.

    Returns
    -------
    dict
        ``(top, left)`` by the name of the picture.
    """
    place = expanded(path)
    try:
        text = read_bounded(place, 1 << 20).decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{place}: cannot be read as CSV ({getattr(error, 'strerror', None) or error}).") from None
    windows = {}
    for number, row in enumerate(rows, 2):
        try:
            name, left, top = str(row["name"]), int(row["left"]), int(row["top"])
        except (KeyError, TypeError, ValueError):
            raise InvalidValueError(f"{place} line {number}: must be name,left,top below that heading.") from None
        if name not in sizes:
            raise InvalidValueError(f"{place} line {number}: no picture {name!r} is shown. {did_you_mean(name, sizes)}")
        height, width = sizes[name]
        if not (0 <= left <= width - size_px and 0 <= top <= height - size_px):
            raise InvalidValueError(
                f"{place} line {number}: a crop of {size_px} px at {left},{top} is not inside {width}x{height} px."
            )
        windows[name] = (top, left)
    return windows


def read_versions(one: Versions) -> dict[str, NDArray[np.uint8]]:
    """The 8-bit codes ``[H, W, 3]`` of every version."""
    codes = {method: read_pixels(path) for method, path in one.files.items()}
    return {
        method: np.rint(found / 257.0).astype(np.uint8) if found.dtype == np.uint16 else found.astype(np.uint8)
        for method, found in codes.items()
    }


def most_different(versions: Sequence[NDArray[np.uint8]], size_px: int) -> tuple[int, int]:
    """Top and left of the square in which versions of a picture differ most from each other.

    The variance of luma over the versions is summed over every square. All versions count alike, so that no method is
    favored by the choice.
    """
    total: NDArray[np.float64] = np.zeros(versions[0].shape[:2])
    squares: NDArray[np.float64] = np.zeros(versions[0].shape[:2])
    for codes in versions:
        luma = codes @ _LUMA
        total += luma
        squares += luma.astype(np.float64) ** 2
    variance = squares - total**2 / len(versions)
    sums = np.pad(variance, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    squares = (
        sums[size_px:, size_px:] - sums[:-size_px, size_px:] - sums[size_px:, :-size_px] + sums[:-size_px, :-size_px]
    )
    top, left = np.unravel_index(int(squares.argmax()), squares.shape)
    return int(top), int(left)


def crop(codes: NDArray[np.uint8], window: tuple[int, int], size_px: int) -> NDArray[np.uint8]:
    """The square at ``(top, left)``."""
    top, left = window
    return codes[top : top + size_px, left : left + size_px]
