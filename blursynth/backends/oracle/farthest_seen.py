"""The farthest slice that can be seen at every pixel: the definition, pixel by pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["farthest_seen"]


def farthest_seen(order: NDArray[np.int32], reach_px: NDArray[np.int32]) -> NDArray[np.int32]:
    """The least ``order`` around every pixel, as far as any blur there reaches.

    Around a pixel lies what is within R rows and R columns of it, and within three quarters of R along one of them, so
    a round blur of R is inside. R is the least number that is no smaller than ``reach_px`` of all that is so around.

    What is drawn at a pixel by a ray through the lens lies within the blur of what the ray meets. If nothing within
    the blurs of all that is around is farther than a slice, every ray has met something by then.
    """
    out = np.empty_like(order)
    for b, y, x in np.ndindex(*order.shape):
        reach = int(reach_px[b, y, x])
        while (most := max(int(part.max()) for part in _around(reach_px[b], y, x, reach))) > reach:
            reach = most
        out[b, y, x] = min(int(part.min()) for part in _around(order[b], y, x, reach))
    return out


def _around(plane: NDArray[np.int32], y: int, x: int, reach: int) -> list[NDArray[np.int32]]:
    aside = -(-3 * reach // 4)
    return [
        plane[max(0, y - down) : y + down + 1, max(0, x - right) : x + right + 1]
        for down, right in ((reach, aside), (aside, reach))
    ]
