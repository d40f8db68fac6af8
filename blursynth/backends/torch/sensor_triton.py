"""A sensor in one pass over the picture, in Triton; see :mod:`blursynth.backends.torch.noise_triton` for its numbers.

The steps and their roundings are those of :mod:`blursynth.backends.cpu.sensor`, so the result is that of the CPU,
bit for bit, except for the counts and ties named there. A second launch takes the pixels whose count the first could
not decide, a few in ten thousand at 100 electrons, and computes them again from the light to the number.

Light that is not finite, or that makes more than 1e8 electrons to be counted, becomes NaN: an error would have to wait
for the device.

Floor: light and numbers move once (8 bytes per pixel of a channel in float32, 16 with a mosaic), with about
150 operations per pixel, 250 with a fixed pattern.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc"

from __future__ import annotations

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray

from blursynth.backends.cpu.sensor import _tables
from blursynth.backends.torch.grid_triton import on_device_of
from blursynth.backends.torch.noise_triton import (
    constants,
    first_pass,
    normal,
    rounded,
    settled,
    shared_noise,
    tukey,
    words,
)
from blursynth.backends.torch.tensors import sent
from blursynth.physics.radiometry import SensorParameters

__all__ = ["poisson", "sensor"]

Tensor = torch.Tensor
_BLOCK = 512
_SETTLED_TOGETHER = 64
_PROGRAMS_MOST = 2048


@triton.jit
def _pixel(
    source,
    row,
    column,
    mix,
    black,
    numbers,
    keys,
    table,
    b,
    channel,
    y,
    x,
    made,
    channels,
    outs,
    height,
    width,
    EXACT: tl.constexpr,
    COLORS: tl.constexpr,
    PATTERN: tl.constexpr,
    NOISE: tl.constexpr,
    TAILS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Numbers of some pixels, and where the first pass cannot determine the count."""
    number = source.dtype.element_ty
    place = y.to(tl.int64) * width + x
    here = numbers + 12 * b
    white, full, read = tl.load(here), tl.load(here + 1), tl.load(here + 2)
    gain, top, dark = tl.load(here + 3), tl.load(here + 4), tl.load(here + 5)
    at_row, at_column = tl.load(keys + 4 * b + 1) + y, tl.load(keys + 4 * b + 2) + x
    corner = (b * outs + channel) * 4 + ((at_row & 1) * 2 + (at_column & 1)).to(tl.int32)
    if COLORS:
        area = height * width
        seen = source + b.to(tl.int64) * 3 * area + place
        light = tl.load(mix + 3 * corner, mask=made, other=0.0) * tl.load(seen, mask=made, other=0.0)
        light = tl.fma(
            tl.load(mix + 3 * corner + 1, mask=made, other=0.0), tl.load(seen + area, mask=made, other=0.0), light
        )
        light = tl.fma(
            tl.load(mix + 3 * corner + 2, mask=made, other=0.0), tl.load(seen + 2 * area, mask=made, other=0.0), light
        )
    else:
        first = (b * channels + channel).to(tl.int64) * height * width
        light = tl.load(source + first + place, mask=made, other=0.0)
    mean = tl.where(light <= 0, 0.0, light * white)
    offset = tl.zeros_like(mean)
    if PATTERN:
        w0, w1, w2, w3 = words(tl.load(keys + 4 * b + 3), 3, channel, at_row, at_column)
        prnu = tl.zeros_like(mean) + tl.load(here + 6)
        response = tl.fma(prnu, normal(w0, w2).to(number), tl.full(mean.shape, 1.0, number))
        mean = mean * tl.where(response < 0, 0.0, response)
        offset = tl.load(here + 7) * normal(w1, w3).to(number)
    mean = mean + dark
    shot, rounding = tl.zeros_like(mean) + tl.load(here + 10) > 0, tl.zeros_like(mean) + tl.load(here + 11) > 0
    good = mean <= tl.where(shot, 1e8, 3e38)
    count = mean
    doubt = mean != mean
    if NOISE:
        w0, w1, w2, w3 = words(tl.load(keys + 4 * b), 0, channel, at_row, at_column)
        counted, doubt = first_pass(tl.where(good & shot, mean, 0.0), w0, w2, table)
        if EXACT:
            counted = settled(mean, w0, w2, counted, made & good & shot, table).to(number)
        count = tl.where(shot, counted, mean)
    volt = tl.where(count > full, full, count) + offset
    if NOISE:
        noise = normal(w1, w3)
        if TAILS:
            shape, scale = tl.load(here + 8).to(tl.float32), tl.load(here + 9).to(tl.float32)
            noise = tl.where(scale == 0, noise, tukey(w1, w3, tl.where(scale == 0, 1.0, shape), scale))
        volt = tl.fma(tl.zeros_like(volt) + read, noise.to(number), volt)
    if ROWS:
        volt = volt + tl.load(row + (b * outs + channel).to(tl.int64) * height + y, mask=made, other=0.0)
    if COLUMNS:
        volt = volt + tl.load(column + (b * outs + channel).to(tl.int64) * width + x, mask=made, other=0.0)
    dn = volt * gain + tl.load(black + corner, mask=made, other=0.0)
    dn = tl.where(rounding, rounded(dn), dn)
    dn = tl.where(dn < 0, 0.0, dn)
    dn = tl.where(dn > top, top, dn)
    return tl.where(good, dn, float("nan")), doubt & good & shot & made


