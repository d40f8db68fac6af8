"""Between linear light and the codes of a picture file, by a power."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.core import Degradation
from blursynth.degradations.tone.response_curve import ResponseDecode, ResponseEncode
from blursynth.physics.response import Sigmoid

__all__ = ["GammaDecode", "GammaEncode"]


@final
class GammaDecode(ResponseDecode):
    """The inverse of a gamma curve: the contrast is undone, then ``x = v ** gamma``.

    ``v = (1 - contrast) y + contrast (3 y^2 - 2 y^3)`` with ``y = x ** (1 / gamma)``. ``contrast = 1`` with ``gamma =
    2.2`` is the curve of "Unprocessing Images". ``gamma = 1`` without contrast takes codes for light: this is not
    physical, but some published chains do it (blur in gamma space), and their records then say so.

    Easily confused: :class:`~blursynth.kinds.Decode` is sRGB, which is close but not equal to gamma 2.2 (up to 6 codes
    apart, most of all in the dark).

    Not modeled: what the camera clipped; see :class:`~blursynth.kinds.HighlightOffset`.

    Source: Brooks et al., "Unprocessing Images for Learned Raw Denoising", CVPR 2019.
    """

    codes_for_light: ClassVar[Mapping[str, float]] = {"gamma": 1.0, "contrast": 0.0}

    gamma: float = Field(default=2.2, ge=1, le=3, description="power from values to light; 1.8 to 2.6, 1 for none")
    contrast: float = Field(
        default=0.0, ge=0, le=1, description="weight of a smoothstep after the gamma; 0 for none, 1 in Unprocessing"
    )

    def for_light(self) -> Degradation:
        # A chain that takes codes for light needs codes: light would pass through it as if it were codes.
        return self if self.takes_codes_for_light else super().for_light()

    @property
    def takes_codes_for_light(self) -> bool:
        """Whether it changes nothing, so that the blur that follows is in gamma space."""
        return all(getattr(self, name) == value for name, value in self.codes_for_light.items())

    def table(self) -> NDArray[np.float64]:
        return Sigmoid(1.0 / self.gamma, contrast=self.contrast).decode_table()


@final
class GammaEncode(ResponseEncode):
    """A gamma curve with contrast, clipped to 0..1 and rounded to codes: the inverse of
    :class:`~blursynth.kinds.GammaDecode`.

    ``y = x ** (1 / gamma)``, ``v = (1 - contrast) y + contrast (3 y^2 - 2 y^3)``. ``gamma = 1`` without contrast takes
    light for codes (see there).

    Not modeled: white balance and color matrix, which belong to the sensor and the development; dither.

    Source: Brooks et al., "Unprocessing Images for Learned Raw Denoising", CVPR 2019.
    """

    gamma: float = Field(default=2.2, ge=1, le=3, description="power from values to light; 1.8 to 2.6, 1 for none")
    contrast: float = Field(
        default=0.0, ge=0, le=1, description="weight of a smoothstep after the gamma; 0 for none, 1 in Unprocessing"
    )

    def table(self) -> NDArray[np.float64]:
        return Sigmoid(1.0 / self.gamma, contrast=self.contrast).encode_table()
