"""A polyline into a PSF, exactly, in numba.

Each pixel is the tip of a tent (the bilinear weight), so a piece of path that stays between four pixels gives each of
them the time integral of a product of two linear functions: with u and v the position between the pixels, ``mean of u
v = mean(u) mean(v) + (change of u)(change of v)/12``. Such pieces are summed up while the path stays between the same
four pixels, which for a random walk is some thirty steps, and only then added to the picture.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from blursynth.backends.cpu.compilation import compiled
from blursynth.errors import InvalidValueError
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.trajectory import exposure_shares

__all__ = ["rasterize"]

_LARGEST_PX = 1 << 26  # of the bounding box; 512 MB


@compiled
def _bounds(path, share):  # type: ignore[no-untyped-def]
    """``[B, 6]``: lowest and highest x and y of the exposed part, and the light-weighted mean x and y."""
    batch, samples = path.shape[0], path.shape[1]
    out = np.empty((batch, 6))
    largest = 0.0
    for b in range(batch):
        s = b if share.shape[0] > 1 else 0
        x_low, x_high, y_low, y_high = np.inf, -np.inf, np.inf, -np.inf
        total, sum_x, sum_y = 0.0, 0.0, 0.0
        for i in range(samples - 1):
            light = share[s, i, 2]
            if light > 0.0:
                px, py = path[b, i, 0], path[b, i, 1]
                qx, qy = path[b, i + 1, 0], path[b, i + 1, 1]
                x0, x1 = px + share[s, i, 0] * (qx - px), px + share[s, i, 1] * (qx - px)
                y0, y1 = py + share[s, i, 0] * (qy - py), py + share[s, i, 1] * (qy - py)
                x_low, x_high = min(x_low, x0, x1), max(x_high, x0, x1)
                y_low, y_high = min(y_low, y0, y1), max(y_high, y0, y1)
                total += light
                sum_x += light * (x0 + x1)
                sum_y += light * (y0 + y1)
        out[b, 0], out[b, 1], out[b, 2], out[b, 3] = x_low, x_high, y_low, y_high
        out[b, 4], out[b, 5] = 0.5 * sum_x / total, 0.5 * sum_y / total
        largest = max(largest, (x_high - x_low + 5.0) * (y_high - y_low + 5.0))
        if not max(x_high, -x_low, y_high, -y_low) < 2.0**31 - 8.0:
            largest = np.inf
    return out, largest


@compiled(inline="always")
def _piece_weights(u0, v0, u1, v1):  # type: ignore[no-untyped-def]
    """Mean bilinear weights (00, 01, 10, 11; row first) of a straight piece inside one cell; never negative."""
    u, v = 0.5 * (u0 + u1), 0.5 * (v0 + v1)
    d = (u1 - u0) * (v1 - v0) * (1.0 / 12.0)
    return (1.0 - v) * (1.0 - u) + d, (1.0 - v) * u - d, v * (1.0 - u) - d, v * u + d


@compiled
def _add(w00, w01, w10, w11, place, width, canvas):  # type: ignore[no-untyped-def]
    canvas[place] += w00
    canvas[place + 1] += w01
    canvas[place + width] += w10
    canvas[place + width + 1] += w11


@compiled
def _trace(path, share, shift_x, shift_y, top, left, width, canvas):  # type: ignore[no-untyped-def]
    """Add one path to ``canvas``, rows of ``width`` pixels one after the other, whose first pixel is (top, left)."""
    # The current cell and what has been summed up for its four pixels.
    column, row = 0, 0
    a00, a01, a10, a11 = 0.0, 0.0, 0.0, 0.0
    for i in range(path.shape[0] - 1):
        light = share[i, 2]
        if not light > 0.0:
            continue
        px, py = path[i, 0] - shift_x, path[i, 1] - shift_y
        dx, dy = path[i + 1, 0] - shift_x - px, path[i + 1, 1] - shift_y - py
        x0, y0 = px + share[i, 0] * dx, py + share[i, 0] * dy
        x1, y1 = px + share[i, 1] * dx, py + share[i, 1] * dy
        u0, v0, u1, v1 = x0 - column, y0 - row, x1 - column, y1 - row
        if min(u0, v0, u1, v1) >= 0.0 and max(u0, v0, u1, v1) <= 1.0:
            w00, w01, w10, w11 = _piece_weights(u0, v0, u1, v1)
            a00 += light * w00
            a01 += light * w01
            a10 += light * w10
            a11 += light * w11
            continue
        # The segment leaves the cell: go from crossing to crossing.
        dx, dy = x1 - x0, y1 - y0
        next_x = math.floor(x0) + 1.0 if dx > 0.0 else math.ceil(x0) - 1.0
        next_y = math.floor(y0) + 1.0 if dy > 0.0 else math.ceil(y0) - 1.0
        step_x = 1.0 if dx > 0.0 else -1.0
        step_y = 1.0 if dy > 0.0 else -1.0
        begin = 0.0
        while begin < 1.0:
            t_x = (next_x - x0) / dx if dx != 0.0 else np.inf
            t_y = (next_y - y0) / dy if dy != 0.0 else np.inf
            end = min(t_x, t_y, 1.0)
            if t_x <= t_y:
                next_x += step_x
            if t_y <= t_x:
                next_y += step_y
            if end <= begin:
                continue
            middle = 0.5 * (begin + end)
            c, r = math.floor(x0 + middle * dx), math.floor(y0 + middle * dy)
            if c != column or r != row:
                if a00 + a01 + a10 + a11 > 0.0:
                    _add(a00, a01, a10, a11, (row - top) * width + column - left, width, canvas)
                a00, a01, a10, a11 = 0.0, 0.0, 0.0, 0.0
                column, row = c, r
            # Rounding may put a crossing a hair outside the cell: the clip keeps every weight >= 0.
            u0, u1 = x0 + begin * dx - column, x0 + end * dx - column
            v0, v1 = y0 + begin * dy - row, y0 + end * dy - row
            w00, w01, w10, w11 = _piece_weights(
                min(max(u0, 0.0), 1.0), min(max(v0, 0.0), 1.0), min(max(u1, 0.0), 1.0), min(max(v1, 0.0), 1.0)
            )
            part = light * (end - begin)
            a00 += part * w00
            a01 += part * w01
            a10 += part * w10
            a11 += part * w11
            begin = end
    if a00 + a01 + a10 + a11 > 0.0:
        _add(a00, a01, a10, a11, (row - top) * width + column - left, width, canvas)


@compiled
def _rasterize(path, share, bounds, center):  # type: ignore[no-untyped-def]
    """Taps of all paths, sorted by (row, column): ``start``, ``dy``, ``dx``, ``weight``."""
    batch = path.shape[0]
    start = np.zeros(batch + 1, np.int64)
    boxes = np.empty((batch, 4), np.int64)
    largest = 0
    for b in range(batch):
        shift_x = bounds[b, 4] if center else 0.0
        shift_y = bounds[b, 5] if center else 0.0
        # One pixel of margin: rounding of the shift may move an end across an integer.
        boxes[b, 0] = math.floor(bounds[b, 2] - shift_y) - 1
        boxes[b, 1] = math.floor(bounds[b, 0] - shift_x) - 1
        boxes[b, 2] = math.ceil(bounds[b, 3] - shift_y) + 3 - boxes[b, 0]
        boxes[b, 3] = math.ceil(bounds[b, 1] - shift_x) + 3 - boxes[b, 1]
        largest = max(largest, boxes[b, 2] * boxes[b, 3])
    canvas = np.zeros(largest)
    capacity = 256 * batch
    dy, dx, weight = np.empty(capacity, np.int32), np.empty(capacity, np.int32), np.empty(capacity)
    count = 0
    for b in range(batch):
        top, left, height, width = boxes[b, 0], boxes[b, 1], boxes[b, 2], boxes[b, 3]
        shift_x = bounds[b, 4] if center else 0.0
        shift_y = bounds[b, 5] if center else 0.0
        _trace(path[b], share[b if share.shape[0] > 1 else 0], shift_x, shift_y, top, left, width, canvas)
        for row in range(height):
            if count + width > capacity:
                capacity = 2 * capacity + width
                wider_dy, wider_dx, wider = (
                    np.empty(capacity, np.int32),
                    np.empty(capacity, np.int32),
                    np.empty(capacity),
                )
                for i in range(count):  # slices would compile their messages of error: two seconds
                    wider_dy[i], wider_dx[i], wider[i] = dy[i], dx[i], weight[i]
                dy, dx, weight = wider_dy, wider_dx, wider
            for column in range(width):
                value = canvas[row * width + column]
                if value > 0.0:
                    dy[count], dx[count], weight[count] = row + top, column + left, value
                    count += 1
                    canvas[row * width + column] = 0.0
        start[b + 1] = count
    return start, dy[:count].copy(), dx[:count].copy(), weight[:count].copy()


def rasterize(
    path: ArrayLike,
    duration: ArrayLike | None = None,
    *,
    center: bool = True,
    exposure: ArrayLike = (0.0, 1.0),
    unit_sum: bool = True,
) -> PointSpreads:
    """Exact PSF of polylines that a point of light draws at constant speed along each segment."""
    positions, share = exposure_shares(path, duration, exposure, unit_sum=unit_sum)
    bounds, largest = _bounds(positions, share)
    if not largest <= _LARGEST_PX:
        raise InvalidValueError(
            f"The path spans {largest:.3g} px^2; the largest PSF that is made has {_LARGEST_PX} px.",
            why="Positions are in px, not in micrometres or meters.",
            fix="Convert the path to px, or shorten it.",
        )
    start, dy, dx, weight = _rasterize(positions, share, bounds, bool(center))
    return PointSpreads(start, dy, dx, weight, np.zeros(len(positions)))
