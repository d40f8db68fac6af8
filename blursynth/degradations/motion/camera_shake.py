"""Camera shake of a hand: rotations and translations, drawn from a seed."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.degradations.motion.warp_blur import MovingCamera
from blursynth.frame import Intrinsics
from blursynth.physics.poses import Path, Poses, hand_tremor, random_walk, rotation_matrix
from blursynth.physics.warps import CenteredOn, intrinsic_matrix

__all__ = ["CameraShake", "HandHeldCamera"]


class HandHeldCamera(MovingCamera):
    """A hand-held camera.

    ``motion = "tremor"``: every angle and position is a stationary process with a slow drift and a resonance, and the
    amplitudes are its standard deviations; a short exposure sees a part of it. ``motion = "random_walk"``: the
    amplitudes are the standard deviations of the change over one exposure, however short. See
    :func:`blursynth.physics.poses.hand_tremor` and :func:`~blursynth.physics.poses.random_walk`, also for values of
    ``drift_hz`` and ``tremor_share`` from recordings of hands.
    """

    motion: Literal["tremor", "random_walk"] = Field(default="tremor", description="law of the motion")
    pitch_mrad: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        examples=[8.0],
        description="turn about the horizontal axis: up and down; 1 to 6 in the hand",
    )
    yaw_mrad: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        examples=[8.0],
        description="turn about the vertical axis: left and right; 1 to 6 in the hand",
    )
    roll_mrad: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        examples=[60.0],
        description="turn about the line of sight through the roll center; 2 to 20",
    )
    roll_row_px: float | None = Field(
        default=None, ge=-1e6, le=1e6, description="row of the full picture that roll leaves in place; default the axis"
    )
    roll_column_px: float | None = Field(
        default=None, ge=-1e6, le=1e6, description="column that roll leaves in place; default the optical axis"
    )
    x_mm: float = Field(default=0.0, ge=0, le=1e5, description="motion to the right; needs a depth map; 0 to 10")
    y_mm: float = Field(default=0.0, ge=0, le=1e5, description="motion downwards; needs a depth map; 0 to 10")
    z_mm: float = Field(default=0.0, ge=0, le=1e5, description="motion forward; needs a depth map; 0 to 10")
    drift_hz: float = Field(
        default=1.0, ge=0, le=1000, description="tremor: standard deviation of the drift's spectrum in Hz"
    )
    tremor_hz: float = Field(default=10.0, ge=0, le=1000, description="tremor: resonance of the hand in Hz; 8 to 12")
    tremor_share: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="tremor: share of the resonance in the variance; the rest drifts; .002 and .011 fit recordings",
    )
    seed: int = Field(ge=0, lt=2**63, description="seed of this sample's motion")

    def translates(self) -> bool:
        return self.x_mm > 0 or self.y_mm > 0 or self.z_mm > 0

    def path(self) -> Path:
        return self._path(np.array([0.0, 0.0, 1.0]))

    def principal_path(self, camera: Intrinsics, full_size_px: tuple[int, int]) -> Path:
        intrinsics = intrinsic_matrix(camera, full_size_px)
        column = intrinsics[0, 2] if self.roll_column_px is None else self.roll_column_px
        row = intrinsics[1, 2] if self.roll_row_px is None else self.roll_row_px
        focal = intrinsics[0, 0]
        ray = np.array([(column - intrinsics[0, 2]) / focal, (row - intrinsics[1, 2]) / focal, 1.0])
        return self._path(ray / np.sqrt((ray * ray).sum()))

    def _path(self, roll_axis: NDArray[np.float64]) -> Path:
        """The path with roll about a direction of the camera."""
        if self.motion == "tremor":
            process = hand_tremor(
                self.seed, drift_hz=self.drift_hz, tremor_hz=self.tremor_hz, tremor_share=self.tremor_share
            )
        else:
            process = random_walk(self.seed, self.exposure_s)
        turn = 1e-3 * np.array([self.pitch_mrad, self.yaw_mrad, self.roll_mrad])
        move_m = 1e-3 * np.array([self.x_mm, self.y_mm, self.z_mm])
        axes = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], roll_axis])

        def path(time_s: NDArray[np.float64]) -> Poses:
            state = process(time_s)
            return Poses(rotation_matrix((turn * state[:, :3]) @ axes), move_m * state[:, 3:])

        return path


class CameraShake(HandHeldCamera):
    """Camera shake of a hand with six degrees of freedom, seen through a global shutter.

    At a focal length of 3000 px, a rotation by 1 mrad moves the picture by 3 px, and a sideways translation by 1 mm
    moves objects 1 m away by 3 px. A roll by 1 mrad moves the corners of a 4000 x 3000 px picture by 2.5 px, and its
    center not at all.

    Easily confused: amplitudes are standard deviations, so a draw may move by twice as much; with ``motion = "tremor"``
    the blur grows with ``exposure_s``.

    Not modeled: the push of the shutter button, stabilization, regions that parallax hides or reveals.
    """

    centered_on: Literal["mean", "mid", "start"] = Field(
        default="mean", description="pose of the sharp target within the exposure"
    )

    def target_pose(self) -> CenteredOn:
        return self.centered_on
