"""Objects that move on their own while the shutter is open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import BorderName, Degradation, ShortExposure, cropped
from blursynth.degradations.scene.composited import composited, on_cpu
from blursynth.errors import InvalidValueError
from blursynth.frame import Border, Frame, Window
from blursynth.physics.object_paths import object_paths, path_bound_px
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.scene import Scene, reach_of_objects_px, scene_of_objects

__all__ = ["ObjectMotion"]


class ObjectMotion(Degradation):
    """Objects that move across a still background, composited while the shutter is open.

    The frame's labels say which object each pixel shows: 0 is the background, and larger labels cover smaller ones.
    Every object moves as a rigid body along its own path, drawn from ``seed`` and its label: an arc with linearly
    changing speed. Its position in the sharp picture is its mean position over the exposure. At its edges, the
    background shows through for the part of the time that the object was elsewhere; there, the adjacent surface is
    continued behind the object.

    For one object along one known path, use ``label=3, slowest=1`` with no spread, acceleration or bend (the defaults).

    The exposure is divided into ``parts``. Between the parts, occlusion is exact; within a part, it is exact only where
    at most one of the surfaces that meet is moving. One part is therefore exact for objects that do not meet, and more
    are needed where moving objects cover one another.

    With ``frames``, it is the mean of that many pictures, each of one moment in the middle of its share of the
    exposure, with exact occlusion in each. This is how data sets that average the frames of a video are made. The
    position of an object in the sharp picture is then its mean position over the frames.

    A short exposure sees the middle part of the same paths, each with its own mean where the object is in the sharp
    scene. With ``frames`` it is one moment.

    Not modeled: rotation and change of size of an object, its shadow, and what is hidden behind it, which is taken to
    be a mean of what is seen beside it in four directions. If an earlier step has already blurred the background
    (camera motion), the regions that it revealed and those that the object reveals are assumed to be independent.
    """

    varies: ClassVar[bool] = True
    blurs: ClassVar[bool] = True

    length_px: float = Field(
        ge=0, le=1000, examples=[16.0], description="path of the fastest object in px; 0 is no motion"
    )
    slowest: float = Field(
        default=1.0, ge=0, le=1, description="path of the slowest moving object as a share of length_px"
    )
    still_fraction: float = Field(default=0.0, ge=0, le=1, description="probability that an object stands still")
    angle_deg: float = Field(default=0.0, ge=-360, le=360, description="main direction, 0 = right, 90 = down")
    spread_deg: float = Field(
        default=0.0, ge=0, le=180, description="directions lie within this of the main one; 180 is any direction"
    )
    acceleration: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="objects' relative acceleration is within +- this; 1 starts from standstill",
    )
    bend_deg: float = Field(default=0.0, ge=0, le=360, description="paths turn by up to this to either side")
    label: int | None = Field(
        default=None, ge=1, lt=2**31, description="label of the only object that moves; by default all objects"
    )
    parts: int = Field(
        default=4, ge=1, le=256, description="number of parts of the exposure with exact occlusion between them"
    )
    frames: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="mean of this many moments, like the frames of a video, instead of parts; default: continuous",
    )
    shutter_fraction: float = Field(
        default=1.0, gt=0, le=1, description="part of the exposure, in its middle, during which light arrives"
    )
    border: BorderName = "reflect"
    seed: int = Field(default=0, ge=0, lt=2**63, description="seed of this sample's paths")

    def reach_px(self, frame: Frame) -> int | None:
        if self.length_px == 0 or self.still_fraction == 1:
            return 0
        # The middle part of a path is as much shorter as it is briefer, and its speed changes by as much less.
        radius = path_bound_px(self.shutter_fraction * self.length_px, self.shutter_fraction * self.acceleration)
        return reach_of_objects_px(radius if self.label is None else 0.6 * radius)

    def short_exposure(self, exposure: ShortExposure) -> Degradation:
        if exposure.fraction == 0 or self.frames is not None:
            return self.target()
        return self.replace(shutter_fraction=exposure.fraction * self.shutter_fraction)

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        return cls.apply_within(steps, frame, (0, 0, *frame.size_px))

    @classmethod
    def apply_within(cls, steps: Sequence[Self], frame: Frame, window: Window) -> Frame:
        if all(step.length_px == 0 or step.still_fraction == 1 for step in steps):
            return cropped(frame, window)
        if frame.labels is None:
            raise InvalidValueError(
                "object_motion needs to know which object each pixel shows, but the frame has no labels.",
                fix="Give read_frame labels=..., or put a random_objects or layered_depth step before it.",
            )
        scenes = [step.scene(one) for step, one in zip(steps, on_cpu(frame), strict=True)]
        return composited(scenes, [Border(step.border) for step in steps], frame, window)

    def paths(self, labels: NDArray[np.int32]) -> NDArray[np.float64]:
        """The path of each label, ``[N, M, 2]`` x and y in px at equal times (of the frames), with its mean at zero."""
        paths = object_paths(
            labels,
            seed=self.seed,
            length_px=self.length_px,
            slowest=self.slowest,
            still_fraction=self.still_fraction,
            angle_rad=math.radians(self.angle_deg),
            spread_rad=math.radians(self.spread_deg),
            acceleration=self.acceleration,
            bend_rad=math.radians(self.bend_deg),
            frames=self.frames,
            shutter_fraction=self.shutter_fraction,
        )
        if self.label is not None:
            paths[labels != self.label] = 0.0
        return paths

    def scene(self, frame: Frame) -> Scene | None:
        """The scene of a frame of one picture; None if nothing moves."""
        image: Any = frame.image
        marks: Any = frame.labels
        labels: NDArray[np.int32] = np.asarray(marks.cpu() if hasattr(marks, "cpu") else marks)[0]
        there, number = _numbered(labels)
        paths = self.paths(there)
        paths[there == 0] = 0.0
        moves = paths.any(axis=(1, 2))
        if not moves.any():
            return None
        reach = np.hypot(paths[..., 0], paths[..., 1]).max(axis=1)
        place = np.where(moves, np.arange(len(there)), -1)  # -1 is what stands still
        parts = self.parts if self.frames is None else self.frames

        def spreads(places: list[int]) -> PointSpreads:
            rasterize = for_array(paths).rasterize
            still = [rasterize(np.zeros((2, 2)))] * (places[0] < 0)
            moving = paths[places[len(still) :]]
            made = []
            for g in range(parts):
                made += still
                if self.frames is None:
                    made.append(rasterize(moving, center=False, exposure=(g / parts, (g + 1) / parts)))
                else:  # every part is a point at rest
                    made.append(rasterize(moving[:, [g, g]], center=False))
            return PointSpreads.concatenate(made)

        return scene_of_objects(
            image,
            labels[None],
            number[None],
            reach,
            place,
            spreads,
            np.full(parts, 1.0 / parts),
            for_array(image),
            circular=self.border == "circular",
        )


def _numbered(labels: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """The labels that occur, and for every pixel the place of its own among them."""
    if int(labels.max()) > labels.size:
        there, number = np.unique(labels, return_inverse=True)
        return there, number.reshape(labels.shape)
    occurs = np.bincount(labels.ravel()) > 0  # without sorting
    return np.flatnonzero(occurs).astype(np.int32), (np.cumsum(occurs) - 1)[labels]
