"""The mean of successive sharp frames of a moving camera, the way most data sets of blurred video are made."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import Degradation, ShortExposure
from blursynth.degradations.lens.uniform_blur import UniformBlur
from blursynth.degradations.motion.random_walk_motion import RandomWalkMotion
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.trajectory import averaged_frames

__all__ = ["FrameAverage"]


class FrameAverage(UniformBlur):
    """The mean of ``frames`` successive frames along a random walk: a blur with gaps in it.

    A frame is exposed for ``1 - gap`` of the time between two frames. If the camera moves by more than a pixel in the
    gap, edges appear as ghosts, one per frame, which a photograph does not have. ``interpolated`` frames between
    adjacent frames, on the straight line between them, fill the gaps, as networks for frame interpolation do. With
    ``gap`` 0, the exposure is continuous; with 1, every frame is a single moment.

    ``length_px`` is the length of the path from the first light of the first frame to the last of the last; the walk
    is that of :class:`~blursynth.kinds.RandomWalkMotion`. The sharp picture is at the mean of all frames, or, as in the
    GoPro data set, it is the middle frame (``mid``); the two pictures are then misaligned by :meth:`centroid_px`. A
    short exposure is one moment, whatever its fraction.

    Not modeled: other differences between frames (objects, depth, rolling shutter), and that frames of a video are
    developed, denoised and compressed before they are averaged.

    Source: Nah, Kim and Lee, "Deep Multi-scale Convolutional Neural Network for Dynamic Scene Deblurring", CVPR 2017;
    with interpolated frames Nah et al. (REDS), CVPR Workshops 2019, and Su et al. (DVD), CVPR 2017.
    """

    frames: int = Field(
        ge=1, le=1000, examples=[7], description="number of frames; published 7 to 13 at 240 per second"
    )
    gap: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="part of the time between frames with a closed shutter; .5 and more by day, 1: moments",
    )
    interpolated: int = Field(
        default=0, ge=0, le=1000, description="frames made between each two; published 0 for GoPro, 15 for REDS"
    )
    length_px: float = Field(ge=0, le=2000, examples=[24.0], description="length of the path in px; 0 is no motion")
    anxiety: float = Field(
        default=0.005, ge=0, le=1, description="strength of all disturbances; 0 is a straight line, published 0 to .1"
    )
    centripetal: float = Field(
        default=0.35, ge=0, le=10, description="pull towards the start of the path; published 0 to .7"
    )
    big_shake: float = Field(default=0.1, ge=0, le=10, description="frequency of sudden reversals; published 0 to .2")
    gaussian: float = Field(default=5.0, ge=0, le=100, description="strength of the random turning; published 0 to 10")
    heading_deg: float = Field(default=0.0, ge=-360, le=360, description="first direction, 0 = right, 90 = down")
    samples: int = Field(default=2000, ge=2, le=100_000, description="number of positions on the path")
    form: Literal["invariant", "paper"] = Field(
        default="invariant", description="how the walk depends on samples and length_px"
    )
    centered_on: Literal["mean", "mid"] = Field(
        default="mean", description="where the sharp picture is: the mean of all frames, or the frame in the middle"
    )
    seed: int = Field(ge=0, lt=2**63, description="seed of this sample's walk")

    def path(self) -> NDArray[np.float64]:
        """``[N, 2]`` the camera's path from the first light to the last, x and y in px at equal times."""
        return RandomWalkMotion(
            length_px=self.length_px,
            anxiety=self.anxiety,
            centripetal=self.centripetal,
            big_shake=self.big_shake,
            gaussian=self.gaussian,
            heading_deg=self.heading_deg,
            samples=self.samples,
            form=self.form,
            seed=self.seed,
        ).path()

    def make_point_spread(self) -> PointSpreads:
        path, duration, middle = averaged_frames(
            self.path(), frames=self.frames, gap=self.gap, interpolated=self.interpolated
        )
        rasterize = for_array(path).rasterize
        if self.centered_on == "mean":
            return rasterize(path, duration)
        return rasterize(path - middle, duration, center=False)

    def short_exposure(self, exposure: ShortExposure) -> Degradation:
        return self.target()

    def centroid_px(self) -> tuple[float, float]:
        """Shift of the blurred picture against the sharp one in rows, columns; (0, 0) for ``centered_on = "mean"``."""
        row, column = self.point_spread().centroids()[0]
        return float(row), float(column)
