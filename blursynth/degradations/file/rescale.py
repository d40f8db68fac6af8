"""A picture that was made smaller (or larger) and brought back to its size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import BorderName, Degradation
from blursynth.frame import Encoding, Frame
from blursynth.physics import resampling

__all__ = ["Rescale"]


class Rescale(Degradation):
    """To ``factor`` times the size and back: what a picture loses on the way through another size.

    ``y = U D x`` along each axis, D to a grid of ``factor`` samples per pixel and U back. Both grids cover the same
    field of view, and the other one is laid from the full picture's first pixel, so nothing is shifted, constants are
    kept, and a window with margin equals the same region of the whole.

    ``area``: means over the area of a sample; ``bilinear`` and ``bicubic`` (Keys, a = -3/4) interpolate between the
    nearest 2 or 4 pixels per axis, so that a smaller picture aliases, as with OpenCV and PyTorch by default. ``area``
    on the way back from a smaller picture repeats its pixels.

    Acts on linear light, where a resizing lens or a careful program does; the super-resolution literature resizes file
    codes.

    Not modeled: antialiasing other than ``area``, rounding of the other size to whole pixels.
    """

    takes: ClassVar[Encoding | None] = Encoding.LINEAR
    gives: ClassVar[Encoding | None] = Encoding.LINEAR
    blurs: ClassVar[bool] = True

    factor: float = Field(
        ge=0.05, le=4, examples=[0.5], description="size in between over size of the picture; 1 with bilinear is none"
    )
    down: Literal["area", "bilinear", "bicubic"] = Field(default="area", description="how the size in between is made")
    up: Literal["area", "bilinear", "bicubic"] = Field(
        default="bicubic", description="how the picture's size is remade"
    )
    border: BorderName = Field(
        default="reflect", description="how the picture goes on beyond its edge; data sets cut such pixels off"
    )

    def reach_px(self, frame: Frame) -> int | None:
        return resampling.reach_px(self.factor, self.down, self.up)

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        parts = []
        for b, step in enumerate(steps):
            image = frame.image[b : b + 1]
            to, back = zip(
                *(
                    resampling.rescaling(
                        step.factor, step.down, step.up, first_px=int(first), size_px=size, border=step.border
                    )
                    for first, size in zip(np.asarray(frame.origin_px[b]), frame.size_px, strict=True)
                ),
                strict=True,
            )
            backend = for_array(image)
            parts.append(frame[b].with_image(backend.resample(backend.resample(image, *to), *back)))
        return parts[0] if len(parts) == 1 else frame.with_image(Frame.stack(parts).image)
