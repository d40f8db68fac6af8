"""The pairs of public test sets, wherever their pictures lie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from torch import Tensor

from blursynth.io.pair_layouts import Layout, find_pairs
from blursynth.io.pictures import read_pixels
from deblur_models.data.collate import values_of
from deblur_models.data.pair_set import FolderPairs, PairSample, PairSet
from deblur_models.evaluate.references import References

__all__ = ["open_layout"]


def open_layout(folder: str | Path, layouts: Sequence[Layout], name: str) -> tuple[PairSet, References | None]:
    """The pairs of a folder in the first of several layouts that it has, and their sharp pictures if there are several.

    Raises
    ------
    DatasetError
        As :func:`~blursynth.io.pair_layouts.find_pairs`.
    """
    found = find_pairs(folder, layouts, name)
    middle = [sharp[len(sharp) // 2] for sharp in found.sharp if sharp]
    pairs = FolderPairs(found.blurred, middle or None, found.names, name, (found.inside,))
    if not found.several:
        return pairs, None
    of_name = dict(zip(found.names, found.sharp, strict=True))

    def references(sample: PairSample) -> Iterable[Tensor]:
        return (values_of(read_pixels(path), "cpu") for path in of_name[sample.name])

    return pairs, references
