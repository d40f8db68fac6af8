"""Objects in motion, held against the mean of pictures in which they stand at each moment's place."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import blursynth as bs
from blursynth.errors import InvalidValueError
from blursynth.testing import pictures

ROWS, COLUMNS = np.mgrid[:40, :50]


def frame(labels: NDArray[np.integer], *, seed: int = 0) -> bs.Frame:
    rng = np.random.default_rng(seed)
    return bs.Frame(rng.uniform(0, 1, (1, 3, *labels.shape)), "linear", labels=labels.astype(np.int32))


def shifted(array: NDArray[np.float64], dx: float, dy: float) -> NDArray[np.float64]:
    """The array moved by (dx, dy) px, each value spread over four pixels; it must be 0 near its edges."""
    out = np.zeros_like(array)
    x, y = math.floor(dx), math.floor(dy)
    u, v = dx - x, dy - y
    for oy, wy in ((y, 1 - v), (y + 1, v)):
        for ox, wx in ((x, 1 - u), (x + 1, u)):
            out += wy * wx * np.roll(array, (oy, ox), axis=(-2, -1))
    return out


def brute_force(
    scene: bs.Frame, step: bs.kinds.ObjectMotion, behind: NDArray[np.float64], moments: int
) -> NDArray[np.float64]:
    """The mean of composites at many moments: the far objects first, over a background that is known everywhere.

    Objects lie one upon another, so that object n goes on behind those of larger numbers, in its mean color.
    """
    assert scene.labels is not None
    labels, image = scene.labels[0], scene.image[0]
    numbers = np.unique(labels[labels > 0])
    paths = step.paths(numbers.astype(np.int32))
    total = np.zeros_like(image)
    for k in range(moments):
        at = (k + 0.5) / moments * (paths.shape[1] - 1)
        first = min(int(at), paths.shape[1] - 2)
        places = paths[:, first] + (at - first) * (paths[:, first + 1] - paths[:, first])
        picture = behind.copy()
        for number, (dx, dy) in zip(numbers, places, strict=True):
            mask = (labels >= number).astype(np.float64)
            inside = image[:, labels == number].mean(axis=1)[:, None, None]
            alpha = shifted(mask, dx, dy)
            light = shifted(mask * np.where(labels == number, image, inside), dx, dy)
            picture = (1 - alpha) * picture + light
        total += picture
    return total / moments


@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize(
    "motion",
    [
        {"length_px": 9.0, "angle_deg": 0.0},
        {"length_px": 7.3, "angle_deg": 35.0},
        {"length_px": 8.0, "angle_deg": -70.0, "acceleration": 0.8, "bend_deg": 90.0, "seed": 3},
    ],
)
def test_one_object_over_a_constant_background_is_exact(motion: dict[str, float], parts: int) -> None:
    labels = (np.hypot(ROWS - 20, COLUMNS - 25) < 8).astype(np.int32)
    scene = frame(labels)
    scene.image[:] = np.where(labels == 1, scene.image, 0.3)
    step = bs.kinds.ObjectMotion(**motion, parts=parts)  # type: ignore[arg-type]
    expected = brute_force(scene, step, np.full_like(scene.image[0], 0.3), 1500)
    assert np.abs(step(scene).image[0] - expected).max() < 1e-5


def test_edges_let_the_background_through_for_the_time_that_the_object_was_elsewhere() -> None:
    """A white bar, 10 px wide, moves by 4 px over black: the cover at its edge is the share of the time, a ramp."""
    labels = (np.abs(COLUMNS - 24.5) < 5).astype(np.int32)
    scene = frame(labels)
    scene.image[:] = labels
    row = bs.kinds.ObjectMotion(length_px=4.0)(scene).image[0, 0, 20]
    # The bar begins with column 20; its edge moves from 2 px left of its place to 2 px right of it.
    assert np.allclose(row[17:23], [0, 0.125, 0.375, 0.625, 0.875, 1], atol=1e-12)
    assert row[19] + row[20] == pytest.approx(1.0)
    assert row[24] == 1
    assert row[10] == 0
    assert row[5:45] == pytest.approx(row[5:45][::-1])


def test_an_object_moving_upon_another_that_moves_converges_with_more_parts() -> None:
    labels = np.where(np.hypot(ROWS - 20, COLUMNS - 24) < 11, 1, 0)
    labels = np.where(np.hypot(ROWS - 20, COLUMNS - 27) < 5, 2, labels)
    scene = frame(labels)
    scene.image[:] = np.where(labels == 0, 0.2, np.where(labels == 1, 0.5, 0.9))
    behind = np.full_like(scene.image[0], 0.2)
    errors = []
    for parts in (1, 2, 4, 8, 16):
        step = bs.kinds.ObjectMotion(length_px=8.0, spread_deg=180.0, seed=11, parts=parts)
        errors.append(float(np.abs(step(scene).image[0] - brute_force(scene, step, behind, 300)).mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.25 * errors[0]


def test_constants_stay_constant() -> None:
    scene = bs.kinds.RandomObjects(spacing_px=11.0, size_px=13.0, keep=False, seed=4)(pictures(dtype=np.float64))
    scene = scene.with_image(np.full_like(scene.image, 0.37))
    for border in ("reflect", "replicate", "circular"):
        step = bs.kinds.ObjectMotion(length_px=9.0, spread_deg=180.0, slowest=0.1, parts=3, seed=8, border=border)
        assert np.abs(step(scene).image - 0.37).max() <= 1e-12


def test_far_from_moving_objects_nothing_changes() -> None:
    labels = (np.hypot(ROWS - 20, COLUMNS - 12) < 6).astype(np.int32)
    scene = frame(labels)
    out = bs.kinds.ObjectMotion(length_px=8.0)(scene).image
    assert np.array_equal(out[..., 12 + 6 + 5 :], scene.image[..., 12 + 6 + 5 :])
    assert np.array_equal(out[:, :, :13], scene.image[:, :, :13])
    assert not np.array_equal(out, scene.image)


def test_only_the_chosen_object_moves() -> None:
    labels = np.where(np.hypot(ROWS - 20, COLUMNS - 12) < 6, 1, 0) + np.where(
        np.hypot(ROWS - 20, COLUMNS - 38) < 6, 5, 0
    )
    scene = frame(labels)
    both = bs.kinds.ObjectMotion(length_px=8.0)(scene).image
    one = bs.kinds.ObjectMotion(length_px=8.0, label=5)(scene).image
    assert np.array_equal(one[..., :25], scene.image[..., :25])
    assert np.array_equal(one[..., 25:], both[..., 25:])
    assert np.array_equal(bs.kinds.ObjectMotion(length_px=8.0, label=3)(scene).image, scene.image)


def test_a_moving_object_stays_where_the_sharp_picture_has_it() -> None:
    labels = (np.hypot(ROWS - 20, COLUMNS - 25) < 6).astype(np.int32)
    scene = frame(labels)
    scene.image[:] = labels
    step = bs.kinds.ObjectMotion(length_px=9.0, angle_deg=20.0, acceleration=1.0, bend_deg=120.0, seed=5)
    out = step(scene).image[0, 0]
    assert out.sum() == pytest.approx(labels.sum(), rel=1e-9)
    for axis in (ROWS, COLUMNS):
        assert (out * axis).sum() / out.sum() == pytest.approx((labels * axis).sum() / labels.sum(), abs=1e-9)
    assert step.target() == bs.kinds.Identity()


def test_objects_without_motion_are_left_alone() -> None:
    scene = frame(np.ones((20, 20), np.int32))
    for step in (
        bs.kinds.ObjectMotion(length_px=0.0),
        bs.kinds.ObjectMotion(length_px=9.0, still_fraction=1.0),
    ):
        assert step(scene) is scene
    assert np.array_equal(bs.kinds.ObjectMotion(length_px=9.0)(frame(np.zeros((20, 20), np.int32))).image,
                          frame(np.zeros((20, 20), np.int32)).image)  # fmt: skip


def test_a_frame_without_labels_is_refused() -> None:
    plain = bs.Frame(np.zeros((3, 20, 20), np.float32), "linear")
    with pytest.raises(
        InvalidValueError, match=r"the frame has no labels\. Give read_frame labels=\.\.\., or put a random_objects"
    ):
        bs.kinds.ObjectMotion(length_px=9.0)(plain)
    assert bs.kinds.ObjectMotion(length_px=9.0)(bs.kinds.RandomObjects(seed=1)(plain)).image.shape == (1, 3, 20, 20)


def test_a_batch_of_different_motions_equals_its_pictures() -> None:
    scene = bs.kinds.RandomObjects(spacing_px=12.0, size_px=14.0, keep=False, seed=2)(pictures(batch=4))
    steps = [
        bs.kinds.ObjectMotion(length_px=6.0, seed=1, border="constant"),
        bs.kinds.ObjectMotion(length_px=0.0),
        bs.kinds.ObjectMotion(length_px=11.0, spread_deg=90.0, seed=3, parts=2),
        bs.kinds.ObjectMotion(length_px=6.0, seed=4, label=3),
    ]
    out = bs.kinds.ObjectMotion.apply(steps, scene)
    for b, step in enumerate(steps):
        assert np.array_equal(out.image[b], step(scene[b]).image[0])
    assert np.array_equal(out.image[1], scene.image[1])


def test_labels_may_be_any_numbers() -> None:
    labels = (np.hypot(ROWS - 20, COLUMNS - 25) < 6).astype(np.int32)
    few, many = frame(labels * 255), frame(labels * (2**31 - 1))
    for scene in (few, many):
        out = bs.kinds.ObjectMotion(length_px=6.0)(scene)
        assert not np.array_equal(out.image, scene.image)
    assert np.array_equal(
        bs.kinds.ObjectMotion(length_px=6.0)(few).image, bs.kinds.ObjectMotion(length_px=6.0)(many).image
    )


@settings(max_examples=25)
@given(
    st.integers(0, 1000),
    st.floats(0.5, 12.0),
    st.floats(0, 1),
    st.floats(0, 360),
    st.integers(1, 3),
    st.integers(0, 30),
)
def test_a_window_with_the_margin_equals_the_whole(
    seed: int, length: float, acceleration: float, bend: float, parts: int, corner: int
) -> None:
    photo = pictures(batch=1, size_px=(150, 155), dtype=np.float64, seed=seed % 5)
    scene = bs.kinds.RandomObjects(spacing_px=14.0, size_px=18.0, keep=False, seed=seed)
    step = bs.kinds.ObjectMotion(
        length_px=length,
        spread_deg=180.0,
        slowest=0.2,
        acceleration=acceleration,
        bend_deg=bend,
        parts=parts,
        seed=seed,
    )
    reach = step.reach_px(photo)
    assert reach is not None
    # Paths of both surfaces behind an edge, and as far from it on its other side.
    assert reach <= 5 * math.ceil(length * (0.5 + acceleration / 6)) + 13
    top, left, size = reach, reach + corner // 4, 14
    whole = step(scene(photo))
    part = step(scene(photo.crop(top - reach, left - reach, size + 2 * reach, size + 2 * reach)))
    inside = part.image[..., reach : reach + size, reach : reach + size]
    assert np.abs(inside - whole.image[..., top : top + size, left : left + size]).max() <= 1e-12
