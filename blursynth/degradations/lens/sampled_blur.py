"""The kernels of the super-resolution literature: formulas sampled at pixel centers, on a square."""

from __future__ import annotations

import math

from pydantic import Field

from blursynth.degradations.lens.uniform_blur import UniformBlur
from blursynth.physics import sampled_kernels
from blursynth.physics.point_spread import PointSpreads

__all__ = ["GeneralizedGaussianBlur", "PlateauBlur", "SincBlur"]


class SampledBlur(UniformBlur):
    """The kernel is truncated to a square of odd size and scaled to a sum of 1, as in the publications."""

    def model_post_init(self, context: object) -> None:
        size_px = getattr(self, "size_px", 1)  # a field of each kind, after its others
        if size_px % 2 == 0:
            raise ValueError(f"size_px must be odd, got {size_px}; an even kernel has no center pixel.")


class GeneralizedGaussianBlur(SampledBlur):
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

    def make_point_spread(self) -> PointSpreads:
        across = self.sigma_px if self.sigma_across_px is None else self.sigma_across_px
        return sampled_kernels.generalized_gaussian(
            self.sigma_px, across, math.radians(self.angle_deg), self.shape, self.size_px
        )


class PlateauBlur(SampledBlur):
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

    def make_point_spread(self) -> PointSpreads:
        across = self.sigma_px if self.sigma_across_px is None else self.sigma_across_px
        return sampled_kernels.plateau(self.sigma_px, across, math.radians(self.angle_deg), self.shape, self.size_px)


class SincBlur(SampledBlur):
    """``k(r) ~ w J1(w r) / (2 pi r)`` with w = ``cutoff_rad_per_px``: an ideal circular low-pass, cut to a square.

    It rings and overshoots, as careless resizing and sharpening do. The kernel is truncated to a square of ``size_px``
    and scaled to a sum of 1. It has negative taps, so values can become negative or exceed white beside edges. That is
    its purpose, and why it is not physical. Steps that count electrons treat negative light as 0.

    Easily confused with the Airy disk (:class:`~blursynth.kinds.AiryBlur`), the square of such a function, which
    describes diffraction and is never negative.

    Source: Real-ESRGAN (Wang et al., ICCV Workshops 2021), for ringing and overshoot artifacts.
    """

    cutoff_rad_per_px: float = Field(
        ge=0.05,
        le=6.3,
        examples=[1.5],
        description="highest frequency that passes in rad/px; published pi/5 or pi/3 to pi",
    )
    size_px: int = Field(
        default=21, ge=1, le=501, description="odd height and width of the kernel; published 7 to 21, 1 is none"
    )

    def make_point_spread(self) -> PointSpreads:
        return sampled_kernels.low_pass(self.cutoff_rad_per_px, self.size_px)
