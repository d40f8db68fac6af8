"""Base of all blurs that are a mean of warped pictures: the camera rotates, moves or zooms during the exposure."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import BorderName, Degradation, ShortExposure, in_groups
from blursynth.degradations.scene.scene_depth import known_camera
from blursynth.errors import InvalidValueError
from blursynth.frame import Border, Frame, Intrinsics, array_library
from blursynth.physics.poses import Path, Poses
from blursynth.physics.warps import (
    CenteredOn,
    Warps,
    exposure_cells,
    intrinsic_matrix,
    largest_move_px,
    row_starts_s,
    warps_of_path,
)

__all__ = ["MovingCamera", "View", "WarpBlur"]


@dataclass(frozen=True)
class View:
    """The position of a picture in the full picture of its camera."""

    camera: Intrinsics | None
    size_px: tuple[int, int]
    origin_px: tuple[int, int]
    full_size_px: tuple[int, int]

    @staticmethod
    def of(frame: Frame, b: int) -> View:
        """The view of picture ``b``."""
        (row, column), (height, width) = frame.origin_px[b].tolist(), frame.full_size_px[b].tolist()
        return View(frame.camera[b] if frame.camera else None, frame.size_px, (row, column), (height, width))


class WarpBlur(Degradation):
    """The mean of the pictures that a moving camera sees: ``y(p) = sum_t w_t x(place(p, t))``, in linear light.

    Places are absolute, so a window is blurred like the same part of the whole picture.

    A photograph integrates over the whole exposure. With ``frames``, the result is the mean of that many pictures, each
    of one moment in the middle of its share of the exposure. Where the camera moves by more than a pixel from one to
    the next, edges become ghosts. This is how data sets that average the frames of a video are made
    (:class:`~blursynth.kinds.FrameAverage` is the same with one path for the whole picture, which begins and ends with
    a frame). One frame is a single warped picture.

    A short exposure sees the part of the same path in the middle of the exposure (of a rolling shutter: of each row's
    own), and its own mean pose is that of the sharp scene, whatever ``centered_on`` says. With ``frames`` it is one
    moment.
    """

    varies: ClassVar[bool] = True
    blurs: ClassVar[bool] = True
    in_one_call: ClassVar[bool] = True

    step_px: float = Field(
        default=0.5,
        gt=0,
        le=100,
        description="largest motion of a pixel of the full picture from one pose to the next; "
        "0.5 errs by at most one code, 1 takes half the time",
    )
    frames: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="mean of this many moments, like the frames of a video; default: a continuous exposure",
    )
    shutter_fraction: float = Field(
        default=1.0, gt=0, le=1, description="part of the exposure, in its middle, during which light arrives"
    )
    border: BorderName = "reflect"

    @abstractmethod
    def make_warps(self, view: View) -> Warps:
        """Where the light of every pixel of a picture comes from, at every moment."""

    def smallest_depth_m(self) -> float | None:
        """The depth to which nearer pixels are clamped; None if the blur does not depend on depth."""
        return None

    def short_exposure(self, exposure: ShortExposure) -> Degradation:
        if exposure.fraction == 0 or self.frames is not None:
            return self.target()
        centered = {"centered_on": "mean"} if "centered_on" in type(self).model_fields else {}
        return self.replace(shutter_fraction=exposure.fraction * self.shutter_fraction, **centered)

    def warps(self, frame: Frame, b: int = 0) -> Warps:
        """The warps of picture ``b``; remembered, since margin and blur both need them.

        Raises
        ------
        InvalidValueError
            The frame lacks a camera, or the motion goes behind it.
        """
        return _remembered(self, View.of(frame, b))

    def inverse_depth(self, frame: Frame, b: int = 0) -> Any | None:
        """``[1, H, W]`` in 1/m of picture ``b``, or None when the blur does not depend on depth.

        Raises
        ------
        InvalidValueError
            The frame lacks depth.
        """
        smallest = self.smallest_depth_m()
        if smallest is None:
            return None
        if frame.depth_m is None:
            raise InvalidValueError(
                f"{self.kind} moves the camera and needs a depth map, but the frame has none.",
                why="How far a point moves on the sensor is inversely proportional to its depth.",
                fix="Give the frame depth (read_frame(..., depth=...)), or leave only the rotations.",
                field="depth_m",
            )
        return 1.0 / frame.depth_m[b : b + 1].clip(smallest)

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        # Missing depth or camera raises before any work starts.
        motions = [step.warps(frame, b) for b, step in enumerate(steps)]
        depths = [step.inverse_depth(frame, b) for b, step in enumerate(steps)]

        def blurred(chosen: Sequence[int], part: Frame) -> Frame:
            border, depth = Border(steps[chosen[0]].border), depths[chosen[0]]
            if len(chosen) > 1 and depth is not None:
                library: Any = array_library(depth)
                depth = library.concatenate([depths[b] for b in chosen])
            warps = [motions[b] for b in chosen]
            return part.with_image(for_array(part.image).warp_mean(part.image, warps, depth, border=border))

        return in_groups(range(len(steps)), frame, lambda b: (steps[b].border, depths[b] is not None), blurred)

    def reach_px(self, frame: Frame) -> int | None:
        largest = 0.0
        for b in range(len(frame)):
            largest = max(largest, largest_move_px(self.warps(frame, b), 0, frame.size_px, self._depths(frame, b)))
        # One for the second of the two pixels that a place between them reads, rounding set aside.
        return math.ceil(largest - 1e-6) + (0 if largest == 0 else 1)

    def residual_centroid_px(self, frame: Frame) -> float:
        """Largest distance, over the frame, of the mean place of a pixel's light from the pixel itself.

        Nearly 0 for ``centered_on = "mean"``, whose target lies in the middle of the blur; otherwise, the displacement
        that a trained network has to undo.
        """
        largest = 0.0
        for b in range(len(frame)):
            moves, weight = self._displacements(frame, b)
            centroid = (weight[..., None, None] * moves).sum(axis=2)  # [q, row, axis, column]
            largest = max(largest, float(np.hypot(centroid[:, :, 0], centroid[:, :, 1]).max()))
        return largest

    def _depths(self, frame: Frame, b: int) -> tuple[float, float] | None:
        """The smallest and the largest inverse depth of picture ``b``, or None when the blur does not depend on it."""
        inverse = self.inverse_depth(frame, b)
        return None if inverse is None else (float(inverse.min()), float(inverse.max()))

    def _displacements(self, frame: Frame, b: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Moves ``[depths, rows, n, (x, y), columns]`` in px at a grid of pixels, and the weights ``[rows, n]``."""
        warps = self.warps(frame, b)
        height, width = frame.size_px
        depths = self._depths(frame, b)
        inverse = np.zeros(1) if depths is None else np.array(depths)
        # Corners, and enough points between them for curved motion; with a rolling shutter, rows move differently.
        columns = np.unique(np.linspace(0, width - 1, 9).round())
        rows = np.arange(height) if warps.first.shape[1] > 1 else np.unique(np.linspace(0, height - 1, 9).round())
        row = rows.astype(np.int64) if warps.first.shape[1] > 1 else np.zeros(len(rows), np.int64)
        weight = warps.weight[0][row]
        time = warps.first[0][row][:, None] + np.arange(weight.shape[1])
        pixel = np.ones((len(rows), 3, len(columns)))
        pixel[:, 0], pixel[:, 1] = columns, rows[:, None]
        seen = warps.matrix[0][time] @ pixel[:, None]  # [rows, n, 3, columns]
        seen = seen + inverse[:, None, None, None, None] * warps.shift[0][time][..., None]
        if not (seen[..., 2, :] > 0).all():
            raise InvalidValueError(
                "A pixel looks behind the camera.",
                why="The motion is larger than the scene's depth or the field of view.",
                fix="Use smaller amplitudes or a larger nearest_m.",
            )
        moves = seen[..., :2, :] / seen[..., 2:, :] - pixel[:, None, :2]
        return np.where((weight != 0)[..., None, None], moves, 0.0), weight


