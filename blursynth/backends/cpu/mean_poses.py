"""The mean poses of a moving camera over the exposures of rows, in numba: Newton's method on quaternions."""

# numba carries no types.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.cpu.compilation import compiled
from blursynth.physics.poses import Poses, quaternion_of, rotation_of

__all__ = ["mean_poses"]

_STEPS = 30


@compiled
def _angle_by_sine(squared_sine, cosine):
    """An angle divided by its sine."""
    if squared_sine < 2.5e-3 and cosine > 0.0:  # hands turn so little that the series of the arc sine is exact
        s = squared_sine
        return 1.0 + s * (1 / 6 + s * (3 / 40 + s * (15 / 336 + s * (105 / 3456))))
    sine = math.sqrt(squared_sine)
    return math.atan2(sine, cosine) / sine if sine > 0.0 else 1.0


@compiled
def _mean_rows(turns, position, first, weight, mean_turn, mean_position):
    """Quaternions ``[T, 4]`` and positions ``[T, 3]`` of the times, and their means of the rows."""
    for r in range(len(first)):
        total, start = 0.0, -1
        w = x = y = z = 0.0
        mean_position[r] = 0.0
        for n in range(weight.shape[1]):
            share, t = weight[r, n], first[r] + n
            if share == 0.0:
                continue
            start = t if start < 0 else start
            # Of a quaternion and its opposite, which are one rotation, the one on the side of the first.
            if _dot(turns, t, start) < 0.0:
                share = -share
            w, x = w + share * turns[t, 0], x + share * turns[t, 1]
            y, z = y + share * turns[t, 2], z + share * turns[t, 3]
            total += abs(share)
            for axis in range(3):
                mean_position[r, axis] += abs(share) * position[t, axis]
        for axis in range(3):
            mean_position[r, axis] /= total
        # This plain mean is off by the third power of the spread.
        length = math.sqrt(w * w + x * x + y * y + z * z)
        w, x, y, z = w / length, x / length, y / length, z / length
        for _ in range(_STEPS):
            along, down, ahead, widest = 0.0, 0.0, 0.0, 0.0  # half of the turn to the mean
            for n in range(weight.shape[1]):
                share, t = weight[r, n], first[r] + n
                if share == 0.0:
                    continue
                # conj(mean) q
                side = 1.0 if _dot(turns, t, start) >= 0.0 else -1.0
                a, b, c, d = side * turns[t, 0], side * turns[t, 1], side * turns[t, 2], side * turns[t, 3]
                cosine = w * a + x * b + y * c + z * d
                i = w * b - x * a + z * c - y * d
                j = w * c - y * a + x * d - z * b
                k = w * d - z * a + y * b - x * c
                squared = i * i + j * j + k * k
                ratio = _angle_by_sine(squared, cosine)
                widest = max(widest, ratio * ratio * squared)
                along, down, ahead = (
                    along + share * ratio * i, down + share * ratio * j, ahead + share * ratio * k,
                )  # fmt: skip
            along, down, ahead = along / total, down / total, ahead / total
            length = math.sqrt(along * along + down * down + ahead * ahead)
            a, b = math.cos(length), math.sin(length) / length if length > 0.0 else 1.0
            i, j, k = b * along, b * down, b * ahead
            w, x, y, z = (
                w * a - x * i - y * j - z * k, x * a + w * i - z * j + y * k,
                y * a + z * i + w * j - x * k, z * a - y * i + x * j + w * k,
            )  # fmt: skip
            # The error after a step is the step times the square of the spread.
            if length * min(4.0 * widest, 1.0) < 1e-12:
                break
        mean_turn[r, 0], mean_turn[r, 1], mean_turn[r, 2], mean_turn[r, 3] = w, x, y, z


@compiled
def _dot(turns, one, other):
    return (
        turns[one, 0] * turns[other, 0] + turns[one, 1] * turns[other, 1]
        + turns[one, 2] * turns[other, 2] + turns[one, 3] * turns[other, 3]
    )  # fmt: skip


def mean_poses(poses: Poses, first: NDArray[np.int64], weight: NDArray[np.float64]) -> Poses:
    """The Karcher mean of the orientations and the mean of the positions that every row sees."""
    turns = np.ascontiguousarray(quaternion_of(poses.orientation).T)
    mean_turn, position_m = np.empty((len(first), 4)), np.empty((len(first), 3))
    _mean_rows(turns, np.ascontiguousarray(poses.position_m), first, weight, mean_turn, position_m)
    return Poses(rotation_of(mean_turn.T), position_m)
