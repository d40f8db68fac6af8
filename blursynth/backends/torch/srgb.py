"""The sRGB transfer functions of tensors: the numbers of the CPU's kernels, and their derivatives."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from blursynth.backends.checks import check_levels
from blursynth.backends.torch.operator import in_triton, on_arrays, operator
from blursynth.backends.torch.tensors import checked_image

__all__ = ["srgb_decode", "srgb_encode"]

Tensor = torch.Tensor


def _slope_of_decode(gradient: Tensor, image: Tensor) -> Tensor:
    size = image.abs()
    slope = torch.where(size <= 0.04045, 1 / 12.92, (2.4 / 1.055) * ((size + 0.055) / 1.055) ** 1.4)
    return gradient * slope.to(gradient.dtype)


def _slope_of_encode(gradient: Tensor, image: Tensor, levels: Sequence[int]) -> Tensor:
    # The power is taken where it is finite only, so that second derivatives are finite as well.
    curve = (1.055 / 2.4) * image.clamp(min=0.0031308) ** (1 / 2.4 - 1)
    slope = torch.where(image <= 0.0031308, 12.92, curve)
    inside = (image >= 0) & (image <= 1)
    return torch.where(inside, gradient * slope.to(gradient.dtype), 0.0)


_decode = operator(
    "srgb_decode",
    "Tensor image",
    on_arrays("srgb_decode"),
    in_triton("srgb_triton", "srgb_decode"),
    derivatives={"image": _slope_of_decode},
)
_encode = operator(
    "srgb_encode",
    "Tensor image, int[] levels",
    on_arrays("srgb_encode", lambda levels: {"levels": [level or None for level in levels]}),
    in_triton("srgb_triton", "srgb_encode"),
    derivatives={"image": _slope_of_encode},
)


def srgb_decode(image: Tensor) -> Tensor:
    """sRGB to linear light."""
    return _decode(checked_image(image))


def srgb_encode(image: Tensor, *, levels: Sequence[int | None] | None = None) -> Tensor:
    """Linear light to sRGB, clipped to 0..1 and rounded to codes."""
    checked_image(image)
    wanted = check_levels(levels, len(image))
    return _encode(image, [level or 0 for level in wanted])
