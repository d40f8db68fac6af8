"""Translation of the camera: the size and the side of its blur, and its parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import blursynth as bs
from blursynth.errors import InvalidValueError

CAMERA = bs.Intrinsics(focal_length_mm=5.0, pixel_pitch_um=2.0)  # 2500 px


def spot(depth_m: float, step: bs.kinds.DepthParallax) -> np.ndarray[Any, np.dtype[np.float64]]:
    image = np.zeros((1, 1, 41, 41))
    image[..., 20, 20] = 1.0
    frame = bs.Frame(image, "linear", depth_m=np.full((1, 41, 41), depth_m), camera=CAMERA)
    return np.asarray(step(frame).image[0, 0])


@pytest.mark.parametrize("form", ["occlusion", "scatter", "gather"])
def test_a_straight_path_is_a_line_of_length_times_focal_length_over_depth(form: Any) -> None:
    step = bs.kinds.DepthParallax(length_mm=4.0, anxiety=0.0, heading_deg=0.0, form=form, tolerance_px=0.01)
    for depth, length in ((0.5, 20.0), (1.0, 10.0), (2.5, 4.0)):
        made = spot(depth, step)
        place = np.arange(41) - 20
        across, along = made.sum(axis=1), made.sum(axis=0)
        assert abs(made.sum() - 1) <= 1e-12
        assert across[20] == pytest.approx(1.0)
        assert abs(along @ place) <= 1e-9
        # A line of length L has the variance L^2/12, and whole pixels add up to 1/4.
        assert along @ place**2 == pytest.approx(length**2 / 12, abs=0.27)


@pytest.mark.parametrize("form", ["occlusion", "scatter", "gather"])
def test_the_picture_moves_against_the_camera_and_is_centered(form: Any) -> None:
    step = bs.kinds.DepthParallax(
        length_mm=16.0, anxiety=0.004, heading_deg=40.0, seed=3, tolerance_px=0.001, form=form
    )
    path = step.path_mm() * (-2500 / 1000)
    middles = 0.5 * (path[1:] + path[:-1])
    assert np.abs(middles.mean(axis=0)).max() <= 1e-12
    made = spot(1.0, step)
    assert made.sum() == pytest.approx(1.0, abs=1e-9)
    place = np.arange(41) - 20.0
    columns_and_rows = made.sum(axis=0), made.sum(axis=1)
    assert max(abs(along @ place) for along in columns_and_rows) <= 1e-9
    # Third moments have a sign: a path turned round would have the other one.
    found, third = np.array([along @ place**3 for along in columns_and_rows]), (middles**3).mean(axis=0)
    assert np.linalg.norm(third) > 10
    assert np.linalg.norm(found - third) < 0.05 * np.linalg.norm(third)


def test_a_step_to_the_right_moves_the_picture_to_the_left() -> None:
    """Held against the camera that is carried along the same path, whose pictures are warped and averaged."""
    step = bs.kinds.DepthParallax(length_mm=8.0, anxiety=0.004, heading_deg=-30.0, seed=3, tolerance_px=0.001)
    recording = np.zeros((1000, 8))
    recording[:, 0] = np.linspace(0.0, 1.0, 1000)
    recording[:, 1:3] = 1e-3 * step.path_mm()
    recording[:, 7] = 1.0
    carried = bs.kinds.RecordedShake(recording=bs.assets.register(recording), exposure_s=1.0, step_px=0.05)
    rows, columns = np.mgrid[:41, :41]
    image = np.exp(-((rows - 20.0) ** 2 + (columns - 20.0) ** 2) / 8)[None, None]
    frame = bs.Frame(image, "linear", depth_m=np.full((1, 41, 41), 1.0), camera=CAMERA)
    by_warps = carried(frame).image
    assert np.abs(step(frame).image - by_warps).max() <= 0.01
    turned = np.abs(step(frame).image[..., ::-1, ::-1] - by_warps).max()
    assert turned > 0.05


def test_parts_are_times_of_the_same_path() -> None:
    step = bs.kinds.DepthParallax(length_mm=5.0, anxiety=0.05, seed=1)
    for depth in (0.7, 1.3):
        assert np.abs(spot(depth, step) - spot(depth, step.replace(parts=7))).max() <= 1e-12


def test_small_motion_is_not_dropped() -> None:
    step = bs.kinds.DepthParallax(length_mm=0.8, anxiety=0.0, tolerance_px=0.01)
    made = spot(2.0, step)  # 1 px
    assert made[20, 20] == pytest.approx(0.75, abs=0.01)


def test_occlusion_and_windows() -> None:
    rows, columns = np.mgrid[:90, :120]
    depth = np.where((rows > 30) & (rows < 60) & (columns > 40) & (columns < 80), 0.8, 3.0)
    image = np.random.default_rng(0).random((1, 3, 90, 120))
    frame = bs.Frame(image, "linear", depth_m=depth[None], camera=CAMERA)
    step = bs.kinds.DepthParallax(length_mm=3.0, seed=2, parts=2)
    whole = step(frame)
    margin = step.reach_px(frame)
    assert margin is not None
    assert margin <= 30
    cut = frame.crop(35 - margin, 50 - margin, 20 + 2 * margin, 25 + 2 * margin)
    inside = step(cut).image[..., margin : margin + 20, margin : margin + 25]
    assert np.abs(inside - whole.crop(35, 50, 20, 25).image).max() <= 1e-12


def test_no_motion_and_clear_refusals() -> None:
    image = np.random.default_rng(0).random((1, 3, 9, 10))
    frame = bs.Frame(image, "linear", depth_m=np.full((1, 9, 10), 0.3), camera=CAMERA)
    assert np.array_equal(bs.kinds.DepthParallax(length_mm=0.0)(frame).image, image)
    with pytest.raises(InvalidValueError, match="needs the depth"):
        bs.kinds.DepthParallax(length_mm=1.0)(bs.Frame(image, "linear", camera=CAMERA))
    with pytest.raises(InvalidValueError, match="radius of"):
        bs.kinds.DepthParallax(length_mm=1000.0, anxiety=0.0)(frame)
