"""Bases of all response curves except sRGB, which are applied by lookup tables."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import Degradation
from blursynth.frame import Encoding, Frame

__all__ = ["ResponseDecode", "ResponseEncode"]


class ResponseDecode(Degradation):
    """From the codes of a picture file to linear light by the inverse of a response curve. The target is decoded alike.

    Abstract: a kind provides the table.
    """

    takes: ClassVar[Encoding | None] = Encoding.DISPLAY
    in_target: ClassVar[bool] = True
    makes_light: ClassVar[bool] = True

    @abstractmethod
    def table(self) -> NDArray[np.float64]:
        """``[NODES]`` the light of the values ``k / (NODES - 1)``."""

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        return frame.with_image(for_array(frame.image).response_decode(frame.image, _tables(steps)), Encoding.LINEAR)


class ResponseEncode(Degradation):
    """From linear light to the codes of a picture file by a response curve: clipped to 0..1, rounded to codes.

    The target is encoded alike: clipping at white, tone and 8 bits are not part of the blur. Abstract: a kind provides
    the table.
    """

    gives: ClassVar[Encoding | None] = Encoding.DISPLAY
    in_target: ClassVar[bool] = True

    bit_depth: int = Field(default=8, ge=1, le=16, description="number of bits of a code; 8 for JPEG and PNG")

    @abstractmethod
    def table(self) -> NDArray[np.float64]:
        """``[NODES]`` the value of the light ``(k / (NODES - 1)) ** ROOT``."""

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        levels = [2**step.bit_depth - 1 for step in steps]
        image = for_array(frame.image).response_encode(frame.image, _tables(steps), levels=levels)
        return frame.with_image(image, Encoding.DISPLAY)


def _tables(steps: Sequence[ResponseDecode] | Sequence[ResponseEncode]) -> NDArray[np.float64]:
    """``[B, NODES]``, or ``[1, NODES]`` if all are equal."""
    return np.stack([_remembered(step) for step in (steps[:1] if len(set(steps)) == 1 else steps)])


@lru_cache(maxsize=1024)  # a table takes longer to make than to apply to a small crop; pictures of one camera share it
def _remembered(step: ResponseDecode | ResponseEncode) -> NDArray[np.float64]:
    return step.table()
