"""Planes and the ground, held against rays that are intersected with them."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from blursynth.physics.surfaces import ground_depth_m, plane_depth_m, view_tangents


@given(st.floats(0.1, 100), st.floats(0, 80), st.floats(-360, 360))
def test_a_plane_is_where_rays_meet_it(distance_m: float, tilt_deg: float, azimuth_deg: float) -> None:
    tilt, azimuth = math.radians(tilt_deg), math.radians(azimuth_deg)
    y, x = view_tangents((3, 5), (4, 6), (10.0, 2.0), 50.0)
    depth = plane_depth_m(y, x, distance_m, tilt, azimuth, 1e9)
    normal = np.array([-math.sin(tilt) * math.cos(azimuth), -math.sin(tilt) * math.sin(azimuth), math.cos(tilt)])
    rays = np.stack([*np.meshgrid(x, y), np.ones((4, 6))], axis=-1)
    points = depth[..., None] * rays
    hit = rays @ normal > 1e-9
    assert np.allclose((points @ normal)[hit], distance_m * math.cos(tilt), rtol=1e-9)
    assert (depth[~hit] > 1e8).all()


def test_a_wall_straight_on_has_one_depth() -> None:
    y, x = view_tangents((0, 0), (3, 4), (1.0, 1.5), 20.0)
    assert (plane_depth_m(y, x, 2.5, 0.0, 1.0, 100.0) == 2.5).all()
    assert (plane_depth_m(y, x, 2.5, 0.0, 1.0, 2.0) == 2.0).all()


@given(st.floats(0.1, 50), st.floats(-60, 60))
def test_the_ground_is_where_rays_meet_it(height_m: float, pitch_deg: float) -> None:
    pitch = math.radians(pitch_deg)  # the camera looks down by this
    y, x = view_tangents((0, 0), (40, 3), (20.0, 1.0), 15.0)
    depth = ground_depth_m(y, 3, height_m, -math.tan(pitch), 1e9)
    down = np.array([0.0, math.cos(pitch), math.sin(pitch)])
    rays = np.stack([*np.meshgrid(x, y), np.ones((40, 3))], axis=-1)
    falling = rays @ down
    assert np.allclose((depth[..., None] * rays @ down)[falling > 1e-6], height_m, rtol=1e-6)
    assert np.allclose(depth[falling <= 0], 1e9)


def test_view_tangents_of_a_window_are_those_of_the_whole() -> None:
    whole = view_tangents((0, 0), (30, 40), (14.3, 20.1), 777.7)
    part = view_tangents((7, 11), (5, 6), (14.3, 20.1), 777.7)
    assert np.array_equal(part[0], whole[0][7:12])
    assert np.array_equal(part[1], whole[1][11:17])
