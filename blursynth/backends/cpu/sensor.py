"""A sensor in one pass over the picture, in numba.

Bands of rows go to the threads. Within a band a chunk of pixels passes through all steps while it lies in the first
cache, each step a loop over the chunk that works on several pixels at a time; steps whose parameter is 0 are left out.

Every step is rounded as the separate operations round it, so that the fused kernel gives the same bytes as
``poisson`` and ``gaussian_noise`` with the same seed, one after the other. The arithmetic is that of the picture's
kind; normal and Tukey-lambda numbers are float32 in either.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.checks import check_count
from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.cpu.intrinsics import fma, rint
from blursynth.backends.cpu.noise import (
    CHUNK,
    COLUMN,
    MAX_MEAN,
    PATTERN,
    PIXEL,
    ROW,
    add_normal,
    add_tukey_lambda,
    checked,
    counts,
    standard_normal,
    words,
)
from blursynth.backends.threads import share_out, threads_to_use
from blursynth.errors import InvalidValueError
from blursynth.physics.batches import of_shape
from blursynth.physics.mosaic import RED, pattern_colors
from blursynth.physics.radiometry import SensorParameters, tukey_lambda_sd

__all__ = ["sensor"]


_BAND = 16  # rows of a job
_THREAD_PAYS_PX = 200_000
"""Pixels below which handing work to another thread costs more than it saves."""

# Columns of the table of numbers per picture.
_WHITE, _FULL, _READ, _GAIN, _TOP, _DARK, _PRNU, _DSNU, _SHAPE, _SCALE = range(10)
_MOST = 10  # added here, since it depends on the kind of numbers


# Rows are addressed as a flat array and a start: slices of four axes take the compiler seconds. Loops go over views
# that begin at 0: an index with a start may be negative for all the compiler knows, which costs the vectors.


@compiled
def _light_to_electrons(image, start, white, size, mean):  # type: ignore[no-untyped-def]
    zero = image.dtype.type(0)
    light = image[start : start + size]
    for i in range(size):
        x = light[i]
        mean[i] = zero if x <= zero else x * white  # NaN passes, and is refused later


@compiled
def _color_to_electrons(image, start, area, even, odd, white, size, mean, at):  # type: ignore[no-untyped-def]
    """The same for what the filters of a row let through: those of its even and of its odd pixels, ``[3]`` each."""
    zero = image.dtype.type(0)
    red, green, blue = image[start:], image[start + area :], image[start + 2 * area :]
    electrons = mean[at : at + size]
    even_red, even_green, even_blue = even[0], even[1], even[2]
    odd_red, odd_green, odd_blue = odd[0], odd[1], odd[2]
    for i in range(size):
        is_odd = (i & 1) == 1
        x = (odd_red if is_odd else even_red) * red[i]
        x = fma(odd_green if is_odd else even_green, green[i], x)
        x = fma(odd_blue if is_odd else even_blue, blue[i], x)
        electrons[i] = zero if x <= zero else x * white


@compiled
def _respond(mean, prnu, high, low, size, out):  # type: ignore[no-untyped-def]
    zero, one = mean.dtype.type(0), mean.dtype.type(1)
    for i in range(size):
        response = fma(prnu, mean.dtype.type(standard_normal(high[i], low[i])), one)
        out[i] = mean[i] * (zero if response < zero else response)


@compiled
def _normals(sigma, high, low, size, out):  # type: ignore[no-untyped-def]
    for i in range(size):
        out[i] = sigma * out.dtype.type(standard_normal(high[i], low[i]))


@compiled
def _limit(count, full, size, out):  # type: ignore[no-untyped-def]
    for i in range(size):
        out[i] = full if count[i] > full else count[i]


@compiled
def _convert(electrons, first, row, gain, black, top, rounding, size, out, start):  # type: ignore[no-untyped-def]
    zero = electrons.dtype.type(0)
    volt, code = electrons[first : first + size], out[start : start + size]
    if rounding:  # outside of the loop, which is vectorized only without branches
        for i in range(size):
            dn = rint((volt[i] + row) * gain + black)
            dn = zero if dn < zero else dn
            code[i] = top if dn > top else dn
    else:
        for i in range(size):
            dn = (volt[i] + row) * gain + black
            dn = zero if dn < zero else dn
            code[i] = top if dn > top else dn


@compiled
def _convert_columns(electrons, first, row, column, at, gain, even, odd, top, rounding, size, out, start):  # type: ignore[no-untyped-def]
    """The same with noise of columns, and another black level in odd pixels than in even ones."""
    zero = electrons.dtype.type(0)
    volt, shared, code = electrons[first : first + size], column[at : at + size], out[start : start + size]
    if rounding:
        for i in range(size):
            dn = rint((volt[i] + row + shared[i]) * gain + (odd if (i & 1) == 1 else even))
            dn = zero if dn < zero else dn
            code[i] = top if dn > top else dn
    else:
        for i in range(size):
            dn = (volt[i] + row + shared[i]) * gain + (odd if (i & 1) == 1 else even)
            dn = zero if dn < zero else dn
            code[i] = top if dn > top else dn


@compiled
def _row_noise(shape, sigma, seed, origin, out):  # type: ignore[no-untyped-def]
    """``[B * C * H]`` electrons that each row of a channel shares."""
    w = np.empty((4, 1), np.uint32)
    for line in range(out.size):
        b = line // (shape[1] * shape[2])
        words(seed[b], ROW, line // shape[2] % shape[1], origin[b, 0] + line % shape[2], 0, 1, w[0], w[1], w[2], w[3])
        out[line] = out.dtype.type(sigma[b]) * out.dtype.type(standard_normal(w[1, 0], w[3, 0]))


@compiled
def _column_noise(shape, sigma, seed, origin, out):  # type: ignore[no-untyped-def]
    """``[B * C, W]`` electrons that each column of a channel shares."""
    w = np.empty((4, shape[3]), np.uint32)
    for plane in range(out.shape[0]):
        b, channel = plane // shape[1], plane % shape[1]
        words(seed[b], COLUMN, channel, 0, origin[b, 1], shape[3], w[0], w[1], w[2], w[3])
        for i in range(shape[3]):
            out[plane, i] = out.dtype.type(sigma[b]) * out.dtype.type(standard_normal(w[1, i], w[3, i]))


@compiled
def _first_bad(mean, most, size):  # type: ignore[no-untyped-def]
    """The first pixel of a chunk whose mean is NaN or too large, or -1."""
    bad = 0
    for i in range(size):
        bad |= 0 if mean[i] <= most else 1
    if bad:
        for i in range(size):
            if not mean[i] <= most:
                return i
    return -1


@compiled
def _sensor_bands(  # type: ignore[no-untyped-def]
    first, last, image, shape, colors, mix, black, row, column, numbers, shot, rounding, seed, sensor_seed, origin,
    out, refused,
):  # fmt: skip
    """Bands ``first`` to ``last`` of all planes of the result, one after the other.

    ``mix`` ``[B, C, 2, 2, 3]`` is what the pixels of even and odd rows and columns take of the three channels of light,
    ``black`` ``[B, C, 2, 2]`` their black level, ``column`` ``[B * C, W]`` or empty; ``refused`` ``[bands, 2]`` gets
    the place and the mean of the first pixel of each band that is refused.
    """
    height, width = shape[2], shape[3]
    area = height * width
    w0, w1 = np.empty(CHUNK, np.uint32), np.empty(CHUNK, np.uint32)
    w2, w3 = np.empty(CHUNK, np.uint32), np.empty(CHUNK, np.uint32)
    state, drawn, number = (
        np.empty((2, CHUNK), np.int32),
        np.empty((3, CHUNK), np.uint32),
        np.empty((2, CHUNK), image.dtype),
    )
    mean, count, offset = np.empty(CHUNK, image.dtype), np.empty(CHUNK, image.dtype), np.empty(CHUNK, image.dtype)
    zero = image.dtype.type(0)
    # Several short rows are worked on together: what a loop does with the rest of its last vector is slow.
    parts = -(-width // CHUNK)
    part = min(width, (-(-width // parts) + 63) // 64 * 64)
    together = min(_BAND, max(1, CHUNK // width))
    bands = -(-height // _BAND)
    for job in range(first, last):
        plane = job // bands
        b, channel = plane // shape[1], plane % shape[1]
        white, full, read, gain, top = (
            numbers[b, _WHITE], numbers[b, _FULL], numbers[b, _READ], numbers[b, _GAIN], numbers[b, _TOP],
        )  # fmt: skip
        dark, prnu, dsnu = numbers[b, _DARK], numbers[b, _PRNU], numbers[b, _DSNU]
        shape_of_tails, scale = np.float32(numbers[b, _SHAPE]), np.float32(numbers[b, _SCALE])
        most = numbers[b, _MOST]
        begin = job % bands * _BAND
        end = min(height, begin + _BAND)
        for top_row in range(begin, end, together):
            rows = min(together, end - top_row)
            for left in range(0, width, part):
                span = min(part, width - left)
                size = rows * span
                start = (plane * height + top_row) * width + left
                row_0, column_0 = origin[b, 0] + top_row, origin[b, 1] + left
                if colors:
                    seen = b * 3 * area + top_row * width + left
                    odd = column_0 & 1
                    for r in range(rows):
                        filters = mix[b, channel, (row_0 + r) & 1]
                        _color_to_electrons(
                            image, seen + r * width, area, filters[odd], filters[1 - odd], white, span, mean, r * span
                        )
                else:
                    _light_to_electrons(image, start, white, size, mean)
                if prnu > zero or dsnu > zero:
                    for r in range(rows):
                        at = slice(r * span, (r + 1) * span)
                        words(
                            sensor_seed[b], PATTERN, channel, row_0 + r, column_0, span,
                            w0[at], w1[at], w2[at], w3[at],
                        )  # fmt: skip
                    if prnu > zero:
                        _respond(mean, prnu, w0, w2, size, count)
                        mean, count = count, mean
                    if dsnu > zero:
                        _normals(dsnu, w1, w3, size, offset)
                if dark > zero:
                    for i in range(size):
                        mean[i] += dark
                if shot[b] or read > zero:
                    for r in range(rows):
                        at = slice(r * span, (r + 1) * span)
                        words(seed[b], PIXEL, channel, row_0 + r, column_0, span, w0[at], w1[at], w2[at], w3[at])
                if shot[b]:
                    fine = counts(mean, w0, w2, size, count, state, drawn, number)
                else:
                    fine = _first_bad(mean, most, size) < 0
                if not fine:
                    if refused[job, 0] < 0:
                        bad = _first_bad(mean, most, size)
                        refused[job, 0] = start + bad // span * width + bad % span
                        refused[job, 1] = mean[bad]
                    continue
                if shot[b]:
                    mean, count = count, mean
                _limit(mean, full, size, count)
                mean, count = count, mean
                if dsnu > zero:
                    for i in range(size):
                        mean[i] += offset[i]
                if read > zero and scale == zero:
                    add_normal(mean, read, w1, w3, size, count)
                    mean, count = count, mean
                elif read > zero:
                    add_tukey_lambda(mean, read, shape_of_tails, scale, w1, w3, size, count)
                    mean, count = count, mean
                for r in range(rows):
                    shared = row[plane * height + top_row + r]
                    even_black = black[b, channel, (row_0 + r) & 1, column_0 & 1]
                    odd_black = black[b, channel, (row_0 + r) & 1, 1 - (column_0 & 1)]
                    if column.size > 0 or even_black != odd_black:
                        _convert_columns(
                            mean, r * span, shared, column[plane], left, gain, even_black, odd_black, top, rounding[b],
                            span, out, start + r * width,
                        )  # fmt: skip
                    else:
                        _convert(
                            mean, r * span, shared, gain, even_black, top, rounding[b], span, out, start + r * width
                        )


def sensor(
    image: NDArray[np.floating],
    parameters: SensorParameters,
    seed: NDArray[np.uint64],
    *,
    origin_px: NDArray[np.int64],
    threads: int | None = None,
) -> NDArray[np.floating]:
    """Numbers of a sensor, from linear light."""
    image, seed, origin = checked(image, seed, origin_px)
    batch, channels, height, width = image.shape
    check_count("sensors", len(parameters), batch)
    colors = parameters.has_colors
    if colors and channels != 3:
        raise InvalidValueError(
            f"A sensor with a mosaic or a map of colors takes pictures of 3 channels, got {channels}.",
            why="Its filters take their share of red, green and blue.",
            fix="Repeat a gray picture to three channels, or leave mosaic and from_light out.",
        )
    mosaic = parameters.has_mosaic

    def each(values: NDArray[np.generic]) -> NDArray[np.generic]:
        return of_shape(values, (batch, *values.shape[1:]), values.dtype)

    shape = (batch, 1 if mosaic else channels, height, width)
    out = np.empty(shape, image.dtype)
    if out.size == 0:
        return out
    numbers, mix, black = (each(table).astype(image.dtype) for table in _tables(parameters, shape[1], mosaic))
    most = np.where(parameters.shot_noise, MAX_MEAN, np.finfo(image.dtype).max).astype(image.dtype)
    numbers = np.column_stack([numbers, each(most)])
    row = np.zeros(math.prod(shape[:3]), image.dtype)
    if parameters.row_noise_e.any():
        _row_noise(shape, each(parameters.row_noise_e), seed, origin, row)
    noisy_columns = bool(parameters.column_noise_e.any())
    uneven = mosaic and bool((parameters.offset_dn[:, :1] != parameters.offset_dn).any())
    column = np.zeros((batch * shape[1], width if noisy_columns or uneven else 0), image.dtype)
    if noisy_columns:
        _column_noise(shape, each(parameters.column_noise_e), seed, origin, column)
    jobs = shape[0] * shape[1] * -(-height // _BAND)
    refused = np.full((jobs, 2), -1.0)
    share_out(
        _sensor_bands,
        jobs,
        threads_to_use(threads) if out.size > _THREAD_PAYS_PX else 1,
        image.reshape(-1),
        shape,
        colors,
        mix,
        black,
        row,
        column,
        numbers,
        each(parameters.shot_noise),
        each(parameters.rounding),
        seed,
        each(parameters.sensor_seed),
        origin,
        out.reshape(-1),
        refused,
    )
    if (refused[:, 0] >= 0).any():
        place, mean = refused[refused[:, 0] >= 0][0]
        where = [int(i) for i in np.unravel_index(int(place), shape)]
        raise InvalidValueError(
            f"A pixel must make at most {MAX_MEAN:g} electrons, got {mean:g} at [b, c, row, column] = {where}.",
            why="The light must be finite, and the counts must be numbers that float32 can hold.",
            fix="Lower white_level_e, or remove such values from the picture.",
        )
    return out


def _tables(
    parameters: SensorParameters, channels: int, mosaic: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """What the kernel reads: numbers ``[B, 10]``, filters ``[B, C, 2, 2, 3]`` and black levels ``[B, C, 2, 2]``."""
    batch = len(parameters)
    numbers = np.zeros((batch, 10))
    for place, values in (
        (_WHITE, parameters.white_level_e),
        (_FULL, parameters.full_well_e),
        (_READ, parameters.read_noise_e),
        (_GAIN, parameters.gain_dn_per_e),
        (_TOP, parameters.top_dn),
        (_DARK, parameters.dark_e),
        (_PRNU, parameters.prnu),
        (_DSNU, parameters.dsnu_e),
    ):
        numbers[:, place] = values
    for b, tails in enumerate(parameters.read_noise_shape.tolist()):
        if not math.isnan(tails):
            tails = tails if abs(tails) > 1e-9 else 1e-9
            numbers[b, [_SHAPE, _SCALE]] = tails, 1.0 / (tails * tukey_lambda_sd(tails))
    mix = np.zeros((batch, channels, 2, 2, 3))
    black = np.zeros((batch, channels, 2, 2)) + parameters.black_level_dn[:, None, None, None]
    if mosaic:
        for b, code in enumerate(parameters.mosaic.tolist()):
            mix[b, 0] = parameters.from_light[b][pattern_colors(code)]
            black[b, 0] += parameters.offset_dn[b][_offset_places(code)]
    elif channels == 3:
        mix += parameters.from_light[:, :, None, None, :]
        black += parameters.offset_dn[:, [0, 1, 3], None, None]
    return numbers, mix, black


@cache
def _offset_places(code: int) -> NDArray[np.int64]:
    """``[2, 2]`` which of the four offsets of the black level the pixels of a pattern have."""
    sees = pattern_colors(code)
    green = np.where((sees == RED).any(axis=1), 1, 2)  # beside red, beside blue
    return np.asarray(np.choose(sees, [0, green[:, None], 3]))
