"""The luma of pictures, and the channels that steps with a luma take."""

from __future__ import annotations

from typing import Any

from blursynth.errors import InvalidValueError
from blursynth.frame import Frame

__all__ = ["demand_gray_or_rgb", "luma_of"]


def luma_of(image: Any) -> Any:
    """``[B, 1, H, W]``: ``.299 R + .587 G + .114 B``, or the mean if there are not three channels."""
    weights = (0.299, 0.587, 0.114) if image.shape[1] == 3 else (1.0 / image.shape[1],) * image.shape[1]
    luma = weights[0] * image[:, 0:1]
    for c in range(1, len(weights)):
        luma += weights[c] * image[:, c : c + 1]
    return luma


def demand_gray_or_rgb(what: str, frame: Frame) -> None:
    if frame.channels not in (1, 3):
        raise InvalidValueError(
            f"{what} takes pictures of 1 or 3 channels, got {frame.channels}.", fix="Drop the alpha channel."
        )
