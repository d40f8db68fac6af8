"""What lies on both sides of the edges of nearer surfaces: the definition, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from blursynth.physics.surface_edges import (
    FRONT_REACH_PX,
    NEIGHBOURS,
    PURE_REACH_PX,
    SLOPE_REACH_PX,
    SMALLEST_CONTRAST,
    STEEPEST,
    THIN_BACK_PX,
    TRUST,
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
    """Which surface lies in front of every pixel, how much of it that covers, and what goes on behind.

    A pixel is at an edge if one of its eight neighbours is nearer or farther by more than ``jump``. It is a mixture: its
    colour is explained by those of the two surfaces where these are unmixed, the nearest pixels that are at no edge.
    With F and B the means of unmixed pixels within 4 px on both sides (weighted by ``1 / (1 + distance^2)``), v the sum
    of their variances, and a' = 1 on the near side and 0 on the far side,
    ``a = ((x - B).(F - B) + l a') / (|F - B|^2 + l)``, ``l = 4 v`` and a little for what colours that hardly differ can
    say. Where a colour of one of the surfaces would come out negative, a is a'. A surface too thin to have unmixed
    pixels shows its colour where it differs most from the other's.

    A pixel at no edge lies on the side of the edge pixel nearest to it. Behind those of the near side the farther
    surface goes on, as far as it can be seen, turned over at the edge (as in a mirror: textures go on, and no streaks
    arise). In front of those of the far side the nearer surface is missing.

    Parameters
    ----------
    image
        ``[B, C, H, W]`` linear light.
    level
        ``[B, H, W]`` nearness, larger is nearer.
    deep_px
        ``[B, H, W]`` how far behind the edge of a surface another one is seen: at a near pixel e and its farthest
        neighbour f up to ``deep[e] + deep[f]``. None: up to ``level[e] - level[f]``, where levels are px.
    wide_px
        ``[B, H, W]`` how far beyond its edge it matters that a surface is missing. None: it does not.
    jump
        Difference of levels between two surfaces, > 0.
    slack_px
        Added to both reaches.
    """
    batch, channels, height, width = image.shape
    out = SurfaceEdges.none(level.shape)
    for b in range(batch):
        one = _Picture(np.asarray(image[b], np.float64), level[b], jump)
        for y in range(height):
            for x in range(width):
                if one.edge[y, x]:
                    found = one.mixture(y, x)
                    if found is not None:
                        out.front[b, y, x], out.share[b, y, x], out.pure[b, y, x], out.hidden[b, y, x] = found
        places = np.argwhere(one.edge)
        if not len(places):
            continue
        hidden_at_edges = out.hidden[b].copy()
        for y in range(height):
            for x in range(width):
                if one.edge[y, x]:
                    continue
                e = _nearest(places, y, x)
                away = math.hypot(e[0] - y, e[1] - x)
                nearer, farther = one.beyond(e)
                if one.far[e]:
                    if wide_px is not None and away <= wide_px[b][nearer] + slack_px:
                        out.front[b, y, x] = nearer[0] * width + nearer[1]
                        out.share[b, y, x] = 0.0
                        out.hidden[b, y, x] = y * width + x
                    continue
                deep = level[b][e] - level[b][farther] if deep_px is None else deep_px[b][e] + deep_px[b][farther]
                if away <= deep + slack_px:
                    first = int(hidden_at_edges[farther])
                    origin = divmod(first, width) if first >= 0 else farther
                    mirrored = one.turned_over((y, x), origin, e, farther, away, deep_px is None)
                    out.hidden[b, y, x] = mirrored[0] * width + mirrored[1]
    return out


def hidden_behind(order: NDArray[np.int32], *, gap: int, reach_px: int) -> NDArray[np.int32]:
    """``hidden`` of a scene made by hand: the nearest pixel that lies ``gap`` slices or more farther; -1 for none.

    ``order`` is ``[B, H, W]``; of several at one distance the first in order of rows is taken.
    """
    batch, height, width = order.shape
    out = np.full(order.shape, -1, np.int32)
    rows, columns = np.mgrid[:height, :width]
    for b, y, x in np.ndindex(batch, height, width):
        squared = (rows - y) ** 2 + (columns - x) ** 2
        there = (order[b].astype(np.int64) <= int(order[b, y, x]) - gap) & (squared <= reach_px**2)
        if there.any():
            out[b, y, x] = np.argmin(np.where(there, squared, squared.max() + 1))
    return out


def _nearest(places: NDArray[np.intp], y: int, x: int) -> tuple[int, int]:
    """The nearest edge pixel; of several in the nearest column, right before left, and there the one above."""
    squared = (places[:, 0] - y) ** 2 + (places[:, 1] - x) ** 2
    best = places[squared == squared.min()]
    side = np.abs(best[:, 1] - x) * 4 + (best[:, 1] < x) * 2 + (best[:, 0] > y)
    found = best[int(np.argmin(side))]
    return int(found[0]), int(found[1])


class _Picture:
    def __init__(self, image: NDArray[np.float64], level: NDArray[np.float64], jump: float) -> None:
        self.image, self.level, self.jump = image, level, jump
        self.height, self.width = level.shape
        self.near, self.far = np.zeros(level.shape, bool), np.zeros(level.shape, bool)
        for y in range(self.height):
            for x in range(self.width):
                around = [level[p] for p in self.within(y, x, 1)]
                self.near[y, x] = min(around) < level[y, x] - jump
                self.far[y, x] = max(around) > level[y, x] + jump
        self.edge = self.near | self.far

    def within(self, y: int, x: int, reach: int) -> list[tuple[int, int]]:
        return [
            (v, u)
            for v in range(max(0, y - reach), min(self.height, y + reach + 1))
            for u in range(max(0, x - reach), min(self.width, x + reach + 1))
        ]

    def beyond(self, e: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """The nearest and the farthest of an edge pixel and its neighbours."""
        around = self.within(*e, 1)
        levels = [float(self.level[p]) for p in around]
        return around[int(np.argmax(levels))], around[int(np.argmin(levels))]

    def mixture(self, y: int, x: int) -> tuple[int, float, int, int] | None:
        """``front, share, pure, hidden`` of an edge pixel; None where one of the surfaces has no colour."""
        levels = [float(self.level[p]) for p in self.within(y, x, NEIGHBOURS)]
        middle = 0.5 * (min(levels) + max(levels))
        around = self.within(y, x, PURE_REACH_PX)
        distance = {p: (p[0] - y) ** 2 + (p[1] - x) ** 2 for p in around}
        colours, variances, nearest = [], [], []
        for front in (True, False):
            pure = [p for p in around if not self.edge[p] and (self.level[p] > middle) == front]
            if not pure:
                colours.append(None)
                variances.append(0.0)
                nearest.append(None)
                continue
            weights = np.array([1.0 / (1.0 + distance[p]) for p in pure])
            values = np.array([self.image[:, p[0], p[1]] for p in pure])
            mean = weights @ values / weights.sum()
            colours.append(mean)
            variances.append(max(0.0, float(weights @ ((values - mean) ** 2).sum(axis=1)) / weights.sum()))
            nearest.append(min(pure, key=lambda p: distance[p]))
        for side, reach in ((1, THIN_BACK_PX), (0, 1)):
            if nearest[side] is None:
                # Too thin: the colour that differs most from the other surface's, or the nearest if that has none.
                other = colours[1 - side]
                mine = [p for p in self.within(y, x, reach) if (self.level[p] > middle) == (side == 0)]
                if not mine:
                    return None
                if other is None:
                    nearest[side] = min(mine, key=lambda p: distance[p])
                else:
                    apart = [float(((self.image[:, p[0], p[1]] - other) ** 2).sum()) for p in mine]
                    nearest[side] = mine[int(np.argmax(apart))]
                colours[side] = self.image[:, nearest[side][0], nearest[side][1]]
        own = self.image[:, y, x]
        contrast = colours[0] - colours[1]
        side_share = 1.0 if self.level[y, x] > middle else 0.0
        doubt = SMALLEST_CONTRAST + TRUST * (variances[0] + variances[1])
        share = (float((own - colours[1]) @ contrast) + doubt * side_share) / (float(contrast @ contrast) + doubt)
        share = min(1.0, max(0.0, share))
        c, h = (self.image[:, p[0], p[1]] for p in nearest)
        if 0 < share < 1:
            q = share**2 + (1 - share) ** 2
            rest = own - share * c - (1 - share) * h
            if (c + share / q * rest).min() < 0 or (h + (1 - share) / q * rest).min() < 0:
                share = side_share
        fronts = [p for p in self.within(y, x, FRONT_REACH_PX) if self.level[p] > middle]
        front = min(fronts, key=lambda p: (p[0] - y) ** 2 + (p[1] - x) ** 2)
        place = [p[0] * self.width + p[1] for p in (front, *nearest)]
        return place[0], share, place[1], place[2]

    def turned_over(
        self,
        p: tuple[int, int],
        origin: tuple[int, int],
        e: tuple[int, int],
        farther: tuple[int, int],
        away: float,
        sloping: bool,
    ) -> tuple[int, int]:
        """The pixel of the farther surface as far from the edge as p is, on the other side; nearer if it is not there."""
        down, right = float(origin[0] - p[0]), float(origin[1] - p[1])
        length = math.sqrt(down * down + right * right)
        middle = 0.5 * (self.level[e] + self.level[farther])
        step = away
        while step >= 1.0 and length > 0:
            v = math.floor(origin[0] + down / length * step + 0.5)
            u = math.floor(origin[1] + right / length * step + 0.5)
            if 0 <= v < self.height and 0 <= u < self.width and not self.edge[v, u]:
                level = self.level[v, u]
                most = self.jump + (STEEPEST * step if sloping else 0.0)
                if level < middle and abs(level - self.level[origin]) <= most:
                    return v, u
            step *= 0.5
        return origin


def surface_slope(radius_px: NDArray[np.float64], *, jump: float) -> NDArray[np.float64]:
    """``[B, 2, H, W]`` derivative of a radius ``[B, H, W]`` by row and column, over one surface.

    Least squares through the pixel, over those within 3 px that differ by no more than ``jump / 2`` and ``0.7 jump`` per
    px of distance; so a jump does not count, and noise is averaged over 48 pixels.
    """
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
