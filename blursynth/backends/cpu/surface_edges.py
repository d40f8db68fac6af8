"""What lies on both sides of the edges of nearer surfaces; the same as the definition, pixel by pixel.

The nearest edge pixel is found in two passes, down the columns and along the rows, where the nearest ones of every
column are held against those of the pixels that they matter to.
"""

# numba carries no types.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

import dataclasses
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
    Means,
    SurfaceEdges,
)

__all__ = ["surface_edges", "surface_slope"]

_compiled = compiled(fastmath={"contract"})

_NEAR, _FAR = 1, 2
# What the searches need of an edge pixel.
_ROW, _COLUMN, _BETWEEN, _MATTERS, _LEVEL = range(5)
# First bits of what the number of a nearest edge pixel consists of; pictures have less than 2^20 columns and rows.
_SIDE, _COLUMNS, _SQUARED = 1, 2, 22
_NONE = 2**63 - 1
_ROWS = 64  # of a job


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
    levels, edges, by_place = level.reshape(-1), edge.reshape(-1), weights.reshape(-1)
    left, right = max(0, x - PURE_REACH_PX), min(width, x + PURE_REACH_PX + 1)
    fronts = backs = np.uint64(0)
    for v in range(max(0, y - PURE_REACH_PX), min(height, y + PURE_REACH_PX + 1)):
        # Places that cannot be negative need no look at their sign.
        place = np.uint64(v * width + left)
        n = np.uint64((v - y + PURE_REACH_PX) * len(weights) + left - x + PURE_REACH_PX)
        for _ in range(right - left):
            if edges[place] == 0:
                # Without branches, which nobody could predict: what does not count is written over.
                own, weight = levels[place], by_place[n]
                around[0, fronts], around[1, backs] = place, place
                closeness[0, fronts], closeness[1, backs] = weight, weight
                counts = (own >= least) & (own <= most)
                fronts += np.uint64(counts & (own > middle))
                backs += np.uint64(counts & (own <= middle))
            place += np.uint64(1)
            n += np.uint64(1)
    return fronts, backs


