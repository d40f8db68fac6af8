"""What lies on both sides of the edges of nearer surfaces: the definition, pixel by pixel."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from blursynth.physics.surface_edges import (
    EVEN_AT_LEAST,
    FRONT_REACH_PX,
    MIRRORED_PX,
    OFF_LINE,
    PURE_REACH_PX,
    PURE_WITHIN,
    SLOPE_REACH_PX,
    SMALLEST_CONTRAST,
    STEEPEST,
    TELLING,
    THIN_BACK_PX,
    TRUST,
    UNEVEN_REACH_PX,
    UNEVEN_SHARE,
    Means,
    SurfaceEdges,
)

__all__ = ["hidden_behind", "surface_edges", "surface_slope"]


def surface_edges(
    image: NDArray[np.floating],
    level: NDArray[np.float64],
    deep_px: NDArray[np.float64] | None,
    wide_px: NDArray[np.float64] | None,
    *,
    jump: float,
    slack_px: float,
) -> SurfaceEdges:
    """Which surface lies in front of every pixel, how much of it that covers, and what continues behind it.

    A pixel is at an edge if one of its eight neighbors is nearer or farther by more than ``jump``; for levels in px,
    only if that step is large compared with how uneven they are: 15 % of their second differences along rows and
    columns within 4 px are less than 5 % of it. So noise of depth makes no edges. A pixel at an edge is a mixture: its
    color is explained by those of the two surfaces where these are unmixed, the nearest pixels at no edge. With F and B
    the means of unmixed pixels within 4 px on both sides (weighted by ``1 / (1 + distance^2)``), v the sum of their
    variances, and a' = 1 on the near side and 0 on the far side, ``a = ((x - B).(F - B) + l a') / (|F - B|^2 + l)``,
    ``l = 4 v + 1e-4 (|F|^2 + |B|^2)``; the last term is for colors that hardly differ and can say little. Nothing is
    mixed (a = a') where x lies within two standard deviations of the colors of its own side, or farther than 15 % of
    |F - B| and two standard deviations from the line between the two, where these are less than three standard
    deviations apart, and where a color of one of the surfaces would come out negative. A surface too thin to have
    unmixed pixels shows its color where it differs most from the other's.

    A nearer surface is missing at the pixels beyond its edge, up to ``wide_px`` away; of several surfaces it is the one
    whose edge is the nearest. Behind a surface continues what lies beyond the nearest edge pixel of its own from which
    that can be seen there, mirrored at the edge, and mirrored again 8 px behind it (as between mirrors: the depth
    continues). On which side of an edge a pixel lies is decided by ``jump``, or by half of the step if that is less.

    Behind pixels that are not mixed, its color is a mean, which no single pixel draws a streak of: of the first pixel
    at no edge beyond one, in each of four directions (up, down, left and right), that is farther than the middle of the
    step, with weights ``1 / d^2``, d the distance of the edge pixel before it. A direction is left out where that pixel
    is of another surface than what continues, by ``jump``, and where it is too far away: farther than one can see
    behind the edge, plus as much once more, at most 8 px, plus 4 px. Where all are, the color is that of the one pixel.
    """
    batch, _, height, width = image.shape
    out = SurfaceEdges.none(level.shape)
    means: list[tuple[int, list[int], list[float]]] = []
    for b in range(batch):
        one = _Picture(np.asarray(image[b], np.float64), level[b], jump, uneven=deep_px is None)
        for y in range(height):
            for x in range(width):
                if one.edge[y, x]:
                    found = one.mixture(y, x)
                    # Where nothing is mixed in and nothing counts as missing, it is a pixel like others.
                    plain = found is not None and found[1] == 0 and wide_px is None and not one.near[y, x]
                    if found is not None and not plain:
                        out.front[b, y, x], out.share[b, y, x], out.pure[b, y, x], out.hidden[b, y, x] = found
        if not one.edge.any():
            continue
        hidden_at_edges = out.hidden[b].copy()
        steep = STEEPEST if deep_px is None else 0.0
        deep = partial(one.deep, deep_px=None if deep_px is None else deep_px[b], slack_px=slack_px)
        for y in range(height):
            for x in range(width):
                front, share = int(out.front[b, y, x]), out.share[b, y, x]
                if wide_px is not None:
                    lowest = float(level[b].flat[front] if front >= 0 else level[b, y, x])
                    gone = front if share < 1 else one.ends_beside(y, x, lowest, wide_px[b] + slack_px)
                    out.missing[b, y, x] = gone
                e: tuple[int, int] | None = (y, x)
                if not one.edge[y, x] or (wide_px is None and not one.near[y, x] and front < 0):
                    e, away = one.nearest(y, x, one.near, partial(one.joined, deep=deep, steep=steep))
                    if e is not None:
                        _, farther = one.beyond(e)
                        first = int(hidden_at_edges[farther])
                        origin = divmod(first, width) if first >= 0 else farther
                        mirrored = one.turned_over((y, x), origin, e, farther, away, steep)
                        out.hidden[b, y, x] = mirrored[0] * width + mirrored[1]
                elif front < 0 or share < 1 or not one.near[y, x]:
                    continue
                if e is not None:
                    means.append(
                        ((b * height + y) * width + x, *one.mean((y, x), e, out.hidden[b, y, x], deep(e), steep))
                    )
    if not means:
        return out
    at, of, weight = zip(*means, strict=True)
    return replace(out, means=Means(np.array(at), np.array(of, np.int32), np.array(weight)))


def hidden_behind(order: NDArray[np.int32], *, gap: int, reach_px: int) -> NDArray[np.int32]:
    """``hidden`` of a scene made by hand: the nearest pixel that lies ``gap`` slices or more farther; -1 for none.

    ``order`` is ``[B, H, W]``; of several at one distance the first in order of rows is taken.
    """
    _, height, width = order.shape
    rows, columns = np.mgrid[:height, :width]
    farthest = order.astype(np.int64) - gap
    reach = range(-reach_px, reach_px + 1)
    steps = [(y * y + x * x, y, x) for y in reach for x in reach if y * y + x * x <= reach_px**2]
    out = np.full(order.shape, -1, np.int32)
    for _, down, right in sorted(steps, reverse=True):  # what is found last is the nearest
        y, x = rows + down, columns + right
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        there = inside & (order[:, y.clip(0, height - 1), x.clip(0, width - 1)] <= farthest)
        out = np.where(there, y * width + x, out)
    return out.astype(np.int32)


_Counts = Callable[[tuple[int, int], tuple[int, int], float], bool]


class _Picture:
    def __init__(self, image: NDArray[np.float64], level: NDArray[np.float64], jump: float, *, uneven: bool) -> None:
        self.image, self.level, self.jump = image, level, jump
        self.height, self.width = level.shape
        self.beyond = cache(self._beyond)  # asked again and again of the same edge pixels
        self.near, self.far = np.zeros(level.shape, bool), np.zeros(level.shape, bool)
        for y in range(self.height):
            for x in range(self.width):
                around = [level[p] for p in self.within(y, x, 1)]
                below, above = level[y, x] - min(around), max(around) - level[y, x]
                self.near[y, x] = below > jump and (not uneven or self.stands_out(y, x, below))
                self.far[y, x] = above > jump and (not uneven or self.stands_out(y, x, above))
        self.edge = self.near | self.far

    def stands_out(self, y: int, x: int, step: float) -> bool:
        """Whether a step is large compared with how uneven the level is around it."""
        reach = UNEVEN_REACH_PX
        around = self.level[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        second = np.concatenate([np.diff(around, 2, axis=0).ravel(), np.diff(around, 2, axis=1).ravel()])
        return bool((np.abs(second) <= UNEVEN_SHARE * step).sum() >= EVEN_AT_LEAST * second.size)

    def within(self, y: int, x: int, reach: int) -> list[tuple[int, int]]:
        return [
            (v, u)
            for v in range(max(0, y - reach), min(self.height, y + reach + 1))
            for u in range(max(0, x - reach), min(self.width, x + reach + 1))
        ]

    def _beyond(self, e: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """The nearest and the farthest of an edge pixel and its neighbors."""
        around = self.within(*e, 1)
        levels = [float(self.level[p]) for p in around]
        return around[int(np.argmax(levels))], around[int(np.argmin(levels))]

    def nearest(self, y: int, x: int, kind: NDArray[np.bool_], counts: _Counts) -> tuple[tuple[int, int] | None, float]:
        """The nearest edge pixel of a kind that counts for this pixel, and for the one of its row in its own column.

        In every column the nearest one above (or at) the row and the nearest one below are candidates. Of two equally
        near ones the one in the nearer column is taken, then the right one, then the upper one.
        """
        best, found = math.inf, None
        for u in sorted(range(self.width), key=lambda u: (abs(u - x), u < x)):
            if abs(u - x) > best:
                break
            rows = np.flatnonzero(kind[:, u])
            asked = [rows[rows <= y][-1:], rows[rows >= y][:1]]
            there = [(abs(int(v[0]) - y), int(v[0])) for v in asked if len(v)]
            there = sorted((down, v) for down, v in there if counts((y, u), (v, u), down))
            for _, v in there:
                away = math.hypot(v - y, u - x)
                if away < best and counts((y, x), (v, u), away):
                    best, found = away, (v, u)
        return found, best

    def joined(
        self,
        p: tuple[int, int],
        e: tuple[int, int],
        away: float,
        *,
        deep: Callable[[tuple[int, int]], float],
        steep: float,
    ) -> bool:
        """Whether a pixel is of the surface that ends at an edge pixel, near enough to see what continues behind."""
        own, edge, farther = (float(self.level[q]) for q in (p, e, self.beyond(e)[1]))
        near = abs(edge - own) <= self.jump + steep * away and away <= deep(e)
        return bool(near and own > farther + min(self.jump, 0.5 * (edge - farther)))

    def deep(self, e: tuple[int, int], *, deep_px: NDArray[np.float64] | None, slack_px: float) -> float:
        """How many px behind an edge pixel one sees what continues there."""
        behind = self.beyond(e)[1]
        own = self.level[e] - self.level[behind] if deep_px is None else deep_px[e] + deep_px[behind]
        return float(own + slack_px)

    def mean(
        self, p: tuple[int, int], e: tuple[int, int], hidden: int, deep: float, steep: float
    ) -> tuple[list[int], list[float]]:
        """Four pixels and their weights, whose mean is the color of the surface of another one."""
        level = self.level.flat[hidden]
        middle = 0.5 * (self.level[e] + self.level[self.beyond(e)[1]])
        of, weights = [p[0] * self.width + p[1]] * 4, [0.0] * 4
        for n, (down, right) in enumerate(((-1, 0), (1, 0), (0, -1), (0, 1))):
            for away in range(1, math.floor(deep + min(deep, MIRRORED_PX)) + PURE_REACH_PX + 1):
                v, u = p[0] + away * down, p[1] + away * right
                if not (0 <= v < self.height and 0 <= u < self.width):
                    break
                beyond = self.edge[v - down, u - right] and not self.edge[v, u]
                if beyond and self.level[v, u] < middle:
                    if abs(self.level[v, u] - level) <= self.jump + steep * away:
                        of[n], weights[n] = v * self.width + u, 1.0 / max(1, away - 1) ** 2
                    break
        if not any(weights):
            of[0], weights[0] = int(hidden), 1.0
        total = sum(weights)
        return of, [weight / total for weight in weights]

    def ends_beside(self, y: int, x: int, level: float, wide_px: NDArray[np.float64]) -> int:
        """Which surface nearer than a level ends so near by that it matters that it is missing here; -1 for none."""

        def counts(p: tuple[int, int], e: tuple[int, int], away: float) -> bool:
            nearer, _ = self.beyond(e)
            top = float(self.level[nearer])
            own = level if p == (y, x) else self.level[p]
            return bool(own < top - min(self.jump, 0.5 * (top - self.level[e])) and away <= wide_px[nearer])

        e, _ = self.nearest(y, x, self.far, counts)
        if e is None:
            return -1
        nearer, _ = self.beyond(e)
        return int(nearer[0] * self.width + nearer[1])

    def mixture(self, y: int, x: int) -> tuple[int, float, int, int] | None:
        """``front, share, pure, hidden`` of an edge pixel; None where one of the surfaces has no color."""
        nearer, farther = self.beyond((y, x))
        # What hides something is in front, whatever hides a part of it elsewhere.
        front_level = float(self.level[y, x] if self.near[y, x] else self.level[nearer])
        back_level = float(self.level[farther] if self.near[y, x] else self.level[y, x])
        middle = 0.5 * (front_level + back_level)
        allowed = max(self.jump, 0.5 * (front_level - back_level))
        around = self.within(y, x, PURE_REACH_PX)
        distance = {p: (p[0] - y) ** 2 + (p[1] - x) ** 2 for p in around}
        both = [
            p for p in around if not self.edge[p] and back_level - allowed <= self.level[p] <= front_level + allowed
        ]
        pure = [[p for p in both if (self.level[p] > middle) == front] for front in (True, False)]
        means = [self._mean(p, [1.0 / (1.0 + distance[q]) for q in p]) if p else None for p in pure]
        places: list[tuple[int, int] | None] = [min(p, key=lambda q: distance[q]) if p else None for p in pure]
        for side, reach in ((1, THIN_BACK_PX), (0, 1)):
            if places[side] is None:
                # Too thin: the color that differs most from the other surface's, or the nearest if that has none.
                mine = [p for p in self.within(y, x, reach) if (self.level[p] > middle) == (side == 0)]
                if not mine:
                    return None
                other = means[1 - side]
                apart = [
                    -float(distance[p]) if other is None else float(((self.color(p) - other[0]) ** 2).sum())
                    for p in mine
                ]
                place = mine[int(np.argmax(apart))]
                places[side], means[side] = place, (self.color(place), 0.0)
        front_place, back_place = places
        assert front_place is not None
        assert back_place is not None
        first, second = means
        assert first is not None
        assert second is not None
        front_mean, front_variance = first
        back_mean, back_variance = second
        own = self.color((y, x))
        contrast = front_mean - back_mean
        side_share = 1.0 if self.level[y, x] > middle else 0.0
        bright = float(front_mean @ front_mean + back_mean @ back_mean)
        doubt = SMALLEST_CONTRAST * bright + TRUST * (front_variance + back_variance) + 1e-300
        along, squared = float((own - back_mean) @ contrast), float(contrast @ contrast)
        share = min(1.0, max(0.0, (along + doubt * side_share) / (squared + doubt)))
        spread = (front_variance if side_share == 1.0 else back_variance) / len(own)
        noise = (front_variance + back_variance) / len(own)
        off = along - side_share * squared
        if off * off <= squared * max(PURE_WITHIN**2 * spread, 1e-12 * squared) or squared <= TELLING**2 * noise:
            share = side_share
        if 0 < share < 1:
            between = min(1.0, max(0.0, along / squared))
            rest = own - between * front_mean - (1 - between) * back_mean
            if rest @ rest > OFF_LINE**2 * squared + PURE_WITHIN**2 * noise * len(own):
                share = side_share
        c, h = self.color(front_place), self.color(back_place)
        if 0 < share < 1:
            q = share**2 + (1 - share) ** 2
            rest = own - share * c - (1 - share) * h
            if (c + share / q * rest).min() < 0 or (h + (1 - share) / q * rest).min() < 0:
                share = side_share
        fronts = [p for p in self.within(y, x, FRONT_REACH_PX) if self.level[p] > middle]
        nearest = min(fronts, key=lambda p: (p[0] - y) ** 2 + (p[1] - x) ** 2)
        numbers = [p[0] * self.width + p[1] for p in (nearest, front_place, back_place)]
        return numbers[0], share, numbers[1], numbers[2]

    def color(self, p: tuple[int, int]) -> NDArray[np.float64]:
        return self.image[:, p[0], p[1]]

    def _mean(self, places: list[tuple[int, int]], weights: list[float]) -> tuple[NDArray[np.float64], float]:
        """The weighted mean of colors, and their variance, of all channels together."""
        weight = np.array(weights)
        values = np.array([self.color(p) for p in places])
        mean = weight @ values / weight.sum()
        return mean, max(0.0, float(weight @ ((values - mean) ** 2).sum(axis=1)) / weight.sum())

    def turned_over(
        self,
        p: tuple[int, int],
        origin: tuple[int, int],
        e: tuple[int, int],
        farther: tuple[int, int],
        away: float,
        steep: float,
    ) -> tuple[int, int]:
        """The pixel of the farther surface as far from the edge as p is, on its other side, or nearer to the edge."""
        down, right = float(origin[0] - p[0]), float(origin[1] - p[1])
        length = math.sqrt(down * down + right * right)
        middle = 0.5 * (self.level[e] + self.level[farther])
        step = away % (2.0 * MIRRORED_PX)
        step = max(1.0, min(step, 2.0 * MIRRORED_PX - step))
        while step >= 1.0 and length > 0:
            v = math.floor(origin[0] + down / length * step + 0.5)
            u = math.floor(origin[1] + right / length * step + 0.5)
            if 0 <= v < self.height and 0 <= u < self.width and not self.edge[v, u]:
                level = self.level[v, u]
                if level < middle and abs(level - self.level[origin]) <= self.jump + steep * step:
                    return v, u
            step *= 0.5
        return origin


def surface_slope(radius_px: NDArray[np.float64], *, jump: float) -> NDArray[np.float64]:
    """Least squares through the pixel, over those of the same surface within 3 px."""
    batch, height, width = radius_px.shape
    along = np.zeros((2, batch, height, width))
    squares = np.zeros((3, batch, height, width))
    reach = SLOPE_REACH_PX
    padded = np.pad(radius_px, ((0, 0), (reach, reach), (reach, reach)), constant_values=np.nan)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            other = padded[:, reach + dy : reach + dy + height, reach + dx : reach + dx + width]
            difference = other - radius_px
            same = np.abs(difference) <= jump * (0.5 + 0.7 * max(1, abs(dy), abs(dx)))
            for axis, d in enumerate((dy, dx)):
                along[axis] += np.where(same, d * np.nan_to_num(difference), 0.0)
            for n, product in enumerate((dy * dy, dx * dx, dy * dx)):
                squares[n] += np.where(same, product, 0.0)
    (by_row, by_column), (yy, xx, yx) = along, squares
    determinant = yy * xx - yx * yx
    flat = determinant < 1.0  # all of them in one line
    safe = np.where(flat, 1.0, determinant)
    down = np.where(flat, by_row / np.maximum(yy, 1.0), (xx * by_row - yx * by_column) / safe)
    right = np.where(flat, by_column / np.maximum(xx, 1.0), (yy * by_column - yx * by_row) / safe)
    return np.stack([down, right], axis=1)
