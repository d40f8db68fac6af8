"""From the codes of a picture file to linear light by a measured response curve."""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from blursynth.degradations.tone.response_curve import ResponseDecode, check_curve, measured_points
from blursynth.physics.response import decode_table

__all__ = ["MeasuredDecode"]


@final
class MeasuredDecode(ResponseDecode):
    """The inverse of a measured response curve; see :class:`~blursynth.kinds.MeasuredEncode` for its files.

    Where the curve is flat the middle of the light that gives one value is taken; what it clipped stays at white.

    Not modeled: curves that differ between the channels.
    """

    curve: str = Field(pattern=r"^sha256:[0-9a-f]{64}$", description="name of the curve's array, sha256:...")

    _check = field_validator("curve")(staticmethod(check_curve))

    def assets(self) -> tuple[str, ...]:
        return (self.curve,)

    def decode_table(self) -> NDArray[np.float64]:
        return decode_table(*measured_points(self.curve))
