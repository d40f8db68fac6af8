"""Random objects, pixel by pixel: the definition of their outlines."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from blursynth.physics.object_layout import (
    FARTHEST_CORNER,
    LARGEST_REACH,
    LONGEST_ASPECT,
    MOST_CORNERS,
    NEAREST_CORNER,
    WAVE_HEIGHT,
    WAVES,
    ObjectLayout,
)

__all__ = ["object_labels"]


def object_labels(layout: ObjectLayout, origin_px: tuple[int, int], size_px: tuple[int, int]) -> NDArray[np.int32]:
    """Object by object from far to near, so that near ones cover far ones."""
    labels = np.zeros(size_px, np.int32)
    row, column = (np.arange(first, first + count) for first, count in zip(origin_px, size_px, strict=True))
    for n in range(len(layout)):
        y = ((row - layout.center_px[n, 0]) / layout.radius_px[n])[:, None]
        x = ((column - layout.center_px[n, 1]) / layout.radius_px[n])[None, :]
        if abs(y).min() <= LARGEST_REACH and abs(x).min() <= LARGEST_REACH:
            labels[_INSIDE[layout.shape[n]](y, x, layout.numbers[n])] = n + 1
    return labels


def _in_ellipse(y: NDArray[np.float64], x: NDArray[np.float64], numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
    aspect = LONGEST_ASPECT ** numbers[0]
    angle = math.pi * numbers[1]
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    return np.asarray(along**2 / aspect + across**2 * aspect <= 1.0)


def _in_polygon(y: NDArray[np.float64], x: NDArray[np.float64], numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
    """A polygon of 3 to 8 corners: a ray to the left from inside crosses its edges an odd number of times."""
    corners = 3 + min(int((MOST_CORNERS - 2) * numbers[0]), MOST_CORNERS - 3)
    angle = 2 * math.pi * (np.arange(corners) + 0.6 * (numbers[2 : 2 + corners] - 0.5)) / corners
    angle += 2 * math.pi * numbers[1]
    radius = NEAREST_CORNER + (FARTHEST_CORNER - NEAREST_CORNER) * numbers[10 : 10 + corners]
    px, py = radius * np.cos(angle), radius * np.sin(angle)
    inside = np.zeros(np.broadcast_shapes(y.shape, x.shape), bool)
    for i in range(corners):
        j = (i + 1) % corners
        if py[i] != py[j]:
            inside ^= ((py[i] <= y) != (py[j] <= y)) & (px[i] + (y - py[i]) * (px[j] - px[i]) / (py[j] - py[i]) <= x)
    return inside


def _in_blob(y: NDArray[np.float64], x: NDArray[np.float64], numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
    distance, angle = np.hypot(x, y), np.arctan2(y, x)
    radius = np.ones_like(distance)
    for i, k in enumerate(WAVES):
        radius += WAVE_HEIGHT / k * numbers[2 * i] * np.cos(k * angle + 2 * math.pi * numbers[2 * i + 1])
    return np.asarray(distance <= radius)


_INSIDE = (_in_ellipse, _in_polygon, _in_blob)
