"""The exposure time relative to the metered time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import Field

from blursynth.core import Degradation
from blursynth.frame import Frame, per_picture

__all__ = ["Exposure"]


class Exposure(Degradation):
    """Light gathered in ``exposure_s``: ``x exposure_s / metered_s``.

    The metered time leaves white unchanged; half of it gives half the light, one stop less. By default, the exposure is
    as metered. A short and a long exposure of the same scene differ only in ``exposure_s``. A
    :class:`~blursynth.kinds.Develop` step with ``gain`` brightens it again.

    Other steps can refer to ``exposure_s``, so that a longer exposure moves farther and gathers more electrons:
    ``length_px = { product = ["exposure.exposure_s", { log_uniform = [50, 400] }] }``.

    The target has the same exposure.

    Not modeled: reciprocity failure, flicker of lamps, the time that a shutter takes to open.
    """

    in_target: ClassVar[bool] = True

    exposure_s: float = Field(
        gt=0, le=3600, examples=[0.02], description="time in s for which the shutter is open; 1/1000 to 1/4 in the hand"
    )
    metered_s: float | None = Field(
        default=None,
        gt=0,
        le=3600,
        description="time in s that exposes the picture as it is; by default exposure_s",
    )

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        ratios = [step.exposure_s / (step.metered_s or step.exposure_s) for step in steps]
        if all(ratio == 1 for ratio in ratios):
            return frame
        return frame.with_image(frame.image * per_picture(ratios, frame.image))