@lru_cache(maxsize=64)
def _remembered(blur: WarpBlur, view: View) -> Warps:
    return blur.make_warps(view)


class MovingCamera(WarpBlur):
    """A camera with six degrees of freedom that moves while the shutter is open.

    Rotations move near and far objects alike; translations move every pixel in proportion to its inverse depth, and
    need the frame's depth map. The target is the picture at the mean pose of the exposure, so nothing is displaced on
    average.

    Not modeled: the regions that a nearer object hides or reveals while the camera moves sideways (the gather form).
    """

    exposure_s: float = Field(
        gt=0, le=100, examples=[0.1], description="time in s for which the shutter is open; 0.01 to 0.1 indoors"
    )
    nearest_m: float = Field(
        default=0.3,
        gt=0,
        le=1e6,
        description="smallest depth in m; nearer pixels are moved to it, which bounds the number of poses",
    )

    @abstractmethod
    def path(self) -> Path:
        """The camera's pose at a time in s after the start of the exposure."""

    @abstractmethod
    def translates(self) -> bool:
        """Whether the camera's position changes."""

    @abstractmethod
    def target_pose(self) -> CenteredOn:
        """Which pose the sharp target has."""

    def open_s(self) -> float:
        """How long light arrives at every row."""
        return self.shutter_fraction * self.exposure_s

    def readout(self) -> tuple[float, bool]:
        """Readout time of the full picture in s, and whether the last row is read first."""
        return 0.0, False

    def principal_path(self, camera: Intrinsics, full_size_px: tuple[int, int]) -> Path:
        """The path for a certain camera; only a roll about another point than the principal one depends on it."""
        return self.path()

    def smallest_depth_m(self) -> float | None:
        return self.nearest_m if self.translates() else None

    def make_warps(self, view: View) -> Warps:
        camera = known_camera(view.camera, kind=self.kind, why="The focal length converts angles to pixels.")
        readout_s, from_bottom = self.readout()
        height = view.full_size_px[0]
        path, cells = _motion(self, camera, view.full_size_px)
        # A window's margin may lie beyond the full picture; those rows see what its outermost rows see.
        rows = np.clip(view.origin_px[0] + np.arange(view.size_px[0]), 0, height - 1)
        return warps_of_path(
            path,
            cells,
            intrinsic_matrix(camera, view.full_size_px, view.origin_px),
            for_array(cells),
            exposure_s=self.open_s(),
            starts_s=row_starts_s(rows, height, readout_s, from_bottom=from_bottom),
            all_starts_s=row_starts_s(np.arange(height), height, readout_s, from_bottom=from_bottom),
            centered_on=self.target_pose(),
            frames=self.frames,
        )


@lru_cache(maxsize=64)
def _motion(blur: MovingCamera, camera: Intrinsics, full_size_px: tuple[int, int]) -> tuple[Path, NDArray[np.float64]]:
    """The path of a camera from the first light on and the boundaries of its parts, which all windows share."""
    whole, closed_s = blur.principal_path(camera, full_size_px), 0.5 * (blur.exposure_s - blur.open_s())

    def path(time_s: NDArray[np.float64]) -> Poses:
        return whole(closed_s + np.asarray(time_s))

    cells = exposure_cells(
        path,
        intrinsic_matrix(camera, full_size_px),
        full_size_px,
        blur.open_s() + blur.readout()[0],
        step_px=blur.step_px,
        nearest_m=blur.nearest_m,
    )
    return path, cells
