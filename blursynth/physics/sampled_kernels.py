"""Kernels of the super-resolution literature: formulas sampled at pixel centers, on a square that is part of the law.

Each constructor gives a batch of one, centered and with a sum of 1. What lies beyond the square is not lost light: some
of these densities have no finite sum, and the published kernels are those inside the square. :func:`low_pass` has
negative taps: it is a filter of pictures, not a path of light.

Easily confused with the Gaussian, the disk and the Airy disk of ``point_spread``, which are integrated over the area of
each pixel and end where their light does.

Source: the module ``degradations`` of BasicSR, used by Real-ESRGAN (Wang et al., ICCV Workshops 2021).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError
from blursynth.physics.point_spread import PointSpreads

__all__ = ["generalized_gaussian", "low_pass", "plateau"]


def generalized_gaussian(
    sigma_px: float, sigma_across_px: float, angle_rad: float, shape: float, size_px: int
) -> PointSpreads:
    """``k(u, v) ~ exp(-q^shape / 2)``, ``q = u^2 / sigma_px^2 + v^2 / sigma_across_px^2``, u along ``angle_rad``.

    ``shape`` 1 is a Gaussian, 1/2 a peak with long tails, 4 nearly an ellipse with a soft rim.
    """
    reduced = _radius(sigma_px, sigma_across_px, angle_rad, size_px)
    with np.errstate(over="ignore"):
        return _normalized(np.exp(-0.5 * reduced ** _checked_shape(shape)))


def plateau(sigma_px: float, sigma_across_px: float, angle_rad: float, shape: float, size_px: int) -> PointSpreads:
    """``k(u, v) ~ 1 / (1 + q^shape)``, ``q = u^2 / sigma_px^2 + v^2 / sigma_across_px^2``: flat, with far tails.

    With ``shape`` 1 the tails have no finite sum, so that the size decides the width.
    """
    reduced = _radius(sigma_px, sigma_across_px, angle_rad, size_px)
    with np.errstate(over="ignore"):
        return _normalized(1.0 / (1.0 + reduced ** _checked_shape(shape)))


def low_pass(cutoff_rad_per_px: float, size_px: int) -> PointSpreads:
    """The circular low-pass filter ``k(r) ~ w J1(w r) / (2 pi r)``: everything below the frequency w passes.

    Cut to a square, so it rings and overshoots at edges; pi is the highest frequency along an axis.
    """
    if not (math.isfinite(cutoff_rad_per_px) and cutoff_rad_per_px > 0):
        raise InvalidValueError(
            f"cutoff_rad_per_px must be > 0, got {cutoff_rad_per_px}.", why="Nothing at all would pass."
        )
    from scipy.special import j1  # takes a tenth of a second, and most blurs do without

    offset = _offsets(size_px)
    radius = np.hypot(offset[:, None], offset[None, :])
    middle = radius == 0
    radius = np.where(middle, 1.0, radius)
    wave = cutoff_rad_per_px * j1(cutoff_rad_per_px * radius) / (2.0 * math.pi * radius)
    return _normalized(np.where(middle, cutoff_rad_per_px**2 / (4.0 * math.pi), wave))


def _offsets(size_px: int) -> NDArray[np.float64]:
    if size_px < 1 or size_px % 2 == 0:
        raise InvalidValueError(
            f"size_px must be odd and at least 1, got {size_px}.", why="A square of an even size has no middle pixel."
        )
    return np.arange(size_px, dtype=np.float64) - size_px // 2


def _radius(sigma_px: float, sigma_across_px: float, angle_rad: float, size_px: int) -> NDArray[np.float64]:
    """``[size, size]`` the square of the distance in units of the standard deviations."""
    for name, value in (("sigma_px", sigma_px), ("sigma_across_px", sigma_across_px)):
        if not (math.isfinite(value) and value >= 0):
            raise InvalidValueError(f"{name} must be >= 0, got {value}.", why="It is a width in px.")
    offset = _offsets(size_px)
    x, y = offset[None, :], offset[:, None]
    cosine, sine = math.cos(angle_rad), math.sin(angle_rad)
    u, v = cosine * x + sine * y, cosine * y - sine * x
    squared = _squared(u, sigma_px) + _squared(v, sigma_across_px)
    # The same to the last bit at opposite pixels, so that the centroid is exactly in the middle.
    return 0.5 * (squared + squared[::-1, ::-1])


def _squared(place: NDArray[np.float64], sigma_px: float) -> NDArray[np.float64]:
    """``(place / sigma)^2``; infinite off the line that has no width."""
    if sigma_px == 0:
        return np.where(np.abs(place) < 1e-9, 0.0, np.inf)
    with np.errstate(over="ignore"):
        return np.asarray((place / sigma_px) ** 2)


def _checked_shape(shape: float) -> float:
    if not (math.isfinite(shape) and shape > 0):
        raise InvalidValueError(f"shape must be > 0, got {shape}.", why="It is an exponent; 1 is the Gaussian's.")
    return shape


def _normalized(dense: NDArray[np.float64]) -> PointSpreads:
    # Taps that make no difference in any sum would cost time in a convolution.
    dense = np.where(np.abs(dense) < 1e-18 * np.abs(dense).max(), 0.0, dense)
    return PointSpreads.from_dense([dense / dense.sum()])
