"""Separable resampling by its definition: a matrix for the rows and one for the columns, in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blursynth.physics.resampling import Bands

__all__ = ["resample", "resample_adjoint"]


def resample(image: NDArray[np.floating], rows: Bands, columns: Bands) -> NDArray[np.floating]:
    """``y = R x C'``."""
    down, across = rows.matrix(image.shape[2]), columns.matrix(image.shape[3])
    return np.asarray(down @ image.astype(np.float64) @ across.T).astype(image.dtype)


def resample_adjoint(
    image: NDArray[np.floating], rows: Bands, columns: Bands, size_px: tuple[int, int]
) -> NDArray[np.floating]:
    """``x = R' y C``."""
    down, across = rows.matrix(size_px[0]), columns.matrix(size_px[1])
    return np.asarray(down.T @ image.astype(np.float64) @ across).astype(image.dtype)
