"""A sensor in plain numpy, float64, one step after the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blursynth.backends.reference.noise import gaussian_noise, poisson, row_normals
from blursynth.physics.radiometry import SensorParameters, electrons

__all__ = ["develop", "sensor"]


def _column(values: ArrayLike) -> NDArray[np.float64]:
    return np.atleast_1d(np.asarray(values, np.float64))[:, None, None, None]


def sensor(
    image: NDArray[np.floating],
    parameters: SensorParameters,
    seed: NDArray[np.uint64],
    *,
    origin_px: NDArray[np.int64],
) -> NDArray[np.floating]:
    """Numbers of a sensor; see :func:`blursynth.backends.cpu.sensor.sensor`."""
    mean = electrons(image, _column(parameters.white_level_e))
    shot = np.asarray(parameters.shot_noise)[:, None, None, None]
    count = np.where(shot, poisson(mean, seed, origin_px=origin_px), mean)
    held = np.minimum(count, _column(parameters.full_well_e))
    volt = gaussian_noise(held, parameters.read_noise_e, seed, origin_px=origin_px)
    volt = volt + _column(parameters.row_noise_e) * row_normals(image.shape, seed, origin_px=origin_px)
    dn = _column(parameters.gain_dn_per_e) * volt + _column(parameters.black_level_dn)
    dn = np.where(np.asarray(parameters.rounding)[:, None, None, None], np.rint(dn), dn)
    return np.clip(dn, 0.0, _column(parameters.top_dn)).astype(image.dtype)


def develop(image: NDArray[np.floating], black_dn: ArrayLike, white_dn: ArrayLike) -> NDArray[np.floating]:
    """Linear light of raw numbers; see :func:`blursynth.backends.cpu.sensor.develop`."""
    black, white = _column(black_dn), _column(white_dn)
    return np.minimum((np.asarray(image, np.float64) - black) / (white - black), 1.0).astype(image.dtype)
