"""Light beyond white where a source is clipped, as a constant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self, final

from pydantic import Field

from blursynth.core import Degradation
from blursynth.frame import Frame, per_picture

__all__ = ["HighlightOffset"]


@final
class HighlightOffset(Degradation):
    """``x + offset`` where a channel is clipped, ``x >= threshold``: lamps regain some of their light beyond white.

    In the RSBlur pipeline, the offset is uniform in .25 to 1.75. There, the mask of clipped pixels is blurred and added
    to the blurred picture, which is equivalent, since blur is linear. Channels are treated one by one, so a lamp that
    is clipped in one color becomes more saturated.

    Compared with HDR photographs, an offset of 1 improves blurred pictures by 1 to 6 dB where there are lamps, and
    makes them worse where an overcast sky is clipped (BENCHMARKS.md, Light).

    The target passes through it, too, although it only matters for the blur: without blur, both pictures must be equal,
    and both clip at the same white later on, in the sensor or when they are encoded.

    For frames that are already linear, recipes skip this step, since HDR sources contain their highlights.

    Not modeled: the brightness of each lamp, which a clipped picture does not contain; smooth highlights.

    Easily confused: a gain on the whole picture that is clipped afterwards is an :class:`~blursynth.kinds.Exposure`.

    Source: Rim et al., "Realistic Blur Synthesis for Learning Image Deblurring", ECCV 2022.
    """

    in_target: ClassVar[bool] = True
    makes_light: ClassVar[bool] = True

    offset: float = Field(
        ge=0, le=1e4, examples=[1.0], description="light added where the source is clipped; .25 to 1.75 in RSBlur"
    )
    threshold: float = Field(
        default=1.0, gt=0, le=1, description="light from which on a channel counts as clipped; .95 for JPEG files"
    )

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        if all(step.offset == 0 for step in steps):
            return frame
        image = frame.image
        clipped = image >= per_picture([step.threshold for step in steps], image)
        return frame.with_image(image + clipped * per_picture([step.offset for step in steps], image))
