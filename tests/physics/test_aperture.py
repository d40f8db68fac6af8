"""Shapes of apertures: exact, mirrored in front of the focus, and the sum of their parts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from blursynth.errors import InvalidValueError
from blursynth.physics.aperture import Aperture
from blursynth.physics.point_spread import disk, polygon

SHAPES = [
    Aperture(),
    Aperture(6, 0.2),
    Aperture(5, 0.3),
    Aperture(0, 0.0, 0.4, 0.2),
    Aperture(7, 0.1, -0.3, 0.5),
]


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
@pytest.mark.parametrize("radius_px", [0.4, 0.7, 3.3, -8.2])
def test_parts_sum_to_the_whole(shape: Aperture, radius_px: float) -> None:
    whole = shape.point_spreads(radius_px)
    size = 2 * int(whole.reach_px()[0]) + 5
    assert abs(whole.sums()[0] - 1) <= 1e-12
    assert whole.weight.min() >= 0
    clipped = shape.blades and shape.clip_x != 0
    assert np.abs(whole.centroids()).max() <= (0.05 if clipped else 1e-10)
    for parts in (2, 5, 16):
        split = shape.point_spreads(radius_px, parts)
        assert len(split) == parts
        assert np.abs(split.sums() - 1).max() <= 1e-12
        mean = sum(split.to_dense(g, size_px=size) for g in range(parts)) / parts
        assert np.abs(mean - whole.to_dense(0, size_px=size)).max() <= 1e-12


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_the_other_side_of_the_focus_is_turned_by_180_degrees(shape: Aperture) -> None:
    for parts in (1, 4):
        far, near = shape.point_spreads(5.3, parts), shape.point_spreads(-5.3, parts)
        for g in range(parts):
            assert np.abs(far.to_dense(g, size_px=15) - near.to_dense(g, size_px=15)[::-1, ::-1]).max() <= 1e-12


def test_equals_disk_and_polygon() -> None:
    assert np.array_equal(Aperture().point_spreads(4.2).weight, disk(4.2).weight)
    for blades in (5, 6):
        made, expected = Aperture(blades, 0.3).point_spreads(4.2), polygon(4.2, blades, 0.3)
        assert np.abs(made.to_dense() - expected.to_dense()).max() <= 1e-12


def test_parts_keep_their_place_at_every_radius() -> None:
    # A part is the same piece of the aperture for all depths: its centroid grows with the radius.
    shape = Aperture()
    small, large = (shape.point_spreads(r, 4).centroids() / r for r in (40.0, 80.0))
    assert np.abs(small - large).max() <= 1e-3
    assert np.abs(small).min() >= 0.2


def test_a_cats_eye_is_the_overlap_of_two_disks() -> None:
    apart = math.hypot(0.6, 0.3)
    area = 2 * math.acos(apart / 2) - apart / 2 * math.sqrt(4 - apart**2)
    kernel = Aperture(clip_x=0.6, clip_y=0.3).point_spreads(50.0).to_dense()
    assert 1 / kernel.max() == pytest.approx(area * 50.0**2, rel=2e-3)
    rows, columns = np.nonzero(kernel)
    along = (columns - kernel.shape[1] // 2) * 0.6 / apart + (rows - kernel.shape[0] // 2) * 0.3 / apart
    assert np.abs(along).max() == pytest.approx(50 * (1 - apart / 2), abs=1.0)


def test_small_blurs_stay_in_one_pixel() -> None:
    for shape in SHAPES:
        for radius_px in (0.0, 0.5, -0.5):
            assert shape.point_spreads(radius_px, 3).weight.tolist() == [1.0, 1.0, 1.0]


def test_bad_apertures_are_refused() -> None:
    for wrong in ({"blades": 2}, {"blades": -3}, {"clip_x": 1.6}, {"clip_x": math.nan}):
        with pytest.raises(InvalidValueError):
            Aperture(**wrong)
    with pytest.raises(InvalidValueError, match="parts"):
        Aperture().point_spreads(5.0, 0)
    with pytest.raises(InvalidValueError, match="radius_px"):
        Aperture().point_spreads(3000.0)
