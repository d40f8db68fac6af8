"""Defocus: which blur stands where, windows, batches, and clear refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

import blursynth as bs
from blursynth.errors import InvalidValueError
from blursynth.testing import pictures

CAMERA = bs.Intrinsics(focal_length_mm=50.0, pixel_pitch_um=20.0)


def frame_of(depth_m: NDArray[np.floating], seed: int = 0, dtype: type = np.float64, **more: Any) -> bs.Frame:
    image = np.random.default_rng(seed).random((1, 3, *depth_m.shape)).astype(dtype)
    return bs.Frame(image, "linear", depth_m=depth_m.astype(dtype), camera=CAMERA, **more)


@pytest.mark.parametrize("form", ["occlusion", "gather", "scatter"])
def test_constant_depth_is_a_disk_of_the_circle_of_confusion(form: Any) -> None:
    frame = frame_of(np.full((50, 60), 4.0))
    step = bs.kinds.Defocus(f_number=2.0, focus_distance_m=2.0, form=form, tolerance_px=0.001, border="circular")
    diameter = 25 * 50 * 2000 / (2000 - 50) * (1 / 2000 - 1 / 4000) / 0.020
    expected = bs.kinds.DiskBlur(diameter_px=diameter, border="circular")(frame)
    # Rounding to levels within 0.001 px moves the rim of a disk of radius 8 by as much; blends of two levels do more.
    assert np.abs(step(frame).image - expected.image).max() <= (1e-4 if form == "occlusion" else 2e-3)


@pytest.mark.parametrize(
    "step",
    [
        bs.kinds.Defocus(f_number=2.0, focus_distance_m=2.0, border="constant"),
        # 2500 px: 10 px at 2 m, and a hundredth of one at 2 km.
        bs.kinds.DepthParallax(length_mm=8.0, anxiety=0.0, border="constant"),
    ],
    ids=lambda step: step.kind,
)
def test_whose_blur_it_is_that_a_pixel_has(step: Any) -> None:
    """Scatter spreads every light by the blur of where it comes from, gather by that of where it arrives."""
    blurred_m, sharp_m = (8.0, 2.0) if step.kind == "defocus" else (2.0, 2000.0)
    columns = np.broadcast_to(np.arange(60), (40, 60))
    depth = np.where(columns >= 30, blurred_m, sharp_m)

    def light(form: str, column: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What a point of light beside the border of the two makes of either side."""
        image = np.zeros((1, 1, 40, 60))
        image[..., 20, column] = 1.0
        frame = bs.Frame(image, "linear", depth_m=depth[None], camera=CAMERA)
        made = step.replace(form=form)(frame).image[0, 0]
        return made[:, :30], made[:, 30:]

    sharp_side, blurred_side = light("scatter", 32)  # a point of the blurred side
    assert sharp_side.sum() > 0.15
    assert sharp_side.sum() + blurred_side.sum() == pytest.approx(1.0, abs=1e-9)
    sharp_side, blurred_side = light("gather", 32)
    assert sharp_side.max() <= 1e-12
    assert 0.3 < blurred_side.sum() < 0.85
    sharp_side, blurred_side = light("scatter", 27)  # a point of the sharp one
    assert sharp_side[20, 27] == pytest.approx(1.0, abs=0.01)
    assert blurred_side.max() <= 1e-12
    sharp_side, blurred_side = light("gather", 27)
    assert sharp_side[20, 27] == pytest.approx(1.0, abs=0.01)
    assert blurred_side.sum() > 0.1


def test_in_focus_nothing_changes() -> None:
    frame = frame_of(np.full((20, 30), 2.0))
    for form in ("occlusion", "gather", "scatter"):
        step = bs.kinds.Defocus(f_number=1.4, focus_distance_m=2.0, form=form)
        assert np.abs(step(frame).image - frame.image).max() <= 1e-12


def test_a_tilted_plane_is_in_focus_where_the_tilt_says() -> None:
    rows = (np.arange(80) - 39.5) / CAMERA.focal_length_px
    # A floor that comes nearer downwards, on a plane of focus tilted just so.
    depth = np.broadcast_to((2.0 / (1.0 + np.tan(np.radians(60.0)) * rows))[:, None], (80, 60))
    frame = frame_of(np.ascontiguousarray(depth))
    tilted = bs.kinds.Defocus(f_number=1.0, focus_distance_m=2.0, tilt_deg=60.0, tilt_azimuth_deg=270.0)
    assert np.array_equal(tilted(frame).image, frame.image)
    # Numbers of a plane and of the focus on it are the same.
    plane = bs.kinds.PlaneDepth(distance_m=2.0, tilt_deg=60.0, azimuth_deg=270.0, keep=False)(frame)
    assert np.abs(tilted(plane).image - frame.image).max() <= 1e-12
    straight = tilted.replace(tilt_deg=0.0)
    changed = np.abs(straight(frame).image - frame.image).max(axis=(0, 1, 3))
    assert min(changed[0], changed[-1]) > 0.1
    assert changed[39:41].max() == 0


