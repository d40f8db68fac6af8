"""Defocus of an aperture with straight blades."""

from __future__ import annotations

import math

from pydantic import Field

from blursynth.degradations.lens.uniform_blur import UniformBlur
from blursynth.physics import point_spread
from blursynth.physics.point_spread import PointSpreads

__all__ = ["PolygonBlur"]


class PolygonBlur(UniformBlur):
    """Defocus of a stopped-down lens: a regular polygon of constant weight, area-exact per pixel.

    Not modeled: curved blades, depth, diffraction.
    """

    diameter_px: float = Field(
        ge=0, le=1000, examples=[12.0], description="diameter in px of the circle through the polygon's corners"
    )
    blades: int = Field(default=6, ge=3, le=32, description="number of blades of the aperture; typically 5 to 9")
    angle_deg: float = Field(default=0.0, description="direction of the first corner, 0 = right, 90 = down")

    def make_point_spread(self) -> PointSpreads:
        return point_spread.polygon(self.diameter_px / 2, self.blades, math.radians(self.angle_deg))
