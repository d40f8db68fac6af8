"""Pictures go on beyond their edge as numpy's ``pad`` says, where blur varies and in every backend; the kit holds the rest.

A picture that numpy has padded far enough shows in its middle what the blur of the unpadded one must be, whatever it
does at its own edge.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import blursynth as bs
from blursynth.backends import cpu, oracle
from blursynth.core import Degradation
from blursynth.degradations import ALL
from blursynth.degradations.lens.uniform_blur import UniformBlur
from blursynth.frame import Border
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.point_spread_field import PointSpreadField
from blursynth.physics.scene import Scene
from blursynth.physics.warps import Warps

NUMPYS: dict[str, Any] = {"reflect": "reflect", "replicate": "edge", "circular": "wrap", "constant": "constant"}
SIZE, PAD = (19, 23), 38
CAMERA = bs.Intrinsics(50.0, 20.0, principal_point_px=(5.0, 17.0))  # 2500 px

KERNEL = np.array([[0.0, 0.1, 0.0, 0.0, 0.0], [0.3, 0.1, 0.1, 0.0, 0.0], [0.0, 0.0, 0.0, 0.1, 0.3]])
TIME = np.linspace(0.0, 0.1, 11)
SHAKE = bs.assets.register(np.column_stack([TIME, 0.02 + 0 * TIME, -0.03 * TIME / 0.1, 0.4 + 0 * TIME]))

STEPS: tuple[Degradation, ...] = (
    bs.kinds.Defocus(f_number=2.0, focus_distance_m=2.0, blades=3),
    bs.kinds.Defocus(f_number=2.0, focus_distance_m=2.0, blades=3, form="gather"),
    bs.kinds.DepthParallax(length_mm=8.0, anxiety=0.01, seed=3),
    bs.kinds.DepthParallax(length_mm=8.0, anxiety=0.01, seed=3, form="gather"),
    bs.kinds.ObjectMotion(length_px=7.0, angle_deg=35.0, acceleration=0.8, seed=1, parts=1),
    bs.kinds.CameraShake(exposure_s=0.1, roll_mrad=60.0, yaw_mrad=0.5, pitch_mrad=1.0, seed=2),
    bs.kinds.RollingShutter(exposure_s=0.05, readout_s=0.05, roll_mrad=60.0, yaw_mrad=5.0, seed=2),
    bs.kinds.RecordedShake(recording=SHAKE, exposure_s=0.1),
    bs.kinds.Zoom(scale=1.2),
    bs.kinds.Rescale(factor=0.4),
)


def test_no_kind_with_a_border_is_left_out() -> None:
    kinds = {kind for kind in ALL if "border" in kind.model_fields}
    assert {kind for kind in kinds if not issubclass(kind, UniformBlur)} == {type(step) for step in STEPS}


def padded(image: NDArray[np.float64], border: str) -> NDArray[np.float64]:
    around = ((0, 0),) * (image.ndim - 2) + ((PAD, PAD),) * 2
    return np.pad(image, around, mode=NUMPYS[border])


def inside(image: NDArray[np.floating]) -> NDArray[np.floating]:
    return image[..., PAD : PAD + SIZE[0], PAD : PAD + SIZE[1]]


@pytest.mark.parametrize("border", list(NUMPYS))
@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step.kind}-{getattr(step, 'form', '')}".strip("-"))
def test_a_padded_picture_shows_the_border_in_its_middle(step: Degradation, border: str) -> None:
    image = np.random.default_rng(7).random((1, 2, *SIZE))

    def frame(image: NDArray[np.float64], pad: int) -> bs.Frame:
        size = image.shape[2:]
        return bs.Frame(
            image,
            "linear",
            depth_m=np.full((1, *size), 1.5),
            labels=np.ones((1, *size), np.int32),
            camera=CAMERA,
            origin_px=np.array([[-pad, -pad]]),
            full_size_px=np.array([SIZE]),
        )

    plain = frame(image, 0)
    reach = step.reach_px(plain)
    assert reach is not None
    assert 2 <= reach <= PAD
    got = step.replace(border=border)(plain).image
    # Beyond the padded picture there is something else than beyond the picture.
    other = "constant" if border != "constant" else "replicate"
    expected = inside(step.replace(border=other)(frame(padded(image, border), PAD)).image)
    assert np.abs(got - expected).max() <= 1e-12


@pytest.mark.parametrize(
    "step",
    [
        bs.kinds.Defocus(f_number=2.0, focus_distance_m=4.0, border="circular"),
        bs.kinds.Defocus(f_number=2.0, focus_distance_m=4.0, parts=3, border="circular"),
        bs.kinds.ObjectMotion(length_px=9.0, angle_deg=30.0, border="circular", seed=3),
    ],
    ids=["depth", "parts", "objects"],
)
def test_rolling_a_circular_picture_rolls_the_result(step: Degradation) -> None:
    """A surface that the border cuts in two, and two that meet only there, are edges like others."""
    height, width = 48, 64
    row, column = np.mgrid[:height, :width]
    image = np.random.default_rng(0).random((1, 3, height, width))
    across = (np.minimum(row, height - row) < 9) & (np.abs(column - 30) < 17)
    depth_m = np.where(column < 6, 0.8, np.where(across, 1.0, 4.0 - 2.0 * column / width))
    labels = np.where(column < 6, 2, across).astype(np.int32)

    def blurred(*by: int) -> NDArray[np.float64]:
        rolled = (np.roll(plane, by, (-2, -1)) for plane in (image, depth_m[None], labels[None]))
        camera = bs.Intrinsics(focal_length_mm=8.0, pixel_pitch_um=8.0)
        frame = bs.Frame(next(rolled), "linear", depth_m=next(rolled), labels=next(rolled), camera=camera)
        return np.asarray(step(frame).image)

    expected = blurred(0, 0)
    for by in ((5, 0), (0, -3), (17, 23)):
        assert np.abs(blurred(*by) - np.roll(expected, by, (2, 3))).max() <= 1e-12


@pytest.mark.parametrize("backend", [oracle, cpu], ids=["oracle", "cpu"])
@pytest.mark.parametrize("border", list(NUMPYS))
def test_operations_of_the_backends(backend: Any, border: str) -> None:
    """Gathering, warping and compositing; scattering is the transpose of gathering by another law."""
    rng = np.random.default_rng(3)
    image = rng.random((1, 1, *SIZE))
    psf = PointSpreads.concatenate([PointSpreads.from_dense([k]) for k in (KERNEL, KERNEL[::-1].T)])
    around, other = padded(image, border), Border("replicate" if border == "constant" else "constant")

    level = rng.random((1, *SIZE))
    field = PointSpreadField(psf, levels=2)
    got = backend.convolve_varying(image, field, level, border=Border(border))
    expected = inside(backend.convolve_varying(around, field, padded(level, "replicate"), border=other))
    assert np.abs(got - expected).max() <= 1e-12

    moves = np.array([[1.0, 0.1, -3.3], [-0.05, 1.0, 2.6], [0.0, 0.0, 1.0]])
    shift = np.array([[1.0, 0, -PAD], [0, 1, -PAD], [0, 0, 1]])
    warps, moved = (
        Warps(m[None, None], np.zeros((1, 1, 3)), np.zeros((1, 1), np.int64), np.ones((1, 1, 1)))
        for m in (moves, np.linalg.inv(shift) @ moves @ shift)
    )
    got = backend.warp_mean(image, warps, border=Border(border))
    assert np.abs(got - inside(backend.warp_mean(around, moved, border=other))).max() <= 1e-12

    def scene(size: tuple[int, int]) -> Scene:
        zeros = np.zeros((1, *size), np.int32)
        return Scene(zeros, zeros, zeros - 1, psf[0])

    got = backend.composite(image, scene(SIZE), border=Border(border))
    expected = inside(backend.composite(around, scene(around.shape[2:]), border=other))
    assert np.abs(got - expected).max() <= 1e-12
