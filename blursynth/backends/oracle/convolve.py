"""Convolution by its definition, tap by tap in float64, and its transpose: the oracle of every faster one.

``y[b](p) = sum_t w_t E x[b](p - (dy_t, dx_t))``, where ``E x`` is the picture continued beyond its edge as ``Border``
says. The continuation is linear too (a gather), so the transpose is: correlate without a border, then add every pixel
of the continuation back to the pixel that it was copied from.

Not modeled: nothing. This is a plain sum; its cost is taps times pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.oracle.borders import continued_index
from blursynth.frame import Border
from blursynth.physics.point_spread import PointSpreads

__all__ = ["convolve", "convolve_adjoint"]


def _margins(psf: PointSpreads, border: Border) -> tuple[int, int, int, int]:
    """Rows and columns that are dropped at the top, bottom, left and right: those that look beyond the edge."""
    if border != Border.VALID:
        return 0, 0, 0, 0
    dy, dx = [0, *psf.dy.tolist()], [0, *psf.dx.tolist()]
    return max(dy), -min(dy), max(dx), -min(dx)


def _taps(psf: PointSpreads, b: int) -> list[tuple[int, int, float]]:
    k = psf if len(psf) == 1 else psf[b]
    return [(int(dy), int(dx), float(w)) for dy, dx, w in zip(k.dy, k.dx, k.weight, strict=True)]


def convolve(image: NDArray[np.floating], psf: PointSpreads, *, border: Border) -> NDArray[np.floating]:
    """``y[b](p) = sum_t w_t x[b](p - (dy_t, dx_t))``, tap by tap."""
    batch, channels, height, width = image.shape
    top, bottom, left, right = _margins(psf, border)
    rows, columns = np.arange(top, height - bottom), np.arange(left, width - right)
    result = np.zeros((batch, channels, rows.size, columns.size))
    for b in range(batch):
        for dy, dx, weight in _taps(psf, b):
            y, x = continued_index(rows - dy, height, border), continued_index(columns - dx, width, border)
            seen = (y >= 0)[:, None] & (x >= 0)[None, :]
            result[b] += weight * np.where(seen, image[b].astype(np.float64)[:, y[:, None], x[None, :]], 0.0)
    return result.astype(image.dtype)


def convolve_adjoint(image: NDArray[np.floating], psf: PointSpreads, *, border: Border) -> NDArray[np.floating]:
    """The exact transpose of :func:`convolve`, borders included."""
    batch, channels, small_height, small_width = image.shape
    top, bottom, left, right = _margins(psf, border)
    height, width = small_height + top + bottom, small_width + left + right
    rows, columns = np.arange(top, height - bottom), np.arange(left, width - right)
    result = np.zeros((batch, channels, height, width))
    for b in range(batch):
        for dy, dx, weight in _taps(psf, b):
            y, x = continued_index(rows - dy, height, border), continued_index(columns - dx, width, border)
            light = weight * image[b].astype(np.float64)[:, y >= 0][:, :, x >= 0]
            np.add.at(result[b], np.ix_(np.arange(channels), y[y >= 0], x[x >= 0]), light)
    return result.astype(image.dtype)
