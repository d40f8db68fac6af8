"""Turning the picture and the motion together turns the result: no direction is privileged anywhere in the pipeline."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

import blursynth as bs
from blursynth.testing import pictures

RNG = np.random.default_rng(5)
KERNEL = RNG.uniform(size=(5, 7)) * (RNG.uniform(size=(5, 7)) > 0.4)
PATH = np.cumsum(RNG.normal(size=(40, 2)), axis=0) * 0.7

Turn = Callable[[NDArray[np.floating]], NDArray[np.floating]]

# name: (what happens to the picture [..., H, W], what happens to x and y of a path)
TURNS: dict[str, tuple[Turn, NDArray[np.float64]]] = {
    "left-right": (lambda a: a[..., ::-1], np.array([[-1.0, 0], [0, 1]])),
    "up-down": (lambda a: a[..., ::-1, :], np.array([[1.0, 0], [0, -1]])),
    "rot90": (lambda a: np.rot90(a, axes=(-2, -1)), np.array([[0, 1.0], [-1, 0]])),
    "transpose": (lambda a: np.swapaxes(a, -1, -2), np.array([[0, 1.0], [1, 0]])),
}


def pipeline(picture: bs.Frame, shake: bs.Degradation) -> NDArray[np.floating]:
    steps = [
        ("decode", bs.Decode()),
        ("shake", shake),
        ("lens", bs.DiskBlur(diameter_px=3.3)),
        ("sensor", bs.Sensor(full_well_e=5000.0, shot_noise=False, seed=0)),
        ("develop", bs.Develop()),
        ("encode", bs.Encode()),
    ]
    return bs.Draw(tuple(steps))(picture).image


def recorded(path: NDArray[np.float64]) -> bs.Degradation:
    time = np.linspace(0, 1, len(path))
    return bs.RecordedMotion(recording=bs.assets.register(np.column_stack([time, path])), exposure_s=1.0)


@pytest.mark.parametrize("turn", list(TURNS))
@pytest.mark.parametrize("kind", ["path", "kernel"])
def test_turned_in_turned_out(turn: str, kind: str) -> None:
    change, matrix = TURNS[turn]
    picture = pictures(bs.Encoding.DISPLAY, batch=1, size_px=(40, 45), dtype=np.float64)
    turned = bs.Frame(np.ascontiguousarray(change(picture.image)), bs.Encoding.DISPLAY)
    if kind == "path":
        before, after = recorded(PATH), recorded(PATH @ matrix.T)
    else:
        # Odd in both directions and centred in its array, so that turning the array turns the kernel.
        before = bs.MeasuredBlur(kernel=bs.assets.register(KERNEL + KERNEL[::-1, ::-1]))
        after = bs.MeasuredBlur(kernel=bs.assets.register(change(KERNEL + KERNEL[::-1, ::-1])))
    expected = change(pipeline(picture, before))
    # One code may flip where a value lies on the border between two.
    assert np.quantile(np.abs(pipeline(turned, after) - expected), 0.999) <= 1e-6
