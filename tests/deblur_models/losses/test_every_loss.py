"""What holds for every loss between two pictures: values, gradients, precision, shapes, fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from blursynth.errors import InvalidValueError
from deblur_models.losses import ALL, Loss, make_loss
from deblur_models.losses.perceptual import VGG19Features

# (kind) -> fields of an example, beside the defaults.
EXAMPLES: dict[str, dict[str, Any]] = {
    "ms_ssim": {"scales": 2, "window_px": 5},
    "ssim": {"window_px": 7},
    "total_variation": {"form": "isotropic"},
    "perceptual": {"layer": "conv2_1"},
}

# (kind) -> value for equal pictures, where it is not 0; None where it depends on the picture.
EQUAL: dict[str, float | None] = {
    "charbonnier": 1e-3,
    "edge": 1e-3,
    "psnr": -80.0,
    "total_variation": None,
}

# (kind, field) -> another value that shows.
OTHER: dict[tuple[str, str], Any] = {
    ("charbonnier", "epsilon"): 0.1,
    ("l2", "imagenet_std"): True,
    ("psnr", "epsilon"): 0.1,
    ("psnr", "luma"): True,
    ("ssim", "sigma"): 1.0,
    ("ssim", "window_px"): 5,
    ("ms_ssim", "sigma"): 1.0,
    ("ms_ssim", "window_px"): 3,
    ("ms_ssim", "scales"): 3,
    ("edge", "epsilon"): 0.1,
    ("total_variation", "form"): "anisotropic",
    ("total_variation", "epsilon"): 0.1,
    ("fft_l1", "norm"): "ortho",
    ("perceptual", "layer"): "relu2_1",
    ("perceptual", "paper_compat"): True,
}

BAD: list[tuple[str, dict[str, Any], str]] = [
    ("l1", {"weight": 0.0}, r"L1.weight must be > 0.0, got 0.0"),
    ("l2", {"weight": "1"}, r"L2.weight must be a number, got '1'"),
    ("l1", {"epsilon": 1e-3}, r"L1 has no field 'epsilon'"),
    ("charbonnier", {"epsilon": 0.0}, r"Charbonnier.epsilon must be > 0"),
    ("psnr", {"luma": 1}, r"PSNR.luma must be true or false"),
    ("ssim", {"window_px": 10}, r"window_px must be odd, got 10.*Use 9 or 11"),
    ("ms_ssim", {"window_px": 4}, r"window_px must be odd, got 4"),
    ("ms_ssim", {"scales": 6}, r"MsSSIM.scales must be <= 5, got 6"),
    ("edge", {"epsilon": -1.0}, r"Edge.epsilon must be > 0"),
    ("total_variation", {"form": "round"}, r"TotalVariation.form must be 'anisotropic' or 'isotropic', got 'round'"),
    ("fft_l1", {"norm": "none"}, r"FftL1.norm must be 'backward', 'ortho' or 'forward', got 'none'"),
    ("perceptual", {"layer": "conv3_5"}, r"VGG19 has no layer 'conv3_5'.*conv3_1 to conv3_4"),
]


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the right shapes: what the loss computes with them is its formula, whatever they are."""
    path = tmp_path_factory.mktemp("weights") / "vgg.pth"
    torch.manual_seed(0)
    torch.save(VGG19Features("conv2_1").state_dict(), path)
    return path


@pytest.fixture(params=ALL, ids=lambda loss: loss.kind)
def loss(request: pytest.FixtureRequest, vgg_file: Path) -> Loss:
    return example(request.param.kind, vgg_file)


def example(kind: str, vgg_file: Path, **changes: Any) -> Loss:
    fields = EXAMPLES.get(kind, {}) | ({"weights_file": str(vgg_file)} if kind == "perceptual" else {})
    return make_loss({"kind": kind, **fields, **changes})


def pair(
    *, seed: int = 0, dtype: torch.dtype = torch.float32, size_px: tuple[int, int] = (24, 20)
) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    one, other = torch.rand(2, 2, 3, *size_px, generator=random, dtype=torch.float64)
    return one.to(dtype), other.to(dtype)


def test_equal_pictures(loss: Loss) -> None:
    one, _ = pair()
    known = EQUAL.get(loss.kind, 0.0)
    if known is not None:
        assert loss(one, one).item() == pytest.approx(known, abs=2e-6)


def test_better_pictures_have_less(loss: Loss) -> None:
    one, other = pair()
    if loss.kind == "total_variation":
        assert loss(0.5 * one, other) < loss(one, other)
    else:
        assert loss(one + 0.1 * (other - one), one) < loss(one + 0.5 * (other - one), one) < loss(other, one)


def test_order_does_not_matter(loss: Loss) -> None:
    one, other = pair()
    if loss.kind == "total_variation":
        assert loss(one, other) == loss(one, one)  # it never looks at the sharp picture
    else:
        assert loss(one, other).item() == pytest.approx(loss(other, one).item(), rel=1e-5)


