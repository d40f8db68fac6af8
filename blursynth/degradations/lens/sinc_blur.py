"""The circular low-pass filter: ringing and overshoot, as caused by careless resizing and sharpening."""

from __future__ import annotations

from pydantic import Field

from blursynth.degradations.lens.uniform_blur import UniformBlur
from blursynth.physics import sampled_kernels
from blursynth.physics.point_spread import PointSpreads

__all__ = ["SincBlur"]


class SincBlur(UniformBlur):
    """``k(r) ~ w J1(w r) / (2 pi r)`` with w = ``cutoff_rad_per_px``: an ideal circular low-pass, cut to a square.

    The kernel is truncated to a square of ``size_px`` and scaled to a sum of 1. It has negative taps, so values can
    become negative or exceed white beside edges. That is its purpose, and why it is not physical. Steps that count
    electrons treat negative light as 0.

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

    def model_post_init(self, context: object) -> None:
        if self.size_px % 2 == 0:
            raise ValueError(f"size_px must be odd, got {self.size_px}; an even kernel has no center pixel.")

    def make_point_spread(self) -> PointSpreads:
        return sampled_kernels.low_pass(self.cutoff_rad_per_px, self.size_px)
