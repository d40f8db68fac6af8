"""The laws of edges of depth: what the public degradations make of analytic layers, against rays through them.

The product sees the picture, the depth and the labels at pixels: every edge is a row of mixed pixels, and what lies
behind it is not shown. All bounds are in codes of 8-bit sRGB. The rays themselves are off by up to .7 codes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import analytic_layers as al
import layered_scenes as ls
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

import blursynth as bs

DEPTH, MOTION, SLOPES = ls.depth_scenes(), ls.motion_scenes(), ls.slope_scenes()

# A point spread that is exact in area is applied to pixels that are means over areas already, so blur is wider by a
# pixel's area than that of rays, and an edge is no straighter than its pixels. With the exact share of both surfaces at
# every pixel that alone costs, at 40 : 1, 3.5 codes at a radius of 5 px, 4.8 at 4, 7 at 3 and 12 at 2; with a pixel's
# area more in the rays, 2.6 codes at 4 px, 4 at 3 and 6.6 at 2; on a path of 8 px 6.6, of 12 px 4.
SMALL_PX = 5.0
SHORT_PX = 12.0

# What is behind a surface is guessed from beside it: right for flat colors, not for a texture.
UNKNOWN = [name for name in [*DEPTH, *MOTION] if "before texture" in name]
JUNCTIONS = [name for name in [*DEPTH, *MOTION] if any(w in name for w in ("three", "two that", "behind one"))]


def bound(scene: ls.LayeredScene) -> float:
    if isinstance(scene, ls.MotionScene):
        assert scene.step is not None
        return 5.0 if scene.step.length_px >= SHORT_PX else 7.0
    blurred = [abs(layer.radius_px) for layer in scene.layers if abs(layer.radius_px) > 0.5]
    if scene.boxes:
        return 3.0 if min(blurred) >= 4 else 7.0
    return 3.0 if min(blurred) > SMALL_PX else 5.0


def blurred(scene: ls.LayeredScene) -> bs.Frame:
    step = scene.step if isinstance(scene, ls.MotionScene) else ls.lens()
    assert step is not None
    return step(scene.frame())


def off_edge(scene: ls.LayeredScene) -> NDArray[np.bool_]:
    """Pixels of the window that are more than 2 px away from where another layer begins."""
    most = al.picture(scene.layers, scene.height, scene.width)[1]
    ends = np.zeros(most.shape, bool)
    ends[:, 1:] |= most[:, 1:] != most[:, :-1]
    ends[1:] |= most[1:] != most[:-1]
    return np.asarray(distance_transform_edt(~ends)[scene.seen] > 3.0)


def _known(scenes: Iterable[str]) -> list[Any]:
    """Scenes in which all that is seen is shown somewhere; of the many edges some are left to the slow tests."""
    slow = ("edge 75", "edge 10 bright")
    return [
        pytest.param(name, marks=[pytest.mark.slow] if name.startswith(slow) else [])
        for name in scenes
        if name not in {*UNKNOWN, *JUNCTIONS}
    ]


@pytest.mark.parametrize("name", _known(DEPTH))
def test_defocus_of_mixed_edges(name: str) -> None:
    scene = DEPTH[name]
    assert scene.error(blurred(scene), scene.truth()).max() <= bound(scene)


@pytest.mark.parametrize("name", _known(MOTION))
def test_motion_of_objects_with_mixed_edges(name: str) -> None:
    scene = MOTION[name]
    assert scene.error(blurred(scene), scene.truth()).max() <= bound(scene)


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_texture_behind_an_object_is_guessed(name: str) -> None:
    # As if it went on in the color beside the edge: off by about the texture's own contrast, 40 codes from crest to
    # trough, by half of it on the whole; and there are no combs, whose error would be that of the object's color.
    scene = {**DEPTH, **MOTION}[name]
    assert scene.error(blurred(scene), scene.truth()).max() <= 20.0


@pytest.mark.parametrize("name", JUNCTIONS)
def test_where_three_surfaces_meet(name: str) -> None:
    # One surface is known behind every pixel, that of the nearest edge, and here two lie behind the nearest.
    scene = {**DEPTH, **MOTION}[name]
    error = scene.error(blurred(scene), scene.truth())
    assert math.sqrt(np.mean(error**2)) <= (12.5 if "two that" in name else 3.0 if "behind one" in name else 8.0)


@settings(max_examples=6)
@given(
    angle=st.floats(0, 360),
    offset=st.floats(-0.5, 0.5),
    radii=st.sampled_from([(8.0, 0.0), (0.0, -12.0), (11.0, -7.0), (16.0, 6.0), (-6.0, -15.0)]),
    dark=st.floats(0.02, 0.2),
    swap=st.booleans(),
)
def test_defocus_of_an_edge_at_any_angle(
    angle: float, offset: float, radii: tuple[float, float], dark: float, swap: bool
) -> None:
    near, far = (dark, dark, 1.5 * dark), (0.8, 0.7, 0.6)
    scene = ls.edge(angle, offset, *radii, *((far, near) if swap else (near, far)))
    assert scene.error(ls.lens()(scene.frame()), scene.truth()).max() <= 3.0


@pytest.mark.slow
@settings(max_examples=100)
@given(
    angle=st.floats(0, 360),
    offset=st.floats(-0.5, 0.5),
    near_px=st.floats(8.0, 30.0),
    far_px=st.sampled_from([0.0, -8.0, -20.0]),
    swap=st.booleans(),
)
def test_defocus_of_any_edge(angle: float, offset: float, near_px: float, far_px: float, swap: bool) -> None:
    colors = (ls.BRIGHT, ls.DARK) if swap else (ls.DARK, ls.BRIGHT)
    scene = ls.edge(angle, offset, near_px, far_px, *colors)
    assert scene.error(ls.lens()(scene.frame()), scene.truth()).max() <= 3.0


@pytest.mark.parametrize(("near", "far"), [(20.0, 0.0), (0.0, -20.0), (8.0, -5.0)])
def test_no_ripple_along_an_edge(near: float, far: float) -> None:
    # Along a line beside a straight edge nothing changes, so what is seen there is one profile across it.
    scene = ls.edge(10.0, 0.0, near, far)
    rows, columns = np.indices((scene.height, scene.width))
    angle = math.radians(10.0)
    inside = (columns - scene.width / 2) * math.cos(angle) + (rows - scene.height / 2) * math.sin(angle)
    result = al.codes(np.asarray(ls.lens()(scene.frame()).image[0, 0], np.float64))
    for distance in (4.0, -4.0):
        line = (np.abs(inside - distance) < 1.0)[scene.seen]
        profile = np.polyfit(inside[scene.seen][line], result[scene.seen][line], 2)
        ripple = result[scene.seen][line] - np.polyval(profile, inside[scene.seen][line])
        assert line.sum() > 20
        assert np.sqrt(np.mean(ripple**2)) <= 0.5


@pytest.mark.parametrize("name", [n for n in SLOPES if "0.4" not in n])
def test_parts_do_not_leak_on_a_slope(name: str) -> None:
    scene = SLOPES[name]
    frame, truth = scene.frame(), scene.truth()
    errors = [scene.error(ls.lens(parts=parts)(frame), truth) for parts in (1, 4, 16)]
    assert all(error.max() <= 6.0 for error in errors)
    _falls(errors)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOPES)
def test_more_parts_are_no_worse_on_any_slope(name: str) -> None:
    scene = SLOPES[name]
    frame, truth = scene.frame(), scene.truth(100)
    errors = [scene.error(ls.lens(parts=parts)(frame), truth) for parts in (1, 4, 16, 64)]
    steep = name == "sheet 0.4, edge along"  # where the sheet comes into focus its edge is off by more
    assert all(error.max() <= (15.0 if steep else 6.0) for error in errors[1:3])
    assert errors[3].max() <= (35.0 if steep else 6.0)
    _falls(errors[:3])


def _falls(errors: list[NDArray[np.float64]]) -> None:
    """Never by more than the rays' own error above what fewer parts gave."""
    largest = [float(error.max()) for error in errors]
    spread = [float(np.sqrt(np.mean(error**2))) for error in errors]
    assert all(after <= before + 0.3 for before, after in itertools.pairwise(largest))
    assert all(after <= before + 0.1 for before, after in itertools.pairwise(spread))


