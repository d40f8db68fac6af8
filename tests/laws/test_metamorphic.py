"""Turning the picture and everything in it that has a direction turns the result: no direction is privileged.

What has a direction: depth and labels, the optical axis, angles in degrees, a camera's motion, and the
end of the sensor that is read first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import blursynth as bs
from blursynth.testing import pictures

RNG = np.random.default_rng(5)
# Rates about x, y, z, and positions; a wide lens, so that perspective is seen too.
RATES = 0.15 * np.cumsum(RNG.normal(size=(41, 3)), axis=0)
PLACES = 0.01 * np.cumsum(RNG.normal(size=(41, 3)), axis=0)
SIZE = (40, 45)
AXIS = (12.0, 29.0)  # row and column of the optical axis, off the middle both ways

Turn = Callable[[NDArray[Any]], NDArray[Any]]

# name: (what happens to the picture [..., H, W], what happens to x and y)
TURNS: dict[str, tuple[Turn, NDArray[np.float64]]] = {
    "left-right": (lambda a: a[..., ::-1], np.array([[-1.0, 0], [0, 1]])),
    "up-down": (lambda a: a[..., ::-1, :], np.array([[1.0, 0], [0, -1]])),
    "rot90": (lambda a: np.rot90(a, axes=(-2, -1)), np.array([[0, 1.0], [-1, 0]])),
    "transpose": (lambda a: np.swapaxes(a, -1, -2), np.array([[0, 1.0], [1, 0]])),
}


def pipeline(picture: bs.Frame, blur: bs.Degradation) -> NDArray[np.floating]:
    steps = [
        ("decode", bs.kinds.Decode()),
        ("blur", blur),
        ("lens", bs.kinds.DiskBlur(diameter_px=3.3)),
        ("sensor", bs.kinds.Sensor(full_well_e=5000.0, shot_noise=False, seed=0)),
        ("develop", bs.kinds.Develop()),
        ("encode", bs.kinds.Encode()),
    ]
    return bs.Draw(tuple(steps))(picture).image


def scene() -> bs.Frame:
    """A picture with depth and labels, and an optical axis that is not its middle."""
    frame = pictures(bs.Encoding.DISPLAY, batch=1, size_px=SIZE, dtype=np.float64)
    # A slope along both axes, and a disk before it.
    return frame.with_image(frame.image, camera=(bs.Intrinsics(10.0, 100.0, principal_point_px=AXIS),))


def two_planes() -> bs.Frame:
    """The disk of :func:`scene` before a wall of one color: whatever the disk hides, all of it is alike.

    Where what is hidden must be guessed from beside it, two pixels may be equally near, and the law has no say.
    """
    frame = scene()
    assert frame.labels is not None
    near = frame.labels[0] == 1
    image = np.where(near, frame.image, 0.3)
    return frame.with_image(image, depth_m=np.where(near, 0.7, 3.0)[None])


def turned_scene(frame: bs.Frame, turn: str) -> bs.Frame:
    change, matrix = TURNS[turn]
    arrays = {
        name: np.ascontiguousarray(change(np.asarray(getattr(frame, name)))) for name in ("image", "depth_m", "labels")
    }
    middle = np.array([frame.size_px[1] - 1, frame.size_px[0] - 1]) / 2
    column, row = matrix @ (np.array(AXIS[::-1]) - middle) + np.array(arrays["image"].shape[:1:-1]) / 2 - 0.5
    camera = bs.Intrinsics(10.0, 100.0, principal_point_px=(float(row), float(column)))
    return bs.Frame(arrays.pop("image"), frame.encoding, camera=camera, **arrays)


def turned_deg(degrees: float, turn: str) -> float:
    """The direction that a direction of the picture has after the turn."""
    x, y = TURNS[turn][1] @ (np.cos(np.radians(degrees)), np.sin(np.radians(degrees)))
    return float(np.degrees(np.arctan2(y, x)))


def hides(blur: bs.Degradation) -> bool:
    return isinstance(blur, bs.kinds.ObjectMotion) or getattr(blur, "form", "") == "occlusion"


def assert_commutes(turn: str, before: bs.Degradation, after: bs.Degradation) -> None:
    frame = two_planes() if hides(before) else scene()
    expected = TURNS[turn][0](pipeline(frame, before))
    assert np.abs(pipeline(frame, before) - pipeline(frame, bs.kinds.Identity())).max() > 0.05
    # One code may flip where a value lies on the border between two.
    assert np.quantile(np.abs(pipeline(turned_scene(frame, turn), after) - expected), 0.999) <= 1e-6


# Kinds that depend on depth or on labels; of all others the kit's law of mirrors holds the same. Random walks turn with
# their heading where nothing disturbs them.
TURNED: dict[str, Callable[[Callable[[float], float]], bs.Degradation]] = {
    "object_motion": lambda to: bs.kinds.ObjectMotion(
        length_px=9.0, angle_deg=to(25.0), acceleration=0.9, parts=3, seed=2
    ),
    "depth_parallax": lambda to: bs.kinds.DepthParallax(length_mm=60.0, anxiety=0.0, heading_deg=to(25.0), parts=3),
    "depth_parallax-gather": lambda to: bs.kinds.DepthParallax(
        length_mm=60.0, anxiety=0.0, heading_deg=to(25.0), form="gather"
    ),
    "defocus": lambda to: bs.kinds.Defocus(f_number=0.15, focus_distance_m=1.2, blades=5, angle_deg=to(25.0)),
    "defocus-gather": lambda to: bs.kinds.Defocus(
        f_number=0.15, focus_distance_m=1.2, blades=3, angle_deg=to(25.0), form="gather"
    ),
    "defocus-scatter-tilted": lambda to: bs.kinds.Defocus(
        f_number=0.3, focus_distance_m=1.2, tilt_deg=50.0, tilt_azimuth_deg=to(25.0), form="scatter"
    ),
    "defocus-cats-eye": lambda to: bs.kinds.Defocus(
        f_number=0.15, focus_distance_m=1.2, blades=3, angle_deg=to(25.0), cats_eye=0.1
    ),
}


@pytest.mark.parametrize("turn", list(TURNS))
@pytest.mark.parametrize("kind", list(TURNED))
def test_angles_depth_and_labels_turn_with_the_picture(turn: str, kind: str) -> None:
    make = TURNED[kind]
    assert_commutes(turn, make(lambda degrees: degrees), make(lambda degrees: turned_deg(degrees, turn)))


@pytest.mark.parametrize("turn", list(TURNS))
def test_a_plane_turns_with_its_azimuth(turn: str) -> None:
    frame = scene()
    planes = [
        bs.kinds.PlaneDepth(distance_m=2.0, tilt_deg=50.0, azimuth_deg=azimuth, keep=False)(picture).depth_m
        for azimuth, picture in ((25.0, frame), (turned_deg(25.0, turn), turned_scene(frame, turn)))
    ]
    assert np.abs(TURNS[turn][0](np.asarray(planes[0])) - planes[1]).max() <= 1e-12


# -- cameras that move ----------------------------------------------------------------------------------------------------


def camera_path(turn: str | None, *, positions: bool) -> str:
    """A recording, turned: positions and axes of rotation turn in space, and axes point the other way in a mirror."""
    flat = np.eye(2) if turn is None else TURNS[turn][1]
    space = np.eye(3)
    space[:2, :2] = flat
    time = np.linspace(0.0, 0.4, 41)
    rates = RATES @ (np.linalg.det(flat) * space).T
    if not positions:
        return bs.assets.register(np.column_stack([time, rates]))
    from scipy.spatial.transform import Rotation

    quaternion = Rotation.from_rotvec(0.05 * rates).as_quat()
    return bs.assets.register(np.column_stack([time, PLACES @ space.T, quaternion]))


@pytest.mark.parametrize("turn", list(TURNS))
@pytest.mark.parametrize("positions", [False, True])
def test_a_camera_with_six_degrees_of_freedom(turn: str, positions: bool) -> None:
    before, after = (
        bs.kinds.RecordedShake(recording=camera_path(way, positions=positions), start_s=0.05, exposure_s=0.3)
        for way in (None, turn)
    )
    assert_commutes(turn, before, after)


@pytest.mark.parametrize("turn", ["left-right", "up-down"])
@pytest.mark.parametrize("positions", [False, True])
@pytest.mark.parametrize("centered_on", ["mean", "global_shutter"])
def test_a_sensor_that_is_read_row_by_row(turn: str, positions: bool, centered_on: Any) -> None:
    """Upside down, its last row is the first to be read; a sensor that is read by columns is none of ours."""
    step = bs.kinds.RecordedShake(
        recording=camera_path(None, positions=positions),
        start_s=0.05,
        exposure_s=0.1,
        readout_s=0.2,
        centered_on=centered_on,
    )
    after = step.replace(
        recording=camera_path(turn, positions=positions), readout_from="bottom" if turn == "up-down" else "top"
    )
    assert_commutes(turn, step, after)


@pytest.mark.parametrize("turn", list(TURNS))
def test_a_zoom_about_the_optical_axis(turn: str) -> None:
    for centered_on in ("mean", "start"):
        step = bs.kinds.Zoom(scale=1.3, centered_on=centered_on)
        assert_commutes(turn, step, step)
