"""Sources of the kernel of a pair: its draw, or a file with its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import DatasetError, InvalidValueError
from blursynth.io.folders import ByName, expanded, walk
from blursynth.records.text import name_of
from deblur_models.classical import read_kernel
from deblur_models.data.pair_set import FolderPairs, PairSample, PairSet

__all__ = ["Kernels", "kernel_of_draw", "kernels_of_files"]

Kernels = Callable[[PairSample], NDArray[np.floating] | None]
"""The kernel ``[K, K]`` of a pair, K odd, sum 1; None if no single kernel is known."""


def kernel_of_draw(sample: PairSample) -> NDArray[np.floating] | None:
    """The kernel of the pair's draw; None if it varies over the picture, and for real pairs."""
    return None if sample.draw is None else sample.draw.kernel()


def kernels_of_files(folder: str | Path, pairs: PairSet, *, turn_180: bool = False) -> Kernels:
    """The kernel of a pair from the file with its name in a folder.

    Parameters
    ----------
    folder
        Contains files readable by :func:`~deblur_models.classical.read_kernel`, such as 001.npy for 001.png.
    pairs
        Pairs of picture files.
    turn_180
        Rotate kernels by 180 degrees, for kernels defined by correlation, such as Levin's.

    Raises
    ------
    InvalidValueError
        The pairs have no file names, since they are a data set, which has the kernels of its draws.
    DatasetError
        The folder does not exist, or a picture has no kernel in it.
    """
    if not isinstance(pairs, FolderPairs):
        raise InvalidValueError(
            f"{pairs.name}: kernels from files require folders of pictures.",
            why="A data set has the kernels of its draws.",
            fix="Leave them out.",
        )
    folder = expanded(folder)
    if not folder.is_dir():
        raise DatasetError(f"{folder}: does not exist.")
    files = ByName[Path]()
    for file in walk(folder, None).files:
        files.add(name_of(file.with_suffix("")), folder / file)
    kernels = {name: found[-1] for name in pairs.names if (found := files.find(name))}
    alone = [name for name in pairs.names if name not in kernels]
    if alone:
        raise DatasetError(
            f"{folder}: {len(alone)} of {len(pairs)} pictures have no kernel (the first is {alone[0]!r}).",
            fix="Name their files like the pictures, such as 001.npy for 001.png.",
        )
    return lambda sample: read_kernel(kernels[sample.name], turn_180=turn_180)