@pytest.mark.parametrize("slope", [0.1, 0.2, 0.4])
@pytest.mark.parametrize("parts", [1, 4, 16])
def test_one_slanted_surface_covers_what_it_covers(slope: float, parts: int) -> None:
    # A constant surface stays constant, however its depth runs; what is behind, far away and white, is not seen.
    scene = ls.sheet(slope, 0.0)
    rows, columns = np.indices((scene.height, scene.width))
    # Only beyond the window there is an edge of depth.
    radius = np.where(columns >= 2, 8.0 + slope * (columns - scene.width / 2), -60.0)
    image = np.where(columns >= 2, 0.02, 1.0) * np.ones((3, 1, 1)) + 0.0 * rows
    made = ls.lens(parts=parts)(ls.frame_of_radius(image, radius)).image[0][:, *scene.seen]
    assert np.abs(al.codes(np.asarray(made, np.float64)) - al.codes(np.array(0.02))).max() <= 1.0


@pytest.mark.parametrize("radii", [(10, 0), (12, -6), (0, -10), (-6, -20)])
@pytest.mark.parametrize("noise", [0.05, 0.1])
def test_noise_of_depth_does_not_let_light_through(radii: tuple[int, int], noise: float) -> None:
    scene = ls.edge(10.0, 0.0, *radii, far=ls.WHITE)
    undisturbed = al.codes(np.asarray(ls.lens()(scene.frame()).image[0], np.float64))
    disturbed = al.codes(np.asarray(ls.lens()(scene.frame(noise_px=noise)).image[0], np.float64))
    error = np.abs(disturbed - undisturbed).max(axis=0)[scene.seen]
    assert error[off_edge(scene)].max() <= (2.0 if noise < 0.1 else 2.5)
    assert error.max() <= 3.0


