"""Sets with several sharp pictures per blurred one, along the path of the camera (Köhler et al. 2012)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from blursynth.errors import DatasetError
from blursynth.io.decoders import CODE_SUFFIXES
from blursynth.io.folders import Inside, expanded, walk
from blursynth.io.pictures import read_pixels
from blursynth.records.text import name_of, path_of
from deblur_models.data.collate import values_of
from deblur_models.data.pair_set import FolderPairs, PairSample, PairSet, open_pairs, pictures_by_name

__all__ = ["References", "open_references"]

References = Callable[[PairSample], Iterable[Tensor]]
"""Several sharp pictures ``[3, H, W]`` in 0..1 for one blurred picture, along the path of the camera."""


def open_references(
    blurred: str | Path, references: str | Path, sharp: str | Path | None = None
) -> tuple[PairSet, References]:
    """The pairs of a folder of blurred pictures, and a function that returns the references of a pair.

    Parameters
    ----------
    blurred
        The folder of the blurred pictures.
    references
        A folder that holds, for each blurred picture, a folder with its name that contains its sharp pictures.
    sharp
        The folder of the sharp pictures for all other metrics; by default the middle one of a picture's references.

    Raises
    ------
    DatasetError
        A folder does not exist, or a picture has no references.
    """
    blurred, references = expanded(blurred), expanded(references)
    for folder in (blurred, references):
        if not folder.is_dir():
            raise DatasetError(f"{folder}: does not exist.")
    by_name, blurred_ones = pictures_by_name(blurred)
    sharp_ones = {name: _sharp_pictures(references / path_of(name)) for name in by_name}
    listed = {name: inside.paths for name, inside in sharp_ones.items()}
    alone = [name for name, found in listed.items() if not found]
    if alone or not by_name:
        raise DatasetError(
            f"{references}: contains no pictures in the folder {alone[0]!r}."
            if alone
            else f"{blurred}: contains no pictures.",
            why="The sharp pictures along the path of a blurred picture must be in a folder with its name.",
        )

    def of_sample(sample: PairSample) -> Iterable[Tensor]:
        for path in listed[sample.name]:
            yield values_of(read_pixels(path), "cpu")

    if sharp is not None:
        return open_pairs(blurred, sharp), of_sample
    middle = [paths[len(paths) // 2] for paths in listed.values()]
    looked = (blurred_ones, *sharp_ones.values())
    return FolderPairs(list(by_name.values()), middle, list(by_name), name_of(Path(blurred.name)), looked), of_sample


def _sharp_pictures(folder: Path) -> Inside:
    """The sharp pictures of one blurred picture, directly in its folder."""
    if not folder.is_dir():
        return Inside(folder, ())
    inside = walk(folder, CODE_SUFFIXES)
    return replace(inside, names=tuple(name for name in inside.names if "/" not in name))
