"""The sRGB transfer functions in Triton.

Each value is read and written once: 8 bytes in float32, which is the floor, with a logarithm and an exponential. Codes
are decided in float64, so that they are those of the definition wherever that is not a tie to 1e-15.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc"

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl

from blursynth.backends.torch.grid_triton import on_device_of
from blursynth.backends.torch.tensors import sent

__all__ = ["srgb_decode", "srgb_encode"]

_BLOCK = 1024


@triton.jit
def _decode(source, out, count, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(source + i, mask=i < count, other=0.0)
    size = tl.abs(x)
    curve = tl.exp(tl.log((size + 0.055) / 1.055) * 2.4)
    value = tl.where(size <= 0.04045, size / 12.92, curve)
    value = tl.where(x < 0, -value, value)
    tl.store(out + i, tl.where(x == x, value, x), mask=i < count)


@triton.jit
def _encoded(light):
    """The curve for light 0..1."""
    curve = tl.exp(tl.log(tl.maximum(light, 1e-30)) / 2.4) * 1.055 - 0.055
    curve = tl.where(light <= 0.0031308, light * 12.92, curve)
    return tl.where(light == 1.0, light, tl.minimum(curve, 1.0))


@triton.jit
def _encode(source, out, levels, count, BLOCK: tl.constexpr):
    b = tl.program_id(1)
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    here = i + b.to(tl.int64) * count
    x = tl.load(source + here, mask=i < count, other=0.0)
    top = tl.load(levels + b)
    light = tl.minimum(tl.maximum(x, 0.0), 1.0)
    if top > 0:
        codes = tl.floor(_encoded(light.to(tl.float64)) * top + 0.5)
        value = (codes / top).to(source.dtype.element_ty)
    else:
        value = _encoded(light)
    tl.store(out + here, tl.where(x == x, value, x), mask=i < count)


def srgb_decode(image: torch.Tensor) -> torch.Tensor:
    """sRGB to linear light; see :func:`blursynth.backends.torch.srgb.srgb_decode`."""
    image = image.contiguous()
    out = torch.empty_like(image)
    with on_device_of(image):
        _decode[(triton.cdiv(image.numel(), _BLOCK),)](image, out, image.numel(), BLOCK=_BLOCK)
    return out


def srgb_encode(image: torch.Tensor, levels: Sequence[int]) -> torch.Tensor:
    """Linear light to sRGB; see :func:`blursynth.backends.torch.srgb.srgb_encode`. 0 levels: no rounding."""
    image = image.contiguous()
    out = torch.empty_like(image)
    count = image[0].numel()
    top = sent(torch.tensor(levels, dtype=torch.float64), image.device)
    with on_device_of(image):
        _encode[(triton.cdiv(count, _BLOCK), len(image))](image, out, top, count, BLOCK=_BLOCK)
    return out
