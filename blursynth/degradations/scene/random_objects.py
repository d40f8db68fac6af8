"""Random objects in a picture that has no labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from pydantic import Field

from blursynth.core import Degradation
from blursynth.frame import Encoding, Frame, array_library
from blursynth.physics.object_layout import ObjectShape, object_labels, random_layout

__all__ = ["RandomObjects"]


class RandomObjects(Degradation):
    """Labels of random objects, so that something can move in a photograph without labels; no pixel is changed.

    The full picture is divided into cells of ``spacing_px``, and each holds one object: an ellipse, a polygon or a blob
    with a smooth outline. Larger labels cover smaller ones.

    Easily confused: ``layered_depth`` sets such labels together with a depth. This kind leaves the depth unchanged.
    """

    takes: ClassVar[Encoding | None] = None
    gives: ClassVar[Encoding | None] = None
    in_target: ClassVar[bool] = True
    sets_geometry: ClassVar[bool] = True

    spacing_px: float = Field(default=160.0, ge=4, le=100_000, description="mean distance of neighboring objects in px")
    size_px: float = Field(
        default=120.0, ge=1, le=100_000, description="diameter of the objects in px; each has half to twice this"
    )
    shape: Literal["mixed", "ellipse", "polygon", "blob"] = Field(default="mixed", description="outline of the objects")
    keep: bool = Field(default=True, description="whether a picture that already has labels keeps them")
    seed: int = Field(ge=0, lt=2**63, description="seed of this sample's objects")

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        own = frame.labels
        if own is not None and all(step.keep for step in steps):
            return frame
        library = array_library(frame.image)
        assert library is not None
        labels = []
        for b, step in enumerate(steps):
            if own is not None and step.keep:
                labels.append(own[b])
                continue
            full = int(frame.full_size_px[b, 0]), int(frame.full_size_px[b, 1])
            layout = random_layout(step.seed, full, step.spacing_px, step.size_px, ObjectShape(step.shape))
            origin = int(frame.origin_px[b, 0]), int(frame.origin_px[b, 1])
            objects = object_labels(layout, origin, frame.size_px)
            labels.append(library.asarray(objects, device=frame.image.device))
        return frame.with_image(frame.image, labels=library.stack(labels))
