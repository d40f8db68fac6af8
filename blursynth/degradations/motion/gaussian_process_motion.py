"""Camera motion as a smooth random path."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.degradations.motion.motion_blur import MotionBlur
from blursynth.physics.trajectory import gaussian_process

__all__ = ["GaussianProcessMotion"]


class GaussianProcessMotion(MotionBlur):
    """A smooth random path: x and y are Gaussian processes with Matern-5/2 covariance.

    ``cov = sigma_px^2 (1 + q + q^2 / 3) exp(-q)``, ``q = sqrt(5) |s - t| / correlation_time``.

    Source: deepinv's MotionBlurGenerator has it so; Rasmussen and Williams, "Gaussian processes for machine
    learning", 2006.
    """

    sigma_px: float = Field(
        ge=0, le=500, examples=[5.0], description="standard deviation of the position along each axis in px"
    )
    correlation_time: float = Field(
        default=0.3, ge=0.01, le=100, description="memory of the path as a fraction of the exposure; small is tangled"
    )
    samples: int = Field(default=501, ge=2, le=10_000, description="number of positions on the path")
    seed: int = Field(ge=0, lt=2**63, description="seed of this sample's path")

    def path(self) -> NDArray[np.float64]:
        return gaussian_process(self.sigma_px, self.correlation_time, seed=self.seed, samples=self.samples)
