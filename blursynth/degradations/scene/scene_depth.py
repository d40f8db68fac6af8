"""Base of all steps that give a picture a depth."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.core import Degradation
from blursynth.errors import InvalidValueError
from blursynth.frame import Encoding, Frame, Intrinsics, array_library
from blursynth.physics.surfaces import view_tangents
from blursynth.physics.warps import principal_point_px

__all__ = ["SceneDepth", "known_camera", "view_of"]


class SceneDepth(Degradation):
    """A synthetic depth for pictures with unknown depth; no pixel is changed, and the target gets the same depth.

    It is a function of absolute positions in the full picture, so that a window has the depth of the whole.
    """

    takes: ClassVar[Encoding | None] = None
    gives: ClassVar[Encoding | None] = None
    in_target: ClassVar[bool] = True
    sets_geometry: ClassVar[bool] = True

    keep: bool = Field(default=True, description="whether a picture that already has depth keeps it, with its labels")

    @abstractmethod
    def surfaces(self, frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.int32] | None]:
        """Depth ``[H, W]`` in meters and, if this kind sets them, labels ``[H, W]`` of a frame of one picture."""

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        own = frame.depth_m
        if own is not None and all(step.keep for step in steps):
            return frame
        library = array_library(frame.image)
        assert library is not None
        depths, labels = [], []
        for b, step in enumerate(steps):
            if own is not None and step.keep:
                depths.append(own[b])
                labels.append(None if frame.labels is None else frame.labels[b])
                continue
            depth, objects = step.surfaces(frame[b])
            depths.append(library.asarray(depth, dtype=frame.image.dtype, device=frame.image.device))
            if objects is not None:
                labels.append(library.asarray(objects, device=frame.image.device))
            else:
                labels.append(None if frame.labels is None else frame.labels[b])
        if any(mark is None for mark in labels) and any(mark is not None for mark in labels):
            raise InvalidValueError(
                f"{cls.kind}: some pictures of the batch keep their depth and have no labels, others get labels.",
                why="Either all or none of the pictures of a batch have labels.",
                fix="Use keep=False, or apply it one by one.",
            )
        return frame.with_image(
            frame.image,
            depth_m=library.stack(depths),
            labels=None if labels[0] is None else library.stack(labels),
        )


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
