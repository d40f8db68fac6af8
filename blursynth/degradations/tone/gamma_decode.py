"""From the codes of a picture file to linear light by a power."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.core import Degradation
from blursynth.degradations.tone.response_curve import ResponseDecode
from blursynth.physics.response import Sigmoid

__all__ = ["GammaDecode"]


@final
class GammaDecode(ResponseDecode):
    """The inverse of a gamma curve: the contrast is undone, then ``x = v ** gamma``.

    ``v = (1 - contrast) y + contrast (3 y^2 - 2 y^3)`` with ``y = x ** (1 / gamma)``. ``contrast = 1`` with ``gamma =
    2.2`` is the curve of "Unprocessing Images". ``gamma = 1`` without contrast takes codes for light: not physical, but
    what some published chains do (blur in gamma space), named here so that the record says so.

    Easily confused: :class:`~blursynth.kinds.Decode` is sRGB, which is near to but not gamma 2.2 (6 codes apart at
    most, most of all in the dark).

    Not modeled: what the camera clipped; see :class:`~blursynth.kinds.HighlightOffset`.

    Source: Brooks et al., "Unprocessing Images for Learned Raw Denoising", CVPR 2019.
    """

    codes_for_light: ClassVar[Mapping[str, float]] = {"gamma": 1.0, "contrast": 0.0}

    gamma: float = Field(default=2.2, ge=1, le=3, description="power from values to light; 1.8 to 2.6, 1 for none")
    contrast: float = Field(
        default=0.0, ge=0, le=1, description="weight of a smoothstep after the gamma; 0 for none, 1 in Unprocessing"
    )

    def for_light(self) -> Degradation:
        # A chain that takes codes for light wants codes: light would pass it as if it were codes.
        return self if self.takes_codes_for_light else super().for_light()

    @property
    def takes_codes_for_light(self) -> bool:
        """Whether it changes nothing: blur in gamma space follows."""
        return all(getattr(self, name) == value for name, value in self.codes_for_light.items())

    def decode_table(self) -> NDArray[np.float64]:
        return Sigmoid(1.0 / self.gamma, contrast=self.contrast).decode_table()
