"""The step that smooths depth: what it leaves alone, what it records, and that defocus gains by it."""

from __future__ import annotations

import numpy as np
import pytest

import blursynth as bs
from blursynth.errors import InvalidValueError
from blursynth.testing import pictures


def scene(disturbance: float) -> tuple[bs.Frame, bs.Frame]:
    """A dark sheet before a white wall; with its exact depth, and with one that is disturbed, in px of radius."""
    rows, columns = np.mgrid[:70, :80]
    near = columns - 38.3 - 0.2 * rows > 0
    picture = np.where(near, 0.02, 0.8)[None, None].astype(np.float32)
    camera = bs.Intrinsics(focal_length_mm=50.0, pixel_pitch_um=5.0)
    radius = np.where(near, 8.0 + 0.04 * rows, -2.0 - 0.02 * columns)
    disturbed = radius + disturbance * np.random.default_rng(6).standard_normal(radius.shape)
    growth = 128.2  # px of radius per 1/m: half of 25 mm 51.28 mm / 5 um; so 1 px is 1/64 of the inverse depth at 2 m
    frames = [
        bs.Frame(picture, "linear", depth_m=1 / (0.5 + r[None] / growth), camera=camera) for r in (radius, disturbed)
    ]
    return frames[0], frames[1]


def test_pixels_labels_and_dtype_stay_and_the_target_has_the_same_depth() -> None:
    frame = pictures()
    step = bs.kinds.DepthSmoothing(step=0.05)
    pair = bs.Draw((("smooth", step), ("focus", bs.kinds.Defocus(f_number=2.0, focus_distance_m=2.0)))).pair(frame)
    assert np.array_equal(pair.sharp.depth_m, pair.blurred.depth_m)
    assert np.array_equal(pair.sharp.image, frame.image)
    assert np.array_equal(pair.sharp.labels, frame.labels)
    assert pair.sharp.depth_m.dtype == np.float32
    assert not np.array_equal(pair.sharp.depth_m, frame.depth_m)
    assert np.array_equal(pair.sharp.depth_m, step(frame).depth_m)


def test_a_picture_without_depth_is_left_and_a_raw_one_refused() -> None:
    frame = pictures()
    plain = frame.with_image(frame.image, depth_m=None)
    assert bs.kinds.DepthSmoothing()(plain) is plain
    assert bs.kinds.DepthSmoothing().reach_px(plain) == 0
    with pytest.raises(InvalidValueError, match=r"got a raw one\..*Put it before the sensor"):
        bs.kinds.DepthSmoothing()(pictures(bs.Encoding.RAW))
    with pytest.raises(InvalidValueError, match=r"DepthSmoothing.step must be"):
        bs.kinds.DepthSmoothing(step=0.0)


def test_light_and_codes_of_the_same_picture_give_the_same_depth() -> None:
    codes = pictures(bs.Encoding.DISPLAY, dtype=np.float64)
    step = bs.kinds.DepthSmoothing(step=0.3)
    found, expected = step(bs.kinds.Decode()(codes)).depth_m, step(codes).depth_m
    assert np.abs(found - expected).max() <= 1e-9


def test_a_pair_with_a_margin_equals_the_window_of_the_whole() -> None:
    frame = pictures(size_px=(120, 130), batch=1)
    draw = bs.Draw(
        (
            ("smooth", bs.kinds.DepthSmoothing(radius_px=3, snap_px=1)),
            ("focus", bs.kinds.Defocus(f_number=8.0, focus_distance_m=2.0)),
        )
    )
    reach = draw.reach_px(frame)
    assert reach is not None
    assert 15 < reach < 45
    whole = draw.pair(frame)
    part = draw.pair(frame.crop(50 - reach, 45 - reach, 12 + 2 * reach, 17 + 2 * reach), margin_px=reach)
    for some, other in ((part.sharp, whole.sharp), (part.blurred, whole.blurred)):
        assert np.array_equal(some.depth_m, other.depth_m[:, 50:62, 45:62])
        assert np.abs(some.image - other.image[..., 50:62, 45:62]).max() <= 1e-6
    with pytest.raises(InvalidValueError, match="margin_px must be at least the reach of the steps"):
        draw.pair(frame, margin_px=reach - 1)


@pytest.mark.parametrize("noise", [0.25, 0.5])
def test_defocus_with_noisy_depth_comes_near_that_with_exact_depth(noise: float) -> None:
    exact, disturbed = scene(noise)
    lens = bs.kinds.Defocus(f_number=2.0, focus_distance_m=2.0)
    nearness = 1 / exact.depth_m
    smooth = bs.kinds.DepthSmoothing(step=2.5 / 64, snap_px=0)(disturbed)
    off = 128.2 * np.abs(1 / smooth.depth_m - nearness)
    assert np.sqrt(np.mean(off**2)) < 0.06
    expected = lens(exact).image[..., 12:-12, 12:-12]
    raw, found = (np.abs(lens(f).image[..., 12:-12, 12:-12] - expected) for f in (disturbed, smooth))
    assert np.sqrt(np.mean(found**2)) < 0.3 * np.sqrt(np.mean(raw**2))
