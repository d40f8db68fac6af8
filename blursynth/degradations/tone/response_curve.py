"""Base of all response curves except sRGB, which are applied by lookup tables."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import Degradation
from blursynth.errors import InvalidValueError
from blursynth.frame import Encoding, Frame
from blursynth.io import assets
from blursynth.physics.response import curve_points

__all__ = ["ResponseDecode", "ResponseEncode", "check_curve", "measured_points"]


class ResponseDecode(Degradation):
    """From the codes of a picture file to linear light by the inverse of a response curve. The target is decoded alike.

    Abstract: a kind says what its table is.
    """

    takes: ClassVar[Encoding | None] = Encoding.DISPLAY
    gives: ClassVar[Encoding | None] = Encoding.LINEAR
    makes_light: ClassVar[bool] = True

    @abstractmethod
    def decode_table(self) -> NDArray[np.float64]:
        """``[NODES]`` the light of the values ``k / (NODES - 1)``."""

    def target(self) -> Degradation:
        return self

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        table = _stacked(steps, _decode_table)
        return frame.with_image(for_array(frame.image).response_decode(frame.image, table), Encoding.LINEAR)


class ResponseEncode(Degradation):
    """From linear light to the codes of a picture file by a response curve: clipped to 0..1, rounded to codes.

    The target is encoded alike: white clip, tone and 8 bits are not part of the blur. Abstract: a kind says what its
    table is.
    """

    takes: ClassVar[Encoding | None] = Encoding.LINEAR
    gives: ClassVar[Encoding | None] = Encoding.DISPLAY

    bit_depth: int = Field(default=8, ge=1, le=16, description="number of bits of a code; 8 for JPEG and PNG")

    @abstractmethod
    def encode_table(self) -> NDArray[np.float64]:
        """``[NODES]`` the value of the light ``(k / (NODES - 1)) ** ROOT``."""

    def target(self) -> Degradation:
        return self

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        levels = [2**step.bit_depth - 1 for step in steps]
        image = for_array(frame.image).response_encode(frame.image, _stacked(steps, _encode_table), levels=levels)
        return frame.with_image(image, Encoding.DISPLAY)


def check_curve(name: str) -> str:
    """The name of a measured curve's array, which is validated if it is already loaded.

    Records are also created before the arrays of a data set are loaded; an invalid array is then reported on use.
    """
    try:
        assets.get(name)
    except InvalidValueError:
        return name
    measured_points(name)
    return name


def measured_points(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Light and value, from 0 to 1, of the measured curve of this name.

    Raises
    ------
    InvalidValueError
        The array is not loaded, or is not a curve; the message names the file that it came from.
    """
    points = assets.get(name)
    try:
        return curve_points(points)
    except InvalidValueError as error:
        raise InvalidValueError(f"{assets.origin(name)}: {error.what}", why=error.why, fix=error.fix) from None


# A table takes longer to make than to apply to a small crop, and pictures of one camera share theirs.
@lru_cache(maxsize=512)
def _decode_table(step: ResponseDecode) -> NDArray[np.float64]:
    return step.decode_table()


@lru_cache(maxsize=512)
def _encode_table(step: ResponseEncode) -> NDArray[np.float64]:
    return step.encode_table()


def _stacked(steps: Sequence[Any], table_of: Callable[[Any], NDArray[np.float64]]) -> NDArray[np.float64]:
    """``[B, NODES]``, or ``[1, NODES]`` where all are the same."""
    return np.stack([table_of(step) for step in (steps[:1] if len(set(steps)) == 1 else steps)])
