"""From the codes of a picture file to linear light by a measured response curve."""

from __future__ import annotations

from typing import Self, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from blursynth.degradations.tone.response_curve import ResponseDecode, check_curve, measured_points
from blursynth.io import assets
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

    @classmethod
    def example(cls) -> Self:
        """A curve with a toe and a shoulder."""
        return cls(curve=assets.register([[0.0, 0.02, 0.1, 0.3, 0.6, 1.0], [0.0, 0.08, 0.35, 0.67, 0.88, 1.0]]))

    def assets(self) -> tuple[str, ...]:
        return (self.curve,)

    def decode_table(self) -> NDArray[np.float64]:
        return decode_table(*measured_points(self.curve))
