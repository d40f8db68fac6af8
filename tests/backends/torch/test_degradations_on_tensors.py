"""Every kind acts on tensors as it does on arrays: on the CPU, to the bit."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import blursynth as bs
from blursynth.errors import InvalidValueError
from blursynth.testing import pictures

torch = pytest.importorskip("torch", reason="operators on tensors need torch")


def _examples() -> list[bs.Degradation]:
    """The examples that the contract of degradations is checked on."""
    path = Path(__file__).parents[2] / "conformance" / "test_degradations.py"
    spec = importlib.util.spec_from_file_location("conformance_examples", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [entry[0] for entry in module.EXAMPLES]


EXAMPLES = _examples()
_HAND = {"exposure_s": 0.1, "pitch_mrad": 2.0, "yaw_mrad": 1.5, "roll_mrad": 40.0, "frames": 3, "seed": 3}
DISCRETE: list[bs.Degradation] = [
    bs.kinds.CameraShake(z_mm=2.0, **_HAND),  # type: ignore[arg-type]
    bs.kinds.RollingShutter(readout_s=0.04, x_mm=2.0, centered_on="mid", **_HAND),  # type: ignore[arg-type]
    bs.kinds.Zoom(scale=1.2, frames=4),
    bs.kinds.ObjectMotion(length_px=6.0, angle_deg=80.0, frames=5, seed=8),
]


def on_tensors(frame: bs.Frame) -> bs.Frame:
    depth = None if frame.depth_m is None else torch.from_numpy(frame.depth_m)
    labels = None if frame.labels is None else torch.from_numpy(frame.labels)
    return replace(frame, image=torch.from_numpy(frame.image), depth_m=depth, labels=labels)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "example", EXAMPLES + DISCRETE, ids=[e.kind for e in EXAMPLES] + [f"{e.kind} of frames" for e in DISCRETE]
)
def test_same_bytes_as_on_arrays(example: bs.Degradation, dtype: type) -> None:
    frame = pictures(example.takes, dtype=dtype)
    expected = example(frame)
    got = example(on_tensors(frame))
    assert isinstance(got.image, torch.Tensor)
    assert got.encoding is expected.encoding
    assert got.image.numpy().dtype == dtype
    assert np.array_equal(got.image.numpy(), expected.image)


@pytest.mark.parametrize(
    "example", EXAMPLES + DISCRETE, ids=[e.kind for e in EXAMPLES] + [f"{e.kind} of frames" for e in DISCRETE]
)
def test_a_derivative_passes_or_an_error_tells(example: bs.Degradation) -> None:
    frame = on_tensors(pictures(example.takes))
    image = frame.image.clone().requires_grad_()
    if example.kind in ("webp", "poisson_noise"):
        with pytest.raises(InvalidValueError, match="has no derivative"):
            example(frame.with_image(image)).image.sum().backward()
        return
    (slope,) = torch.autograd.grad(example(frame.with_image(image)).image.square().sum(), image)
    assert torch.isfinite(slope).all()
    assert (slope != 0).any()


SHORT = {"target": "short_exposure", "target.fraction": 0.3, "target.noise": 0.5}


@pytest.mark.parametrize("changes", [None, SHORT], ids=["scene", "short_exposure"])
@pytest.mark.parametrize("name", ["default", "phone-night", "rsblur", "mixed"])
def test_a_whole_recipe_on_a_batch_equals_arrays(name: str, changes: dict[str, object] | None) -> None:
    """To the bit, noise, mosaic and compression included, with another draw for every picture."""
    recipe, frame = bs.load_recipe(name, changes=changes), pictures("display", batch=3, size_px=(48, 56))
    draws = [recipe.sample(frame[i], seed=7, index=i) for i in range(3)]
    expected, sharp = bs.apply(draws, frame), bs.apply([d.target_draw() for d in draws], frame)
    assert np.array_equal(bs.apply(draws, on_tensors(frame)).image.numpy(), expected.image)
    assert np.array_equal(bs.apply([d.target_draw() for d in draws], on_tensors(frame)).image.numpy(), sharp.image)


def test_frames_of_tensors_are_cut_chosen_and_stacked() -> None:
    rng = np.random.default_rng(2)
    arrays = replace(
        pictures(batch=3), depth_m=rng.random((3, 37, 42)) + 1, labels=rng.integers(0, 3, (3, 37, 42)).astype(np.int32)
    )
    tensors = on_tensors(arrays)
    for act in (
        lambda f: f[1],
        lambda f: f[-1],
        lambda f: f[[2, 0]],
        lambda f: f[1:],
        lambda f: f.crop(3, 4, 10, 12),
        lambda f: bs.Frame.stack([f[2], f[0]]),
        lambda f: bs.Frame.stack(list(f)),
    ):
        expected, got = act(arrays), act(tensors)
        for name in ("image", "depth_m", "labels"):
            assert isinstance(getattr(got, name), torch.Tensor)
            assert np.array_equal(getattr(got, name).numpy(), getattr(expected, name))
        assert np.array_equal(got.origin_px, expected.origin_px)


def test_mixed_kinds_and_borders_in_one_batch() -> None:
    frame = pictures(batch=4)
    kinds = [bs.kinds.GaussianBlur(sigma_px=1.0, border=b) for b in ("constant", "reflect")]
    steps = [kinds[0], bs.kinds.LinearMotion(length_px=5.0), kinds[1], kinds[0]]
    draws = [bs.Draw((("blur", step), ("encode", bs.kinds.Encode()))) for step in steps]
    expected = bs.apply(draws, frame)
    got = bs.apply(draws, on_tensors(frame))
    assert np.array_equal(got.image.numpy(), expected.image)
    image = torch.from_numpy(frame.image).requires_grad_()
    bs.apply(draws, frame.with_image(image)).image.sum().backward()
    assert torch.isfinite(image.grad).all()


def test_light_learns_through_a_camera() -> None:
    """Sensor, development and encoding pass derivatives, a mosaic included."""
    image = torch.rand((1, 3, 8, 8), generator=torch.Generator().manual_seed(4)).requires_grad_()
    camera = bs.kinds.Sensor(
        full_well_e=1000.0, read_noise_e=2.0, mosaic="RGGB", red_gain=2.0, red_from_green=-0.4, seed=3
    )
    seen = bs.kinds.Encode()(bs.kinds.Develop()(camera(bs.Frame(image, "linear")))).image
    (slope,) = torch.autograd.grad(seen.mean(), image)
    assert torch.isfinite(slope).all()
    assert float(slope.sum()) > 0


@pytest.mark.parametrize(
    "bad", [torch.zeros(1, 3, 4, 4, dtype=torch.float16), torch.zeros(1, 3, 4, 4, dtype=torch.int32)]
)
def test_other_numbers_are_refused(bad: torch.Tensor) -> None:
    with pytest.raises(InvalidValueError, match="float32 or float64"):
        bs.kinds.GaussianBlur(sigma_px=1.0)(bs.Frame(bad, "linear"))


def test_depth_of_tensors_is_checked() -> None:
    image = torch.zeros(1, 1, 4, 4)
    with pytest.raises(InvalidValueError, match="finite and > 0"):
        bs.Frame(image, "linear", depth_m=torch.tensor([1.0, 0.0]).repeat(8).reshape(4, 4))


MOVING = [e for e in EXAMPLES if isinstance(e, bs.kinds.CameraShake)]


@pytest.mark.parametrize("example", MOVING, ids=[e.kind for e in MOVING])
def test_depth_as_array_and_its_derivative_as_tensor(example: bs.Degradation) -> None:
    frame = pictures(example.takes, dtype=np.float64)
    expected = example(frame).image
    mixed = frame.with_image(torch.from_numpy(frame.image))
    assert np.array_equal(example(mixed).image.numpy(), expected)
    depth = torch.from_numpy(frame.depth_m).requires_grad_()
    seen = example(replace(mixed, depth_m=depth)).image
    (slope,) = torch.autograd.grad((seen**2).sum(), depth)
    assert torch.isfinite(slope).all()
    assert (slope != 0).any()
    # Deeper by a little everywhere: the change of the sum is the sum of the slopes.
    step = 1e-6
    more, less = (
        (example(replace(mixed, depth_m=depth.detach() + sign * step)).image ** 2).sum() for sign in (1.0, -1.0)
    )
    assert abs(float((more - less) / (2 * step) - slope.sum())) <= 1e-3 * float(slope.abs().sum())


@pytest.mark.parametrize("form", ["gather", "scatter"])
@pytest.mark.parametrize(
    "step",
    [
        bs.kinds.Defocus(f_number=1.8, focus_distance_m=1.0, blades=5, tolerance_px=0.2),
        bs.kinds.DepthParallax(length_mm=3.0, seed=2, tolerance_px=0.2),
    ],
    ids=lambda step: step.kind,
)
def test_derivatives_by_depth(step: bs.Degradation, form: str) -> None:
    generator = torch.Generator().manual_seed(1)
    image = torch.rand((1, 2, 9, 10), dtype=torch.float64, generator=generator)
    depth = 0.5 + 0.4 * torch.rand((1, 9, 10), dtype=torch.float64, generator=generator)
    camera = bs.Intrinsics(4.2, 2.8)
    step = step.replace(form=form)

    def blurred(depth_m: torch.Tensor) -> torch.Tensor:
        return step(bs.Frame(image, "linear", depth_m=depth_m, camera=camera)).image

    assert torch.autograd.gradcheck(blurred, (depth.requires_grad_(),), eps=1e-7, atol=1e-5)
