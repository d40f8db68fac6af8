"""The random walk, one step of one path at a time, as in the publication. See ``physics.trajectory``."""

from __future__ import annotations

import cmath
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blursynth.backends.oracle.philox import philox4x32, seed_words
from blursynth.physics.trajectory import WalkParameters

__all__ = ["random_walk", "walk_draws"]


def walk_draws(seed: ArrayLike, steps: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The random numbers: shake tests and shake angles ``[B, steps]`` in (0, 1), and standard normals ``[B, steps,
    2]``.

    Step t of a seed is the Philox block of counter (t, 0, 0, 0): its words are the test, the angle, and radius and
    angle of a Box-Muller pair, each as ``(word + 1/2) / 2^32``.
    """
    seeds = np.atleast_1d(np.asarray(seed, np.uint64))
    words = philox4x32(np.arange(steps, dtype=np.uint64)[None, :], 0, 0, 0, *(k[:, None] for k in seed_words(seeds)))
    test, angle, u, turn = ((w.astype(np.float64) + 0.5) * 2.0**-32 for w in words)
    radius = np.sqrt(-2.0 * np.log(u))
    normals = np.stack([radius * np.cos(2.0 * np.pi * turn), radius * np.sin(2.0 * np.pi * turn)], axis=-1)
    return test, angle, normals


def random_walk(
    parameters: WalkParameters, seed: ArrayLike, *, normals: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Markov random trajectories ``[B, N, 2]`` (x, y in px) that start at (0, 0).

    ``normals`` ``[B, N - 1, 2]`` takes the place of the seed's own draws, for tests of the law.
    """
    law = parameters.law()
    test, angle, drawn = walk_draws(
        np.broadcast_to(np.asarray(seed, np.uint64), len(parameters)), parameters.samples - 1
    )
    gauss = drawn if normals is None else normals
    out = np.zeros((len(parameters), parameters.samples, 2))
    for b in range(len(parameters)):
        v = complex(law.heading_x[b], law.heading_y[b]) * law.first_speed_px[b]
        x = 0j
        for t in range(parameters.samples - 1):
            shake = 0j
            if test[b, t] < law.shake[b]:
                shake = 2 * v * cmath.exp(1j * (math.pi + angle[b, t] - 0.5))
            v = v + shake + law.noise_px[b] * complex(gauss[b, t, 0], gauss[b, t, 1]) - law.pull[b] * x
            v = law.step_px[b] * v / abs(v)
            x = x + v
            out[b, t + 1] = (x.real, x.imag)
    return out
