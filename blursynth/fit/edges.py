"""Sharpness and sharpening halos from the profiles of edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blursynth.physics.color import LUMA

__all__ = ["EdgeFit", "edge_profiles", "fit_edges", "step_response"]

Array = NDArray[np.float64]

_REACH_PX = 8.0
PLACES_PX = np.linspace(-_REACH_PX, _REACH_PX, 65)
"""Where a profile is sampled, in px across the edge."""
_LEAST_STEP = 40.0 / 255.0  # contrast of an edge, so that noise and codes matter little
_MOST_EDGES = 3000
_SHARPEST = 0.1
_WEAKER = 0.004
_SIDE = 12  # samples at either end, 3 px, beyond the halo
_LEAST_HALO = 0.03  # of the step
_LUMA = np.array(LUMA)


@dataclass(frozen=True)
class EdgeFit:
    """Blur and sharpening of the sharpest edges, and the mean profile they were fitted to.

    Parameters
    ----------
    blur_px
        Standard deviation of the Gaussian that a step was blurred with, in px.
    sharpen_sigma_px, sharpen_amount
        The unsharp mask; amount 0: no halo was seen.
    profile, edges
        ``[65]`` the mean profile from 0 to 1 at :data:`PLACES_PX`, and of how many edges.
    """

    blur_px: float
    sharpen_sigma_px: float
    sharpen_amount: float
    profile: Array
    edges: int


def edge_profiles(codes: NDArray[np.floating]) -> Array:
    """``[N, 65]`` profiles across isolated edges of luma, from 0 on the dark side to 1 on the bright one.

    Edges are maxima of the gradient along its direction, with a step of at least 40 codes and flat sides: the
    outermost 3 px of the profile change by less than an eighth of the step. Sampled along the
    gradient by cubic interpolation, and shifted so that .5 lies at 0.

    Parameters
    ----------
    codes
        ``[3, H, W]``, codes 0..1.
    """
    from scipy.ndimage import gaussian_filter, map_coordinates, spline_filter

    luma = np.tensordot(_LUMA, codes.astype(np.float64), 1)
    smooth = gaussian_filter(luma, 1.0)
    gy, gx = np.gradient(smooth)
    strength = np.hypot(gx, gy)
    edge = int(_REACH_PX) + 3
    inner = np.zeros(luma.shape, bool)
    inner[edge:-edge, edge:-edge] = True
    rows, columns = np.nonzero(inner & (strength > _LEAST_STEP / 12))
    if not len(rows):
        return np.zeros((0, len(PLACES_PX)))
    uy, ux = (g[rows, columns] / strength[rows, columns] for g in (gy, gx))
    beside = [map_coordinates(strength, [rows + s * uy, columns + s * ux], order=1) for s in (-1.0, 1.0)]
    top = (strength[rows, columns] >= beside[0]) & (strength[rows, columns] > beside[1])
    rows, columns, uy, ux = rows[top], columns[top], uy[top], ux[top]
    if len(rows) > _MOST_EDGES:  # the strongest would be biased towards large steps: evenly by place
        chosen = np.linspace(0, len(rows) - 1, _MOST_EDGES).astype(int)
        rows, columns, uy, ux = rows[chosen], columns[chosen], uy[chosen], ux[chosen]
    spline = spline_filter(luma, 3)
    y, x = rows[:, None] + PLACES_PX * uy[:, None], columns[:, None] + PLACES_PX * ux[:, None]
    profile = map_coordinates(spline, [y, x], order=3, prefilter=False, mode="nearest")
    dark, bright = profile[:, :_SIDE].mean(axis=1), profile[:, -_SIDE:].mean(axis=1)
    step = bright - dark
    spread = np.maximum(np.ptp(profile[:, :_SIDE], axis=1), np.ptp(profile[:, -_SIDE:], axis=1))
    unclipped = (profile.min(axis=1) > 2 / 255) & (profile.max(axis=1) < 253 / 255)
    good = (step >= _LEAST_STEP) & (spread < step / 8) & unclipped
    profile = (profile[good] - dark[good, None]) / step[good, None]
    middle = np.argmax(profile >= 0.5, axis=1)
    below = np.take_along_axis(profile, np.maximum(middle - 1, 0)[:, None], 1)[:, 0]
    above = np.take_along_axis(profile, middle[:, None], 1)[:, 0]
    spacing = PLACES_PX[1] - PLACES_PX[0]
    crossing = PLACES_PX[np.maximum(middle - 1, 0)] + spacing * (0.5 - below) / np.maximum(above - below, 1e-9)
    near = np.abs(crossing) < 1.5
    if not near.any():
        return np.zeros((0, len(PLACES_PX)))
    return np.stack(
        [np.interp(PLACES_PX + at, PLACES_PX, one) for one, at in zip(profile[near], crossing[near], strict=True)]
    )


def step_response(blur_px: float, sharpen_sigma_px: float, sharpen_amount: float) -> Array:
    """The profile of a step after a Gaussian blur s and an unsharp mask of sigma m and amount a.

    ``(1 + a) F(x / s) - a F(x / sqrt(s^2 + m^2))``, F the distribution function of the standard normal.
    """
    from scipy.special import ndtr

    wide = np.hypot(blur_px, sharpen_sigma_px)
    return np.asarray((1 + sharpen_amount) * ndtr(PLACES_PX / blur_px) - sharpen_amount * ndtr(PLACES_PX / wide))


def fit_edges(profiles: Array) -> EdgeFit | None:
    """Blur and unsharp mask of the sharpest tenth of the profiles; None if there are fewer than 20 of them.

    Their median, point by point, is fitted by least squares. A mask is only reported where it explains the profile
    better than the blur alone by a quarter of the residual, and its halo exceeds 3 % of the step.
    """
    from scipy.optimize import least_squares

    if len(profiles) < 20:
        return None
    slope = np.diff(profiles, axis=1)[:, 30:34].max(axis=1)
    chosen = np.argsort(slope)[::-1][: max(20, int(_SHARPEST * len(profiles)))]
    profile = np.median(profiles[chosen], axis=0)
    near = np.abs(PLACES_PX) <= 6

    def residual(p: Array) -> Array:
        # Strong masks of little width make the same halo as weak wide ones: of equal fits the weakest.
        return np.append((step_response(*p) - profile)[near], _WEAKER * p[2])

    plain = least_squares(lambda p: residual(np.array([p[0], 1.0, 0.0])), [1.0], bounds=([0.2], [6.0]))
    best = min(
        (
            least_squares(residual, [plain.x[0] * f, sigma, 0.5], bounds=([0.2, 0.6, 0.0], [6.0, 4.0, 3.0]))
            for sigma in (0.7, 1.2, 2.2)
            for f in (0.9, 1.4)
        ),
        key=lambda fit: fit.cost,
    )
    blur, sigma, amount = (float(v) for v in best.x)
    halo = float(step_response(blur, sigma, amount).max()) - 1.0
    if halo < _LEAST_HALO or best.cost > 0.75 * plain.cost:
        return EdgeFit(float(plain.x[0]), 1.0, 0.0, profile, len(chosen))
    return EdgeFit(blur, sigma, amount, profile, len(chosen))
