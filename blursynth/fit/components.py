"""The kinds of blur that a photograph is read as: components of a mixture, each an option of a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.fit.camera import Step

__all__ = ["COMPONENTS", "FAMILIES", "Component", "blur_steps", "similar"]

_LENGTHS_PX = (2.0, 4.0, 7.0, 11.0, 16.0, 23.0, 32.0, 45.0, 64.0)
_CROOKED_PX = (8.0, 16.0, 24.0, 36.0, 54.0, 80.0, 120.0)  # they cover a third of their length
_DIAMETERS_PX = (3.0, 5.0, 8.0, 12.0, 18.0)

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
                anxious = {"anxiety": {"log_uniform": [0.002, 0.008]}, "gaussian": {"uniform": [0.0, 10.0]}}
                return {"kind": "random_walk_motion", "length_px": size, **anxious, **walk, "heading_deg": turned}
            case "defocus":
                return {"kind": "disk_blur", "diameter_px": size}
        return {"kind": "identity"}


def _bins(family: str, edges: tuple[float, ...]) -> tuple[Component, ...]:
    return tuple(Component(family, low, high) for low, high in pairwise(edges))


COMPONENTS = (
    Component("still"), *_bins("straight", _LENGTHS_PX), *_bins("walk", _CROOKED_PX), *_bins("defocus", _DIAMETERS_PX)
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
