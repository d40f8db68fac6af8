"""Depth of the ground and a sky."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.degradations.scene.scene_depth import SceneDepth, view_of
from blursynth.frame import Frame
from blursynth.physics.surfaces import ground_depth_m
from blursynth.physics.warps import principal_point_px

__all__ = ["GroundDepth"]


class GroundDepth(SceneDepth):
    """The depth of flat ground below a horizon, and of a far sky above it: ``1/Z = cos(pitch) (y - horizon) / height``.

    The angle of view comes from the frame's camera.

    Not modeled: objects that stand on the ground.
    """

    camera_height_m: float = Field(
        gt=0, le=10_000, examples=[1.6], description="height of the camera above the ground, about 1.6"
    )
    horizon: float = Field(
        default=0.45, ge=-10, le=10, description="position of the horizon in the full picture, 0 = top, 1 = bottom"
    )
    far_m: float = Field(default=1000.0, gt=0, le=1_000_000, description="depth of the sky, and limit of the ground's")

    def check(self, frame: Frame) -> None:
        self._view(frame)

    def surfaces(self, frame: Frame) -> tuple[NDArray[np.floating], NDArray[np.int32] | None]:
        y, _ = self._view(frame)
        camera, full = frame.camera[0], frame.full_size_px[0]
        row = self.horizon * float(full[0]) - 0.5
        horizon_y = (row - principal_point_px(camera, full)[0]) / camera.focal_length_px
        return ground_depth_m(y, frame.size_px[1], self.camera_height_m, horizon_y, self.far_m), None

    def _view(self, frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return view_of(frame, kind=self.kind, why="How fast the ground recedes depends on the angle of view.")
