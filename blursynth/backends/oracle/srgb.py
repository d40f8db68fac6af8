"""The sRGB transfer functions by their definition in float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from blursynth.physics.color import srgb_codes, srgb_from_linear, srgb_to_linear

__all__ = ["srgb_decode", "srgb_encode"]


def srgb_decode(image: NDArray[np.floating]) -> NDArray[np.floating]:
    """sRGB to linear light. A value that rounds to a code k / 255 in the image's dtype is taken for that code."""
    value = np.asarray(image, np.float64)
    code = np.rint(value * 255.0) / 255.0
    is_code = (code.astype(image.dtype) == image) & (value >= 0) & (value <= 1)
    return srgb_to_linear(np.where(is_code, code, value)).astype(image.dtype)


def srgb_encode(image: NDArray[np.floating], *, levels: Sequence[int | None] | None = None) -> NDArray[np.floating]:
    """Linear light to sRGB, clipped, rounded to ``levels[b]`` codes where not None."""
    out = np.empty(image.shape, image.dtype)
    for b, level in enumerate(levels if levels is not None else (None,) * image.shape[0]):
        out[b] = srgb_from_linear(image[b]) if level is None else srgb_codes(image[b], level) / level
    return out
