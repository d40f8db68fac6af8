"""Degrees are directions in the picture, 0 = right and 90 = down, and paths begin where their light begins.

Every blur is shown one point of light. What it makes of it is held against the moments of a path or a shape that is
written down here: of complex numbers ``z = x + iy``, x to the right and y downwards. ``E[z^2]`` has twice the angle of
the longer axis and no sign; the third moments tell a shape from its half turn.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import blursynth as bs
from blursynth.core import Degradation
from blursynth.degradations import ALL
from blursynth.physics.object_paths import arc_path

SIDE, MIDDLE = 81, 40
CAMERA = bs.Intrinsics(focal_length_mm=50.0, pixel_pitch_um=20.0)  # 2500 px
ANGLES = (25.0, 110.0, -40.0)


def spot(step: Degradation, depth_m: float = 2.0) -> NDArray[np.float64]:
    """What a step makes of one lit pixel, which is an object of its own, in the middle of a dark picture."""
    image = np.zeros((1, 1, SIDE, SIDE))
    image[..., MIDDLE, MIDDLE] = 1.0
    frame = bs.Frame(
        image,
        type(step).takes or "linear",
        depth_m=np.full((1, SIDE, SIDE), depth_m),
        labels=image[0].astype(np.int32),
        camera=CAMERA,
    )
    return np.asarray(step(frame).image[0, 0])


def moments_of_light(made: NDArray[np.float64]) -> tuple[complex, complex, complex]:
    """``E[z^2]``, ``E[z^3]`` and ``E[z |z|^2]`` about the centroid."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - MIDDLE
    return _moments(columns + 1j * rows, made / made.sum())


def moments_of_path(z: NDArray[np.complex128]) -> tuple[complex, complex, complex]:
    """The same of positions at equal times, joined linearly."""
    middle = 0.5 * (z[1:] + z[:-1])
    return _moments(middle, np.full(middle.shape, 1.0 / middle.size))


def _moments(z: NDArray[Any], weight: NDArray[np.float64]) -> tuple[complex, complex, complex]:
    z = z - (weight * z).sum()
    return tuple(complex((weight * power).sum()) for power in (z**2, z**3, z * np.abs(z) ** 2))  # type: ignore[return-value]


def direction_deg(moment: complex, order: int) -> float:
    return math.degrees(cmath.phase(moment)) / order


# -- straight lines and long axes, which have a direction and no sign ----------------------------------------------------

_WALK: dict[str, Any] = {"length_px": 30.0, "anxiety": 0.0, "seed": 1}
LONG: dict[str, Callable[[float], Degradation]] = {
    "linear_motion.angle_deg": lambda a: bs.kinds.LinearMotion(length_px=30.0, angle_deg=a),
    "accelerated_motion.angle_deg": lambda a: bs.kinds.AcceleratedMotion(
        speed_px=30.0, acceleration_px=0.0, angle_deg=a
    ),
    "accelerated_motion.acceleration_angle_deg": lambda a: bs.kinds.AcceleratedMotion(
        speed_px=0.0, acceleration_px=60.0, acceleration_angle_deg=a
    ),
    "random_walk_motion.heading_deg": lambda a: bs.kinds.RandomWalkMotion(heading_deg=a, **_WALK),
    "frame_average.heading_deg": lambda a: bs.kinds.FrameAverage(frames=9, heading_deg=a, **_WALK),
    "deblurgan_blur.heading_deg": lambda a: bs.kinds.DeblurganBlur(
        centripetal=0.0, big_shake=0.0, gaussian=0.0, heading_deg=a, canvas_px=35, stretch=False, **_WALK
    ),
    "depth_parallax.heading_deg": lambda a: bs.kinds.DepthParallax(length_mm=24.0, anxiety=0.0, heading_deg=a),
    "object_motion.angle_deg": lambda a: bs.kinds.ObjectMotion(length_px=30.0, angle_deg=a),
    "gaussian_blur.angle_deg": lambda a: bs.kinds.GaussianBlur(sigma_px=8.0, aspect=0.25, angle_deg=a),
    "generalized_gaussian_blur.angle_deg": lambda a: bs.kinds.GeneralizedGaussianBlur(
        sigma_px=8.0, sigma_across_px=2.0, angle_deg=a, size_px=61
    ),
    "plateau_blur.angle_deg": lambda a: bs.kinds.PlateauBlur(
        sigma_px=8.0, sigma_across_px=2.0, angle_deg=a, shape=2.0, size_px=81
    ),
}


