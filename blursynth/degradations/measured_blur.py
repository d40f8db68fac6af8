"""A measured point spread."""

from __future__ import annotations

from pydantic import Field

from blursynth import assets
from blursynth.degradations.uniform_blur import UniformBlur
from blursynth.physics import point_spread
from blursynth.physics.point_spread import PointSpreads

__all__ = ["MeasuredBlur"]


class MeasuredBlur(UniformBlur):
    """Blur with a kernel that was measured, such as the eight camera shakes of Levin et al. (2009).

    The kernel is normalised to a sum of 1 and put with the pixel nearest to its centroid at zero shift; the rest, at
    most half a pixel, stays (moving it would blur it further).

    In a recipe: ``kernel = { file = "kernel.npy" }`` or ``kernel = { files = "kernels/*.npy" }`` for one of several.
    """

    kernel: str = Field(pattern=r"^sha256:[0-9a-f]{64}$", description="name of the kernel's array, sha256:...")

    def assets(self) -> tuple[str, ...]:
        return (self.kernel,)

    def make_point_spread(self) -> PointSpreads:
        return point_spread.measured(assets.get(self.kernel))
