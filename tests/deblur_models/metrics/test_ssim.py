"""SSIM and MS-SSIM against scikit-image, torchmetrics and their own properties."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from blursynth.errors import InvalidValueError
from deblur_models.metrics.ssim import MS_SSIM_WEIGHTS, ms_ssim, smallest_side_px, ssim


def pair(*shape: int, noise: float = 0.1, seed: int = 0, dtype: torch.dtype = torch.float64):
    """Smooth pictures and noisy ones."""
    random = torch.Generator().manual_seed(seed)
    a = torch.rand(*shape, generator=random, dtype=dtype)
    a = torch.nn.functional.avg_pool2d(a, 5, stride=1, padding=2)
    return a, (a + noise * torch.randn(*shape, generator=random, dtype=dtype)).clamp(0, 1)


@pytest.mark.parametrize(("height", "width"), [(11, 11), (37, 52), (64, 33)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_it_is_scikit_images(height: int, width: int, dtype: torch.dtype, tolerance: float) -> None:
    a, b = pair(3, 3, height, width, dtype=dtype)
    for ours, x, y in zip(ssim(a, b), a, b, strict=True):
        theirs = structural_similarity(
            x.double().numpy(), y.double().numpy(), channel_axis=0, data_range=1.0,
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        )  # fmt: skip
        assert ours.item() == pytest.approx(theirs, abs=tolerance)


def test_they_are_torchmetrics(torchmetrics_image) -> None:
    """Whose SSIM mirrors the border; whose MS-SSIM does so at the coarsest scale alone."""
    a, b = pair(2, 3, 192, 181, noise=0.05)
    theirs = torchmetrics_image.structural_similarity_index_measure(a, b, data_range=1.0, reduction="none")
    assert torch.allclose(ssim(a, b, padding="reflect"), theirs, atol=1e-12)
    theirs = torchmetrics_image.multiscale_structural_similarity_index_measure(a, b, data_range=1.0, reduction="none")
    coarse = [a, b]
    for _ in range(4):
        coarse = [torch.nn.functional.avg_pool2d(x, 2) for x in coarse]
    last = (ssim(*coarse, padding="reflect") / ssim(*coarse)) ** MS_SSIM_WEIGHTS[-1]
    assert torch.allclose(ms_ssim(a, b) * last, theirs, atol=1e-12)


def test_mirrored_borders_give_every_pixel_a_window() -> None:
    a, b = pair(2, 3, 40, 31)
    mirrored = [torch.nn.functional.pad(x, (5, 5, 5, 5), mode="reflect") for x in (a, b)]
    assert torch.allclose(ssim(a, b, padding="reflect"), ssim(*mirrored), atol=1e-14)


@given(
    st.integers(11, 40),
    st.integers(11, 40),
    st.sampled_from(["none", "reflect"]),
    st.floats(0.5, 3),
    st.integers(0, 99),
)
def test_bounds_symmetry_and_equality(height: int, width: int, padding, sigma: float, seed: int) -> None:
    a, b = pair(2, 3, height, width, noise=0.5, seed=seed)
    value = ssim(a, b, padding=padding, sigma=sigma)
    assert value.shape == (2,)
    assert ((value > -1) & (value < 1)).all()
    assert torch.allclose(value, ssim(b, a, padding=padding, sigma=sigma), atol=1e-14)
    assert torch.allclose(ssim(a, a, padding=padding, sigma=sigma), torch.ones(2, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(ssim(255 * a, 255 * b, padding=padding, sigma=sigma, data_range=255.0), value, atol=1e-12)
    assert torch.allclose(ssim(a[1:], b[1:], padding=padding, sigma=sigma), value[1:], atol=1e-14)  # one by one


def test_flat_pictures_leave_the_luminance_term() -> None:
    a, b = torch.full((1, 3, 16, 16), 0.25, dtype=torch.float64), torch.full((1, 3, 16, 16), 0.5, dtype=torch.float64)
    assert ssim(a, b).item() == pytest.approx((2 * 0.125 + 1e-4) / (0.0625 + 0.25 + 1e-4), abs=1e-9)


def test_derivatives() -> None:
    a, b = pair(1, 2, 13, 12)
    assert torch.autograd.gradcheck(lambda x: ssim(x, b), (a.requires_grad_(),))
    small = {"window_px": 3, "sigma": 0.8, "weights": (0.5, 0.5)}
    assert torch.autograd.gradcheck(lambda x: ms_ssim(x, b, **small), (a,))


def test_the_derivative_of_inverted_structure_is_finite() -> None:
    a, _ = pair(1, 3, 180, 180, dtype=torch.float32)
    inverted = (1 - a).requires_grad_()
    ms_ssim(inverted, a).sum().backward()
    assert inverted.grad is not None
    assert torch.isfinite(inverted.grad).all()


def test_half_precision_is_computed_in_float32() -> None:
    a, b = pair(1, 3, 32, 32, dtype=torch.float32)
    assert ssim(a.half(), b.half()).dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(ssim(a, b), ssim(a, b))
        within = ssim(a, b)
    assert torch.equal(within, ssim(a, b))


def test_the_smallest_picture_of_ms_ssim() -> None:
    side = smallest_side_px()
    a, b = pair(1, 3, side, side)
    assert 0 < ms_ssim(a, b).item() < 1
    with pytest.raises(InvalidValueError, match=r"at least 176 px, got 175 x 176.*fewer weights"):
        ms_ssim(a[..., 1:, :], b[..., 1:, :])
    assert ms_ssim(a[..., :9, :9], b[..., :9, :9], window_px=9, weights=(1.0,)) == pytest.approx(
        ssim(a[..., :9, :9], b[..., :9, :9], window_px=9)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window_px": 10}, "odd"),
        ({"sigma": 0.0}, "sigma must be positive"),
        ({"data_range": float("nan")}, "data_range"),
        ({"padding": "reflekt"}, "'reflect'"),
        ({"window_px": 35}, "at least 35 px, got 32 x 32"),
    ],
)
def test_refusals(change, message: str) -> None:
    a, b = pair(1, 3, 32, 32)
    with pytest.raises(InvalidValueError, match=message):
        ssim(a, b, **change)
    with pytest.raises(InvalidValueError, match="one shape"):
        ssim(a, b[..., 1:], **change)
    with pytest.raises(InvalidValueError, match="floating"):
        ssim((a * 255).byte(), b)
