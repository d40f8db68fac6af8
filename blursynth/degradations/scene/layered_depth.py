"""A random scene of flat objects before a far background."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from blursynth.degradations.scene.scene_depth import SceneDepth, full_size, labels_of
from blursynth.errors import InvalidValueError
from blursynth.frame import Frame
from blursynth.physics.object_layout import ObjectShape, cells_of, random_layout

__all__ = ["LayeredDepth"]


class LayeredDepth(SceneDepth):
    """Depth and labels of a random scene, for photographs without depth: flat objects, each at its own distance, before
    a flat background at ``far_m``.

    The full picture is divided into cells of ``spacing_px``, and each holds one object: an ellipse, a polygon or a blob
    with a smooth outline. Inverse depths are uniform between ``1/far_m`` and ``1/near_m``, so near and far blur are
    equally likely. Labels rise from far to near.

    The edges of the depth do not follow those of the photograph: a network sees the right kind of blur there, but at
    arbitrary places.
    """

    sets_labels: ClassVar[bool] = True

    near_m: float = Field(gt=0, le=100_000, examples=[0.5], description="smallest distance of an object in m")
    far_m: float = Field(gt=0, le=100_000, examples=[8.0], description="distance of the background in m")
    spacing_px: float = Field(default=160.0, ge=4, le=100_000, description="mean distance of neighboring objects in px")
    size_px: float = Field(
        default=140.0, ge=1, le=100_000, description="diameter of the objects in px; each has half to twice this"
    )
    shape: Literal["mixed", "ellipse", "polygon", "blob"] = Field(default="mixed", description="outline of the objects")
    seed: int = Field(ge=0, lt=2**63, description="seed of this sample's scene")

    @model_validator(mode="after")
    def _in_order(self) -> LayeredDepth:
        if self.near_m > self.far_m:
            raise InvalidValueError(
                f"near_m must be at most far_m, got {self.near_m:g} and {self.far_m:g}.", fix="Swap them."
            )
        return self

    def check(self, frame: Frame) -> None:
        cells_of(full_size(frame), self.spacing_px)

    def surfaces(self, frame: Frame) -> tuple[NDArray[np.floating], NDArray[np.int32] | None]:
        layout = random_layout(self.seed, full_size(frame), self.spacing_px, self.size_px, ObjectShape(self.shape))
        nearness = np.concatenate([[0.0], layout.nearness])
        depth_m = 1.0 / ((1.0 - nearness) / self.far_m + nearness / self.near_m)
        labels = labels_of(layout, frame)
        return np.take(depth_m, labels), labels
