"""What lies on both sides of the edges of nearer surfaces; the same as the definition, pixel by pixel.

The nearest edge pixel is found in two passes, down the columns and along the rows, up to the farthest that matters;
blocks of the picture without an edge in reach are skipped.
"""

# numba carries no types.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.cpu.convolve import _share, _threads_to_use
from blursynth.physics.surface_edges import (
    EVEN_AT_LEAST,
    FRONT_REACH_PX,
    MIRRORED_PX,
    OFF_LINE,
    PURE_REACH_PX,
    PURE_WITHIN,
    SAME_SLOPE,
    SLOPE_REACH_PX,
    SMALLEST_CONTRAST,
    STEEPEST,
    TELLING,
    THIN_BACK_PX,
    TRUST,
    UNEVEN_REACH_PX,
    UNEVEN_SHARE,
    SurfaceEdges,
)

__all__ = ["surface_edges", "surface_slope"]

_compiled = compiled(fastmath={"contract"})

_NEAR, _FAR = 1, 2
_BLOCK = 64  # columns


@_compiled
def _stands_out(level, y, x, step):
    """Whether a step is large beside the unevenness of the level around it, see the definition."""
    height, width = level.shape
    even, count = 0, 0
    top, bottom = max(0, y - UNEVEN_REACH_PX), min(height, y + UNEVEN_REACH_PX + 1)
    left, right = max(0, x - UNEVEN_REACH_PX), min(width, x + UNEVEN_REACH_PX + 1)
    most = UNEVEN_SHARE * step
    for v in range(top, bottom):
        for u in range(left, right):
            if left < u < right - 1:
                count += 1
                if abs(level[v, u - 1] - 2.0 * level[v, u] + level[v, u + 1]) <= most:
                    even += 1
            if top < v < bottom - 1:
                count += 1
                if abs(level[v - 1, u] - 2.0 * level[v, u] + level[v + 1, u]) <= most:
                    even += 1
    return even >= EVEN_AT_LEAST * count


@_compiled
def _extreme(level, y, x, reach):
    """The nearest and the farthest pixel within a reach, as ``row * W + column``."""
    height, width = level.shape
    nearest = farthest = -1
    most, least = -np.inf, np.inf
    for v in range(max(0, y - reach), min(height, y + reach + 1)):
        for u in range(max(0, x - reach), min(width, x + reach + 1)):
            if level[v, u] > most:
                most, nearest = level[v, u], v * width + u
            if level[v, u] < least:
                least, farthest = level[v, u], v * width + u
    return nearest, farthest


@_compiled
def _edge_rows(first, last, level, jump, uneven, edge, beside, behind):
    height, width = level.shape
    most, least = np.empty(width), np.empty(width)
    for y in range(first, last):
        edge[y] = 0
        # First the extremes of the columns, which the compiler makes vectors of, and most rows need nothing else.
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        for x in range(width):
            most[x] = max(max(level[above, x], level[y, x]), level[below, x])
            least[x] = min(min(level[above, x], level[y, x]), level[below, x])
        for x in range(width):
            left, right = max(x - 1, 0), min(x + 1, width - 1)
            own = level[y, x]
            down = own - min(min(least[left], least[x]), least[right])
            up = max(max(most[left], most[x]), most[right]) - own
            if down > jump or up > jump:
                if down > jump and (not uneven or _stands_out(level, y, x, down)):
                    edge[y, x] |= _NEAR
                    behind[y, x] = _extreme(level, y, x, 1)[1]
                if up > jump and (not uneven or _stands_out(level, y, x, up)):
                    edge[y, x] |= _FAR
                    beside[y, x] = _extreme(level, y, x, 1)[0]


