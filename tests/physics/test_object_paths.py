"""Paths of objects: length, mean, speed, and how far they reach."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from blursynth.physics.object_paths import SAMPLES, arc_path, object_paths, path_bound_px

ARGUMENTS = (st.floats(0, 300), st.floats(-7, 7), st.floats(-1, 1), st.floats(-6.2, 6.2))


@given(*ARGUMENTS)
def test_length_mean_and_reach(length: float, angle: float, acceleration: float, bend: float) -> None:
    path = arc_path(length, angle, acceleration, bend)
    assert path.shape == (SAMPLES, 2)
    steps = np.hypot(*np.diff(path, axis=0).T)
    assert math.isclose(steps.sum(), length, rel_tol=2e-3, abs_tol=1e-9)  # chords of an arc are a little shorter
    assert np.abs(0.5 * (path[1:] + path[:-1]).mean(axis=0)).max() <= 1e-10 * max(length, 1)
    assert np.hypot(*path.T).max() <= path_bound_px(length, acceleration) + 1e-3 * length + 1e-9


def test_a_straight_line_at_constant_speed() -> None:
    path = arc_path(8.0, math.pi / 2, 0.0, 0.0)
    assert np.allclose(path[:, 0], 0, atol=1e-12)
    assert np.allclose(path[:, 1], np.linspace(-4, 4, SAMPLES))


def test_the_bound_is_met() -> None:
    for acceleration in (0.0, 0.5, 1.0):
        farthest = np.hypot(*arc_path(10.0, 0.3, acceleration, 0.0).T).max()
        assert math.isclose(farthest, path_bound_px(10.0, acceleration), rel_tol=1e-3)


def test_acceleration_from_a_standstill() -> None:
    steps = np.hypot(*np.diff(arc_path(10.0, 0.0, 1.0, 0.0), axis=0).T)
    assert steps[0] < 0.01 * steps[-1]
    assert np.allclose(np.diff(steps), np.diff(steps)[0])


def test_a_half_turn_comes_back_in_parallel() -> None:
    path = arc_path(np.pi * 5, 0.0, 0.0, np.pi)  # a half circle of radius 5, heading to the right in its middle
    chord = path[-1] - path[0]
    assert np.allclose(chord, [10, 0], atol=1e-9)
    middle = path[SAMPLES // 2] - path[0]
    assert np.allclose(middle, [5, -5], atol=1e-9)  # a turn from +x towards +y begins upwards


def test_each_object_has_its_own_path_whatever_others_there_are() -> None:
    common = {
        "seed": 4, "length_px": 20.0, "slowest": 0.25, "still_fraction": 0.3, "angle_rad": 0.2, "spread_rad": 0.5,
        "acceleration": 0.5, "bend_rad": 0.4,
    }  # fmt: skip
    all_of_them = object_paths(np.arange(1, 400, dtype=np.int32), **common)
    assert np.array_equal(object_paths(np.array([7, 300], np.int32), **common), all_of_them[[6, 299]])
    assert object_paths(np.empty(0, np.int32), **common).shape == (0, SAMPLES, 2)
    length = np.hypot(*np.moveaxis(np.diff(all_of_them, axis=1), -1, 0)).sum(axis=1)
    still = length == 0
    assert 0.2 < still.mean() < 0.4
    assert length[~still].min() >= 5 * 0.99
    assert length.max() <= 20
    chord = all_of_them[~still, -1] - all_of_them[~still, 0]
    angle = np.arctan2(chord[:, 1], chord[:, 0])
    assert abs(angle.mean() - 0.2) < 0.1
    assert np.abs(angle - 0.2).max() <= 0.5 + 0.02
