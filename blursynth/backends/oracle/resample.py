"""Separable resampling by its definition: a matrix for the rows and one for the columns, in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError
from blursynth.physics.resampling import Bands

__all__ = ["check_bands", "resample", "resample_adjoint"]


def check_bands(size_px: tuple[int, ...], rows: Bands, columns: Bands) -> None:
    """Raise ``InvalidValueError`` where bands take samples that a picture of this size has not."""
    for name, bands, size in (("rows", rows, size_px[0]), ("columns", columns, size_px[1])):
        most = int(bands.source.max())
        if most >= size:
            raise InvalidValueError(
                f"{name} take sample {most} of a picture that has {size}.",
                why="The bands were made for another size.",
                fix="Make them for this picture.",
            )


def resample(image: NDArray[np.floating], rows: Bands, columns: Bands) -> NDArray[np.floating]:
    """``y = R x C'``; see :func:`blursynth.backends.cpu.resample.resample`."""
    check_bands(image.shape[2:], rows, columns)
    down, across = rows.matrix(image.shape[2]), columns.matrix(image.shape[3])
    return np.asarray(down @ image.astype(np.float64) @ across.T).astype(image.dtype)


def resample_adjoint(
    image: NDArray[np.floating], rows: Bands, columns: Bands, size_px: tuple[int, int]
) -> NDArray[np.floating]:
    """``x = R' y C``; see :func:`blursynth.backends.cpu.resample.resample_adjoint`."""
    check_bands(size_px, rows, columns)
    down, across = rows.matrix(size_px[0]), columns.matrix(size_px[1])
    return np.asarray(down.T @ image.astype(np.float64) @ across).astype(image.dtype)
