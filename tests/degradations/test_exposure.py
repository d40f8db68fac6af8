"""Exposure: light in proportion to time, for both pictures of a pair."""

from __future__ import annotations

import numpy as np

import blursynth as bs
from blursynth.testing import pictures


def test_short_and_long_exposure_of_one_scene() -> None:
    frame = pictures(batch=1)
    short = bs.kinds.Exposure(exposure_s=0.01, metered_s=0.04)(frame)
    long = bs.kinds.Exposure(exposure_s=0.08, metered_s=0.04)(frame)
    assert np.allclose(long.image, 8 * short.image, rtol=1e-6)


def test_a_short_exposure_brightened_again_has_the_noise_of_fewer_electrons() -> None:
    frame = bs.Frame(np.full((1, 3, 256, 256), 0.5, np.float32), "linear")
    noise = {}
    for share in (1.0, 0.125):
        draw = bs.Draw(
            (
                ("exposure", bs.kinds.Exposure(exposure_s=share, metered_s=1.0)),
                ("sensor", bs.kinds.Sensor(full_well_e=8000.0, seed=1)),
                ("develop", bs.kinds.Develop(gain=1 / share)),
            )
        )
        pair = draw.pair(frame)
        assert np.allclose(pair.sharp.image, 0.5, atol=1e-6)
        assert abs(pair.blurred.image.mean() - 0.5) < 1e-3
        noise[share] = pair.blurred.image.std()
    assert abs(noise[0.125] / noise[1.0] / np.sqrt(8) - 1) < 0.02
