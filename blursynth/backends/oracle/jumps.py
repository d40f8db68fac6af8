"""Where neighboring pixels of a picture differ by a jump."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["jumps"]


def jumps(level: NDArray[np.float64], *, jump: float) -> NDArray[np.int64]:
    """Pairs of neighbors, of which the first has the higher level."""
    height, width = level.shape
    pairs = []
    for y, x in np.ndindex(height, width):
        for v, u in ((y, x + 1), (y + 1, x - 1), (y + 1, x), (y + 1, x + 1)):
            if v < height and 0 <= u < width and abs(level[y, x] - level[v, u]) > jump:
                pair = y * width + x, v * width + u
                pairs.append(pair if level[y, x] > level[v, u] else pair[::-1])
    return np.array(pairs, np.int64).reshape(-1, 2).T
