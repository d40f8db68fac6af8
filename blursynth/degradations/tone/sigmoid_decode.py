"""From the codes of a picture file to linear light by a curve that is like those of real cameras."""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.degradations.tone.response_curve import ResponseDecode
from blursynth.physics.response import Sigmoid

__all__ = ["SigmoidDecode"]


@final
class SigmoidDecode(ResponseDecode):
    """The inverse of :class:`~blursynth.kinds.SigmoidEncode`, which says what the numbers mean.

    Not modeled: what the camera clipped; see :class:`~blursynth.kinds.HighlightOffset`.
    """

    exponent: float = Field(default=0.84, ge=0.1, le=4, description="power at the dark end; .5 to 2.2 in real cameras")
    midtone: float = Field(
        default=0.6, ge=0.001, le=0.999, description="value that the light 0.3 gets; .3 to .8 in real cameras"
    )
    contrast: float = Field(
        default=0.0, ge=-1, le=1, description="weight of a smoothstep at the end; -.4 to .75 in real cameras"
    )

    def decode_table(self) -> NDArray[np.float64]:
        return Sigmoid.from_midtone(self.exponent, self.midtone, self.contrast).decode_table()
