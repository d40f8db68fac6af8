"""Noise of photographs: its strength by intensity and color, and its correlation, from their quietest places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError
from blursynth.physics.color import LUMA

__all__ = ["FLAT_SHARE", "LEVELS", "NoiseBlocks", "NoiseStatistics", "measure_noise", "noise_blocks"]

Array = NDArray[np.float64]

_BLOCK_PX = 8
LEVELS = np.array([8.0, 24.0, 48.0, 80.0, 112.0, 144.0, 176.0, 208.0, 232.0, 247.0])
"""Edges of the intensities, in codes of 255, between which noise is measured; darker and brighter codes are clipped."""
_QUIETEST = 0.05  # quantile of the variances of flat blocks
_FEWEST = 5  # blocks below that quantile
FLAT_SHARE = 0.2
"""Share of the blocks of photographs that are taken for flat: right for sharp and for moved pictures of known noise."""
LAGS = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0))
"""Rows and columns between the pixels whose correlation is measured."""

_LUMA = np.array(LUMA)


@dataclass(frozen=True)
class NoiseStatistics:
    """Noise of pictures, in codes of 255.

    Parameters
    ----------
    luma_codes, chroma_codes
        ``[L]`` standard deviations of luma, and of B - Y and R - Y together, at the intensities between
        :data:`LEVELS`; NaN where there are too few places.
    luma_correlation, chroma_correlation
        ``[5]`` correlation of neighbors at :data:`LAGS`.
    blocks
        ``[L]`` number of blocks.
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


@dataclass(frozen=True)
class NoiseBlocks:
    """Blocks of 8 px of one picture, without the clipped ones.

    Parameters
    ----------
    level
        ``[N]`` index of their intensity in :data:`LEVELS`; -1 and 9 are beyond.
    power
        ``[N, 2]`` variance of luma, and mean of those of B - Y and R - Y, in codes of 255 squared.
    correlation
        ``[N, 2, 5]`` correlation of neighbors at :data:`LAGS`.
    """

    level: NDArray[np.int64]
    power: NDArray[np.float32]
    correlation: NDArray[np.float32]


def noise_blocks(codes: NDArray[np.floating]) -> NoiseBlocks:
    r"""What is left of each block of 8 px of Y, B - Y and R - Y without its plane.

    The variance is :math:`\sum r^2 / (64 - 3)`. The plane takes a little of coarse noise, too, and correlations are
    lower than those of the noise itself; simulated flats are measured in the same way.

    Parameters
    ----------
    codes
        ``[3, H, W]`` of at least 8 px, codes 0..1 in display encoding.
    """
    rows, columns = (size // _BLOCK_PX for size in codes.shape[-2:])
    rgb = 255.0 * codes[:, : rows * _BLOCK_PX, : columns * _BLOCK_PX].astype(np.float64)
    luma = np.tensordot(_LUMA, rgb, 1)
    planes = np.stack([luma, rgb[2] - luma, rgb[0] - luma])
    blocks = planes.reshape(3, rows, _BLOCK_PX, columns, _BLOCK_PX).transpose(1, 3, 0, 2, 4)
    blocks = blocks.reshape(rows * columns, 3, _BLOCK_PX, _BLOCK_PX)
    extremes = rgb.reshape(3, rows, _BLOCK_PX, columns, _BLOCK_PX)
    clipped = (extremes.min(axis=(0, 2, 4)) < 1) | (extremes.max(axis=(0, 2, 4)) > 254)
    blocks = blocks[~clipped.ravel()]
    left = _without_plane(blocks)
    variance = (left**2).sum(axis=(2, 3)) / (_BLOCK_PX**2 - 3)
    power = np.stack([variance[:, 0], variance[:, 1:].mean(axis=1)], axis=1)
    left /= np.sqrt(variance + 1e-4)[..., None, None]
    beside = np.stack(
        [(left[..., : _BLOCK_PX - y, : _BLOCK_PX - x] * left[..., y:, x:]).mean(axis=(2, 3)) for y, x in LAGS], axis=-1
    )
    correlation = np.stack([beside[:, 0], beside[:, 1:].mean(axis=1)], axis=1)
    level = np.digitize(blocks[:, 0].mean(axis=(1, 2)), LEVELS) - 1
    return NoiseBlocks(level, power.astype(np.float32), correlation.astype(np.float32))


def measure_noise(pictures: Sequence[NoiseBlocks], *, flat_share: float = FLAT_SHARE) -> NoiseStatistics:
    r"""Noise of pictures of one camera and sensitivity, from their quietest blocks.

    Noise is in every block and texture in most. So of each intensity the blocks of all pictures are ordered by their
    variance, ``flat_share`` of them are taken for flat, and the 5 % quantile of these counts. That is less than the
    variance of the noise; simulated flats (``flat_share=1``) are measured in the same way, which undoes it.

    Raises
    ------
    InvalidValueError
        No intensity has enough blocks.

    Not modeled: noise that repeats (rows, banding); codes below 8 and above 247, which are clipped. Texture in the
    quietest places counts as noise; noise coarser than 8 px does not.

    Source: after Liu, Szeliski, Kang, Zitnick and Freeman, "Automatic Estimation and Removal of Noise from a Single
    Image", IEEE TPAMI 30(2), 2008 (the lower envelope of variances by intensity).
    """
    level, power, correlation = (
        np.concatenate([getattr(one, name) for one in pictures]) for name in ("level", "power", "correlation")
    )  # fmt: skip
    deviations = np.full((2, len(LEVELS) - 1), np.nan)
    counts = np.zeros(len(LEVELS) - 1, np.int64)
    quiet: list[NDArray[np.int64]] = []
    quantile = _QUIETEST * flat_share
    for index in range(len(LEVELS) - 1):
        here = np.flatnonzero(level == index)
        counts[index] = len(here)
        if len(here) * quantile < _FEWEST:
            continue
        deviations[:, index] = np.sqrt(np.quantile(power[here], quantile, axis=0))
        quiet.append(here[np.argsort(power[here, 0], kind="stable")[: int(2 * quantile * len(here))]])
    if not quiet:
        raise InvalidValueError(
            "the pictures are too small or too clipped to measure noise.",
            why=f"It needs {_FEWEST / quantile:.0f} blocks of {_BLOCK_PX} px of like brightness, between the codes "
            f"{LEVELS[0]:.0f} and {LEVELS[-1]:.0f}.",
            fix="Give more or larger ones.",
        )
    beside = correlation[np.concatenate(quiet)].mean(axis=0)
    return NoiseStatistics(deviations[0], deviations[1], beside[0], beside[1], counts)


def _without_plane(blocks: Array) -> Array:
    """``[N, C, 8, 8]`` minus its least-squares plane."""
    t = np.linspace(-1, 1, _BLOCK_PX)
    y, x = np.meshgrid(t, t, indexing="ij")
    basis, _ = np.linalg.qr(np.stack([np.ones(y.size), y.ravel(), x.ravel()], axis=1))
    flat = blocks.reshape(*blocks.shape[:2], _BLOCK_PX**2)
    return np.asarray((flat - (flat @ basis) @ basis.T).reshape(blocks.shape))
