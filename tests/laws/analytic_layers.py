"""Scenes of analytic layers, and what a camera makes of them, ray by ray: the oracle of blur at edges of depth.

A layer is a set of shapes (half-planes, stripes, discs, rings, grids) with a color. It is opaque, it goes on behind
the layers before it, and its edges lie anywhere between pixels: a pixel at an edge is a mixture. The layers of a scene
stand in order from near to far.

Written from the equations alone, with nothing of the package under test:

- a pinhole at the point u of the aperture (u on the unit disk; or on the camera's path, for parallax) sees the point q
  of a layer at ``p = q + u r(q)``, with the signed radius ``r(q) = r0 + g . q`` of the layer, affine for a plane. So
  the ray of p meets the layer where ``r = (r0 + g . p) / (1 + g . u)``, ``q = p - u r``, if one of its shapes has q;
- at the time t an object that moves is seen at ``p = q + path(t)``;
- a pixel is the mean over its area, and over the aperture or the exposure, of the color of the nearest layer that the
  ray meets, in linear light.

The product is given what a data set has: the picture, the depth and the labels at pixels, the last two those of the
layer that most of the pixel shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Layer",
    "Shape",
    "Window",
    "codes",
    "disc",
    "disk_points",
    "everywhere",
    "grid",
    "half_plane",
    "line_points",
    "path_points",
    "picture",
    "rays",
    "ring",
    "signed_radius",
    "stripe",
]

SUBPIXELS = 16  # along each side of a pixel
Window = tuple[int, int, int, int]  # first row, first column, rows, columns

_EVERYWHERE, _HALF_PLANE, _STRIPE, _DISC, _RING, _GRID = range(6)


@dataclass(frozen=True)
class Shape:
    """A region of the plane, as a number for its kind and what the kind needs; made by the functions below."""

    numbers: tuple[float, float, float, float, float, float]

    def moved(self, down: float, right: float) -> Shape:
        """The same, displaced by so many px."""
        kind, x, y, *others = self.numbers
        return Shape((kind, x + right, y + down, others[0], others[1], others[2]))


def everywhere() -> Shape:
    return Shape((_EVERYWHERE, 0.0, 0.0, 0.0, 0.0, 0.0))


def half_plane(angle_deg: float, x: float, y: float) -> Shape:
    """What lies beyond (x, y) in a direction, 0 = right, 90 = down: a straight edge at right angles to it."""
    angle = math.radians(angle_deg)
    return Shape((_HALF_PLANE, x, y, math.cos(angle), math.sin(angle), 0.0))


def stripe(angle_deg: float, x: float, y: float, width: float) -> Shape:
    """A straight stripe through (x, y), such as a wire; the angle is that of its normal."""
    angle = math.radians(angle_deg)
    return Shape((_STRIPE, x, y, math.cos(angle), math.sin(angle), 0.5 * width))


def disc(x: float, y: float, radius: float) -> Shape:
    return Shape((_DISC, x, y, radius, 0.0, 0.0))


def ring(x: float, y: float, radius: float, width: float) -> Shape:
    """A circular line, whose arcs are curved hairs."""
    return Shape((_RING, x, y, radius, 0.5 * width, 0.0))


def grid(angle_deg: float, x: float, y: float, period: float, width: float) -> Shape:
    """Two sets of equally spaced stripes at right angles."""
    angle = math.radians(angle_deg)
    return Shape((_GRID, x, y, period, angle, width))


@dataclass(frozen=True)
class Layer:
    """One opaque surface.

    Parameters
    ----------
    shapes
        It is where any of these is.
    radius_px
        Signed radius of its blur at the pixel (0, 0); larger is nearer, 0 is in focus.
    slope
        Derivative of the radius by row and column.
    color
        Red, green, blue, of a white of 1.
    gradient
        Relative change of the color by row and column, per px from the pixel (0, 0).
    texture
        Relative amplitude of a sinusoid over the color and its cycles per px by row and column; its phase differs
        between the channels.
    path_px
        ``[M, 2]`` where an object that moves is at equal times, x and y; None stands still.
    """

    shapes: tuple[Shape, ...]
    radius_px: float = 0.0
    slope: tuple[float, float] = (0.0, 0.0)
    color: tuple[float, float, float] = (0.5, 0.5, 0.5)
    gradient: tuple[float, float] = (0.0, 0.0)
    texture: tuple[float, float, float] = (0.0, 0.0, 0.0)
    path_px: NDArray[np.float64] | None = field(default=None, compare=False)

    def moved(self, down: float, right: float) -> Layer:
        """The same with its shapes displaced: what a depth map says whose edge lies beside that of the picture."""
        return replace(self, shapes=tuple(shape.moved(down, right) for shape in self.shapes))

    @property
    def moves(self) -> bool:
        return self.path_px is not None

    @property
    def numbers(self) -> tuple[float, ...]:
        return (self.radius_px, *self.slope, *self.color, *self.gradient, *self.texture)


def codes(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear light as codes of an 8-bit sRGB file, not rounded (IEC 61966-2-1)."""
    light = np.clip(light, 0.0, 1.0)
    curved = 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055
    return np.asarray(255.0 * np.where(light <= 0.0031308, 12.92 * light, curved))


