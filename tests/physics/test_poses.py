"""Rotations, recordings and the motion of a hand, against numbers derived on paper and against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from blursynth.errors import InvalidValueError
from blursynth.physics.poses import (
    Poses,
    hand_tremor,
    integrate_gyro,
    interpolate_poses,
    mean_rotation,
    poses_from_recording,
    quaternion_of,
    random_walk,
    rotation_matrix,
    rotation_of,
    rotation_vector,
)

angles = st.floats(-3.0, 3.0, allow_nan=False)


@given(st.tuples(angles, angles, angles))
def test_rotation_is_scipys(vector: tuple[float, float, float]) -> None:
    expected = Rotation.from_rotvec(vector).as_matrix()
    assert np.abs(rotation_matrix(vector) - expected).max() <= 1e-14
    if np.linalg.norm(vector) < math.pi - 1e-6:
        assert np.abs(rotation_vector(rotation_matrix(vector)) - vector).max() <= 1e-9


def test_half_turns_and_tiny_turns_have_a_vector() -> None:
    for axis in ([1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [0.6, -0.8, 0], [0.48, 0.6, 0.64]):
        for angle in (math.pi, math.pi - 1e-8, 1e-12, 0.0):
            matrix = rotation_matrix(np.array(axis) * angle)
            assert np.abs(rotation_matrix(rotation_vector(matrix)) - matrix).max() <= 1e-8
    assert rotation_vector(rotation_matrix([1e-12, 0, 0]))[0] == pytest.approx(1e-12, rel=1e-9)


def test_rotations_by_nothing_are_exact() -> None:
    assert np.array_equal(rotation_matrix(np.zeros(3)), np.eye(3))
    assert np.array_equal(rotation_matrix([0.0, 0.0, 0.3])[2], [0, 0, 1])


def test_quaternions_are_exact_up_to_half_turns() -> None:
    rng = np.random.default_rng(1)
    axes = rng.normal(size=(40, 3))
    axes[:3] = np.eye(3)
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    for angle in (0.0, 1e-9, 0.3, np.pi / 2, np.pi - 1e-9, np.pi):
        rotation = rotation_matrix(angle * axes)
        quaternion = quaternion_of(rotation)
        assert np.abs(rotation_of(quaternion) - rotation).max() <= 4e-15
        expected = np.concatenate([np.full((1, 40), np.cos(angle / 2)), np.sin(angle / 2) * axes.T])
        sign = np.where((expected * quaternion).sum(axis=0) < 0, -1.0, 1.0)
        assert np.abs(sign * quaternion - expected).max() <= 4e-15


def test_mean_rotation_is_the_karcher_mean() -> None:
    rng = np.random.default_rng(0)
    rotations = rotation_matrix(rng.normal(0, 0.3, (4, 7, 3)))
    weight = rng.random((4, 7))
    mean = mean_rotation(rotations, weight)
    residual = (weight[..., None] * rotation_vector(np.swapaxes(mean, -1, -2)[:, None] @ rotations)).sum(axis=1)
    assert np.abs(residual).max() <= 1e-12
    # Of turns about one axis it is the turn by the mean angle; weight 0 is as good as absent.
    one = rotation_matrix(np.array([[0, 0, 0.1], [0, 0, 0.4], [1.0, 1.0, 1.0]]))
    assert np.abs(rotation_vector(mean_rotation(one, np.array([2.0, 1.0, 0.0]))) - [0, 0, 0.2]).max() <= 1e-14


def test_slerp_is_scipys_and_hits_the_recorded_poses() -> None:
    rng = np.random.default_rng(2)
    time = np.sort(rng.uniform(0, 1, 9))
    rotations = Rotation.from_rotvec(rng.normal(0, 1, (9, 3)))
    poses = Poses(rotations.as_matrix(), rng.normal(size=(9, 3)))
    wanted = np.linspace(time[0], time[-1], 50)
    got = interpolate_poses(time, poses, wanted)
    assert np.abs(got.orientation - Slerp(time, rotations)(wanted).as_matrix()).max() <= 1e-12
    assert np.abs(interpolate_poses(time, poses, time).orientation - poses.orientation).max() <= 1e-12
    with pytest.raises(InvalidValueError, match="not inside the recording"):
        interpolate_poses(time, poses, time + 0.1)


def test_gyro_of_a_constant_rate_is_exact_and_turns_in_body_axes() -> None:
    time = np.linspace(0, 2, 21)
    rate = np.array([0.3, -0.2, 0.5])
    got = integrate_gyro(time, np.tile(rate, (21, 1)))
    assert np.abs(got - rotation_matrix(time[:, None] * rate)).max() <= 1e-13
    # First about z by a right angle, then about the camera's own x: that is the world's y.
    rates = np.array([[0, 0, np.pi], [0, 0, np.pi], [np.pi, 0, 0], [np.pi, 0, 0]])
    turned = integrate_gyro(np.array([0.0, 0.5, 0.5 + 1e-12, 1.0]), rates)[-1]
    assert np.abs(turned - rotation_matrix([0, 0, np.pi / 2]) @ rotation_matrix([np.pi / 2, 0, 0])).max() <= 1e-9


def test_tum_and_gyro_recordings_of_one_motion_agree() -> None:
    time = np.linspace(10.0, 10.4, 401)
    vector = np.stack([0.02 * np.sin(20 * (time - 10)), 0.01 * (time - 10), 0 * time], axis=1)
    rotation = Rotation.from_rotvec(vector)
    tum = np.column_stack([time, np.zeros((401, 3)), rotation.as_quat()])
    middle, step = 0.5 * (time[1:] + time[:-1]), np.diff(time)
    rate_middle = (rotation[:-1].inv() * rotation[1:]).as_rotvec() / step[:, None]
    rate = np.stack([np.interp(time, middle, rate_middle[:, a]) for a in range(3)], axis=1)
    clock, poses = poses_from_recording(tum)
    _, gyro = poses_from_recording(np.column_stack([time, rate]))
    assert clock[0] == 0.0
    relative = np.swapaxes(poses.orientation[:1], -1, -2) @ poses.orientation
    assert np.abs(relative - gyro.orientation).max() <= 1e-4


@pytest.mark.parametrize(
    ("recording", "message"),
    [
        (np.zeros((5, 3)), "array \\[M, 8\\]"),
        (np.zeros((1, 8)), "array \\[M, 8\\]"),
        (np.zeros((5, 4)), "increase strictly"),
        (np.column_stack([np.arange(3.0), np.zeros((3, 7))]), "length 0"),
    ],
)
def test_bad_recordings_are_refused(recording: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        poses_from_recording(recording)


def test_tremor_has_its_variance_and_its_bands() -> None:
    time = np.arange(4000) / 200.0
    states = np.stack(
        [hand_tremor(seed, drift_hz=1.0, tremor_hz=10.0, tremor_share=0.2)(time) for seed in range(60)]
    )  # [seeds, N, 6]
    assert states.var(axis=1).mean() + states.mean(axis=1).var() == pytest.approx(1.0, abs=0.1)
    power = (np.abs(np.fft.rfft(states * np.hanning(4000)[:, None], axis=1)) ** 2).mean(axis=(0, 2))
    hertz = np.fft.rfftfreq(4000, 1 / 200.0)
    band = power[(hertz > 6) & (hertz < 14)].sum() / power.sum()
    assert band == pytest.approx(0.2, abs=0.03)
    again = hand_tremor(3, drift_hz=1.0, tremor_hz=10.0, tremor_share=0.2)(time[:7])
    assert np.array_equal(again, states[3, :7])


def test_walk_changes_by_its_amplitude_and_goes_on() -> None:
    ends = np.stack([random_walk(seed, 0.1)(np.array([0.0, 0.1])) for seed in range(400)])
    assert not ends[:, 0].any()
    assert ends[:, 1].std() == pytest.approx(1.0, abs=5 / math.sqrt(2 * 2400))
    short, long = random_walk(7, 0.1)(np.linspace(0, 0.1, 9)), random_walk(7, 0.1)(np.linspace(0, 0.2, 17))
    assert np.array_equal(short, long[:9])
