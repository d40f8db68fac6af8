"""Steps that give a picture its depth or its objects."""

from __future__ import annotations

import numpy as np
import pytest

import blursynth as bs
from blursynth.errors import InvalidValueError
from blursynth.testing import pictures

PLAIN = bs.Frame(np.zeros((2, 3, 30, 40), np.float32), "display")
CAMERA = bs.Intrinsics(focal_length_mm=4.0, pixel_pitch_um=100.0)  # 40 px
SETTERS = (
    bs.kinds.PlaneDepth(distance_m=2.0),
    bs.kinds.GroundDepth(camera_height_m=1.5),
    bs.kinds.LayeredDepth(near_m=0.5, far_m=8.0, spacing_px=12.0, size_px=10.0, seed=1),
    bs.kinds.RandomObjects(spacing_px=12.0, size_px=10.0, seed=1),
)


def with_camera(frame: bs.Frame, camera: bs.Intrinsics = CAMERA) -> bs.Frame:
    return frame.with_image(frame.image, camera=(camera,) * len(frame))


@pytest.mark.parametrize("step", SETTERS, ids=[s.kind for s in SETTERS])
def test_geometry_of_target_and_blurred_is_the_same_and_pixels_stay(step: bs.Degradation) -> None:
    frame = with_camera(PLAIN)
    pair = bs.Draw((("scene", step),)).pair(frame)
    for out in (pair.sharp, pair.blurred):
        assert out.image is frame.image or np.array_equal(out.image, frame.image)
        assert out.encoding is frame.encoding
    for name in ("depth_m", "labels"):
        some, other = getattr(pair.sharp, name), getattr(pair.blurred, name)
        assert (some is None) == (other is None)
        assert some is None or np.array_equal(some, other)
    assert type(step).takes is None


@pytest.mark.parametrize("step", SETTERS, ids=[s.kind for s in SETTERS])
def test_what_a_picture_has_of_its_own_is_kept_if_wanted(step: bs.Degradation) -> None:
    frame = pictures()
    kept, replaced = step.replace(keep=True)(frame), step.replace(keep=False)(frame)
    assert np.array_equal(kept.depth_m, frame.depth_m)
    assert np.array_equal(kept.labels, frame.labels)
    changed = "labels" if isinstance(step, bs.kinds.RandomObjects) else "depth_m"
    assert not np.array_equal(getattr(replaced, changed), getattr(frame, changed))
    mixed = type(step).apply([step.replace(keep=True), step.replace(keep=False)], frame)
    assert np.array_equal(getattr(mixed, changed)[0], getattr(frame, changed)[0])
    assert np.array_equal(getattr(mixed, changed)[1], getattr(replaced, changed)[1])


def test_ground_by_hand() -> None:
    """40 px of focal length, 30 rows; the horizon between rows 9 and 10, the axis between rows 14 and 15."""
    depth = bs.kinds.GroundDepth(camera_height_m=1.6, horizon=1 / 3, far_m=500.0)(with_camera(PLAIN)).depth_m
    assert depth.dtype == np.float32
    assert (depth[:, :10] == 500).all()
    pitch = np.arctan((14.5 - 9.5) / 40)
    row = 25
    assert depth[0, row, 7] == pytest.approx(1.6 / (np.cos(pitch) * (row - 9.5) / 40), rel=1e-6)
    assert (np.diff(depth[0, 10:, 0]) < 0).all()


def test_a_tilted_plane_by_hand_and_off_axis() -> None:
    camera = bs.Intrinsics(4.0, 100.0, principal_point_px=(10.0, 5.0))
    step = bs.kinds.PlaneDepth(distance_m=3.0, tilt_deg=45.0, azimuth_deg=90.0, far_m=50.0)
    depth = step(with_camera(PLAIN, camera)).depth_m[0]
    assert np.allclose(depth[10], 3.0)
    assert np.allclose(depth[20], 3.0 / (1 - 10 / 40))
    assert np.allclose(depth[0], 3.0 / (1 + 10 / 40))


def test_layers_lie_between_near_and_far_and_labels_tell_them_apart() -> None:
    frame = bs.kinds.LayeredDepth(near_m=0.5, far_m=8.0, spacing_px=12.0, size_px=10.0, seed=1)(PLAIN)
    assert frame.labels is not None
    assert np.array_equal(frame.depth_m[0], frame.depth_m[1])
    depths = [np.unique(frame.depth_m[frame.labels == n]) for n in np.unique(frame.labels)]
    assert all(len(d) == 1 for d in depths)
    values = [float(d[0]) for d in depths]
    assert values[0] == 8.0
    assert values == sorted(values, reverse=True)  # larger labels are nearer
    assert min(values) >= 0.5
    equal = bs.kinds.LayeredDepth(near_m=3.0, far_m=3.0, seed=1)(PLAIN)
    assert np.allclose(equal.depth_m, 3.0)


def test_another_picture_size_has_another_layout_but_a_window_has_not() -> None:
    step = bs.kinds.RandomObjects(spacing_px=10.0, size_px=9.0, seed=5)
    whole = step(PLAIN)
    window = step(PLAIN.crop(7, 9, 12, 20))
    assert np.array_equal(window.labels, whole.labels[:, 7:19, 9:29])


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (
            bs.kinds.GroundDepth(camera_height_m=1.5),
            "ground_depth needs the camera of the picture, but the frame has none",
        ),
        (
            bs.kinds.PlaneDepth(distance_m=1.0, tilt_deg=10.0),
            "plane_depth needs the camera .* Put a set_intrinsics step before it",
        ),
    ],
)
def test_geometry_without_a_camera_is_refused(step: bs.Degradation, words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        step(PLAIN)


def test_bad_numbers() -> None:
    with pytest.raises(InvalidValueError, match=r"near_m must be at most far_m, got 5 and 2\. Swap them"):
        bs.kinds.LayeredDepth(near_m=5.0, far_m=2.0, seed=0)
    with pytest.raises(InvalidValueError, match=r"PlaneDepth.tilt_deg must be < 90"):
        bs.kinds.PlaneDepth(distance_m=1.0, tilt_deg=90.0)
    with pytest.raises(InvalidValueError, match=r"puts 6,250,000 objects into"):
        bs.kinds.RandomObjects(spacing_px=4.0, seed=0)(
            PLAIN.with_image(PLAIN.image, full_size_px=np.array([10_000, 10_000]))
        )


def test_a_batch_in_which_only_some_get_labels_is_refused() -> None:
    frame = pictures()
    frame = frame.with_image(frame.image, labels=None)
    steps = [bs.kinds.LayeredDepth(near_m=0.5, far_m=8.0, seed=1, keep=keep) for keep in (True, False)]
    with pytest.raises(InvalidValueError, match="some pictures of the batch keep their depth and have no labels"):
        bs.kinds.LayeredDepth.apply(steps, frame)


def test_draws_see_the_depth_that_was_set() -> None:
    recipe = bs.Recipe(
        [
            bs.kinds.PlaneDepth(distance_m=3.5),
            ("decode", bs.kinds.Decode()),
            ("copy", bs.Random(bs.kinds.PlaneDepth, distance_m=bs.DepthQuantile(0.5, 0.5), keep=False)),
        ]
    )
    draw = recipe.sample(PLAIN[0], seed=0, index=0)
    assert draw["copy"].distance_m == pytest.approx(3.5)  # type: ignore[attr-defined]
