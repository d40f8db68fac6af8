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
from blursynth.physics.object_paths import SAMPLES, object_paths, path_bound_px
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.scene import Scene

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

    Not modelled: rotation and change of size of an object, its shadow, and what lies hidden behind it, which is guessed
    from beside it. Where a step before it has blurred the background already (camera motion), what it revealed and what
    the object reveals are taken to be independent.
    """

    varies: ClassVar[bool] = True

    length_px: float = Field(ge=0, le=1000, description="path of the fastest object in px; 0 is no motion")
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
        default=None, ge=1, lt=2**31, description="the one object that moves; none given: all of them"
    )
    parts: int = Field(default=4, ge=1, le=256, description="parts of the exposure with exact occlusion between them")
    border: BorderName = Field(
        default="reflect", description="how the picture goes on beyond its edge; data sets cut such pixels off"
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="seed of this sample's paths")

    def reach_px(self, frame: Frame) -> int | None:
        # The light of a surface travels by the path, and a hidden one has the colour of up to as far away.
        return 2 * self._path_reach_px()

    def _path_reach_px(self) -> int:
        return math.ceil(path_bound_px(self.length_px, self.acceleration) - 1e-9)

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
        parts, order = [], []
        for number, border in sorted({(step.parts, step.border) for step in steps}):
            chosen = [b for b, step in enumerate(steps) if (step.parts, step.border) == (number, border)]
            image = frame.image if len(chosen) == len(steps) else frame.image[chosen]
            moved = _moved(image, labels[chosen], [steps[b] for b in chosen], number, Border(border))
            parts.append(frame[chosen].with_image(moved))
            order += chosen
        if len(parts) == 1:
            return frame.with_image(parts[0].image)
        return frame.with_image(Frame.stack(parts)[np.argsort(order).tolist()].image)

    def paths(self, labels: NDArray[np.int32]) -> NDArray[np.float64]:
        """The path of each label, ``[N, M, 2]`` x and y in px at equal times, with its mean at zero."""
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
        )
        if self.label is not None:
            paths[labels != self.label] = 0.0
        return paths


def _moved(image: Any, labels: NDArray[np.int32], steps: Sequence[ObjectMotion], parts: int, border: Border) -> Any:
    """The mean over the exposure of a batch whose steps have the same parts and border."""
    backend = for_array(image)
    kernel = np.zeros(labels.shape, np.int32)  # 0 is that of what stands still
    paths = [np.zeros((1, SAMPLES, 2))]
    count = 1
    for b, step in enumerate(steps):
        there, number = _numbered(labels[b])
        own = step.paths(there)
        moving = own.any(axis=(1, 2)) & (there > 0)
        index = np.where(moving, count + np.cumsum(moving) - 1, 0).astype(np.int32)
        kernel[b] = index[number]
        paths.append(own[moving])
        count += int(np.count_nonzero(moving))
    if count == 1:
        return image
    path = np.concatenate(paths)
    rasterise = for_array(path).rasterise
    psf = PointSpreads.concatenate(
        [rasterise(path, centre=False, exposure=(g / parts, (g + 1) / parts)) for g in range(parts)]
    )
    # Larger labels are nearer, and the surface beside an object goes on behind it.
    hidden = np.empty_like(kernel)
    for b, step in enumerate(steps):
        hidden[b] = backend.hidden_surface(labels[b : b + 1], gap=1, reach_px=step._path_reach_px())[0]
    scene = Scene(labels.astype(np.int32), kernel, hidden, psf, np.full(parts, 1.0 / parts))
    return backend.composite(image, scene, border=border)


def _numbered(labels: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """The labels that occur, and for every pixel the place of its own among them."""
    if int(labels.max()) > labels.size:
        there, number = np.unique(labels, return_inverse=True)
        return there, number.reshape(labels.shape)
    occurs = np.bincount(labels.ravel()) > 0  # without sorting
    return np.flatnonzero(occurs).astype(np.int32), (np.cumsum(occurs) - 1)[labels]
