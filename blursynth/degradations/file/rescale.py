"""Resizing a picture to a smaller (or larger) size and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import BorderName, Degradation, one_by_one
from blursynth.frame import Frame
from blursynth.physics import resampling

__all__ = ["Rescale"]


class Rescale(Degradation):
    """Resizing to ``factor`` times the size and back: the loss of a picture that was stored at another size.

    ``y = U D x`` along each axis, where D resamples to a grid of ``factor`` samples per pixel and U resamples back.
    Both grids cover the same field of view, and the other grid starts at the full picture's first pixel. Nothing is
    shifted, constants are kept, and a window with margin equals the same region of the whole.

    ``area``: means over the area of a sample; ``bilinear`` and ``bicubic`` (Keys, a = -3/4) interpolate between the
    nearest 2 or 4 pixels per axis, so that a smaller picture aliases, as with OpenCV and PyTorch by default. ``area``
    repeats pixels on the way back from a smaller picture.

    It acts on linear light, as a resizing lens or a careful program would; the super-resolution literature resizes file
    codes.

    What becomes of a point of light depends on its place between the samples of the other grid, so no single kernel
    represents it.

    Not modeled: antialiasing other than ``area``, rounding of the other size to whole pixels.
    """

    blurs: ClassVar[bool] = True
    varies: ClassVar[bool] = True

    factor: float = Field(
        ge=0.05,
        le=4,
        examples=[0.5],
        description="intermediate size over picture size; 1 with bilinear: no change",
    )
    down: Literal["area", "bilinear", "bicubic"] = Field(default="area", description="method for the intermediate size")
    up: Literal["area", "bilinear", "bicubic"] = Field(
        default="bicubic", description="method for the way back to the original size"
    )
    border: BorderName = "reflect"

    def reach_px(self, frame: Frame) -> int | None:
        return resampling.reach_px(self.factor, self.down, self.up)

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        return one_by_one(steps, frame, cls._rescaled)

    def _rescaled(self, frame: Frame) -> Any:
        axes = (
            resampling.rescaling(self.factor, self.down, self.up, first_px=int(first), size_px=size, border=self.border)
            for first, size in zip(frame.origin_px[0], frame.size_px, strict=True)
        )
        to, back = zip(*axes, strict=True)
        backend = for_array(frame.image)
        return backend.resample(backend.resample(frame.image, *to), *back)