def test_an_odd_aperture_turns_over_across_the_focus() -> None:
    image = np.zeros((1, 1, 41, 41))
    image[..., 20, 20] = 1.0
    step = bs.kinds.Defocus(f_number=2.0, focus_distance_m=2.0, blades=3, angle_deg=20.0, tolerance_px=0.001)
    blurs = []
    for nearness in (0.3, 0.7):
        depth = np.full((1, 41, 41), 1 / nearness)
        blurs.append(step(bs.Frame(image, "linear", depth_m=depth, camera=CAMERA)).image[0, 0])
    assert np.abs(blurs[0] - blurs[1][::-1, ::-1]).max() <= 1e-9
    assert np.abs(blurs[0] - blurs[1]).max() >= 1e-3


def test_a_cats_eye_lies_across_the_line_to_the_middle() -> None:
    image = np.zeros((1, 1, 201, 301))
    image[..., 100, 280] = image[..., 100, 150] = 1.0
    depth = np.full((1, 201, 301), 4.0)
    blurred = bs.kinds.Defocus(f_number=2.0, focus_distance_m=2.0, cats_eye=1.0)(
        bs.Frame(image, "linear", depth_m=depth, camera=CAMERA)
    ).image[0, 0]
    for column, narrow in ((280, True), (150, False)):
        spot = blurred[85:116, column - 15 : column + 16]
        rows, columns = np.nonzero(spot > 1e-9)
        assert (np.ptp(columns) < 0.75 * np.ptp(rows)) == narrow


@pytest.mark.parametrize("form", ["occlusion", "gather", "scatter"])
@pytest.mark.parametrize(
    "more", [{}, {"tilt_deg": 40.0, "cats_eye": 0.3, "blades": 5, "tolerance_px": 0.5}], ids=["plain", "all"]
)
def test_a_window_with_margin_equals_the_whole(form: Any, more: dict[str, Any]) -> None:
    rows, columns = np.mgrid[:150, :180]
    depth = np.where((rows - 70) ** 2 + (columns - 95) ** 2 < 700, 1.4, 2.0 + rows / 60 + columns / 200)
    frame = frame_of(depth)
    step = bs.kinds.Defocus(f_number=5.0, focus_distance_m=2.0, form=form, parts=2, **more)
    whole = step(frame)
    window = (62, 80, 25, 30)
    margin = step.reach_px(frame)
    assert margin is not None
    assert margin < 60
    cut = frame.crop(window[0] - margin, window[1] - margin, window[2] + 2 * margin, window[3] + 2 * margin)
    inside = step(cut).image[..., margin : margin + window[2], margin : margin + window[3]]
    assert np.abs(inside - whole.crop(*window).image).max() <= 1e-12


def test_batches_replay_and_types() -> None:
    frame = pictures(batch=3)
    steps = [
        bs.kinds.Defocus(f_number=2.0, focus_distance_m=d, parts=p, border=b, form=f)
        for d, p, b, f in ((0.5, 1, "reflect", "occlusion"), (2.0, 3, "constant", "occlusion"), (3.0, 1, "reflect", "gather"))
    ]  # fmt: skip
    together = bs.kinds.Defocus.apply(steps, frame)
    for b, step in enumerate(steps):
        assert np.array_equal(step(frame[b]).image[0], together.image[b])
    assert together.image.dtype == np.float32
    assert np.array_equal(bs.kinds.Defocus.apply(steps, frame).image, together.image)


def test_a_sharp_subject_before_a_blurred_background_keeps_every_bit() -> None:
    frame = pictures()
    near = frame.labels == 1
    depth = np.where(near, 0.5, frame.depth_m)
    step = bs.kinds.Defocus(f_number=1.8, focus_distance_m=0.5)
    frame = frame.with_image(frame.image, depth_m=depth)
    blurred = step(frame).image
    for b in range(len(frame)):
        # What has only its like around it; at an edge a pixel may be a mixture with what lies behind.
        inner = ndimage.binary_erosion(near[b], np.ones((3, 3)), border_value=1)
        assert np.array_equal(blurred[b][:, inner], frame.image[b][:, inner])
    assert np.abs(blurred - frame.image).max() > 0.05
    # Of two colors it is known that none is.
    toned = frame.with_image(np.where(near[:, None], np.float32(0.2), np.float32(0.7)) + 0.0 * frame.image)
    assert np.array_equal(step(toned).image, toned.image)


def test_clear_refusals() -> None:
    frame = frame_of(np.full((8, 9), 2.0))
    step = bs.kinds.Defocus(f_number=2.0, focus_distance_m=2.0)
    with pytest.raises(InvalidValueError, match="needs the depth"):
        step(bs.Frame(frame.image, "linear", camera=CAMERA))
    with pytest.raises(InvalidValueError, match="needs the camera"):
        step(bs.Frame(frame.image, "linear", depth_m=frame.depth_m))
    with pytest.raises(InvalidValueError, match="focal length"):
        step.replace(focus_distance_m=0.04)(frame)
    with pytest.raises(InvalidValueError, match="radius of"):
        step.replace(f_number=0.01, focus_distance_m=1.0)(frame)
    for wrong in ({"blades": 2}, {"f_number": 0.0}, {"focus_distance_m": 1e7}, {"form": "over"}, {"cats_eye": 1.1}):
        with pytest.raises(InvalidValueError, match="Defocus"):
            step.replace(**wrong)
