"""Straight camera motion at constant speed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.degradations.motion.motion_blur import MotionBlur
from blursynth.physics.trajectory import straight_line

__all__ = ["LinearMotion"]


class LinearMotion(MotionBlur):
    """A straight line at constant speed: panning, or a car at short exposure."""

    length_px: float = Field(ge=0, le=2000, examples=[12.0], description="distance from end to end in px")
    angle_deg: float = Field(default=0.0, ge=-360, le=360, description="direction, 0 = right, 90 = down")

    def path(self) -> NDArray[np.float64]:
        return straight_line(self.length_px, math.radians(self.angle_deg))
