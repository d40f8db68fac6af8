"""Noise keyed per pixel in plain numpy and scipy: the same words, the same numbers, no approximations.

``backends.cpu.noise`` describes which words belong to a pixel and how they become a probability.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blursynth.backends.oracle.philox import philox4x32, seed_words

__all__ = [
    "COLUMN",
    "PATTERN",
    "PIXEL",
    "ROW",
    "gaussian_noise",
    "poisson",
    "poisson_quantile",
    "row_normals",
    "standard_normals",
    "tail_probability",
    "words",
]

PIXEL, ROW, COLUMN, PATTERN = 0, 1, 2, 3


def words(
    shape: tuple[int, ...], seed: ArrayLike, origin_px: ArrayLike, tag: int = PIXEL
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
    """The four words of every pixel of a ``[B, C, H, W]`` image: counter (row, column, channel, tag), key = seed."""
    batch, channels, height, width = shape
    origin = np.broadcast_to(np.asarray(origin_px, np.int64), (batch, 2))
    row = origin[:, 0, None, None, None] + np.arange(height)[:, None]
    column = origin[:, 1, None, None, None] + np.arange(width)
    if tag == ROW:
        column = np.zeros_like(column)
    if tag == COLUMN:
        row = np.zeros_like(row)
    channel = np.arange(channels, dtype=np.uint64)[:, None, None]
    k0, k1 = seed_words(np.asarray(seed, np.uint64)[:, None, None, None])
    return philox4x32(row.astype(np.uint64), column.astype(np.uint64), channel, tag, k0, k1)


def tail_probability(
    high: NDArray[np.uint64], low: NDArray[np.uint64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probability p <= 1/2 of a pair of words, and whether it is that of the upper tail."""
    m = (high & np.uint64(0x7FFFFFFF)).astype(np.float64) * 2.0**32 + low.astype(np.float64)
    return (m + 0.5) * 2.0**-64, (high >> np.uint64(31)) == 1


def standard_normals(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Normal numbers by the inverse of their distribution function."""
    from scipy import special  # takes half a second, and the fast backend, which shares other parts, does without

    p, above = tail_probability(high, low)
    z = special.ndtri(p)
    return np.asarray(np.where(above, -z, z))


def poisson_quantile(p: ArrayLike, above: ArrayLike, mean: ArrayLike) -> NDArray[np.float64]:
    """The smallest k with ``P(N <= k) >= p``, or with ``P(N > k) <= p`` where ``above``; by trying k after k."""
    from scipy import special  # takes half a second, and the fast backend, which shares other parts, does without

    mean, p, above = np.broadcast_arrays(np.asarray(mean, np.float64), np.asarray(p, np.float64), np.asarray(above))

    def too_small(k: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray(np.where(above, special.pdtrc(k, mean) > p, special.pdtr(k, mean) < p) | (k < 0))

    z = special.ndtri(p) * np.where(above, -1.0, 1.0)
    k = np.maximum(np.floor(mean + np.sqrt(mean) * z + z * z / 6.0), 0.0)
    while (up := too_small(k)).any():
        k = k + up
    while (down := ~too_small(k - 1.0)).any():
        k = k - down
    return np.asarray(k)


def poisson(
    mean: NDArray[np.floating], seed: NDArray[np.uint64], *, origin_px: NDArray[np.int64]
) -> NDArray[np.floating]:
    """Poisson counts of the given means."""
    w0, _w1, w2, _w3 = words(mean.shape, seed, origin_px)
    p, above = tail_probability(w0, w2)
    return poisson_quantile(p, above, mean).astype(mean.dtype)


def gaussian_noise(
    image: NDArray[np.floating],
    sigma: NDArray[np.float64],
    seed: NDArray[np.uint64],
    *,
    origin_px: NDArray[np.int64],
) -> NDArray[np.floating]:
    """``image + sigma[b] n``."""
    _w0, w1, _w2, w3 = words(image.shape, seed, origin_px)
    scale = np.broadcast_to(np.asarray(sigma, np.float64), (image.shape[0],))[:, None, None, None]
    return np.asarray(image + scale * standard_normals(w1, w3)).astype(image.dtype)


def row_normals(
    shape: tuple[int, ...], seed: NDArray[np.uint64], *, origin_px: NDArray[np.int64]
) -> NDArray[np.float64]:
    """``[B, C, H, 1]`` the normal number that a row of a channel shares."""
    _w0, w1, _w2, w3 = words((*shape[:3], 1), seed, origin_px, ROW)
    return standard_normals(w1, w3)
