"""8-bit codes of display values and back, by their definition."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["from_codes", "to_codes"]


def to_codes(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """``round(255 x)``, clipped, rounded as numpy does: halves to even, in the image's own precision."""
    return np.asarray(np.rint(np.clip(image * image.dtype.type(255), 0, 255)), np.uint8)


def from_codes(codes: NDArray[np.uint8], dtype: Any = np.float32, device: Any = "cpu") -> NDArray[np.floating]:
    """``k / 255``."""
    return np.asarray(codes.astype(dtype) / np.dtype(dtype).type(255))
