"""What lies on both sides of the edges of nearer surfaces; the same as the definition, pixel by pixel.

The nearest edge pixel is found in two passes, down the columns and along the rows, where the nearest ones of every
column are held against those of the pixels that they matter to.
"""

# numba carries no types.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.threads import share_out, threads_to_use
from blursynth.physics.surface_edges import (
    EVEN_AT_LEAST,
    FRONT_REACH_PX,
    MIRRORED_PX,
    OFF_LINE,
    PURE_REACH_PX,
    PURE_WITHIN,
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
# What the searches need of an edge pixel.
_ROW, _BETWEEN, _MATTERS, _LEVEL, _AT_ROW, _AT_COLUMN = range(6)
# First bits of what the number of a nearest edge pixel consists of; pictures have less than 2^20 columns and rows.
_SIDE, _COLUMNS, _SQUARED = 1, 2, 22
_NONE = 2**63 - 1


@_compiled
def _stands_out(level, y, x, step):
    """Whether a step is large compared with the unevenness of the level around it, see the definition."""
    height, width = level.shape
    top, bottom = max(0, y - UNEVEN_REACH_PX), min(height, y + UNEVEN_REACH_PX + 1)
    left, right = max(0, x - UNEVEN_REACH_PX), min(width, x + UNEVEN_REACH_PX + 1)
    rows, columns = bottom - top, right - left
    enough = EVEN_AT_LEAST * (rows * max(columns - 2, 0) + columns * max(rows - 2, 0))
    most, even = UNEVEN_SHARE * step, 0
    for v in range(top, bottom):
        for u in range(left + 1, right - 1):
            even += abs(level[v, u - 1] - 2.0 * level[v, u] + level[v, u + 1]) <= most
        if top < v < bottom - 1:
            for u in range(left, right):
                even += abs(level[v - 1, u] - 2.0 * level[v, u] + level[v + 1, u]) <= most
        if even >= enough:  # mostly after a few rows
            return True
    return False


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
    most, least = np.empty(width + 2), np.empty(width + 2)
    words = np.zeros((width + 7) // 8, np.uint64)
    flags = words.view(np.uint8)
    for y in range(first, last):
        # First which pixels have a step, as vectors: most rows have none, and nothing else is needed there.
        above, here, below = level[max(y - 1, 0)], level[y], level[min(y + 1, height - 1)]
        for x in range(width):
            most[x + 1] = max(max(above[x], here[x]), below[x])
            least[x + 1] = min(min(above[x], here[x]), below[x])
        most[0], most[width + 1], least[0], least[width + 1] = most[1], most[width], least[1], least[width]
        for x in range(width):
            down = here[x] - min(min(least[x], least[x + 1]), least[x + 2])
            up = max(max(most[x], most[x + 1]), most[x + 2]) - here[x]
            edge[y, x] = 0
            flags[x] = max(down, up) > jump
        for n in range(len(words)):
            if words[n] == 0:
                continue
            for x in range(8 * n, min(8 * n + 8, width)):
                if flags[x]:
                    nearest, farthest = _extreme(level, y, x, 1)
                    down = here[x] - level[farthest // width, farthest % width]
                    up = level[nearest // width, nearest % width] - here[x]
                    if down > jump and (not uneven or _stands_out(level, y, x, down)):
                        edge[y, x] |= _NEAR
                    if up > jump and (not uneven or _stands_out(level, y, x, up)):
                        edge[y, x] |= _FAR
                    beside[y, x], behind[y, x] = nearest, farthest


@_compiled
def _unmixed(level, edge, y, x, least, middle, most, weights, around, closeness):
    """The pixels around that are at no edge: how many of the surface in front (0), and of the one behind (1)."""
    height, width = level.shape
    front, back, front_weight, back_weight = around[0], around[1], closeness[0], closeness[1]
    fronts = backs = np.uint64(0)
    for v in range(max(0, y - PURE_REACH_PX), min(height, y + PURE_REACH_PX + 1)):
        levels, edges, weight = level[v], edge[v], weights[v - y + PURE_REACH_PX]
        for u in range(max(0, x - PURE_REACH_PX), min(width, x + PURE_REACH_PX + 1)):
            if edges[u] == 0:
                # Without branches, which nobody could predict: what does not count is written over.
                own, place = levels[u], np.int32(v * width + u)
                front[fronts] = back[backs] = place
                front_weight[fronts] = back_weight[backs] = weight[u - x + PURE_REACH_PX]
                counts = (own >= least) & (own <= most)
                fronts += np.uint64(counts & (own > middle))
                backs += np.uint64(counts & (own <= middle))
    return fronts, backs


@_compiled
def _statistics(flat, places, weights, mean):
    """The mean of colors; returns their variance, of all channels together, and the place of largest weight."""
    channels = len(flat)
    total, largest, nearest = 0.0, 0.0, -1
    for n in range(len(places)):
        total += weights[n]
        if weights[n] > largest:
            largest, nearest = weights[n], places[n]
    variance = 0.0
    mean[:] = 0.0
    for c in range(0, channels if len(places) else 0, 3):  # three at a time, or else each waits for its own sum
        d, e = min(c + 1, channels - 1), min(c + 2, channels - 1)
        one, two, three = flat[c], flat[d], flat[e]
        a = b = g = 0.0
        for n in range(len(places)):
            place, weight = np.uint32(places[n]), weights[n]
            a, b, g = a + weight * one[place], b + weight * two[place], g + weight * three[place]
        mean[c], mean[d], mean[e] = a / total, b / total, g / total
        a = b = g = 0.0
        for n in range(len(places)):
            place, weight = np.uint32(places[n]), weights[n]
            a += weight * (one[place] - mean[c]) ** 2
            b += weight * (two[place] - mean[d]) ** 2
            g += weight * (three[place] - mean[e]) ** 2
        variance += (a + (b if d > c else 0.0) + (g if e > d else 0.0)) / total
    return variance, nearest


@_compiled
def _mixed_rows(first, last, image, level, edge, nearer, farther, jump, missing, front, share, pure, hidden):
    """Edge pixels explained by the unmixed colors of the two surfaces."""
    channels, _, width = image.shape
    flat, levels = image.reshape(channels, -1), level.reshape(-1)
    mean, variance, nearest = np.zeros((2, channels)), np.zeros(2), np.empty(2, np.int64)
    side_px = 2 * PURE_REACH_PX + 1
    around, closeness = np.empty((2, side_px * side_px), np.int32), np.empty((2, side_px * side_px))
    weights = np.empty((side_px, side_px))
    for v in range(side_px):
        for u in range(side_px):
            weights[v, u] = 1.0 / (1.0 + (v - PURE_REACH_PX) ** 2 + (u - PURE_REACH_PX) ** 2)
    for y in range(first, last):
        for x in range(width):
            if edge[y, x] == 0:
                continue
            own = level[y, x]
            # What hides something is in front, whatever hides a part of it elsewhere.
            hides = edge[y, x] & _NEAR
            front_level = own if hides else levels[nearer[y, x]]
            back_level = levels[farther[y, x]] if hides else own
            middle = 0.5 * (front_level + back_level)
            allowed = max(jump, 0.5 * (front_level - back_level))
            least, most = back_level - allowed, front_level + allowed
            fronts, backs = _unmixed(level, edge, y, x, least, middle, most, weights, around, closeness)
            variance[0], nearest[0] = _statistics(flat, around[0, :fronts], closeness[0, :fronts], mean[0])
            variance[1], nearest[1] = _statistics(flat, around[1, :backs], closeness[1, :backs], mean[1])
            thin_front = nearest[0] < 0
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
                        mean[side, c] = flat[c, nearest[side]]
            if lost:
                continue
            along, contrast, bright = 0.0, 0.0, 0.0
            for c in range(channels):
                difference = mean[0, c] - mean[1, c]
                bright += mean[0, c] * mean[0, c] + mean[1, c] * mean[1, c]
                along += (image[c, y, x] - mean[1, c]) * difference
                contrast += difference * difference
            side_share = 1.0 if own > middle else 0.0
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
                    light, behind = flat[c, nearest[0]], flat[c, nearest[1]]
                    rest = image[c, y, x] - a * light - (1.0 - a) * behind
                    if light + a / q * rest < 0.0 or behind + (1.0 - a) / q * rest < 0.0:
                        a = side_share
                        break
            if a == 0.0 and not missing and not hides:
                continue  # nothing is mixed in, and nothing counts as missing: a pixel like others
            nearest_front = y * width + x if own > middle else _nearest_above(level, y, x, middle)
            front[y, x], share[y, x], pure[y, x], hidden[y, x] = nearest_front, a, nearest[0], nearest[1]


@_compiled
def _nearest_above(level, y, x, middle):
    """The nearest pixel of a higher level, of several the first by rows; there is one beside this one."""
    height, width = level.shape
    best = 2**30
    for v in range(max(0, y - FRONT_REACH_PX), min(height, y + FRONT_REACH_PX + 1)):
        for u in range(max(0, x - FRONT_REACH_PX), min(width, x + FRONT_REACH_PX + 1)):
            down, right = v - y, u - x
            # Distance first, then place by rows, in one number.
            number = ((down * down + right * right) * 16 + down + 8) * 16 + right + 8
            best = min(best, number if level[v, u] > middle else 2**30)
    return (y + (best // 16) % 16 - 8) * width + x + best % 16 - 8


@_compiled
def _thin(image, level, y, x, middle, side, reach, other, known):
    """The color of a surface without unmixed pixels: where it differs most from the other's, or the nearest."""
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
def _facts_of(edge, kind, nearest, farthest, level, deep, wide, jump, slack, number, facts):
    """The edge pixels of a kind, numbered by row; and what the searches need of each.

    For near sides, beyond which something continues: the row, the level above which a pixel is of the surface that ends
    there, the squared distance up to which what continues may be seen, the pixel's level, and row and column of the
    surface behind. For far sides, beyond which a surface is missing: the row, the level below which a pixel is not of
    that surface, the squared distance up to which that matters, and level, row and column of the pixel that shows it.
    """
    height, width = edge.shape
    count = 0
    for y in range(height):
        for x in range(width):
            number[y, x] = -1
            if edge[y, x] & kind == 0:
                continue
            front, behind = (y, x), (y, x)
            if kind == _NEAR:
                behind = farthest[y, x] // width, farthest[y, x] % width
                most = deep[y, x] + deep[behind] if deep.size else level[front] - level[behind]
                other = behind
            else:
                front = nearest[y, x] // width, nearest[y, x] % width
                most, other = wide[front], front
            step = level[front] - level[behind]
            between = min(jump, 0.5 * step)
            facts[count, _ROW], facts[count, _MATTERS] = y, (most + slack) ** 2
            facts[count, _BETWEEN] = level[behind] + between if kind == _NEAR else level[front] - between
            facts[count, _LEVEL], facts[count, _AT_ROW], facts[count, _AT_COLUMN] = level[front], other[0], other[1]
            number[y, x] = count
            count += 1


@_compiled
def _counts(y, x, column, n, facts, near, own, jump, steep):
    """Whether an edge pixel is one that is looked for: of the pixel's surface, or of one that is missing at it."""
    down, right = facts[n, _ROW] - y, column - x
    squared = down * down + right * right
    if squared > facts[n, _MATTERS]:
        return False
    if near:
        beyond = abs(facts[n, _LEVEL] - own) - jump
        return own > facts[n, _BETWEEN] and (beyond <= 0.0 or beyond * beyond <= steep * steep * squared)
    return own < facts[n, _BETWEEN]


@_compiled
def _ends_in_columns(first, last, level, number, facts, near, jump, steep, ends):
    """In every column the nearest edge pixels above and below, where they count for the pixel; -1 for none."""
    height = level.shape[0]
    one = np.empty(last - first, np.int32)
    for turn in range(2):
        one[:] = -1
        for line in range(height):
            y = line if turn == 0 else height - 1 - line
            for x in range(first, last):
                if number[y, x] >= 0:
                    one[x - first] = number[y, x]
                n = one[x - first]
                there = n >= 0 and _counts(y, x, x, n, facts, near, level[y, x], jump, steep)
                ends[turn, y, x] = n if there else -1


@_compiled
def _nearest_ends(y, ends, facts, near, own, jump, steep, best):
    """For every pixel of a row the nearest edge pixel that counts, in any column; returns whether there are any.

    Each of those in the columns passes over the pixels that it matters to. Numbers hold the squared distance, the
    columns between, on which side and in which direction, so that the least one is of the nearest; of two equally near
    ones it is the one in the nearer column, then the right one, then the upper one.
    """
    found = False
    for turn in range(2):
        for column in range(own.size):
            n = ends[turn, y, column]
            if n < 0:
                continue
            if not found:
                best[:] = _NONE
                found = True
            down = int(facts[n, _ROW]) - y
            matters, between, at = facts[n, _MATTERS], facts[n, _BETWEEN], facts[n, _LEVEL]
            far = int(math.sqrt(max(matters - down * down, 0.0))) + 1
            while down * down + far * far > matters:
                far -= 1
            first, last = max(0, column - far), min(own.size, column + far + 1)
            levels, into = own[first:last], best[first:last]
            for i in range(len(levels)):
                right = first - column + i
                squared = down * down + right * right
                if near:
                    beyond = max(abs(at - levels[i]) - jump, 0.0)
                    counts = (levels[i] > between) & (beyond * beyond <= steep * steep * squared)
                else:
                    counts = levels[i] < between
                number = squared << _SQUARED | abs(right) << _COLUMNS | (right > 0) << _SIDE | turn
                into[i] = min(into[i], number if counts else _NONE)
    return found


@_compiled
def _end_of(x, number):
    """Direction and column of an edge pixel of :func:`_nearest_ends`."""
    columns = (number >> _COLUMNS) & ((1 << (_SQUARED - _COLUMNS)) - 1)
    return number & 1, x - columns if number >> _SIDE & 1 else x + columns


@_compiled
def _missing_row(y, level, ends, facts, own, best, jump, front, share, missing):
    """Which surface is missing at the pixels of a row."""
    width = level.shape[1]
    for x in range(width):
        one = front[y, x]
        own[x] = level[one // width, one % width] if one >= 0 else level[y, x]
    found = _nearest_ends(y, ends, facts, False, own, jump, 0.0, best)
    for x in range(width):
        if front[y, x] >= 0 and share[y, x] < 1.0:
            missing[y, x] = front[y, x]
        elif found and best[x] < _NONE:
            turn, column = _end_of(x, best[x])
            n = ends[turn, y, column]
            missing[y, x] = np.int32(facts[n, _AT_ROW]) * width + np.int32(facts[n, _AT_COLUMN])


@_compiled
def _turned_over(y, x, row, column, facts, n, away, level, edge, jump, steep, at_edges):
    """Of the surface behind an edge the pixel that is as far from it as the pixel, on its other side, or nearer."""
    height, width = level.shape
    fy, fx = np.int64(facts[n, _AT_ROW]), np.int64(facts[n, _AT_COLUMN])
    found = fy * width + fx
    if at_edges[fy, fx] >= 0:
        found = np.int64(at_edges[fy, fx])
    oy, ox = found // width, found % width
    down, right = float(oy - y), float(ox - x)
    length = math.sqrt(down * down + right * right)
    middle = 0.5 * (level[row, column] + level[fy, fx])
    step_px = away % (2.0 * MIRRORED_PX)
    step_px = max(1.0, min(step_px, 2.0 * MIRRORED_PX - step_px))
    while step_px >= 1.0 and length > 0.0:
        v = math.floor(oy + down / length * step_px + 0.5)
        u = math.floor(ox + right / length * step_px + 0.5)
        inside = 0 <= v < height and 0 <= u < width and edge[v, u] == 0
        if inside and level[v, u] < middle and abs(level[v, u] - level[oy, ox]) <= jump + steep * step_px:
            return v * width + u
        step_px *= 0.5
    return found


@_compiled
def _hidden_row(y, level, edge, ends, facts, best, jump, steep, all_edges, front, at_edges, hidden):
    """What continues behind the pixels of a row that are at no edge."""
    if not _nearest_ends(y, ends, facts, True, level[y], jump, steep, best):
        return
    for x in range(len(best)):
        if best[x] == _NONE or (edge[y, x] != 0 and (all_edges or edge[y, x] & _NEAR or front[y, x] >= 0)):
            continue
        turn, column = _end_of(x, best[x])
        n = ends[turn, y, column]
        away, row = math.sqrt(float(best[x] >> _SQUARED)), np.int64(facts[n, _ROW])
        hidden[y, x] = _turned_over(y, x, row, column, facts, n, away, level, edge, jump, steep, at_edges)


@_compiled
def _beyond_rows(
    first, last, level, edge, hides, hiding, ends, ending, jump, steep, front, share, hidden, missing, at_edges
):
    """What continues behind pixels at no edge, and which surfaces are missing."""
    width = level.shape[1]
    own, best = np.empty(width), np.empty(width, np.int64)
    connected = ends.shape[1] > 0
    for y in range(first, last):
        if connected:
            _missing_row(y, level, ends, ending, own, best, jump, front, share, missing)
        _hidden_row(y, level, edge, hides, hiding, best, jump, steep, connected, front, at_edges, hidden)


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
    """Which surface lies in front of every pixel, how much of it that covers, and what continues behind it."""
    out = SurfaceEdges.none(level.shape)
    height, width = level.shape[1:]
    count = threads_to_use(threads) if height * width > 65536 else 1
    empty = np.empty((0, 0))
    for b in range(len(level)):
        here = np.ascontiguousarray(level[b], np.float64)
        edge = np.empty((height, width), np.uint8)
        beside, behind = np.empty((height, width), np.int32), np.empty((height, width), np.int32)
        share_out(_edge_rows, height, count, here, float(jump), deep_px is None, edge, beside, behind)
        if not edge.any():
            continue
        picture = np.ascontiguousarray(image[b], image.dtype.newbyteorder("="))
        made = (out.front[b], out.share[b], out.pure[b], out.hidden[b])
        share_out(
            _mixed_rows, height, count, picture, here, edge, beside, behind, float(jump), wide_px is not None, *made
        )
        deep = empty if deep_px is None else np.ascontiguousarray(deep_px[b])
        wide = empty if wide_px is None else np.ascontiguousarray(wide_px[b])
        steep = 0.0 if deep.size else STEEPEST
        found = []
        for kind in (_NEAR, _FAR):
            rows = height if kind == _NEAR or wide.size else 0
            number, facts = np.empty((rows, width), np.int32), np.empty((int(np.count_nonzero(edge[:rows] & kind)), 6))
            ends = np.empty((2, rows, width), np.int32)
            if rows:
                _facts_of(edge, kind, beside, behind, here, deep, wide, float(jump), float(slack_px), number, facts)
                share_out(_ends_in_columns, width, count, here, number, facts, kind == _NEAR, float(jump), steep, ends)
            found += [ends, facts]
        at_edges = out.hidden[b].copy()
        share_out(
            _beyond_rows, height, count, here, edge, *found, float(jump), steep, out.front[b], out.share[b],
            out.hidden[b], out.missing[b], at_edges,
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
    """``[B, 2, H, W]`` derivative of a radius by row and column, over one surface."""
    batch, height, width = radius_px.shape
    out = np.empty((batch, 2, height, width))
    count = threads_to_use(threads) if height * width > 65536 else 1
    for b in range(batch):
        share_out(_slope_rows, height, count, np.ascontiguousarray(radius_px[b], np.float64), float(jump), out[b])
    return out
