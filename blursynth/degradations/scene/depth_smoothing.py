"""Smoothing of noisy or quantized depth within surfaces."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import Degradation
from blursynth.errors import InvalidValueError
from blursynth.frame import Deferred, Encoding, Frame, array_library

__all__ = ["DepthSmoothing"]


class DepthSmoothing(Degradation):
    """Removes noise and quantization steps from a measured or estimated depth, but keeps jumps; no pixel is changed.

    Blur is linear in inverse depth, and so is this step. Around every pixel, a plane is fitted to the inverse depths of
    its own surface, and the planes of all surrounding pixels are averaged. A surface ends where the inverse depths of
    neighbors differ by more than ``step``, or by half of it where their colors differ. Linear depth is unchanged.

    Before that, in windows of 5 x 5, single pixels that belong to no surface are assigned to one, and pixels next to a
    jump that have the color of the other side are moved to it, over at most ``snap_px``, so that jumps coincide with
    the edges of the picture. A jump remains a jump, and no value is nearer or farther than the existing ones.

    Put it before the steps that need depth and before any blur, since it uses the colors of the picture. A picture
    without depth is unchanged, so that recipes can continue with a synthetic one. The target gets the same depth.
    Labels are kept.

    ``step`` is a share of the inverse depth: neither the scale of the depth nor the size of the window matters. It
    should be about four times the noise (rms), twice the quantization step, and less than the jumps that matter: 1 / 60
    for whole disparities around 120 px. Smaller differences may be smoothed away.

    Easily confused: ``denoise`` smooths the picture.

    Not modeled: holes (they are filled when a file is read), surfaces that jump without a difference of color where
    the depth is wrong by more than ``snap_px``.

    Source: plane fits over crosses that end at edges, K. Zhang, J. Lu and G. Lafruit, "Cross-based local stereo
    matching using orthogonal integral images", IEEE TCSVT 19(7), 2009, and J. Lu et al., "Cross-based local multipoint
    filtering", CVPR 2012. The mean of what is within a step: J.-S. Lee, "Digital image smoothing and the sigma filter",
    CVGIP 24(2), 1983.
    """

    takes: ClassVar[Encoding | None] = None
    gives: ClassVar[Encoding | None] = None
    in_target: ClassVar[bool] = True
    sets_geometry: ClassVar[bool] = True

    step: float = Field(
        default=0.03,
        ge=0.0001,
        le=0.9,
        description="largest difference of neighbors' inverse depths within a surface, as a share of the nearer one's",
    )
    radius_px: int = Field(
        default=10,
        ge=1,
        le=64,
        description="half width of the fits in px, about half a stair of the depth; 4 to 20",
    )
    color_codes: float = Field(
        default=12.0, ge=0.5, le=128, description="smallest difference of colors that counts, in codes of 255; 5 to 20"
    )
    snap_px: int = Field(
        default=2, ge=0, le=8, description="how far jumps may move to the picture's edges in px; 0 is off"
    )

    def geometry(self, frame: Frame) -> Frame:
        # Later steps only ask for the range of depths, and no value leaves the existing range.
        return frame

    def reach_px(self, frame: Frame) -> int | None:
        if not frame.has_depth:
            return 0
        # Support and mean; the band and every step of the snapping; the plane and the mean of planes.
        before = 4 + self.snap_px + (self.snap_px + 3) * self.snap_px
        return before + 2 * self.radius_px

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        if not frame.has_depth:
            return frame
        if frame.encoding is Encoding.RAW:
            raise InvalidValueError(
                "depth_smoothing takes a linear or a display picture, got a raw one.",
                why="It compares colors, and neighboring pixels of a mosaic have different ones.",
                fix="Put it before the sensor.",
            )
        return frame.with_image(frame.image, depth_m=Deferred(partial(_smooth, steps, frame)))


def _smooth(steps: Sequence[DepthSmoothing], frame: Frame) -> Any:
    depth: Any = frame.depth_m
    image = frame.image
    if not isinstance(depth, np.ndarray):  # which pixels are one surface does not change smoothly
        depth, image = depth.detach(), image.detach()
    backend = for_array(image)
    smooth = backend.smooth_depth(
        1.0 / (depth.astype(np.float64) if isinstance(depth, np.ndarray) else depth.double()),
        backend.srgb_encode(image) if frame.encoding is Encoding.LINEAR else image,
        np.array([step.step for step in steps]),
        np.array([step.radius_px for step in steps], np.int64),
        np.array([step.color_codes / 255.0 for step in steps]),
        np.array([step.snap_px for step in steps], np.int64),
    )
    library: Any = array_library(depth)
    return library.asarray(1.0 / smooth, dtype=depth.dtype)
