"""Additive Gaussian noise of one strength everywhere, as most of the literature adds it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import Degradation, ShortExposure, other_seed
from blursynth.frame import Frame, array_library, per_picture

__all__ = ["GaussianNoise"]


class GaussianNoise(Degradation):
    """``y = x + sigma (sqrt(1 - correlation) n_c + sqrt(correlation) m)``, with n and m standard normal in every pixel.

    m is the same in all channels, so ``correlation`` is the correlation of the channels: with 0 each has its own noise,
    with 1 all have the same (gray noise). The noise is keyed by the absolute pixel. Nothing is clipped.

    Easily confused: ``sigma`` is a fraction of white; 25 "of 255" is .098. The noise of a camera depends on the light
    (:class:`~blursynth.kinds.Sensor`): networks trained on this one gain less on real photographs.

    Not modeled: anything physical. The target has no noise.
    """

    sigma: float = Field(
        ge=0, le=10, examples=[0.05], description="standard deviation as a fraction of white; published .004 to .12"
    )
    correlation: float = Field(
        default=0.0, ge=0, le=1, description="correlation of the noise of different channels; 0 colored, 1 gray"
    )
    seed: int = Field(ge=0, lt=2**63, description="seed of this sample's noise")

    def short_exposure(self, exposure: ShortExposure) -> Degradation:
        if exposure.noise == 0:
            return self.target()
        return self.replace(sigma=exposure.noise * self.sigma, seed=other_seed(self.seed))

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        image = frame.image
        seed = np.array([step.seed for step in steps], np.uint64)
        correlation = [step.correlation for step in steps]
        # Channel 0 of the noise is the shared one, the others follow: the noise of a step does not depend on the batch.
        channels = 1 if all(c == 1 for c in correlation) else 1 + frame.channels
        library: Any = array_library(image)
        dark = library.zeros((len(frame), channels, *frame.size_px), dtype=image.dtype, device=image.device)
        noise = for_array(dark).gaussian_noise(dark, np.ones(len(frame)), seed, origin_px=frame.origin_px)
        shared = per_picture([step.sigma * math.sqrt(step.correlation) for step in steps], image)
        total = image + shared * noise[:, :1]
        if channels > 1:
            own = per_picture([step.sigma * math.sqrt(1.0 - step.correlation) for step in steps], image)
            total = total + own * noise[:, 1:]
        return frame.with_image(total)
