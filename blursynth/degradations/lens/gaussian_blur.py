"""Gaussian point spread: the softness of a lens, or a defocus of no particular shape."""

from __future__ import annotations

import math

from pydantic import Field

from blursynth.degradations.lens.uniform_blur import UniformBlur
from blursynth.physics import point_spread
from blursynth.physics.point_spread import PointSpreads

__all__ = ["GaussianBlur"]


class GaussianBlur(UniformBlur):
    """Gaussian blur, integrated over each pixel, round or elongated.

    ``k(u, v) ~ exp(-(u^2 / sigma_px^2 + v^2 / (aspect sigma_px)^2) / 2)`` with u along ``angle_deg``. The variance is
    that of the Gaussian plus 1/12 px^2 from .5 px on; below about .3 px there is almost no blur (see
    :func:`blursynth.physics.point_spread.gaussian`).

    Easily confused with sampling the Gaussian at pixel centers, which is too sharp for sigma below 1 px.
    """

    sigma_px: float = Field(
        ge=0,
        le=500,
        examples=[2.0],
        description="standard deviation along the long axis in px; .4 to .8 for a good lens",
    )
    aspect: float = Field(default=1.0, gt=0, le=1, description="short over long standard deviation; 1 is round")
    angle_deg: float = Field(default=0.0, description="direction of the long axis, 0 = right, 90 = down")

    def make_point_spread(self) -> PointSpreads:
        return point_spread.gaussian(self.sigma_px, self.sigma_px * self.aspect, math.radians(self.angle_deg))
