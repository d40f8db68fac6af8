"""Smoothing of depth: equal to the oracle, to the bit in windows and by any threads; planes, extremes and jumps kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from blursynth.backends import cpu, oracle
from blursynth.errors import InvalidValueError

Array = NDArray[np.float64]


def smooth(value: Array, guide: Array, step: float = 0.05, radius: int = 8, snap: int = 2, **more: int) -> Array:
    numbers = np.array([step]), np.array([radius]), np.array([0.05]), np.array([snap])
    return cpu.smooth_depth(value[None], guide[None], *numbers, **more)[0]


def scene(seed: int, size: tuple[int, int]) -> tuple[Array, Array]:
    """A slope before a wall, disturbed, with outliers, and a picture whose edge lies 1 px beside that of the depth."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    edge = columns * 0.8 + rows * rng.uniform(-0.5, 0.5) - rng.uniform(0.3, 0.6) * size[1]
    value = np.where(edge > 1, 2.0 + 0.01 * rows, 1.0 + 0.004 * columns) + 0.01 * rng.standard_normal(size)
    value[rng.random(size) < 0.03] = 4.0
    guide = np.where(edge > 0, 0.3, 0.7) + 0.02 * rng.standard_normal((2, *size))
    return value, guide


@settings(max_examples=4)
@given(
    size=st.tuples(st.integers(1, 11), st.integers(1, 13)),
    seed=st.integers(0, 999),
    step=st.sampled_from([0.01, 0.06, 0.8]),
    radius=st.integers(1, 7),
    snap=st.integers(0, 2),
)
def test_equals_the_oracle(size: tuple[int, int], seed: int, step: float, radius: int, snap: int) -> None:
    value, guide = scene(seed, size)
    numbers = np.array([step]), np.array([radius]), np.array([0.05]), np.array([snap])
    expected = oracle.smooth_depth(value[None], guide[None], *numbers)[0]
    assert np.abs(smooth(value, guide, step, radius, snap) - expected).max() <= 1e-9


def test_equals_the_oracle_where_jumps_move() -> None:
    value, guide = scene(5, (14, 18))
    numbers = np.array([0.1]), np.array([5]), np.array([0.05]), np.array([2])
    expected = oracle.smooth_depth(value[None], guide[None], *numbers)[0]
    assert np.abs(smooth(value, guide, 0.1, 5) - expected).max() <= 1e-9
    assert np.abs(smooth(value, guide, 0.1, 5, 0) - expected).max() > 0.5


def test_bytes_do_not_depend_on_window_threads_or_batch() -> None:
    value, guide = scene(2, (150, 170))
    found = smooth(value, guide, threads=1)
    assert np.array_equal(smooth(value, guide, threads=3), found)
    reach = 4 + 2 + 5 * 2 + 2 * 8
    window = np.s_[..., 41 - reach : 70 + reach, 50 - reach : 80 + reach]
    assert np.array_equal(smooth(value[window], guide[window])[reach:-reach, reach:-reach], found[41:70, 50:80])
    both = [np.stack([a, a[..., ::-1, :]]) for a in (value, guide)]
    twice = np.array([0.05, 0.02]), np.array([8, 3]), np.array([0.05, 0.1]), np.array([2, 1])
    assert np.array_equal(cpu.smooth_depth(*both, *twice)[0], found)


@given(seed=st.integers(0, 10**6))
def test_planes_stay_and_nothing_goes_beyond_what_was_there(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:20, :27].astype(float)
    guide = rng.random((3, 20, 27))
    down, right = rng.uniform(-0.004, 0.004, 2)
    plane = 1.0 + down * rows + right * columns
    # At the border fits are one-sided, and the ridge that lines of pixels need bends them a little.
    assert np.abs(smooth(plane, guide) - plane).max() <= 2e-2 * max(abs(down), abs(right))
    assert np.abs(smooth(np.full((20, 27), 0.37), guide) - 0.37).max() <= 1e-12
    value, guide = scene(seed, (20, 27))
    found = smooth(value, guide)
    assert value.min() <= found.min()
    assert found.max() <= value.max()


