"""Statistics of tiles that do not depend on what they show: what synthetic and real photographs are compared by."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from blursynth.physics.color import LUMA

__all__ = ["GROUPS", "STATISTICS_TILE_PX", "mean_spectrum", "tile_statistics"]

Array = NDArray[np.float64]

STATISTICS_TILE_PX = 64
_BANDS = 10  # of spatial frequency, equal steps up to half a cycle per px
_LUMA = np.array(LUMA, np.float32)

GROUPS: Mapping[str, slice] = {
    "brightness and contrast": slice(0, 2),
    "spectrum of luma": slice(2, 12),
    "spectrum of color": slice(12, 22),
    "shape of gradients": slice(22, 26),
    "direction of gradients": slice(26, 28),
    "noise": slice(28, 32),
    "8 px blocks": slice(32, 34),
}
"""Which columns of :func:`tile_statistics` say what."""


def _radial(size: int) -> tuple[NDArray[np.int64], Array]:
    f = np.fft.fftfreq(size)
    radius = np.hypot(f[:, None], np.fft.rfftfreq(size)[None])
    band = np.minimum((radius / 0.5 * _BANDS).astype(np.int64), _BANDS)  # corners beyond are left out
    band[0, 0] = _BANDS
    return band, np.bincount(band.ravel(), minlength=_BANDS + 1)[:_BANDS].astype(np.float64)


def _spectrum(planes: Array) -> Array:
    """``[N, 10]`` logarithm of the mean power per band of planes ``[N, S, S]``, in codes of 255 squared per px."""
    size = planes.shape[-1]
    window = np.outer(np.hanning(size + 2)[1:-1], np.hanning(size + 2)[1:-1])
    window /= np.sqrt((window**2).mean())
    power = np.abs(np.fft.rfft2((planes - planes.mean(axis=(1, 2), keepdims=True)) * window)) ** 2 / size**2
    band, count = _radial(size)
    flat = power.reshape(len(planes), -1)
    sums = np.stack([flat[:, band.ravel() == b].sum(axis=1) for b in range(_BANDS)], axis=1)
    return np.asarray(np.log(sums / count + 0.01))


def mean_spectrum(codes: NDArray[np.floating]) -> tuple[Array, Array]:
    """Frequencies in cycles per px, and the logarithm of the mean power of luma at each, over a picture's tiles."""
    tiles = _tiles(codes)
    middles = (np.arange(_BANDS) + 0.5) * 0.5 / _BANDS
    luma = np.tensordot(_LUMA.astype(np.float64), 255.0 * tiles.astype(np.float64), (0, 1))
    return middles, np.log(np.exp(_spectrum(luma)).mean(axis=0))


def _tiles(codes: NDArray[np.floating]) -> NDArray[np.float32]:
    """``[N, 3, 64, 64]``."""
    size = STATISTICS_TILE_PX
    rows, columns = codes.shape[1] // size, codes.shape[2] // size
    cut = codes[:, : rows * size, : columns * size].astype(np.float32)
    return cut.reshape(3, rows, size, columns, size).transpose(1, 3, 0, 2, 4).reshape(-1, 3, size, size)


def tile_statistics(codes: NDArray[np.floating]) -> Array:
    """``[N, 34]`` of the tiles of 64 px of a picture ``[3, H, W]`` in codes 0..1 whose grid of 8 px begins at 0.

    Columns are those of :data:`GROUPS`: mean and deviation of luma; its log power in ten bands of frequency, and that
    of B - Y and R - Y; of differences of neighbors the log of the mean square, the kurtosis, and the share beyond 3
    deviations, at distances of 1 and (kurtosis) 4 px; how unequal gradients are between directions; the smallest and
    the median local deviation (noise); and steps at the edges of 8 px blocks relative to those between.
    """
    tiles = 255.0 * _tiles(codes).astype(np.float64)
    luma = np.tensordot(_LUMA.astype(np.float64), tiles, (0, 1))
    blue, red = tiles[:, 2] - luma, tiles[:, 0] - luma
    color = np.log((np.exp(_spectrum(blue)) + np.exp(_spectrum(red))) / 2)
    size = STATISTICS_TILE_PX
    across, down = np.diff(luma, axis=2), np.diff(luma, axis=1)
    both = np.concatenate([across.reshape(len(luma), -1), down.reshape(len(luma), -1)], axis=1)
    power = (both**2).mean(axis=1) + 0.01
    far = luma[:, :, 4:] - luma[:, :, :-4]
    far_power = (far**2).mean(axis=(1, 2)) + 0.01
    shape = [
        np.log(power),
        np.log((both**4).mean(axis=1) / power**2 + 1),
        (np.abs(both) > 3 * np.sqrt(power)[:, None]).mean(axis=1),
        np.log((far**4).mean(axis=(1, 2)) / far_power**2 + 1),
    ]
    a, d = across[:, :-1], down[:, :, :-1]
    xx, yy, xy = (a * a).mean(axis=(1, 2)), (d * d).mean(axis=(1, 2)), (a * d).mean(axis=(1, 2))
    unequal = np.hypot(xx - yy, 2 * xy) / (xx + yy + 0.01)
    diagonal = np.abs(xy) / (xx + yy + 0.01)
    local = luma[:, 1:-1, 1:-1] - (luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1] + luma[:, 1:-1, :-2] + luma[:, 1:-1, 2:]) / 4
    cells = local[:, :56, :56].reshape(-1, 7, 8, 7, 8).std(axis=(2, 4)).reshape(len(luma), -1)
    hues = np.diff(red, axis=2)[:, :56, :56].reshape(-1, 7, 8, 7, 8).std(axis=(2, 4)).reshape(len(luma), -1)
    noise = [np.log(np.quantile(v, q, axis=1) + 0.05) for v in (cells, hues) for q in (0.1, 0.5)]
    at = np.arange(1, size) % 8 == 0
    steps = [np.abs(across).mean(axis=1), np.abs(down).mean(axis=2)]
    blocks = [np.log((s[:, at].mean(axis=1) + 0.05) / (s[:, ~at].mean(axis=1) + 0.05)) for s in steps]
    level = [luma.mean(axis=(1, 2)) / 255.0, np.log(luma.std(axis=(1, 2)) + 1.0)]
    return np.column_stack([*level, _spectrum(luma), color, *shape, unequal, diagonal, *noise, *blocks])
