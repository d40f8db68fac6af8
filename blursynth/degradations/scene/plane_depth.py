"""Depth of a plane."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.degradations.scene.scene_depth import SceneDepth, view_of
from blursynth.frame import Frame
from blursynth.physics.surfaces import plane_depth_m

__all__ = ["PlaneDepth"]


class PlaneDepth(SceneDepth):
    """The depth of a plane, such as a wall or a table: ``1/Z = (1 - tan(tilt) (x cos(azimuth) + y sin(azimuth))) / D``.

    x and y are tangents of the viewing angle, so a tilted plane needs the frame's camera; a plane without tilt has the
    same depth everywhere and needs no camera.
    """

    distance_m: float = Field(gt=0, le=100_000, examples=[1.5], description="distance along the optical axis in m")
    tilt_deg: float = Field(
        default=0.0,
        ge=0,
        lt=90,
        examples=[60.0],
        description="angle between the optical axis and the plane's normal; 0 is straight on",
    )
    azimuth_deg: float = Field(
        default=0.0,
        ge=-360,
        le=360,
        examples=[90.0],
        description="direction in which a tilted plane recedes, 0 = right, 90 = down",
    )
    far_m: float = Field(
        default=1000.0, gt=0, le=1_000_000, description="largest depth in m, also beyond the plane's horizon"
    )

    def check(self, frame: Frame) -> None:
        if self.tilt_deg != 0:
            self._view(frame)

    def surfaces(self, frame: Frame) -> tuple[NDArray[np.floating], NDArray[np.int32] | None]:
        if self.tilt_deg == 0:
            return np.full(frame.size_px, min(self.distance_m, self.far_m)), None
        y, x = self._view(frame)
        tilt, azimuth = math.radians(self.tilt_deg), math.radians(self.azimuth_deg)
        return plane_depth_m(y, x, self.distance_m, tilt, azimuth, self.far_m), None

    def _view(self, frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return view_of(frame, kind=self.kind, why="How fast a tilted plane recedes depends on the angle of view.")
