"""Law: the mean of as many frames as GoPro's set has explains a real blurred photograph as a continuous exposure does."""

from __future__ import annotations

from pathlib import Path

import gopro_average
import gopro_shake
import numpy as np
import pytest

import blursynth as bs


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize("half", ["left", "right"])
@pytest.mark.parametrize("blurred", list(gopro_shake.FILES))
def test_a_mean_of_frames_explains_the_photograph(real_data: Path, blurred: str, half: str) -> None:
    found = gopro_average.explain(real_data, blurred, half)
    other = "right" if half == "left" else "left"

    def of(prediction: gopro_shake.Prediction, where: str) -> float:
        return float(getattr(prediction, where))

    # On the half that was not looked at, and in dB.
    assert of(found.frames[11], other) > of(found.identity, other)
    # With these motions (15 to 20 px) eleven frames are 2 px apart: nearly continuous. Three leave ghosts.
    assert abs(of(found.frames[11], other) - of(found.continuous, other)) < 0.2
    assert of(found.frames[3], half) < of(found.frames[11], half) - 0.5
    # The curve that the photograph was made with explains more of what was fitted, though both were fitted.
    assert of(found.continuous, half) > of(found.other_curve, half)
    # One point spread for the whole picture says less than a motion with roll.
    assert of(found.uniform, half) < of(found.continuous, half)
    assert abs(of(found.uniform_frames, half) - of(found.uniform, half)) < 0.3


def test_a_turn_without_roll_is_the_same_everywhere() -> None:
    """In the middle, means of warped frames are those of the averaged frames' point spread: same side, same place."""
    picture = np.random.default_rng(0).random((80, 90))
    picture = bs.kinds.GaussianBlur(sigma_px=2.0)(bs.Frame(picture[None], "linear")).image[0, 0]
    poses = np.zeros((4, 4))
    poses[:, 0], poses[:, 1] = (0.0, 4.0, 5.0, 3.0), (-6.0, 0.0, 1.0, 9.0)
    middle = (slice(30, -30), slice(35, -35))
    for frames in (3, 8):
        warped = gopro_shake.shaken(picture, poses, moments=frames)
        spread = gopro_average.uniform(picture, poses, frames)
        assert np.abs(warped - spread)[middle].max() < 0.05 * np.ptp(picture)
        assert np.abs(warped - picture)[middle].max() > 0.2 * np.ptp(picture)
    continuous = gopro_average.uniform(picture, poses, None)
    warped = gopro_shake.shaken(picture, poses, moments=gopro_average.CONTINUOUS)
    assert np.abs(warped - continuous)[middle].max() < 0.05 * np.ptp(picture)
