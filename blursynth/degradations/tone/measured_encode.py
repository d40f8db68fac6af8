"""From linear light to the codes of a picture file by a measured response curve."""

from __future__ import annotations

from typing import Self, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from blursynth.degradations.tone.response_curve import ResponseEncode, check_curve, measured_points
from blursynth.io import assets
from blursynth.physics.response import encode_table

__all__ = ["MeasuredEncode"]


@final
class MeasuredEncode(ResponseEncode):
    """A measured response curve, such as the 201 of the DoRF data base, clipped to 0..1 and rounded to codes.

    The array is ``[2, N]`` or ``[N, 2]``: light and value from black to white, each in any unit (both are divided by
    their last number). Light rises from point to point, the value never falls; between points it is linear.

    In a recipe: ``curve = { file = "curve.csv" }`` (.npy, .csv, .txt) or ``curve = { files = "dorfCurves.txt" }`` for
    one of several; for the same camera on the way in and out ``curve = { same_as = "decode.curve" }``.

    Not modeled: curves that differ between the channels, local tone mapping.

    Source: Grossberg and Nayar, "What is the Space of Camera Response Functions?", CVPR 2003.
    """

    curve: str = Field(pattern=r"^sha256:[0-9a-f]{64}$", description="name of the curve's array, sha256:...")

    _check = field_validator("curve")(staticmethod(check_curve))

    @classmethod
    def example(cls) -> Self:
        """A curve with a toe and a shoulder."""
        return cls(curve=assets.register([[0.0, 0.02, 0.1, 0.3, 0.6, 1.0], [0.0, 0.08, 0.35, 0.67, 0.88, 1.0]]))

    def assets(self) -> tuple[str, ...]:
        return (self.curve,)

    def encode_table(self) -> NDArray[np.float64]:
        return encode_table(*measured_points(self.curve))
