"""From the numbers of a raw sensor to linear light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from blursynth.backends import for_array
from blursynth.core import Degradation
from blursynth.errors import InvalidValueError
from blursynth.frame import Encoding, Frame

__all__ = ["Develop"]


class Develop(Degradation):
    """Takes the black level away and scales to white: ``x = min((DN - black) / (white - black), 1)``.

    The levels come with the frame, as in a DNG file. Values below black stay negative until they are encoded, since
    clipping noise at black would brighten the shadows.

    Not modelled: mosaic, white balance, colour matrix, tone curve, denoising.
    """

    takes: ClassVar[Encoding | None] = Encoding.RAW
    gives: ClassVar[Encoding | None] = Encoding.LINEAR

    def target(self) -> Degradation:
        return self

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        levels = frame.raw_levels
        if levels is None:
            raise InvalidValueError(
                "A RAW frame needs raw_levels (black and white in DN), got none.",
                fix="Give them to Frame(raw_levels=...).",
            )
        image = for_array(frame.image).develop(frame.image, levels.black_dn, levels.white_dn)
        return frame.with_image(image, Encoding.LINEAR, raw_levels=None)
