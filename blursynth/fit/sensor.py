"""Sensor, smoothing and noise reduction of a camera: what makes simulated flat fields as noisy as its photographs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError
from blursynth.fit.camera import Camera, camera_steps
from blursynth.fit.noise import LEVELS, NoiseStatistics, measure_noise
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
    middles = (LEVELS[:-1] + LEVELS[1:]) / 2 / 255.0
    flat = np.repeat(middles, _PATCH_PX)[None, None, None].astype(np.float32)
    frame = Frame(np.ascontiguousarray(np.broadcast_to(flat, (1, 3, _PATCH_PX, flat.shape[-1]))), Encoding.DISPLAY)
    parameters, statistics = [], []
    for index in range(count):
        drawn = low + (high - low) * rng.random(len(low))
        values = dict(zip(PRIOR, np.exp(drawn).tolist(), strict=True))
        same = {name: (value, value) for name, value in values.items()}
        one = Camera(**same, jpeg=camera.jpeg, gray=camera.gray, curve=camera.curve)  # type: ignore[arg-type]
        recipe = Recipe.from_dict({"step": [step.to_dict() for step in camera_steps(one, [])]})
        made = np.asarray(recipe.sample(frame, seed=seed, index=index)(frame).image[0])
        parameters.append(drawn)
        statistics.append(measure_noise(made).to_vector())
        on_made(index + 1)
    return NoiseDraws(np.array(parameters), np.array(statistics))


def read_noise_parameters(draws: NoiseDraws, measured: Sequence[NoiseStatistics]) -> Array:
    """``[P, 5]`` the parameters of :data:`PRIOR` for each picture: approximate Bayesian computation.

    Of the simulated cameras those with the nearest statistics count, each corrected by a linear regression of the
    parameters on the statistics among them, with weights that fall to zero at the farthest.

    Source: Beaumont, Zhang and Balding, "Approximate Bayesian Computation in Population Genetics", Genetics 162, 2002.

    Raises
    ------
    InvalidValueError
        There is no picture.
    """
    if not measured:
        raise InvalidValueError("There is no noise measurement.", fix="Give at least one picture.")
    low, high = np.log(np.array(list(PRIOR.values()))).T
    scale = np.nanstd(draws.statistics, axis=0) + 1e-3
    found = []
    for one in measured:
        wanted = one.to_vector()
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
        found.append(np.exp(np.clip(slope[0], low, high)))
    return np.array(found)