@_compiled
def _statistics(flat, around, closeness, side, count, mean):
    """The mean of a side's colors; returns their variance, of all channels together, and the nearest place."""
    channels = len(flat)
    variance, nearest = 0.0, -1
    mean[side] = 0.0
    for c in range(0, channels if count else 0, 3):  # three at a time, or else each waits for its own sum
        d, e = min(c + 1, channels - 1), min(c + 2, channels - 1)
        one, two, three = flat[c], flat[d], flat[e]
        a = b = g = total = closest = 0.0
        for n in range(count):
            place, weight = np.uint32(around[side, n]), closeness[side, n]
            a, b, g = a + weight * one[place], b + weight * two[place], g + weight * three[place]
            total += weight
            nearest = int(place) if weight > closest else nearest
            closest = max(closest, weight)
        a, b, g = a / total, b / total, g / total
        mean[side, c], mean[side, d], mean[side, e] = a, b, g
        i = j = k = 0.0
        for n in range(count):
            place, weight = np.uint32(around[side, n]), closeness[side, n]
            i += weight * (one[place] - a) ** 2
            j += weight * (two[place] - b) ** 2
            k += weight * (three[place] - g) ** 2
        variance += (i + (j if d > c else 0.0) + (k if e > d else 0.0)) / total
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
            variance[0], nearest[0] = _statistics(flat, around, closeness, 0, fronts, mean)
            variance[1], nearest[1] = _statistics(flat, around, closeness, 1, backs, mean)
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
def _facts_of(edge, kind, nearest, farthest, level, deep, wide, jump, slack, starts, facts):
    """The edge pixels of a kind, by row, ``starts`` the first of each; and what the searches need of them.

    For near sides, beyond which something continues: row and column, the level above which a pixel is of the surface
    that ends there, the squared distance up to which what continues may be seen, and the pixel's level. For far sides,
    beyond which a surface is missing: row and column, the level below which a pixel is not of that surface, the squared
    distance up to which that matters, and the surface's level.
    """
    height, width = edge.shape
    levels, kinds = level.reshape(-1), edge.reshape(-1)
    words = kinds[: kinds.size // 8 * 8].view(np.uint64)
    starts[:] = 0
    count = 0
    for n in range(0, kinds.size, 8):
        if n // 8 < words.size and words[n // 8] == 0:
            continue
        for place in range(n, min(n + 8, kinds.size)):
            if kinds[place] & kind == 0:
                continue
            y, x = place // width, place % width
            if kind == _NEAR:
                front, behind = place, int(farthest[y, x])
                most = deep[y, x] + deep[behind // width, behind % width] if deep.size else level[y, x] - levels[behind]
            else:
                front, behind = int(nearest[y, x]), place
                most = wide[front // width, front % width]
            between = min(jump, 0.5 * (levels[front] - levels[behind]))
            facts[count, _ROW], facts[count, _COLUMN], facts[count, _MATTERS] = y, x, (most + slack) ** 2
            facts[count, _BETWEEN] = levels[behind] + between if kind == _NEAR else levels[front] - between
            facts[count, _LEVEL] = levels[front]
            starts[y + 1] += 1
            count += 1
    for y in range(height):
        starts[y + 1] += starts[y]


@_compiled
def _counts(near, at, between, own, squared, jump, steep):
    """Whether an edge pixel near enough is one that is looked for: of a pixel's surface, or of one missing there."""
    if near:
        beyond = max(abs(at - own) - jump, 0.0)
        return (own > between) & (beyond * beyond <= steep * steep * squared)
    return own < between


@_compiled
def _nearest_ends(first, last, level, own, starts, facts, reach, near, jump, steep, latest, columns, best):
    """For every pixel of some rows the nearest edge pixel that counts, in any column, as a number.

    In every column the nearest ones above (or at) a row and below it, where they count, pass over the pixels of that
    row that they matter to, whose levels are ``own``. Numbers hold the squared distance, the columns between, on which
    side and in which direction, so that the least one is of the nearest; of two equally near ones it is the one in the
    nearer column, then the right one, then the upper one.
    """
    height = len(level)
    for turn in range(2):
        latest[:] = -1
        count = 0
        y, step, end = (max(0, first - reach), 1, last) if turn == 0 else (min(height, last + reach) - 1, -1, first - 1)
        while y != end:
            for n in range(starts[y], starts[y + 1]):
                column = int(facts[n, _COLUMN])
                if latest[column] < 0:
                    columns[count] = column
                    count += 1
                latest[column] = n
            k = 0
            while k < count and first <= y < last:
                column = columns[k]
                n = latest[column]
                down, matters = int(facts[n, _ROW]) - y, facts[n, _MATTERS]
                if down * down > matters:  # too far for this row, and for those that follow
                    count -= 1
                    latest[column], columns[k] = -1, columns[count]
                    continue
                k += 1
                at, between = facts[n, _LEVEL], facts[n, _BETWEEN]
                if not _counts(near, at, between, level[y, column], down * down, jump, steep):
                    continue
                far = int(math.sqrt(matters - down * down)) + 1
                while down * down + far * far > matters:
                    far -= 1
                left = max(0, column - far)
                levels, into = own[y - first, left : column + far + 1], best[y - first, left : column + far + 1]
                for i in range(len(levels)):
                    right = left - column + i
                    squared = down * down + right * right
                    number = squared << _SQUARED | abs(right) << _COLUMNS | (right > 0) << _SIDE | turn
                    counts = _counts(near, at, between, levels[i], squared, jump, steep)
                    into[i] = min(into[i], number if counts else _NONE)
            y += step


@_compiled
def _end_of(y, x, number):
    """Row and column of an edge pixel of :func:`_nearest_ends`, and its distance."""
    squared, columns = number >> _SQUARED, (number >> _COLUMNS) & ((1 << (_SQUARED - _COLUMNS)) - 1)
    rows = int(math.sqrt(float(squared - columns * columns)) + 0.5)
    column = x - columns if number >> _SIDE & 1 else x + columns
    return y + rows if number & 1 else y - rows, column, math.sqrt(float(squared))


@_compiled
def _turned_over(y, x, row, column, behind, away, level, edge, jump, steep, at_edges):
    """Of the surface behind an edge the pixel that is as far from it as the pixel, on its other side, or nearer."""
    height, width = level.shape
    fy, fx = behind // width, behind % width
    found = np.int64(at_edges[fy, fx]) if at_edges[fy, fx] >= 0 else behind
    oy, ox = found // width, found % width
    down, right = float(oy - y), float(ox - x)
    length = math.sqrt(down * down + right * right)
    if length == 0.0:
        return found
    down, right = down / length, right / length
    middle = 0.5 * (level[row, column] + level[fy, fx])
    step_px = away % (2.0 * MIRRORED_PX)
    step_px = max(1.0, min(step_px, 2.0 * MIRRORED_PX - step_px))
    while step_px >= 1.0:
        v = math.floor(oy + down * step_px + 0.5)
        u = math.floor(ox + right * step_px + 0.5)
        inside = 0 <= v < height and 0 <= u < width and edge[v, u] == 0
        if inside and level[v, u] < middle and abs(level[v, u] - level[oy, ox]) <= jump + steep * step_px:
            return v * width + u
        step_px *= 0.5
    return found


@_compiled
def _exits(edge, above, below):
    """The nearest row above (below) every pixel in which one at no edge lies above (below) one at an edge; -1: none."""
    height, width = edge.shape
    above[0] = -1
    below[height - 1] = -1
    for n in range(1, height):
        for rows, y, beside in ((above, n, n - 1), (below, height - 1 - n, height - n)):
            to, latest, here, there, row = rows[y], rows[beside], edge[y], edge[beside], np.int32(beside)
            for x in range(width):
                to[x] = row if (here[x] != 0) & (there[x] == 0) else latest[x]


@_compiled
def _exits_of_row(edge, left, right):
    """The same of one row, to the left and to the right."""
    width = edge.size
    left[0], right[width - 1] = -1, -1
    for x in range(1, width):
        left[x] = x - 1 if edge[x] != 0 and edge[x - 1] == 0 else left[x - 1]
    for x in range(width - 2, -1, -1):
        right[x] = x + 1 if edge[x] != 0 and edge[x + 1] == 0 else right[x + 1]


@_compiled
def _mean_rows(
    first, last, level, edge, farther, ends, starts, hidden, deep_px, above, below, jump, slack, steep, picture, at, of,
    weight,
):  # fmt: skip
    """The four pixels and their weights, whose means are the colors of what continues behind pixels."""
    height, width = level.shape
    left, right = np.empty(width, np.int32), np.empty(width, np.int32)
    levels = level.reshape(-1)
    for y in range(first, last):
        m = starts[y]
        if m < starts[y + 1]:
            _exits_of_row(edge[y], left, right)
        for x in range(width):
            end = np.int64(ends[y, x])
            if end < 0:
                continue
            own, behind = y * width + x, np.int64(farther[end // width, end % width])
            middle, continues = 0.5 * (levels[end] + levels[behind]), levels[hidden[y, x]]
            deep = levels[end] - levels[behind]
            if deep_px.size:
                deep = deep_px[end // width, end % width] + deep_px[behind // width, behind % width]
            deep += slack
            most = math.floor(deep + min(deep, MIRRORED_PX)) + PURE_REACH_PX
            total = 0.0
            for n in range(4):
                of[m, n], weight[m, n] = own, 0.0
                v, u = y, x
                while True:
                    if n < 2:
                        v = above[v, u] if n == 0 else below[v, u]
                    else:
                        u = left[u] if n == 2 else right[u]
                    away = abs(v - y) + abs(u - x)
                    if v < 0 or u < 0 or away > most:
                        break
                    found = levels[v * width + u]
                    if found < middle:
                        if abs(found - continues) <= jump + steep * away:
                            away = max(1, away - 1)
                            of[m, n], weight[m, n] = v * width + u, 1.0 / (away * away)
                            total += weight[m, n]
                        break
            at[m] = picture * height * width + own
            if total == 0.0:
                of[m, 0], weight[m, 0], total = hidden[y, x], 1.0, 1.0
            for n in range(4):
                weight[m, n] /= total
            m += 1


@_compiled
def _beyond_rows(
    first_job,
    last_job,
    level,
    edge,
    nearer,
    farther,
    hiding,
    ending,
    jump,
    steep,
    front,
    share,
    hidden,
    missing,
    at_edges,
    ends,
    counts,
):
    """What continues behind pixels at no edge, and which surfaces are missing.

    And for every pixel that is not mixed the edge pixel beyond which its hidden color is looked for; -1 for none.
    """
    height, width = level.shape
    latest, columns = np.empty(width, np.int32), np.empty(width, np.int32)
    best, own = np.empty((_ROWS, width), np.int64), np.empty((_ROWS, width))
    connected = ending[0].size > 0
    for job in range(first_job, last_job):
        first, last = job * _ROWS, min((job + 1) * _ROWS, height)
        search = latest, columns, best
        if connected:
            best[:] = _NONE
            for y in range(first, last):
                for x in range(width):
                    own[y - first, x] = level[y, x]
                for x in range(width):
                    if edge[y, x] != 0 and front[y, x] >= 0:
                        own[y - first, x] = level[front[y, x] // width, front[y, x] % width]
            _nearest_ends(first, last, level, own, *ending, False, jump, 0.0, *search)
            for y in range(first, last):
                for x in range(width):
                    if edge[y, x] != 0 and front[y, x] >= 0 and share[y, x] < 1.0:
                        missing[y, x] = front[y, x]
                    elif best[y - first, x] != _NONE:
                        row, column, _ = _end_of(y, x, best[y - first, x])
                        missing[y, x] = nearer[row, column]
        best[:] = _NONE
        _nearest_ends(first, last, level, level[first:last], *hiding, True, jump, steep, *search)
        for y in range(first, last):
            counts[y] = 0
            for x in range(width):
                ends[y, x] = -1
            for x in range(width):
                if best[y - first, x] == _NONE and edge[y, x] == 0:
                    continue
                if edge[y, x] != 0 and (connected or edge[y, x] & _NEAR or front[y, x] >= 0):
                    if edge[y, x] & _NEAR and front[y, x] >= 0 and share[y, x] == 1.0:
                        ends[y, x] = y * width + x
                        counts[y] += 1
                    continue
                if best[y - first, x] == _NONE:
                    continue
                row, column, away = _end_of(y, x, best[y - first, x])
                behind = np.int64(farther[row, column])
                hidden[y, x] = _turned_over(y, x, row, column, behind, away, level, edge, jump, steep, at_edges)
                ends[y, x] = row * width + column
                counts[y] += 1


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
    means: list[Means] = []
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
            rows = height + 1 if kind == _NEAR or wide.size else 0
            starts, facts = np.empty(rows, np.int64), np.empty((int(np.count_nonzero(edge & kind)), 5))
            reach = 0
            if rows:
                _facts_of(edge, kind, beside, behind, here, deep, wide, float(jump), float(slack_px), starts, facts)
                reach = math.ceil(math.sqrt(facts[:, _MATTERS].max(initial=0.0)))
            found.append((starts, facts, reach))
        ends, counts = np.empty((height, width), np.int32), np.empty(height, np.int64)
        share_out(
            _beyond_rows, -(-height // _ROWS), count, here, edge, beside, behind, *found, float(jump), steep,
            out.front[b], out.share[b], out.hidden[b], out.missing[b], out.hidden[b].copy(), ends, counts,
        )  # fmt: skip
        starts = np.concatenate([[0], np.cumsum(counts)])
        above, below = np.empty((height, width), np.int32), np.empty((height, width), np.int32)
        _exits(edge, above, below)
        mean = Means(np.empty(starts[-1], np.int64), np.empty((starts[-1], 4), np.int32), np.empty((starts[-1], 4)))
        share_out(
            _mean_rows, height, count, here, edge, behind, ends, starts, out.hidden[b], deep, above, below, float(jump),
            float(slack_px), steep, b, mean.at, mean.of, mean.weight,
        )  # fmt: skip
        means.append(mean)
    return dataclasses.replace(out, means=Means.concatenate(means, [0] * len(means))) if means else out


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
