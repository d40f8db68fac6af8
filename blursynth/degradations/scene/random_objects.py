"""Random objects in a picture that has no labels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from blursynth.core import Degradation
from blursynth.degradations.scene.scene_depth import full_size, labels_of
from blursynth.frame import Deferred, Encoding, Frame, array_library
from blursynth.physics.object_layout import ObjectShape, cells_of, random_layout

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
        kept = [frame.has_labels and step.keep for step in steps]
        if all(kept):
            return frame
        for step, one in zip(steps, frame, strict=True):
            cells_of(full_size(one), step.spacing_px)
        return frame.with_image(frame.image, labels=Deferred(partial(_labels_of, steps, frame.without_pixels(), kept)))


def _labels_of(steps: Sequence[RandomObjects], frame: Frame, kept: Sequence[bool]) -> Any:
    library: Any = array_library(frame.image)
    own: Any = frame.labels
    labels = []
    for b, (step, keeps) in enumerate(zip(steps, kept, strict=True)):
        if keeps:
            labels.append(own[b])
            continue
        one = frame[b]
        layout = random_layout(step.seed, full_size(one), step.spacing_px, step.size_px, ObjectShape(step.shape))
        labels.append(library.asarray(labels_of(layout, one), device=frame.image.device))
    return labels[0][None] if len(labels) == 1 else library.stack(labels)
