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


def _margins(psf: PointSpreads) -> tuple[int, int, int, int]:
    """How far the taps look beyond a pixel: upward, downward, to the left and to the right."""
    dy, dx = [0, *psf.dy.tolist()], [0, *psf.dx.tolist()]
    return max(dy), -min(dy), max(dx), -min(dx)


def _continuation(
    height: int, width: int, margins: tuple[int, int, int, int], border: Border
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which row and which column the continued picture shows in each of its own; -1 for none."""
    top, bottom, left, right = (0, 0, 0, 0) if border == Border.VALID else margins
    rows, columns = np.arange(-top, height + bottom), np.arange(-left, width + right)
    return continued_index(rows, height, border), continued_index(columns, width, border)


def _taps(psf: PointSpreads, b: int) -> list[tuple[int, int, float]]:
    k = psf if len(psf) == 1 else psf[b]
    return [(int(dy), int(dx), float(w)) for dy, dx, w in zip(k.dy, k.dx, k.weight, strict=True)]


def convolve(image: NDArray[np.floating], psf: PointSpreads, *, border: Border) -> NDArray[np.floating]:
    """``y[b](p) = sum_t w_t E x[b](p - (dy_t, dx_t))``, tap by tap."""
    batch, channels, height, width = image.shape
    top, bottom, left, right = margins = _margins(psf)
    y, x = _continuation(height, width, margins, border)
    seen = (y >= 0)[:, None] & (x >= 0)
    continued = np.where(seen, image.astype(np.float64)[:, :, y[:, None], x], 0.0)
    rows, columns = y.size - top - bottom, x.size - left - right
    result = np.zeros((batch, channels, rows, columns))
    for b in range(batch):
        for dy, dx, weight in _taps(psf, b):
            result[b] += weight * continued[b, :, top - dy :, left - dx :][:, :rows, :columns]
    return result.astype(image.dtype)


def convolve_adjoint(image: NDArray[np.floating], psf: PointSpreads, *, border: Border) -> NDArray[np.floating]:
    """The exact transpose of :func:`convolve`, borders included."""
    batch, channels, rows, columns = image.shape
    top, bottom, left, right = margins = _margins(psf)
    valid = border == Border.VALID
    height, width = (rows + top + bottom, columns + left + right) if valid else (rows, columns)
    y, x = _continuation(height, width, margins, border)
    continued = np.zeros((batch, channels, y.size, x.size))
    for b in range(batch):
        for dy, dx, weight in _taps(psf, b):
            continued[b, :, top - dy :, left - dx :][:, :rows, :columns] += weight * image[b].astype(np.float64)
    result = np.zeros((batch, channels, height, width))
    places = np.ix_(np.arange(batch), np.arange(channels), y[y >= 0], x[x >= 0])
    np.add.at(result, places, continued[:, :, y >= 0][:, :, :, x >= 0])
    return result.astype(image.dtype)
