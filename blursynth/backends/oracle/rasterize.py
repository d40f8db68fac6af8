"""A polyline into a PSF, piece by piece and tap by tap."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import ArrayLike

from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.trajectory import exposure_shares

__all__ = ["rasterize"]

_NODES = (0.5 - 0.5 / math.sqrt(3.0), 0.5 + 0.5 / math.sqrt(3.0))  # 2-point Gauss-Legendre on [0, 1]


def rasterize(
    path: ArrayLike,
    duration: ArrayLike | None = None,
    *,
    center: bool = True,
    exposure: ArrayLike = (0.0, 1.0),
    unit_sum: bool = True,
) -> PointSpreads:
    """Exact PSF of polylines ``[B, N, 2]`` whose segments are traversed at constant speed.

    Every segment is split where x or y is an integer. On such a piece the four bilinear weights are quadratic in
    time, so two Gauss-Legendre points integrate them exactly.
    """
    positions, share = exposure_shares(path, duration, exposure, unit_sum=unit_sum)
    kernels, corners = [], []
    for b in range(len(positions)):
        pieces = []  # start, end, share of the light
        for i in range(positions.shape[1] - 1):
            p, q = positions[b, i], positions[b, i + 1]
            first, last, light = share[b % len(share), i]
            if light > 0:
                pieces.append((p + first * (q - p), p + last * (q - p), light))
        if center:
            total = sum(light for _, _, light in pieces)
            mean = sum(light * (p + q) / 2 for p, q, light in pieces) / total
            pieces = [(p - mean, q - mean, light) for p, q, light in pieces]
        taps: dict[tuple[int, int], float] = {}
        for p, q, light in pieces:
            cuts = {0.0, 1.0}
            for axis in (0, 1):
                low, high = sorted((p[axis], q[axis]))
                for whole in range(math.ceil(low), math.floor(high) + 1):
                    if low < whole < high:
                        cuts.add((whole - p[axis]) / (q[axis] - p[axis]))
            times = sorted(cuts)
            for begin, end in itertools.pairwise(times):
                column, row = np.floor(p + (begin + end) / 2 * (q - p)).astype(int)
                for node in _NODES:
                    x, y = p + (begin + node * (end - begin)) * (q - p)
                    u, v = min(max(x - column, 0.0), 1.0), min(max(y - row, 0.0), 1.0)
                    for dy, wy in ((0, 1 - v), (1, v)):
                        for dx, wx in ((0, 1 - u), (1, u)):
                            key = (int(row + dy), int(column + dx))
                            taps[key] = taps.get(key, 0.0) + light * (end - begin) / 2 * wy * wx
        top, left = min(y for y, _ in taps), min(x for _, x in taps)
        dense = np.zeros((max(y for y, _ in taps) - top + 1, max(x for _, x in taps) - left + 1))
        for (y, x), weight in taps.items():
            dense[y - top, x - left] = weight
        kernels.append(dense)
        corners.append((-top, -left))
    return PointSpreads.from_dense(kernels, corners)
