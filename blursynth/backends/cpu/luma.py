"""Luma and color differences of display pictures, in one pass each; in numba."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.checks import check_colors, check_weights
from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.cpu.intrinsics import fma
from blursynth.physics.color import LUMA

__all__ = ["change_luma_chroma", "luma_chroma", "weighted_sum"]

_RED, _GREEN, _BLUE = LUMA


@compiled
def _split(red, green, blue, luma, red_less, blue_less):  # type: ignore[no-untyped-def]
    number = red.dtype.type
    for i in range(red.size):
        y = fma(number(_BLUE), blue[i], fma(number(_GREEN), green[i], number(_RED) * red[i]))
        luma[i], red_less[i], blue_less[i] = y, red[i] - y, blue[i] - y


@compiled
def _add_weighted(values, weight, out):  # type: ignore[no-untyped-def]
    factor = values.dtype.type(weight)
    for i in range(values.size):
        out[i] = fma(factor, values[i], out[i])


@compiled
def _weigh_three(a, b, c, first, second, third, out):  # type: ignore[no-untyped-def]
    number = a.dtype.type
    for i in range(a.size):
        out[i] = fma(number(third), c[i], fma(number(second), b[i], number(first) * a[i]))


@compiled
def _change(values, luma, of_red, red, of_blue, blue, out):  # type: ignore[no-untyped-def]
    number = values.dtype.type
    by_red, by_blue, zero, one = number(of_red), number(of_blue), number(0), number(1)
    for i in range(values.size):
        value = values[i] + fma(by_blue, blue[i], fma(by_red, red[i], luma[i]))
        value = zero if value < zero else value
        out[i] = one if value > one else value


@compiled
def _add(values, change, out):  # type: ignore[no-untyped-def]
    zero, one = values.dtype.type(0), values.dtype.type(1)
    for i in range(values.size):
        value = values[i] + change[i]
        value = zero if value < zero else value
        out[i] = one if value > one else value


def _planes(image: NDArray[np.floating]) -> NDArray[np.floating]:
    """``[B, C, H * W]``, contiguous."""
    return np.ascontiguousarray(image, image.dtype.newbyteorder("=")).reshape(*image.shape[:2], -1)


def weighted_sum(image: NDArray[np.floating], weights: Sequence[float]) -> NDArray[np.floating]:
    """The channels by their weights, in one pass."""
    check_weights(image, weights)
    out = np.zeros((len(image), 1, *image.shape[2:]), image.dtype.newbyteorder("="))
    for planes, total in zip(_planes(image), out.reshape(len(out), -1), strict=True):
        if len(weights) == 3:
            _weigh_three(*planes, *map(float, weights), total)
            continue
        for plane, weight in zip(planes, weights, strict=True):
            _add_weighted(plane, float(weight), total)
    return out


def luma_chroma(image: NDArray[np.floating]) -> NDArray[np.floating]:
    """Luma, and how much redder and bluer it is."""
    check_colors(image)
    planes = _planes(image)
    out = np.empty_like(planes)
    for pixels, found in zip(planes, out, strict=True):
        _split(*pixels, *found)
    return out.reshape(image.shape)


def change_luma_chroma(image: NDArray[np.floating], change: NDArray[np.floating]) -> NDArray[np.floating]:
    """The picture with other luma and color differences, clipped."""
    check_colors(image, change)
    out = np.empty(image.shape, image.dtype.newbyteorder("="))
    luma_alone = change.shape[1] == 1
    for pixels, changes, changed in zip(_planes(image), _planes(change), _planes(out), strict=True):
        if luma_alone:
            for plane, result in zip(pixels, changed, strict=True):
                _add(plane, changes[0], result)
            continue
        luma, red, blue = changes
        _change(pixels[0], luma, 1.0, red, 0.0, blue, changed[0])
        _change(pixels[1], luma, -_RED / _GREEN, red, -_BLUE / _GREEN, blue, changed[1])
        _change(pixels[2], luma, 0.0, red, 1.0, blue, changed[2])
    return out
