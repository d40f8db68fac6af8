"""Objects that move on their own while the shutter is open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import BorderName, Degradation
from blursynth.errors import InvalidValueError
from blursynth.frame import Border, Frame
from blursynth.physics.object_paths import object_paths, path_bound_px
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.scene import reach_of_objects_px, scene_of_objects

__all__ = ["ObjectMotion"]


class ObjectMotion(Degradation):
    """Objects that move across a still background, composited while the shutter is open.

    The frame's labels say which object each pixel shows: 0 is the background, and larger labels cover smaller ones.
    Every object moves as a rigid whole along its own path, drawn from ``seed`` and its label: an arc with a linearly
    changing speed. Its mean position over the exposure is where the sharp picture has it. At its edges it lets the
    background through for the part of the time that it was elsewhere, and there the surface beside it goes on behind
    it.

    One object along one known path: ``label=3, slowest=1`` and no spread, acceleration or bend, which are the defaults.

    The exposure is cut into ``parts``. Between the parts occlusion is exact; within a part only where at most one
    of the surfaces that meet there moves. So one part is exact for objects that do not meet, and more are needed where
    moving objects cover one another.

    With ``frames`` it is the mean of as many pictures, each of one moment in the middle of its share of the exposure,
    with exact occlusion in each: data sets that average a video's frames are made so. An object's mean position over
    the frames is then where the sharp picture has it.

    Not modeled: rotation and change of size of an object, its shadow, and what lies hidden behind it, which is guessed
    from beside it. Where a step before it has blurred the background already (camera motion), what it revealed and what
    the object reveals are taken to be independent.
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
        default=None, ge=1, lt=2**31, description="number of the one object that moves; none given: all of them"
    )
    parts: int = Field(
        default=4, ge=1, le=256, description="number of parts of the exposure with exact occlusion between them"
    )
    frames: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="mean of so many moments, as of a video's frames, in place of parts; none given: continuous",
    )
    border: BorderName = Field(
        default="reflect", description="how the picture goes on beyond its edge; data sets cut such pixels off"
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="seed of this sample's paths")

    def reach_px(self, frame: Frame) -> int | None:
        if self.length_px == 0 or self.still_fraction == 1:
            return 0
        radius = path_bound_px(self.length_px, self.acceleration)
        return reach_of_objects_px(radius if self.label is None else 0.6 * radius)

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        if all(step.length_px == 0 or step.still_fraction == 1 for step in steps):
            return frame
        if frame.labels is None:
            raise InvalidValueError(
                "object_motion needs to know which object each pixel shows, and the frame has no labels.",
                fix="Give read_frame labels=..., or put a random_objects or layered_depth step before it.",
            )
        labels = np.asarray(frame.labels.cpu() if hasattr(frame.labels, "cpu") else frame.labels)
        # One by one, since each picture has paths of its own.
        moved = [frame[b].with_image(step._moved(frame.image[b : b + 1], labels[b])) for b, step in enumerate(steps)]
        return frame.with_image(moved[0].image if len(moved) == 1 else Frame.stack(moved).image)

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
        )
        if self.label is not None:
            paths[labels != self.label] = 0.0
        return paths

    def _moved(self, image: Any, labels: NDArray[np.int32]) -> Any:
        """The mean over the exposure of one picture ``[1, C, H, W]`` with labels ``[H, W]``."""
        there, number = _numbered(labels)
        paths = self.paths(there)
        paths[there == 0] = 0.0
        moves = paths.any(axis=(1, 2))
        if not moves.any():
            return image
        reach = np.hypot(paths[..., 0], paths[..., 1]).max(axis=1)
        place = np.where(moves, np.arange(len(there)), -1)  # -1 is what stands still
        parts = self.parts if self.frames is None else self.frames
        shares = [(g / parts, (g + 1) / parts) for g in range(parts)]
        backend = for_array(image)

        def spreads(which: int) -> PointSpreads:
            path = paths[which] if which >= 0 else np.zeros((2 if self.frames is None else parts, 2))
            rasterize = for_array(path).rasterize
            if self.frames is not None:  # every part is a point at rest
                return rasterize(np.repeat(path[:, None], 2, axis=1), center=False)
            return PointSpreads.concatenate([rasterize(path[None], center=False, exposure=share) for share in shares])

        scene = scene_of_objects(
            image,
            labels[None],
            number[None],
            reach[number][None],
            place[number][None],
            spreads,
            np.full(parts, 1.0 / parts),
            backend,
        )
        return backend.composite(image, scene, border=Border(self.border))


def _numbered(labels: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """The labels that occur, and for every pixel the place of its own among them."""
    if int(labels.max()) > labels.size:
        there, number = np.unique(labels, return_inverse=True)
        return there, number.reshape(labels.shape)
    occurs = np.bincount(labels.ravel()) > 0  # without sorting
    return np.flatnonzero(occurs).astype(np.int32), (np.cumsum(occurs) - 1)[labels]
