"""Camera shake as a Markov random trajectory."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.backends import for_array
from blursynth.degradations.motion.motion_blur import MotionBlur
from blursynth.physics.trajectory import WalkForm, WalkParameters

__all__ = ["RandomWalkMotion"]


class RandomWalkMotion(MotionBlur):
    """Camera shake as the Markov random trajectory of Boracchi and Foi (2012): constant speed, restless heading.

    Per step: with probability ``big_shake * anxiety`` the velocity nearly reverses; then
    ``dv = anxiety (gaussian n - centripetal x) h``, and v is scaled back to the step h = length_px / (samples - 1). See
    :class:`blursynth.physics.trajectory.WalkParameters` for the whole law.

    The form ``invariant`` does not depend on ``samples`` and, in proportion, on ``length_px``; ``paper`` is exactly as
    published. Both are equal at 2000 samples and 60 px.

    Easily confused: ``length_px`` is the length of the path; a crooked path covers less ground.

    Source: G. Boracchi and A. Foi, IEEE Trans. Image Processing 21(8):3502-3517, 2012.
    """

    length_px: float = Field(
        ge=0, le=2000, examples=[24.0], description="length of the path in px; 0 is no motion, published 60"
    )
    anxiety: float = Field(
        default=0.005, ge=0, le=1, description="strength of all disturbances; 0 is a straight line, published 0 to .1"
    )
    centripetal: float = Field(
        default=0.35, ge=0, le=10, description="pull towards the start of the path; published 0 to .7"
    )
    big_shake: float = Field(default=0.1, ge=0, le=10, description="frequency of sudden reversals; published 0 to .2")
    gaussian: float = Field(default=5.0, ge=0, le=100, description="strength of the random turning; published 0 to 10")
    heading_deg: float = Field(default=0.0, ge=-360, le=360, description="first direction, 0 = right, 90 = down")
    samples: int = Field(default=2000, ge=2, le=100_000, description="number of positions on the path; published 2000")
    form: Literal["invariant", "paper"] = Field(
        default="invariant", description="how the walk depends on samples and length_px"
    )
    seed: int = Field(ge=0, lt=2**63, description="seed of this sample's walk")

    def path(self) -> NDArray[np.float64]:
        if self.length_px == 0:
            return np.zeros((2, 2))
        parameters = WalkParameters(
            length_px=np.array([self.length_px]),
            anxiety=np.array([self.anxiety]),
            centripetal=np.array([self.centripetal]),
            big_shake=np.array([self.big_shake]),
            gaussian=np.array([self.gaussian]),
            heading_rad=np.array([math.radians(self.heading_deg)]),
            samples=self.samples,
            form=WalkForm(self.form),
        )
        backend = for_array(parameters.length_px)
        return np.asarray(backend.random_walk(parameters, np.array([self.seed], np.uint64))[0])
