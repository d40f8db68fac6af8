"""Smoothing of depth within surfaces, pixel by pixel and float64: the definition."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blursynth.physics.depth_smoothing import (
    ALONE,
    BEND,
    COLOR_CUT,
    FIRST_PX,
    IN_BAND,
    LIKELIER,
    RIDGE,
    SURE,
)

__all__ = ["smooth_depth"]

Plane = NDArray[np.float64]
Place = tuple[int, int]


class _Picture:
    """One picture: its inverse depth, and which pixels are alike."""

    def __init__(self, value: Plane, guide: Plane, step: float, contrast: float) -> None:
        self.value, self.guide, self.step, self.contrast = value, guide, step, contrast
        self.height, self.width = value.shape
        self.places = [(y, x) for y in range(self.height) for x in range(self.width)]

    def around(self, p: Place, reach: int) -> list[Place]:
        rows = range(max(0, p[0] - reach), min(self.height, p[0] + reach + 1))
        return [(y, x) for y in rows for x in range(max(0, p[1] - reach), min(self.width, p[1] + reach + 1))]

    def like(self, some: float, other: float, step: float | None = None) -> bool:
        return bool(abs(some - other) <= (self.step if step is None else step) * max(some, other))

    def colors_alike(self, p: Place, q: Place) -> float:
        """1 for the same color, 1/2 for a difference as large as the contrast."""
        difference = np.mean((self.guide[:, *p] - self.guide[:, *q]) ** 2)
        return float(1.0 / (1.0 + difference / self.contrast**2))

    def mean_like(self, start: float, values: Plane, places: list[Place]) -> float:
        return float(np.mean([values[q] for q in places if self.like(start, values[q])]))

    def steady(self) -> Plane:
        """The mean of what is within the step in 5 x 5; what is alone starts from its best neighbor."""
        support = {p: sum(self.like(self.value[p], self.value[q]) for q in self.around(p, 2)) for p in self.places}
        out = np.empty_like(self.value)
        for p in self.places:
            start = self.value[p]
            if support[p] < ALONE:

                def score(q: Place, p: Place = p) -> tuple[float, float]:
                    away = (q[0] - p[0]) ** 2 + (q[1] - p[1]) ** 2
                    return support[q] / (1.0 + away) * self.colors_alike(p, q), self.value[q]

                start = self.value[max(self.around(p, 2), key=score)]
            out[p] = self.mean_like(start, self.value, self.around(p, 2))
        return out

    def snapped(self, steady: Plane, most: int) -> Plane:
        """Pixels at a jump whose color is that of the other side go over, one px in each round."""
        pure = {p: all(self.like(steady[p], steady[q]) for q in self.around(p, most)) for p in self.places}
        for _ in range(most):
            before, steady = steady, steady.copy()
            for p in self.places:
                mine = before[p]
                other = max((before[q] for q in self.around(p, 1)), key=lambda value: (abs(value - mine), value))
                if self.like(mine, other):
                    continue
                fits: list[list[float]] = [[], []]
                shares: list[list[float]] = [[], []]
                for q in self.around(p, most + 3):
                    sides = self.like(mine, before[q]), self.like(other, before[q])
                    if q != p and sides[0] != sides[1]:
                        share = 1.0 if pure[q] else IN_BAND
                        fits[sides[1]].append(share * self.colors_alike(p, q))
                        shares[sides[1]].append(share)
                if not shares[0] or not shares[1]:
                    continue
                own, its = (sum(fits[side]) / sum(shares[side]) for side in (0, 1))
                if its > LIKELIER * own:
                    steady[p] = self.mean_like(other, before, self.around(p, 1))
        return steady

    def arms(self, steady: Plane, planes: dict[Place, Plane], p: Place, reach: int) -> list[list[Place]]:
        """The pixels of the surface up, down, left and right of a pixel."""
        found = []
        for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            arm: list[Place] = []
            here = p
            for length in range(1, reach + 1):
                there = (p[0] + dy * length, p[1] + dx * length)
                if not (0 <= there[0] < self.height and 0 <= there[1] < self.width):
                    break
                expected = planes[p] @ [1.0, dy * length, dx * length]
                cut = self.step * (1.0 - (1.0 - COLOR_CUT) * (1.0 - self.colors_alike(here, there)))
                if abs(steady[there] - expected) > BEND * self.step * steady[p]:
                    break
                if not self.like(steady[here], steady[there], cut):
                    break
                arm.append(there)
                here = there
            found.append(arm)
        return found

    def smooth(self, radius: int, snap: int) -> Plane:
        steady = self.steady()
        steady = self.snapped(steady, snap)
        sound = {p: self.like(self.value[p], steady[p]) for p in self.places}
        planes = {p: np.array([steady[p], 0.0, 0.0]) for p in self.places}
        for reach in (min(FIRST_PX, radius), radius):
            arms = {p: self.arms(steady, planes, p, reach) for p in self.places}
            cross = {
                p: [r for q in (p, *arms[p][0], *arms[p][1]) for r in (q, *arms[q][2], *arms[q][3])]
                for p in self.places
            }
            fits = {p: self.fit(p, [q for q in cross[p] if sound[q]], steady[p]) for p in self.places}
            planes = {p: fit[1] for p, fit in fits.items()}
        out = np.empty_like(steady)
        for p in self.places:
            weights = [fits[q][0] for q in cross[p]]
            heights = [planes[q] @ [1.0, p[0] - q[0], p[1] - q[1]] for q in cross[p]]
            values = [self.value[q] for q in cross[p] if sound[q]] or [steady[p]]
            room = BEND * self.step * steady[p]
            least, most = max(min(values), steady[p] - room), min(max(values), steady[p] + room)
            out[p] = min(max(np.average(heights, weights=weights), least), most)
        return out

    def fit(self, p: Place, places: list[Place], steady: float) -> tuple[float, Plane]:
        """Weight, and height and slopes at the pixel, of the plane of least squares."""
        if not places:
            return 1e-3 / (self.step * steady) ** 2, np.array([steady, 0.0, 0.0])
        offset = np.array(places, np.float64) - p
        values = np.array([self.value[q] for q in places])
        middle, mean = offset.mean(axis=0), values.mean()
        spread, rest = offset - middle, values - mean
        slopes = np.linalg.solve(spread.T @ spread + RIDGE * np.eye(2), spread.T @ rest)
        residual = max(0.0, np.mean(rest**2) - slopes @ (spread.T @ rest) / len(places))
        weight = len(places) / (residual + (SURE * self.step * steady) ** 2)
        return weight, np.array([mean - slopes @ middle, *slopes])


def smooth_depth(
    inverse_depth: NDArray[np.floating],
    guide: NDArray[np.floating],
    step: NDArray[np.float64],
    radius_px: NDArray[np.int64],
    contrast: NDArray[np.float64],
    snap_px: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Inverse depth smoothed within surfaces.

    First every pixel is steadied: the mean of those in 5 x 5 that are within the step of it. Then pixels at jumps move
    over to the surface whose color they have. From every pixel arms extend up, down, left and right, until the steadied
    values step or leave the plane of the pixel's neighborhood; a cross is all rows' arms along both its vertical arms.
    To the values of a cross a plane is fitted, and the result is the mean of the planes of all pixels of the cross,
    weighted with the number of values over the square of what the plane leaves of them.
    """
    return np.stack(
        [
            _Picture(
                inverse_depth[b].astype(np.float64), guide[b].astype(np.float64), float(step[b]), float(contrast[b])
            ).smooth(int(radius_px[b]), int(snap_px[b]))
            for b in range(len(inverse_depth))
        ]
    )
