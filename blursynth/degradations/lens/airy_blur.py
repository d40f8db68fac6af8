"""Diffraction at a round aperture."""

from __future__ import annotations

from pydantic import Field

from blursynth.degradations.lens.uniform_blur import UniformBlur
from blursynth.physics import point_spread
from blursynth.physics.point_spread import PointSpreads

__all__ = ["AiryBlur"]


class AiryBlur(UniformBlur):
    """The diffraction limit: Airy's pattern of a round aperture at one wavelength, integrated over each pixel.

    ``k(r) ~ (2 J1(v) / v)^2``, ``v = pi r / (wavelength f_number)``; the first dark ring has the radius
    1.22 wavelength f_number.

    Not modeled: aberrations, the width of the spectrum.
    """

    f_number: float = Field(gt=0, le=256, examples=[16.0], description="focal length / aperture diameter")
    wavelength_nm: float = Field(
        default=550.0, ge=200, le=2000, description="wavelength of the light in nm; green is 550"
    )
    pixel_pitch_um: float = Field(
        default=1.4, gt=0, le=100, description="distance of pixel centers in um; 1.4 in a phone"
    )

    def make_point_spread(self) -> PointSpreads:
        return point_spread.airy(self.f_number, self.wavelength_nm, self.pixel_pitch_um)