@numba.njit(cache=True, nogil=True, fastmath=True)
def _inside(shapes, first, end, y, x):  # type: ignore[no-untyped-def]
    for s in range(first, end):
        kind, right, down = shapes[s, 0], x - shapes[s, 1], y - shapes[s, 2]
        if kind == _EVERYWHERE:
            return True
        if kind == _HALF_PLANE:
            if right * shapes[s, 3] + down * shapes[s, 4] > 0:
                return True
        elif kind == _STRIPE:
            if abs(right * shapes[s, 3] + down * shapes[s, 4]) < shapes[s, 5]:
                return True
        elif kind == _DISC:
            if right * right + down * down < shapes[s, 3] ** 2:
                return True
        elif kind == _RING:
            if abs(math.sqrt(right * right + down * down) - shapes[s, 3]) < shapes[s, 4]:
                return True
        else:
            cosine, sine, period = math.cos(shapes[s, 4]), math.sin(shapes[s, 4]), shapes[s, 3]
            along, across = right * cosine + down * sine, down * cosine - right * sine
            width = shapes[s, 5]
            along, across = along - period * math.floor(along / period), across - period * math.floor(across / period)
            if along < width or across < width:
                return True
    return False


@numba.njit(cache=True, nogil=True, fastmath=True)
def _add_color(layer, y, x, total):  # type: ignore[no-untyped-def]
    shade = 1.0 + layer[6] * y + layer[7] * x
    for c in range(3):
        value = layer[3 + c] * shade
        if layer[8] != 0:
            value *= 1.0 + layer[8] * math.sin(2.0 * math.pi * (layer[9] * y + layer[10] * x) + c)
        total[c] += value


