"""From raw sensor values to linear light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import Degradation
from blursynth.errors import InvalidValueError
from blursynth.frame import Encoding, Frame
from blursynth.physics.development import DevelopParameters
from blursynth.physics.mosaic import DEMOSAIC_REACH_PX, DEMOSAICS, mosaic_code

__all__ = ["Develop"]


class Develop(Degradation):
    """Linear light from raw values: levels, white balance, white clip, demosaic, color matrix, exposure compensation.

    ``x = (DN - black) / (white - black)``, times the white balance, clipped at the common white, demosaicked, then
    ``M x`` to linear sRGB, times ``gain``. Levels, pattern, balance and matrix come with the frame, as in a DNG file.
    Values below black stay negative until they are encoded, since clipping noise at black would brighten the shadows.

    ``bilinear``; ``malvar``: Malvar, He and Cutler, ICASSP 2004; ``edge_aware``: color differences along the rows or
    along the columns, whichever change less, after Hamilton and Adams, and Pekkucuksen and Altunbasak (see
    :mod:`blursynth.physics.mosaic`), as in good cameras. The first two are linear. On twelve Kodak photographs they
    reach 30.6, 36.1 and 39.8 dB. A frame without a mosaic needs none of them.

    The sharp target passes through it, too.

    Not modeled: lens shading, highlight reconstruction, denoising (see :class:`~blursynth.kinds.Denoise`), profiles.
    """

    takes: ClassVar[Encoding | None] = Encoding.RAW
    gives: ClassVar[Encoding | None] = Encoding.LINEAR
    in_target: ClassVar[bool] = True

    demosaic: Literal["bilinear", "malvar", "edge_aware"] = Field(
        default="malvar", description="how the missing colors of a pixel are interpolated"
    )
    gain: float = Field(
        default=1.0, gt=0, le=1e4, description="exposure compensation: factor applied to the light at the end"
    )

    def reach_px(self, frame: Frame) -> int | None:
        return DEMOSAIC_REACH_PX[self.demosaic]

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        raw = frame.raw
        if raw is None:
            raise InvalidValueError(
                "A RAW frame needs its metadata (black and white in DN), got none.",
                fix="Give Frame(raw=RawMetadata(...)).",
            )
        parameters = DevelopParameters(
            black_dn=raw.black_dn,
            white_dn=raw.white_dn,
            mosaic=np.array([mosaic_code(m) for m in raw.mosaic]),
            demosaic=np.array([DEMOSAICS.index(step.demosaic) for step in steps]),
            white_balance=raw.white_balance,
            color_matrix=raw.color_matrix,
            gain=np.array([step.gain for step in steps]),
            clip=np.minimum(raw.saturation * raw.white_balance.min(axis=1), 1.0),
        )
        image = for_array(frame.image).develop(frame.image, parameters, origin_px=frame.origin_px)
        return frame.with_image(image, Encoding.LINEAR, raw=None)
