"""Base of all steps that give a picture a depth."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from operator import itemgetter
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import Degradation
from blursynth.errors import InvalidValueError
from blursynth.frame import Deferred, Encoding, Frame, Intrinsics, array_library, check_depth
from blursynth.physics.object_layout import ObjectLayout
from blursynth.physics.surfaces import view_tangents
from blursynth.physics.warps import principal_point_px

__all__ = ["SceneDepth", "full_size", "known_camera", "labels_of", "view_of"]


class SceneDepth(Degradation):
    """A synthetic depth for pictures with unknown depth; no pixel is changed, and the target gets the same depth.

    It is a function of absolute positions in the full picture, so that a window has the depth of the whole.
    """

    takes: ClassVar[Encoding | None] = None
    gives: ClassVar[Encoding | None] = None
    in_target: ClassVar[bool] = True
    sets_geometry: ClassVar[bool] = True

    keep: bool = Field(default=True, description="whether a picture that already has depth keeps it, with its labels")

    sets_labels: ClassVar[bool] = False
    """Whether :meth:`surfaces` also gives labels."""

    @abstractmethod
    def surfaces(self, frame: Frame) -> tuple[NDArray[np.floating], NDArray[np.int32] | None]:
        """Depth ``[H, W]`` in meters and, if this kind sets them, labels ``[H, W]`` of a frame of one picture.

        It is called when something first reads the depth or the labels, and sees a frame without pixels.
        """

    def check(self, frame: Frame) -> None:
        """Refuse a frame that lacks what :meth:`surfaces` needs. It is called when the step is applied."""
        return

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        kept = [frame.has_depth and step.keep for step in steps]
        if all(kept):
            return frame
        for step, one, keeps in zip(steps, frame, kept, strict=True):
            if not keeps:
                step.check(one)
        with_labels = [frame.has_labels if keeps or not cls.sets_labels else True for keeps in kept]
        if any(with_labels) and not all(with_labels):
            raise InvalidValueError(
                f"{cls.kind}: some pictures of the batch keep their depth and have no labels, others get labels.",
                why="Either all or none of the pictures of a batch have labels.",
                fix="Use keep=False, or apply it one by one.",
            )
        maps = Deferred(partial(_maps_of, steps, frame.without_pixels(), kept))
        changes: dict[str, Any] = {"depth_m": maps.then(itemgetter(0))}
        if all(with_labels) and cls.sets_labels:
            changes["labels"] = maps.then(itemgetter(1))
        return frame.with_image(frame.image, **changes)


def _maps_of(steps: Sequence[SceneDepth], frame: Frame, kept: Sequence[bool]) -> tuple[Any, Any]:
    """Depth and labels ``[B, H, W]`` of a batch; the frame's own where they are kept."""
    library: Any = array_library(frame.image)
    own: Any = frame.depth_m
    own_labels: Any = frame.labels
    like = {"dtype": frame.image.dtype, "device": frame.image.device}
    depths: list[Any] = []
    labels: list[Any] = []
    for b, (step, keeps) in enumerate(zip(steps, kept, strict=True)):
        depth, objects = (own[b], None) if keeps else step.surfaces(frame[b])
        depths.append(library.asarray(depth, **like))
        marks = objects if objects is not None else None if own_labels is None else own_labels[b]
        labels.append(None if marks is None else library.asarray(marks, device=frame.image.device))
    depth_m = depths[0][None] if len(depths) == 1 else library.stack(depths)
    check_depth(depth_m)
    if any(marks is None for marks in labels):
        return depth_m, None
    return depth_m, labels[0][None] if len(labels) == 1 else library.stack(labels)


def known_camera(camera: Intrinsics | None, *, kind: str, why: str) -> Intrinsics:
    """The camera, or an error if it is not known; ``why`` says what needs it."""
    if camera is None:
        raise InvalidValueError(
            f"{kind} needs the camera of the picture, but the frame has none.",
            why=why,
            fix="Put a set_intrinsics step before it, or give read_frame camera=Intrinsics(focal_length_mm=..., "
            "pixel_pitch_um=...).",
        )
    return camera


def view_of(frame: Frame, *, kind: str, why: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tangents of the viewing angle of the rows and columns of a frame of one picture.

    Raises
    ------
    InvalidValueError
        The frame's camera is not known.
    """
    camera = known_camera(frame.camera[0] if frame.camera else None, kind=kind, why=why)
    origin = int(frame.origin_px[0, 0]), int(frame.origin_px[0, 1])
    return view_tangents(
        origin, frame.size_px, principal_point_px(camera, frame.full_size_px[0]), camera.focal_length_px
    )


def full_size(frame: Frame) -> tuple[int, int]:
    """Height and width of the full picture of a frame of one."""
    height, width = frame.full_size_px[0].tolist()
    return height, width


def labels_of(layout: ObjectLayout, frame: Frame) -> NDArray[np.int32]:
    """``[H, W]`` which object every pixel of a frame of one picture shows."""
    top, left = frame.origin_px[0].tolist()
    return for_array(layout.center_px).object_labels(layout, (top, left), frame.size_px)
