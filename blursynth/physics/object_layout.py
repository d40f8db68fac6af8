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

__all__ = ["ObjectLayout", "ObjectShape", "object_labels", "random_layout", "uniform_numbers"]

MOST_OBJECTS = 1_000_000
_NUMBERS = 24  # random numbers of each object
_LONGEST_ASPECT = 2.5
_CORNER = 1.3  # the farthest corner of a polygon, in radii
_WAVES = (2, 3, 4, 5)  # of a blob's outline; more would be frayed
_WAVE_HEIGHT = 0.5  # of the wave k is up to this / k of the radius


class ObjectShape(StrEnum):
    """Outline of the objects: ``MIXED`` is one of the others, each as likely."""

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
    rows, columns = (max(1, math.ceil(extent / spacing_px)) for extent in full_size_px)
    if rows * columns > MOST_OBJECTS:
        raise InvalidValueError(
            f"spacing_px={spacing_px:g} puts {rows * columns:,} objects into {full_size_px[0]} x {full_size_px[1]} px.",
            why=f"More than {MOST_OBJECTS:,} take too long to draw.",
            fix="Use a wider spacing.",
        )
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


def object_labels(layout: ObjectLayout, origin_px: tuple[int, int], size_px: tuple[int, int]) -> NDArray[np.int32]:
    """Which object every pixel of a window shows, ``[H, W]`` int32: the nearest one there, 0 = none."""
    return _object_labels(layout, origin_px, size_px).copy()


@lru_cache(maxsize=2)  # a sample's window is asked for its reach and then for its pixels
def _object_labels(layout: ObjectLayout, origin_px: tuple[int, int], size_px: tuple[int, int]) -> NDArray[np.int32]:
    labels = np.zeros(size_px, np.int32)
    top, left = origin_px
    bounds = layout.radius_px * max(_CORNER, math.sqrt(_LONGEST_ASPECT), 1 + sum(_WAVE_HEIGHT / k for k in _WAVES))
    corner = layout.center_px - bounds[:, None] - (top, left)
    end = layout.center_px + bounds[:, None] - (top, left)
    first = np.maximum(np.ceil(corner).astype(np.int64), 0)
    last = np.minimum(np.floor(end).astype(np.int64), np.array(size_px) - 1)
    for n in np.flatnonzero((first <= last).all(axis=1)):  # from far to near
        (y0, x0), (y1, x1) = first[n], last[n]
        # From absolute coordinates, so that rounding does not depend on the window.
        y = (np.arange(y0, y1 + 1) + top - layout.center_px[n, 0])[:, None] / layout.radius_px[n]
        x = (np.arange(x0, x1 + 1) + left - layout.center_px[n, 1])[None, :] / layout.radius_px[n]
        inside = _INSIDE[layout.shape[n]](y, x, layout.numbers[n])
        labels[y0 : y1 + 1, x0 : x1 + 1][inside] = n + 1
    return labels


def _in_ellipse(y: NDArray[np.float64], x: NDArray[np.float64], numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
    aspect = _LONGEST_ASPECT ** numbers[0]
    angle = math.pi * numbers[1]
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    return np.asarray(along**2 / aspect + across**2 * aspect <= 1.0)


def _in_polygon(y: NDArray[np.float64], x: NDArray[np.float64], numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
    """A star-shaped polygon of 3 to 8 corners: the union of the triangles of its middle and its edges."""
    corners = 3 + min(int(6 * numbers[0]), 5)
    angle = 2 * math.pi * (np.arange(corners) + 0.6 * (numbers[2 : 2 + corners] - 0.5)) / corners
    angle += 2 * math.pi * numbers[1]
    radius = 0.7 + (_CORNER - 0.7) * numbers[10 : 10 + corners]
    px, py = radius * np.cos(angle), radius * np.sin(angle)
    inside = np.zeros(np.broadcast_shapes(y.shape, x.shape), bool)
    for i in range(corners):
        j = (i + 1) % corners
        after = px[i] * y - py[i] * x >= 0
        before = x * py[j] - y * px[j] >= 0
        within = (px[j] - px[i]) * (y - py[i]) - (py[j] - py[i]) * (x - px[i]) >= 0
        inside |= after & before & within
    return inside


def _in_blob(y: NDArray[np.float64], x: NDArray[np.float64], numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Inside of ``r(angle) = 1 + sum_k a_k cos(k angle + phase_k)``."""
    heights = [_WAVE_HEIGHT / k * numbers[2 * i] for i, k in enumerate(_WAVES)]
    square = y * y + x * x
    inside = np.asarray(square <= max(1.0 - sum(heights), 0.0) ** 2)
    # The outline is needed only in the ring where it lies. Powers of z = exp(i angle) stand for the angle: products are
    # rounded alike wherever a pixel stands in an array, which vectorized cosines are not.
    ring = np.flatnonzero((square <= (1.0 + sum(heights)) ** 2) & ~inside)
    row, column = np.divmod(ring, square.shape[1])
    distance = np.sqrt(square.ravel()[ring])
    cosine, sine = x[0, column] / distance, y[row, 0] / distance
    radius = np.ones(ring.shape)
    real, imaginary = cosine, sine
    for i, height in enumerate(heights):
        real, imaginary = real * cosine - imaginary * sine, real * sine + imaginary * cosine
        phase = 2 * math.pi * numbers[2 * i + 1]
        radius += height * (math.cos(phase) * real - math.sin(phase) * imaginary)
    inside.ravel()[ring] = distance <= radius
    return inside


_INSIDE = (_in_ellipse, _in_polygon, _in_blob)
