"""Translation of the camera during the exposure: near objects are blurred more than far ones."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import Degradation, ShortExposure
from blursynth.degradations.lens.depth_blur import DepthBlur, Layers, NodeGrid, Place, demand_radius, inverse_depth_of
from blursynth.frame import Frame
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.trajectory import WalkParameters

__all__ = ["DepthParallax"]

_SAMPLES = 1000


class DepthParallax(DepthBlur):
    """The camera moves parallel to its sensor while the shutter is open.

    Every pixel sees the camera's path, inverted and scaled by ``focal length / depth``: at 1 m, a phone (3000 px) shows
    a path of 1 mm as 3 px. The path is a Markov random trajectory (see :class:`RandomWalkMotion`) in mm, and a straight
    line with ``anxiety=0``. Its mean over the exposure is the viewpoint of the sharp picture. It needs the frame's
    depth and camera.

    With ``parts``, the exposure is divided into times of equal length. Within each, the light of two surfaces is
    assumed to arrive at different moments as far as there is room.

    A short exposure sees the part of the same path in the middle of the exposure, from its own mean.

    Easily confused: rotating the camera moves all depths equally (:class:`RandomWalkMotion`, camera_shake).

    Not modeled: movement along the optical axis, rotation.
    """

    length_mm: float = Field(
        ge=0, le=1000, examples=[5.0], description="length of the camera's path; 0 is no motion, hands 0.5 to 5"
    )
    anxiety: float = Field(default=0.005, ge=0, le=1, description="restlessness of the path; 0 is a straight line")
    heading_deg: float = Field(
        default=0.0, ge=-360, le=360, description="first direction of the camera, 0 = right, 90 = down"
    )
    shutter_fraction: float = Field(
        default=1.0, gt=0, le=1, description="part of the exposure, in its middle, during which light arrives"
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="seed of this sample's walk")

    def short_exposure(self, exposure: ShortExposure) -> Degradation:
        if exposure.fraction == 0:
            return self.target()
        return self.replace(shutter_fraction=exposure.fraction * self.shutter_fraction)

    def path_mm(self) -> NDArray[np.float64]:
        """``[N, 2]`` x and y of the camera at equal times, with their mean over the exposure at zero."""
        return _path_mm(self.length_mm, self.anxiety, self.heading_deg, self.seed, self.shutter_fraction)

    def layers(self, frame: Frame) -> Layers:
        nearness = inverse_depth_of(frame, kind="depth_parallax")
        extent_mm = float(np.hypot(*self.path_mm().T).max())
        growth = 1e-3 * extent_mm * frame.camera[0].focal_length_px
        radius = growth * nearness
        demand_radius(
            float(radius.max()),
            kind="depth_parallax",
            fix="Use a shorter path, or check that depth_m is in meters.",
        )
        return Layers(radius, radius, growth)

    def point_spreads(
        self, radius_px: Sequence[float], place: Sequence[Place], grid: NodeGrid, parts: int
    ) -> PointSpreads:
        path = self.path_mm()
        extent_mm = float(np.hypot(*path.T).max())
        # What the camera moves to the right, the picture moves to the left.
        scale = np.array(radius_px) / extent_mm if extent_mm > 0 else np.zeros(len(radius_px))
        shifts = -scale[:, None, None] * path
        rasterize = for_array(shifts).rasterize
        if parts == 1:
            return rasterize(shifts)
        cuts = np.arange(parts + 1) / parts
        return PointSpreads.concatenate(
            [rasterize(shifts, center=False, exposure=(float(a), float(b))) for a, b in itertools.pairwise(cuts)]
        )

    def blur_levels(self, radius_px: NDArray[np.float64]) -> NDArray[np.int32]:
        return np.asarray(np.rint(radius_px / (2.0 * self.tolerance_px)).astype(np.int32))

    def level_radius_px(self, level: int) -> float:
        return level * 2.0 * self.tolerance_px

    def node_place(self, radius_px: NDArray[np.float64]) -> NDArray[np.float64]:
        return radius_px / self._node_step_px()

    def node_radius_px(self, node: int) -> float:
        return node * self._node_step_px()

    def _node_step_px(self) -> float:
        # Two points one step apart instead of one between them: no wider than the effect of whole pixels on any path.
        return min(1.0, math.sqrt(8.0 * self.tolerance_px))


@lru_cache(maxsize=64)
def _path_mm(
    length_mm: float, anxiety: float, heading_deg: float, seed: int, shutter_fraction: float
) -> NDArray[np.float64]:
    if length_mm == 0:
        return np.zeros((2, 2))
    parameters = WalkParameters(
        length_px=np.array([length_mm]),
        anxiety=np.array([anxiety]),
        centripetal=np.array([0.35]),
        big_shake=np.array([0.1]),
        gaussian=np.array([5.0]),
        heading_rad=np.array([math.radians(heading_deg)]),
        samples=_SAMPLES,
    )
    path = np.asarray(for_array(parameters.length_px).random_walk(parameters, np.array([seed], np.uint64))[0])
    if shutter_fraction < 1:
        time = np.linspace(-0.5, 0.5, _SAMPLES)
        path = np.stack([np.interp(shutter_fraction * time, time, path[:, axis]) for axis in (0, 1)], axis=-1)
    # Time passes evenly from one position to the next, so the mean is that of the middles.
    path = path - 0.5 * (path[:-1] + path[1:]).mean(axis=0)
    path.flags.writeable = False
    return np.asarray(path)
