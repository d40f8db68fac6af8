"""Poisson noise of the values of a picture, as the super-resolution literature adds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import Degradation, ShortExposure, in_groups, other_seed
from blursynth.degradations.tone.luma import luma_of
from blursynth.frame import Frame, per_picture

__all__ = ["PoissonNoise"]


class PoissonNoise(Degradation):
    """``y = x + scale (P(peak x) / peak - x)``, P a Poisson count with that mean: noise grows with the signal.

    With ``gray``, the noise is that of the luma (.299, .587, .114) and is the same in all channels. It is keyed by the
    absolute pixel. Negative x count as 0. Nothing is clipped, and the counts have no derivative.

    Easily confused: ``scale`` multiplies the noise, so its variance is ``scale^2 x / peak``; these are counts only with
    a scale of 1. The shot noise of a camera is that of :class:`~blursynth.kinds.Sensor`, in electrons.

    Not modeled: read noise, saturation. The target has no noise.
    """

    peak: float = Field(gt=0, le=1e7, examples=[200.0], description="counts at white; published 256, or 100 to 10,000")
    scale: float = Field(default=1.0, ge=0, le=100, description="factor on the noise; published .05 to 3")
    gray: bool = Field(default=False, description="whether all channels have the same noise, that of their luma")
    seed: int = Field(ge=0, lt=2**63, description="seed of this sample's noise")

    def short_exposure(self, exposure: ShortExposure) -> Degradation:
        if exposure.noise == 0:
            return self.target()
        return self.replace(scale=exposure.noise * self.scale, seed=other_seed(self.seed))

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        def noisy(alike: Sequence[Self], part: Frame) -> Frame:
            light = luma_of(part.image) if alike[0].gray else part.image
            peak, scale = (per_picture([getattr(step, name) for step in alike], light) for name in ("peak", "scale"))
            seed = np.array([step.seed for step in alike], np.uint64)
            counts = for_array(light).poisson((light * peak).clip(0), seed, origin_px=part.origin_px)
            return part.with_image(part.image + scale * (counts / peak - light.clip(0)))

        return in_groups(steps, frame, lambda step: step.gray, noisy)
