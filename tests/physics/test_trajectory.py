"""Paths with a closed form, the Gaussian process, recorded paths, and the published placement."""

from __future__ import annotations

import math

import numpy as np
import pytest

from blursynth.backends import cpu
from blursynth.errors import InvalidValueError
from blursynth.physics import trajectory
from blursynth.physics.trajectory import WalkForm, WalkParameters


def walk(**changed: object) -> WalkParameters:
    numbers: dict[str, object] = {
        "length_px": 60.0,
        "anxiety": 0.01,
        "centripetal": 0.3,
        "big_shake": 0.1,
        "gaussian": 5.0,
        "heading_rad": 0.0,
    }
    return WalkParameters(**(numbers | changed))  # type: ignore[arg-type]


def test_a_straight_line_has_its_length_direction_and_middle() -> None:
    path = trajectory.straight_line(10.0, math.pi / 2)
    assert path.tolist() == pytest.approx(np.array([[0, -5], [0, 5]]), abs=1e-15)  # type: ignore[comparison-overlap]
    batch = trajectory.straight_line([1.0, 2.0], [0.0, 1.0])
    assert batch.shape == (2, 2, 2)
    assert np.hypot(*np.diff(batch, axis=1)[:, 0].T).tolist() == pytest.approx([1.0, 2.0])


def test_constant_acceleration_is_the_parabola() -> None:
    path = trajectory.constant_acceleration([4.0, 0.0], [0.0, 6.0], samples=5)
    assert path[:, 0].tolist() == pytest.approx([0, 1, 2, 3, 4])
    assert path[-1, 1] == pytest.approx(3.0)
    assert path[2, 1] == pytest.approx(0.75)
    assert trajectory.constant_acceleration([[1.0, 0]], [[0.0, 0]]).shape == (1, 257, 2)


def test_constant_acceleration_meets_its_stated_error() -> None:
    coarse = trajectory.constant_acceleration([0.0, 0.0], [0.0, 8.0], samples=11)
    fine = trajectory.constant_acceleration([0.0, 0.0], [0.0, 8.0], samples=1001)
    chord = np.interp(np.linspace(0, 1, 1001), np.linspace(0, 1, 11), coarse[:, 1])
    assert np.abs(chord - fine[:, 1]).max() <= 8.0 / (8 * 10**2) * (1 + 1e-9)


