"""The mean of the pictures that a moving camera sees while the shutter is open: the oracle of camera shake."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.oracle.borders import continued_index
from blursynth.frame import Border
from blursynth.physics.warps import Warps

__all__ = ["warp_mean", "warp_mean_adjoint"]


def _source_places(
    warps: Warps, b: int, time: int, rows: NDArray[np.int64], width: int, inverse_depth: NDArray[np.floating] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Row and column ``[len(rows), W]`` in the source that each pixel of these rows shows at a time."""
    b %= len(warps)
    y, x = np.meshgrid(rows.astype(np.float64), np.arange(width, dtype=np.float64), indexing="ij")
    m, shift = warps.matrix[b, time], warps.shift[b, time]
    q = 0.0 if inverse_depth is None else inverse_depth.astype(np.float64)
    u, v, s = (m[i, 0] * x + m[i, 1] * y + m[i, 2] + q * shift[i] for i in range(3))
    return v / s, u / s


def _moments(warps: Warps, b: int, height: int) -> list[tuple[int, NDArray[np.int64], NDArray[np.float64]]]:
    """(time, rows that see it, their weights)."""
    b %= len(warps)
    first, weight = warps.first[b], warps.weight[b]
    if len(first) == 1:
        first, weight = np.repeat(first, height), np.repeat(weight, height, axis=0)
    out = []
    for time in range(warps.matrix.shape[1]):
        n = time - first
        rows = np.flatnonzero((n >= 0) & (n < weight.shape[1]))
        rows = rows[weight[rows, n[rows]] != 0]
        if rows.size:
            out.append((time, rows, weight[rows, n[rows]]))
    return out


def _corners(
    place: NDArray[np.float64], size: int, border: Border
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """The two pixels beside each place with their shares; index -1 for none."""
    low = np.floor(place).astype(np.int64)
    share = place - low
    return [(continued_index(low, size, border), 1 - share), (continued_index(low + 1, size, border), share)]


def warp_mean(
    image: NDArray[np.floating],
    warps: Warps,
    inverse_depth: NDArray[np.floating] | None = None,
    *,
    border: Border,
) -> NDArray[np.floating]:
    """``y(p) = sum_t weight(row of p, t) x(place(p, t))``, bilinear."""
    batch, _, height, width = image.shape
    result = np.zeros(image.shape)
    for b in range(batch):
        source = image[b].astype(np.float64)
        for time, rows, weight in _moments(warps, b, height):
            q = None if inverse_depth is None else inverse_depth[b][rows]
            y, x = _source_places(warps, b, time, rows, width, q)
            for iy, wy in _corners(y, height, border):
                for ix, wx in _corners(x, width, border):
                    share = np.where((iy >= 0) & (ix >= 0), wy * wx, 0.0)
                    result[b][:, rows] += weight[:, None] * share * source[:, iy, ix]
    return result.astype(image.dtype)


def warp_mean_adjoint(
    image: NDArray[np.floating],
    warps: Warps,
    inverse_depth: NDArray[np.floating] | None = None,
    *,
    border: Border,
) -> NDArray[np.floating]:
    """The exact transpose of :func:`warp_mean`, borders included."""
    batch, channels, height, width = image.shape
    result = np.zeros(image.shape)
    channel = np.arange(channels)[:, None, None]
    for b in range(batch):
        light = image[b].astype(np.float64)
        for time, rows, weight in _moments(warps, b, height):
            q = None if inverse_depth is None else inverse_depth[b][rows]
            y, x = _source_places(warps, b, time, rows, width, q)
            for iy, wy in _corners(y, height, border):
                for ix, wx in _corners(x, width, border):
                    share = np.where((iy >= 0) & (ix >= 0), wy * wx, 0.0)
                    np.add.at(result[b], (channel, iy, ix), weight[:, None] * share * light[:, rows])
    return result.astype(image.dtype)
