"""Blur that varies as a mean of discrete frames: N pictures warped by SciPy, moved by hand, and what N tends to."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

import blursynth as bs
from blursynth.backends import cpu, oracle
from blursynth.degradations.motion.warp_blur import MovingCamera, WarpBlur
from blursynth.frame import Border
from blursynth.physics.object_paths import arc_path
from blursynth.testing import pictures

FRAME = pictures(size_px=(50, 64), batch=1, channels=2, dtype=np.float64)
TIME = np.linspace(0.0, 0.4, 81)
RECORDING = bs.assets.register(
    np.column_stack(
        [
            *(TIME, 0.002 * np.sin(19 * TIME), 0.004 * TIME, 0.003 * np.cos(11 * TIME)),
            *(0.001 * np.sin(25 * TIME), 0.0015 * np.cos(17 * TIME), 0.02 * TIME, np.ones(81)),
        ]
    )
)
HAND = {"exposure_s": 0.08, "pitch_mrad": 4.0, "yaw_mrad": 3.0, "roll_mrad": 60.0, "seed": 3}
CAMERAS: dict[str, WarpBlur] = {
    "shake": bs.kinds.CameraShake(**HAND),
    "parallax": bs.kinds.CameraShake(x_mm=3.0, y_mm=1.0, z_mm=9.0, **HAND),
    "rows": bs.kinds.RollingShutter(readout_s=0.05, x_mm=2.0, z_mm=5.0, **HAND),
    "rows from the bottom": bs.kinds.RollingShutter(readout_s=0.03, readout_from="bottom", **HAND),
    "recorded": bs.kinds.RecordedShake(recording=RECORDING, start_s=0.03, exposure_s=0.1, readout_s=0.04),
    "zoom": bs.kinds.Zoom(scale=1.2, center_row_px=12.0, center_column_px=40.0),
}
OBJECTS = bs.kinds.ObjectMotion(
    length_px=12.0, angle_deg=33.0, bend_deg=40.0, acceleration=0.7, spread_deg=20.0, seed=8
)


def mean_of_warped_pictures(step: MovingCamera, frame: bs.Frame, frames: int) -> NDArray[np.float64]:
    """The definition, pixel by pixel: poses at the middles of N shares of every row's exposure, looked up by SciPy.

    The pose of the sharp picture is that in the middle of each row's exposure.
    """
    height, width = frame.size_px
    camera = frame.camera[0]
    focal = camera.focal_length_mm * 1000 / camera.pixel_pitch_um
    readout_s, from_bottom = (getattr(step, "readout_s", 0.0), getattr(step, "readout_from", "top") == "bottom")
    path = step.principal_path(camera, (height, width))
    y, x = np.mgrid[:height, :width].astype(float)
    rays = np.stack([(x - (width - 1) / 2) / focal, (y - (height - 1) / 2) / focal, np.ones_like(x)], axis=-1)
    depth = frame.depth_m[0] if step.translates() else np.ones((height, width))
    mean = np.zeros_like(frame.image[0])
    for k in range(frames):
        place = np.empty((2, height, width))
        for row in range(height):
            order = height - 1 - row if from_bottom else row
            start = order * readout_s / height
            pose = path(np.array([start + step.exposure_s * (k + 0.5) / frames, start + step.exposure_s / 2]))
            now, middle = (Rotation.from_matrix(r) for r in pose.orientation)
            point = depth[row][:, None] * rays[row]  # seen now, and in the coordinates of the sharp picture:
            there = middle.inv().apply(now.apply(point) + pose.position_m[0] - pose.position_m[1])
            place[1, row] = focal * there[:, 0] / there[:, 2] + (width - 1) / 2
            place[0, row] = focal * there[:, 1] / there[:, 2] + (height - 1) / 2
        mean += [ndimage.map_coordinates(c, place, order=1, mode="nearest") for c in frame.image[0]]
    return mean / frames


@pytest.mark.parametrize("name", [name for name in CAMERAS if name != "zoom"])
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_a_camera_is_the_mean_of_pictures_that_scipy_warps(name: str, frames: int) -> None:
    step = CAMERAS[name].replace(frames=frames, centered_on="mid", border="replicate")
    assert isinstance(step, MovingCamera)
    expected = mean_of_warped_pictures(step, FRAME, frames)
    assert np.abs(step(FRAME).image[0] - expected).max() <= 1e-9
    assert np.abs(expected - FRAME.image[0]).max() > (0.1 if frames > 1 else -1.0)


def test_one_frame_at_the_reference_is_the_picture_itself_and_otherwise_one_warp() -> None:
    for name, step in CAMERAS.items():
        still = step.replace(frames=1)(FRAME).image
        assert np.abs(still - FRAME.image).max() <= 1e-9, name
        warps = step.replace(frames=1, centered_on="start").warps(FRAME)
        assert warps.weight.shape[2] == 1
        assert np.abs(step.replace(frames=1, centered_on="start")(FRAME).image - FRAME.image).max() > 0.05, name


def test_zoom_by_hand() -> None:
    """Three frames of a zoom by a half: seen at the scales 1.5^(-1/3), 1 and 1.5^(1/3) about the fixed point."""
    step = bs.kinds.Zoom(scale=1.5, center_row_px=12.0, center_column_px=40.0, frames=3, border="replicate")
    y, x = np.mgrid[:50, :64].astype(float)
    expected = np.zeros_like(FRAME.image[0])
    for scale in (1.5 ** (-1 / 3), 1.0, 1.5 ** (1 / 3)):
        place = [12 + (y - 12) / scale, 40 + (x - 40) / scale]
        expected += [ndimage.map_coordinates(c, place, order=1, mode="nearest") / 3 for c in FRAME.image[0]]
    assert np.abs(step(FRAME).image[0] - expected).max() <= 1e-9


def test_an_object_by_hand() -> None:
    """A textured square before an even background, on a straight path of 20 px: five whole places, 4 px apart."""
    rng = np.random.default_rng(0)
    image, labels = np.full((1, 1, 40, 60), 0.25), np.zeros((1, 40, 60), np.int32)
    labels[0, 11:24, 25:34] = 1
    image[0, 0, 11:24, 25:34] = rng.random((13, 9))
    for angle, axis, sign in ((0.0, 1, 1), (180.0, 1, -1), (90.0, 0, 1)):
        expected = np.zeros((40, 60))
        for place in (-8, -4, 0, 4, 8):
            mask, seen = (np.roll(a, sign * place, axis=axis) for a in (labels[0] == 1, image[0, 0]))
            expected += np.where(mask, seen, 0.25) / 5
        step = bs.kinds.ObjectMotion(length_px=20.0, angle_deg=angle, frames=5)
        found = step(bs.Frame(image, "linear", labels=labels)).image[0, 0]
        assert np.abs(found - expected).max() <= 1e-9
        # Speeding up, the last two are the farthest apart: the direction of time is that of the path.
        path = arc_path(20.0, np.deg2rad(angle), 0.5, 0.0, 5)
        gaps = np.hypot(*np.diff(path, axis=0).T)
        assert gaps[-1] > 1.5 * gaps[0]


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_positions_of_an_object_lie_on_its_path_about_their_own_mean(frames: int) -> None:
    positions = arc_path(17.0, 0.7, -0.6, 1.1, frames)
    assert positions.shape == (frames, 2)
    assert np.abs(positions.mean(axis=0)).max() <= 1e-12
    # The middles of N shares are among the middles of 1001 N of them.
    chosen = arc_path(17.0, 0.7, -0.6, 1.1, 1001 * frames)[500::1001]
    assert np.abs(positions - (chosen - chosen.mean(axis=0))).max() <= 1e-12
    # And on the path of the continuous exposure, whose times are known.
    path, at = arc_path(17.0, 0.7, -0.6, 1.1), (np.arange(frames) + 0.5) / frames * 64
    joined = np.stack([np.interp(at, np.arange(65), path[:, axis]) for axis in (0, 1)], axis=1)
    assert np.abs(positions - (joined - joined.mean(axis=0))).max() <= 0.01


@pytest.mark.parametrize("name", [*CAMERAS, "objects"])
def test_many_frames_tend_to_the_continuous_exposure(name: str) -> None:
    step: bs.Degradation = CAMERAS[name].replace(step_px=0.05) if name in CAMERAS else OBJECTS.replace(parts=64)
    continuous = step(FRAME).image
    apart = [np.abs(step.replace(frames=n)(FRAME).image - continuous).max() for n in (1, 3, 9, 27, 243)]
    assert all(later < earlier for earlier, later in itertools.pairwise(apart))
    assert apart[0] > 0.1
    assert apart[-1] < 1e-3


@pytest.mark.parametrize("name", [*CAMERAS, "objects"])
@pytest.mark.parametrize("frames", [1, 4, 11])
def test_constants_are_kept(name: str, frames: int) -> None:
    step: bs.Degradation = {**CAMERAS, "objects": OBJECTS}[name].replace(frames=frames)
    flat = FRAME.with_image(np.full_like(FRAME.image, 0.7))
    assert np.abs(step(flat).image - 0.7).max() <= 1e-12


@pytest.mark.parametrize("name", list(CAMERAS))
def test_both_backends_and_the_adjoint(name: str) -> None:
    step = CAMERAS[name].replace(frames=6)
    warps, depth = step.warps(FRAME), step.inverse_depth(FRAME)
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, *FRAME.image.shape))
    forward = {b: b.warp_mean(x, warps, depth, border=Border.REFLECT) for b in (cpu, oracle)}
    assert np.abs(forward[cpu] - forward[oracle]).max() <= 1e-12
    norms = np.linalg.norm(x) * np.linalg.norm(y)
    for backend, blurred in forward.items():
        back = backend.warp_mean_adjoint(y, warps, depth, border=Border.REFLECT)
        assert abs((blurred * y).sum() - (x * back).sum()) <= 1e-12 * norms


@pytest.mark.parametrize("name", [*CAMERAS, "objects"])
def test_a_window_with_margin_is_the_window_of_the_whole(name: str) -> None:
    frame = pictures(size_px=(110, 140), batch=1, dtype=np.float64)
    step: bs.Degradation = {**CAMERAS, "objects": OBJECTS}[name].replace(frames=4)
    reach = step.reach_px(frame)
    assert reach is not None
    top, left = 48, 60
    window = frame.crop(top - reach, left - reach, 12 + 2 * reach, 20 + 2 * reach)
    part = bs.Draw((("step", step),))(window, margin_px=reach)
    expected = step(frame).image[..., top : top + 12, left : left + 20]
    assert np.abs(part.image - expected).max() <= 1e-12


@pytest.mark.parametrize("make", [bs.kinds.CameraShake, bs.kinds.RollingShutter])
def test_rows_of_no_readout_are_the_global_shutter_to_the_bit(make: Callable[..., bs.Degradation]) -> None:
    expected = bs.kinds.CameraShake(frames=5, **HAND)(FRAME).image
    more = {"readout_s": 0.0} if make is bs.kinds.RollingShutter else {}
    assert np.array_equal(make(frames=5, **HAND, **more)(FRAME).image, expected)


def test_rows_against_one_pose_for_all_of_them() -> None:
    """The mean over all rows' frames is the target's pose: bent rows, none of which lies where its own mean is."""
    bent = bs.kinds.RollingShutter(readout_s=0.1, frames=3, centered_on="global_shutter", **HAND)
    own = bent.replace(centered_on="mean")
    assert own.residual_centroid_px(FRAME) < 0.05
    assert bent.residual_centroid_px(FRAME) > 0.5


def test_edges_become_ghosts() -> None:
    """A bright line, moved 8 px from frame to frame, is as many lines; the continuous exposure has none."""
    image = np.zeros((1, 1, 21, 121))
    image[..., 60] = 1.0
    frame = bs.Frame(image, "linear", camera=(bs.Intrinsics(1.0, 1.0),))
    step = bs.kinds.RecordedShake(
        recording=bs.assets.register([[0.0, 0.0, 0.032, 0.0], [1.0, 0.0, 0.032, 0.0]]), exposure_s=1.0, frames=4
    )
    seen = step(frame).image[0, 0, 10]
    peaks = np.flatnonzero(seen > 0.15)
    assert np.diff(peaks) == pytest.approx([8, 8, 8], abs=1)
    assert step.replace(frames=None)(frame).image[0, 0, 10].max() < 0.08
