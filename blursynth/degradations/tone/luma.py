"""The luma of pictures, and the channels that steps with a luma take."""

from __future__ import annotations

from typing import Any

from blursynth.backends import for_array
from blursynth.errors import InvalidValueError
from blursynth.frame import Frame
from blursynth.physics.color import LUMA

__all__ = ["demand_gray_or_rgb", "luma_of"]


def luma_of(image: Any) -> Any:
    """``[B, 1, H, W]``: ``.299 R + .587 G + .114 B``, or the mean if there are not three channels."""
    channels = image.shape[1]
    return for_array(image).weighted_sum(image, LUMA if channels == 3 else (1.0 / channels,) * channels)


def demand_gray_or_rgb(what: str, frame: Frame) -> None:
    if frame.channels not in (1, 3):
        raise InvalidValueError(
            f"{what} takes pictures of 1 or 3 channels, got {frame.channels}.", fix="Drop the alpha channel."
        )
