"""A measured point spread."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field

from blursynth.core import Degradation, ShortExposure
from blursynth.degradations.lens.uniform_blur import UniformBlur
from blursynth.io import assets
from blursynth.physics import point_spread
from blursynth.physics.point_spread import PointSpreads

__all__ = ["MeasuredBlur"]


class MeasuredBlur(UniformBlur):
    """Blur with a measured kernel, such as the eight camera shakes of Levin et al. (2009).

    The kernel is normalized to a sum of 1 and placed with the pixel nearest to its centroid at zero shift. The
    remaining shift of at most half a pixel is kept, since correcting it would blur the kernel.

    It counts as motion. A kernel does not tell the time, so a short exposure is one moment, whatever its fraction.

    In a recipe: ``kernel = { file = "kernel.npy" }`` or ``kernel = { files = "kernels/*.npy" }`` for one of several.
    """

    kernel: str = Field(pattern=r"^sha256:[0-9a-f]{64}$", description="name of the kernel's array, sha256:...")

    turn_180: bool = Field(
        default=False, description="rotate the kernel by 180 degrees, for files that store it for correlation"
    )

    @classmethod
    def example(cls) -> Self:
        """A shake that turns back, in 7 x 7 px."""
        path = np.array([[0, 2], [1, 2], [2, 3], [3, 4], [4, 5], [5, 5], [6, 4], [6, 3], [5, 2]])
        kernel = np.zeros((7, 7))
        kernel[path[:, 0], path[:, 1]] = 1.0
        return cls(kernel=assets.register(kernel))

    def short_exposure(self, exposure: ShortExposure) -> Degradation:
        return self.target()

    def make_point_spread(self) -> PointSpreads:
        kernel = assets.get(self.kernel)
        return point_spread.measured(kernel[::-1, ::-1] if self.turn_180 else kernel)
