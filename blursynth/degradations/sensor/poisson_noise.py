"""Poisson noise of a picture's own numbers, as the super-resolution literature adds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import Degradation, in_groups
from blursynth.frame import Frame, per_picture

__all__ = ["PoissonNoise"]

_LUMA = (0.299, 0.587, 0.114)


class PoissonNoise(Degradation):
    """``y = x + scale (P(peak x) / peak - x)``, P a Poisson count of that mean: noise that grows with the signal.

    With ``gray`` the noise is that of the luma (.299, .587, .114) and the same in all channels. Keyed by absolute
    pixel. Negative x count as 0. Nothing is clipped, and the counts have no derivative.

    Easily confused: ``scale`` multiplies the noise, so its variance is ``scale^2 x / peak``; only with 1 are these
    counts of anything. A camera's shot noise is that of :class:`~blursynth.kinds.Sensor`, in electrons.

    Not modeled: read noise, saturation. The target has no noise.
    """

    peak: float = Field(gt=0, le=1e7, examples=[200.0], description="counts at white; published 256, or 100 to 10,000")
    scale: float = Field(default=1.0, ge=0, le=100, description="what the noise is multiplied by; published .05 to 3")
    gray: bool = Field(default=False, description="whether all channels have the same noise, that of their luma")
    seed: int = Field(ge=0, lt=2**63, description="seed of this sample's noise")

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        def noisy(alike: Sequence[Self], part: Frame) -> Frame:
            light = _luma(part.image) if alike[0].gray else part.image
            peak, scale = (per_picture([getattr(step, name) for step in alike], light) for name in ("peak", "scale"))
            seed = np.array([step.seed for step in alike], np.uint64)
            counts = for_array(light).poisson((light * peak).clip(0), seed, origin_px=part.origin_px)
            return part.with_image(part.image + scale * (counts / peak - light.clip(0)))

        return in_groups(steps, frame, lambda step: step.gray, noisy)


def _luma(image: Any) -> Any:
    """``[B, 1, H, W]``; the mean where there are not three channels."""
    weights = _LUMA if image.shape[1] == 3 else (1.0 / image.shape[1],) * image.shape[1]
    return sum(weight * image[:, c : c + 1] for c, weight in enumerate(weights))