@triton.jit
def _sensor(
    source,  # [B, C, H, W] light
    out,  # [B, C', H, W]
    row,  # [B, C', H] electrons that a row shares
    column,  # [B, C', W]
    mix,  # [B, C', 2, 2, 3] what pixels of even and odd rows and columns take of three channels
    black,  # [B, C', 2, 2]
    numbers,  # [B, 12]
    keys,  # [B, 4] seed, row and column of the first pixel, seed of the sensor
    table,
    pending,  # pixels in doubt
    found,  # [1] how many
    channels,
    outs,
    height,
    width,
    COLORS: tl.constexpr,
    PATTERN: tl.constexpr,
    NOISE: tl.constexpr,
    TAILS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    plane = tl.program_id(1)
    b, channel = plane // outs, plane % outs
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    made = i < height * width
    dn, doubt = _pixel(
        source, row, column, mix, black, numbers, keys, table, b, channel, i // width, i % width, made, channels, outs,
        height, width, False, COLORS, PATTERN, NOISE, TAILS, ROWS, COLUMNS,
    )  # fmt: skip
    here = plane.to(tl.int64) * height * width + i
    tl.store(out + here, dn, mask=made)
    if NOISE:  # noqa: SIM102 - one is known when the kernel is compiled, the other is not
        if tl.max(doubt.to(tl.int32), axis=0) > 0:
            place = tl.atomic_add(found + tl.zeros_like(i), 1, mask=doubt)
            tl.store(pending + place, here, mask=doubt)


@triton.jit
def _settle(
    source, out, row, column, mix, black, numbers, keys, table, pending, found, channels, outs, height, width,
    COLORS: tl.constexpr, PATTERN: tl.constexpr, TAILS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """The pixels on the list, from the light to the number."""
    total = tl.load(found)
    area = height * width
    for start in range(tl.program_id(0) * BLOCK, total, tl.num_programs(0) * BLOCK):
        n = start + tl.arange(0, BLOCK)
        made = n < total
        here = tl.load(pending + n, mask=made, other=0).to(tl.int64)
        plane = (here // area).to(tl.int32)
        i = (here % area).to(tl.int32)
        dn, _doubt = _pixel(
            source, row, column, mix, black, numbers, keys, table, plane // outs, plane % outs, i // width, i % width,
            made, channels, outs, height, width, True, COLORS, PATTERN, True, TAILS, ROWS, COLUMNS,
        )  # fmt: skip
        tl.store(out + here, dn, mask=made)


def _launched(
    image: Tensor,
    outs: int,
    numbers: NDArray[np.float64],
    mix: NDArray[np.float64] | None,
    black: NDArray[np.float64],
    keys: Tensor,
    row: Tensor | None = None,
    column: Tensor | None = None,
) -> Tensor:
    image = image.contiguous()
    batch, channels, height, width = image.shape
    out = image.new_empty((batch, outs, height, width))
    noisy = bool((numbers[:, 2] > 0).any() or numbers[:, 10].any())
    count = out.numel() if noisy else 1
    pending = torch.empty(count, dtype=torch.int32 if count < 2**31 else torch.int64, device=image.device)
    found = torch.zeros(1, dtype=torch.int32, device=image.device)

    def there(values: NDArray[np.float64]) -> Tensor:
        return sent(torch.from_numpy(values.reshape(-1)), image.device, image.dtype)

    tables = there(numbers if mix is None else mix), there(black), there(numbers), keys, constants(image.device)
    options = {
        "COLORS": mix is not None,
        "PATTERN": bool((numbers[:, 6:8] > 0).any()),
        "TAILS": bool(numbers[:, 9].any()),
        "ROWS": row is not None,
        "COLUMNS": column is not None,
        "enable_fp_fusion": False,
    }
    rows, columns = (image if shared is None else shared for shared in (row, column))
    arguments = (image, out, rows, columns, *tables, pending, found, channels, outs, height, width)
    with on_device_of(image):
        grid = triton.cdiv(height * width, _BLOCK), batch * outs
        _sensor[grid](*arguments, NOISE=noisy, BLOCK=_BLOCK, **options)
        if numbers[:, 10].any():
            programs = min(triton.cdiv(count, 16 * _SETTLED_TOGETHER), _PROGRAMS_MOST)  # few pixels are in doubt
            _settle[(programs,)](*arguments, BLOCK=_SETTLED_TOGETHER, num_warps=2, **options)
    return out


def poisson(mean: Tensor, keys: Tensor) -> Tensor:
    """Poisson counts; see :func:`blursynth.backends.torch.sensor.poisson`. NaN where a mean is out of range."""
    batch, channels = mean.shape[:2]
    numbers = np.zeros((batch, 12))
    numbers[:, [0, 3, 10]] = 1.0
    numbers[:, [1, 4]] = np.inf
    keys = sent(torch.cat([keys, torch.zeros_like(keys[:, :1])], dim=1), mean.device)
    counts = _launched(mean, channels, numbers, None, np.zeros((batch, channels, 2, 2)), keys)
    return torch.where(mean >= 0, counts, torch.nan)


def sensor(image: Tensor, parameters: SensorParameters, keys: Tensor) -> Tensor:
    """Linear light to DN; see :func:`blursynth.backends.torch.sensor.sensor`.

    Light that cannot be counted becomes NaN. The parameters are one for each picture; ``keys`` ``[B, 3]``.
    """
    batch, channels, height, width = image.shape
    outs = 1 if parameters.has_mosaic else channels
    base, mix, black = _tables(parameters, outs, parameters.has_mosaic)
    numbers = np.concatenate([base, parameters.shot_noise[:, None], parameters.rounding[:, None]], axis=1)
    seeds = torch.from_numpy(parameters.sensor_seed.astype(np.int64)[:, None])
    there = sent(keys, image.device).contiguous()
    shared = []
    for tag, size, sigma in ((1, height, parameters.row_noise_e), (2, width, parameters.column_noise_e)):
        noise = sent(torch.from_numpy(sigma), image.device)
        shared.append(shared_noise((batch, outs, size), tag, noise, there, image) if sigma.any() else None)
    whole = sent(torch.cat([keys, seeds], dim=1), image.device)
    return _launched(image, outs, numbers, mix if parameters.has_colors else None, black, whole, *shared)
