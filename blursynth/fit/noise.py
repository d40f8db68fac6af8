"""Noise of photographs: its strength by intensity and color, and its correlation, from flat places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError
from blursynth.physics.color import LUMA

__all__ = ["LEVELS", "NoiseStatistics", "measure_noise"]

Array = NDArray[np.float64]

_BLOCK_PX = 16
LEVELS = np.array([8.0, 24.0, 48.0, 80.0, 112.0, 144.0, 176.0, 208.0, 232.0, 247.0])
"""Edges of the intensities, in codes of 255, between which noise is measured; darker and brighter codes are clipped."""
_FLATTEST = 0.1  # share of the blocks of an intensity that count as flat
_ALIKE = 2.0  # times the structure of that share: as flat, since noise has a little of it, too
_FEWEST = 4
LAGS = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0))
"""Rows and columns between the pixels whose correlation is measured."""

_LUMA = np.array(LUMA)


@dataclass(frozen=True)
class NoiseStatistics:
    """Noise of one picture, in codes of 255.

    Parameters
    ----------
    luma_codes, chroma_codes
        ``[L]`` standard deviations of luma, and of B - Y and R - Y together, at the intensities between
        :data:`LEVELS`; NaN where there are too few flat places.
    luma_correlation, chroma_correlation
        ``[5]`` correlation of neighbors at :data:`LAGS`.
    blocks
        ``[L]`` number of flat places.
    """

    luma_codes: Array
    chroma_codes: Array
    luma_correlation: Array
    chroma_correlation: Array
    blocks: NDArray[np.int64]

    def to_vector(self) -> Array:
        """All of it as one vector of comparable numbers: logarithms of the deviations, and correlations."""
        deviations = np.log(np.concatenate([self.luma_codes, self.chroma_codes]) + 0.05)
        return np.concatenate([deviations, self.luma_correlation, self.chroma_correlation])


def measure_noise(codes: NDArray[np.floating]) -> NoiseStatistics:
    r"""Noise from the flattest blocks of 16 px.

    In each block a surface of second order is subtracted from Y, B - Y and R - Y; what is left of a flat place is
    noise, with the variance :math:`\sum r^2 / (256 - 6)`. Which blocks are flat is decided at a coarser scale, by
    the variance of the means of 4 x 4 px after the same surface, so that noise has little part in the choice. Of each
    intensity the flattest tenth counts, with those up to twice as rough, and the median of their variances is taken.

    Parameters
    ----------
    codes
        ``[3, H, W]``, codes 0..1 in display encoding.

    Raises
    ------
    InvalidValueError
        The picture is smaller than 64 px, or no intensity has four flat blocks.

    The surface takes a little of coarse noise, too: correlations are up to .15 lower than those of the noise itself.
    Simulated flats are measured in the same way.

    Not modeled: noise that repeats (rows, banding); codes below 8 and above 247, which are clipped. Fine texture in
    flat places counts as noise; noise coarser than 16 px does not.
    """
    height, width = codes.shape[-2:]
    if min(height, width) < 64:
        raise InvalidValueError(
            f"noise is measured in pictures of at least 64 px, got {width} x {height}.", fix="Give larger ones."
        )
    rows, columns = height // _BLOCK_PX, width // _BLOCK_PX
    rgb = 255.0 * codes[:, : rows * _BLOCK_PX, : columns * _BLOCK_PX].astype(np.float64)
    luma = np.tensordot(_LUMA, rgb, 1)
    planes = np.stack([luma, rgb[2] - luma, rgb[0] - luma])
    blocks = planes.reshape(3, rows, _BLOCK_PX, columns, _BLOCK_PX).transpose(1, 3, 0, 2, 4)
    blocks = blocks.reshape(rows * columns, 3, _BLOCK_PX, _BLOCK_PX)
    extremes = rgb.reshape(3, rows, _BLOCK_PX, columns, _BLOCK_PX)
    clipped = (extremes.min(axis=(0, 2, 4)) < 1) | (extremes.max(axis=(0, 2, 4)) > 254)
    blocks = blocks[~clipped.ravel()]
    left = _without_surface(blocks, _BLOCK_PX)
    coarse = blocks.reshape(-1, 3, 4, 4, 4, 4).mean(axis=(3, 5))
    # Luma decides, with colors at half their weight: an edge of color alone is an edge.
    structure = (_without_surface(coarse, 4, order=1) ** 2).mean(axis=(2, 3)) @ np.array([1.0, 0.5, 0.5])
    variance = (left**2).sum(axis=(2, 3)) / (_BLOCK_PX**2 - 6)
    level = np.digitize(blocks[:, 0].mean(axis=(1, 2)), LEVELS) - 1
    luma_codes, chroma_codes = np.full((2, len(LEVELS) - 1), np.nan)
    counts = np.zeros(len(LEVELS) - 1, np.int64)
    flat: list[NDArray[np.int64]] = []
    for index in range(len(LEVELS) - 1):
        here = np.flatnonzero(level == index)
        ordered = here[np.argsort(structure[here], kind="stable")]
        flattest = ordered[: max(int(_FLATTEST * len(here)), _FEWEST)]
        if len(flattest) < _FEWEST:
            continue
        chosen = ordered[structure[ordered] <= _ALIKE * structure[flattest[-1]]]
        counts[index] = len(chosen)
        luma_codes[index] = np.sqrt(np.median(variance[chosen, 0]))
        chroma_codes[index] = np.sqrt(np.median(variance[chosen, 1:].mean(axis=1)))
        flat.append(chosen)
    if not flat:
        raise InvalidValueError(
            "no place is flat and well exposed enough to measure noise.",
            why="Noise is read where the scene has no detail, between the codes 8 and 247.",
            fix="Add photographs with sky, walls or shadows.",
        )
    some = left[np.concatenate(flat)]
    # Texture has few, strong blocks: every block counts alike.
    some = some / np.sqrt((some**2).mean(axis=(2, 3), keepdims=True) + 1e-4)
    return NoiseStatistics(luma_codes, chroma_codes, _correlation(some[:, :1]), _correlation(some[:, 1:]), counts)


def _without_surface(blocks: Array, size: int, order: int = 2) -> Array:
    """``[N, C, size, size]`` minus its least-squares polynomial of the given order in row and column."""
    t = np.linspace(-1, 1, size)
    y, x = np.meshgrid(t, t, indexing="ij")
    terms = [x**i * y**j for i in range(order + 1) for j in range(order + 1 - i)]
    basis, _ = np.linalg.qr(np.stack([term.ravel() for term in terms], axis=1))
    flat = blocks.reshape(*blocks.shape[:2], size * size)
    return np.asarray((flat - (flat @ basis) @ basis.T).reshape(blocks.shape))


def _correlation(left: Array) -> Array:
    size = left.shape[-1]
    power = max(float((left**2).mean()), 1e-12)
    return np.array([
        float((left[..., : size - dy, : size - dx] * left[..., dy:, dx:]).mean()) / power for dy, dx in LAGS
    ])  # fmt: skip
