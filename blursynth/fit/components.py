"""The kinds of blur that a photograph is read as: components of a mixture, each an option of a recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.core import Draw
from blursynth.degradations.motion.motion_blur import MotionBlur
from blursynth.fit.camera import Step

__all__ = ["COMPONENTS", "FAMILIES", "Component", "blur_steps", "direction_of", "similar"]

_LENGTHS_PX = (2.0, 4.0, 7.0, 11.0, 16.0, 23.0, 32.0, 45.0, 64.0)
_LEAST_DIRECTED_PX = 4.0
_DIAMETERS_PX = (2.0, 4.0, 7.0, 12.0)

FAMILIES = ("still", "straight", "walk", "defocus")
"""No motion (the lens alone), a straight path, a path of a trembling hand, and a disc of a lens out of focus."""


@dataclass(frozen=True)
class Component:
    """One family of blur with sizes from ``low_px`` to ``high_px``: length of a path, or diameter of a disc."""

    family: str
    low_px: float = 0.0
    high_px: float = 0.0

    @property
    def middle_px(self) -> float:
        return (self.low_px + self.high_px) / 2

    def option(self) -> dict[str, Any]:
        """The option of a recipe's ``one_of`` that draws it."""
        size = {"uniform": [self.low_px, self.high_px]}
        turned = {"uniform": [0.0, 360.0]}
        match self.family:
            case "straight":
                return {"kind": "linear_motion", "length_px": size, "angle_deg": turned}
            case "walk":
                walk = {"centripetal": {"uniform": [0.0, 0.7]}, "big_shake": {"uniform": [0.0, 0.2]}}
                anxious = {"anxiety": {"log_uniform": [0.0005, 0.01]}, "gaussian": {"uniform": [0.0, 10.0]}}
                return {"kind": "random_walk_motion", "length_px": size, **anxious, **walk, "heading_deg": turned}
            case "defocus":
                return {"kind": "disk_blur", "diameter_px": size}
        return {"kind": "identity"}


def _bins(family: str, edges: tuple[float, ...]) -> tuple[Component, ...]:
    return tuple(Component(family, low, high) for low, high in pairwise(edges))


COMPONENTS = (
    Component("still"), *_bins("straight", _LENGTHS_PX), *_bins("walk", _LENGTHS_PX), *_bins("defocus", _DIAMETERS_PX)
)  # fmt: skip


def similar(strength: float) -> NDArray[np.float64]:
    """``[J, J]`` rows that sum to 1: this share of a component goes to its neighbors in size."""
    spread = np.eye(len(COMPONENTS))
    for j, one in enumerate(COMPONENTS):
        beside = [k for k, c in enumerate(COMPONENTS) if c.family == one.family and abs(k - j) == 1]
        for k in beside:
            spread[j, k], spread[j, j] = strength / 2, spread[j, j] - strength / 2
    return spread


def blur_steps(lens_sigma_px: tuple[float, float], options: list[dict[str, Any]], how: str = "") -> list[Step]:
    """The lens, and a shake that is one of some options with weights."""
    low, high = (round(v, 3) for v in lens_sigma_px)
    lens = {"kind": "gaussian_blur", "sigma_px": {"uniform": [low, high]}}
    return [Step("lens", lens, {"sigma_px": how}), Step("shake", {"one_of": options})]


def direction_of(draw: Draw) -> float:
    """The direction of a draw's motion in radians from 0 to pi, 0 = right and pi / 2 = down: the longest axis of its
    path; NaN for no motion or less than 4 px, which has no direction to be read."""
    shake = draw["shake"]
    if not isinstance(shake, MotionBlur) or float(getattr(shake, "length_px", 0.0)) < _LEAST_DIRECTED_PX:
        return math.nan
    path = shake.path()
    path = path - path.mean(axis=0)
    axis = np.linalg.eigh(path.T @ path)[1][:, -1]
    return float(math.atan2(axis[1], axis[0]) % math.pi)
