"""Between linear light and the codes of a picture file, by the sRGB curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import Degradation
from blursynth.frame import Encoding, Frame

__all__ = ["Decode", "Encode"]


class Decode(Degradation):
    """sRGB codes to linear light, IEC 61966-2-1: ``x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4``.

    Exact for all 256 codes of an 8-bit file. The sharp target passes through it, too.

    Not modeled: the camera's own response curve and what it clipped (light beyond white stays at 1).
    """

    takes: ClassVar[Encoding | None] = Encoding.DISPLAY
    in_target: ClassVar[bool] = True
    makes_light: ClassVar[bool] = True

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        return frame.with_image(for_array(frame.image).srgb_decode(frame.image), Encoding.LINEAR)


class Encode(Degradation):
    """Linear light to sRGB (IEC 61966-2-1), clipped to 0..1 and rounded to the file's codes.

    The target passes through it, too: clipping at white and 8 bits are not part of the blur.

    Not modeled: a camera's tone curve, white balance and color matrix; dither.
    """

    gives: ClassVar[Encoding | None] = Encoding.DISPLAY
    in_target: ClassVar[bool] = True

    bit_depth: int = Field(default=8, ge=1, le=16, description="number of bits of a code; 8 for JPEG and PNG")

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        levels = [2**step.bit_depth - 1 for step in steps]
        return frame.with_image(for_array(frame.image).srgb_encode(frame.image, levels=levels), Encoding.DISPLAY)