@pytest.mark.parametrize("angle_deg", ANGLES)
@pytest.mark.parametrize("field", list(LONG))
def test_the_long_axis_lies_where_the_degrees_say(field: str, angle_deg: float) -> None:
    second, _, _ = moments_of_light(spot(LONG[field](angle_deg), depth_m=2.0))
    assert abs(second) > 30  # a line of 30 px has 75
    # Modulo half a turn.
    away = (direction_deg(second, 2) - angle_deg + 90) % 180 - 90
    assert abs(away) < 0.5


def test_no_field_of_degrees_is_left_out() -> None:
    """A new one needs a picture here that tells its direction."""
    fields = {f"{kind.kind}.{name}" for kind in ALL for name in kind.model_fields if name.endswith("_deg")}
    elsewhere = {
        *("polygon_blur.angle_deg", "defocus.angle_deg", "recorded_motion.angle_deg", "object_motion.bend_deg"),
        *("plane_depth.azimuth_deg", "plane_depth.tilt_deg", "defocus.tilt_deg", "defocus.tilt_azimuth_deg"),
        "object_motion.spread_deg",  # to either side alike
    }
    assert fields == set(LONG) | elsewhere


# -- shapes that are not their own half turn -----------------------------------------------------------------------------


def triangle(radius_px: float, corner_deg: float) -> complex:
    """``E[z^3]`` of a triangle of constant weight about its centroid.

    With corners ``R w^k exp(i phi)`` and barycentric coordinates b, uniform on the simplex, where ``E[b^3] = 1/10``,
    ``E[b1^2 b2] = 1/30`` and ``E[b1 b2 b3] = 1/60``, all terms but the last cancel: ``R^3 exp(3 i phi) / 10``.
    """
    return radius_px**3 / 10 * cmath.exp(3j * math.radians(corner_deg))


@pytest.mark.parametrize("angle_deg", [0.0, *ANGLES])
def test_the_first_corner_of_a_polygon(angle_deg: float) -> None:
    made = spot(bs.kinds.PolygonBlur(diameter_px=24.0, blades=3, angle_deg=angle_deg))
    expected = triangle(12.0, angle_deg)
    assert abs(moments_of_light(made)[1] - expected) < 0.01 * abs(expected)


@pytest.mark.parametrize("angle_deg", [0.0, 25.0, 100.0])
@pytest.mark.parametrize("form", ["occlusion", "gather", "scatter"])
def test_an_aperture_is_upright_beyond_the_focus_and_turned_over_before_it(form: Any, angle_deg: float) -> None:
    """Seen from a point of the aperture to the right of its middle, what lies beyond the focus moves to the right.

    From the point a of the aperture, in mm, a thing at s is seen displaced by ``-a f / s``; the picture is aligned at
    the focus s_f, so ``a f (1/s_f - 1/s)`` is left, whatever the lens in front of it, up to its ``s_f / (s_f - f)``.
    """
    step = bs.kinds.Defocus(
        f_number=2.0, focus_distance_m=2.0, blades=3, angle_deg=angle_deg, form=form, tolerance_px=0.01
    )
    for depth_m in (6.0, 1.25):
        radius_px = 12.5 * 50.0 * 2.0 / 1.95 * (1 / 2000 - 1 / (1000 * depth_m)) / 0.020
        expected = triangle(radius_px, angle_deg)  # an odd function of the radius
        assert (expected / triangle(1.0, angle_deg)).real * (depth_m - 2.0) > 0
        third = moments_of_light(spot(step, depth_m))[1]
        assert abs(third - expected) < 0.02 * abs(expected)


# -- paths with a start and an end --------------------------------------------------------------------------------------


