"""Camera shake seen through a shutter that exposes one row after another."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from blursynth.degradations.motion.camera_shake import HandHeldCamera
from blursynth.physics.warps import CenteredOn

__all__ = ["RollingShutter"]


class RollingShutter(HandHeldCamera):
    """The shake of :class:`CameraShake`, each row exposed a little later than the one before.

    Row r of the full picture of h rows is exposed from ``r readout_s / h`` on, for ``exposure_s``. With
    ``readout_s = 0`` it is ``CameraShake`` of the same numbers, to the bit.

    With ``centered_on = "mean"``, the target of every row is at that row's own mean pose: blur varies from row to row,
    but nothing is bent. With ``global_shutter``, the target has one pose for all rows, and the blurred picture is bent
    relative to it; :meth:`residual_centroid_px` says by how much.

    Not modeled: lines that are read in pairs or blocks; objects that move (only the camera does).
    """

    readout_s: float = Field(
        default=0.02,
        ge=0,
        le=100,
        description="readout time of the full picture in s: consecutive rows start readout_s / h apart; "
        "0.01 to 0.03 in phones",
    )
    readout_from: Literal["top", "bottom"] = Field(default="top", description="the row that is exposed first")
    centered_on: Literal["mean", "mid", "start", "global_shutter"] = Field(
        default="mean", description="pose of the sharp target: of each row's own exposure, or one for all rows"
    )

    def readout(self) -> tuple[float, bool]:
        return self.readout_s, self.readout_from == "bottom"

    def target_pose(self) -> CenteredOn:
        return self.centered_on
