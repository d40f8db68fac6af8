"""A batch on a device: one launch for all its pictures, nothing that waits for the device, and the numbers of the CPU."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import blursynth as bs
from blursynth.backends import for_array
from blursynth.core import pairs
from blursynth.degradations.lens.depth_blur import DepthBlur
from blursynth.errors import InvalidValueError
from blursynth.physics.scene import Scene
from blursynth.physics.warps import Warps
from blursynth.testing import pictures

torch = pytest.importorskip("torch", reason="operators on tensors need torch")
pytest.importorskip("triton", reason="the kernels are written in Triton")
if torch.cuda.is_available():
    pytest.skip("the pretended device is for machines without one", allow_module_level=True)

pretended_device = pytest.importorskip("pretended_device")
PretendedDevice, Waits, CUDA = pretended_device.PretendedDevice, pretended_device.Waits, pretended_device.CUDA

CAMERA = bs.Intrinsics(4.2, 2.8)
HAND = {"exposure_s": 0.1, "pitch_mrad": 1.5, "yaw_mrad": 1.0, "roll_mrad": 30.0, "frames": 3}
WARPS: list[bs.Degradation] = [
    bs.kinds.CameraShake(**HAND, seed=1),  # type: ignore[arg-type]
    bs.kinds.RollingShutter(**HAND, readout_s=0.03, seed=2),  # type: ignore[arg-type]
    bs.kinds.Zoom(scale=1.1, frames=2),
    bs.kinds.CameraShake(**HAND, x_mm=2.0, seed=3),  # type: ignore[arg-type]
]
UNIFORM: list[bs.Degradation] = [
    bs.kinds.GaussianBlur(sigma_px=0.4),
    bs.kinds.DiskBlur(diameter_px=2.0),
    bs.kinds.LinearMotion(length_px=3.0, angle_deg=20.0),
    bs.kinds.GaussianBlur(sigma_px=0.3, border="constant"),
]
SCENES: list[bs.Degradation] = [
    bs.kinds.Defocus(f_number=2.5, focus_distance_m=1.0),
    bs.kinds.Defocus(f_number=2.0, focus_distance_m=0.9, blades=5),
    bs.kinds.DepthParallax(length_mm=0.8, seed=2),
    bs.kinds.Defocus(f_number=2.5, focus_distance_m=1.0, border="constant"),
]


def scenery(count: int, size_px: tuple[int, int]) -> bs.Frame:
    depth = np.full((count, *size_px), 2.0, np.float32)
    depth[:, 2:6, 3:8] = 0.8
    return replace(
        pictures("linear", batch=count, channels=1, size_px=size_px), depth_m=depth, camera=(CAMERA,) * count
    )


@pytest.mark.parametrize(
    ("steps", "kernel", "launches"),
    [(UNIFORM, "_convolve", 2), (WARPS, "_warp", 2), (SCENES, "_composite", 2)],
    ids=["uniform", "warps", "scenes"],
)
def test_one_launch_for_pictures_with_blurs_of_their_own(
    steps: list[bs.Degradation], kernel: str, launches: int
) -> None:
    """Two where borders differ, or only some pictures look at the depth."""
    frame = scenery(len(steps), (8, 9))
    draws = [bs.Draw((("blur", step),)) for step in steps]
    expected = bs.apply(draws, frame).image
    device = PretendedDevice(may_wait=kernel == "_composite")
    with device.active():
        there = frame.with_image(torch.from_numpy(frame.image).to(CUDA))
        got = bs.apply(draws, there).image
    assert got.device == CUDA
    assert device.launches == {kernel: launches}
    assert sum(device.waits.values()) == (1 if kernel == "_composite" else 0), "scenes are made on the CPU"
    assert np.abs(got.here.numpy() - expected).max() <= 2e-5
    for b, draw in enumerate(draws):
        assert np.array_equal(draw(frame[b]).image[0], expected[b]), "on the CPU a batch is its pictures"


# Twice a camera for a short exposure: a scene passes through none of lens, mosaic and compression.
@pytest.mark.parametrize(("target", "operations"), [("scene", 1000), ("short_exposure", 1700)])
def test_a_batch_of_a_recipe_never_waits(target: str, operations: int) -> None:
    """But for the pictures that come to the CPU where scenes of depth or of objects are made, a copy for each step."""
    recipe, count = bs.load_recipe("mixed", changes={"target": target}), 12
    frame = pictures("display", batch=count, size_px=(48, 56))
    draws = [recipe.sample(frame[b], seed=5, index=b) for b in range(count)]

    def is_flat(draw: bs.Draw) -> bool:
        return not any(isinstance(step, DepthBlur | bs.kinds.ObjectMotion) for _, step in draw.steps)

    flat = [b for b in range(count) if is_flat(draws[b])]
    assert 3 < len(flat) < count
    for chosen, waits in ((flat, 0), (list(range(count)), 3)):
        device = PretendedDevice(may_wait=waits > 0, computes=False)
        with device.active():
            there = frame[chosen].with_image(torch.from_numpy(frame.image[chosen]).to(CUDA))
            pair = pairs([draws[b] for b in chosen], there)
        assert pair.blurred.image.device == pair.sharp.image.device == CUDA
        assert sum(device.waits.values()) <= waits
        assert sum(device.launches.values()) <= 24, device.launches
        assert sum(device.operations.values()) < operations, device.operations
        # By way of pinned memory; but for the picture, and two tables that are sent once.
        assert device.sent - 3 <= device.pinned


def test_what_waits_is_found_out() -> None:
    with PretendedDevice().active():
        there = torch.arange(4.0).to(CUDA)
        for wait in (
            lambda: there.max().item(),
            lambda: there.cpu(),
            lambda: bool((there > 2).any()),
            lambda: there[there > 2],
            lambda: there.nonzero(),
            lambda: there.tolist(),
            lambda: bs.Frame(there.reshape(1, 1, 2, 2) / 4, "linear"),
        ):
            with pytest.raises(Waits):
                wait()


def test_lists_that_do_not_fit_are_refused() -> None:
    image, ops = np.zeros((2, 1, 6, 7), np.float32), for_array(np.zeros(1))
    still = Warps(np.eye(3)[None, None], np.zeros((1, 1, 3)), np.zeros((1, 1), np.int64), np.ones((1, 1, 1)))
    rows = Warps(still.matrix, still.shift, np.zeros((1, 4), np.int64), np.ones((1, 4, 1)))
    for given in (image, torch.from_numpy(image)):
        with pytest.raises(InvalidValueError, match="one for each of the 2 pictures, got 1"):
            for_array(given).warp_mean(given, [still], border="reflect")
        with pytest.raises(InvalidValueError, match="one for each of the 2 pictures, got 0"):
            for_array(given).composite(given, [], border="reflect")
    assert np.array_equal(ops.warp_mean(image + 1, [still, still], border="reflect"), image + 1)
    with pytest.raises(InvalidValueError, match="one height"):
        Warps.concatenate([rows, Warps(still.matrix, still.shift, np.zeros((1, 5), np.int64), np.ones((1, 5, 1)))])


def test_scenes_of_one_batch_have_the_same_parts() -> None:
    plane, psf = np.zeros((1, 3, 4), np.int32), bs.kinds.DiskBlur(diameter_px=2.0).point_spread()
    assert psf is not None
    one = Scene(plane, plane, plane - 1, psf)
    two = Scene(plane, plane, plane - 1, type(psf).concatenate([psf, psf]), np.array([0.5, 0.5]))
    both = Scene.concatenate([two, two])
    assert len(both.psf) == 4
    assert both.kernel[1].max() == 1
    with pytest.raises(InvalidValueError, match="same parts"):
        Scene.concatenate([one, two])
