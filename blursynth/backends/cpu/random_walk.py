"""The random walk in numba: many paths side by side. See ``physics.trajectory`` for its law.

The draws of a block of steps are made for all paths of a group in one loop, because a counter-based generator has no
order; the steps themselves follow each other, so paths are advanced side by side to hide the latency of the square
root and the division.

No fast-math of any kind: every operation is then rounded as IEEE 754 says, so a path has the same bits in a batch of
one or of a thousand and on processors with wide, narrow or no vectors. Only ``numpy.cos`` of the first heading comes
from outside.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.cpu.philox import MASK32, philox4x32
from blursynth.errors import InvalidValueError
from blursynth.physics.trajectory import WalkParameters

__all__ = ["random_walk"]

_BLOCK_STEPS = 64  # a block of 16 paths is 32 kB of draws: it stays in the cache nearest to the core
_LANES = 16

_ZERO = np.uint64(0)
_MANTISSA = np.int64(0x000FFFFFFFFFFFFF)
_ONE = np.int64(0x3FF0000000000000)
_STEP = 2.3283064365386963e-10  # 2 ** -32
_SQRT2 = math.sqrt(2.0)
_LN2 = math.log(2.0)
_TWO_PI = 2.0 * math.pi


@compiled(inline="always")
def _minus_two_log(u):  # type: ignore[no-untyped-def]
    """``-2 ln u`` for u in (0, 1), to a few units in the last place.

    With u = 2^e m, m in [sqrt(1/2), sqrt 2): ln m = 2 artanh s, s = (m - 1)/(m + 1), |s| <= 0.172; its series to s^21.
    """
    bits = np.float64(u).view(np.int64)
    e = np.float64((bits >> 52) - 1023)
    m = np.int64((bits & _MANTISSA) | _ONE).view(np.float64)
    large = m > _SQRT2
    m = 0.5 * m if large else m
    e = e + 1.0 if large else e
    s = (m - 1.0) / (m + 1.0)
    q = s * s
    series = 1.0 / 17.0 + q * (1.0 / 19.0 + q * (1.0 / 21.0))
    series = 1.0 / 11.0 + q * (1.0 / 13.0 + q * (1.0 / 15.0 + q * series))
    series = 1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * series))))
    return -2.0 * (e * _LN2 + 2.0 * s * series)


@compiled(inline="always")
def _sin_near_zero(x):  # type: ignore[no-untyped-def]
    """sin x for \\|x\\| <= pi/4: Taylor's series to x^17."""
    q = x * x
    p = -7.647163731819816e-13 + q * 2.8114572543455206e-15
    p = -2.505210838544172e-08 + q * (1.6059043836821613e-10 + q * p)
    p = -1.984126984126984e-04 + q * (2.7557319223985893e-06 + q * p)
    p = -1.6666666666666666e-01 + q * (8.333333333333333e-03 + q * p)
    return x + x * q * p


@compiled(inline="always")
def _cos_near_zero(x):  # type: ignore[no-untyped-def]
    """cos x for \\|x\\| <= pi/4: Taylor's series to x^16."""
    q = x * x
    p = -1.1470745597729725e-11 + q * 4.779477332387385e-14
    p = -2.755731922398589e-07 + q * (2.08767569878681e-09 + q * p)
    p = -1.388888888888889e-03 + q * (2.48015873015873e-05 + q * p)
    p = -0.5 + q * (4.1666666666666664e-02 + q * p)
    return 1.0 + q * p


@compiled
def _draw(first_step, count, step_of, k0, k1, shake, shakes, angle, normal_x, normal_y):  # type: ignore[no-untyped-def]
    """The draws of ``count`` (step, path) pairs, steps slow and paths fast: shake or not, its angle, the normals."""
    for i in range(count):
        w0, w1, w2, w3 = philox4x32(first_step + step_of[i], _ZERO, _ZERO, _ZERO, k0[i], k1[i])
        shakes[i] = (np.float64(w0) + 0.5) * _STEP < shake[i]
        angle[i] = (np.float64(w1) + 0.5) * _STEP - 0.5
        # Parked here for the second loop: in one loop the compiler runs out of registers.
        normal_x[i] = (np.float64(w2) + 0.5) * _STEP
        normal_y[i] = (np.float64(w3) + 0.5) * _STEP
    for i in range(count):
        radius = math.sqrt(_minus_two_log(normal_x[i]))
        quarter = np.floor(4.0 * normal_y[i] + 0.5)
        x = _TWO_PI * (normal_y[i] - 0.25 * quarter)
        s = _sin_near_zero(x)
        c = _cos_near_zero(x)
        odd = quarter == 1.0 or quarter == 3.0
        cosine = s if odd else c
        sine = c if odd else s
        normal_x[i] = radius * (-cosine if quarter == 1.0 or quarter == 2.0 else cosine)
        normal_y[i] = radius * (-sine if quarter == 2.0 or quarter == 3.0 else sine)


