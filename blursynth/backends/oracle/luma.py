"""Luma and color differences of display pictures, by their definition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["change_luma_chroma", "luma_chroma", "weighted_sum"]


def weighted_sum(image: NDArray[np.floating], weights: Sequence[float]) -> NDArray[np.floating]:
    """``sum_c weights_c x_c``."""
    total = np.zeros_like(image[:, :1])
    for c, weight in enumerate(weights):
        total += weight * image[:, c : c + 1]
    return total


def luma_chroma(image: NDArray[np.floating]) -> NDArray[np.floating]:
    """``Y, R - Y, B - Y``."""
    red, green, blue = image[:, 0], image[:, 1], image[:, 2]
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return np.stack([luma, red - luma, blue - luma], axis=1)


def change_luma_chroma(image: NDArray[np.floating], change: NDArray[np.floating]) -> NDArray[np.floating]:
    """The inverse map, applied to the change: .299 (R - Y) + .587 (G - Y) + .114 (B - Y) = 0."""
    if change.shape[1] == 1:
        return np.asarray((image + change).clip(0, 1))
    luma, red, blue = change[:, 0], change[:, 1], change[:, 2]
    green = -(0.299 * red + 0.114 * blue) / 0.587
    return np.asarray((image + np.stack([luma + red, luma + green, luma + blue], axis=1)).clip(0, 1))
