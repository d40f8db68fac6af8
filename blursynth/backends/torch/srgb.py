"""The sRGB transfer functions of tensors: the numbers of the CPU's kernels, and their derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from blursynth.backends import cpu
from blursynth.backends.cpu.srgb import checked_levels
from blursynth.backends.torch.tensors import as_array, as_tensor, checked_image

__all__ = ["srgb_decode", "srgb_encode"]

Tensor = torch.Tensor


def _decode_cpu(image: Tensor) -> Tensor:
    return as_tensor(cpu.srgb_decode(as_array(image)), image)


def _encode_cpu(image: Tensor, levels: Sequence[int]) -> Tensor:
    return as_tensor(cpu.srgb_encode(as_array(image), levels=[level or None for level in levels]), image)


def _decode_cuda(image: Tensor) -> Tensor:
    from blursynth.backends.torch.srgb_triton import srgb_decode

    return srgb_decode(image)


def _encode_cuda(image: Tensor, levels: Sequence[int]) -> Tensor:
    from blursynth.backends.torch.srgb_triton import srgb_encode

    return srgb_encode(image, levels)


_decode = torch.library.custom_op(
    "blursynth::srgb_decode", _decode_cpu, mutates_args=(), device_types="cpu", schema="(Tensor image) -> Tensor"
)
_encode = torch.library.custom_op(
    "blursynth::srgb_encode",
    _encode_cpu,
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor image, int[] levels) -> Tensor",
)
_decode.register_kernel("cuda")(_decode_cuda)
_encode.register_kernel("cuda")(_encode_cuda)


@_decode.register_fake
def _decode_shape(image: Tensor) -> Tensor:
    return image.new_empty(image.shape)


@_encode.register_fake
def _encode_shape(image: Tensor, levels: Any) -> Tensor:
    return image.new_empty(image.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0])


def _decode_backward(ctx: Any, gradient: Tensor) -> Tensor:
    (image,) = ctx.saved_tensors
    size = image.abs()
    slope = torch.where(size <= 0.04045, 1 / 12.92, (2.4 / 1.055) * ((size + 0.055) / 1.055) ** 1.4)
    return gradient * slope.to(gradient.dtype)


def _encode_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
    (image,) = ctx.saved_tensors
    # The power is taken where it is finite only, so that second derivatives are finite as well.
    curve = (1.055 / 2.4) * image.clamp(min=0.0031308) ** (1 / 2.4 - 1)
    slope = torch.where(image <= 0.0031308, 12.92, curve)
    inside = (image >= 0) & (image <= 1)
    return torch.where(inside, gradient * slope.to(gradient.dtype), 0.0), None


_decode.register_autograd(_decode_backward, setup_context=_keep)
_encode.register_autograd(_encode_backward, setup_context=_keep)


def srgb_decode(image: Tensor) -> Tensor:
    """sRGB to linear light; exact for codes k / 255 on the CPU, odd below 0, the same power above 1.

    The derivative is that of the curve.
    """
    return _decode(checked_image(image))


def srgb_encode(image: Tensor, *, levels: Sequence[int | None] | None = None) -> Tensor:
    """Linear light to sRGB 0..1, clipped, rounded to ``levels[b]`` codes (e.g. 255) where not None.

    The derivative is that of the curve, 0 where the picture is clipped. Rounding is passed straight through: its own
    derivative is 0 almost everywhere and would tell an optimizer nothing.

    Raises
    ------
    InvalidValueError
        Not one level per picture, or one outside 1 to 65535.
    """
    checked_image(image)
    wanted = checked_levels(levels, len(image))
    return _encode(image, [level or 0 for level in wanted])
