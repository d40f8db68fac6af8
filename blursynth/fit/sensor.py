"""Sensor, smoothing and noise reduction of a camera: what makes simulated flat fields as noisy as its photographs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from blursynth.fit.camera import Camera, camera_steps
from blursynth.fit.noise import LEVELS, NoiseStatistics, measure_noise, noise_blocks
from blursynth.frame import Encoding, Frame
from blursynth.recipe.recipe import Recipe

__all__ = ["PRIOR", "NoiseDraws", "read_noise_parameters", "simulate_flats"]

Array = NDArray[np.float64]

PRIOR: dict[str, tuple[float, float]] = {
    "full_well_e": (100.0, 60000.0),
    "read_noise_e": (0.5, 10.0),
    "smoothing_sigma_px": (0.3, 1.2),
    "luma_codes": (0.2, 8.0),
    "chroma_codes": (0.5, 30.0),
}
"""Ranges that simulated cameras are drawn from, log-uniform."""
_PATCH_PX = 96
_NEAREST = 50


def _flat_frame() -> Frame:
    """A patch of each intensity of :data:`LEVELS`, which rises from corner to corner: nothing in a photograph is of one
    code, and JPEG would round its noise to none."""
    rise = np.linspace(-0.3, 0.3, _PATCH_PX)
    patches = [(low + high) / 2 + (high - low) * (rise[:, None] + rise) / 2 for low, high in pairwise(LEVELS)]
    gray = np.concatenate(patches, axis=1)[None, None].astype(np.float32) / 255.0
    return Frame(np.ascontiguousarray(np.broadcast_to(gray, (1, 3, *gray.shape[2:]))), Encoding.DISPLAY)


@dataclass(frozen=True)
class NoiseDraws:
    """Simulated cameras: logarithms of their parameters ``[N, 5]``, and the statistics of their flats ``[N, S]``."""

    parameters: Array
    statistics: Array


def simulate_flats(
    camera: Camera, count: int, *, seed: int, on_made: Callable[[int], None] = lambda done: None
) -> NoiseDraws:
    """Flat fields of all intensities through cameras drawn from :data:`PRIOR`, with curve and JPEG of ``camera``.

    They are neither sharpened nor blurred. Gray cameras keep their kind.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, 2]))
    low, high = np.log(np.array(list(PRIOR.values()))).T
    frame = _flat_frame()
    parameters, statistics = [], []
    for index in range(count):
        drawn = low + (high - low) * rng.random(len(low))
        values = dict(zip(PRIOR, np.exp(drawn).tolist(), strict=True))
        same = {name: (value, value) for name, value in values.items()}
        one = Camera(**same, jpeg=camera.jpeg, gray=camera.gray, curve=camera.curve)  # type: ignore[arg-type]
        recipe = Recipe.from_dict({"step": [step.to_dict() for step in camera_steps(one, [])]})
        made = np.asarray(recipe.sample(frame, seed=seed, index=index)(frame).image[0])
        parameters.append(drawn)
        statistics.append(measure_noise([noise_blocks(made)], flat_share=1.0).to_vector())
        on_made(index + 1)
    return NoiseDraws(np.array(parameters), np.array(statistics))


def read_noise_parameters(draws: NoiseDraws, measured: NoiseStatistics) -> Array:
    """``[3, 5]`` the quartiles of what :data:`PRIOR` can be: approximate Bayesian computation.

    Of the simulated cameras those with the nearest statistics count, each moved by a linear regression of the
    parameters on the statistics among them, with weights that fall to zero at the farthest.

    Source: Beaumont, Zhang and Balding, "Approximate Bayesian Computation in Population Genetics", Genetics 162, 2002.
    """
    low, high = np.log(np.array(list(PRIOR.values()))).T
    scale = np.nanstd(draws.statistics, axis=0) + 1e-3
    wanted = measured.to_vector()
    known = np.isfinite(wanted) & np.isfinite(draws.statistics).all(axis=0)
    apart = (draws.statistics[:, known] - wanted[known]) / scale[known]
    distance = np.sqrt((apart**2).mean(axis=1))
    near = np.argsort(distance, kind="stable")[:_NEAREST]
    reach = distance[near[-1]] + 1e-9
    weight = np.clip(1 - (distance[near] / reach) ** 2, 1e-6, None)
    design = np.column_stack([np.ones(len(near)), apart[near]])
    ridge = 0.3 * weight.sum() * np.eye(design.shape[1])
    ridge[0, 0] = 0
    slope = np.linalg.solve(
        design.T @ (weight[:, None] * design) + ridge, design.T @ (weight[:, None] * draws.parameters[near])
    )
    moved = draws.parameters[near] - apart[near] @ slope[1:]
    weights = np.broadcast_to(weight[:, None], moved.shape)
    found = np.quantile(moved, [0.25, 0.5, 0.75], axis=0, weights=weights, method="inverted_cdf")
    return np.asarray(np.exp(np.clip(found, low, high)))
