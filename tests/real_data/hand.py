"""How far a hand turns a camera in a time: what a recording says, and what our hands do."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import blursynth as bs
from blursynth.physics.poses import interpolate_poses, poses_from_recording, rotation_vector

RECORDING = Path("trajectories/freiburg1_xyz-groundtruth.txt")
TIMES_S = np.array([0.01, 0.02, 0.035, 0.05, 0.2])
RELATIVE_TO_S = 0.1
# A gyroscope in a hand that tries to hold still.
GYROSCOPE = (0.14, 0.28, 0.46, 0.62, 1.68)


OrientationAt = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def square_turns(orientation_at: OrientationAt, starts_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean square turn over :data:`TIMES_S` and 100 ms from these starts."""
    before = np.swapaxes(orientation_at(starts_s), -1, -2)
    after = [orientation_at(starts_s + time) for time in (*TIMES_S, RELATIVE_TO_S)]
    return np.array([np.mean(rotation_vector(before @ turned) ** 2) for turned in after])


def relative(squares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rms turn over :data:`TIMES_S`, relative to that over 100 ms."""
    return np.asarray(np.sqrt(squares[:-1] / squares[-1]))


def recorded(folder: Path) -> NDArray[np.float64]:
    """Of TUM's hand-held camera (sequence fr1_xyz, 100 Hz): it is moved on purpose, so that slow motion is large."""
    time, poses = poses_from_recording(np.loadtxt(folder / RECORDING))
    starts = np.arange(0.0, time[-1] - TIMES_S.max(), 0.005)
    return relative(square_turns(lambda at: interpolate_poses(time, poses, at).orientation, starts))


@cache
def made(seeds: int = 60, **fields: float) -> NDArray[np.float64]:
    """Of hands of ours that turn alike about three axes."""
    squares = []
    for seed in range(seeds):
        hand = bs.kinds.CameraShake(exposure_s=0.1, pitch_mrad=1.0, yaw_mrad=1.0, roll_mrad=1.0, seed=seed, **fields)
        path = hand.path()
        squares.append(square_turns(lambda at, path=path: path(at).orientation, np.linspace(0.0, 4.0, 15)))
    return relative(np.mean(squares, axis=0))
