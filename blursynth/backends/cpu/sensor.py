"""A sensor in one pass over the picture, in numba.

Every step is rounded as the separate operations round it, so that the fused kernel gives the same bytes as
``poisson`` and ``gaussian_noise`` with the same seed, one after the other.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from blursynth.backends import reference
from blursynth.backends.cpu.intrinsics import rint
from blursynth.backends.cpu.noise import (
    CHUNK,
    MAX_MEAN,
    PIXEL,
    ROW,
    add_normal,
    checked,
    counts,
    standard_normal,
    words,
)
from blursynth.errors import InvalidValueError
from blursynth.physics.radiometry import SensorParameters

__all__ = ["sensor"]

_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")


# Rows are addressed as a flat array and a start: slices of four axes take the compiler seconds.


@_kernel
def _light_to_electrons(image, start, white, size, mean):  # type: ignore[no-untyped-def]
    zero = image.dtype.type(0)
    for i in range(size):
        x = image[start + i]
        mean[i] = zero if x <= zero else x * white  # NaN passes, and is refused later


@_kernel
def _limit(count, full, size, out):  # type: ignore[no-untyped-def]
    for i in range(size):
        out[i] = full if count[i] > full else count[i]


@_kernel
def _convert(electrons, first, row, gain, black, top, rounding, size, out, start):  # type: ignore[no-untyped-def]
    zero = electrons.dtype.type(0)
    if rounding:  # outside of the loop, which is vectorised only without branches
        for i in range(size):
            dn = rint((electrons[first + i] + row) * gain + black)
            dn = zero if dn < zero else dn
            out[start + i] = top if dn > top else dn
    else:
        for i in range(size):
            dn = (electrons[first + i] + row) * gain + black
            dn = zero if dn < zero else dn
            out[start + i] = top if dn > top else dn


@_kernel
def _row_noise(shape, sigma, seed, origin, out):  # type: ignore[no-untyped-def]
    """``[B * C * H]`` electrons that each row of a channel shares."""
    w = np.empty((4, 1), np.uint32)
    for line in range(out.size):
        b = line // (shape[1] * shape[2])
        words(seed[b], ROW, line // shape[2] % shape[1], origin[b, 0] + line % shape[2], 0, 1, w[0], w[1], w[2], w[3])
        out[line] = out.dtype.type(sigma[b]) * out.dtype.type(standard_normal(w[1, 0], w[3, 0]))


@_kernel
def _sensor_image(image, shape, row, white, full, read, gain, black, top, shot, rounding, seed, origin, out):  # type: ignore[no-untyped-def]
    height, width = shape[2], shape[3]
    w0, w1 = np.empty(CHUNK, np.uint32), np.empty(CHUNK, np.uint32)
    w2, w3 = np.empty(CHUNK, np.uint32), np.empty(CHUNK, np.uint32)
    pending, drawn, number = (
        np.empty(CHUNK, np.int32),
        np.empty((4, CHUNK), np.uint32),
        np.empty((2, CHUNK), image.dtype),
    )
    mean, count = np.empty(CHUNK, image.dtype), np.empty(CHUNK, image.dtype)
    # Several short rows are worked on together: what a loop does with the rest of its last vector is slow.
    part = min(width, CHUNK)
    together = max(1, CHUNK // width)
    for plane in range(shape[0] * shape[1]):
        b, channel = plane // shape[1], plane % shape[1]
        for top_row in range(0, height, together):
            rows = min(together, height - top_row)
            for left in range(0, width, part):
                span = min(part, width - left)
                size = rows * span
                start = (plane * height + top_row) * width + left
                if shot[b] or read[b] > 0:
                    for r in range(rows):
                        at = slice(r * span, (r + 1) * span)
                        words(
                            seed[b], PIXEL, channel, origin[b, 0] + top_row + r, origin[b, 1] + left, span,
                            w0[at], w1[at], w2[at], w3[at],
                        )  # fmt: skip
                _light_to_electrons(image, start, white[b], size, mean)
                if shot[b]:
                    if not counts(mean, w0, w2, size, count, pending, drawn, number):
                        return False
                    mean, count = count, mean
                _limit(mean, full[b], size, count)
                mean, count = count, mean
                if read[b] > 0:
                    add_normal(mean, read[b], w1, w3, size, count)
                    mean, count = count, mean
                for r in range(rows):
                    shared = row[plane * height + top_row + r]
                    _convert(
                        mean, r * span, shared, gain[b], black[b], top[b], rounding[b], span, out, start + r * span
                    )
    return True


def sensor(
    image: NDArray[np.floating],
    parameters: SensorParameters,
    seed: NDArray[np.uint64],
    *,
    origin_px: NDArray[np.int64],
) -> NDArray[np.floating]:
    """Numbers of a sensor: ``clip(round(K (min(Poisson(white_level_e x), full_well_e) + read + row) + O), 0, top)``.

    Parameters
    ----------
    image
        ``[B, C, H, W]`` linear light, 1 = white; negative values count as no light.
    parameters
        The sensors of the batch.
    seed
        ``[B]`` the seed of each picture's noise. Pixel noise is that of :func:`~blursynth.backends.cpu.noise.poisson`
        and :func:`~blursynth.backends.cpu.noise.gaussian_noise` with this seed; row noise is keyed by absolute row and
        channel.
    origin_px
        ``[B, 2]`` absolute row and column of the first pixel.

    Returns
    -------
    ndarray
        DN in the image's dtype, 0..2**bit_depth - 1, whole numbers where ``rounding`` is on.

    Raises
    ------
    InvalidValueError
        The light is not a number or makes more than 1e8 electrons; or the shapes do not fit.
    """
    image, seed, origin = checked(image, seed, origin_px)
    batch = image.shape[0]
    if parameters.has_colours or any(
        np.nan_to_num(v).any()
        for v in (
            parameters.column_noise_e, parameters.read_noise_shape, parameters.dark_e,
            parameters.prnu, parameters.dsnu_e, parameters.offset_dn,
        )
    ):  # fmt: skip
        return reference.sensor(image, parameters, seed, origin_px=origin)
    if len(parameters) not in (1, batch):
        raise InvalidValueError(
            f"There are {len(parameters)} sensors for {batch} pictures.", fix="Pass one sensor, or one per picture."
        )

    def each(values: NDArray[np.generic]) -> NDArray[np.generic]:
        return values if values.size == batch else np.ascontiguousarray(np.broadcast_to(values, (batch,)))

    def number(values: NDArray[np.float64]) -> NDArray[np.floating]:
        return each(values).astype(image.dtype)

    out = np.empty_like(image)
    row = np.zeros(int(np.prod(image.shape[:3])), image.dtype)
    if (parameters.row_noise_e > 0).any():
        _row_noise(image.shape, each(parameters.row_noise_e), seed, origin, row)
    fine = _sensor_image(
        image.reshape(-1),
        image.shape,
        row,
        number(parameters.white_level_e),
        number(parameters.full_well_e),
        number(parameters.read_noise_e),
        number(parameters.gain_dn_per_e),
        number(parameters.black_level_dn),
        number(parameters.top_dn),
        each(parameters.shot_noise),
        each(parameters.rounding),
        seed,
        origin,
        out.reshape(-1),
    )
    if not fine:
        light = image * number(parameters.white_level_e)[:, None, None, None]
        with np.errstate(invalid="ignore"):
            bad = light[~(light <= MAX_MEAN)]
        raise InvalidValueError(
            f"A pixel must make at most {MAX_MEAN:g} electrons, got {bad.flat[0]:g} and {bad.size - 1} more such.",
            why="The light must be finite, and the counts must be numbers that float32 can hold.",
            fix="Lower white_level_e, or mend the picture.",
        )
    return out
