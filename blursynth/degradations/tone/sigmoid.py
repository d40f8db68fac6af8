"""Between linear light and the codes of a picture file, by a curve that is like those of real cameras."""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.core import Degradation
from blursynth.degradations.tone.response_curve import ResponseDecode, ResponseEncode
from blursynth.physics.response import Sigmoid

__all__ = ["SigmoidDecode", "SigmoidEncode"]


class SigmoidCurve(Degradation):
    """The parameters of the curve, in both directions."""

    exponent: float = Field(default=0.84, ge=0.1, le=4, description="power at the dark end; .5 to 2.2 in real cameras")
    midtone: float = Field(
        default=0.6, ge=0.001, le=0.999, description="value of the light 0.3; .3 to .8 in real cameras"
    )
    contrast: float = Field(
        default=0.0, ge=-1, le=1, description="weight of a smoothstep at the end; -.4 to .75 in real cameras"
    )

    def curve(self) -> Sigmoid:
        return Sigmoid.from_midtone(self.exponent, self.midtone, self.contrast)


@final
class SigmoidDecode(SigmoidCurve, ResponseDecode):
    """The inverse of :class:`~blursynth.kinds.SigmoidEncode`, which explains the parameters.

    Not modeled: what the camera clipped; see :class:`~blursynth.kinds.HighlightOffset`.
    """

    def table(self) -> NDArray[np.float64]:
        return self.curve().decode_table()


@final
class SigmoidEncode(SigmoidCurve, ResponseEncode):
    """A response curve with a toe, a shoulder and contrast, clipped to 0..1 and rounded to codes.

    ``u = x ** exponent``; ``y = (1 + t) u / (1 + t u)``; ``v = (1 - contrast) y + contrast (3 y^2 - 2 y^3)``; t follows
    from ``v(0.3) = midtone``. With ``contrast = 0`` it is the sigmoid ``(1 + s) x^n / (x^n + s)`` of HDRCNN, s = 1 / t.

    Fitted to the 201 measured curves of the DoRF database (film, video and digital cameras), the RMS error is .0022 in
    the median, .0076 for nine of ten and .021 at most; without contrast, .0037, .0117 and .023; a gamma curve has .030,
    .112 and .154. The three parameters are nearly independent over the database (rank correlations .04, -.09 and -.20),
    so these distributions give curves like the measured ones::

        exponent = { log_uniform = [0.45, 2.0] }
        midtone = { truncated_normal = [0.59, 0.14, 0.05, 0.95] }
        contrast = { truncated_normal = [0.06, 0.33, -0.95, 1.0] }

    Their mean curve is within .02 of the mean of the 201, and their standard deviation at light .05 to .8 within a
    quarter of the measured one.

    To decode with the same camera, use ``{ same_as = "decode.exponent" }`` and so on.

    Not modeled: channels that differ, local tone mapping.

    Source: Grossberg and Nayar, "What is the Space of Camera Response Functions?", CVPR 2003; Eilertsen et al., "HDR
    image reconstruction from a single exposure using deep CNNs", ACM TOG 36(6), 2017.
    """

    def table(self) -> NDArray[np.float64]:
        return self.curve().encode_table()
