"""The response curve of a camera from exposure brackets, whose ratios of light EXIF states."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from blursynth.fit.photographs import Photograph
from blursynth.physics.response import Sigmoid

__all__ = ["bracket_pairs", "fit_curve"]

Array = NDArray[np.float64]

_BLOCK_PX = 16
_FLAT = 8.0 / 255.0  # largest deviation within a block: the mean of codes is then the code of the mean
_CODES = (6.0 / 255.0, 245.0 / 255.0)
_FEWEST_BLOCKS = 50
_RATIOS = (1.4, 20.0)
_ALIKE = 0.98  # correlation of two pictures of one scene
_WORST_RMS = 0.02


def bracket_pairs(photographs: Sequence[Photograph]) -> list[tuple[float, Array, Array]]:
    """(ratio of light > 1, codes of the darker, codes of the brighter picture) of pairs that show one scene.

    The light is ``exposure_s * iso / f_number ** 2`` of EXIF. Flat, unclipped blocks of 16 px at the same place count.
    """
    found = []
    for one, other in combinations(photographs, 2):
        first, second = _light_of(one), _light_of(other)
        if first is None or second is None or one.pixels.shape != other.pixels.shape:
            continue
        (low, dark), (high, bright) = sorted([(first, one), (second, other)], key=lambda pair: pair[0])
        if not _RATIOS[0] <= high / low <= _RATIOS[1]:
            continue
        means, deviations = zip(*(_blocks(photograph.codes[1]) for photograph in (dark, bright)), strict=True)
        good = np.all(
            [(d < _FLAT) & (m > _CODES[0]) & (m < _CODES[1]) for m, d in zip(means, deviations, strict=True)], 0
        )
        if good.sum() < _FEWEST_BLOCKS:
            continue
        x, y = means[0][good], means[1][good]
        if x.std() > 0 and y.std() > 0 and np.corrcoef(np.log(x), np.log(y))[0, 1] > _ALIKE:
            found.append((high / low, x, y))
    return found


def _light_of(photograph: Photograph) -> float | None:
    """Relative light per scene radiance; a lens without a stated f-number has one."""
    file = photograph.file
    if file.exposure_s is None or file.iso is None:
        return None
    return file.exposure_s * file.iso / (file.f_number or 1.0) ** 2


def _blocks(plane: NDArray[np.floating]) -> tuple[Array, Array]:
    rows, columns = plane.shape[0] // _BLOCK_PX, plane.shape[1] // _BLOCK_PX
    cut = plane[: rows * _BLOCK_PX, : columns * _BLOCK_PX].astype(np.float64)
    blocks = cut.reshape(rows, _BLOCK_PX, columns, _BLOCK_PX)
    return blocks.mean(axis=(1, 3)), blocks.std(axis=(1, 3))


def fit_curve(pairs: Sequence[tuple[float, Array, Array]]) -> tuple[float, float, float] | None:
    """Exponent, midtone and contrast of the curve f with ``f(k f^-1(dark)) = bright``; None if none fits within 2 %.

    The family is that of :class:`~blursynth.kinds.SigmoidEncode`. Since the ratios k are known, the exponent is, too
    (brackets alone leave it open); a factor of the light is not, but for white, which is that of the family.

    Source: Mitsunaga and Nayar, "Radiometric Self Calibration", CVPR 1999.
    """
    from scipy.optimize import least_squares

    if not pairs:
        return None

    def residual(p: Array) -> Array:
        curve = Sigmoid.from_midtone(float(p[0]), float(p[1]), float(p[2]))
        return np.concatenate([curve.value(k * curve.light(dark)) - bright for k, dark, bright in pairs])

    starts = [np.array([exponent, 0.58, 0.0]) for exponent in (0.45, 0.8, 1.2)]
    bounds = ([0.2, 0.2, -0.6], [3.0, 0.9, 0.8])
    best = min(
        (least_squares(residual, start, bounds=bounds, loss="soft_l1", f_scale=0.02) for start in starts),
        key=lambda fit: fit.cost,
    )
    if np.sqrt((residual(best.x) ** 2).mean()) > _WORST_RMS:
        return None
    exponent, midtone, contrast = (round(float(v), 4) for v in best.x)
    return exponent, midtone, contrast
