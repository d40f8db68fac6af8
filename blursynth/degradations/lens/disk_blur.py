"""Round defocus of one size over the whole picture."""

from __future__ import annotations

from pydantic import Field

from blursynth.degradations.lens.uniform_blur import UniformBlur
from blursynth.physics import point_spread
from blursynth.physics.point_spread import PointSpreads

__all__ = ["DiskBlur"]


class DiskBlur(UniformBlur):
    """Defocus of a round aperture: a disk of constant weight, every pixel weighted by its exact area inside it.

    Easily confused: ``diameter_px`` is the circle of confusion, a diameter, not a radius.

    Not modeled: depth (one size everywhere), diffraction, aberrations.
    """

    diameter_px: float = Field(ge=0, le=1000, examples=[10.0], description="circle of confusion in px")

    def make_point_spread(self) -> PointSpreads:
        return point_spread.disk(self.diameter_px / 2)
