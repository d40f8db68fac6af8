"""Light beyond white where a source is bright, as a smooth expansion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self, final

import numpy as np
from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import Degradation
from blursynth.errors import InvalidValueError
from blursynth.frame import Frame, array_library, per_picture

__all__ = ["HighlightExpansion"]


@final
class HighlightExpansion(Degradation):
    """``x ((1 - k) + k peak)`` with ``k = clip((m - threshold) / (1 - threshold), 0, 1) ** exponent``.

    ``measure`` selects m: the luminance (.2126 R + .7152 G + .0722 B), as published; the largest channel, which also
    finds lamps of one color, but turns every saturated color into a lamp; or each channel separately, which makes lamps
    of one color purer (visible also in the sharp picture after a sensor's color matrix). With the first two, the
    channels keep their ratio and the hue is unchanged. White becomes ``peak``; from the threshold on, the brightness
    rises smoothly to it, and above white it is multiplied by ``peak``.

    Landis used exponent 2 and threshold .5, with peaks of thousands, to turn photographs into light sources. Compared
    with HDR photographs, luminance from .95 on with a peak of 2 improves blurred pictures by up to 6 dB where there are
    lamps. From .5 on, or with the largest channel, it turns walls and saturated colors into lamps; a peak of 10 is
    mostly worse than none, and under an overcast sky any peak is (BENCHMARKS.md, Light).

    The target passes through it, too, although it only matters for the blur: without blur, both pictures must be equal,
    and both clip at the same white later on, in the sensor or when they are encoded. What lies between the threshold
    and white becomes brighter in both.

    For frames that are already linear, recipes skip this step, since HDR sources contain their highlights.

    Not modeled: which bright surfaces are lamps and which are white paper.

    Source: Landis, "Production-Ready Global Illumination", SIGGRAPH course notes 16, 2002, in the form of Banterle et
    al., "Advanced High Dynamic Range Imaging", and their HDR Toolbox.
    """

    in_target: ClassVar[bool] = True
    makes_light: ClassVar[bool] = True

    peak: float = Field(ge=1, le=1e4, examples=[20.0], description="light of white in the source; 2 to 3")
    measure: Literal["luminance", "largest", "channel"] = Field(
        default="luminance",
        description="measure of brightness: luminance, largest channel, or each channel",
    )
    threshold: float = Field(default=0.95, ge=0, le=0.999, description="light at which the expansion begins; .9 to .98")
    exponent: int = Field(default=2, ge=1, le=8, description="steepness of the expansion towards white; 2 as published")

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        if all(step.peak == 1 for step in steps):
            return frame
        image = frame.image
        peak, threshold = (
            per_picture([getattr(step, name) for step in steps], image) for name in ("peak", "threshold")
        )
        measures = {step.measure for step in steps}
        if "luminance" in measures and frame.channels not in (1, 3):
            raise InvalidValueError(
                f"The luminance needs pictures of 1 or 3 channels, got {frame.channels}.",
                fix="Use measure='largest', or 'channel'.",
            )
        # Most windows hold nothing so bright. Of a tensor this is not asked: it may be on a device, which would wait.
        if isinstance(image, np.ndarray) and not bool((image > threshold).any()):
            return frame
        brightness: Any = 0
        for measure in sorted(measures):
            share_of = _brightness(image, measure)
            if len(measures) > 1:
                share_of = share_of * per_picture([step.measure == measure for step in steps], image)
            brightness = brightness + share_of if len(measures) > 1 else share_of
        if isinstance(image, np.ndarray) and not bool((brightness > threshold).any()):
            return frame
        base = ((brightness - threshold) / (1 - threshold)).clip(0, 1)
        # By products: a library's power may give other bits for another shape of the array.
        share = base
        for power in range(2, max(step.exponent for step in steps) + 1):
            goes_on = per_picture([step.exponent >= power for step in steps], image)
            share = share * (1 + goes_on * (base - 1))
        return frame.with_image(image * (1 + share * (peak - 1)))


def _brightness(image: Any, measure: str) -> Any:
    """``[B, 1 or C, H, W]``."""
    if measure == "channel" or image.shape[1] == 1:
        return image
    if measure == "largest":
        library: Any = array_library(image)
        return library.amax(image, axis=1, keepdims=True)
    return for_array(image).weighted_sum(image, (0.2126, 0.7152, 0.0722))
