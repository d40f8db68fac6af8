"""Random objects in a picture: their positions, shapes and order of nearness.

A layout belongs to the full picture and is a function of its size and a seed, so that a window shows the same objects
as the whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError

__all__ = ["LARGEST_REACH", "ObjectLayout", "ObjectShape", "cells_of", "random_layout", "uniform_numbers"]

MOST_OBJECTS = 1_000_000
_NUMBERS = 24  # random numbers of each object
LONGEST_ASPECT = 2.5
NEAREST_CORNER, FARTHEST_CORNER = 0.7, 1.3  # of a polygon from its middle, in radii
MOST_CORNERS = 8
WAVES = (2, 3, 4, 5)  # of a blob's outline; more would be frayed
WAVE_HEIGHT = 0.5  # the height of wave k is up to this / k of the radius
LARGEST_REACH = max(FARTHEST_CORNER, math.sqrt(LONGEST_ASPECT), 1 + sum(WAVE_HEIGHT / k for k in WAVES))
"""Distance of the farthest point of any object from its middle, in radii."""


class ObjectShape(StrEnum):
    """Outline of the objects: ``MIXED`` is one of the others, each as likely.

    With x, y from the middle in radii, and the object's uniform numbers u: an ``ELLIPSE`` of the aspect
    ``LONGEST_ASPECT ** u``; a ``POLYGON`` of 3 to 8 corners at irregular angles and distances; a ``BLOB``, the inside
    of ``r(angle) = 1 + sum_k a_k cos(k angle + phase_k)``. ``backends.oracle.object_labels`` is the definition.
    """

    MIXED = "mixed"
    ELLIPSE = "ellipse"
    POLYGON = "polygon"
    BLOB = "blob"


_SHAPES = (ObjectShape.ELLIPSE, ObjectShape.POLYGON, ObjectShape.BLOB)


def uniform_numbers(seed: int, stream: int, count: int) -> NDArray[np.float64]:
    """``count`` uniform numbers in (0, 1) of a named stream of a seed, from Philox's raw words, the same everywhere."""
    words = np.random.Philox(key=[seed, stream]).random_raw(count)
    return ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


@dataclass(frozen=True, eq=False)
class ObjectLayout:
    """The objects of a full picture, from far to near; object n (from 1) has the label n.

    Parameters
    ----------
    center_px
        ``[N, 2]`` row and column.
    radius_px
        ``[N]`` half of the size.
    nearness
        ``[N]`` 0 (far) to 1 (near), rising.
    shape
        ``[N]`` index in (ellipse, polygon, blob).
    numbers
        ``[N, K]`` uniform random numbers that determine the outline.
    """

    center_px: NDArray[np.float64]
    radius_px: NDArray[np.float64]
    nearness: NDArray[np.float64]
    shape: NDArray[np.int64]
    numbers: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.radius_px)


def cells_of(full_size_px: tuple[int, int], spacing_px: float) -> tuple[int, int]:
    """Rows and columns of the cells of a layout.

    Raises
    ------
    InvalidValueError
        There are more than a million.
    """
    rows, columns = (max(1, math.ceil(extent / spacing_px)) for extent in full_size_px)
    if rows * columns > MOST_OBJECTS:
        raise InvalidValueError(
            f"spacing_px={spacing_px:g} puts {rows * columns:,} objects into {full_size_px[0]} x {full_size_px[1]} px.",
            why=f"More than {MOST_OBJECTS:,} take too long to draw.",
            fix="Use a wider spacing.",
        )
    return rows, columns


@lru_cache(maxsize=32)
def random_layout(
    seed: int, full_size_px: tuple[int, int], spacing_px: float, size_px: float, shape: ObjectShape
) -> ObjectLayout:
    """One object in every cell of a grid, at a random place of its cell.

    Parameters
    ----------
    seed
        0 <= seed < 2^63.
    full_size_px
        Height and width of the full picture.
    spacing_px
        Side of the cells, > 0: the mean distance between neighbors.
    size_px
        Diameter of the objects, > 0; each has between half of it and twice it, uniform in the logarithm.
    shape
        Outlines.

    Raises
    ------
    InvalidValueError
        More than a million objects.
    """
    rows, columns = cells_of(full_size_px, spacing_px)
    numbers = uniform_numbers(seed, 0, rows * columns * _NUMBERS).reshape(-1, _NUMBERS)
    row, column = np.divmod(np.arange(rows * columns), columns)
    center = np.stack(
        [
            (row + numbers[:, 0]) * full_size_px[0] / rows - 0.5,
            (column + numbers[:, 1]) * full_size_px[1] / columns - 0.5,
        ],
        axis=1,
    )
    radius = 0.5 * size_px * 2.0 ** (2.0 * numbers[:, 2] - 1.0)
    if shape is ObjectShape.MIXED:
        chosen = np.minimum((numbers[:, 4] * len(_SHAPES)).astype(np.int64), len(_SHAPES) - 1)
    else:
        chosen = np.full(len(numbers), _SHAPES.index(shape), np.int64)
    order = np.argsort(numbers[:, 3], kind="stable")
    return ObjectLayout(center[order], radius[order], numbers[order, 3], chosen[order], numbers[order, 5:])
