"""What moving cameras see, and the times of rows, against numbers derived on paper."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blursynth.backends import oracle
from blursynth.frame import Intrinsics
from blursynth.physics.poses import (
    Path,
    Poses,
    hand_tremor,
    rotation_matrix,
)
from blursynth.physics.warps import (
    exposure_cells,
    homography,
    intrinsic_matrix,
    largest_move_px,
    row_exposures,
    row_starts_s,
    warps_of_path,
    zoom_warps,
)

CAMERA = Intrinsics(4.2, 1.4)


def still_then(orientation: np.ndarray, position_m: np.ndarray) -> Path:
    """A camera that is at rest at the first of two times asked for, and at a pose at the second."""
    orientations, positions = np.stack([np.eye(3), orientation]), np.stack([np.zeros(3), position_m])
    return lambda time_s: Poses(orientations[: len(time_s)], positions[: len(time_s)])


def test_intrinsics_of_a_window_are_those_of_the_whole_moved() -> None:
    whole = intrinsic_matrix(Intrinsics(5.0, 2.0, (40.0, 60.0)), (100, 200))
    part = intrinsic_matrix(Intrinsics(5.0, 2.0, (40.0, 60.0)), (100, 200), (30, 10))
    move = np.array([[1.0, 0, -10], [0, 1, -30], [0, 0, 1]])
    assert np.array_equal(part, move @ whole)
    assert whole[0, 0] == 2500.0
    assert whole[:2, 2].tolist() == [60.0, 40.0]


def test_homography_of_a_plane_and_its_depth_say_the_same() -> None:
    """The warp of a pixel at its own depth is the inverse of the homography that the plane induces."""
    rng = np.random.default_rng(1)
    intrinsics = intrinsic_matrix(CAMERA, (80, 100))
    orientation, position = rotation_matrix(rng.normal(0, 0.01, 3)), rng.normal(0, 0.02, 3)
    # X_t = R X + t with R = A', t = -A' a.
    forward = homography(intrinsics, orientation.T, -orientation.T @ position, (0.1, -0.2, 0.97), 1.7)
    path = still_then(orientation, position)
    warps = warps_of_path(path, np.array([0.0, 0.5, 1.0]), intrinsics, oracle, exposure_s=1.0, centered_on="start")
    for x, y in ((0.0, 0.0), (99.0, 79.0), (30.0, 60.0)):
        source = np.array([x, y, 1.0])
        # The point of the plane on this ray, its pixel and its depth in the moved camera.
        ray = np.linalg.solve(intrinsics, source)
        point = ray * 1.7 / np.dot((0.1, -0.2, 0.97), ray)
        moved = orientation.T @ point - orientation.T @ position
        pixel = intrinsics @ moved / moved[2]
        there = forward @ source
        assert np.abs(there / there[2] - pixel).max() <= 1e-9
        back = warps.matrix[0, 1] @ pixel + warps.shift[0, 1] / moved[2]
        assert np.abs(back / back[2] - source).max() <= 1e-9


def test_signs_are_those_of_a_real_camera() -> None:
    intrinsics = intrinsic_matrix(CAMERA, (101, 101))
    seen = []
    for path in (
        still_then(rotation_matrix([0, 0.001, 0]), np.zeros(3)),  # turns to the right
        still_then(np.eye(3), np.array([0.001, 0, 0])),  # steps to the right
        still_then(np.eye(3), np.array([0, 0, 0.1])),  # steps ahead
    ):
        warps = warps_of_path(path, np.array([0.0, 0.5, 1.0]), intrinsics, oracle, exposure_s=1.0, centered_on="start")
        source = warps.matrix[0, 1] @ (80.0, 50.0, 1.0) + 1.0 * warps.shift[0, 1]
        seen.append(source[:2] / source[2] - (80.0, 50.0))
    assert seen[0] == pytest.approx([3.0, 0.0], abs=1e-2)  # shows what stood further to the right
    assert seen[1] == pytest.approx([3.0, 0.0], abs=1e-9)  # f t / depth
    assert seen[2][0] == pytest.approx(30 / 1.1 - 30, abs=1e-9)  # things grow: the source lies nearer to the middle


def test_parts_of_a_motion_are_no_longer_than_asked() -> None:
    intrinsics = intrinsic_matrix(CAMERA, (300, 400))
    process = hand_tremor(4, drift_hz=2.0, tremor_hz=10.0, tremor_share=0.1)

    def path(time_s: np.ndarray) -> Poses:
        state = process(time_s)
        return Poses(rotation_matrix(0.004 * state[:, :3]), 0.002 * state[:, 3:])

    for step in (0.5, 1.0, 3.0):
        cells = exposure_cells(path, intrinsics, (300, 400), 0.2, step_px=step, nearest_m=0.8)
        assert cells[0] == 0.0
        assert cells[-1] == 0.2
        assert (np.diff(cells) > 0).all()
        poses = path(cells)
        corners = np.array([[0, 0, 1], [399, 0, 1], [0, 299, 1], [399, 299, 1.0]]).T
        for near in (0.0, 1 / 0.8):
            for a in range(len(cells) - 1):
                back = poses.orientation[a].T
                seen = intrinsics @ (
                    back @ poses.orientation[a + 1] @ np.linalg.solve(intrinsics, corners)
                    + near * (back @ (poses.position_m[a + 1] - poses.position_m[a]))[:, None]
                )
                assert np.hypot(*(seen[:2] / seen[2] - corners[:2])).max() <= step * 1.02


def test_a_camera_at_rest_needs_one_pose() -> None:
    def path(time_s: np.ndarray) -> Poses:
        return Poses(np.tile(np.eye(3), (len(time_s), 1, 1)), np.zeros((len(time_s), 3)))

    cells = exposure_cells(path, intrinsic_matrix(CAMERA, (30, 40)), (30, 40), 0.1, step_px=1.0, nearest_m=1.0)
    assert cells.tolist() == [0.0, 0.1]


@given(st.floats(0.0, 0.1), st.floats(0.001, 0.2), st.integers(1, 40), st.integers(1, 30), st.booleans())
def test_rows_see_their_own_time(readout: float, exposure: float, rows: int, parts: int, from_bottom: bool) -> None:
    cells = np.linspace(0, exposure + readout, parts + 1) ** 1.5 * (exposure + readout) ** -0.5
    cells[-1] = exposure + readout
    starts = row_starts_s(np.arange(rows), rows, readout, from_bottom=from_bottom)
    first, weight = row_exposures(cells, starts, exposure)
    assert weight.sum(axis=1) == pytest.approx(1.0, abs=1e-12)
    assert (weight >= 0).all()
    assert first.min() >= 0
    assert first.max() + weight.shape[1] <= parts
    # The mean time that a row sees, each part lit evenly over what the row sees of it.
    for r in range(rows):
        low = np.maximum(cells[first[r] :][: weight.shape[1]], starts[r])
        high = np.minimum(cells[first[r] + 1 :][: weight.shape[1]], starts[r] + exposure)
        mean = (weight[r] * 0.5 * (low + high))[weight[r] > 0].sum()
        assert mean == pytest.approx(starts[r] + 0.5 * exposure, rel=1e-9, abs=1e-12)
    order = np.argsort(starts)
    assert (order == (np.arange(rows)[::-1] if from_bottom else np.arange(rows))).all() or readout < 1e-9


def test_zoom_keeps_its_center_and_its_mean() -> None:
    warps = zoom_warps(1.3, (20.0, 30.0), [[0, 0], [60, 80]], step_px=1.0)
    center = warps.matrix[0] @ (30.0, 20.0, 1.0)
    assert np.abs(center - (30.0, 20.0, 1.0)).max() <= 1e-12
    assert np.log(warps.matrix[0, :, 0, 0]).mean() == pytest.approx(0.0, abs=1e-14)
    assert np.array_equal(zoom_warps(1.0, (2.0, 3.0), [[0, 0], [6, 8]], step_px=1.0).matrix[0, 0], np.eye(3))


@pytest.mark.parametrize("rolling", [False, True])
@pytest.mark.parametrize("deep", [None, (0.1, 1.5)])
def test_the_largest_move_is_a_bound_and_not_far_off(rolling: bool, deep: tuple[float, float] | None) -> None:
    """Against all pixels, times and some depths of wide pictures, whose moves bend most."""
    height, width = 61, 90
    for seed in range(8):
        process = hand_tremor(seed, drift_hz=3.0, tremor_hz=9.0, tremor_share=0.1)

        def path(time_s: np.ndarray, process=process) -> Poses:  # type: ignore[no-untyped-def]
            state = process(time_s)
            return Poses(rotation_matrix(0.1 * state[:, :3]), 0.02 * state[:, 3:] * (deep is not None))

        intrinsics = intrinsic_matrix(Intrinsics(8.0, 100.0), (height, width))
        cells = exposure_cells(path, intrinsics, (height, width), 0.2, step_px=2.0, nearest_m=0.5)
        starts = row_starts_s(np.arange(height), height, 0.1 * rolling)
        warps = warps_of_path(path, cells, intrinsics, oracle, exposure_s=0.1, starts_s=starts)
        y, x = np.mgrid[:height, :width].astype(float)
        row = np.arange(height) if rolling else np.zeros(height, int)
        time = warps.first[0][row][:, None] + np.arange(warps.weight.shape[2])
        pixels = np.stack([x, y, np.ones_like(x)], axis=-1)
        seen = np.einsum("ytij,yxj->ytxi", warps.matrix[0][time], pixels)
        largest = 0.0
        for q in np.linspace(*(deep or (0.0, 0.0)), 5):
            place = seen + q * warps.shift[0][time][:, :, None]
            moves = np.abs(place[..., :2] / place[..., 2:] - pixels[:, None, :, :2])
            largest = max(largest, float(moves[warps.weight[0][row] > 0].max()))
        bound = largest_move_px(warps, 0, (height, width), deep)
        assert largest <= bound + 1e-9
        assert bound <= 1.5 * largest
