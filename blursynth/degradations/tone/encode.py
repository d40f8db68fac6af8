"""From linear light to the codes of a picture file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import Degradation
from blursynth.frame import Encoding, Frame

__all__ = ["Encode"]


class Encode(Degradation):
    """Linear light to sRGB (IEC 61966-2-1), clipped to 0..1 and rounded to the file's codes.

    The target passes through it too: white clip and 8 bit are not part of the blur.

    Not modeled: a camera's tone curve, white balance and color matrix; dither.
    """

    takes: ClassVar[Encoding | None] = Encoding.LINEAR
    gives: ClassVar[Encoding | None] = Encoding.DISPLAY

    bit_depth: int = Field(default=8, ge=1, le=16, description="number of bits of a code; 8 for JPEG and PNG")

    def target(self) -> Degradation:
        return self

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        levels = [2**step.bit_depth - 1 for step in steps]
        return frame.with_image(for_array(frame.image).srgb_encode(frame.image, levels=levels), Encoding.DISPLAY)
