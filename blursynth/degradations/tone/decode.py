"""From the codes of a picture file to linear light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from blursynth.backends import for_array
from blursynth.core import Degradation
from blursynth.frame import Encoding, Frame

__all__ = ["Decode"]


class Decode(Degradation):
    """sRGB codes to linear light, IEC 61966-2-1: ``x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4``.

    Exact for all 256 codes of an 8-bit file. The sharp target passes through it, too.

    Not modeled: the camera's own response curve and what it clipped (light beyond white stays at 1).
    """

    takes: ClassVar[Encoding | None] = Encoding.DISPLAY
    gives: ClassVar[Encoding | None] = Encoding.LINEAR
    makes_light: ClassVar[bool] = True

    def target(self) -> Degradation:
        return self

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        return frame.with_image(for_array(frame.image).srgb_decode(frame.image), Encoding.LINEAR)
