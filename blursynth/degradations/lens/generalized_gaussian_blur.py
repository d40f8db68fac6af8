"""The generalized Gaussian kernel of the super-resolution literature."""

from __future__ import annotations

import math

from pydantic import Field

from blursynth.degradations.lens.uniform_blur import UniformBlur
from blursynth.physics import sampled_kernels
from blursynth.physics.point_spread import PointSpreads

__all__ = ["GeneralizedGaussianBlur"]


class GeneralizedGaussianBlur(UniformBlur):
    """``k(u, v) ~ exp(-q^shape / 2)``, ``q = u^2 / sigma_px^2 + v^2 / sigma_across_px^2``, sampled at pixel centers.

    The kernel is truncated to a square of ``size_px`` and scaled to a sum of 1, as in the publications.

    Easily confused with :class:`~blursynth.kinds.GaussianBlur`, which is integrated over each pixel and not truncated.
    The standard deviation of this kernel is ``sigma_px`` only for shape 1 and a sufficient size.

    Not modeled: anything physical; no lens has this law.

    Source: BasicSR; Real-ESRGAN (Wang et al., ICCV Workshops 2021); with shape 1 BSRGAN (Zhang et al., ICCV 2021).
    """

    sigma_px: float = Field(
        ge=0, le=100, examples=[2.0], description="width along the angle in px; published .2 to 3, 0 is no blur"
    )
    sigma_across_px: float | None = Field(
        default=None, ge=0, le=100, description="width across the angle in px; by default the same: round"
    )
    angle_deg: float = Field(default=0.0, ge=-360, le=360, description="direction of sigma_px, 0 = right, 90 = down")
    shape: float = Field(
        default=1.0, ge=0.1, le=20, description="exponent; 1 is a Gaussian, published .5 (peaked) to 4 (flat)"
    )
    size_px: int = Field(default=21, ge=1, le=501, description="odd height and width of the kernel; published 7 to 25")

    def model_post_init(self, context: object) -> None:
        if self.size_px % 2 == 0:
            raise ValueError(f"size_px must be odd, got {self.size_px}; an even kernel has no center pixel.")

    def make_point_spread(self) -> PointSpreads:
        across = self.sigma_px if self.sigma_across_px is None else self.sigma_across_px
        return sampled_kernels.generalized_gaussian(
            self.sigma_px, across, math.radians(self.angle_deg), self.shape, self.size_px
        )
