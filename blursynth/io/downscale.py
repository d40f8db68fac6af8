"""Downscaling: noisy or JPEG-compressed sources are clean at a half or a quarter of their size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from blursynth.backends import for_array
from blursynth.errors import InvalidValueError
from blursynth.frame import Encoding, Frame, Intrinsics

__all__ = ["FACTORS", "block_mean", "check_factor", "downscale", "nearest_to_center"]

FACTORS = (2, 8)
"""Smallest and largest factor of :func:`downscale`."""


def downscale(frame: Frame, factor: int) -> Frame:
    """The frame at ``1 / factor`` of its size: means of ``factor x factor`` pixels, computed in linear light.

    Averaging reduces noise and JPEG blocks, and restores full color resolution after mosaic interpolation or chroma
    subsampling. Rows and columns that do not fill a block are cropped at the bottom and at the right.

    Parameters
    ----------
    frame
        LINEAR or DISPLAY. A display frame is decoded as sRGB, averaged, and encoded again without rounding, so that no
        new steps arise.
    factor
        2 to 8.

    Returns
    -------
    Frame
        Depth and labels are those of the pixel nearest to the center of each block (the one after it if the factor is
        even), since a mean of depths across an edge would create a surface that does not exist. The pixel pitch of the
        camera grows by the factor, and its principal point is adjusted.

    Raises
    ------
    InvalidValueError
        The factor is out of range, the frame is raw, the picture is smaller than one block, or a window does not begin
        on a block.

    Notes
    -----
    Pixels are averaged over their area, which passes some aliasing. A sharper filter would ring, and its negative lobes
    would create light that does not exist.

    Examples
    --------
    >>> edge = Frame(np.repeat([[0.0, 1.0]], 2, axis=0), "display")
    >>> round(float(downscale(edge, 2).image[0, 0, 0, 0]), 4)
    0.7354
    """
    check_factor(factor)
    if frame.encoding is Encoding.RAW:
        raise InvalidValueError(
            "downscale takes a linear or a display frame, got a raw one.",
            why="Neighboring pixels of a mosaic have different colors.",
            fix="Put a develop step before it.",
        )
    height, width = frame.size_px
    if min(height, width) < factor:
        raise InvalidValueError(
            f"downscale: a picture of {height} x {width} px has no block of {factor} x {factor}.",
            fix="Use a smaller factor.",
        )
    if (frame.origin_px % factor).any():
        raise InvalidValueError(
            f"downscale: the frame begins at {frame.origin_px.tolist()} px of its picture, which is not a multiple of "
            f"{factor}.",
            why="Blocks of a window must coincide with those of the whole picture.",
            fix="Downscale the whole picture, or crop it at a multiple.",
        )
    backend = for_array(frame.image)
    display = frame.encoding is Encoding.DISPLAY
    image = block_mean(backend.srgb_decode(frame.image) if display else frame.image, factor)
    return frame.with_image(
        image=backend.srgb_encode(image) if display else image,
        depth_m=None if frame.depth_m is None else nearest_to_center(frame.depth_m, factor),
        labels=None if frame.labels is None else nearest_to_center(frame.labels, factor),
        camera=tuple(_coarser(camera, factor) for camera in frame.camera),
        origin_px=frame.origin_px // factor,
        full_size_px=frame.full_size_px // factor,
    )


def check_factor(factor: object, *, name: str = "factor", least: int = FACTORS[0]) -> None:
    """Refuse what is not an integer within :data:`FACTORS`."""
    if isinstance(factor, bool) or not isinstance(factor, int) or not least <= factor <= FACTORS[1]:
        raise InvalidValueError(
            f"{name} must be an integer {least} to {FACTORS[1]}, got {factor!r}.",
            why="Pictures are averaged over whole blocks of pixels.",
        )


def block_mean(image: Any, factor: int) -> Any:
    """``[..., H // factor, W // factor]`` means of blocks, added in one order whatever the size of the array."""
    height, width = (int(n) // factor * factor for n in image.shape[-2:])
    rows = sum(image[..., first:height:factor, :width] for first in range(factor))
    total: Any = sum(rows[..., first::factor] for first in range(factor))
    return total / factor**2


def nearest_to_center(values: Any, factor: int) -> Any:
    """``[..., H // factor, W // factor]`` the pixel of each block that is nearest to its middle."""
    height, width = (int(n) // factor * factor for n in values.shape[-2:])
    chosen = values[..., factor // 2 : height : factor, factor // 2 : width : factor]
    return np.ascontiguousarray(chosen) if isinstance(chosen, np.ndarray) else chosen.contiguous()


def _coarser(camera: Intrinsics, factor: int) -> Intrinsics:
    point = camera.principal_point_px
    if point is not None:  # pixel centers lie at integers
        point = ((point[0] + 0.5) / factor - 0.5, (point[1] + 0.5) / factor - 0.5)
    return replace(camera, pixel_pitch_um=camera.pixel_pitch_um * factor, principal_point_px=point)
