"""The guided filter with the picture as its own guide, in plain numpy, float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["self_guided"]


def _window_mean(plane: NDArray[np.float64], radius_px: int) -> NDArray[np.float64]:
    # numpy repeats the pixel where there is but one.
    wide = np.pad(plane, radius_px, mode="reflect")
    width = 2 * radius_px + 1
    windows = np.lib.stride_tricks.sliding_window_view(wide, (width, width))
    return np.asarray(windows.mean(axis=(2, 3)))


def self_guided(
    image: NDArray[np.floating], strength: NDArray[np.float64], radius_px: NDArray[np.int64]
) -> NDArray[np.floating]:
    """``E[s m] - E[s] x``."""
    out = np.zeros_like(image)
    for plane in np.ndindex(image.shape[:2]):
        values, c, radius = image[plane].astype(np.float64), float(strength[plane]), int(radius_px[plane])
        if c > 0:
            mean = _window_mean(values, radius)
            contrast = _window_mean((values - mean) ** 2, radius)
            smoothed = c**2 / (c**2 + contrast)
            out[plane] = _window_mean(smoothed * mean, radius) - _window_mean(smoothed, radius) * values
    return out