@pytest.mark.parametrize("samples", [2, 21, 81])
def test_gaussian_process_has_the_stated_covariance(samples: int) -> None:
    sigma, correlation, batch = 3.0, 0.4, 20_000
    x = trajectory.gaussian_process(sigma, correlation, seed=1, samples=samples, batch=batch).transpose(0, 2, 1)
    x = x.reshape(2 * batch, samples)
    assert abs(x[:, 0].mean()) <= 5 * sigma / math.sqrt(2 * batch)
    for first, second in {(0, 0), (0, samples - 1), (samples // 2, samples - 1), (0, samples // 4)}:
        q = math.sqrt(5) * abs(second - first) / (samples - 1) / correlation
        wanted = sigma**2 * (1 + q + q * q / 3) * math.exp(-q)
        # The product of two normals has the variance (product of variances) + (covariance)^2.
        slack = 5 * math.sqrt((sigma**4 + wanted**2) / (2 * batch))
        assert abs((x[:, first] * x[:, second]).mean() - wanted) <= slack


def test_gaussian_process_is_smooth_and_its_axes_independent() -> None:
    batch, samples = 4000, 401
    path = trajectory.gaussian_process(1.0, 0.3, seed=2, samples=samples, batch=batch)
    velocity = np.diff(path, axis=1) * (samples - 1)
    # The Matern-5/2 process has a velocity of variance 5/(3 l^2).
    variance = velocity[:, 200].var()
    assert variance == pytest.approx(5 / 3 / 0.3**2, rel=5 * math.sqrt(2 / (2 * batch)))
    assert abs((path[:, 100, 0] * path[:, 100, 1]).mean()) <= 5 / math.sqrt(batch)
    assert np.abs(np.diff(path, n=2, axis=1)).max() < 0.02


def test_gaussian_process_repeats_with_its_seed() -> None:
    one = trajectory.gaussian_process(2.0, 0.3, seed=5)
    assert one.shape == (501, 2)
    assert np.array_equal(one, trajectory.gaussian_process(2.0, 0.3, seed=5))
    assert not np.array_equal(one, trajectory.gaussian_process(2.0, 0.3, seed=6))
    assert np.array_equal(trajectory.gaussian_process(0.0, 0.3, seed=5), np.zeros((501, 2)))


def test_very_short_and_very_long_correlations_are_finite() -> None:
    for correlation in (1e-3, 1e3):
        path = trajectory.gaussian_process(1.0, correlation, seed=1, samples=3000)
        assert np.isfinite(path).all()
        assert np.abs(path).max() < 8


def test_replay_cuts_to_the_exposure_and_keeps_corners_and_times() -> None:
    time = [3.0, 3.5, 4.0, 6.0]
    position = [[0.0, 0.0], [4.0, -2.0], [4.0, 6.0], [-4.0, 6.0]]
    path, duration = trajectory.replay(time, position, start_s=3.25, exposure_s=1.25)
    assert path.tolist() == [[2.0, -1.0], [4.0, -2.0], [4.0, 6.0], [2.0, 6.0]]
    assert duration.tolist() == [0.25, 0.5, 0.5]
    # From a row to a row there is no segment without a length.
    path, duration = trajectory.replay(time, position, start_s=3.5, exposure_s=0.5)
    assert path.tolist() == position[1:3]
    assert duration.tolist() == [0.5]
    path, duration = trajectory.replay(time, position)
    assert path.tolist() == position
    assert duration.tolist() == [0.5, 0.5, 2.0]


def test_the_law_of_a_step_by_hand() -> None:
    law = walk(length_px=59.97, samples=2000, form=WalkForm.PAPER).law()
    assert law.step_px[0] == pytest.approx(0.03)
    assert law.shake[0] == pytest.approx(0.001)
    assert law.noise_px[0] == pytest.approx(0.01 * 5 * 0.03)
    assert law.pull[0] == pytest.approx(0.01 * 0.3 * 0.03)
    assert law.first_speed_px[0] == pytest.approx(0.01)
    half = walk(length_px=30.0, samples=1000).law()
    assert half.shake[0] == pytest.approx(0.002)
    assert half.noise_px[0] == pytest.approx(0.01 * 5 * math.sqrt(2) * 30 / 999)
    assert half.pull[0] == pytest.approx(0.01 * 0.3 * 2 * 2 * 30 / 999)


def test_scalars_and_arrays_broadcast() -> None:
    parameters = walk(anxiety=[0.0, 0.1, 0.2])
    assert len(parameters) == 3
    assert parameters.length_px.tolist() == [60.0] * 3
    assert cpu.random_walk(parameters, 5).shape == (3, 2000, 2)


def test_published_placement_starts_on_a_pixel() -> None:
    rng = np.random.default_rng(0)
    path = cpu.random_walk(walk(heading_rad=rng.uniform(0, 6, 300), anxiety=0.01), np.arange(300, dtype=np.uint64))
    placed = trajectory.published_placement(path)
    assert np.abs(placed[:, 0] - np.round(placed[:, 0])).max() <= 1e-12
    assert np.abs(np.diff(placed, axis=1) - np.diff(path, axis=1)).max() <= 1e-12
    assert placed.min() >= 1
    # The middle of the path is at 32.5 - f/2 + e px, f the start's fraction that was taken off and e what the ceiling
    # added, both uniform: 32.75 on average, where the convolution of DeblurGAN has its origin at pixel 31 of 64,
    # counted from 0.
    middle = 0.5 * (placed.max(axis=1) + placed.min(axis=1))
    assert (middle - 31).mean(axis=0) == pytest.approx([1.75, 1.75], abs=0.1)


BAD = [
    (lambda: walk(length_px=0.0), "length_px must be > 0"),
    (lambda: walk(length_px=float("nan")), "length_px must be a finite number"),
    (lambda: walk(anxiety=1.5), "anxiety must be 0..1"),
    (lambda: walk(centripetal=-1.0), "centripetal must be >= 0"),
    (lambda: walk(samples=1), "samples must be an integer >= 2"),
    (lambda: walk(form="papers"), "Did you mean 'paper'"),
    (lambda: walk(anxiety=[0.1, 0.2], gaussian=[1.0, 2.0, 3.0]), "one value per path"),
    (lambda: walk(anxiety=1.0, big_shake=0.7, samples=1000).law(), "above 1"),
    (lambda: cpu.random_walk(walk(), [1, 2]), "one seed per path"),
    (lambda: trajectory.straight_line(-1.0, 0.0), "length_px must be finite and >= 0"),
    (lambda: trajectory.constant_acceleration([1.0], [0.0, 0.0]), "velocity_px must be"),
    (lambda: trajectory.gaussian_process(1.0, 0.0, seed=1), "correlation_time must be"),
    (lambda: trajectory.gaussian_process(1.0, 0.1, seed=-1), "seed must be"),
    (lambda: trajectory.replay([0.0, 0.0], np.zeros((2, 2))), "increase strictly"),
    (lambda: trajectory.replay([0.0, 1.0], np.zeros((3, 2))), "needs times"),
    (lambda: trajectory.replay([0.0, 1.0], np.zeros((2, 2)), start_s=0.5, exposure_s=0.6), "not inside the recording"),
    # Too short for times this large: it would end when it begins.
    (
        lambda: trajectory.replay([1e9, 2e9], np.zeros((2, 2)), start_s=1.5e9, exposure_s=1e-9),
        "not inside the recording",
    ),
    (lambda: cpu.rasterize(np.zeros((1, 2))), "N >= 2"),
    (lambda: cpu.rasterize(np.array([[0.0, 0.0], [np.nan, 0.0]])), "finite"),
    (lambda: cpu.rasterize(np.zeros((4, 2)), [1.0, 1.0]), "duration must be"),
    (lambda: cpu.rasterize(np.zeros((3, 2)), [1.0, -1.0]), "duration must be finite"),
    (lambda: cpu.rasterize(np.zeros((3, 2)), exposure=(0.5, 0.5)), "start < end"),
    (lambda: cpu.rasterize(np.array([[0.0, 0.0], [1e6, 1e6]])), "largest PSF"),
    (lambda: cpu.rasterize(np.array([[0.0, 0.0], [1e300, 1e300]])), "largest PSF"),
]


@pytest.mark.parametrize(("wrong", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input_says_what_is_wrong(wrong, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message.replace("(", r"\(").replace("[", r"\[")):
        wrong()