@_compiled
def _mixed_rows(first, last, image, level, edge, jump, missing, front, share, pure, hidden):
    """Edge pixels explained by the unmixed colours of the two surfaces."""
    channels, height, width = image.shape
    mean, variance, weight = np.zeros((2, channels)), np.zeros(2), np.zeros(2)
    nearest = np.empty(2, np.int64)
    best = np.empty(2, np.int64)
    around = np.empty(((2 * PURE_REACH_PX + 1) ** 2, 2), np.int64)
    closeness = np.empty(len(around))
    for y in range(first, last):
        for x in range(width):
            if edge[y, x] == 0:
                continue
            count = 0
            high, low = _extreme(level, y, x, 1)
            own = level[y, x]
            # What hides something is in front, whatever hides a part of it elsewhere.
            hides = edge[y, x] & _NEAR
            front_level = own if hides else level[high // width, high % width]
            back_level = level[low // width, low % width] if hides else own
            middle = 0.5 * (front_level + back_level)
            allowed = max(jump, 0.5 * (front_level - back_level))
            mean[:], variance[:], weight[:], nearest[:], best[:] = 0.0, 0.0, 0.0, -1, 2**62
            top, bottom = max(0, y - PURE_REACH_PX), min(height, y + PURE_REACH_PX + 1)
            left, right = max(0, x - PURE_REACH_PX), min(width, x + PURE_REACH_PX + 1)
            for v in range(top, bottom):
                for u in range(left, right):
                    if edge[v, u] != 0 or not back_level - allowed <= level[v, u] <= front_level + allowed:
                        continue
                    side = 0 if level[v, u] > middle else 1
                    squared = (v - y) * (v - y) + (u - x) * (u - x)
                    w = 1.0 / (1.0 + squared)
                    around[count, 0], around[count, 1], closeness[count] = side, v * width + u, w
                    count += 1
                    weight[side] += w
                    for c in range(channels):
                        mean[side, c] += w * image[c, v, u]
                    if squared < best[side]:
                        best[side], nearest[side] = squared, v * width + u
            for side in range(2):
                if nearest[side] >= 0:
                    for c in range(channels):
                        mean[side, c] /= weight[side]
            for n in range(count):
                side, place = around[n, 0], around[n, 1]
                for c in range(channels):
                    variance[side] += closeness[n] * (image[c, place // width, place % width] - mean[side, c]) ** 2
            thin_front = nearest[0] < 0
            for side in range(2):
                if nearest[side] >= 0:
                    variance[side] /= weight[side]
            lost = False
            for turn in range(2):
                side = 1 - turn
                if nearest[side] >= 0 or lost:
                    continue
                reach = THIN_BACK_PX if side == 1 else 1
                known = side == 0 or not thin_front
                nearest[side] = _thin(image, level, y, x, middle, side, reach, mean[1 - side], known)
                lost = nearest[side] < 0
                if not lost:
                    for c in range(channels):
                        mean[side, c] = image[c, nearest[side] // width, nearest[side] % width]
            if lost:
                continue
            along, contrast, bright = 0.0, 0.0, 0.0
            for c in range(channels):
                difference = mean[0, c] - mean[1, c]
                bright += mean[0, c] * mean[0, c] + mean[1, c] * mean[1, c]
                along += (image[c, y, x] - mean[1, c]) * difference
                contrast += difference * difference
            side_share = 1.0 if level[y, x] > middle else 0.0
            doubt = SMALLEST_CONTRAST * bright + TRUST * (variance[0] + variance[1]) + 1e-300
            a = min(1.0, max(0.0, (along + doubt * side_share) / (contrast + doubt)))
            spread = variance[0 if side_share == 1.0 else 1] / channels
            both = (variance[0] + variance[1]) / channels
            off = along - side_share * contrast
            if (
                off * off <= contrast * max(PURE_WITHIN * PURE_WITHIN * spread, 1e-12 * contrast)
                or contrast <= TELLING * TELLING * both
            ):
                a = side_share
            if 0.0 < a < 1.0:
                plain, rest = min(1.0, max(0.0, along / contrast)), 0.0
                for c in range(channels):
                    rest += (image[c, y, x] - plain * mean[0, c] - (1.0 - plain) * mean[1, c]) ** 2
                if rest > OFF_LINE * OFF_LINE * contrast + PURE_WITHIN * PURE_WITHIN * both * channels:
                    a = side_share
            if 0.0 < a < 1.0:
                q = a * a + (1.0 - a) * (1.0 - a)
                for c in range(channels):
                    light = image[c, nearest[0] // width, nearest[0] % width]
                    behind = image[c, nearest[1] // width, nearest[1] % width]
                    rest = image[c, y, x] - a * light - (1.0 - a) * behind
                    if light + a / q * rest < 0.0 or behind + (1.0 - a) / q * rest < 0.0:
                        a = side_share
                        break
            if a == 0.0 and not missing and not hides:
                continue  # nothing is mixed in, and nothing counts as missing: a pixel like others
            nearest_front, squared = -1, 2**62
            for v in range(max(0, y - FRONT_REACH_PX), min(height, y + FRONT_REACH_PX + 1)):
                for u in range(max(0, x - FRONT_REACH_PX), min(width, x + FRONT_REACH_PX + 1)):
                    if level[v, u] > middle and (v - y) * (v - y) + (u - x) * (u - x) < squared:
                        squared, nearest_front = (v - y) * (v - y) + (u - x) * (u - x), v * width + u
            front[y, x], share[y, x], pure[y, x], hidden[y, x] = nearest_front, a, nearest[0], nearest[1]


@_compiled
def _thin(image, level, y, x, middle, side, reach, other, known):
    """The colour of a surface without unmixed pixels: where it differs most from the other's, or the nearest."""
    channels, height, width = image.shape
    found, most = -1, -np.inf
    for v in range(max(0, y - reach), min(height, y + reach + 1)):
        for u in range(max(0, x - reach), min(width, x + reach + 1)):
            if (level[v, u] > middle) != (side == 0):
                continue
            apart = 0.0
            if known:
                for c in range(channels):
                    apart += (image[c, v, u] - other[c]) ** 2
            else:
                apart = -float((v - y) * (v - y) + (u - x) * (u - x))
            if apart > most:
                most, found = apart, v * width + u
    return found


@_compiled
def _joined(level, behind, y, x, own, jump, steeper):
    """Whether a level is that of the surface which ends at an edge pixel of its near side, not of that behind it."""
    edge, farther = level[y, x], level[behind[y, x] // level.shape[1], behind[y, x] % level.shape[1]]
    return abs(edge - own) <= jump + steeper and own > farther + min(jump, 0.5 * (edge - farther))


@_compiled
def _near_columns(first, last, level, edge, behind, jump, steep, reach, nearest_row):
    """In every column the row of the nearest near edge pixel on one surface with the pixel; -1 for none in reach."""
    height = edge.shape[0]
    row = np.full(last - first, -(2**30), np.int32)
    for y in range(height):
        for x in range(first, last):
            if edge[y, x] & _NEAR:
                row[x - first] = y
            v, away = row[x - first], y - row[x - first]
            joined = away <= reach and _joined(level, behind, v, x, level[y, x], jump, steep * away)
            nearest_row[y, x] = v if joined else -1
    row[:] = 2**30
    for y in range(height - 1, -1, -1):
        for x in range(first, last):
            if edge[y, x] & _NEAR:
                row[x - first] = y
            v, away, above = row[x - first], row[x - first] - y, nearest_row[y, x]
            if (
                away <= reach
                and (above < 0 or away < y - above)
                and _joined(level, behind, v, x, level[y, x], jump, steep * away)
            ):
                nearest_row[y, x] = v


@_compiled
def _below(level, beside, y, x, jump):
    """Below which level a pixel is not of the surface that ends at an edge pixel of its far side."""
    top = level[beside // level.shape[1], beside % level.shape[1]]
    return top - min(jump, 0.5 * (top - level[y, x]))


@_compiled
def _far_columns(first, last, level, edge, beside, jump, wide, slack, far_row):
    """In every column the nearest edge pixels above and below beyond which nearer surfaces are missing; -1 for none."""
    height, width = edge.shape
    row, below, most = np.empty(last - first, np.int32), np.empty(last - first), np.empty(last - first)
    for turn in range(2):
        row[:], below[:], most[:] = 0, -np.inf, 0.0
        for line in range(height):
            y = line if turn == 0 else height - 1 - line
            for x in range(first, last):
                n = x - first
                if edge[y, x] & _FAR:
                    place = beside[y, x]
                    row[n], below[n] = y, _below(level, place, y, x, jump)
                    most[n] = wide[place // width, place % width] + slack
                far_row[turn, y, x] = row[n] if abs(y - row[n]) <= most[n] and level[y, x] < below[n] else -1


@_compiled
def _gaps(row, other, gap):
    """How far it is from every column to the nearest one with an edge pixel in reach; returns whether there is one."""
    width = row.size
    last = -(2**30)
    for x in range(width):
        if row[x] >= 0 or other[x] >= 0:
            last = x
        gap[x] = x - last
    if last < 0:
        return False
    last = 2**30
    for x in range(width - 1, -1, -1):
        if row[x] >= 0 or other[x] >= 0:
            last = x
        gap[x] = min(gap[x], last - x)
    return True


@_compiled
def _nearest_joined(y, x, gap, near_row, most_squared, level, behind, jump, steep):
    """The nearest of the near edge pixels of all columns that lies on the surface of the pixel."""
    width = near_row.shape[1]
    own = level[y, x]
    best, row, column = most_squared, -1, -1
    step = gap
    while step * step < best:
        for turn in range(2 if step else 1):
            u = x + step if turn == 0 else x - step
            if 0 <= u < width and near_row[y, u] >= 0:
                v = near_row[y, u]
                squared = step * step + (v - y) * (v - y)
                if squared < best and _joined(level, behind, v, u, own, jump, steep * math.sqrt(float(squared))):
                    best, row, column = squared, v, u
        step += 1
    return best, row, column


@_compiled
def _ends(level, beside, y, x, v, u, own, other, jump, wide, slack):
    """Whether at an edge pixel a surface ends that is missing here and is not what the pixel ``other`` shows."""
    place, width = beside[v, u], level.shape[1]
    ny, nx = place // width, place % width
    squared = (v - y) * (v - y) + (u - x) * (u - x)
    if not (own < _below(level, place, v, u, jump) and math.sqrt(float(squared)) <= wide[ny, nx] + slack):
        return False
    if other < 0:
        return True
    down, right = ny - other // width, nx - other % width
    apart = math.sqrt(float(down * down + right * right))
    return abs(level[ny, nx] - level[other // width, other % width]) > jump + SAME_SLOPE * apart


@_compiled
def _ends_beside(y, x, gap, far_row, most_squared, level, beside, own, other, jump, wide, slack):
    """The edge pixel of a surface nearer than a level that ends so near by that it matters that it is missing here.

    The surface that the pixel ``other`` shows does not count; -1 for none.
    """
    width = far_row.shape[2]
    best, row, column = most_squared, -1, -1
    step = gap
    while step * step < best:
        for turn in range(2 if step else 1):
            u = x + step if turn == 0 else x - step
            if not 0 <= u < width:
                continue
            above, below = far_row[0, y, u], far_row[1, y, u]
            # The nearer one first, of two as near the upper one.
            swapped = above < 0 or (below >= 0 and below - y < y - above)
            for again in range(2):
                v = below if swapped == (again == 0) else above
                squared = step * step + (v - y) * (v - y)
                if v >= 0 and squared < best and _ends(level, beside, y, x, v, u, own, other, jump, wide, slack):
                    best, row, column = squared, v, u
        step += 1
    return row, column


@_compiled
def _heights(far_row, beside, level, wide, y, reach, top, base, farthest):
    """For every block of 64 columns the nearest and the farthest of the surfaces that may be missing in it.

    And the square of how far off the edge of any of them still matters, and 1 more.
    """
    width = far_row.shape[2]
    most, least, away = np.full(top.size, -np.inf), np.full(top.size, np.inf), np.zeros(top.size)
    for turn in range(2):
        for u in range(width):
            if far_row[turn, y, u] >= 0:
                place, block = beside[far_row[turn, y, u], u], u // _BLOCK
                height = level[place // width, place % width]
                most[block], least[block] = max(most[block], height), min(least[block], height)
                away[block] = max(away[block], wide[place // width, place % width])
    around = reach // _BLOCK + 1
    for n in range(top.size):
        top[n], base[n], farther = -np.inf, np.inf, -np.inf
        for m in range(max(0, n - around), min(top.size, n + around + 1)):
            top[n], base[n] = max(top[n], most[m]), min(base[n], least[m])
            if most[m] > -np.inf:
                farther = max(farther, away[m])
        farthest[n] = farther


@_compiled
def _beyond_rows(
    first, last, level, edge, beside, behind, far_row, near_row, deep, wide, jump, slack, reach, front, share, hidden,
    missing, at_edges,
):  # fmt: skip
    """What goes on behind pixels at no edge, and which surfaces are missing."""
    height, width = level.shape
    steep = 0.0 if deep.size else STEEPEST
    farthest = (reach + 1) * (reach + 1)
    near_gap, far_gap = np.empty(width, np.int64), np.empty(width, np.int64)
    blocks = (width + _BLOCK - 1) // _BLOCK
    top, base, limit = np.empty(blocks), np.empty(blocks), np.empty(blocks)
    for y in range(first, last):
        if wide.size and _gaps(far_row[0, y], far_row[1, y], far_gap):
            _heights(far_row, beside, level, wide, y, reach, top, base, limit)
            found = np.full((2, 2), -1)
            for x in range(width):
                n = front[y, x]
                own, other = level[n // width, n % width] if n >= 0 else level[y, x], np.int64(-1)
                within = n >= 0 and share[y, x] < 1.0
                if within:
                    missing[0, y, x], other = n, np.int64(n)
                block = x // _BLOCK
                if far_gap[x] > reach or top[block] - own <= 0.5 * jump:
                    continue
                most_far = int(limit[block] + slack) + 1
                for which in range(1 if within else 0, 2):
                    if other >= 0:
                        at = level[other // width, other % width]
                        if top[block] - at <= jump and at - base[block] <= jump:
                            found[which, 0] = -1  # all that end around here are as near as that one
                            break
                    row, column = found[which]
                    most_squared = most_far * most_far
                    # That of the pixel beside it is nearly always near: look no farther.
                    if row >= 0 and _ends(level, beside, y, x, row, column, own, other, jump, wide, slack):
                        most_squared = (row - y) * (row - y) + (column - x) * (column - x) + 1
                    row, column = _ends_beside(
                        y, x, far_gap[x], far_row, most_squared, level, beside, own, other, jump, wide, slack
                    )
                    found[which, 0], found[which, 1] = row, column
                    if row < 0:
                        break
                    other = np.int64(beside[row, column])
                    missing[which, y, x] = other
        if not _gaps(near_row[y], near_row[y], near_gap):
            continue
        row, column = -1, -1
        for x in range(width):
            if near_gap[x] > reach or (edge[y, x] != 0 and (wide.size or edge[y, x] & _NEAR or front[y, x] >= 0)):
                continue
            most_squared = farthest
            if row >= 0:
                squared = (row - y) * (row - y) + (column - x) * (column - x)
                if _joined(level, behind, row, column, level[y, x], jump, steep * math.sqrt(float(squared))):
                    most_squared = min(squared + 1, farthest)
            best, row, column = _nearest_joined(y, x, near_gap[x], near_row, most_squared, level, behind, jump, steep)
            if row < 0:
                continue
            away = math.sqrt(float(best))
            farther = behind[row, column]
            fy, fx = farther // width, farther % width
            depth = deep[row, column] + deep[fy, fx] if deep.size else level[row, column] - level[fy, fx]
            if away > depth + slack:
                continue
            origin = at_edges[fy, fx] if at_edges[fy, fx] >= 0 else farther
            oy, ox = origin // width, origin % width
            down, right = float(oy - y), float(ox - x)
            length = math.sqrt(down * down + right * right)
            middle = 0.5 * (level[row, column] + level[fy, fx])
            found, step_px = origin, away % (2.0 * MIRRORED_PX)
            step_px = max(1.0, min(step_px, 2.0 * MIRRORED_PX - step_px))
            while step_px >= 1.0 and length > 0.0:
                v = math.floor(oy + down / length * step_px + 0.5)
                u = math.floor(ox + right / length * step_px + 0.5)
                inside = 0 <= v < height and 0 <= u < width and edge[v, u] == 0
                if inside and level[v, u] < middle and abs(level[v, u] - level[oy, ox]) <= jump + steep * step_px:
                    found = v * width + u
                    break
                step_px *= 0.5
            hidden[y, x] = found


def surface_edges(
    image: NDArray[np.floating],
    level: NDArray[np.float64],
    deep_px: NDArray[np.float64] | None,
    wide_px: NDArray[np.float64] | None,
    *,
    jump: float,
    slack_px: float,
    threads: int | None = None,
) -> SurfaceEdges:
    """Which surface lies in front of every pixel, how much of it that covers, and what goes on behind.

    See :func:`blursynth.backends.reference.surface_edges.surface_edges` for the definition.
    """
    out = SurfaceEdges.none(level.shape)
    height, width = level.shape[1:]
    count = _threads_to_use(threads) if height * width > 65536 else 1
    empty = np.empty((0, 0))
    for b in range(len(level)):
        here = np.ascontiguousarray(level[b], np.float64)
        edge = np.empty((height, width), np.uint8)
        beside, behind = np.empty((height, width), np.int32), np.empty((height, width), np.int32)
        _share(_edge_rows, height, count, here, float(jump), deep_px is None, edge, beside, behind)
        if not edge.any():
            continue
        picture = np.ascontiguousarray(image[b], image.dtype.newbyteorder("="))
        made = (out.front[b], out.share[b], out.pure[b], out.hidden[b])
        _share(_mixed_rows, height, count, picture, here, edge, float(jump), wide_px is not None, *made)
        deep = empty if deep_px is None else np.ascontiguousarray(deep_px[b])
        wide = empty if wide_px is None else np.ascontiguousarray(wide_px[b])
        at = edge > 0
        farthest = 2.0 * float(deep[at].max()) if deep.size else float(np.ptp(here))
        if wide.size:
            farthest = max(farthest, float(wide[at].max()))
        reach = math.ceil(farthest + slack_px)
        far_row = np.empty((2, height if wide.size else 0, width), np.int32)
        near_row = np.empty((height, width), np.int32)
        if wide.size:
            _share(_far_columns, width, count, here, edge, beside, float(jump), wide, float(slack_px), far_row)
        steep = 0.0 if deep.size else STEEPEST
        _share(_near_columns, width, count, here, edge, behind, float(jump), steep, reach, near_row)
        at_edges = out.hidden[b].copy()
        _share(
            _beyond_rows, height, count, here, edge, beside, behind, far_row, near_row, deep, wide, float(jump),
            float(slack_px), reach, out.front[b], out.share[b], out.hidden[b], out.missing[b], at_edges,
        )  # fmt: skip
    return out


@_compiled
def _slope_rows(first, last, radius, jump, out):
    height, width = radius.shape
    reach = SLOPE_REACH_PX
    sum_y, sum_x, yy, xx, yx = np.empty(width), np.empty(width), np.empty(width), np.empty(width), np.empty(width)
    for y in range(first, last):
        sum_y[:], sum_x[:], yy[:], xx[:], yx[:] = 0.0, 0.0, 0.0, 0.0, 0.0
        for v in range(max(0, y - reach), min(height, y + reach + 1)):
            for step in range(-reach, reach + 1):
                # Along the row last and without branches, so that the compiler makes vectors of it.
                down, right = float(v - y), float(step)
                most = jump * (0.5 + 0.7 * max(1.0, max(abs(down), abs(right))))
                here, there = max(0, -step), max(0, step)
                count = width - here - there
                own, other = radius[y, here:], radius[v, there:]
                by_y, by_x, of_yy, of_xx, of_yx = sum_y[here:], sum_x[here:], yy[here:], xx[here:], yx[here:]
                for n in range(count):
                    difference = other[n] - own[n]
                    same = 1.0 if abs(difference) <= most else 0.0
                    by_y[n] += same * (down * difference)
                    by_x[n] += same * (right * difference)
                    of_yy[n] += same * (down * down)
                    of_xx[n] += same * (right * right)
                    of_yx[n] += same * (down * right)
        for x in range(width):
            determinant = yy[x] * xx[x] - yx[x] * yx[x]
            if determinant < 1.0:  # all of them in one line
                out[0, y, x], out[1, y, x] = sum_y[x] / max(yy[x], 1.0), sum_x[x] / max(xx[x], 1.0)
            else:
                out[0, y, x] = (xx[x] * sum_y[x] - yx[x] * sum_x[x]) / determinant
                out[1, y, x] = (yy[x] * sum_x[x] - yx[x] * sum_y[x]) / determinant


def surface_slope(radius_px: NDArray[np.float64], *, jump: float, threads: int | None = None) -> NDArray[np.float64]:
    """``[B, 2, H, W]`` derivative of a radius by row and column, over one surface; see the definition."""
    batch, height, width = radius_px.shape
    out = np.empty((batch, 2, height, width))
    count = _threads_to_use(threads) if height * width > 65536 else 1
    for b in range(batch):
        _share(_slope_rows, height, count, np.ascontiguousarray(radius_px[b], np.float64), float(jump), out[b])
    return out
