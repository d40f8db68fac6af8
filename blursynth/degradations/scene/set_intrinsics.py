"""The geometry of the camera that took a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import Field

from blursynth.core import Degradation
from blursynth.frame import Encoding, Frame, Intrinsics

__all__ = ["SetIntrinsics"]


class SetIntrinsics(Degradation):
    """Sets the geometry of the camera that took the picture; the pixels are unchanged.

    Blur that depends on geometry (lens and depth, camera shake) reads it from the frame. Focal length and pixel pitch
    together determine how many px a radian spans: ``1000 focal_length_mm / pixel_pitch_um``.

    Easily confused: the pitch is that of *this* picture. A picture that was downscaled by two has twice the pitch.

    Not modeled: distortion of the lens, pixels that are not square.
    """

    takes: ClassVar[Encoding | None] = None
    gives: ClassVar[Encoding | None] = None
    in_target: ClassVar[bool] = True
    sets_geometry: ClassVar[bool] = True

    focal_length_mm: float = Field(
        gt=0,
        le=1e5,
        examples=[4.2],
        description="focal length in mm, not the 35 mm equivalent; 4 to 7 in phones",
    )
    pixel_pitch_um: float = Field(
        gt=0,
        le=1e5,
        examples=[2.8],
        description="distance of this picture's pixel centers in um; 1 to 2 in phones at full size",
    )
    principal_row_px: float | None = Field(
        default=None,
        ge=-1e6,
        le=1e6,
        description="row of the optical axis in the full picture; default its center",
    )
    principal_column_px: float | None = Field(
        default=None, ge=-1e6, le=1e6, description="column of the optical axis in the full picture; default its center"
    )

    def intrinsics(self, full_size_px: Sequence[int]) -> Intrinsics:
        """The geometry for a full picture of this height and width."""
        point = None
        if self.principal_row_px is not None or self.principal_column_px is not None:
            row, column = self.principal_row_px, self.principal_column_px
            point = (
                (full_size_px[0] - 1) / 2 if row is None else row,
                (full_size_px[1] - 1) / 2 if column is None else column,
            )
        return Intrinsics(self.focal_length_mm, self.pixel_pitch_um, point)

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        sizes = frame.full_size_px.tolist()
        camera = tuple(step.intrinsics(size) for step, size in zip(steps, sizes, strict=True))
        return frame.with_image(frame.image, camera=camera)
