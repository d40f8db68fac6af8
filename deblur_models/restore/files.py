"""Restoration of picture files: planning the output files, and writing them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import BlursynthError, InvalidValueError
from blursynth.io.decoders import CODE_SUFFIXES
from blursynth.io.folders import Inside, endings_text, expanded, matches, total, walk
from deblur_models.data.picture_file import read_picture, write_whole, written_suffix
from deblur_models.restore.restorer import Restorer

__all__ = ["BESIDE", "FilePlan", "RestoredFile", "RestoredFiles", "plan_files", "restore_files"]

BESIDE = "-deblurred"
"""What is appended to the names of restored pictures that are written next to their originals."""

HARDLY_CHANGED_DB = 40.0  # as of no_harm: what changes less looks the same


@dataclass(frozen=True)
class RestoredFile:
    """A picture, its restored file, and how much restoration at full strength changes it: PSNR in dB of the restored
    picture against the blurred one, infinite if it stays the same."""

    picture: Path
    target: Path
    changed_db: float

    @property
    def looks_sharp(self) -> bool:
        """Whether it is hardly changed (above 40 dB, invisible): it is sharp, or its blur is none that is removed."""
        return self.changed_db > HARDLY_CHANGED_DB


@dataclass(frozen=True)
class RestoredFiles:
    """The pictures that were restored, and those that failed, and why."""

    restored: list[RestoredFile]
    failed: list[tuple[str, str]]


@dataclass(frozen=True)
class FilePlan:
    """Every picture once with its output file, and what is skipped in the folders, and why.

    ``ignored`` counts the files of unknown formats by suffix.
    """

    jobs: list[tuple[Path, Path]]
    left_out: list[tuple[str, str]]
    ignored: dict[str, int]


def plan_files(pictures: Sequence[str | Path], out: str | Path | None, suffix: str = "") -> FilePlan:
    """The pictures found in files, folders and glob patterns, in order, with their output files.

    They keep their names; formats that cannot be written become PNG. Folders are searched recursively, linked ones too,
    and keep their structure; ``out`` may be inside one.

    Parameters
    ----------
    pictures
        Files, folders and patterns.
    out
        Folder for the restored pictures; None writes each next to its original. Then pictures in folders whose names
        end in ``suffix`` are taken for restored ones and passed over, counted in ``ignored`` as ``restored``.
    suffix
        Appended to their names.

    Raises
    ------
    InvalidValueError
        Nothing is found, two pictures would get the same output file, or a picture would overwrite itself.
    """
    place = None if out is None else Path(out)
    found: dict[Path, tuple[Path, Path]] = {}
    looked: list[Inside] = []
    for given in map(expanded, pictures):
        if given.is_dir():
            inside = walk(given, CODE_SUFFIXES, without=place)
            looked.append(inside)
            listed = [(given / name, name) for name in inside.files]
            if place is None and suffix:
                before = [one for one in listed if one[1].stem.endswith(suffix)]
                listed = [one for one in listed if one not in before]
                looked += [replace(inside, names=(), left_out=(), endings={"restored": len(before)})] if before else []
            if not listed:
                others = f" Other files there: {endings_text(inside.endings)}." if inside.endings else ""
                raise InvalidValueError(
                    f"{given}: holds no pictures.{others}",
                    fix=f"Known: {', '.join(s[1:] for s in CODE_SUFFIXES)}.",
                )
        elif not given.exists() and (matched := matches(given)) is not None:
            listed = [(path, Path(path.name)) for path in matched if path.is_file()]
            if not listed:
                raise InvalidValueError(f"{given}: no file matches this pattern.")
        else:
            listed = [(given, Path(given.name))]
        for picture, name in listed:
            where = picture.parent / name.name if place is None else place / name
            target = where.with_name(f"{name.stem}{suffix}{written_suffix(name)}")
            found.setdefault(picture.resolve(), (picture, target))
    keep = Counter(target for _, target in found.values())
    for real, (picture, target) in found.items():
        # If there is an a.png, the output of a.gif, whose format is not written, is a.gif.png.
        if keep[target] > 1 and picture.suffix.lower() != target.suffix:
            found[real] = picture, target.with_name(f"{picture.name}{suffix}{target.suffix}")
    targets: dict[Path, Path] = {}
    for real, (picture, target) in found.items():
        if target.resolve() in found:
            raise InvalidValueError(
                f"{picture} would overwrite {'itself' if target.resolve() == real else target}.",
                fix="Choose another folder, or add a suffix to the names.",
            )
        if target in targets:
            raise InvalidValueError(
                f"{targets[target]} and {picture} would both become {target}.",
                fix="Restore them one after another into different folders, or give their common folder.",
            )
        targets[target] = picture
    left_out = [(str(inside.root / name), why) for inside in looked for name, why in inside.left_out]
    return FilePlan(list(found.values()), left_out, total(inside.endings for inside in looked))


def restore_files(
    jobs: Iterable[tuple[Path, Path]],
    restorer: Restorer,
    kernels: NDArray[np.floating] | None = None,
    *,
    strength: float = 1.0,
    overwrite: bool = False,
    on_file: Callable[[int, Path], None] | None = None,
) -> RestoredFiles:
    """Restore picture files and keep bit depth, transparency and metadata.

    Parameters
    ----------
    jobs
        Pictures and their output files, as returned by :func:`plan_files`.
    restorer
        A network or a classical method.
    kernels
        ``[1, K, K]``, for methods that need the kernel.
    strength
        0 to 1.5: what is written is ``y + strength (x - y)`` of the picture ``y`` and the restored one ``x``.
    overwrite
        Whether to overwrite existing restored pictures.
    on_file
        Called before each picture with its index, from 0, and its path.

    Raises
    ------
    InvalidValueError
        The strength is out of range.
    """
    if not 0 <= strength <= 1.5:
        raise InvalidValueError(
            f"strength must be 0 to 1.5, got {strength}.", why="0 leaves a picture as it is, 1 restores it."
        )
    restored: list[RestoredFile] = []
    failed: list[tuple[str, str]] = []
    written: set[tuple[int, int]] = set()  # by inode, since A.png and a.png may be the same file
    for number, (picture, target) in enumerate(jobs):
        if on_file is not None:
            on_file(number, picture)
        if target.exists() and _identity(target) in written:
            failed.append((str(picture), f"{target} is the output of another picture"))
            continue
        if target.exists() and not overwrite:
            failed.append((str(picture), f"{target} already exists and is not overwritten"))
            continue
        try:
            file = read_picture(picture)
            before = file.tensor()
            after = restorer.restore(before, kernels)
            error = float((after.clamp(0.0, 1.0) - before).double().square().mean())
            write_whole(target, file.encoded(before.lerp(after, strength), target.suffix.lower()))
        except BlursynthError as problem:
            failed.append((str(picture), str(problem).removeprefix(f"{picture}: ").rstrip(".")))
        else:
            restored.append(RestoredFile(picture, target, -10.0 * math.log10(error) if error else math.inf))
            written.add(_identity(target))
    return RestoredFiles(restored, failed)


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
