"""Between linear light and the codes of a picture file, by a measured response curve."""

from __future__ import annotations

from typing import Self, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from blursynth.core import Degradation
from blursynth.degradations.tone.response_curve import ResponseDecode, ResponseEncode
from blursynth.errors import InvalidValueError
from blursynth.io import assets
from blursynth.physics.response import curve_points, decode_table, encode_table

__all__ = ["MeasuredDecode", "MeasuredEncode"]


class MeasuredCurve(Degradation):
    """The array of the curve, in both directions."""

    curve: str = Field(pattern=r"^sha256:[0-9a-f]{64}$", description="name of the curve's array, sha256:...")

    @field_validator("curve")
    @staticmethod
    def _check(name: str) -> str:
        try:
            assets.get(name)
        except InvalidValueError:  # records are also created before the arrays of a data set are loaded
            return name
        _points(name)
        return name

    @classmethod
    def example(cls) -> Self:
        """A curve with a toe and a shoulder."""
        return cls(curve=assets.register([[0.0, 0.02, 0.1, 0.3, 0.6, 1.0], [0.0, 0.08, 0.35, 0.67, 0.88, 1.0]]))


@final
class MeasuredDecode(MeasuredCurve, ResponseDecode):
    """The inverse of a measured response curve; see :class:`~blursynth.kinds.MeasuredEncode` for its files.

    Where the curve is flat, the middle of the range of light with that value is taken; clipped values stay at white.

    Not modeled: curves that differ between the channels.
    """

    def table(self) -> NDArray[np.float64]:
        return decode_table(*_points(self.curve))


@final
class MeasuredEncode(MeasuredCurve, ResponseEncode):
    """A measured response curve, such as the 201 of the DoRF database, clipped to 0..1 and rounded to codes.

    The array is ``[2, N]`` or ``[N, 2]``: light and value from black to white, each in any unit (both are divided by
    their last number). The light rises from point to point, and the value never falls; between points it is linear.

    In a recipe: ``curve = { file = "curve.csv" }`` (.npy, .csv, .txt) or ``curve = { files = "dorfCurves.txt" }`` for
    one of several; for the same camera on the way in and out ``curve = { same_as = "decode.curve" }``.

    Not modeled: curves that differ between the channels, local tone mapping.

    Source: Grossberg and Nayar, "What is the Space of Camera Response Functions?", CVPR 2003.
    """

    def table(self) -> NDArray[np.float64]:
        return encode_table(*_points(self.curve))


def _points(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
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
