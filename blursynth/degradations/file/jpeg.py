"""JPEG compression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import Degradation, ShortExposure, in_groups
from blursynth.degradations.tone.luma import demand_gray_or_rgb
from blursynth.errors import InvalidValueError
from blursynth.frame import Encoding, Frame

__all__ = ["Jpeg"]

# Size in px (rows, columns) of the blocks that a decoder handles as one, by chroma subsampling.
_UNIT = {"444": (8, 8), "422": (8, 16), "420": (16, 16)}


class Jpeg(Degradation):
    """JPEG compression and decompression by libjpeg-turbo (through OpenCV), baseline, standard tables.

    The block grid is aligned with the full picture (``origin_px``), so that a crop with margin equals the same region
    of the compressed full picture. Any height and width are possible, and are kept.

    A picture that was cropped and saved again has been compressed twice, on two grids. To model this, use two steps
    with different names, and give the second one another ``grid_row_px`` and ``grid_column_px``.

    Takes 8-bit codes: put it after an encode step. Accepts gray or RGB pictures; other numbers of channels are refused.

    Tensors: the values of a CPU tensor are those of libjpeg; on a CUDA device the same steps are taken there, and nine
    codes of ten or more are the same (see :mod:`blursynth.backends.torch.jpeg_codes`). If a gradient is required, it is
    that of kornia's differentiable codec, for 4:2:0 and gray (see :mod:`blursynth.backends.torch.jpeg`); other
    subsamplings have none.

    Not modeled: progressive coding (same pixels), other encoders' tables, the codec's version (the data set records
    it).
    """

    takes: ClassVar[Encoding | None] = Encoding.DISPLAY
    gives: ClassVar[Encoding | None] = Encoding.DISPLAY
    code_bits: ClassVar[int | None] = 8

    quality: int = Field(
        ge=1, le=100, examples=[40], description="quality of libjpeg, 1 to 100; phones use about 90 to 97"
    )
    subsampling: Literal["444", "422", "420"] = Field(
        default="420", description="chroma subsampling; 420 in most phones, 444 keeps full resolution"
    )

    grid_row_px: int = Field(
        default=0, ge=0, le=15, description="row of the full picture where a block begins; 0 unless it was cropped"
    )
    grid_column_px: int = Field(default=0, ge=0, le=15, description="the same for columns")

    def short_exposure(self, exposure: ShortExposure) -> Degradation:
        return self if exposure.quality is None else self.replace(quality=max(self.quality, exposure.quality))

    def reach_px(self, frame: Frame) -> int | None:
        # A pixel depends on its own block and, if chroma is interpolated, on the neighboring one. On a device, the
        # filter that halves chroma also reads one pixel farther.
        if frame.channels == 1 or self.subsampling == "444":
            return 7
        return 16 if isinstance(frame.image, np.ndarray) else 17

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        demand_gray_or_rgb("JPEG", frame)
        if isinstance(frame.image, np.ndarray):
            return frame.with_image(cls._by_libjpeg(steps, frame))
        from blursynth.backends.torch import jpeg as codec  # tensors exist only if torch is loaded

        learns, on_device = codec.differentiable(frame.image), frame.image.device.type != "cpu"
        if learns and frame.channels != 1 and any(step.subsampling != "420" for step in steps):
            raise InvalidValueError(
                f"JPEG has a derivative only for subsampling '420', got {sorted({s.subsampling for s in steps})}.",
                why="It is that of kornia's differentiable codec, which halves chroma in both directions.",
                fix="Use subsampling='420', or detach() the picture.",
            )
        values = cls._on_device(steps, frame) if on_device else cls._by_libjpeg(steps, frame)
        if not learns:
            return frame.with_image(values)
        corners = [step._corner(frame.origin_px[b], (16, 16)) for b, step in enumerate(steps)]
        smooth = codec.jpeg(frame.image, [step.quality for step in steps], corners)
        return frame.with_image(codec.with_values_of(smooth, values))

    @classmethod
    def _on_device(cls, steps: Sequence[Self], frame: Frame) -> Any:
        """Values of tensors on a device, which stay there; those that are not finite become NaN."""
        from blursynth.backends.torch.jpeg_codes import jpeg_values

        def coded(alike: Sequence[Self], part: Frame) -> Frame:
            corners = [step._corner(part.origin_px[b], step._unit(part.channels)) for b, step in enumerate(alike)]
            quality = [step.quality for step in alike]
            return part.with_image(jpeg_values(part.image.detach(), quality, alike[0].subsampling, corners))

        return in_groups(steps, frame, lambda step: step.subsampling, coded).image

    @classmethod
    def _by_libjpeg(cls, steps: Sequence[Self], frame: Frame) -> Any:
        backend = for_array(frame.image)
        codes = backend.to_codes(frame.image)
        for b, step in enumerate(steps):
            corner = step._corner(frame.origin_px[b], step._unit(frame.channels))
            codes[b] = _compressed(codes[b], *corner, step.quality, step.subsampling)
        return backend.from_codes(codes, frame.image.dtype, frame.image.device)

    def _corner(self, origin_px: NDArray[np.int64], unit_px: tuple[int, int]) -> tuple[int, int]:
        """Row and column of the first pixel within its block."""
        grid = (self.grid_row_px, self.grid_column_px)
        top, left = ((int(o) - g) % u for o, g, u in zip(origin_px, grid, unit_px, strict=True))
        return top, left

    def _unit(self, channels: int) -> tuple[int, int]:
        return _UNIT["444" if channels == 1 else self.subsampling]


def _compressed(
    planes: NDArray[np.uint8], top: int, left: int, quality: int, subsampling: str
) -> Sequence[NDArray[np.uint8]]:
    """Planes after a JPEG round trip, with the block grid ``top`` and ``left`` px before their first pixel."""
    import cv2  # decoders take 0.1 s to load

    # OpenCV's order is blue, green, red; interleaving bytes is much faster than interleaving floats.
    picture = cv2.merge(list(planes[::-1])) if len(planes) == 3 else planes[0]
    if top or left:
        picture = cv2.copyMakeBorder(picture, top, 0, left, 0, cv2.BORDER_REPLICATE)
    factor = {"444": 0x111111, "422": 0x211111, "420": 0x221111}[subsampling]
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor]
    _, data = cv2.imencode(".jpg", picture, options)
    if len(planes) == 1:
        return [np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))[top:, left:]]
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return [np.asarray(plane) for plane in cv2.split(decoded[top:, left:])[::-1]]
