"""Base of all camera motions with one path for the whole picture."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import Degradation, ShortExposure
from blursynth.degradations.lens.uniform_blur import UniformBlur
from blursynth.physics.point_spread import PointSpreads

__all__ = ["MotionBlur"]


class MotionBlur(UniformBlur):
    """Motion of the camera while the shutter is open, the same for every pixel.

    The point spread is the path of a point of light, rasterized exactly and centered: the mean position over the
    exposure lies at zero shift, where the sharp target has the scene.

    A short exposure sees the part of the same path in the middle of the exposure, and has full light.

    Not modeled: roll, depth and the camera's perspective, which make the path differ from pixel to pixel.
    """

    exposure_fraction: float = Field(
        default=1.0, gt=0, le=1, description="part of the path's time during which the shutter is open, from its start"
    )
    unit_sum: bool = Field(
        default=True,
        description="whether the point spread sums to 1; if not, to the part of the path's time during which light "
        "arrives: a shorter exposure is darker",
    )
    shutter_fraction: float = Field(
        default=1.0, gt=0, le=1, description="part of the exposure, in its middle, during which light arrives"
    )

    @abstractmethod
    def path(self) -> NDArray[np.float64]:
        """``[N, 2]``, x (right) and y (down) in px, not yet centered; at equal times or those of :meth:`durations`."""

    def durations(self) -> NDArray[np.float64] | None:
        """``[N - 1]`` time spent between positions; None when all are equal."""
        return None

    def make_point_spread(self) -> PointSpreads:
        path = self.path()
        closed = 0.5 * (1.0 - self.shutter_fraction) * self.exposure_fraction
        exposure = (closed, self.exposure_fraction - closed)
        return for_array(path).rasterize(path, self.durations(), exposure=exposure, unit_sum=self.unit_sum)

    def short_exposure(self, exposure: ShortExposure) -> Degradation:
        if exposure.fraction == 0:
            return self.target()
        return self.replace(shutter_fraction=exposure.fraction * self.shutter_fraction, unit_sum=True)