@given(seed=st.integers(0, 10**6))
def test_turned_over_it_is_the_same(seed: int) -> None:
    value, guide = scene(seed, (18, 23))
    found = smooth(value, guide)
    for turned in (np.s_[..., ::-1], np.s_[..., ::-1, :]):
        assert np.abs(smooth(value[turned], guide[turned])[turned] - found).max() <= 1e-9


@pytest.mark.parametrize(("thick", "noise"), [(1.0, 0.0), (1.0, 0.005), (3.0, 0.005)])
def test_wires_survive_and_jumps_are_no_ramps(thick: float, noise: float) -> None:
    """A slanted wire at 1.5 before a wall at 1: every pixel stays near one of the two, and on its own side."""
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[:60, :70]
    wire = np.abs(columns + 0.3 * rows - 42.2) * 0.958 < thick / 2
    truth = np.where(wire, 1.5, 1.0)
    found = smooth(truth + noise * rng.standard_normal(truth.shape), np.where(wire, 0.2, 0.6)[None])
    assert np.abs(found - truth).max() <= max(4 * noise, 1e-12)


def test_noise_is_averaged_and_stairs_become_a_slope() -> None:
    """Radii of a blur of 60 px per unit: .5 px rms of noise falls below .05, stairs of .5 px over 14 px below .03."""
    rows, columns = np.mgrid[:90, :110]
    texture = np.random.default_rng(1).random((3, 90, 110))
    slope = 1.0 + (0.03 * columns + 0.02 * rows) / 60
    noise = np.random.default_rng(3).standard_normal(slope.shape)
    found = smooth(slope + 0.5 * noise / 60, texture, step=2 / 60, radius=10)
    assert np.sqrt(np.mean((60 * (found - slope)) ** 2)) < 0.05
    stairs = np.round(slope * 120) / 120
    found = smooth(stairs, texture, step=2 / 60, radius=10)
    assert np.sqrt(np.mean((60 * (stairs - slope)) ** 2)) > 0.13
    assert np.sqrt(np.mean((60 * (found - slope)) ** 2)) < 0.03


@pytest.mark.parametrize("aside", [-2, -1, 1, 2])
def test_jumps_move_to_the_edges_of_the_picture(aside: int) -> None:
    columns = np.arange(60) + np.zeros((50, 1))
    guide = 0.03 * np.random.default_rng(2).standard_normal((3, 50, 60))
    guide += np.where(columns > 29, 0.3, 0.6)
    value = np.where(columns > 29 + aside, 2.0, 1.0)
    expected = np.where(columns > 29, 2.0, 1.0)
    assert np.mean(smooth(value, guide) != value) > 0.01
    # In the corners of the picture few colors are seen.
    assert np.abs(smooth(value, guide) - expected)[5:-5].max() <= 1e-12
    assert np.array_equal(smooth(value, np.zeros((1, 50, 60))), value)


def test_ill_fitting_arguments_are_refused() -> None:
    value, guide = np.ones((1, 4, 5)), np.ones((1, 3, 4, 5))
    one, whole = np.ones(1), np.ones(1, np.int64)
    with pytest.raises(InvalidValueError, match="does not fit"):
        cpu.smooth_depth(value, guide[..., 1:], one, whole, one, whole)
    with pytest.raises(InvalidValueError, match=r"inverse depth must be \[B, H, W\]"):
        cpu.smooth_depth(value[0], guide, one, whole, one, whole)
    for name, arguments in (
        ("step", (0 * one, whole, one, whole)),
        ("radius_px", (one, 0 * whole, one, whole)),
        ("contrast", (one, whole, np.array([np.nan]), whole)),
        ("snap_px", (one, whole, one, np.array([1, 1]))),
    ):
        with pytest.raises(InvalidValueError, match=f"{name} must be one number"):
            cpu.smooth_depth(value, guide, *arguments)
    with pytest.raises(InvalidValueError, match="Fill holes in the depth first"):
        cpu.smooth_depth(0 * value, guide, one, whole, one, whole)
