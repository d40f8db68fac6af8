"""How many nodes a field of point spreads needs, from an error bound in px.

A ``PointSpreadField`` holds point spreads at nodes and blends its neighbors linearly in between. Let the point spread
be a family of positions ``c(t; u)``: bit t of the light lands at c when the quantity u (a scale, a radius, a place) has
a given value, and let c be linear in u. At ``u = (1 - f) u0 + f u1`` the blend of the nodes u0 and u1 lands the share
1 - f of bit t at ``c(t; u0)`` and f at ``c(t; u1)``, instead of all of it at ``c(t; u)``. So, with d the distance of
the two,

- the mean place is right: the blend shifts nothing;
- the root mean square distance from the right place is ``sqrt(f (1 - f)) d <= d / 2``;
- no light is further off than ``d``.

All functions here make ``d <= 2 tolerance_px``: for every bit of light the root mean square error of its place (the
Wasserstein distance of order 2 of the two point spreads) is at most ``tolerance_px``. What a picture makes of that is a
blur of at most ``tolerance_px ** 2`` of variance, an error of at most ``tolerance_px`` times the steepest gradient of
the picture, and of about ``tolerance_px ** 2 / 2`` times its largest second derivative where it is smooth.

The default of ``TOLERANCE_PX`` is measured against each pixel's own point spread, with photographs (Kodak) and with
random discs of full contrast behind a lens of half a pixel: with smooth levels (a path of 31 px at scales .2 to 1,
disks of 0 to 15 px) no pixel is off by more than 1.1 codes after sRGB or .2 standard deviations of the noise of a
sensor indoors, and the root mean square is below .02 codes. On a grid (a roll with a node on its center) 99.9 % of the
pixels are within .5 code and .15 standard deviations, the rest, around the center where the picture is sharp, within
1.5 codes and .4. At .25 px the levels are off by up to 2 codes in photographs.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blursynth.errors import InvalidValueError

__all__ = [
    "TOLERANCE_PX",
    "disk_radii_px",
    "grid_axis_px",
    "grid_step_px",
    "level_of",
    "path_scales",
]

TOLERANCE_PX = 0.1

# Radii in px where disks get nodes, and how much denser than elsewhere the nodes up to there are. Below .5 px a disk is
# a single pixel. At .5, 1.5, 2.5, ... px it first touches another pixel of each axis, and there the areas bend most as
# functions of the radius; in larger disks that pixel's share is too small to be seen.
_DISK_BENDS_PX = ((0.5, 0.0), (0.75, 8.0), (1.5, 2.0), (2.5, 2.0), (3.5, 2.0))


def path_scales(reach_px: float, low: float, high: float, tolerance_px: float = TOLERANCE_PX) -> NDArray[np.float64]:
    """Scales at which to make the point spreads of one path that every pixel sees in its own size.

    Parallax of a moving camera is such a path, its scale is inverse depth. Uniform, from low to high, with a step of at
    most ``2 tolerance_px / reach_px``.

    Parameters
    ----------
    reach_px
        The largest distance of the path from zero shift at scale 1, in px, >= 0.
    low, high
        Range of the scales, ``0 <= low <= high``.
    tolerance_px
        Largest root mean square error of the place of any light, in px, > 0.

    Returns
    -------
    ndarray
        ``[levels]`` scales; a single one where all are alike.

    Raises
    ------
    InvalidValueError
        A number out of range.

    Examples
    --------
    >>> path_scales(10.0, 0.25, 1.0, tolerance_px=1.0)
    array([0.25  , 0.4375, 0.625 , 0.8125, 1.    ])
    """
    _demand(math.isfinite(reach_px) and reach_px >= 0, "reach_px", reach_px, ">= 0")
    _demand_range(low, high, "low", "high")
    _demand_tolerance(tolerance_px)
    return _uniform(low, high, 2.0 * tolerance_px / reach_px if reach_px > 0 else math.inf)


def disk_radii_px(low_px: float, high_px: float, tolerance_px: float = TOLERANCE_PX) -> NDArray[np.float64]:
    """Radii in px at which to make the disks of a defocus that varies with depth.

    Light at the rim moves by as much as the radius changes, all other light by less. So the radii are uniform with a
    step of at most ``2 tolerance_px``; but up to .5 px, where a disk is a single pixel, there is no node in between;
    up to .75 px there are eight times as many and up to 3.5 px twice, with nodes at .5, 1.5, 2.5 and 3.5 px, because
    the areas of the pixels of small disks are far from linear in the radius.

    Parameters
    ----------
    low_px, high_px
        Range of the radii (half the circle of confusion), ``0 <= low_px <= high_px``.
    tolerance_px
        As in :func:`path_scales`.

    Returns
    -------
    ndarray
        ``[levels]`` ascending radii; see :func:`level_of` for the level of a radius.

    Raises
    ------
    InvalidValueError
        A number out of range.

    Examples
    --------
    >>> disk_radii_px(0.5, 5.0, tolerance_px=0.5)
    array([0.5  , 0.625, 0.75 , 1.125, 1.5  , 2.   , 2.5  , 3.   , 3.5  ,
           4.25 , 5.   ])
    """
    _demand_range(low_px, high_px, "low_px", "high_px")
    _demand_tolerance(tolerance_px)
    step = 2.0 * tolerance_px
    nodes, start = [np.array([low_px])], low_px
    for bend, denser in (*_DISK_BENDS_PX, (math.inf, 1.0)):
        end = min(bend, high_px)
        if end > start:
            nodes.append(_uniform(start, end, step / denser if denser else math.inf)[1:])
            start = end
    return np.concatenate(nodes)


def grid_step_px(largest_change_per_px: float, tolerance_px: float = TOLERANCE_PX) -> float:
    """Distance in px between the nodes of a grid, along rows and columns, for a point spread that varies with place.

    Both axes blend, and their errors of place add in squares; so the change over one step is ``sqrt(2) tolerance_px``
    along each, and the root mean square error of the place at most ``tolerance_px``.

    Parameters
    ----------
    largest_change_per_px
        How far any light of the point spread moves, in px, when the pixel that it belongs to moves by one px along a
        row or a column: for a roll by up to ``a`` radians to either side of the reference it is ``2 sin(a/2)``. >= 0.
    tolerance_px
        As in :func:`path_scales`.

    Returns
    -------
    float
        The step; infinite where nothing changes.

    Raises
    ------
    InvalidValueError
        A number out of range.

    Notes
    -----
    The bound takes the change to be linear in place between nodes. For a roll it is; for pan and tilt it is to within
    ``(step / focal length)^2`` of the path. Where a point spread shrinks to a point, as at the center of a roll, a node
    must lie on that point (:func:`grid_axis_px`): the picture is sharp there, and a sharp picture shows every error.
    """
    _demand(
        math.isfinite(largest_change_per_px) and largest_change_per_px >= 0,
        "largest_change_per_px",
        largest_change_per_px,
        ">= 0",
    )
    _demand_tolerance(tolerance_px)
    return math.sqrt(2.0) * tolerance_px / largest_change_per_px if largest_change_per_px > 0 else math.inf


def grid_axis_px(size_px: int, step_px: float, through_px: float | None = None) -> NDArray[np.float64]:
    """Places of the nodes along an axis of the picture: from its first pixel or before to its last or beyond.

    Parameters
    ----------
    size_px
        Pixels along the axis, >= 1.
    step_px
        Distance of the nodes, > 0; a larger one than the axis needs is taken as the axis' length.
    through_px
        A place inside the picture where a node must lie; by default the first pixel. Elsewhere it is not looked at.

    Returns
    -------
    ndarray
        ``[nodes]`` ascending places in px, uniform with ``step_px``; a single one for a step that is infinite.

    Raises
    ------
    InvalidValueError
        A number out of range.

    Examples
    --------
    >>> grid_axis_px(10, 4.0, through_px=4.5)
    array([-3.5,  0.5,  4.5,  8.5, 12.5])
    """
    _demand(size_px >= 1, "size_px", size_px, ">= 1")
    _demand(step_px > 0, "step_px", step_px, "> 0")
    last = float(size_px - 1)
    if math.isinf(step_px):
        return np.zeros(1)
    anchor = through_px if through_px is not None and 0 <= through_px <= last else 0.0
    before, behind = math.ceil(anchor / step_px - 1e-9), math.ceil((last - anchor) / step_px - 1e-9)
    return np.asarray(anchor + step_px * np.arange(-before, behind + 1), np.float64)


def level_of(quantity: ArrayLike, nodes: ArrayLike) -> NDArray[np.float64]:
    """Where values lie on the scale of the nodes: node i is level i, linear in between, clipped beyond the ends.

    Parameters
    ----------
    quantity
        Any shape: the scale, radius or whatever the nodes were made for, at each pixel.
    nodes
        ``[levels]`` strictly ascending.

    Returns
    -------
    ndarray
        Levels in the shape of ``quantity``, for ``convolve_varying``.

    Raises
    ------
    InvalidValueError
        The nodes do not ascend.

    Examples
    --------
    >>> level_of([0.0, 0.6, 3.5, 9.0], [0.0, 0.5, 0.75, 2.0, 4.0])
    array([0.  , 1.4 , 3.75, 4.  ])
    """
    places = np.asarray(nodes, np.float64)
    if places.ndim != 1 or places.size == 0 or not (np.diff(places) > 0).all():
        raise InvalidValueError(f"nodes must be strictly ascending [levels], got shape {places.shape}.")
    return np.asarray(np.interp(np.asarray(quantity, np.float64), places, np.arange(places.size)))


def _uniform(low: float, high: float, widest: float) -> NDArray[np.float64]:
    """From low to high in equal steps of at most ``widest``; a single number where both are equal."""
    if low == high:
        return np.array([low])
    # A hair less, so that a step that fits exactly is not halved by rounding.
    return np.linspace(low, high, max(1, math.ceil((high - low) / widest - 1e-9)) + 1)


def _demand(holds: bool, name: str, got: float, wanted: str) -> None:
    if not holds:
        raise InvalidValueError(f"{name} must be {wanted}, got {got}.")


def _demand_range(low: float, high: float, low_name: str, high_name: str) -> None:
    _demand(math.isfinite(low) and low >= 0, low_name, low, ">= 0")
    _demand(math.isfinite(high) and high >= low, high_name, high, f">= {low_name} = {low}")


def _demand_tolerance(tolerance_px: float) -> None:
    if not (math.isfinite(tolerance_px) and tolerance_px > 0):
        raise InvalidValueError(
            f"tolerance_px must be > 0, got {tolerance_px}.",
            why="The number of nodes grows as its inverse.",
            fix=f"{TOLERANCE_PX} px cannot be seen in a photograph.",
        )