def turned(z: NDArray[np.complex128], degrees: float) -> NDArray[np.complex128]:
    return z * cmath.exp(1j * math.radians(degrees))


def assert_drawn(step: Degradation, path: NDArray[np.complex128], **more: float) -> None:
    """The light lies along the path and not along its mirror image or half turn."""
    found, expected = moments_of_light(spot(step, **more)), moments_of_path(path)
    # Whole pixels add up to 1/4 px^2 along each axis, and to the third moments what varies of that along the path.
    assert abs(found[0] - expected[0]) < 0.3
    size = max(abs(expected[1]), abs(expected[2]))
    assert size > 20  # lopsided enough to tell
    for a, b in zip(found[1:], expected[1:], strict=True):
        assert abs(a - b) < 0.03 * size + 1.0


@pytest.mark.parametrize("fraction", [1.0, 0.6])
def test_a_parabola_from_its_start(fraction: float) -> None:
    time = np.linspace(0.0, fraction, 4001)
    step = bs.kinds.AcceleratedMotion(
        speed_px=10.0,
        angle_deg=-20.0,
        acceleration_px=80.0,
        acceleration_angle_deg=75.0,
        exposure_fraction=fraction,
    )
    path = turned(10.0 * time + 0j, -20.0) + turned(40.0 * time**2 + 0j, 75.0)
    assert_drawn(step, path)


# To the right, slowly downwards, and fast back up to the left: equal at no two angles, times or ends.
_TIMES = np.array([0.0, 0.1, 0.35, 0.4])
_PLACES = np.array([0.0, 16.0, 16.0 + 9.0j, 2.0 + 3.0j])
RECORDING = bs.assets.register(np.column_stack([_TIMES, _PLACES.real, _PLACES.imag]))


@pytest.mark.parametrize("angle_deg", [0.0, 35.0, -90.0])
@pytest.mark.parametrize(
    ("start_s", "exposure_s", "fraction"), [(0.0, 0.4, 1.0), (0.0, 0.4, 0.45), (0.05, 0.2, 1.0), (0.03, 0.35, 0.5)]
)
def test_a_recording_is_turned_clockwise_and_cut_from_its_start(
    angle_deg: float, start_s: float, exposure_s: float, fraction: float
) -> None:
    step = bs.kinds.RecordedMotion(
        recording=RECORDING,
        start_s=start_s,
        exposure_s=exposure_s,
        exposure_fraction=fraction,
        angle_deg=angle_deg,
        scale=1.5,
    )
    time = start_s + exposure_s * fraction * np.linspace(0.0, 1.0, 4001)
    assert_drawn(step, turned(1.5 * np.interp(time, _TIMES, _PLACES), angle_deg))


def test_a_part_of_the_exposure_is_its_beginning_however_the_light_is_counted() -> None:
    """At rest for the first half of the time, then away: half of the exposure sees a point."""
    recording = bs.assets.register([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [1.0, 30.0, 8.0]])
    for unit_sum, light in ((True, 1.0), (False, 0.5)):
        step = bs.kinds.RecordedMotion(recording=recording, exposure_s=1.0, exposure_fraction=0.5, unit_sum=unit_sum)
        made = spot(step)
        assert made[MIDDLE, MIDDLE] == pytest.approx(light, abs=1e-12)
        assert made.sum() == pytest.approx(light, abs=1e-12)


@pytest.mark.parametrize("heading_deg", ANGLES)
def test_a_walk_sets_out_in_its_heading(heading_deg: float) -> None:
    """In the first step; half a turn of the heading would show here and in no picture."""
    numbers: dict[str, Any] = {"anxiety": 0.0, "heading_deg": heading_deg, "seed": 5}
    paths = (
        bs.kinds.RandomWalkMotion(length_px=30.0, **numbers).path(),
        bs.kinds.FrameAverage(frames=3, length_px=30.0, **numbers).path(),
        bs.kinds.DepthParallax(length_mm=30.0, **numbers).path_mm(),
    )
    for path in paths:
        first = complex(*(path[1] - path[0]))
        away = (direction_deg(first, 1) - heading_deg + 180) % 360 - 180
        assert abs(away) < 1e-9


