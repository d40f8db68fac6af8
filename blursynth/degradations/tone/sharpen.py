"""The sharpening of a camera or an editor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar, Self

from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import Degradation
from blursynth.degradations.tone.luma import demand_gray_or_rgb, luma_of
from blursynth.frame import Border, Encoding, Frame, per_picture
from blursynth.physics import point_spread
from blursynth.physics.point_spread import PointSpreads

__all__ = ["Sharpen"]


class Sharpen(Degradation):
    """Unsharp mask on the luma of an encoded picture: ``x + clamp(amount soft(Y - G Y))``, the same in all channels.

    Y is the luma .299 R + .587 G + .114 B, G a Gaussian of ``sigma_px``. ``soft(d)`` reduces the magnitude of d by
    ``threshold_codes``, so that noise below it is not sharpened; the change is at most ``limit_codes``, so that halos
    at strong edges stay small. The result is clipped to 0..1.

    The target does not pass through it: halos and amplified noise are to be restored.

    Codes are not rounded again. A camera computes with more bits than its files have, and the following JPEG or WebP
    step or file rounds once. For a finely quantized input, use an encode step with more bits.

    Gray or RGB. Tensors keep their device and have a derivative.

    Easily confused: ``amount`` 1 is what editors call 100 %. The scale of the halo is ``sigma_px``, which editors call
    radius.

    Not modeled: sharpening that follows edges, deconvolution in the camera, dark and light halos of different strength.
    """

    takes: ClassVar[Encoding | None] = Encoding.DISPLAY
    gives: ClassVar[Encoding | None] = Encoding.DISPLAY

    sigma_px: float = Field(
        gt=0, le=50, examples=[1.0], description="standard deviation of the mask's Gaussian in px; .5 to 2"
    )
    amount: float = Field(
        ge=0, le=20, examples=[1.0], description="share of the difference that is added; .3 to 1.5 in phones"
    )
    threshold_codes: float = Field(
        default=0.0, ge=0, le=255, description="differences in codes of 255 that are treated as noise; 0 to 4"
    )
    limit_codes: float = Field(
        default=255.0, gt=0, le=255, description="largest change of a pixel's luma, in codes of 255; 10 to 40"
    )

    def reach_px(self, frame: Frame) -> int | None:
        return int(_gaussian(self.sigma_px).reach_px()[0])

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        image = frame.image
        demand_gray_or_rgb("Sharpening", frame)
        luma = luma_of(image) if frame.channels == 3 else image
        psf = PointSpreads.concatenate([_gaussian(step.sigma_px) for step in steps])
        detail = luma - for_array(luma).convolve(luma, psf, border=Border.REFLECT)
        if any(step.threshold_codes > 0 for step in steps):
            threshold = per_picture([step.threshold_codes / 255.0 for step in steps], image)
            detail = detail - detail.clip(-threshold, threshold)
        limit = per_picture([step.limit_codes / 255.0 for step in steps], image)
        change = (detail * per_picture([step.amount for step in steps], image)).clip(-limit, limit)
        if frame.channels == 1:
            return frame.with_image((image + change).clip(0, 1))
        return frame.with_image(for_array(image).change_luma_chroma(image, change))


@lru_cache(maxsize=512)
def _gaussian(sigma_px: float) -> PointSpreads:
    return point_spread.gaussian(sigma_px)
