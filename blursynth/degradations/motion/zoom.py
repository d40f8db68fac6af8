"""A zoom ring turned during the exposure."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from blursynth.degradations.motion.warp_blur import View, WarpBlur
from blursynth.physics.warps import Warps, principal_point_px, zoom_warps

__all__ = ["Zoom"]


class Zoom(WarpBlur):
    """The focal length changes during the exposure: streaks away from a fixed point.

    The logarithm of the focal length grows linearly, so a point at the distance r from the fixed point draws a line of
    about ``r |log(scale)|``.

    The fixed point is the principal point of the frame's camera, or the middle of the full picture if the frame has
    none, unless it is given.

    Easily confused: a camera that moves forward, where near objects grow faster than far ones (``camera_shake`` with
    ``z_mm``).

    Not modeled: the focus shift of a zoom lens.
    """

    scale: float = Field(
        gt=0.01, le=100, examples=[1.1], description="focal length at the end over that at the start; 1 is no zoom"
    )
    center_row_px: float | None = Field(
        default=None,
        ge=-1e6,
        le=1e6,
        description="row of the fixed point; default the optical axis",
    )
    center_column_px: float | None = Field(
        default=None, ge=-1e6, le=1e6, description="column of the fixed point; default the optical axis"
    )
    centered_on: Literal["mean", "start"] = Field(
        default="mean", description="focal length of the sharp target: the mean of its logarithm, or that at the start"
    )

    def make_warps(self, view: View) -> Warps:
        height, width = view.full_size_px
        row, column = principal_point_px(view.camera, view.full_size_px)
        row = row if self.center_row_px is None else self.center_row_px
        column = column if self.center_column_px is None else self.center_column_px
        top, left = view.origin_px
        return zoom_warps(
            self.scale,
            (row - top, column - left),
            [[-top, -left], [height - 1 - top, width - 1 - left]],
            step_px=self.step_px,
            centered_on=self.centered_on,
            frames=self.frames,
            shutter_fraction=self.shutter_fraction,
        )