def test_a_crooked_walk_is_drawn_as_it_goes_and_parallax_turned_round() -> None:
    """A step of the camera to the right moves the picture to the left, by focal length over depth."""
    walk = bs.kinds.RandomWalkMotion(length_px=40.0, anxiety=0.004, heading_deg=70.0, seed=3)
    assert_drawn(walk, walk.path() @ np.array([1, 1j]))
    for depth_m, form in ((2.0, "occlusion"), (1.6, "gather"), (2.5, "scatter")):
        camera = bs.kinds.DepthParallax(
            length_mm=32.0, anxiety=0.004, heading_deg=70.0, seed=3, form=form, tolerance_px=0.005
        )
        moved = -2.5 / depth_m * (camera.path_mm() @ np.array([1, 1j]))  # 2500 px; mm over m
        assert_drawn(camera, moved, depth_m=depth_m)


@pytest.mark.parametrize(("bend_deg", "acceleration"), [(150.0, 0.0), (-150.0, 0.5), (20.0, -0.9)])
def test_a_positive_bend_turns_to_the_right_hand(bend_deg: float, acceleration: float) -> None:
    """An object that heads to the right and bends by a positive angle ends downwards (clockwise on the screen)."""
    share = np.linspace(0.0, 1.0, 20001)
    done = share + acceleration * (share**2 - share)
    heading = np.radians(10.0 + bend_deg * (done - 0.5))
    steps = np.diff(done) * np.exp(0.5j * (heading[1:] + heading[:-1])) * 30.0
    walked = np.concatenate([[0.0], np.cumsum(steps)])
    path = arc_path(30.0, math.radians(10.0), acceleration, math.radians(bend_deg)) @ np.array([1, 1j])
    expected = np.interp(np.linspace(0, 1, len(path)), share, walked)
    assert np.abs((path - path[0]) - (expected - expected[0])).max() < 1e-3


# -- planes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("azimuth_deg", ANGLES)
def test_a_plane_goes_away_towards_its_azimuth(azimuth_deg: float) -> None:
    frame = bs.Frame(np.zeros((1, 1, SIDE, SIDE)), "linear", camera=CAMERA)
    depth = bs.kinds.PlaneDepth(distance_m=3.0, tilt_deg=60.0, azimuth_deg=azimuth_deg)(frame).depth_m
    assert depth is not None
    right, down = (np.gradient(1 / np.asarray(depth[0], np.float64), axis=axis).mean() for axis in (1, 0))
    # Nearness falls by tan(tilt) / distance for each unit of the tangent of the viewing angle.
    expected = -math.tan(math.radians(60.0)) / 3.0 / 2500.0 * cmath.exp(1j * math.radians(azimuth_deg))
    assert abs(complex(right, down) - expected) < 1e-6 * abs(expected)


@pytest.mark.parametrize("azimuth_deg", ANGLES)
def test_a_tilted_plane_of_focus_goes_away_towards_its_azimuth(azimuth_deg: float) -> None:
    """A wall behind the focus is sharp only where the tilted plane has gone as far: on the side of the azimuth."""
    tilt, along_px = math.radians(70.0), 25.0
    wall_m = 2.0 / (1.0 - math.tan(tilt) * along_px / 2500.0)
    step = bs.kinds.Defocus(f_number=0.2, focus_distance_m=2.0, tilt_deg=70.0, tilt_azimuth_deg=azimuth_deg)
    frame = bs.Frame(
        np.random.default_rng(1).random((1, 1, SIDE, SIDE)),
        "linear",
        depth_m=np.full((1, SIDE, SIDE), wall_m),
        camera=CAMERA,
    )
    changed = np.abs(step(frame).image - frame.image)[0, 0]
    rows, columns = np.mgrid[:SIDE, :SIDE] - MIDDLE
    along = (columns + 1j * rows) * cmath.exp(-1j * math.radians(azimuth_deg))
    sharp = np.abs(along.real - along_px) < 0.4
    assert changed[sharp].max() <= 1e-12
    for elsewhere in (along.real + along_px, along.real):
        assert np.median(changed[np.abs(elsewhere) < 0.7]) > 0.05
