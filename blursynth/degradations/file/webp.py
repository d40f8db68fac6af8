"""WebP compression."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import Degradation, ShortExposure
from blursynth.degradations.tone.luma import demand_gray_or_rgb
from blursynth.errors import InvalidValueError
from blursynth.frame import Encoding, Frame

__all__ = ["Webp"]

_BLOCK_PX = 16  # a macroblock
_LARGEST_PX = 16383  # side of a picture that the format can hold


class Webp(Degradation):
    """Lossy WebP compression and decompression by libwebp (through Pillow): VP8 key frames, 4:2:0.

    The block grid is aligned with the full picture (``origin_px``). Blocks are predicted from their neighbors, and the
    encoder distributes bits over the whole picture, so a change in one block changes most other pixels by as much as
    the compression itself. The reach is therefore unbounded, and data sets compress whole pictures, not windows. Any
    height and width up to 16383 px are possible, and are kept.

    Takes 8-bit codes: put it after an encode step. Accepts gray or RGB pictures; other numbers of channels are refused.
    Tensors are processed on the CPU, and one that requires a gradient is refused.

    Not modeled: lossless WebP (changes nothing), transparency, animation, presets other than the default one, the
    codec's version (the data set records Pillow's).
    """

    takes: ClassVar[Encoding | None] = Encoding.DISPLAY
    gives: ClassVar[Encoding | None] = Encoding.DISPLAY
    code_bits: ClassVar[int | None] = 8

    quality: int = Field(
        ge=0, le=100, examples=[40], description="quality of libwebp, 0 to 100; web services use about 75 to 85"
    )
    effort: int = Field(
        default=4, ge=0, le=6, description="the encoder's method; 0 is five times as fast as 4, with larger files"
    )
    grid_row_px: int = Field(
        default=0, ge=0, le=15, description="row of the full picture where a block begins; 0 unless it was cropped"
    )
    grid_column_px: int = Field(default=0, ge=0, le=15, description="the same for columns")

    def short_exposure(self, exposure: ShortExposure) -> Degradation:
        return self if exposure.quality is None else self.replace(quality=max(self.quality, exposure.quality))

    def reach_px(self, frame: Frame) -> int | None:
        return None

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        demand_gray_or_rgb("WebP", frame)
        if max(frame.size_px) > _LARGEST_PX - _BLOCK_PX:
            raise InvalidValueError(
                f"WebP holds pictures of at most {_LARGEST_PX} px a side, got {frame.size_px[0]} x {frame.size_px[1]}.",
                fix="Use JPEG, or smaller pictures.",
            )
        if getattr(frame.image, "requires_grad", False):
            raise InvalidValueError(
                "WebP has no derivative.",
                why="Its pixels are rounded, and so are the codes that they are predicted from.",
                fix="Compute the loss before it, or detach() the picture before this step; JPEG has a derivative.",
            )
        backend = for_array(frame.image)
        codes = backend.to_codes(frame.image)
        for b, step in enumerate(steps):
            grid = (step.grid_row_px, step.grid_column_px)
            top, left = ((int(o) - g) % _BLOCK_PX for o, g in zip(frame.origin_px[b], grid, strict=True))
            codes[b] = _compressed(codes[b], top, left, step.quality, step.effort)
        return frame.with_image(backend.from_codes(codes, frame.image.dtype, frame.image.device))


def _compressed(planes: NDArray[np.uint8], top: int, left: int, quality: int, effort: int) -> NDArray[np.uint8]:
    """Planes after a WebP round trip, with the block grid ``top`` and ``left`` px before their first pixel."""
    from PIL import Image  # takes .05 s to load

    wide = np.pad(planes, ((0, 0), (top, 0), (left, 0)), mode="edge") if top or left else planes
    # The format has no gray pictures: their chroma is constant.
    picture = np.ascontiguousarray(np.moveaxis(np.broadcast_to(wide, (3, *wide.shape[1:])), 0, -1))
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "WEBP", quality=quality, method=effort)
    decoded = np.asarray(Image.open(data).convert("RGB"))[top:, left:]
    return np.moveaxis(decoded, -1, 0) if len(planes) == 3 else decoded[None, :, :, 1]
