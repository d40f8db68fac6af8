"""Camera motion at constant acceleration."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.degradations.motion.motion_blur import MotionBlur
from blursynth.physics.trajectory import constant_acceleration

__all__ = ["AcceleratedMotion"]


class AcceleratedMotion(MotionBlur):
    """A parabola: ``x(t) = v t + a t^2 / 2``, t from 0 to 1 over the exposure.

    Acceleration along the velocity brightens one end of a line; acceleration across it bends the line.
    """

    speed_px: float = Field(ge=0, le=2000, examples=[10.0], description="speed at the start in px per exposure")
    angle_deg: float = Field(
        default=0.0, ge=-360, le=360, description="direction of the velocity, 0 = right, 90 = down"
    )
    acceleration_px: float = Field(
        ge=0, le=4000, examples=[12.0], description="acceleration in px per exposure squared"
    )
    acceleration_angle_deg: float = Field(
        default=90.0, ge=-360, le=360, description="direction of the acceleration, 0 = right, 90 = down"
    )

    def path(self) -> NDArray[np.float64]:
        angle, turn = math.radians(self.angle_deg), math.radians(self.acceleration_angle_deg)
        return constant_acceleration(
            (self.speed_px * math.cos(angle), self.speed_px * math.sin(angle)),
            (self.acceleration_px * math.cos(turn), self.acceleration_px * math.sin(turn)),
        )
