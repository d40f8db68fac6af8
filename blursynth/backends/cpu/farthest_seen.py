"""The farthest slice that can be seen at every pixel; the same as the definition.

The extremes of a rectangle are those of the few squares that cover it, whose sides are a power of 2: for each of these
there is a table of the extremes of all squares.
"""

# numba carries no types.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.threads import share_out, threads_to_use

__all__ = ["farthest_seen"]

_compiled = compiled()

_ROWS = 64  # of a job


@_compiled
def _tables(order, reach, least, most):
    """``[K, H, W]`` extremes of the squares with sides of 2^k that begin at every pixel, as far as there are pixels."""
    height, width = order.shape
    least[0], most[0] = order, reach
    for k in range(1, len(least)):
        side = 1 << (k - 1)
        for y in range(height):
            below = min(y + side, height - 1)
            upper, lower, row = least[k - 1, y], least[k - 1, below], least[k, y]
            for x in range(width):
                row[x] = min(upper[x], lower[x])
            # From the left, so that what is to the right is of the rows alone.
            for x in range(width - side):
                row[x] = min(row[x], row[x + side])
            high, deep, line = most[k - 1, y], most[k - 1, below], most[k, y]
            for x in range(width):
                line[x] = max(high[x], deep[x])
            for x in range(width - side):
                line[x] = max(line[x], line[x + side])


@_compiled
def _rectangle(tables, is_most, y, x, down, right):
    """The extreme of a table's numbers within so many rows and columns of a pixel."""
    height, width = tables.shape[1:]
    top, bottom = max(0, y - down), min(height, y + down + 1)
    first, last = max(0, x - right), min(width, x + right + 1)
    k = 0
    while 2 << k <= min(bottom - top, last - first):
        k += 1
    side = 1 << k
    table = tables[k]
    found = table[top, first]
    v = top
    while True:
        u = first
        while True:
            value = table[v, u]
            found = max(found, value) if is_most else min(found, value)
            if u == last - side:
                break
            u = min(u + side, last - side)
        if v == bottom - side:
            break
        v = min(v + side, bottom - side)
    return found


@_compiled
def _around(tables, is_most, y, x, reach):
    """The extreme of all that lies around a pixel."""
    aside = (3 * reach + 3) // 4
    one, two = (_rectangle(tables, is_most, y, x, reach, aside), _rectangle(tables, is_most, y, x, aside, reach))
    return max(one, two) if is_most else min(one, two)


@_compiled
def _farthest_rows(first, last, order, reach, largest, out):
    height, width = order.shape
    count = 1
    while 1 << count <= 2 * largest + 1:
        count += 1
    for job in range(first, last):
        top, bottom = job * _ROWS, min((job + 1) * _ROWS, height)
        start, stop = max(0, top - largest), min(height, bottom + largest)
        least = np.empty((count, stop - start, width), np.int32)
        most = np.empty((count, stop - start, width), np.int16)
        _tables(order[start:stop], reach[start:stop], least, most)
        for y in range(top, bottom):
            for x in range(width):
                own = order[y, x]
                if _rectangle(least, False, y - start, x, largest, largest) == own:
                    out[y, x] = own  # nothing farther is near, however far the blurs reach
                    continue
                wide = reach[y, x]
                while True:
                    wider = _around(most, True, y - start, x, wide)
                    if wider == wide:
                        break
                    wide = wider
                out[y, x] = _around(least, False, y - start, x, wide)


def farthest_seen(
    order: NDArray[np.int32], reach_px: NDArray[np.int32], *, threads: int | None = None
) -> NDArray[np.int32]:
    """``[B, H, W]`` int32: the least order around every pixel, as far as any blur there reaches."""
    out = np.empty_like(order)
    height, width = order.shape[1:]
    count = threads_to_use(threads) if height * width > 65536 else 1
    for b in range(len(order)):
        reach = np.ascontiguousarray(reach_px[b], np.int16)
        largest = int(reach.max(initial=0))
        share_out(_farthest_rows, -(-height // _ROWS), count, np.ascontiguousarray(order[b]), reach, largest, out[b])
    return out
