"""Convolution by its definition, tap by tap in float64, and its transpose: the oracle of every faster one.

``y[b](p) = sum_t w_t E x[b](p - (dy_t, dx_t))``, where ``E x`` is the picture continued beyond its edge as ``Border``
says. The continuation is linear too (a gather), so the transpose is: correlate without a border, then add every pixel
of the continuation back to the pixel that it was copied from.

Not modeled: nothing. This is a plain sum; its cost is taps times pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError
from blursynth.frame import Border
from blursynth.physics.point_spread import PointSpreads

__all__ = ["check_arguments", "continued_index", "convolve", "convolve_adjoint", "valid_margins_px"]


def valid_margins_px(psf: PointSpreads) -> tuple[int, int, int, int]:
    """Rows and columns (top, bottom, left, right) that ``Border.VALID`` drops: the reach of the taps on each side.

    A tap (dy, dx) takes light from ``p - (dy, dx)``, so a positive ``dy`` reaches over the top edge. The largest reach
    of the whole batch counts, so that its results have one size. A side that no tap reaches over loses nothing.

    >>> valid_margins_px(PointSpreads.from_dense([np.ones((3, 5))]))
    (1, 1, 2, 2)
    """
    dy, dx = psf.dy, psf.dx
    return (
        max(0, int(dy.max(initial=0))),
        max(0, -int(dy.min(initial=0))),
        max(0, int(dx.max(initial=0))),
        max(0, -int(dx.min(initial=0))),
    )


def check_arguments(image: object, psf: PointSpreads, border: Border) -> Border:
    """The border as a ``Border``, after a check of what both convolutions need.

    Raises
    ------
    InvalidValueError
        The image is not a numpy array ``[B, C, H, W]`` of float32 or float64, or is empty; the batch of point spreads
        is neither 1 nor that of the image; the border has no such name.
    """
    if (
        not isinstance(image, np.ndarray)
        or image.ndim != 4
        or image.dtype.kind != "f"
        or image.dtype.itemsize not in (4, 8)
    ):
        got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InvalidValueError(
            f"image must be a float32 or float64 array [B, C, H, W], got {got}.",
            fix="Convert it, e.g. image.astype('float32'), and add the missing axes, e.g. image[None].",
        )
    if image.size == 0:
        raise InvalidValueError(f"image is empty: shape {image.shape}.", fix="Leave such pictures out.")
    if len(psf) not in (1, image.shape[0]):
        raise InvalidValueError(
            f"psf must hold one point spread for each of the {image.shape[0]} pictures, or a single one, "
            f"got {len(psf)}.",
            why="Which picture gets which blur would be a guess.",
            fix="Pass psf[b] for one picture, or build the batch with PointSpreads.from_dense.",
        )
    try:
        return Border(border)
    except ValueError:
        raise InvalidValueError(
            f"border must be one of {', '.join(b.value for b in Border)}, got {border!r}.",
            fix="Use a member of blursynth.frame.Border.",
        ) from None


def continued_index(place: NDArray[np.int64], size: int, border: Border) -> NDArray[np.int64]:
    """The pixel, 0 .. size - 1, that stands at each ``place`` of a row continued beyond its edge; -1 where there is
    none (zero).

    A continuation longer than the row is folded, or repeated, as often as needed.

    >>> continued_index(np.arange(-3, 6), 3, Border.REFLECT)
    array([1, 2, 1, 0, 1, 2, 1, 0, 1])
    """
    if border == Border.REPLICATE:
        return np.clip(place, 0, size - 1)
    if border == Border.CIRCULAR:
        return place % size
    if border == Border.REFLECT:
        if size == 1:
            return np.zeros_like(place)
        folded = place % (2 * size - 2)
        return np.where(folded < size, folded, 2 * size - 2 - folded)
    return np.where((place >= 0) & (place < size), place, -1)


def _taps(psf: PointSpreads, b: int) -> list[tuple[int, int, float]]:
    k = psf if len(psf) == 1 else psf[b]
    return [(int(dy), int(dx), float(w)) for dy, dx, w in zip(k.dy, k.dx, k.weight, strict=True)]


def convolve(image: NDArray[np.floating], psf: PointSpreads, *, border: Border) -> NDArray[np.floating]:
    """True convolution of every picture with its own point spread: an impulse gives the PSF, not flipped, not shifted.

    Parameters
    ----------
    image
        ``[B, C, H, W]``, float32 or float64; computed in float64, returned in the type given.
    psf
        B point spreads, or one for all.
    border
        How the pictures go on beyond their edge. ``REFLECT`` and ``CIRCULAR`` fold or repeat as often as the reach
        needs; ``VALID`` drops :func:`valid_margins_px` instead.

    Returns
    -------
    ndarray
        ``[B, C, H', W']``; H' = H, W' = W, but for ``VALID``.

    Raises
    ------
    InvalidValueError
        See :func:`check_arguments`; and when ``VALID`` leaves nothing.
    """
    border = check_arguments(image, psf, border)
    batch, channels, height, width = image.shape
    top, bottom, left, right = valid_margins_px(psf) if border == Border.VALID else (0, 0, 0, 0)
    rows, columns = np.arange(top, height - bottom), np.arange(left, width - right)
    check_valid_size(image.shape, (top, bottom, left, right))
    result = np.zeros((batch, channels, rows.size, columns.size))
    for b in range(batch):
        for dy, dx, weight in _taps(psf, b):
            y, x = continued_index(rows - dy, height, border), continued_index(columns - dx, width, border)
            seen = (y >= 0)[:, None] & (x >= 0)[None, :]
            result[b] += weight * np.where(seen, image[b].astype(np.float64)[:, y[:, None], x[None, :]], 0.0)
    return result.astype(image.dtype)


def check_valid_size(shape: tuple[int, ...], margins: tuple[int, int, int, int]) -> None:
    """Raise ``InvalidValueError`` when the margins leave nothing of a picture of this shape."""
    top, bottom, left, right = margins
    if shape[-2] <= top + bottom or shape[-1] <= left + right:
        raise InvalidValueError(
            f"Border.VALID leaves nothing of a picture of {shape[-2]} x {shape[-1]} px: "
            f"the point spread reaches over the edges by {top} + {bottom} rows and {left} + {right} columns.",
            fix="Take a larger crop, a shorter blur, or another border.",
        )


def convolve_adjoint(image: NDArray[np.floating], psf: PointSpreads, *, border: Border) -> NDArray[np.floating]:
    """The exact transpose of :func:`convolve`, borders included: ``<convolve(x), y> = <x, convolve_adjoint(y)>``.

    Parameters
    ----------
    image
        ``[B, C, H', W']``, of the size that :func:`convolve` returns: for ``VALID`` the small one.

    Returns
    -------
    ndarray
        ``[B, C, H, W]``; for ``VALID`` larger than ``image`` by :func:`valid_margins_px`.

    Raises
    ------
    InvalidValueError
        See :func:`check_arguments`.
    """
    border = check_arguments(image, psf, border)
    batch, channels, small_height, small_width = image.shape
    top, bottom, left, right = valid_margins_px(psf) if border == Border.VALID else (0, 0, 0, 0)
    height, width = small_height + top + bottom, small_width + left + right
    rows, columns = np.arange(top, height - bottom), np.arange(left, width - right)
    result = np.zeros((batch, channels, height, width))
    for b in range(batch):
        for dy, dx, weight in _taps(psf, b):
            y, x = continued_index(rows - dy, height, border), continued_index(columns - dx, width, border)
            light = weight * image[b].astype(np.float64)[:, y >= 0][:, :, x >= 0]
            np.add.at(result[b], np.ix_(np.arange(channels), y[y >= 0], x[x >= 0]), light)
    return result.astype(image.dtype)