@numba.njit(cache=True, nogil=True, fastmath=True)
def _trace(shapes, first, layers, points, which, scales, spread, box, window, out):  # type: ignore[no-untyped-def]
    """Per pixel of the window the mean over its sub-pixels and, for each, over its share of the points."""
    samples = points.shape[1]
    each = samples // (SUBPIXELS * SUBPIXELS)
    total = np.zeros(3)
    for row in range(window[2]):
        for column in range(window[3]):
            total[:] = 0.0
            for s in range(samples):
                cell = s // each
                y = window[0] + row + (cell // SUBPIXELS + 0.5) / SUBPIXELS - 0.5
                x = window[1] + column + (cell % SUBPIXELS + 0.5) / SUBPIXELS - 0.5
                for k in range(layers.shape[0]):
                    u, v = points[which[k], s, 0], points[which[k], s, 1]  # x and y
                    slope_y, slope_x = layers[k, 1], layers[k, 2]
                    radius = scales[k]
                    if spread:
                        radius = (layers[k, 0] + slope_y * y + slope_x * x) / (1.0 + slope_y * v + slope_x * u)
                    there_y, there_x = y - v * radius, x - u * radius
                    if radius > 0.5 or radius < -0.5:
                        there_y -= box[s, 1]
                        there_x -= box[s, 0]
                    if _inside(shapes, first[k], first[k + 1], there_y, there_x):
                        _add_color(layers[k], there_y, there_x, total)
                        break
            for c in range(3):
                out[c, row, column] = total[c] / samples


@numba.njit(cache=True, nogil=True, fastmath=True)
def _still(shapes, first, layers, image, most):  # type: ignore[no-untyped-def]
    height, width = most.shape
    total = np.zeros(3)
    count = np.zeros(layers.shape[0])
    for row in range(height):
        for column in range(width):
            total[:] = 0.0
            count[:] = 0.0
            for cell in range(SUBPIXELS * SUBPIXELS):
                y = row + (cell // SUBPIXELS + 0.5) / SUBPIXELS - 0.5
                x = column + (cell % SUBPIXELS + 0.5) / SUBPIXELS - 0.5
                for k in range(layers.shape[0]):
                    if _inside(shapes, first[k], first[k + 1], y, x):
                        count[k] += 1
                        _add_color(layers[k], y, x, total)
                        break
            for c in range(3):
                image[c, row, column] = total[c] / (SUBPIXELS * SUBPIXELS)
            most[row, column] = np.argmax(count)


def _tables(layers: Sequence[Layer]) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    shapes = np.array([shape.numbers for layer in layers for shape in layer.shapes])
    first = np.cumsum([0, *(len(layer.shapes) for layer in layers)])
    return shapes, first, np.array([layer.numbers for layer in layers])


def picture(layers: Sequence[Layer], height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What the product sees: ``[3, H, W]`` means over pixels, and ``[H, W]`` the layer that most of each pixel shows."""
    image, most = np.zeros((3, height, width)), np.zeros((height, width), np.int64)
    _still(*_tables(layers), image, most)
    return image, most


def signed_radius(layers: Sequence[Layer], most: NDArray[np.int64]) -> NDArray[np.float64]:
    """``[H, W]`` the radius of the layer that each pixel shows, at the pixel's middle."""
    rows, columns = np.indices(most.shape)
    r0, down, right = (np.array([layer.numbers[n] for layer in layers])[most] for n in range(3))
    return np.asarray(r0 + down * rows + right * columns)


def _uniform(count: int, dimensions: int, skip: int = 0) -> NDArray[np.float64]:
    """``[count, dimensions]`` a sequence that fills the cube evenly: multiples of powers of one over the root of
    ``x^(d+1) = x + 1``, which is the golden ratio for one dimension."""
    root = 2.0
    for _ in range(60):
        root = (1.0 + root) ** (1.0 / (dimensions + 1))
    steps = (1.0 / root) ** np.arange(1, dimensions + 1)
    return np.asarray(((skip + np.arange(count))[:, None] * steps + 0.5) % 1.0)


@cache
def disk_points(each: int) -> NDArray[np.float64]:
    """``[256 each, 2]`` points of a round aperture, x and y on the unit disk, ``each`` of them for every sub-pixel.

    A sunflower's spiral, which is turned from one sub-pixel to the next and takes other radii.
    """
    cells = SUBPIXELS * SUBPIXELS
    turn = _uniform(cells, 2, 1)
    k = np.arange(each)
    radius = np.sqrt((k + turn[:, 1:]) / each)
    angle = k * math.pi * (3.0 - math.sqrt(5.0)) + 2.0 * math.pi * turn[:, :1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).reshape(-1, 2)


def _times(each: int) -> NDArray[np.float64]:
    """``[256 each]`` times of an exposure from 0 to 1, ``each`` evenly spaced ones for every sub-pixel."""
    cells = SUBPIXELS * SUBPIXELS
    return ((np.arange(each) + _uniform(cells, 1, 1)) / each).ravel()


def line_points(each: int, angle_deg: float) -> NDArray[np.float64]:
    """As :func:`disk_points` for a camera that moves along a straight line: from -1 to 1 in this direction."""
    angle, along = math.radians(angle_deg), 2.0 * _times(each) - 1.0
    return np.stack([along * math.cos(angle), along * math.sin(angle)], axis=-1)


def path_points(path_px: NDArray[np.float64], each: int) -> NDArray[np.float64]:
    """As :func:`disk_points` for positions of a path, straight between those that are given at equal times."""
    place = _times(each) * (len(path_px) - 1)
    return np.stack([np.interp(place, np.arange(len(path_px)), path_px[:, axis]) for axis in (0, 1)], axis=-1)


def rays(
    layers: Sequence[Layer], window: Window, points: NDArray[np.float64] | int, *, boxes: int = 0
) -> NDArray[np.float64]:
    """``[3, rows, columns]`` what the camera records in a window of the picture.

    Parameters
    ----------
    layers
        From near to far; the last one is everywhere.
    window
        First row, first column, rows, columns.
    points
        Points of the aperture or of the camera's path, as :func:`disk_points` makes them; or a number: the scene's
        objects move, and so many times of the exposure are taken for every sub-pixel.
    boxes
        Areas of a pixel over which the light of blurred layers is spread besides. A point spread that is exact in area
        is applied to pixels that are means over areas already: that is one. Light that is shared out among four pixels
        in proportion is spread by two.
    """
    shapes, first, numbers = _tables(layers)
    which, scales = np.zeros(len(layers), np.int64), np.zeros(len(layers))
    spread = not isinstance(points, int)
    if isinstance(points, int):
        sets = []
        for k, layer in enumerate(layers):
            if layer.path_px is not None:
                which[k], scales[k] = len(sets), 1.0
                sets.append(path_points(layer.path_px, points))
        every = np.stack(sets)
    else:
        every = np.ascontiguousarray(points)[None]  # of one type, so that it is compiled once
    shift = np.zeros((every.shape[1], 2))
    if boxes:
        shift = (_uniform(every.shape[1], 2 * boxes, 7) - 0.5).reshape(-1, boxes, 2).sum(axis=1)
    out = np.zeros((3, window[2], window[3]))
    _trace(shapes, first, numbers, every, which, scales, spread, shift, np.array(window), out)
    return out
