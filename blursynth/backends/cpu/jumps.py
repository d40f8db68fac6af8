"""Where neighboring pixels of a picture differ by a jump; few do, and those are found by vectors."""

# numba carries no types.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.cpu.compilation import compiled

__all__ = ["jumps"]


@compiled
def _marked(level, jump, marks):
    """Mark the pixels that differ by a jump from one to the right or below; returns how many do."""
    height, width = level.shape
    count = 0
    for y in range(height):
        line, line_below, into = level[y], level[min(y + 1, height - 1)], marks[y]
        into[0], into[width - 1] = True, True  # looked at one by one, as they have fewer neighbors
        here, right = line[1:], line[2:]
        lower_left, lower, lower_right, inner = line_below, line_below[1:], line_below[2:], into[1:]
        for x in range(len(lower_right)):
            own = here[x]
            beside, beyond = max(abs(own - right[x]), abs(own - lower[x])), abs(own - lower_left[x])
            inner[x] = max(max(beside, beyond), abs(own - lower_right[x])) > jump
        for x in range(width):
            count += into[x]
    return count


@compiled
def _pairs(level, jump, marks, pairs):
    """All pairs at marked pixels; returns how many there are."""
    height, width = level.shape
    count = 0
    for y in range(height):
        for x in range(width):
            if not marks[y, x]:
                continue
            for n in range(4):
                v, u = (y, x + 1) if n == 0 else (y + 1, x + n - 2)
                if v == height or u < 0 or u == width or not abs(level[y, x] - level[v, u]) > jump:
                    continue
                nearer = 0 if level[y, x] > level[v, u] else 1
                pairs[nearer, count], pairs[1 - nearer, count] = y * width + x, v * width + u
                count += 1
    return count


def jumps(level: NDArray[np.float64], *, jump: float) -> NDArray[np.int64]:
    """Pairs of neighbors, of which the first has the higher level."""
    level = np.ascontiguousarray(level)
    marks = np.empty(level.shape, np.bool_)
    pairs = np.empty((2, 4 * _marked(level, jump, marks)), np.int64)
    return pairs[:, : _pairs(level, jump, marks, pairs)]
