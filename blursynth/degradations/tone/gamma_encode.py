"""From linear light to the codes of a picture file by a power."""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.degradations.tone.response_curve import ResponseEncode
from blursynth.physics.response import Sigmoid

__all__ = ["GammaEncode"]


@final
class GammaEncode(ResponseEncode):
    """A gamma curve with contrast, clipped to 0..1, rounded to codes: the inverse of
    :class:`~blursynth.kinds.GammaDecode`.

    ``y = x ** (1 / gamma)``, ``v = (1 - contrast) y + contrast (3 y^2 - 2 y^3)``. ``gamma = 1`` without contrast takes
    light for codes; see there.

    Not modeled: white balance and color matrix, which are the sensor's and the development's; dither.

    Source: Brooks et al., "Unprocessing Images for Learned Raw Denoising", CVPR 2019.
    """

    gamma: float = Field(default=2.2, ge=1, le=3, description="power from values to light; 1.8 to 2.6, 1 for none")
    contrast: float = Field(
        default=0.0, ge=0, le=1, description="weight of a smoothstep after the gamma; 0 for none, 1 in Unprocessing"
    )

    def encode_table(self) -> NDArray[np.float64]:
        return Sigmoid(1.0 / self.gamma, contrast=self.contrast).encode_table()
