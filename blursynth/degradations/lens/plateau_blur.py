"""The plateau-shaped kernel of the super-resolution literature."""

from __future__ import annotations

import math

from pydantic import Field

from blursynth.degradations.lens.uniform_blur import UniformBlur
from blursynth.physics import sampled_kernels
from blursynth.physics.point_spread import PointSpreads

__all__ = ["PlateauBlur"]


class PlateauBlur(UniformBlur):
    """``k(u, v) ~ 1 / (1 + q^shape)``, ``q = u^2 / sigma_px^2 + v^2 / sigma_across_px^2``, sampled at pixel centers.

    The kernel is truncated to a square of ``size_px`` and scaled to a sum of 1, as published. With a shape of 1, the
    sum of the tails is infinite, so the size determines the width of the blur.

    Not modeled: anything physical; no lens has this law. A flat blur with a rim is :class:`~blursynth.kinds.DiskBlur`.

    Source: BasicSR; Real-ESRGAN (Wang et al., ICCV Workshops 2021).
    """

    sigma_px: float = Field(
        ge=0, le=100, examples=[2.0], description="half width along the angle in px; published .2 to 3, 0 is no blur"
    )
    sigma_across_px: float | None = Field(
        default=None, ge=0, le=100, description="half width across the angle in px; by default the same: round"
    )
    angle_deg: float = Field(default=0.0, ge=-360, le=360, description="direction of sigma_px, 0 = right, 90 = down")
    shape: float = Field(
        default=2.0, ge=0.1, le=20, description="exponent; published 1 to 2, the larger, the steeper the flanks"
    )
    size_px: int = Field(default=21, ge=1, le=501, description="odd height and width of the kernel; published 7 to 21")

    def model_post_init(self, context: object) -> None:
        if self.size_px % 2 == 0:
            raise ValueError(f"size_px must be odd, got {self.size_px}; an even kernel has no center pixel.")

    def make_point_spread(self) -> PointSpreads:
        across = self.sigma_px if self.sigma_across_px is None else self.sigma_across_px
        return sampled_kernels.plateau(self.sigma_px, across, math.radians(self.angle_deg), self.shape, self.size_px)