def test_gradients_reach_every_picture(loss: Loss) -> None:
    one, other = pair()
    one.requires_grad_()
    loss(one, other).backward()
    assert one.grad is not None
    assert bool(torch.isfinite(one.grad).all())
    assert bool((one.grad.abs().sum(dim=(1, 2, 3)) > 0).all())


def test_gradients_of_equal_pictures_are_finite(loss: Loss) -> None:
    one, _ = pair()
    restored = one.clone().requires_grad_()
    loss(restored, one).backward()
    assert restored.grad is not None
    assert bool(torch.isfinite(restored.grad).all())


def test_gradient_is_the_derivative(loss: Loss) -> None:
    """In float64 by finite differences; random pictures lie nowhere near a kink."""
    one, other = pair(dtype=torch.float64, size_px=(10, 12))
    one = one[:1, :, :, :].requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: loss(x, other[:1]), (one,), eps=1e-6, atol=1e-5, rtol=1e-3, fast_mode=True
    )


def test_precision_is_float32_whatever_autocast_says(loss: Loss) -> None:
    one, other = pair()
    expected = loss(one, other)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(one, other), expected)
        half = loss(one.bfloat16(), other)
    assert half.dtype == torch.float32
    assert torch.equal(half, loss(one.bfloat16().float(), other))


def test_float64_stays(loss: Loss) -> None:
    one, other = pair(dtype=torch.float64)
    precise = loss(one, other)
    assert precise.dtype == torch.float64
    assert precise.item() == pytest.approx(loss(one.float(), other.float()).item(), rel=1e-4)


def test_it_is_a_mean_over_the_batch(loss: Loss) -> None:
    one, other = pair()
    each = torch.stack([loss(one[b : b + 1], other[b : b + 1]) for b in range(2)])
    assert loss(one, other).item() == pytest.approx(each.mean().item(), rel=1e-5)


def test_weight_is_not_in_the_value(loss: Loss) -> None:
    one, other = pair()
    assert torch.equal(loss.replace(weight=7.0)(one, other), loss(one, other))


def test_other_shapes_are_refused(loss: Loss) -> None:
    one, other = pair()
    with pytest.raises(InvalidValueError, match=r"the same shape, got \[2, 3, 24, 20\] and \[2, 3, 24, 19\]"):
        loss(one, other[..., :-1])


@given(height=st.integers(10, 40), width=st.integers(10, 40), batch=st.integers(1, 3))
def test_any_shape_goes(height: int, width: int, batch: int) -> None:
    random = torch.Generator().manual_seed(height * 41 + width)
    one, other = torch.rand(2, batch, 3, height, width, generator=random)
    for kind in ALL:
        if kind.kind != "perceptual":
            value = example(kind.kind, Path())(one, other)
            assert value.shape == ()
            assert bool(torch.isfinite(value))


@pytest.mark.parametrize("size_px", [(1, 1), (1, 7), (5, 1), (2, 2)])
@pytest.mark.parametrize("kind", [k.kind for k in ALL if k.kind not in ("ssim", "ms_ssim", "perceptual")])
def test_the_smallest_pictures_go(kind: str, size_px: tuple[int, int]) -> None:
    one, other = pair(size_px=size_px)
    one.requires_grad_()
    value = example(kind, Path())(one, other)
    value.backward()
    assert bool(torch.isfinite(value))
    assert one.grad is not None
    assert bool(torch.isfinite(one.grad).all())


@pytest.mark.parametrize(("kind", "field"), OTHER, ids=lambda x: str(x))
def test_every_field_changes_the_value(kind: str, field: str, vgg_file: Path) -> None:
    one, other = pair()
    plain, changed = example(kind, vgg_file), example(kind, vgg_file, **{field: OTHER[kind, field]})
    assert abs(plain(one, other) - changed(one, other)) > 1e-5


def test_the_table_of_fields_is_complete() -> None:
    fields = {(loss.kind, name) for loss in ALL for name in loss.model_fields} - {(loss.kind, "weight") for loss in ALL}
    assert fields - {("perceptual", "weights_file")} == set(OTHER)


@pytest.mark.parametrize(("kind", "fields", "message"), BAD)
def test_bad_fields_are_refused(kind: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        make_loss({"kind": kind, **fields})


def test_unknown_kinds_are_refused_with_a_hint() -> None:
    with pytest.raises(InvalidValueError, match=r"There is no loss 'charbonier'.*charbonnier"):
        make_loss({"kind": "charbonier"})
    with pytest.raises(InvalidValueError, match=r"A loss needs a kind"):
        make_loss({"weight": 1.0})


def test_every_loss_and_field_is_described() -> None:
    for loss in ALL:
        assert loss.__doc__
        for name, field in loss.model_fields.items():
            assert field.description, f"{loss.kind}.{name}"


def test_losses_are_plain_records(loss: Loss) -> None:
    assert make_loss({"kind": loss.kind, **loss.fields()}) == loss
    loss.check_ready()
