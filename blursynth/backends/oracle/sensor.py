"""A sensor in plain numpy, float64, one step after the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blursynth.backends.oracle.noise import (
    COLUMN,
    PATTERN,
    poisson,
    row_normals,
    standard_normals,
    tail_probability,
    words,
)
from blursynth.physics.mosaic import RED, color_sites
from blursynth.physics.radiometry import SensorParameters, tukey_lambda_sd

__all__ = ["fixed_pattern", "read_noise", "sensor"]


def _column(values: ArrayLike) -> NDArray[np.float64]:
    return np.atleast_1d(np.asarray(values, np.float64))[:, None, None, None]


def sensor(
    image: NDArray[np.floating],
    parameters: SensorParameters,
    seed: NDArray[np.uint64],
    *,
    origin_px: NDArray[np.int64],
) -> NDArray[np.floating]:
    """Numbers of a sensor."""
    response = np.asarray(image, np.float64)
    if parameters.has_colors:
        response = np.einsum("bij,bjhw->bihw", parameters.from_light, response)
    offset = np.broadcast_to(parameters.offset_dn[:, [0, 1, 3], None, None], (len(parameters), 3, 1, 1))
    if (parameters.mosaic > 0).any():
        response, offset = _one_color_per_pixel(response, parameters, origin_px)
    elif image.shape[1] != 3:
        offset = np.zeros((1, 1, 1, 1))
    gain_of_pixel, offset_e = fixed_pattern(response.shape, parameters, origin_px=origin_px)
    mean = np.maximum(response, 0.0) * _column(parameters.white_level_e) * np.maximum(gain_of_pixel, 0.0)
    mean = mean + _column(parameters.dark_e)
    shot = np.asarray(parameters.shot_noise)[:, None, None, None]
    count = np.where(shot, poisson(mean, seed, origin_px=origin_px), mean)
    held = np.minimum(count, _column(parameters.full_well_e))
    volt = held + offset_e + read_noise(response.shape, parameters, seed, origin_px=origin_px)
    volt = volt + _column(parameters.row_noise_e) * row_normals(response.shape, seed, origin_px=origin_px)
    _w0, w1, _w2, w3 = words((*response.shape[:2], 1, response.shape[3]), seed, origin_px, COLUMN)
    volt = volt + _column(parameters.column_noise_e) * standard_normals(w1, w3)
    dn = _column(parameters.gain_dn_per_e) * volt + _column(parameters.black_level_dn) + offset
    dn = np.where(np.asarray(parameters.rounding)[:, None, None, None], np.rint(dn), dn)
    return np.clip(dn, 0.0, _column(parameters.top_dn)).astype(image.dtype)


def _one_color_per_pixel(
    response: NDArray[np.float64], parameters: SensorParameters, origin_px: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``[B, 1, H, W]`` what each pixel sees through its filter, and the offset of its color in DN."""
    batch, _three, height, width = response.shape
    seen, offset = np.empty((batch, 1, height, width)), np.empty((batch, 1, height, width))
    origin = np.broadcast_to(origin_px, (batch, 2))
    for b in range(batch):
        corner = int(origin[b, 0]), int(origin[b, 1])
        sites = color_sites(int(parameters.mosaic[b]), corner, (height, width))
        has_red = (color_sites(int(parameters.mosaic[b]), (corner[0], 0), (height, 2)) == RED).any(axis=1)
        group = np.choose(sites, [0, np.where(has_red, 1, 2)[:, None], 3])  # R, G beside R, G beside B, B
        seen[b, 0] = np.take_along_axis(response[b], sites[None], axis=0)[0]
        offset[b, 0] = parameters.offset_dn[b][group]
    return seen, offset


def fixed_pattern(
    shape: tuple[int, ...], parameters: SensorParameters, *, origin_px: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``1 + prnu n1`` and ``dsnu_e n2``: what is fixed for each pixel of a sensor, keyed by ``sensor_seed``."""
    w0, w1, w2, w3 = words(shape, parameters.sensor_seed, origin_px, PATTERN)
    gain = 1.0 + _column(parameters.prnu) * standard_normals(w0, w2)
    return gain, _column(parameters.dsnu_e) * standard_normals(w1, w3)


def read_noise(
    shape: tuple[int, ...], parameters: SensorParameters, seed: NDArray[np.uint64], *, origin_px: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Read noise in electrons, normal or Tukey-lambda, of standard deviation ``read_noise_e``."""
    _w0, w1, _w2, w3 = words(shape, seed, origin_px)
    noise = standard_normals(w1, w3)
    p, above = tail_probability(w1, w3)
    for b, shape_of_tails in enumerate(parameters.read_noise_shape.tolist()):
        if not np.isnan(shape_of_tails):
            from scipy import special  # as in noise

            # Q(u) = (u^l - (1 - u)^l) / l by its two parts, so that small l loses no digits.
            low, high = special.boxcox(p[b], shape_of_tails), special.boxcox1p(-p[b], shape_of_tails)
            noise[b] = np.where(above[b], high - low, low - high) / tukey_lambda_sd(shape_of_tails)
    return np.asarray(_column(parameters.read_noise_e) * noise)
