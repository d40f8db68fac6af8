"""The noise of recipes is where that of real cameras' files is; and what measures it measures what it says."""

from __future__ import annotations

import numpy as np
import pytest
from picture_noise import REAL, detail_db, noise_of, noise_of_recipe

# Recipes of cameras that write JPEGs, ours and not of a publication.
OURS = ("default", "mixed", "steady-hand", "street", "phone-day", "phone-night")
OTHERS = ("action", "handheld-depth", "phone-portrait", "portrait")


def test_the_measure_by_arithmetic() -> None:
    """Noise of known strength, colors and neighbors: normal numbers through [1 2 1] / 4 along both axes."""
    rng = np.random.default_rng(7)
    shape = (4, 256, 400, 3)
    common, own = rng.normal(size=(*shape[:3], 1)), rng.normal(size=shape)
    noise = (common + own) / np.sqrt(2)  # colors agree by one half
    for axis in (1, 2):
        noise = (np.roll(noise, 1, axis) + 2 * noise + np.roll(noise, -1, axis)) / 4
    noise /= 0.375  # 6/16 of the variance is left by each of two passes
    mean = np.broadcast_to(np.where(np.arange(400) < 200, 25.0, 60.0)[:, None], shape[1:]) + 0.0
    noise *= np.where(mean < 40, 2.0, 5.0)
    found = noise_of(mean + noise, mean)
    # Var(Y) = 1/2 (sum of the weights)^2 + 1/2 (sum of their squares); B - Y: the common part falls out.
    squares = 0.299**2 + 0.587**2 + 0.114**2
    luma = np.sqrt((1 + squares) / 2)
    cb = 0.564 * np.sqrt((0.299**2 + 0.587**2 + 0.886**2) / 2)
    assert found.levels[:2] == pytest.approx((2 * luma, 5 * luma), rel=0.02)
    assert np.isnan(found.levels[2:]).all()
    assert found.shadows == pytest.approx(0.4, abs=0.02)
    assert (found.luma_lag_1, found.luma_lag_2) == pytest.approx((4 / 6, 1 / 6), abs=0.02)
    assert (found.cb_lag_1, found.cb_lag_4) == pytest.approx((4 / 6, 0), abs=0.02)
    assert (found.red_green, found.green_blue, found.red_blue) == pytest.approx((0.5, 0.5, 0.5), abs=0.02)
    assert found.chroma == pytest.approx(cb / luma, rel=0.02)


def test_detail_by_arithmetic() -> None:
    """A coarse wave with 9 times the power of a fine one, on a gray of any brightness, in two tiles."""
    x = np.arange(512)
    row = 90 + 30 * np.sin(2 * np.pi * x / 8) + 10 * np.sin(2 * np.pi * 3 * x / 8)
    picture = np.broadcast_to(row[None, :, None], (300, 512, 3))
    assert detail_db(picture) == pytest.approx(-10, abs=1e-9)
    assert detail_db(picture, window=True) == pytest.approx(-10, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "draws", "count"),
    [
        *((name, 8, 4) for name in ("default", "phone-night")),
        *(pytest.param(name, 24, 8, marks=pytest.mark.slow) for name in (*OURS, *OTHERS)),
    ],
)
def test_noise_is_like_that_of_real_cameras(name: str, draws: int, count: int) -> None:
    """Least in the shadows, alike in neighbors, coarse and weaker in color; with sRGB's curve and without smoothing
    `default` had .33, -.07 and 1.1 where the 15 real pairs have .60, .11 and .68."""
    found = noise_of_recipe(name, draws, count=count)
    assert found.luma_lag_1 == pytest.approx(REAL.luma_lag_1, abs=0.15)
    assert found.luma_lag_2 == pytest.approx(REAL.luma_lag_2, abs=0.1)
    assert found.cb_lag_1 == pytest.approx(REAL.cb_lag_1, abs=0.12)
    assert found.cb_lag_4 == pytest.approx(REAL.cb_lag_4, abs=0.15)
    for colors in ("red_green", "green_blue", "red_blue"):
        assert getattr(found, colors) == pytest.approx(getattr(REAL, colors), abs=0.15)
    assert found.chroma == pytest.approx(REAL.chroma, abs=0.15)
    assert found.shadows < 0.95
    middle = found.levels[2] / found.levels[1]
    assert middle == pytest.approx(REAL.levels[2] / REAL.levels[1], abs=0.2)
