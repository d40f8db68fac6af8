"""Luma and color differences of tensors: numba on shared memory on the CPU, operations of torch elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from blursynth.backends.checks import check_colors, check_weights
from blursynth.backends.torch.operator import on_arrays, operator
from blursynth.backends.torch.tensors import as_array
from blursynth.physics.color import LUMA

__all__ = ["change_luma_chroma", "luma_chroma", "weighted_sum"]

Tensor = torch.Tensor
_RED, _GREEN, _BLUE = LUMA


def _weighted(image: Tensor, weights: Sequence[float]) -> Tensor:
    return torch.stack([w * plane for w, plane in zip(weights, image.unbind(1), strict=True)]).sum(0)[:, None]


def _by_channel(gradient: Tensor, image: Tensor, weights: Sequence[float]) -> Tensor:
    return torch.cat([w * gradient for w in weights], 1)


def _split(image: Tensor) -> Tensor:
    red, green, blue = image.unbind(1)
    luma = _RED * red + _GREEN * green + _BLUE * blue
    return torch.stack([luma, red - luma, blue - luma], 1)


def _split_adjoint(gradient: Tensor) -> Tensor:
    luma, red, blue = gradient.unbind(1)
    luma = luma - red - blue
    return torch.stack([_RED * luma + red, _GREEN * luma, _BLUE * luma + blue], 1)


def _unclipped(image: Tensor, change: Tensor) -> Tensor:
    if change.shape[1] == 1:
        return image + change
    luma, red, blue = change.unbind(1)
    green = (-_RED / _GREEN) * red + (-_BLUE / _GREEN) * blue
    return image + torch.stack([luma + red, luma + green, luma + blue], 1)


def _by_image(gradient: Tensor, image: Tensor, change: Tensor) -> Tensor:
    value = _unclipped(image, change)
    return gradient * ((value >= 0) & (value <= 1))


def _by_change(gradient: Tensor, image: Tensor, change: Tensor) -> Tensor:
    red, green, blue = _by_image(gradient, image, change).unbind(1)
    luma = red + green + blue
    if change.shape[1] == 1:
        return luma[:, None]
    return torch.stack([luma, red - _RED / _GREEN * green, blue - _BLUE / _GREEN * green], 1)


def _contiguous(image: Tensor, *rest: Any) -> Tensor:
    return torch.empty_like(image, memory_format=torch.contiguous_format)


_weighted_sum = operator(
    "weighted_sum",
    "Tensor image, float[] weights",
    on_arrays("weighted_sum", lambda weights: {"weights": weights}),
    _weighted,
    shape=lambda image, weights: image.new_empty((image.shape[0], 1, *image.shape[2:])),
    derivatives={"image": _by_channel},
    linear=True,
)
_luma_chroma = operator(
    "luma_chroma",
    "Tensor image",
    on_arrays("luma_chroma"),
    _split,
    shape=_contiguous,
    derivatives={"image": lambda gradient, image: _split_adjoint(gradient)},
    linear=True,
)
_change_luma_chroma = operator(
    "change_luma_chroma",
    "Tensor image, Tensor change",
    on_arrays("change_luma_chroma", lambda change: {"change": as_array(change)}),
    lambda image, change: _unclipped(image, change).clamp(0, 1),
    shape=_contiguous,
    derivatives={"image": _by_image, "change": _by_change},
)


def weighted_sum(image: Tensor, weights: Sequence[float]) -> Tensor:
    """The channels by their weights."""
    check_weights(image, weights)
    return _weighted_sum(image, [float(weight) for weight in weights])


def luma_chroma(image: Tensor) -> Tensor:
    """Luma, and how much redder and bluer it is."""
    check_colors(image)
    return _luma_chroma(image)


def change_luma_chroma(image: Tensor, change: Tensor) -> Tensor:
    """The picture with other luma and color differences, clipped."""
    check_colors(image, change)
    return _change_luma_chroma(image, change)