@pytest.mark.parametrize("radii", [(10, 0), (12, -6), (0, -10), (-6, -20)])
@pytest.mark.parametrize("noise", [0.25, 0.5])
def test_smoothed_noise_of_depth_does_not_let_light_through(radii: tuple[int, int], noise: float) -> None:
    # Half a pixel of radius is 2 to 6 % of the distances between these surfaces and infinity.
    scene = ls.edge(10.0, 0.0, *radii, far=ls.WHITE)
    undisturbed = al.codes(np.asarray(ls.lens()(scene.frame()).image[0], np.float64))
    smooth = bs.kinds.DepthSmoothing(step=0.03)(scene.frame(noise_px=noise))
    error = np.abs(al.codes(np.asarray(ls.lens()(smooth).image[0], np.float64)) - undisturbed).max(axis=0)[scene.seen]
    assert error[off_edge(scene)].max() <= 2.0
    assert error.max() <= 3.0


@pytest.mark.parametrize("angle", [10.0, 85.0])
@pytest.mark.parametrize("step", [0.25, 0.5, 1.0])
def test_steps_of_depth_do_not_let_light_through(angle: float, step: float) -> None:
    scene = ls.sheet(0.05, angle)
    image, most = al.picture(scene.layers, scene.height, scene.width)
    radius = al.signed_radius(scene.layers, most)
    smooth, stairs = (
        al.codes(np.asarray(ls.lens()(ls.frame_of_radius(image, r)).image[0], np.float64))
        for r in (radius, np.round(radius / step) * step)
    )
    error = np.abs(stairs - smooth).max(axis=0)[scene.seen]
    # Along the edge, the middles of steps of 1 px are half a pixel of radius wrong.
    assert error[off_edge(scene)].max() <= (2.0 if step < 1 else 4.0)


