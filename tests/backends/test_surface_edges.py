"""The edges of surfaces: the compiled code against the definition, and hand-made pictures with a known answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from blursynth.backends import cpu, oracle
from blursynth.physics.point_spread import PointSpreads, disk
from blursynth.physics.scene import scene_of_layers
from blursynth.physics.surface_edges import SurfaceEdges


def same(one: SurfaceEdges, other: SurfaceEdges) -> None:
    for name in ("front", "pure", "hidden", "missing"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert np.abs(one.share - other.share).max() <= 1e-9
    assert np.array_equal(one.means.at, other.means.at)
    assert np.array_equal(one.means.of, other.means.of)
    assert np.abs(one.means.weight - other.means.weight).max(initial=0.0) <= 1e-12


@pytest.mark.parametrize("objects", [False, True])
@pytest.mark.parametrize(("height", "width"), [(25, 31), (1, 9), (9, 1), (7, 40)])
def test_equals_the_definition(objects: bool, height: int, width: int) -> None:
    rng = np.random.default_rng(height)
    blocks = np.repeat(np.repeat(rng.integers(0, 4, (2, height // 5 + 1, width // 6 + 1)), 5, 1), 6, 2)
    level = blocks[:, :height, :width] * 3.0 + (0.0 if objects else 0.1) * np.arange(width)
    level[:, height // 2, : width // 2] = 11.0  # a wire
    size = rng.uniform(0.0, 4.0, level.shape)
    image = rng.random((2, 3, height, width))
    deep, wide = (size, None) if objects else (None, 2.0 * size)
    for dtype in (np.float64, np.float32):
        single = image.astype(dtype)
        expected = oracle.surface_edges(single, level, deep, wide, jump=1.5, slack_px=2.0)
        same(cpu.surface_edges(single, level, deep, wide, jump=1.5, slack_px=2.0), expected)
    assert (expected.hidden >= 0).any() or min(height, width) == 1
    assert expected.means.at.size or min(height, width) == 1


def slanted(angle_deg: float, offset_px: float, size: int = 32) -> NDArray[np.float64]:
    """How much of every pixel lies right of a line through the middle, by 64 x 64 samples."""
    at = (np.arange(64 * size) + 0.5) / 64 - 0.5
    turn = math.radians(angle_deg)
    middle = (size - 1) / 2
    inside = (at[None, :] - middle - offset_px) * math.cos(turn) + (at[:, None] - middle) * math.sin(turn) > 0
    return inside.reshape(size, 64, size, 64).mean(axis=(1, 3))


@pytest.mark.parametrize("angle_deg", [0.0, 10.0, 45.0, -73.0])
@pytest.mark.parametrize("offset_px", [0.1, 0.3, -0.4])
@pytest.mark.parametrize(("near", "far"), [(0.02, 0.8), (0.8, 0.02)])
def test_two_flat_colors_are_unmixed(angle_deg: float, offset_px: float, near: float, far: float) -> None:
    """Arithmetic: where both colors are known, the share of each pixel is, whichever side depth puts it on."""
    cover = slanted(angle_deg, offset_px)
    image = (near * cover + far * (1 - cover))[None, None].repeat(3, 1)
    level = np.where(cover >= 0.5, 12.0, 0.0)[None]
    edges = cpu.surface_edges(image, level, None, 2.0 * level, jump=1.5, slack_px=2.0)
    mixed = (cover > 0) & (cover < 1)
    assert mixed.any()
    assert (edges.front[0][mixed] >= 0).all()
    assert np.abs(edges.share[0] - cover)[mixed].max() <= 1e-3
    assert np.array_equal(edges.share[0][~mixed & (edges.front[0] < 0)], np.ones(np.sum(~mixed & (edges.front[0] < 0))))
    flat = image[0, 0].ravel()
    assert flat[edges.pure[0][mixed]] == pytest.approx(near)
    assert flat[edges.hidden[0][edges.hidden[0] >= 0]] == pytest.approx(far)


def test_how_far_surfaces_go_on() -> None:
    """Behind an edge as deep as the radii differ, before it as far as twice the nearer radius, and 2 px more."""
    level = np.where(np.arange(80) >= 40, 9.0, 0.0) * np.ones((1, 12, 1))
    edges = cpu.surface_edges(np.ones((1, 1, 12, 80)), level, None, 2.0 * level, jump=1.5, slack_px=2.0)
    assert np.flatnonzero(edges.hidden[0, 6] >= 0).tolist() == list(range(39, 40 + 11 + 1))
    assert np.flatnonzero(edges.front[0, 6] >= 0).tolist() == [39, 40]
    assert np.flatnonzero(edges.missing[0, 6] >= 0).tolist() == list(range(39 - 20, 40))
    assert (edges.missing[0, 6, 19:40] % 80 == 40).all()
    turned = edges.hidden[0, 6, 41:52] % 80
    # 38 is the nearest unmixed one, and what lies 8 px behind it is turned over again.
    assert turned.tolist() == [37, 36, 35, 34, 33, 32, 31, 30, 31, 32, 33]


def test_a_pixel_may_hide_one_surface_and_miss_another() -> None:
    """Three surfaces meet: beside the nearest one, the middle one hides the farthest and the nearest one is missing."""
    rows, columns = np.mgrid[:40, :40]
    level = np.where(columns >= 25, 9.0, np.where(rows >= 20, 4.0, 0.0))[None]
    edges = cpu.surface_edges(np.ones((1, 1, 40, 40)), level, None, 2.0 * level, jump=1.5, slack_px=2.0)
    y, x = 23, 21
    assert level.flat[edges.hidden[0, y, x]] == 0.0
    assert level.flat[edges.missing[0, y, x]] == 9.0
    # Above the edge of the middle surface both of the nearer ones are missing: that whose edge is nearer is named.
    assert level.flat[edges.missing[0, 17, 20]] == 4.0
    assert level.flat[edges.missing[0, 16, 23]] == 9.0


def test_a_surface_shows_what_it_hides_to_the_nearest_edge_beyond_which_that_can_be_seen() -> None:
    """Nearer to a pixel ends a step that is too small for anything behind it to be seen from there."""
    columns = np.arange(60) + np.zeros((20, 1))
    level = np.where(columns >= 40, 3.0, np.where(columns >= 12, 6.0, -12.0))[None]
    edges = cpu.surface_edges(np.ones((1, 1, 20, 60)), level, None, 8.0 + 0.0 * level, jump=1.75, slack_px=2.0)
    hidden = edges.hidden[0, 10]
    assert level.flat[hidden[36:40]].tolist() == [3.0] * 4  # within 5 px of the small step
    assert (
        level.flat[hidden[14:33]].tolist() == [-12.0] * 19
    )  # up to 20 px from the large one, even nearer to the small
    assert hidden[33] == -1


@pytest.mark.parametrize("step", [1.8, 2.5, 4.0])
def test_what_lies_behind_a_small_step_hides_nothing(step: float) -> None:
    """A surface behind is not taken for one that slopes away from the edge of the one in front."""
    level = np.where(np.arange(60) >= 30, step, 0.0) * np.ones((1, 20, 1))
    edges = cpu.surface_edges(np.ones((1, 1, 20, 60)), level, None, 8.0 + 0.0 * level, jump=1.75, slack_px=2.0)
    assert (edges.hidden[0, :, :29] < 0).all()
    assert (edges.hidden[0, :, 31:32] >= 0).all()
    assert (edges.missing[0, :, 31:] < 0).all()
    assert (edges.missing[0, :, 22:29] >= 0).all()


def test_a_slope_has_no_edge_and_is_not_behind_itself() -> None:
    slope = np.tile(np.arange(60) * 0.4, (1, 20, 1))
    edges = cpu.surface_edges(np.ones((1, 1, 20, 60)), slope, None, 2.0 * slope, jump=1.5, slack_px=2.0)
    assert (edges.hidden < 0).all()
    assert (edges.front < 0).all()
    derivative = cpu.surface_slope(slope, jump=1.5)
    assert np.abs(derivative[0, 0]).max() <= 1e-12
    assert np.abs(derivative[0, 1] - 0.4).max() <= 1e-12


def test_the_slope_of_one_surface_does_not_see_the_other() -> None:
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[:24, :30]
    radius = np.where(columns < 15, 0.1 * columns - 0.2 * rows, 40.0 + 0.3 * rows)[None]
    for backend in (cpu, oracle):
        got = backend.surface_slope(radius, jump=1.5)
        assert np.abs(got[0, 0] - np.where(columns < 15, -0.2, 0.3)).max() <= 1e-9
        assert np.abs(got[0, 1] - np.where(columns < 15, 0.1, 0.0)).max() <= 1e-9
    rough = radius + rng.normal(0, 0.3, radius.shape)
    expected = oracle.surface_slope(rough, jump=1.5)
    assert np.abs(cpu.surface_slope(rough, jump=1.5) - expected).max() <= 1e-12


def test_threads_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    level = np.repeat(np.repeat(rng.integers(0, 4, (1, 15, 15)), 20, 1), 20, 2) * 4.0
    image = rng.random((1, 3, 300, 300))
    one, two = (cpu.surface_edges(image, level, None, level, jump=1.5, slack_px=2.0, threads=n) for n in (1, 2))
    same(one, two)


def test_a_ramp_goes_on_behind_a_pole() -> None:
    """In its middle exactly, where the nearest pixel that shows the ramp is 5 steps off; elsewhere half as far off."""
    ramp = 0.2 + 0.01 * np.arange(60) + np.zeros((1, 3, 16, 60))
    pole = np.abs(np.arange(60) - 23) <= 3
    image = np.where(pole, 0.9, ramp)
    nearness = np.where(pole, 9.0, 0.0) + np.zeros((1, 16, 1))
    disks = PointSpreads.concatenate([disk(0.0), disk(9.0)])
    kernel = (nearness > 0).astype(np.int32)
    for backend in (cpu, oracle):
        scene = scene_of_layers(image, nearness, nearness, kernel, lambda _: disks, np.ones(1), backend)
        hidden = scene.patches(0).light(image[0].reshape(3, -1))[1].reshape(3, 16, 60)[..., pole]
        off = (hidden - ramp[0][..., pole]) / 0.01  # in steps
        nearest = np.array([2, 3, 4, 5, 4, 3, 2])
        assert np.abs(off[..., 3]).max() <= 1e-9
        assert (np.abs(off) < nearest).all()
        assert (off**2).mean() <= 0.5**2 * (nearest**2).mean()