@compiled
def _advance(steps, lanes, law, state, shakes, angle, normal_x, normal_y, track):  # type: ignore[no-untyped-def]
    """Advance ``lanes`` paths by ``steps``; ``track`` takes the positions, ``[steps, 2, lanes]``."""
    step, noise, pull = law[0], law[1], law[2]
    x, y, vx, vy = state[0], state[1], state[2], state[3]
    for t in range(steps):
        row = t * lanes
        fired = False
        for lane in range(lanes):
            fired |= shakes[row + lane]
        if fired:  # once in thousands of steps
            for lane in range(lanes):
                if shakes[row + lane]:
                    # v + 2 v exp(i(pi + U - 1/2)) = v (1 - 2 exp(i(U - 1/2)))
                    a = 1.0 - 2.0 * _cos_near_zero(angle[row + lane])
                    b = -2.0 * _sin_near_zero(angle[row + lane])
                    ux = vx[lane] * a - vy[lane] * b
                    vy[lane] = vx[lane] * b + vy[lane] * a
                    vx[lane] = ux
        for lane in range(lanes):
            ux = (vx[lane] + noise[lane] * normal_x[row + lane]) - pull[lane] * x[lane]
            uy = (vy[lane] + noise[lane] * normal_y[row + lane]) - pull[lane] * y[lane]
            scale = step[lane] / math.sqrt(ux * ux + uy * uy)
            ux *= scale
            uy *= scale
            vx[lane] = ux
            vy[lane] = uy
            x[lane] += ux
            y[lane] += uy
            track[t, 0, lane] = x[lane]
            track[t, 1, lane] = y[lane]


@compiled
def _walk(law, key, out):  # type: ignore[no-untyped-def]
    """``law`` is ``[7, B]``: heading x and y, first speed, step, shake, noise, pull; ``key`` is ``[2, B]``."""
    batch, samples = out.shape[0], out.shape[1]
    size = _BLOCK_STEPS * min(_LANES, batch)
    step_of = np.empty(size, np.uint64)
    k0 = np.empty(size, np.uint64)
    k1 = np.empty(size, np.uint64)
    shake = np.empty(size)
    shakes = np.empty(size, np.bool_)
    angle = np.empty(size)
    normal_x = np.empty(size)
    normal_y = np.empty(size)
    for first in range(0, batch, _LANES):
        lanes = min(_LANES, batch - first)
        for i in range(_BLOCK_STEPS * lanes):
            step_of[i] = np.uint64(i // lanes)
            k0[i] = key[0, first + i % lanes]
            k1[i] = key[1, first + i % lanes]
            shake[i] = law[4, first + i % lanes]
        state = np.zeros((4, lanes))
        steps_law = np.empty((3, lanes))
        track = np.empty((_BLOCK_STEPS, 2, lanes))
        for lane in range(lanes):
            b = first + lane
            state[2, lane] = law[0, b] * law[2, b]
            state[3, lane] = law[1, b] * law[2, b]
            steps_law[0, lane] = law[3, b]
            steps_law[1, lane] = law[5, b]
            steps_law[2, lane] = law[6, b]
            out[b, 0, 0] = 0.0
            out[b, 0, 1] = 0.0
        for start in range(0, samples - 1, _BLOCK_STEPS):
            steps = min(_BLOCK_STEPS, samples - 1 - start)
            _draw(np.uint64(start), steps * lanes, step_of, k0, k1, shake, shakes, angle, normal_x, normal_y)
            _advance(steps, lanes, steps_law, state, shakes, angle, normal_x, normal_y, track)
            for lane in range(lanes):
                for t in range(steps):
                    out[first + lane, start + t + 1, 0] = track[t, 0, lane]
                    out[first + lane, start + t + 1, 1] = track[t, 1, lane]


def random_walk(parameters: WalkParameters, seed: ArrayLike) -> NDArray[np.float64]:
    """Markov random trajectories ``[B, N, 2]`` (x, y in px) that start at (0, 0)."""
    law = parameters.law()
    seeds = np.asarray(seed, np.uint64)
    if seeds.shape not in ((), (len(parameters),)):
        raise InvalidValueError(
            f"random_walk needs one seed per path: got seeds of shape {seeds.shape} for {len(parameters)} paths.",
            fix="Pass seed as an array [B] of unsigned integers.",
        )
    table = np.empty((7, len(parameters)))
    numbers = (law.heading_x, law.heading_y, law.first_speed_px, law.step_px, law.shake, law.noise_px, law.pull)
    for row, values in enumerate(numbers):
        table[row] = values
    key = np.empty((2, len(parameters)), np.uint64)
    key[0], key[1] = seeds & MASK32, seeds >> np.uint64(32)
    out = np.empty((len(parameters), parameters.samples, 2))
    _walk(table, key, out)
    return out
