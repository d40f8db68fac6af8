"""The noise reduction of a camera."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import Degradation, ShortExposure
from blursynth.degradations.tone.luma import demand_gray_or_rgb
from blursynth.frame import Encoding, Frame

__all__ = ["Denoise"]

_REACH_IN_RADII = 3  # the mean, the contrast of what it leaves, and the mean of both


class Denoise(Degradation):
    """Smoothing that keeps edges, of luma and, more strongly, of chroma, as phones do after demosaicking.

    Each of Y, B - Y and R - Y passes through a guided filter with itself as the guide. In a square window of the
    radius, with m its mean and v the mean square of ``x - m``, the share ``s = c^2 / (c^2 + v)`` of the difference from
    the mean is removed, with c the strength; all windows that contain a pixel are averaged: ``y = x + E[s m] - E[s]
    x``. A difference as large as the strength is halved; smaller ones, noise and texture alike, are smoothed, edges are
    kept.

    It leaves the same traces as phones: correlated noise, smeared fine texture, grain along edges, and colors that
    bleed a little where they differ by less than ``chroma_codes``. The target does not pass through it, so that a
    network learns to restore this. In a short exposure, its strengths are as much smaller as the noise is.

    Codes are not rounded again. A camera computes with more bits than its files have, and the following JPEG or WebP
    step or file rounds once. For a finely quantized input, use an encode step with more bits. The result is clipped to
    0..1.

    Gray or RGB; the chroma fields have no effect on gray pictures. Tensors keep their device and have a derivative.

    Not modeled: smoothing over several exposures, non-local means, networks; strength that depends on the ISO
    (draw it with the parameters of the sensor).

    Source: He, Sun and Tang, "Guided Image Filtering", IEEE TPAMI 35(6), 2013; the contrast is that of Lee, IEEE TPAMI
    2(2), 1980, but after subtracting the means of the windows, so that slopes count as flat.
    """

    takes: ClassVar[Encoding | None] = Encoding.DISPLAY
    gives: ClassVar[Encoding | None] = Encoding.DISPLAY

    luma_codes: float = Field(
        ge=0,
        le=128,
        examples=[6.0],
        description="contrast of luma, in codes of 255, that is halved; 1 to 10, 0 is off",
    )
    chroma_codes: float = Field(
        ge=0,
        le=128,
        examples=[20.0],
        description="the same of the color differences B - Y and R - Y; 3 to 30, 0 is off",
    )
    luma_radius_px: int = Field(default=2, ge=1, le=32, description="half width of the luma's window in px; 1 to 4")
    chroma_radius_px: int = Field(default=4, ge=1, le=32, description="half width of the chroma's window in px; 2 to 8")

    def short_exposure(self, exposure: ShortExposure) -> Degradation:
        if exposure.noise == 0:
            return self.target()
        weaker = {name: exposure.noise * getattr(self, name) for name in ("luma_codes", "chroma_codes")}
        return self.replace(**weaker)

    def reach_px(self, frame: Frame) -> int | None:
        radii = [self.luma_radius_px] if self.luma_codes > 0 else []
        if self.chroma_codes > 0 and frame.channels == 3:
            radii.append(self.chroma_radius_px)
        return _REACH_IN_RADII * max(radii, default=0)

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        demand_gray_or_rgb("Noise reduction", frame)
        image, backend = frame.image, for_array(frame.image)
        codes = np.array([[step.luma_codes, step.chroma_codes, step.chroma_codes] for step in steps])
        radii_px = np.array([[step.luma_radius_px, step.chroma_radius_px, step.chroma_radius_px] for step in steps])
        if frame.channels == 1:
            change = backend.self_guided(image, codes[:, :1] / 255.0, radii_px[:, :1])
            return frame.with_image((image + change).clip(0, 1))
        change = backend.self_guided(backend.luma_chroma(image), codes / 255.0, radii_px)
        return frame.with_image(backend.change_luma_chroma(image, change))
