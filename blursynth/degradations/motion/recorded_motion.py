"""Camera motion replayed from a recording."""

from __future__ import annotations

import math
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.degradations.motion.motion_blur import MotionBlur
from blursynth.errors import InvalidValueError
from blursynth.io import assets
from blursynth.physics.trajectory import replay

__all__ = ["RecordedMotion"]


class RecordedMotion(MotionBlur):
    """A recorded path, cut to one exposure, scaled and rotated.

    The recording is an array ``[M, 3]``: time in s (increasing), x and y in px. In a recipe:
    ``recording = { file = "hand.csv" }``. Between two rows, the point moves straight at constant speed. Every corner is
    kept, and so is the time that the recording stays in one place.
    """

    recording: str = Field(pattern=r"^sha256:[0-9a-f]{64}$", description="name of the recording's array, sha256:...")
    start_s: float = Field(
        default=0.0, ge=0, le=1e6, description="start of the exposure after the recording's start in s"
    )
    exposure_s: float = Field(gt=0, le=1e4, examples=[0.1], description="length of the exposure in s")
    scale: float = Field(
        default=1.0, ge=0, le=1e6, description="factor on x and y; px per unit if the recording is not in px"
    )
    angle_deg: float = Field(default=0.0, ge=-360, le=360, description="rotation of the path, clockwise on the screen")

    @classmethod
    def example(cls) -> Self:
        """A tenth of a second of a path that turns twice."""
        return cls(recording=assets.register([[0, 0, 0], [0.03, 6, 2], [0.06, 9, -5], [0.1, 2, -9]]), exposure_s=0.1)

    def path(self) -> NDArray[np.float64]:
        position, _ = self._exposed()
        cosine, sine = math.cos(math.radians(self.angle_deg)), math.sin(math.radians(self.angle_deg))
        return np.asarray(self.scale * position @ np.array([[cosine, sine], [-sine, cosine]]))

    def durations(self) -> NDArray[np.float64]:
        return self._exposed()[1]

    def _exposed(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Positions within the exposure as they were recorded, and the times between them."""
        recording = assets.get(self.recording)
        if recording.ndim != 2 or recording.shape[1] != 3 or len(recording) < 2:
            raise InvalidValueError(
                f"A recorded path must be an array [M, 3] of time_s, x and y with M >= 2, got shape {recording.shape}.",
                fix="Add a column of times.",
            )
        time, position = recording[:, 0], recording[:, 1:]
        return replay(time, position, start_s=float(time[0]) + self.start_s, exposure_s=self.exposure_s)
