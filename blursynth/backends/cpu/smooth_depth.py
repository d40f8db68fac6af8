"""Smoothing of depth within surfaces, in numba.

``backends.oracle.smooth_depth`` is the definition. Every sum is formed afresh for its pixel, in the order of rows
and columns, and none is carried along: a window of the picture equals the whole to the bit, and the bytes do not depend
on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.threads import share_out, threads_to_use
from blursynth.errors import InvalidValueError
from blursynth.physics.depth_smoothing import ALONE, BEND, COLOR_CUT, FIRST_PX, IN_BAND, LIKELIER, RIDGE, SURE

__all__ = ["smooth_depth"]

_THREAD_PAYS = 1 << 14  # pixels below which handing work to another thread costs more than it saves


@compiled
def _like(some, other, step):  # type: ignore[no-untyped-def]
    return abs(some - other) <= step * max(some, other)


@compiled
def _contrast(guide, pixel, other):  # type: ignore[no-untyped-def]
    total = 0.0
    for c in range(guide.shape[0]):
        difference = guide[c, pixel] - guide[c, other]
        total += difference * difference
    return total / guide.shape[0]


@compiled
def _support(begin, end, value, step, height, width, out):  # type: ignore[no-untyped-def]
    """How many pixels of 5 x 5 are of the same surface."""
    for y in range(begin, end):
        for x in range(width):
            mine = value[y * width + x]
            count = 0
            for v in range(max(0, y - 2), min(height, y + 3)):
                for u in range(max(0, x - 2), min(width, x + 3)):
                    count += _like(mine, value[v * width + u], step)
            out[y * width + x] = count


@compiled
def _steady(begin, end, value, support, guide, step, color, height, width, out):  # type: ignore[no-untyped-def]
    """The mean of 5 x 5 within the step; an outlier starts from the neighbor with most support and like color."""
    for y in range(begin, end):
        for x in range(width):
            p = y * width + x
            start = value[p]
            if support[p] < ALONE:
                best = 0.0
                for v in range(max(0, y - 2), min(height, y + 3)):
                    for u in range(max(0, x - 2), min(width, x + 3)):
                        q = v * width + u
                        away = (v - y) ** 2 + (u - x) ** 2
                        score = support[q] / (1.0 + away) / (1.0 + _contrast(guide, p, q) * color)
                        if score > best or (score == best and value[q] > start):
                            best, start = score, value[q]
            total, count = 0.0, 0
            for v in range(max(0, y - 2), min(height, y + 3)):
                for u in range(max(0, x - 2), min(width, x + 3)):
                    other = value[v * width + u]
                    if _like(start, other, step):
                        total += other
                        count += 1
            out[p] = total / count


@compiled
def _band(begin, end, steady, step, most, height, width, out):  # type: ignore[no-untyped-def]
    """How near a jump is, in px of chessboard distance, from 1; ``most + 1`` where it is farther away."""
    for y in range(begin, end):
        for x in range(width):
            nearest = most + 1
            mine = steady[y * width + x]
            for v in range(max(0, y - most), min(height, y + most + 1)):
                for u in range(max(0, x - most), min(width, x + most + 1)):
                    away = max(abs(v - y), abs(u - x))
                    if away < nearest and not _like(mine, steady[v * width + u], step):
                        nearest = away
            out[y * width + x] = nearest


@compiled
def _snap(begin, end, steady, band, guide, step, color, most, height, width, out):  # type: ignore[no-untyped-def]
    """Pixels at a jump whose color is that of the other surface go over to it."""
    reach = most + 3
    for y in range(begin, end):
        for x in range(width):
            p = y * width + x
            mine = steady[p]
            out[p] = mine
            far, other = 0.0, mine
            for v in range(max(0, y - 1), min(height, y + 2)):
                for u in range(max(0, x - 1), min(width, x + 2)):
                    value = steady[v * width + u]
                    apart = abs(value - mine)
                    if apart > far or (apart == far and value > other):
                        far, other = apart, value
            if _like(mine, other, step):
                continue
            own, own_share, its, its_share = 0.0, 0.0, 0.0, 0.0
            for v in range(max(0, y - reach), min(height, y + reach + 1)):
                for u in range(max(0, x - reach), min(width, x + reach + 1)):
                    q = v * width + u
                    if q == p:
                        continue
                    of_mine, of_other = _like(mine, steady[q], step), _like(other, steady[q], step)
                    if of_mine == of_other:
                        continue
                    share = 1.0 if band[q] > most else IN_BAND
                    fit = share / (1.0 + _contrast(guide, p, q) * color)
                    if of_mine:
                        own += fit
                        own_share += share
                    else:
                        its += fit
                        its_share += share
            if own_share == 0.0 or its_share == 0.0 or its * own_share <= LIKELIER * own * its_share:
                continue
            total, count = 0.0, 0
            for v in range(max(0, y - 1), min(height, y + 2)):
                for u in range(max(0, x - 1), min(width, x + 2)):
                    value = steady[v * width + u]
                    if _like(other, value, step):
                        total += value
                        count += 1
            out[p] = total / count


@compiled
def _joined(steady, guide, p, q, step, color):  # type: ignore[no-untyped-def]
    different = 1.0 - 1.0 / (1.0 + _contrast(guide, p, q) * color)
    return _like(steady[p], steady[q], step * (1.0 - (1.0 - COLOR_CUT) * different))


@compiled
def _arms(begin, end, steady, planes, guide, step, color, radius, height, width, out):  # type: ignore[no-untyped-def]
    """How many px up, down, left and right a surface continues, at most the radius: without a step, near its plane."""
    for y in range(begin, end):
        for x in range(width):
            p = y * width + x
            bend = BEND * step * steady[p]
            for side in range(4):
                move = (-width, width, -1, 1)[side]
                slope = (-planes[p, 2], planes[p, 2], -planes[p, 3], planes[p, 3])[side]
                room = min(radius, (y, height - 1 - y, x, width - 1 - x)[side])
                length = 0
                while length < room:
                    here, there = p + length * move, p + (length + 1) * move
                    if abs(steady[there] - planes[p, 1] - slope * (length + 1)) > bend:
                        break
                    if not _joined(steady, guide, here, there, step, color):
                        break
                    length += 1
                out[side, p] = length


@compiled
def _rows_of_fit(begin, end, value, sound, arms, width, out):  # type: ignore[no-untyped-def]
    """Sums over the two arms of a row: 1, x, x^2, value, x value, value^2; and the least and the largest value."""
    for p in range(begin * width, end * width):
        n, sx, sxx, sv, sxv, svv = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        least, most = np.inf, -np.inf
        for x in range(-arms[2, p], arms[3, p] + 1):
            if sound[p + x]:
                v = value[p + x]
                n += 1.0
                sx += x
                sxx += x * x
                sv += v
                sxv += x * v
                svv += v * v
                least = min(least, v)
                most = max(most, v)
        out[p, 0], out[p, 1], out[p, 2], out[p, 3], out[p, 4] = n, sx, sxx, sv, sxv
        out[p, 5], out[p, 6], out[p, 7] = svv, least, most


@compiled
def _planes(begin, end, rows, arms, steady, step, width, out, bounds):  # type: ignore[no-untyped-def]
    """The plane of least squares over the cross of every pixel: weight, height at the pixel, slopes down and right."""
    for p in range(begin * width, end * width):
        n, sx, sy, sxx, sxy, syy, sv, sxv, syv, svv = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        least, most = np.inf, -np.inf
        for y in range(-arms[0, p], arms[1, p] + 1):
            q = p + y * width
            m, mx, mv = rows[q, 0], rows[q, 1], rows[q, 3]
            n += m
            sx += mx
            sy += y * m
            sxx += rows[q, 2]
            sxy += y * mx
            syy += y * y * m
            sv += mv
            sxv += rows[q, 4]
            syv += y * mv
            svv += rows[q, 5]
            least = min(least, rows[q, 6])
            most = max(most, rows[q, 7])
        bounds[p, 0], bounds[p, 1] = least, most
        if n == 0.0:
            out[p, 0], out[p, 1], out[p, 2], out[p, 3] = 1e-3 / (step * steady[p]) ** 2, steady[p], 0.0, 0.0
            bounds[p, 0], bounds[p, 1] = steady[p], steady[p]
            continue
        x0, y0, v0 = sx / n, sy / n, sv / n
        xx, yy, xy = sxx - n * x0 * x0 + RIDGE, syy - n * y0 * y0 + RIDGE, sxy - n * x0 * y0
        xv, yv = sxv - n * x0 * v0, syv - n * y0 * v0
        whole = xx * yy - xy * xy
        down, right = (yv * xx - xv * xy) / whole, (xv * yy - yv * xy) / whole
        residual = max(0.0, svv / n - v0 * v0 - (down * yv + right * xv) / n)
        sure = SURE * step * steady[p]
        out[p, 0] = n / (residual + sure * sure)
        out[p, 1], out[p, 2], out[p, 3] = v0 - down * y0 - right * x0, down, right


@compiled
def _rows_of_planes(begin, end, planes, arms, width, out):  # type: ignore[no-untyped-def]
    """Sums over the two arms of a row: weights, weighted heights at the pixel's column, weighted slopes down."""
    for p in range(begin * width, end * width):
        total, height, slope = 0.0, 0.0, 0.0
        for x in range(-arms[2, p], arms[3, p] + 1):
            q = p + x
            weight = planes[q, 0]
            total += weight
            height += weight * (planes[q, 1] - planes[q, 3] * x)
            slope += weight * planes[q, 2]
        out[p, 0], out[p, 1], out[p, 2] = total, height, slope


