"""Moving cameras as degradations: targets, windows, recordings, what is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import blursynth as bs
from blursynth.errors import InvalidValueError
from blursynth.frame import Intrinsics
from blursynth.testing import pictures

FRAME = pictures(size_px=(90, 120), batch=1, dtype=np.float64)
SHAKE = {"pitch_mrad": 1.5, "yaw_mrad": 1.0, "roll_mrad": 15.0, "seed": 5}
TIME = np.linspace(0.0, 0.5, 251)
GYRO = bs.assets.register(
    np.column_stack([TIME, 0.03 * np.sin(30 * TIME), 0.02 * np.cos(17 * TIME), 0.3 * np.sin(12 * TIME)])
)


# A wide lens, off its axis both ways: 80 px of focal length, so that a tenth of a radian is seen.
WIDE = Intrinsics(8.0, 100.0, principal_point_px=(13.0, 26.0))


def coordinates(depth_m: float = 2.0, size_px: tuple[int, int] = (31, 45)) -> bs.Frame:
    """A picture whose two channels are the row and the column: its blur says where the light came from on average."""
    places = np.mgrid[: size_px[0], : size_px[1]].astype(float)[None]
    return bs.Frame(places, "linear", depth_m=np.full((1, *size_px), depth_m), camera=WIDE)


def gyroscope(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> str:
    """A constant rate in rad/s about the axes right, down and ahead, for 2 s."""
    return bs.assets.register([[0.0, x, y, z], [2.0, x, y, z]])


def test_a_gyroscope_that_looks_up_right_and_turns_clockwise() -> None:
    """From its start on: looking up moves the picture down, to the right to the left, clockwise anticlockwise."""
    numbers = {"exposure_s": 0.5, "centered_on": "start", "step_px": 0.05}
    rate, end = 0.2, 0.1  # rad/s, rad
    rows, columns = np.arange(31.0), np.arange(45.0)
    inside = (slice(11, 20), slice(12, 33))  # whose light comes from within the picture

    def mean_tangent(angle: np.ndarray, turned: float) -> np.ndarray:
        """The mean of tan(angle + u) for u from 0 to ``turned``."""
        return np.asarray(np.log(np.cos(angle) / np.cos(angle + turned)) / turned)

    up = bs.kinds.RecordedShake(recording=gyroscope(x=rate), **numbers)(coordinates()).image[0]
    expected = 13.0 + 80.0 * mean_tangent(np.arctan((rows - 13.0) / 80.0), -end)
    assert np.abs(up[0, :, 26] - expected)[inside[0]].max() < 1e-3
    right = bs.kinds.RecordedShake(recording=gyroscope(y=rate), **numbers)(coordinates()).image[0]
    expected = 26.0 + 80.0 * mean_tangent(np.arctan((columns - 26.0) / 80.0), end)
    assert np.abs(right[1, 13] - expected)[inside[1]].max() < 1e-3
    # Rates of a roll are seen one to one: what is to the right of the axis shows what stood further down.
    clockwise = bs.kinds.RecordedShake(recording=gyroscope(z=2 * rate), **numbers)(coordinates()).image[0]
    x, y = columns[None, :] - 26.0, rows[:, None] - 13.0
    sine, versine = np.sin(2 * end) / (2 * end), (1 - np.cos(2 * end)) / (2 * end)  # means of cos u and sin u
    assert np.abs(clockwise[1] - (26.0 + sine * x - versine * y))[inside].max() < 1e-3
    assert np.abs(clockwise[0] - (13.0 + versine * x + sine * y))[inside].max() < 1e-3


def test_a_recorded_step_right_down_and_ahead() -> None:
    """Positions of a recording: the picture moves against the camera by focal length over depth, and grows."""
    for axis, expected in ((0, (0.0, 80.0 * 0.1 / 2 / 2)), (1, (80.0 * 0.1 / 2 / 2, 0.0))):
        recording = np.zeros((2, 8))
        recording[1, [0, 1 + axis]] = 1.0, 0.1
        recording[:, 7] = 1.0
        step = bs.kinds.RecordedShake(recording=bs.assets.register(recording), exposure_s=1.0, centered_on="start")
        moved = (step(coordinates(depth_m=2.0)).image - coordinates().image)[0, :, 12:18, 14:30]
        assert np.abs(moved - np.reshape(expected, (2, 1, 1))).max() < 1e-9
    recording[:, 2], recording[1, 3] = 0.0, 0.2
    step = bs.kinds.RecordedShake(
        recording=bs.assets.register(recording), exposure_s=1.0, centered_on="start", step_px=0.02, nearest_m=1.0
    )
    ahead = step(coordinates(depth_m=2.0)).image[0]
    # At the depth D of the moved camera a pixel shows what stood D / (D + t) as far from the axis.
    nearer = np.log1p(0.2 / 2.0) / (0.2 / 2.0)
    for axis, center in ((0, 13.0), (1, 26.0)):
        expected = center + nearer * (coordinates().image[0, axis] - center)
        assert np.abs(ahead[axis] - expected)[6:25, 8:38].max() < 1e-3


@pytest.mark.parametrize(("centered_on", "at"), [("mean", 0.35), ("mid", 0.2), ("start", 0.0)])
@pytest.mark.parametrize("readout_s", [0.0, 1e-6])
def test_the_pose_of_the_target_in_a_motion_that_speeds_up(centered_on: str, at: float, readout_s: float) -> None:
    """Two tenths of the way in the first half of the time, the rest in the second: the mean over time is .35 of it."""
    time, way = np.array([0.0, 0.5, 1.0, 2.0]), np.array([0.0, 0.2, 1.0, 1.0])
    numbers = {"exposure_s": 1.0, "readout_s": readout_s, "centered_on": centered_on, "step_px": 0.02}
    # Aside by 40 mm at 2 m, and by turning about the vertical by 30 mrad: by 1.6 px and, on the axis, 2.4 px.
    aside = np.zeros((4, 8))
    aside[:, 0], aside[:, 1], aside[:, 7] = time, 0.04 * way, 1.0
    turned = np.zeros((4, 8))
    turned[:, 0], turned[:, 5], turned[:, 7] = time, np.sin(0.015 * way), np.cos(0.015 * way)
    for recording, whole_px in ((aside, 80.0 * 0.04 / 2), (turned, 80.0 * 0.03)):
        step = bs.kinds.RecordedShake(recording=bs.assets.register(recording), **numbers)
        moved = (step(coordinates(depth_m=2.0)).image - coordinates().image)[0, 1, 10:20, 26]
        assert np.abs(moved - (0.35 - at) * whole_px).max() < 2e-3


@pytest.mark.parametrize("read_from", ["top", "bottom"])
def test_rows_that_are_read_later_see_a_later_pose(read_from: str) -> None:
    """A camera that pans to the right: later rows show what stood further to the right, whichever end comes first."""
    height, readout_s, rate = 31, 0.31, 0.05
    step = bs.kinds.RecordedShake(
        recording=gyroscope(y=rate),
        exposure_s=0.01,
        readout_s=readout_s,
        readout_from=read_from,
        centered_on="global_shutter",
        step_px=0.05,
    )
    moved = (step(coordinates()).image - coordinates().image)[0, 1, :, 26]
    order = np.arange(height) if read_from == "top" else np.arange(height)[::-1]
    seconds = (order - order.mean()) * readout_s / height
    assert np.abs(moved - 80.0 * np.tan(rate * seconds)).max() < 0.01
    assert np.ptp(moved) > 1.0


@pytest.mark.parametrize(("read_from", "first", "last"), [("top", 0, -1), ("bottom", -1, 0)])
def test_the_row_that_is_read_first_is_exposed_as_by_a_global_shutter(read_from: str, first: int, last: int) -> None:
    """From the start of the motion on; the last row begins when the first one has long ended."""
    numbers = {"exposure_s": 0.05, "yaw_mrad": 30.0, "seed": 3, "step_px": 0.01, "centered_on": "start"}
    rolling = bs.kinds.RollingShutter(readout_s=0.3, readout_from=read_from, **numbers)(coordinates())
    whole = bs.kinds.CameraShake(**numbers)(coordinates())
    difference = np.abs(rolling.image - whole.image)[0, 1, :, 10:35]
    assert difference[first].max() < 1e-3
    assert difference[last].min() > 0.05


def test_angles_and_positions_of_a_hand_move_what_they_say() -> None:
    """Pitch moves rows and yaw columns; roll turns about the axis; steps do the same as turns, the nearer the more."""
    frame = coordinates()

    def moved(**numbers: float) -> np.ndarray:
        shake = bs.kinds.CameraShake(exposure_s=0.3, seed=1, centered_on="start", **numbers)
        return np.asarray((shake(frame).image - frame.image)[0, :, 8:22, 14:36])

    for along, name in ((0, "pitch_mrad"), (1, "yaw_mrad"), (0, "y_mm"), (1, "x_mm")):
        move = moved(**{name: 20.0 if name.endswith("mrad") else 40.0})
        assert np.abs(move[along]).min() > 0.05
        # What is left across is the perspective's: second order in the distance from the axis.
        assert np.abs(move[1 - along]).max() < 0.1 * np.abs(move[along]).min()
    down, right = moved(roll_mrad=50.0)
    rows, columns = frame.image[0][:, 8:22, 14:36] - np.reshape((13.0, 26.0), (2, 1, 1))
    turn = (down * columns - right * rows).sum() / (columns**2 + rows**2).sum()
    assert abs(turn) > 0.005
    assert np.abs(down - turn * columns).max() < 0.02
    assert np.abs(right + turn * rows).max() < 0.02
    down, right = moved(z_mm=200.0)
    growth = (down * rows + right * columns).sum() / (columns**2 + rows**2).sum()
    assert abs(growth) > 0.005
    assert np.abs(down - growth * rows).max() < 0.02
    assert np.abs(right - growth * columns).max() < 0.02


@pytest.mark.parametrize("scale", [1.25, 0.7])
@pytest.mark.parametrize("centered_on", ["mean", "start"])
def test_a_longer_focal_length_shows_a_smaller_part_of_the_scene(scale: float, centered_on: str) -> None:
    """The source at time t lies at ``scale^-(t - t_0)`` times the distance from the fixed point, both ways alike."""
    step = bs.kinds.Zoom(scale=scale, center_row_px=9.0, centered_on=centered_on, step_px=0.02)
    growth = np.log(scale)
    start = 0.5 if centered_on == "mean" else 0.0
    nearer = (np.exp(growth * start) - np.exp(growth * (start - 1))) / growth
    assert abs(nearer - 1) > (0.1 if centered_on == "start" else 1e-3)
    out = step(coordinates()).image[0]
    for axis, center in ((0, 9.0), (1, 26.0)):
        expected = center + nearer * (coordinates().image[0, axis] - center)
        assert np.abs(out[axis] - expected)[5:18, 16:35].max() < 1e-3


@pytest.mark.parametrize("size_px", [(31, 45), (30, 44)])
def test_without_a_camera_the_optical_axis_is_the_middle_of_the_picture(size_px: tuple[int, int]) -> None:
    """Of a picture that is not square; pixel centers have whole coordinates, so of an even one between two pixels."""
    places = coordinates(size_px=size_px).image
    out = bs.kinds.Zoom(scale=1.25, centered_on="start", step_px=0.02)(bs.Frame(places, "linear")).image[0]
    nearer = (1 - 1 / 1.25) / np.log(1.25)
    for axis in (0, 1):
        center = (size_px[axis] - 1) / 2
        assert np.abs(out[axis] - (center + nearer * (places[0, axis] - center))).max() < 1e-3


@pytest.mark.parametrize(
    "step",
    [
        bs.kinds.CameraShake(exposure_s=0.1, **SHAKE),
        bs.kinds.CameraShake(exposure_s=0.1, motion="random_walk", x_mm=1.0, z_mm=3.0, **SHAKE),
        bs.kinds.CameraShake(exposure_s=0.1, roll_row_px=-10.0, roll_column_px=30.0, **SHAKE),
        bs.kinds.RollingShutter(exposure_s=0.05, readout_s=0.05, x_mm=1.0, **SHAKE),
        bs.kinds.RollingShutter(
            exposure_s=0.05, readout_s=0.05, readout_from="bottom", centered_on="global_shutter", **SHAKE
        ),
        bs.kinds.RecordedShake(recording=GYRO, exposure_s=0.1, readout_s=0.02),
        bs.kinds.Zoom(scale=1.1, center_row_px=5.0),
    ],
    ids=lambda s: s.kind,
)
def test_a_window_with_margin_is_the_window_of_the_whole(step: bs.Degradation) -> None:
    whole = step(FRAME)
    reach = step.reach_px(FRAME)
    assert reach is not None
    assert 1 < reach < 30
    top, left, rows, columns = 34, 45, 12, 20
    window = FRAME.crop(top - reach, left - reach, rows + 2 * reach, columns + 2 * reach)
    part = bs.Draw((("step", step),))(window, margin_px=reach)
    assert part.size_px == (rows, columns)
    expected = whole.image[..., top : top + rows, left : left + columns]
    assert np.abs(part.image - expected).max() <= 1e-12


@pytest.mark.parametrize("motion", ["tremor", "random_walk"])
@pytest.mark.parametrize("readout_s", [0.0, 0.03])
def test_the_target_is_at_the_mean_pose(motion: str, readout_s: float) -> None:
    for seed in range(5):
        numbers = {**SHAKE, "seed": seed, "exposure_s": 0.1, "motion": motion, "readout_s": readout_s}
        mean = bs.kinds.RollingShutter(**numbers)
        start = bs.kinds.RollingShutter(centered_on="start", **numbers)
        # What remains is the perspective's curvature times the square of the motion.
        assert mean.residual_centroid_px(FRAME) < 0.02
        assert start.residual_centroid_px(FRAME) > 10 * mean.residual_centroid_px(FRAME)
    bent = mean.replace(centered_on="global_shutter", readout_s=0.1)
    assert bent.residual_centroid_px(FRAME) > 0.3


def test_the_default_poses_are_within_one_code_of_eight_times_as_many() -> None:
    frame = bs.kinds.Decode()(pictures(bs.Encoding.DISPLAY, size_px=(120, 160), batch=1, dtype=np.float64))
    for seed in range(3):
        for numbers in ({"roll_mrad": 80.0}, {"yaw_mrad": 3.0, "pitch_mrad": 2.0}, {"yaw_mrad": 1.0, "x_mm": 2.0}):
            step = bs.kinds.CameraShake(exposure_s=0.15, seed=seed, **numbers)
            coarse, fine = (
                bs.kinds.Encode()(step(frame)),
                bs.kinds.Encode()(step.replace(step_px=step.step_px / 8)(frame)),
            )
            assert np.abs(np.rint(255 * coarse.image) - np.rint(255 * fine.image)).max() <= 1


def test_nearer_things_move_further() -> None:
    """A step aside moves near things further than far ones; rotation moves all alike."""
    shake = bs.kinds.CameraShake(exposure_s=0.5, x_mm=8.0, drift_hz=2.0, seed=2)
    image = np.random.default_rng(0).random((1, 1, 60, 80))
    spread = []
    for depth_m in (0.5, 1.0, 2.0):
        frame = bs.Frame(image, "linear", depth_m=np.full((1, 60, 80), depth_m), camera=Intrinsics(4.2, 4.2))
        spread.append(np.abs(np.diff(shake(frame).image, axis=3)).mean())
    assert spread[0] < spread[1] < spread[2]


def test_without_depth_or_camera_the_error_says_what_to_do() -> None:
    bare = bs.Frame(FRAME.image, "linear")
    with pytest.raises(
        InvalidValueError, match=r"camera_shake needs the camera of the picture.*Put a set_intrinsics step before"
    ):
        bs.kinds.CameraShake(exposure_s=0.1, **SHAKE)(bare)
    flat = replace(bare, camera=FRAME.camera)
    bs.kinds.CameraShake(exposure_s=0.1, **SHAKE)(flat)
    with pytest.raises(InvalidValueError, match=r"camera_shake moves the camera and needs a depth map.*only the rot"):
        bs.kinds.CameraShake(exposure_s=0.1, z_mm=1.0, **SHAKE)(flat)
    with pytest.raises(InvalidValueError, match="not inside the recording"):
        bs.kinds.RecordedShake(recording=GYRO, start_s=0.45, exposure_s=0.1)(flat)
    with pytest.raises(InvalidValueError, match=r"array \[M, 8\]"):
        bs.kinds.RecordedShake(recording=bs.assets.register([[0.0, 1.0], [1.0, 1.0]]), exposure_s=0.1)(flat)
    bs.kinds.Zoom(scale=1.1)(bare)  # an angle is not asked for: the middle of the picture will do


def test_depth_nearer_than_the_nearest_is_taken_for_it() -> None:
    shake = bs.kinds.CameraShake(exposure_s=0.1, x_mm=1.0, nearest_m=0.5, seed=1)
    near, nearest = (replace(FRAME, depth_m=np.full((1, 90, 120), d)) for d in (0.1, 0.5))
    assert np.array_equal(shake(near).image, shake(nearest).image)


def test_a_camera_step_sets_the_geometry_for_what_follows_and_for_the_target() -> None:
    bare = bs.Frame(FRAME.image, "linear")
    draw = bs.Draw(
        (
            ("camera", bs.kinds.SetIntrinsics(focal_length_mm=4.2, pixel_pitch_um=1.4, principal_row_px=10.0)),
            ("shake", bs.kinds.CameraShake(exposure_s=0.1, **SHAKE)),
        )
    )
    pair = draw.pair(bare)
    assert pair.sharp.camera == (Intrinsics(4.2, 1.4, (10.0, 59.5)),)
    assert np.array_equal(pair.sharp.image, bare.image)
    expected = bs.kinds.CameraShake(exposure_s=0.1, **SHAKE)(replace(bare, camera=pair.sharp.camera))
    assert np.array_equal(pair.blurred.image, expected.image)


def test_recordings_are_read_from_recipes(tmp_path: Path) -> None:
    tum = "# ground truth trajectory\n# timestamp tx ty tz qx qy qz qw\n"
    for t in np.linspace(1305031098.0, 1305031099.0, 101):
        tum += f"{t:.4f} {0.01 * np.sin(t):.6f} 0.6 1.6 0.61 0.59 {-0.33 + 1e-3 * np.sin(40 * t):.6f} -0.39\n"
    (tmp_path / "hand.txt").write_text(tum)
    gyro = "# t, wx, wy, wz\n" + "".join(f"{0.01 * i:.2f}, 0.01, {0.02 * i:.3f}, 0.1\n" for i in range(40))
    (tmp_path / "gyro.csv").write_text(gyro)
    for name in ("hand.txt", "gyro.csv"):
        (tmp_path / "shake.toml").write_text(
            'summary = "x"\n[[step]]\nkind = "recorded_shake"\n'
            f'recording = {{ file = "{name}" }}\nstart_s = {{ uniform = [0.0, 0.2] }}\nexposure_s = 0.1\n'
        )
        draw = bs.load_recipe(tmp_path / "shake.toml").sample(FRAME, seed=1, index=0)
        blurred = draw(FRAME)
        assert np.abs(blurred.image - FRAME.image).max() > 0.01
        assert draw.assets() == (draw["recorded_shake"].recording,)


def test_roll_about_a_point_leaves_it_in_place() -> None:
    frame = pictures(size_px=(61, 81), batch=1, dtype=np.float64)
    blurred = bs.kinds.CameraShake(exposure_s=0.3, roll_mrad=100.0, roll_row_px=20.0, roll_column_px=60.0, seed=1)(
        frame
    )
    change = np.abs(blurred.image - frame.image).max(axis=(0, 1))
    assert change[20, 60] < 1e-9
    assert change.max() > 0.1
