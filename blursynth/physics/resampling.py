"""Resizing a picture, one axis at a time: the samples and weights that give those of another grid.

Sample n of a grid whose samples are ``pitch`` px apart lies at ``(n + 1/2) pitch - 1/2``, so that the grids cover the
same field of view and nothing is shifted. Positions count from the first pixel of the full picture: a window has the
grid of the whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError, did_you_mean
from blursynth.frame import Border

__all__ = ["METHODS", "Bands", "reach_px", "rescaling", "taps"]

METHODS = ("area", "bilinear", "bicubic")

_CUBIC = -0.75
"""Keys' parameter a as OpenCV and PyTorch have it; -1/2 would reproduce straight lines exactly."""


@dataclass(frozen=True, eq=False)
class Bands:
    """A linear map along one axis: ``y[n] = sum_k weight[n, k] x[source[n, k]]``.

    Parameters
    ----------
    source
        ``[N, K]`` int64, samples of the input, 0 .. size - 1.
    weight
        ``[N, K]`` float64; 0 for taps that are not needed or lie beyond a dark border.
    """

    source: NDArray[np.int64]
    weight: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.source.ndim != 2 or self.source.shape != self.weight.shape or 0 in self.source.shape:
            raise InvalidValueError(
                f"Bands need source and weight of one shape [N, K], got {self.source.shape} and {self.weight.shape}."
            )
        if self.source.min() < 0 or not np.isfinite(self.weight).all():
            raise InvalidValueError(
                "Bands need samples >= 0 and finite weights.",
                why="A sample that does not exist has weight 0, and any index.",
            )

    def __len__(self) -> int:
        return int(self.source.shape[0])

    def matrix(self, size: int) -> NDArray[np.float64]:
        """``[N, size]``, dense."""
        dense = np.zeros((len(self), size))
        np.add.at(dense, (np.arange(len(self))[:, None], self.source), self.weight)
        return dense


def taps(sample: NDArray[np.int64], pitch: float, method: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """``[N, K]`` positions and weights that make samples of a grid of ``pitch``; weights sum to 1.

    ``area``: the mean over the sample's own width, each pixel being constant over its own; of a fine grid, nearly the
    nearest pixel. ``bilinear`` and ``bicubic`` (Keys, a = -3/4): between the 2 or 4 nearest pixels whatever the pitch,
    so that a coarse grid aliases, as in OpenCV and PyTorch without antialiasing.

    >>> position, weight = taps(np.array([0, 1]), 2.0, "bilinear")
    >>> position.tolist(), weight.tolist()
    ([[0, 1], [2, 3]], [[0.5, 0.5], [0.5, 0.5]])
    """
    if method not in METHODS:
        raise InvalidValueError(f"There is no method {method!r} of resampling.", fix=did_you_mean(method, METHODS))
    center = (sample + 0.5) * pitch - 0.5
    if method == "area":
        low, high = center - 0.5 * pitch, center + 0.5 * pitch
        position = np.floor(low + 0.5).astype(np.int64)[:, None] + np.arange(math.ceil(pitch) + 1)
        weight = np.minimum(high[:, None], position + 0.5) - np.maximum(low[:, None], position - 0.5)
        weight = np.maximum(weight, 0.0)
    else:
        base = np.floor(center).astype(np.int64)
        position = base[:, None] + (np.arange(2) if method == "bilinear" else np.arange(-1, 3))
        distance = np.abs(center[:, None] - position)
        weight = np.maximum(1.0 - distance, 0.0) if method == "bilinear" else _keys(distance)
    return position, weight / weight.sum(axis=1, keepdims=True)


def _keys(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic kernel."""
    d, a = distance, _CUBIC
    near = ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    far = ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
    return np.asarray(np.where(d <= 1.0, near, np.where(d < 2.0, far, 0.0)))


def rescaling(
    factor: float, down: str, up: str, *, first_px: int, size_px: int, border: Border | str
) -> tuple[Bands, Bands]:
    """To a grid of ``factor`` samples per pixel and back, along one axis of a window.

    Parameters
    ----------
    factor
        Samples of the other grid per pixel, > 0; below 1 it is the coarser one.
    down, up
        Methods to the other grid and back: one of :data:`METHODS`.
    first_px, size_px
        Start of the window in the full picture, and its length.
    border
        How the window is continued beyond its ends; not ``VALID``.

    Returns
    -------
    tuple
        The map to the other grid, of all samples of it that the window needs, and the map back.
    """
    if not (math.isfinite(factor) and factor > 0):
        raise InvalidValueError(f"factor must be > 0, got {factor}.", why="It is the ratio of two sizes.")
    position, back = taps(np.arange(first_px, first_px + size_px), factor, up)
    other = np.arange(position.min(), position.max() + 1)
    place, weight = taps(other, 1.0 / factor, down)
    source, seen = _continued(place - first_px, size_px, Border(border))
    return Bands(source, np.where(seen, weight, 0.0)), Bands(position - other[0], back)


def reach_px(factor: float, down: str, up: str) -> int:
    """The distance in px that light travels on the way to another grid and back."""
    half = {"bilinear": 1.0, "bicubic": 2.0}
    to = half.get(down, 0.5 * (1.0 / factor + 1.0))
    back = half.get(up, 0.5 * (factor + 1.0)) / factor
    return math.ceil(to + back) - 1


def _continued(place: NDArray[np.int64], size: int, border: Border) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The pixel that stands at each place of a row continued beyond its ends, and whether there is one."""
    inside = (place >= 0) & (place < size)
    everywhere = np.ones_like(inside)
    if border is Border.REPLICATE:
        return np.clip(place, 0, size - 1), everywhere
    if border is Border.CIRCULAR:
        return place % size, everywhere
    if border is Border.REFLECT:
        period = max(2 * size - 2, 1)
        folded = place % period
        return np.minimum(folded, period - folded) if size > 1 else np.zeros_like(place), everywhere
    if border is Border.CONSTANT:
        return np.where(inside, place, 0), inside
    raise InvalidValueError("border='valid' has no meaning for a change of grid.", fix="Use another border and crop.")
