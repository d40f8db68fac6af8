"""Light multiplied by a factor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self, final

from pydantic import Field

from blursynth.core import Degradation
from blursynth.frame import Frame, per_picture

__all__ = ["Gain"]


@final
class Gain(Degradation):
    """``x gain``: scales light, for example that of an HDR panorama, whose 1.0 is arbitrary.

    In a recipe ``gain = { meter = [0.5, 0.02, 0.1] }`` puts the median of the picture at .02 to .1 of white. The target
    passes through it, too.

    Easily confused: :class:`~blursynth.kinds.Exposure` scales light by exposure times; ``gain_dn_per_e`` of a sensor is
    its amplification; ``gain`` of a development brightens a picture that already has its noise.
    """

    in_target: ClassVar[bool] = True

    gain: float = Field(gt=0, le=1e9, examples=[0.5], description="factor on the light; .001 to 1000 for HDR files")

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        if all(step.gain == 1 for step in steps):
            return frame
        return frame.with_image(frame.image * per_picture([step.gain for step in steps], frame.image))