@compiled
def _mean_of_planes(begin, end, rows, arms, bounds, steady, step, width, out):  # type: ignore[no-untyped-def]
    for p in range(begin * width, end * width):
        total, height = 0.0, 0.0
        for y in range(-arms[0, p], arms[1, p] + 1):
            q = p + y * width
            total += rows[q, 0]
            height += rows[q, 1] - rows[q, 2] * y
        room = BEND * step * steady[p]
        least, most = max(bounds[p, 0], steady[p] - room), min(bounds[p, 1], steady[p] + room)
        out[p] = min(max(height / total, least), most)


def smooth_depth(
    inverse_depth: NDArray[np.floating],
    guide: NDArray[np.floating],
    step: NDArray[np.float64],
    radius_px: NDArray[np.int64],
    contrast: NDArray[np.float64],
    snap_px: NDArray[np.int64],
    *,
    threads: int | None = None,
) -> NDArray[np.float64]:
    """Inverse depth, smoothed within surfaces by planes that are fitted to it."""
    if inverse_depth.ndim != 3 or guide.ndim != 4 or 0 in guide.shape:
        raise InvalidValueError(
            "The inverse depth must be [B, H, W] and the guide [B, C, H, W], "
            f"got {inverse_depth.shape} and {guide.shape}."
        )
    if (guide.shape[0], *guide.shape[2:]) != inverse_depth.shape:
        raise InvalidValueError(f"A guide {guide.shape} does not fit an inverse depth {inverse_depth.shape}.")
    batch, height, width = inverse_depth.shape
    for name, numbers, least in (
        ("step", step, 0.0), ("contrast", contrast, 0.0), ("radius_px", radius_px, 1), ("snap_px", snap_px, 0),
    ):  # fmt: skip
        whole = name.endswith("px")
        fits = np.shape(numbers) == (batch,) and bool(np.isfinite(numbers).all())
        if not fits or not all(n >= least if whole else n > least for n in numbers):
            raise InvalidValueError(
                f"{name} must be one number {'>=' if whole else '>'} {least:g} for each of the {batch} pictures, "
                f"got {np.asarray(numbers).tolist()}."
            )
    if not (np.isfinite(inverse_depth) & (inverse_depth > 0)).all():
        raise InvalidValueError(
            "The inverse depth must be finite and > 0 everywhere.", fix="Fill holes in the depth first."
        )
    out = np.empty(inverse_depth.shape, np.float64)
    threads = threads_to_use(threads) if height * width > _THREAD_PAYS else 1
    size = height * width
    for b in range(batch):
        value = np.ascontiguousarray(inverse_depth[b], np.float64).reshape(-1)
        picture = np.ascontiguousarray(guide[b], np.float64).reshape(-1, size)
        far, most, radius = float(step[b]), int(snap_px[b]), int(radius_px[b])
        sharpness = 1.0 / float(contrast[b]) ** 2
        support = np.empty(size, np.int32)
        share_out(_support, height, threads, value, far, height, width, support)
        steady, other = np.empty(size), np.empty(size)
        share_out(_steady, height, threads, value, support, picture, far, sharpness, height, width, steady)
        if most:
            band = np.empty(size, np.int32)
            share_out(_band, height, threads, steady, far, most, height, width, band)
            for _ in range(most):
                share_out(_snap, height, threads, steady, band, picture, far, sharpness, most, height, width, other)
                steady, other = other, steady
        sound = np.abs(value - steady) <= far * np.maximum(value, steady)
        arms = np.zeros((4, size), np.int32)
        rows, planes, bounds = np.empty((size, 8)), np.zeros((size, 4)), np.empty((size, 2))
        planes[:, 1] = steady
        for reach in (min(FIRST_PX, radius), radius):
            share_out(_arms, height, threads, steady, planes, picture, far, sharpness, reach, height, width, arms)
            share_out(_rows_of_fit, height, threads, value, sound, arms, width, rows)
            share_out(_planes, height, threads, rows, arms, steady, far, width, planes, bounds)
        share_out(_rows_of_planes, height, threads, planes, arms, width, rows)
        share_out(_mean_of_planes, height, threads, rows, arms, bounds, steady, far, width, out[b].reshape(-1))
    return out