def _wall(direction: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """How far along its slope every pixel of a wall is, from 0 to 1, and which pixels show the background."""
    rows, columns = np.mgrid[0:1:40j, 0:84] / np.array([1.0, 54.0])[:, None, None]
    along = {"to the edge": columns, "from the edge": 1.0 - columns, "along it": rows, "across": 0.5 * (rows + columns)}
    return np.clip(along[direction], 0.0, 1.0), columns >= 1.0


@pytest.mark.parametrize("direction", ["to the edge", "from the edge", "along it", "across"])
@pytest.mark.parametrize(
    ("rounded", "step", "f_number"),
    [("depth", 0.02, 1.8), ("depth", 0.05, 1.8), ("inverse", 1.0 / 255.0, 2.8), ("disparity", 1.0, 4.0)],
)
def test_a_staircase_lets_no_more_light_through_than_its_slope(
    rounded: str, step: float, f_number: float, direction: str
) -> None:
    # A dark wall from 1.6 to 2.4 m on both sides of the focus, before a bright background at 50 m. Nothing of that is
    # seen where the wall fills all of a pixel's blur, whatever its depth was rounded to.
    along, beside = _wall(direction)
    wall = 1.0 / (1.0 / 1.6 + (1.0 / 2.4 - 1.0 / 1.6) * along)
    per_step = {"depth": wall / step, "inverse": 1.0 / (wall * step), "disparity": 60.0 / wall / step}[rounded]
    whole = np.rint(per_step)
    stairs = {"depth": whole * step, "inverse": 1.0 / (whole * step), "disparity": 60.0 / (whole * step)}[rounded]
    image = np.where(beside, 0.9, 0.02) * np.ones((1, 3, 1, 1))
    lens = bs.kinds.Defocus(f_number=f_number, focus_distance_m=2.0)
    slope, steps = (
        al.codes(np.asarray(lens(bs.Frame(image, "linear", depth_m=d[None], camera=ls.CAMERA)).image[0], np.float64))
        for d in (np.where(beside, 50.0, depth) for depth in (wall, stairs))
    )
    widest = 2.0 / f_number * ls.RADIUS_PER_DIOPTRE_PX * float(np.abs(1.0 / np.stack([wall, stairs]) - 0.5).max())
    filled = np.arange(along.shape[1]) < 54 - math.ceil(widest) - 4
    assert filled.sum() > 20
    assert np.abs(steps - slope)[..., filled].max() <= 1.0
    assert np.abs(slope - al.codes(np.array(0.02)))[..., filled].max() <= 1.0


@pytest.mark.parametrize("radii", [(10, 0), (12, -6), (0, -10), (-6, -20)])
@pytest.mark.parametrize("colors", [(ls.DARK, ls.BRIGHT), (ls.BRIGHT, ls.DARK)], ids=["dark", "bright"])
@pytest.mark.parametrize("angle", [10.0, pytest.param(75.0, marks=pytest.mark.slow)])
def test_an_edge_of_depth_beside_that_of_the_picture(
    radii: tuple[int, int], colors: tuple[ls.Color, ls.Color], angle: float
) -> None:
    scene = ls.edge(angle, 0.0, *radii, *colors)
    truth = scene.truth()
    for moved in (-0.5, 0.5):
        assert scene.error(ls.lens()(scene.frame(depth_moved=(0.0, moved))), truth).max() <= 3.0
    # A pixel away, some pixels' depths have nothing of their own surface beside them any more.
    for moved, spread in ((-1.0, 1.3), (1.0, 10.5)):
        error = scene.error(ls.lens()(scene.frame(depth_moved=(0.0, moved))), truth)
        assert math.sqrt(np.mean(error**2)) <= spread


@pytest.mark.parametrize("heading", [0.0, 50.0])
@pytest.mark.parametrize("colors", [(ls.DARK, ls.BRIGHT), (ls.BRIGHT, ls.DARK)], ids=["dark", "bright"])
@pytest.mark.parametrize(("near", "far", "parts"), [(10.0, 0.01, 1), (12.0, 4.0, 16)])
def test_parallax_of_mixed_edges(
    heading: float, colors: tuple[ls.Color, ls.Color], near: float, far: float, parts: int
) -> None:
    scene = ls.edge(10.0, 0.2, near, far, *colors, boxes=2)
    image, most = al.picture(scene.layers, scene.height, scene.width)
    # A straight path of 4 mm shows as 20 px of radius at 1 m to a lens of 50 mm on pixels of 5 um.
    frame = bs.Frame(image[None], "linear", depth_m=20.0 / al.signed_radius(scene.layers, most)[None], camera=ls.CAMERA)
    made = bs.kinds.DepthParallax(length_mm=4.0, anxiety=0.0, heading_deg=heading, parts=parts)(frame)
    truth = al.rays(scene.layers, scene.window, al.line_points(24, heading), boxes=2)
    assert scene.error(made, truth).max() <= 5.0


@settings(max_examples=6)
@given(
    angle=st.floats(0, 360),
    offset=st.floats(-0.5, 0.5),
    length=st.floats(16, 30),
    aside=st.floats(-40, 40),  # 12 px or more across the edge: shorter ones have the widths of pixels in them
    swap=st.booleans(),
)
def test_motion_of_an_edge_at_any_angle(angle: float, offset: float, length: float, aside: float, swap: bool) -> None:
    colors = (ls.BRIGHT, ls.DARK) if swap else (ls.DARK, ls.BRIGHT)
    scene = ls.moving_edge(angle, offset, length, (angle + aside + 180) % 360 - 180, *colors)
    assert scene.error(blurred(scene), scene.truth()).max() <= bound(scene)
