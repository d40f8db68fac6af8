"""The thin lens against the lens equation, worked out with a pencil."""

from __future__ import annotations

import math

import numpy as np
import pytest

from blursynth.errors import InvalidValueError
from blursynth.physics.thin_lens import (
    blur_per_dioptre_px,
    circle_of_confusion_px,
    depth_of_field_m,
    hyperfocal_distance_m,
    inverse_focus,
)

LENS = {"focal_length_mm": 50.0, "f_number": 2.0, "focus_distance_m": 2.0, "pixel_pitch_um": 5.0}


def test_by_tracing_rays() -> None:
    # Similar triangles behind the lens: light focused at s' crosses the sensor's plane in a disk of A |s' - z| / s'.
    sensor = 1 / (1 / 50 - 1 / 2000)
    for distance in (0.3, 1.0, 1.9, 2.5, 40.0):
        image = 1 / (1 / 50 - 1 / (1000 * distance))
        expected_px = 25 * (sensor - image) / image / 0.005
        assert circle_of_confusion_px(distance, **LENS) == pytest.approx(expected_px, rel=1e-12)


def test_zero_in_focus_affine_in_inverse_distance_and_inverse_to_f_number() -> None:
    assert circle_of_confusion_px(2.0, **LENS) == 0
    nearness = np.linspace(0.05, 4.0, 50)
    blur = circle_of_confusion_px(1 / nearness, **LENS)
    assert np.abs(np.diff(blur, 2)).max() <= 1e-10
    assert (blur[nearness < 0.5] > 0).all()
    assert (blur[nearness > 0.5] < 0).all()
    stopped = circle_of_confusion_px(1 / nearness, **{**LENS, "f_number": 8.0})
    assert np.allclose(stopped * 4, blur, rtol=1e-13, atol=1e-13)


def test_infinity() -> None:
    expected = 25 * 50 / (2000 - 50) / 0.005
    assert circle_of_confusion_px(math.inf, **LENS) == pytest.approx(expected, rel=1e-12)
    far = circle_of_confusion_px([1.0, math.inf], **{**LENS, "focus_distance_m": math.inf})
    assert far[1] == 0
    assert far[0] == pytest.approx(-25 * 50 / 1000 / 0.005)


def test_focus_nearer_than_the_focal_length_is_refused() -> None:
    for distance in (0.05, 0.01, -1.0, math.nan):
        with pytest.raises(InvalidValueError, match="focal length"):
            blur_per_dioptre_px(50.0, 2.0, distance, 5.0)
    with pytest.raises(InvalidValueError, match="f_number"):
        blur_per_dioptre_px(50.0, 0.0, 1.0, 5.0)
    with pytest.raises(InvalidValueError, match="distance_m"):
        circle_of_confusion_px([1.0, 0.0], **LENS)


@pytest.mark.parametrize("azimuth", [0.0, 0.7, 2.0, -1.2])
def test_points_of_the_tilted_plane_are_in_focus(azimuth: float) -> None:
    tilt, focus = 0.6, 2.0
    # Two directions that span the plane through (0, 0, focus) which the tilt turns towards the azimuth.
    towards = np.array([math.cos(azimuth) * math.cos(tilt), math.sin(azimuth) * math.cos(tilt), -math.sin(tilt)])
    aside = np.array([-math.sin(azimuth), math.cos(azimuth), 0.0])
    for a, b in ((0.5, 0.3), (-0.7, 1.0), (0.0, -2.0)):
        x, y, z = np.array([0.0, 0.0, focus]) + a * towards + b * aside
        found = inverse_focus(focus, tilt, azimuth, np.array([y / z]), np.array([x / z]))[0, 0]
        assert found == pytest.approx(1 / z, rel=1e-12)


def test_without_tilt_the_focus_is_a_plane_parallel_to_the_sensor() -> None:
    assert np.array_equal(inverse_focus(4.0, 0.0, 1.0, np.arange(3.0), np.arange(4.0)), np.full((3, 4), 0.25))


def test_depth_of_field_and_hyperfocal_distance() -> None:
    near, far = depth_of_field_m(10.0, **LENS)
    assert np.allclose(np.abs(circle_of_confusion_px([near, far], **LENS)), 10.0)
    focus = hyperfocal_distance_m(10.0, focal_length_mm=50, f_number=2, pixel_pitch_um=5)
    lens = {**LENS, "focus_distance_m": focus}
    assert circle_of_confusion_px(math.inf, **lens) == pytest.approx(10.0)
    assert depth_of_field_m(10.001, **lens)[1] == math.inf
