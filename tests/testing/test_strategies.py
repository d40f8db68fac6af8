"""Strategies give what they say, reach the odd cases, and shrink to what can be read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import blursynth as bs
from blursynth.testing import strategies

few = settings(max_examples=300, database=None)


@given(strategies.images(channels=2, dtype=np.float32, levels=63))
def test_images_are_pictures_of_levels(image: np.ndarray) -> None:
    assert image.dtype == np.float32
    assert image.ndim == 3
    assert image.shape[0] == 2
    codes = image.astype(np.float64) * 63
    assert codes.min() >= 0
    assert codes.max() <= 63
    assert np.abs(codes - np.rint(codes)).max() < 1e-4


@given(strategies.images(channels=1, dtype=np.uint8, size_px=(3, 5)))
def test_images_of_integers(image: np.ndarray) -> None:
    assert image.dtype == np.uint8
    assert image.shape == (1, 3, 5)


@pytest.mark.parametrize("kind", strategies.IMAGES)
def test_every_kind_of_image_is_lit_somewhere_and_differs_between_channels(kind: str) -> None:
    image = find(
        strategies.images(kinds=(kind,)), lambda x: x.max() > 0 and not np.array_equal(x[0], x[1]), settings=few
    )
    assert image.size <= 3 * 12 * 12


@pytest.mark.parametrize(
    "odd",
    [
        lambda x: x.shape[1:] == (1, 1),
        lambda x: x.shape[1] == 1 and x.shape[2] > 3,
        lambda x: x.shape[1] > x.shape[2] + 3,
        lambda x: x.shape[1] % 2 == 0 and x.shape[2] % 2 == 1,
        lambda x: x.max() == 1.0,
        lambda x: x.max() == 0.0,
        lambda x: len(np.unique(x)) > 20,
    ],
    ids=["one pixel", "one row", "high", "even and odd", "white", "black", "rich"],
)
def test_odd_images_come(odd: object) -> None:
    find(strategies.images(), odd, settings=few)  # type: ignore[arg-type]


def test_an_image_shrinks_to_one_lit_pixel() -> None:
    image = find(strategies.images(), lambda x: x[1].max() >= 0.5, settings=settings(max_examples=1000, database=None))
    assert image.shape[1] * image.shape[2] <= 2
    assert (image > 0).sum() <= 3


@given(strategies.depth_maps(near_m=0.5, far_m=20.0))
def test_depth_maps_lie_between_their_ends(depth_m: np.ndarray) -> None:
    assert depth_m.min() >= 0.5 - 1e-9
    assert depth_m.max() <= 20.0 + 1e-9


@pytest.mark.parametrize("kind", strategies.DEPTHS[1:])
def test_every_kind_of_depth_has_two_distances(kind: str) -> None:
    depth_m = find(strategies.depth_maps(size_px=(6, 7), kinds=(kind,)), lambda d: len(np.unique(d)) > 1, settings=few)
    distances = len(np.unique(depth_m))
    assert distances == 2 if kind in ("step", "holes") else distances >= 2


@given(strategies.trajectories(samples=9))
def test_trajectories_are_paths(path: np.ndarray) -> None:
    assert path.shape == (9, 2)
    assert np.isfinite(path).all()


@given(strategies.point_spreads(centered=True, batch=2))
def test_point_spreads_are_normalized_and_centered(psf: object) -> None:
    assert len(psf) == 2  # type: ignore[arg-type]
    assert np.allclose(psf.sums(), 1.0)
    assert np.abs(psf.centroids()).max() < 1e-12


def test_point_spreads_off_center_come() -> None:
    find(strategies.point_spreads(), lambda psf: np.abs(psf.centroids()).max() > 1.0, settings=few)


@given(strategies.apertures())
def test_apertures_are_normalized(psf: object) -> None:
    assert np.allclose(psf.sums(), 1.0)  # type: ignore[attr-defined]


@given(strategies.frames(channels=st.just(3), dtype=np.float64))
def test_frames(frame: bs.Frame) -> None:
    assert frame.channels == 3
    assert 1 <= len(frame) <= 3
    assert frame.depth_m is None or frame.depth_m.shape == (len(frame), *frame.size_px)


@given(strategies.cameras())
def test_cameras(camera: bs.Intrinsics) -> None:
    assert 2 <= camera.focal_length_mm <= 200
    assert 0.8 <= camera.pixel_pitch_um <= 12


@given(strategies.degradations(bs.kinds.GaussianBlur))
def test_degradations_of_a_kind(step: bs.Degradation) -> None:
    assert type(step) is bs.kinds.GaussianBlur


def test_degradations_differ_from_their_example() -> None:
    example = bs.kinds.GaussianBlur.example()
    find(strategies.degradations(bs.kinds.GaussianBlur), lambda step: step != example, settings=few)


@given(strategies.draws("motion-only"))
@settings(max_examples=5)
def test_draws_replay(draw: bs.Draw) -> None:
    assert bs.Draw.from_dict(draw.to_dict(), bs.kinds.ALL) == draw
