"""A recording is replayed as it was recorded: every corner, at its own time."""

from __future__ import annotations

import numpy as np

import blursynth as bs


def replayed(time: object, position: object, **fields: float) -> np.ndarray:
    """The point spread of a recording, as a square around zero shift."""
    recording = bs.assets.register(np.column_stack([time, position]))
    return bs.kinds.RecordedMotion(recording=recording, **{"exposure_s": 1.0, **fields}).make_point_spread().to_dense()


def test_corners_are_kept() -> None:
    """A U of three legs of 6 px, each a third of the light; its mean, (4, 3), is a whole pixel."""
    got = replayed(np.arange(4) / 3, [[0, 0], [6, 0], [6, 6], [0, 6]])
    wanted = np.zeros((9, 9))  # rows -4 .. 4 and columns -4 .. 4 about the mean
    leg = np.array([0.5, 1, 1, 1, 1, 1, 0.5]) / 18
    wanted[1, 0:7] += leg
    wanted[1:8, 6] += leg
    wanted[7, 0:7] += leg
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max() <= 1e-15


def test_a_fast_tremor_is_not_sampled_away() -> None:
    """1,000 strokes of 4 px in a second: the light is even over them."""
    time = np.linspace(0, 1, 1001)
    got = replayed(time, np.column_stack([np.zeros(1001), 4.0 * (np.arange(1001) % 2)]))
    wanted = np.zeros((5, 5))
    wanted[:, 2] = np.array([0.5, 1, 1, 1, 0.5]) / 4
    assert np.abs(got - wanted).max() <= 1e-12


def test_time_at_a_place_is_light_there() -> None:
    """A quarter of the exposure at rest, then 2 px to the left and 6 px down in unequal times, scaled and turned."""
    time, position = np.array([5.0, 5.25, 5.5, 6.0]), np.array([[0.0, 0.0], [0.0, 0.0], [-1.0, 0.0], [-1.0, 3.0]])
    got = replayed(time, position, scale=2.0, angle_deg=90.0, exposure_fraction=0.75)
    # Seen: .25 s at rest, .25 s of 2 px and .25 s of 3 px; turned by a quarter clockwise, left is up and down is left.
    center_x, center_y = -(1.5 + 0 + 0) / 3, (-2 - 1 - 0) / 3
    shares = 20_000
    along = (np.arange(shares) + 0.5) / shares
    x = np.concatenate([np.zeros(2 * shares), -3 * along]) - center_x
    y = np.concatenate([np.zeros(shares), -2 * along, np.full(shares, -2.0)]) - center_y
    offsets = np.arange(got.shape[0]) - got.shape[0] // 2
    tent_y = np.maximum(0, 1 - np.abs(y - offsets[:, None]))
    tent_x = np.maximum(0, 1 - np.abs(x - offsets[:, None]))
    assert np.abs(got - tent_y @ tent_x.T / x.size).max() <= 1e-8
