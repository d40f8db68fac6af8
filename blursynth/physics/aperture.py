"""The shape of an aperture, which is the shape of the blur of a point out of focus, and its parts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError
from blursynth.physics.point_spread import PointSpreads, centering_shift, circle_area, covered_area, disk

__all__ = ["Aperture"]

_ARC = 96  # corners of a polygon that stands for a circle, where the circle is clipped
_LARGEST_PX = 2000
_REMEMBERED_PX = 20  # radius up to which point spreads are kept, a few kB each


@dataclass(frozen=True)
class Aperture:
    """The shape of an aperture of radius 1: a circle or a polygon, clipped by a second circle towards the corners.

    Parameters
    ----------
    blades
        0 for a round aperture, otherwise the corners of a regular polygon, 3..1000, which lie on the circle.
    rotation_rad
        Direction of the first corner, from +x towards +y.
    clip_x, clip_y
        Displacement, in radii, of a circle of radius 1 that clips the aperture: the rim of the lens seen obliquely,
        which makes cat's eyes of disks. Shorter than 2.

    Raises
    ------
    InvalidValueError
        A number is outside its range, or the clipping circle leaves nothing.

    Notes
    -----
    The origin is the centroid of what is left of the aperture: the ray through it is the one that the sharp picture
    shows, so blur does not move the picture. A clipped circle is a polygon of 96 corners and of the same area, off by
    at most 4e-4 of the radius. Pixels move the centroid of what is not symmetric, which is undone; for clipped polygons
    to 0.05 px. Not modeled: rounded blades, vignetting of light (the shares sum to 1).
    """

    blades: int = 0
    rotation_rad: float = 0.0
    clip_x: float = 0.0
    clip_y: float = 0.0

    def __post_init__(self) -> None:
        if self.blades != 0 and not 3 <= self.blades <= 1000:
            raise InvalidValueError(
                f"blades must be 0 (round) or 3..1000, got {self.blades}.", why="A polygon has at least three sides."
            )
        if not math.hypot(self.clip_x, self.clip_y) <= 1.5:
            raise InvalidValueError(
                f"The clipping circle must be displaced by at most 1.5 radii, got ({self.clip_x}, {self.clip_y}).",
                why="Farther away, almost nothing of the aperture would remain.",
            )

    @property
    def is_round(self) -> bool:
        return self.blades == 0 and self.clip_x == 0 and self.clip_y == 0

    @property
    def is_symmetric(self) -> bool:
        """Whether it is its own half turn, so that both sides of the focus blur alike."""
        clipped = self.clip_x != 0 or self.clip_y != 0
        return self.blades == 0 or (self.blades % 2 == 0 and not clipped)

    @property
    def outline(self) -> NDArray[np.float64]:
        """``[n, 2]`` corners (x, y) of the shape about its centroid; of a circle, those of a fine polygon."""
        return _outline(self)

    def point_spreads(self, radius_px: float, parts: int = 1) -> PointSpreads:
        """The blur of a point, exact in area, as ``parts`` point spreads that each sum to 1 and have equal shares.

        Parameters
        ----------
        radius_px
            Half of the signed circle of confusion, -2000..2000 px; where negative, the shape is turned by 180 degrees.
            Up to half a pixel the shape lies inside one pixel, and there is no blur.
        parts
            Parts of the aperture. Their centroids stay where they are in the whole, whose point spread is the mean of
            theirs, and has its centroid at zero.
        """
        if not abs(radius_px) <= _LARGEST_PX:
            raise InvalidValueError(f"radius_px must be -{_LARGEST_PX}..{_LARGEST_PX}, got {radius_px}.")
        if abs(radius_px) > _REMEMBERED_PX:
            return _point_spreads(self, float(radius_px), parts)
        return _remembered(self, float(radius_px), parts)


@lru_cache(maxsize=4096)
def _outline(aperture: Aperture) -> NDArray[np.float64]:
    if aperture.blades:
        angle = aperture.rotation_rad + 2.0 * math.pi * np.arange(aperture.blades) / aperture.blades
        corners = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    else:
        corners = _circle(0.0, 0.0)
    if aperture.clip_x != 0 or aperture.clip_y != 0:
        corners = _common(corners, _circle(aperture.clip_x, aperture.clip_y))
    outline = np.asarray(corners - _moments(corners)[1])
    outline.flags.writeable = False
    return outline


def _point_spreads(aperture: Aperture, radius_px: float, parts: int) -> PointSpreads:
    if abs(radius_px) <= 0.5:
        return PointSpreads.from_dense([np.ones((1, 1))] * parts)
    if aperture.is_round and parts == 1:
        return disk(abs(radius_px))
    cells = _cells(aperture, parts)
    kernels = []
    if aperture.is_round:
        for x0, y0, x1, y1 in cells:
            x, y = sorted((x0 * radius_px, x1 * radius_px)), sorted((y0 * radius_px, y1 * radius_px))
            edges = np.arange(-math.ceil(abs(radius_px) - 0.5), math.ceil(abs(radius_px) - 0.5) + 2) - 0.5
            kernels.append(_disk_cells(abs(radius_px), np.clip(edges, x[0], x[1]), np.clip(edges, y[0], y[1])))
    else:
        outline = aperture.outline * radius_px
        shift = np.zeros(2)
        if not aperture.is_symmetric:
            # A clipped shape is one of very many, and one step towards the solution is enough.
            clipped = aperture.clip_x != 0 or aperture.clip_y != 0
            shift = centering_shift(outline, steps=1) if clipped else centering_shift(outline)
        for cell in cells:
            corners = outline if parts == 1 else _in_cell(aperture.outline, cell) * radius_px
            kernels.append(covered_area(corners + shift))
    return PointSpreads.from_dense([kernel / kernel.sum() for kernel in kernels])


_Cell = tuple[float, float, float, float]  # x0, y0, x1, y1
_ALL: _Cell = (-2.0, -2.0, 2.0, 2.0)


@lru_cache(maxsize=1024)
def _cells(aperture: Aperture, parts: int) -> tuple[_Cell, ...]:
    """Rectangles that cut the shape into parts of equal area: rows, and columns within each."""
    if not 1 <= parts <= 1024:
        raise InvalidValueError(f"parts must be 1..1024, got {parts}.")
    if parts == 1:
        return (_ALL,)
    rows = max(1, round(math.sqrt(parts)))
    counts = [parts // rows + (1 if r < parts % rows else 0) for r in range(rows)]
    below = -2.0
    out = []
    for r, count in enumerate(counts):
        above = 2.0
        if r < rows - 1:
            above = _where(aperture, (-2.0, -2.0, 2.0, math.nan), sum(counts[: r + 1]) / parts)
        left = -2.0
        for c in range(count):
            right = 2.0
            if c < count - 1:
                right = _where(aperture, (-2.0, below, math.nan, above), (c + 1) / parts)
            out.append((left, below, right, above))
            left = right
        below = above
    return tuple(out)


def _where(aperture: Aperture, cell: _Cell, share: float) -> float:
    """The value of the open side of a cell, given as NaN, at which it holds a share of the shape."""
    from scipy.optimize import brentq  # takes a tenth of a second, and most blurs do without

    x0, y0, x1, y1 = cell
    area = _area(aperture, _ALL)

    def missing(value: float) -> float:
        filled = (x0, y0, value, y1) if math.isnan(x1) else (x0, y0, x1, value)
        return _area(aperture, filled) - share * area

    return float(brentq(missing, -2.0, 2.0, xtol=1e-15, rtol=1e-15))


def _area(aperture: Aperture, cell: _Cell) -> float:
    if aperture.is_round:
        return float(_disk_cells(1.0, np.array([cell[0], cell[2]]), np.array([cell[1], cell[3]]))[0, 0])
    return _moments(_in_cell(aperture.outline, cell))[0]


_remembered = lru_cache(maxsize=4096)(_point_spreads)


def _disk_cells(radius: float, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """``[rows, columns]`` area of a disk in the rectangles between neighboring x and neighboring y."""
    # Area in [0, |x|] x [0, |y|], continued as an odd function; rectangles are differences of it.
    u, v = np.abs(x)[None, :], np.abs(y)[:, None]
    crossing = np.sqrt(np.maximum(radius**2 - v * v, 0.0))
    inside = np.minimum(u, crossing) * v
    quarter = inside + np.maximum(circle_area(np.maximum(u, crossing), radius) - circle_area(crossing, radius), 0.0)
    odd = np.sign(x)[None, :] * np.sign(y)[:, None] * quarter
    area = np.maximum(np.diff(np.diff(odd, axis=0), axis=1), 0.0)
    # What remains of differences of large areas is rounding, not light.
    return np.where(area < 1e-14 * radius**2, 0.0, area)


def _circle(x: float, y: float) -> NDArray[np.float64]:
    angle = 2.0 * math.pi * np.arange(_ARC) / _ARC
    radius = math.sqrt((2.0 * math.pi / _ARC) / math.sin(2.0 * math.pi / _ARC))  # of the same area
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=-1)


def _common(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """What two convex polygons ``[n, 2]``, anticlockwise as y counts upwards, have in common."""
    # How far a corner of one (i) lies outside an edge of the other (j), and the other way round.
    outside, outside_one = _heights(one, other), _heights(other, one).T
    ahead, ahead_one = np.roll(outside, -1, axis=0), np.roll(outside_one, -1, axis=1)
    # Its corners are those of each within the other, and where edges cross.
    i, j = np.nonzero((outside * ahead < 0) & (outside_one * ahead_one < 0))
    share = (outside[i, j] / (outside[i, j] - ahead[i, j]))[:, None]
    crossings = one[i] + share * (np.roll(one, -1, axis=0)[i] - one[i])
    corners = np.concatenate([one[(outside <= 0).all(axis=1)], other[(outside_one <= 0).all(axis=0)], crossings])
    if not len(corners):
        return corners
    middle = corners.mean(axis=0)
    return np.asarray(corners[np.argsort(np.arctan2(corners[:, 1] - middle[1], corners[:, 0] - middle[0]))])


def _heights(corners: NDArray[np.float64], polygon: NDArray[np.float64]) -> NDArray[np.float64]:
    """``[n, m]`` how far corners lie outside the edges of a convex polygon, in units of their lengths."""
    along = np.roll(polygon, -1, axis=0) - polygon
    away = corners[:, None, :] - polygon
    return np.asarray(away[..., 0] * along[:, 1] - away[..., 1] * along[:, 0])


def _clipped(
    corners: NDArray[np.float64], normal_x: float, normal_y: float, point: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The part of a convex polygon on the side of a line through ``point`` away from its normal."""
    if not len(corners):
        return corners
    height = (corners[:, 0] - point[0]) * normal_x + (corners[:, 1] - point[1]) * normal_y
    if height.max() <= 0:
        return corners
    ahead, following = np.roll(height, -1), np.roll(corners, -1, axis=0)
    crosses = height * ahead < 0
    share = np.divide(height, height - ahead, out=np.zeros_like(height), where=crosses)
    # Every corner that stays, followed by the point where the edge after it crosses the line.
    both = np.stack([corners, corners + share[:, None] * (following - corners)], axis=1).reshape(-1, 2)
    return np.asarray(both[np.stack([height <= 0, crosses], axis=1).ravel()])


def _in_cell(corners: NDArray[np.float64], cell: _Cell) -> NDArray[np.float64]:
    low, high = np.array(cell[:2]), np.array(cell[2:])
    for x, y, point in ((-1.0, 0.0, low), (0.0, -1.0, low), (1.0, 0.0, high), (0.0, 1.0, high)):
        corners = _clipped(corners, x, y, point)
    return corners


def _moments(corners: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Area and centroid of a polygon."""
    if len(corners) < 3:
        return 0.0, np.zeros(2)
    following = np.roll(corners, -1, axis=0)
    cross = corners[:, 0] * following[:, 1] - corners[:, 1] * following[:, 0]
    area = 0.5 * float(cross.sum())
    if area == 0:
        return 0.0, corners.mean(axis=0)
    return abs(area), ((corners + following) * cross[:, None]).sum(axis=0) / (6.0 * area)
