"""The farthest slice that can be seen at every pixel; the same as the definition.

Most tiles of a picture show one slice, with nothing farther in reach. In the others the extremes of a rectangle are
those of the few squares that cover it, whose sides are a power of 2: for each of these there is a table of the extremes
of all squares.
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

_TILE = 32  # rows and columns of a job, at least


@_compiled
def _set(row, value):
    for n in range(len(row)):
        row[n] = value


@_compiled
def _copy(row, into):
    for n in range(len(row)):
        into[n] = row[n]


@_compiled
def _tables(least, most, size):
    """From the first of ``[K, N N]`` extremes those of the squares with sides of 2^k that begin at every place."""
    for k in range(1, len(least)):
        right = 1 << (k - 1)
        down = right * size
        # Over the ends of rows, where squares mean nothing: one long loop.
        places = (size - (1 << k)) * (size + 1) + 1
        one, two, three, four = least[k - 1], least[k - 1, right:], least[k - 1, down:], least[k - 1, down + right :]
        lower = least[k]
        for n in range(places):
            lower[n] = min(min(one[n], two[n]), min(three[n], four[n]))
        first, second, third, last = most[k - 1], most[k - 1, right:], most[k - 1, down:], most[k - 1, down + right :]
        upper = most[k]
        for n in range(places):
            upper[n] = max(max(first[n], second[n]), max(third[n], last[n]))


@_compiled
def _rectangle(tables, is_most, y, x, down, right):
    """The extreme of a table's numbers within so many rows and columns of a place."""
    k = 0
    while 2 << k <= 2 * min(down, right) + 1:
        k += 1
    side = 1 << k
    table, last_row, last_column = tables[k], y + down + 1 - side, x + right + 1 - side
    found = table[y - down, x - right]
    v = y - down
    while True:
        u = x - right
        while True:
            value = table[v, u]
            found = max(found, value) if is_most else min(found, value)
            if u == last_column:
                break
            u = min(u + side, last_column)
        if v == last_row:
            break
        v = min(v + side, last_row)
    return found


@_compiled
def _around(tables, is_most, y, x, reach):
    """The extreme of all that lies around a place."""
    aside = (3 * reach + 3) // 4
    one, two = (_rectangle(tables, is_most, y, x, reach, aside), _rectangle(tables, is_most, y, x, aside, reach))
    return max(one, two) if is_most else min(one, two)


@_compiled
def _farthest_tiles(first, last, order, reach, largest, out):
    height, width = order.shape
    tile = max(_TILE, 2 * largest)
    across = (width + tile - 1) // tile
    levels = 1
    while 1 << levels <= 2 * largest + 1:
        levels += 1
    size = tile + 2 * largest
    least, most = np.empty((levels, size, size), np.int32), np.empty((levels, size, size), np.int16)
    side = 1 << (levels - 1)
    aside = 2 * largest + 1 - side  # from the first square of that side to the last one in reach
    for job in range(first, last):
        top, left = job // across * tile, job % across * tile
        bottom, right = min(top + tile, height), min(left + tile, width)
        begin, end = max(0, left - largest), min(width, right + largest)
        farthest, nearest = order[top, left], order[top, left]
        for y in range(max(0, top - largest), min(height, bottom + largest)):
            line = order[y, begin:end]
            for x in range(len(line)):
                farthest = min(farthest, line[x])
        for y in range(top, bottom):
            line = order[y, left:right]
            for x in range(len(line)):
                nearest = max(nearest, line[x])
            _copy(line, out[y, left:])
        if farthest == nearest:
            continue
        for v in range(size):
            y, u = v + top - largest, begin + largest - left
            # What lies beyond the picture is never the extreme.
            inside = 0 <= y < height
            if not inside or end - begin < size:
                _set(least[0, v], 2**31 - 1)
                _set(most[0, v], 0)
            if inside:
                _copy(order[y, begin:end], least[0, v, u:])
                _copy(reach[y, begin:end], most[0, v, u:])
        _tables(least.reshape(levels, -1), most.reshape(levels, -1), size)
        squares = least[levels - 1]
        for y in range(top, bottom):
            v = y - top
            one, two = squares[v], squares[v + aside]
            for x in range(left, right):
                u = x - left
                if min(min(one[u], one[u + aside]), min(two[u], two[u + aside])) == order[y, x]:
                    continue  # nothing farther is near, however far the blurs reach
                wide = reach[y, x]
                while True:
                    wider = _around(most, True, v + largest, u + largest, wide)
                    if wider == wide:
                        break
                    wide = wider
                out[y, x] = _around(least, False, v + largest, u + largest, wide)


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
        tile = max(_TILE, 2 * largest)
        jobs = -(-height // tile) * -(-width // tile)
        share_out(_farthest_tiles, jobs, count, np.ascontiguousarray(order[b]), reach, largest, out[b])
    return out
