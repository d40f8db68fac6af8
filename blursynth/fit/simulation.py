"""Windows of sharp scenes through recipes, and which recipe each went through."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blursynth.frame import Encoding, Frame
from blursynth.recipe.recipe import Recipe

__all__ = ["Simulated", "sharp_window", "simulate"]

_MARGIN_PX = 48  # of a straight path of 64 px, or a crooked one of 120, and the lens; more is reflected at the edge
_ROUGH_FROM = 0.02  # cycles per px


@dataclass(frozen=True)
class Simulated:
    """A simulated photograph ``[3, H, W]`` in codes 0..1, and which recipe and scene of several it is of."""

    codes: NDArray[np.float32]
    which: int
    scene: int


def sharp_window(
    frame: Frame, rng: np.random.Generator, size_px: int, roughness: tuple[float, float] = (0.0, 0.0)
) -> Frame:
    """A random square of a scene, mirrored and turned at random, with another exposure, smoother or rougher.

    Its spectrum is multiplied by ``max(f / .02, 1)^r`` with f in cycles per px and r drawn from ``roughness``: scenes
    differ in how fast their spectra fall, and few scenes cannot show it.
    """
    image = np.asarray(frame.image, np.float32)
    height, width = image.shape[-2:]
    tall, wide = min(size_px, height), min(size_px, width)
    top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
    part = image[..., top : top + tall, left : left + wide]
    if rng.random() < 0.5:
        part = part[..., ::-1]
    part = np.rot90(part, int(rng.integers(4)), axes=(-2, -1))
    # A power of the codes, as an editor's gamma does: dark and bright scenes from the same pictures.
    part = part ** np.float32(2.0 ** rng.uniform(-0.6, 0.6))
    short = [max(0, size_px - n) for n in part.shape[-2:]]
    if any(short):
        part = np.pad(part, ((0, 0), (0, 0), (0, short[0]), (0, short[1])), "reflect")
    if roughness != (0.0, 0.0):
        part = _rougher(part, float(rng.uniform(*roughness)))
    return Frame(np.ascontiguousarray(part), Encoding.DISPLAY)


def _rougher(part: NDArray[np.float32], power: float) -> NDArray[np.float32]:
    from scipy import fft

    tall, wide = part.shape[-2:]
    frequency = np.hypot(fft.fftfreq(tall)[:, None], fft.rfftfreq(wide))
    gain = (np.maximum(frequency / _ROUGH_FROM, 1.0) ** power).astype(np.float32)
    return np.asarray(fft.irfft2(fft.rfft2(part) * gain, s=(tall, wide)).clip(0, 1))


def simulate(
    recipes: Sequence[Recipe],
    scenes: Sequence[Frame],
    count: int,
    *,
    size_px: int,
    seed: int,
    roughness: tuple[float, float] = (0.0, 0.0),
    on_made: Callable[[int], None] = lambda done: None,
) -> Iterator[Simulated]:
    """``count`` windows through the recipes in turn: window i is a pure function of the seed and i."""
    for index in range(count):
        rng = np.random.Generator(np.random.Philox(key=[seed, index]))
        which = index % len(recipes)
        scene = int(rng.integers(len(scenes)))
        frame = sharp_window(scenes[scene], rng, size_px + 2 * _MARGIN_PX, roughness)
        draw = recipes[which].sample(frame, seed=seed, index=index)
        made = np.asarray(draw(frame).image[0])[:, _MARGIN_PX:-_MARGIN_PX, _MARGIN_PX:-_MARGIN_PX]
        yield Simulated(np.ascontiguousarray(made, np.float32), which, scene)
        on_made(index + 1)
