"""Depth of simple surfaces: a plane, and the ground with a sky.

Positions are given as tangents of the viewing angle, ``(column - principal column) / focal_length_px`` and likewise for
rows, so that a window of a picture has the depth of the whole. Depth is measured along the optical axis; that of a
plane is affine in its inverse: ``1/Z = (n . (x, y, 1)) / (n . X)`` for every point X of the plane with the normal n.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["ground_depth_m", "plane_depth_m", "view_tangents"]


def view_tangents(
    origin_px: tuple[int, int],
    size_px: tuple[int, int],
    principal_point_px: tuple[float, float],
    focal_length_px: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tangents of the viewing angle of a window's rows ``[H]`` (down) and columns ``[W]`` (right).

    Parameters
    ----------
    origin_px
        Row and column of the window's first pixel in the full picture.
    size_px
        Height and width of the window.
    principal_point_px
        Row and column in the full picture that the optical axis meets; pixel centers have whole coordinates.
    focal_length_px
        > 0.
    """
    # From absolute coordinates, so that rounding does not depend on the window.
    y, x = (
        (np.arange(first, first + count, dtype=np.float64) - center) / focal_length_px
        for first, count, center in zip(origin_px, size_px, principal_point_px, strict=True)
    )
    return y, x


def plane_depth_m(
    y: NDArray[np.float64], x: NDArray[np.float64], distance_m: float, tilt_rad: float, azimuth_rad: float, far_m: float
) -> NDArray[np.float64]:
    """Depth ``[H, W]`` of a plane: ``1/Z = (1 - tan(tilt) (x cos(azimuth) + y sin(azimuth))) / distance``.

    Parameters
    ----------
    y, x
        :func:`view_tangents`.
    distance_m
        Where the optical axis meets the plane, > 0.
    tilt_rad
        Angle between the plane's normal and the optical axis, 0 <= tilt < pi/2; 0 is a wall seen straight on.
    azimuth_rad
        Direction in the picture in which the plane recedes from the camera, from +x (right) towards +y (down).
    far_m
        Depth is at most this; beyond the plane's horizon it is this.

    Examples
    --------
    In a direction 45 degrees to the right, a ray never meets a plane that recedes by 45 degrees:

    >>> y, x = np.zeros(1), np.array([-1.0, 0.0, 0.5, 1.0])
    >>> plane_depth_m(y, x, 2.0, math.radians(45), 0.0, 1000.0).round(9).tolist()
    [[1.0, 2.0, 4.0, 1000.0]]
    """
    slope = math.tan(tilt_rad)
    along = x[None, :] * math.cos(azimuth_rad) + y[:, None] * math.sin(azimuth_rad)
    inverse = (1.0 - slope * along) / distance_m
    return np.asarray(1.0 / np.maximum(inverse, 1.0 / far_m))


def ground_depth_m(
    y: NDArray[np.float64], columns: int, camera_height_m: float, horizon_y: float, far_m: float
) -> NDArray[np.float64]:
    """Depth ``[H, W]`` of flat ground with a sky: ``1/Z = cos(pitch) (y - horizon_y) / camera_height``.

    A camera that looks down by the angle ``pitch`` has the horizon at ``horizon_y = -tan(pitch)``. It does not roll, so
    the horizon is level.

    Parameters
    ----------
    y
        :func:`view_tangents` of the rows.
    columns
        W.
    camera_height_m
        Height of the camera above the ground, > 0.
    horizon_y
        Tangent of the viewing angle of the horizon, downwards.
    far_m
        Depth of the sky, and largest depth of the ground.

    Examples
    --------
    A level camera 1.5 m above the ground sees it at 3 m where the tangent is one half:

    >>> ground_depth_m(np.array([-0.1, 0.5, 1.0]), 1, 1.5, 0.0, 1000.0).ravel().tolist()
    [1000.0, 3.0, 1.5]
    """
    cosine = 1.0 / math.hypot(1.0, horizon_y)
    depth = 1.0 / np.maximum(cosine * (y - horizon_y) / camera_height_m, 1.0 / far_m)
    return np.repeat(depth[:, None], columns, axis=1)
