"""The thin lens: the size of a point out of focus, and the position of the focus.

``1/f = 1/s + 1/s'``: an object at distance s from the lens is sharp at ``s'`` behind it. With the sensor at
``s' = f s_f / (s_f - f)``, where s_f is sharp, a point at s becomes a disk of the diameter

    ``c = A s' (1/s_f - 1/s)``,  A = f/N the diameter of the aperture,

the circle of confusion. It is affine in the inverse distance, and the sign tells the side: positive beyond the focus
(the shape of the aperture as seen from behind the camera), negative in front of it (turned by 180 degrees).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blursynth.errors import InvalidValueError

__all__ = [
    "blur_per_dioptre_px",
    "circle_of_confusion_px",
    "depth_of_field_m",
    "hyperfocal_distance_m",
    "inverse_focus",
]


def blur_per_dioptre_px(
    focal_length_mm: float, f_number: float, focus_distance_m: float, pixel_pitch_um: float
) -> float:
    """How fast the circle of confusion (a diameter) grows with the inverse distance, in px per 1/m: ``A s' / pitch``.

    Parameters
    ----------
    focal_length_mm
        f of the lens, > 0.
    f_number
        N = f / aperture diameter, > 0; usual lenses have 1.4 to 22.
    focus_distance_m
        s_f from the lens, beyond the focal length; infinity is allowed.
    pixel_pitch_um
        Distance of pixel centers, > 0.

    Raises
    ------
    InvalidValueError
        A number is outside its range, or the focus is nearer than the focal length.
    """
    for name, value in (
        ("focal_length_mm", focal_length_mm),
        ("f_number", f_number),
        ("pixel_pitch_um", pixel_pitch_um),
    ):
        if not 0 < value < math.inf:
            raise InvalidValueError(f"{name} must be finite and > 0, got {value}.")
    focus_mm = 1000.0 * focus_distance_m
    if not focus_mm > focal_length_mm:
        raise InvalidValueError(
            f"focus_distance_m must be > the focal length of {focal_length_mm / 1000:g} m, got {focus_distance_m}.",
            why="Nothing nearer to the lens than its focal length can be focused.",
            fix="Focus farther away, or use a camera of shorter focal length.",
        )
    image_mm = focal_length_mm / (1.0 - focal_length_mm / focus_mm)
    # mm * mm / m / um = 1: the units cancel.
    return focal_length_mm / f_number * image_mm / pixel_pitch_um


def circle_of_confusion_px(
    distance_m: ArrayLike, *, focal_length_mm: float, f_number: float, focus_distance_m: float, pixel_pitch_um: float
) -> NDArray[np.float64]:
    """Signed DIAMETER of the blur of points at the given distances, in px; > 0 beyond the focus, < 0 in front of it.

    ``c = A f s_f/(s_f - f) (1/s_f - 1/s) / pitch``; towards infinity ``A f/(s_f - f) / pitch``.

    Parameters
    ----------
    distance_m
        Distances along the optical axis, > 0; infinity is allowed.
    focal_length_mm, f_number, focus_distance_m, pixel_pitch_um
        See :func:`blur_per_dioptre_px`.

    Raises
    ------
    InvalidValueError
        A number outside its range.

    Notes
    -----
    Not modeled: aberrations, curvature of field, focus breathing (the picture's scale), diffraction.

    Examples
    --------
    A 50 mm lens at f/2, focused at 2 m, on pixels of 5 um: half as far, and at infinity.

    >>> circle_of_confusion_px(
    ...     [1.0, 2.0, float("inf")], focal_length_mm=50, f_number=2, focus_distance_m=2, pixel_pitch_um=5
    ... ).round(1).tolist()
    [-128.2, 0.0, 128.2]
    """
    distance = np.asarray(distance_m, np.float64)
    if not (distance > 0).all():
        raise InvalidValueError(
            "distance_m must be > 0 (along the optical axis).", fix="Fill holes in the depth first."
        )
    growth = blur_per_dioptre_px(focal_length_mm, f_number, focus_distance_m, pixel_pitch_um)
    return np.asarray(growth * (1.0 / focus_distance_m - 1.0 / distance))


def inverse_focus(
    focus_distance_m: float,
    tilt_rad: float,
    azimuth_rad: float,
    y: NDArray[np.float64],
    x: NDArray[np.float64],
) -> NDArray[np.float64]:
    """``[H, W]`` inverse distance in 1/m at which each pixel is in focus, for a plane of focus that may be tilted.

    The plane goes through the focus distance on the axis. Points on it satisfy ``Z + tan(tau) (cos(phi) X + sin(phi)
    Y) = s_f``, and with ``X = x Z``, ``Y = y Z`` follows ``1/Z = (1 + tan(tau) (cos(phi) x + sin(phi) y)) / s_f``,
    affine in the pixel's coordinates.

    Parameters
    ----------
    focus_distance_m
        s_f on the axis.
    tilt_rad
        tau, angle between the plane of focus and the sensor, |tau| < pi/2; towards the azimuth the focus is nearer.
    azimuth_rad
        phi, 0 = right, pi/2 = down.
    y, x
        Tangents of the viewing angle of rows ``[H]`` and columns ``[W]``: ``(row - c_y) / focal length in px``.

    Notes
    -----
    Where the plane lies behind the camera the result is negative: nothing is in focus there. Not modeled: the change
    of the image distance across a tilted sensor, which makes circles of confusion grow by the same small share as the
    inverse image distance changes.
    """
    slope = math.tan(tilt_rad)
    down, right = slope * math.sin(azimuth_rad) * y, slope * math.cos(azimuth_rad) * x
    return np.asarray((1.0 + down[:, None] + right[None, :]) / focus_distance_m)


def depth_of_field_m(
    largest_blur_px: float, *, focal_length_mm: float, f_number: float, focus_distance_m: float, pixel_pitch_um: float
) -> tuple[float, float]:
    """Nearest and farthest distance at which the circle of confusion is at most ``largest_blur_px`` (a diameter).

    >>> near, far = depth_of_field_m(1.0, focal_length_mm=50, f_number=8, focus_distance_m=2, pixel_pitch_um=5)
    >>> round(near, 3), round(far, 3)
    (1.939, 2.064)
    """
    growth = blur_per_dioptre_px(focal_length_mm, f_number, focus_distance_m, pixel_pitch_um)
    if not largest_blur_px >= 0:
        raise InvalidValueError(f"largest_blur_px must be >= 0, got {largest_blur_px}.")
    depth = largest_blur_px / growth
    farthest = 1.0 / focus_distance_m - depth
    return 1.0 / (1.0 / focus_distance_m + depth), 1.0 / farthest if farthest > 0 else math.inf


def hyperfocal_distance_m(
    largest_blur_px: float, *, focal_length_mm: float, f_number: float, pixel_pitch_um: float
) -> float:
    """The focus distance beyond which everything to infinity is blurred by at most ``largest_blur_px``.

    ``H = f + f^2 / (N c)``.

    >>> round(hyperfocal_distance_m(2.0, focal_length_mm=4.2, f_number=1.8, pixel_pitch_um=1.4), 3)
    3.504
    """
    if not largest_blur_px > 0:
        raise InvalidValueError(f"largest_blur_px must be > 0, got {largest_blur_px}.")
    blur_mm = largest_blur_px * pixel_pitch_um / 1000.0
    return (focal_length_mm + focal_length_mm**2 / (f_number * blur_mm)) / 1000.0
