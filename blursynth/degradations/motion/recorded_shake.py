"""Camera shake replayed from a recording with six degrees of freedom, or from a gyroscope."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.degradations.motion.warp_blur import MovingCamera
from blursynth.io import assets
from blursynth.physics.poses import Path, Poses, interpolate_poses, poses_from_recording
from blursynth.physics.warps import CenteredOn

__all__ = ["RecordedShake"]


class RecordedShake(MovingCamera):
    """A recorded camera path, cut to one exposure.

    The recording is an array ``[M, 8]`` as in the TUM RGB-D benchmark (time in s, position x y z in m, quaternion
    x y z w from camera to world), or ``[M, 4]`` (time in s, a gyroscope's rates in rad/s about the camera's axes right,
    down and ahead). In a recipe: ``recording = { file = "groundtruth.txt" }``; lines that begin with # are comments.

    Positions need a depth map; ``translation = false`` leaves only the rotations.

    Not modeled: a gyroscope whose axes are not the camera's (turn its columns first), its bias, and its delay.
    """

    recording: str = Field(pattern=r"^sha256:[0-9a-f]{64}$", description="name of the recording's array, sha256:...")
    start_s: float = Field(
        default=0.0, ge=0, le=1e6, description="start of the first row's exposure after the recording's start in s"
    )
    translation: bool = Field(default=True, description="whether recorded positions are used; they need a depth map")
    readout_s: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="readout time of the full picture in s: consecutive rows start readout_s / h apart; "
        "0 is a global shutter",
    )
    readout_from: Literal["top", "bottom"] = Field(default="top", description="the row that is exposed first")
    centered_on: Literal["mean", "mid", "start", "global_shutter"] = Field(
        default="mean", description="pose of the sharp target: of each row's own exposure, or one for all rows"
    )

    @classmethod
    def example(cls) -> Self:
        """A gyroscope's rates in a hand for a tenth of a second."""
        time = np.linspace(0.0, 0.1, 21)
        rates = (0.1 * np.sin(40 * time), 0.15 * np.cos(25 * time), 0.8 * np.sin(30 * time))  # rad/s
        return cls(recording=assets.register(np.stack([time, *rates], axis=1)), exposure_s=0.1)

    def translates(self) -> bool:
        return self.translation and bool(np.ptp(_poses(self.recording)[1].position_m, axis=0).any())

    def readout(self) -> tuple[float, bool]:
        return self.readout_s, self.readout_from == "bottom"

    def target_pose(self) -> CenteredOn:
        return self.centered_on

    def path(self) -> Path:
        time, poses = _poses(self.recording)
        if not self.translation:
            poses = Poses(poses.orientation, np.zeros_like(poses.position_m))

        def path(time_s: NDArray[np.float64]) -> Poses:
            return interpolate_poses(time, poses, self.start_s + np.asarray(time_s))

        return path


@lru_cache(maxsize=8)
def _poses(recording: str) -> tuple[NDArray[np.float64], Poses]:
    return poses_from_recording(assets.get(recording))
