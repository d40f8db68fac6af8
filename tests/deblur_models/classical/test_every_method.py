"""What holds for every classical method."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

import blursynth as bs
from blursynth.errors import InvalidValueError
from deblur_models.classical import ALL, make_classical
from deblur_models.classical.deconvolution import check_kernels, estimate_noise, tapered, transfer_function
from deblur_models.metrics import PSNR, no_harm
from deblur_models.metrics.niqe_parameters import bundled_photograph
from deblur_models.restore.restorer import Restorer

METHODS = [make_classical({"kind": method.kind}) for method in ALL]


def ids(value: object) -> str:
    return str(getattr(value, "name", value))


def kernel_of(size: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    kernel = gaussian_filter(random.random((size, size)) ** 4, 0.5)
    return kernel / kernel.sum()


def blurred_pair(
    picture: str, blur: bs.Degradation, noise: float = 0.0, *, light: bool = True, side: int = 128, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """A photograph whose light (or codes) was blurred, without its border; the sharp one, and the kernel."""
    codes = bundled_photograph(picture).numpy()[None, :, 60 : 100 + side, 60 : 100 + side]
    frame = bs.Frame(codes, "display")
    frame = bs.kinds.Decode()(frame) if light else bs.Frame(codes, "linear")
    image = blur(frame).image
    image = image + noise * np.random.default_rng(seed).standard_normal(image.shape)
    if light:
        image = bs.kinds.Encode()(frame.with_image(image)).image
    cut = (..., slice(20, 20 + side), slice(20, 20 + side))
    return torch.from_numpy(image[cut]), torch.from_numpy(codes[cut]), blur.point_spread().to_dense()[None]


@pytest.mark.parametrize("method", METHODS, ids=ids)
def test_every_method_is_a_restorer(method) -> None:
    assert isinstance(method, Restorer)
    assert method.needs_kernel
    assert method.name == method.kind
    method.check_ready()
    assert make_classical({"kind": method.kind, **method.fields()}) == method


# Gains in dB with the default settings, measured, less .4: blur of light, and blur of codes.
GAINS = {
    "wiener": (1.5, 1.9),
    "unsupervised_wiener": (-0.3, 3.0),  # in light it finds too little noise, and dark places suffer
    "richardson_lucy": (3.4, 2.7),
    "total_variation": (5.2, 4.4),
    "hyper_laplacian": (2.9, 2.7),
}


@pytest.mark.parametrize("light", [True, False])
@pytest.mark.parametrize("method", METHODS, ids=ids)
def test_a_known_blur_is_undone(method, light: bool) -> None:
    blur = bs.kinds.RandomWalkMotion(length_px=20.0, seed=3)
    blurred, sharp, kernel = blurred_pair("coffee", blur, 0.003, light=light)
    psnr = PSNR()
    restored = method.replace(linear_light=light).restore(blurred, kernel)
    assert restored.shape == blurred.shape
    assert restored.dtype == blurred.dtype
    assert restored.min() >= 0
    assert restored.max() <= 1
    gain = psnr(restored, sharp) - psnr(blurred, sharp)
    assert gain.item() > GAINS[method.name][0 if light else 1]
    # The kernel's direction matters: turned by 180 degrees it is another blur.
    turned = method.replace(linear_light=light).restore(blurred, kernel[:, ::-1, ::-1].copy())
    assert (psnr(turned, sharp) < psnr(restored, sharp) - 0.5).all()


@pytest.mark.parametrize("method", METHODS, ids=ids)
def test_the_place_stays(method) -> None:
    """A centered blur undone moves nothing, nor does the center of a kernel drift: half a pixel would cost more."""
    blurred, sharp, kernel = blurred_pair("coffee", bs.kinds.GaussianBlur(sigma_px=1.5), 0.001)
    restored = method.restore(blurred, kernel)[..., 16:-16, 16:-16]
    errors = {
        (dy, dx): (restored - sharp.roll((dy, dx), dims=(-2, -1))[..., 16:-16, 16:-16]).square().mean().item()
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
    }
    assert min(errors, key=errors.__getitem__) == (0, 0)


@pytest.mark.parametrize("method", METHODS, ids=ids)
def test_a_shift_is_undone_as_a_shift(method) -> None:
    kernel = np.zeros((1, 7, 7))
    kernel[0, 5, 2] = 1.0  # light goes down by 2, left by 1
    codes = bundled_photograph("coffee")[None, :, 100:164, 100:164]
    restored = method.replace(linear_light=False, noise=0.0).restore(codes, kernel)
    inner = (..., slice(12, -12), slice(12, -12))
    moved = codes.roll((-2, 1), dims=(-2, -1))
    assert PSNR()(restored[inner], moved[inner]).item() > 25
    assert PSNR()(restored[inner], codes[inner]).item() < PSNR()(restored[inner], moved[inner]).item() - 5


@pytest.mark.parametrize("method", METHODS, ids=ids)
def test_no_blur_is_left_alone(method) -> None:
    sharp = torch.rand(2, 3, 17, 12, generator=torch.Generator().manual_seed(0))
    point = np.zeros((2, 5, 5))
    point[:, 2, 2] = 1.0
    assert torch.equal(method.restore(sharp, point), sharp)
    assert torch.isinf(no_harm(method, sharp)).all()


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    size=st.sampled_from([1, 3, 9, 15]),
    seed=st.integers(0, 2**16),
    method=st.sampled_from(METHODS),
)
@settings(max_examples=40)
def test_any_size_any_kernel_gray_and_one_by_one(height: int, width: int, size: int, seed: int, method) -> None:
    random = np.random.default_rng(seed)
    gray = torch.from_numpy(gaussian_filter(random.random((2, 1, height, width)), (0, 0, 1, 1))).float()
    pictures = gray.repeat(1, 3, 1, 1)
    kernels = np.stack([kernel_of(size, seed), kernel_of(size, seed + 1)])
    restored = method.restore(pictures, kernels)
    assert restored.shape == pictures.shape
    assert restored.dtype == torch.float32
    assert torch.isfinite(restored).all()
    assert ((restored >= 0) & (restored <= 1)).all()
    assert (restored - restored[:, :1]).abs().max() < 1e-5  # gray stays gray
    assert torch.allclose(method.restore(pictures[1:], kernels[1:]), restored[1:], atol=1e-6)


@pytest.mark.parametrize("method", METHODS, ids=ids)
def test_a_flat_picture_stays_flat(method) -> None:
    flat = torch.full((1, 3, 33, 30), 0.4, dtype=torch.float64)
    restored = method.restore(flat, kernel_of(9, 0)[None])
    assert (restored - flat).abs().max() < 0.01


@pytest.mark.parametrize(
    ("kernels", "message"),
    [
        (None, r"needs the kernel of each image, got none.*not blind"),
        (np.full((1, 4, 4), 1 / 16), r"\[1, K, K\] with K odd, got the shape \[1, 4, 4\]"),
        (np.full((1, 3, 5), 1 / 15), r"got the shape \[1, 3, 5\]"),
        (np.full((3, 3), 1 / 9), r"got the shape \[3, 3\]"),
        (np.full((2, 3, 3), 1 / 9), r"\[1, K, K\]"),
        (np.full((1, 3, 3), np.nan), "nonfinite"),
        (np.array([[[0, 0, 0], [0, 1.5, 0], [0, -0.5, 0]]]), "got a minimum of -0.5"),
        (np.full((1, 3, 3), 0.2), r"sum of 1, got 1\.8.*Divide"),
    ],
)
@pytest.mark.filterwarnings("ignore:All-NaN")
def test_kernels_are_checked(kernels, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        METHODS[0].restore(torch.rand(1, 3, 8, 8), kernels)


def test_pictures_and_fields_are_checked() -> None:
    kernel = np.ones((1, 1, 1))
    for picture, message in [
        (torch.rand(3, 8, 8), r"\[3, 8, 8\]"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "uint8"),
        (torch.full((1, 3, 8, 8), torch.nan), "finite"),
        (torch.rand(1, 3, 0, 8), "floating-point tensors"),
    ]:
        with pytest.raises(InvalidValueError, match=message):
            METHODS[0].restore(picture, kernel)
    with pytest.raises(InvalidValueError, match="'wiener'"):
        make_classical({"kind": "weiner"})
    with pytest.raises(InvalidValueError, match="needs a kind"):
        make_classical({})
    with pytest.raises(InvalidValueError, match="no field 'balanc'"):
        make_classical({"kind": "wiener", "balanc": 1.0})
    with pytest.raises(InvalidValueError, match="strength must be > 0"):
        make_classical({"kind": "total_variation", "strength": 0.0})


def test_sums_are_made_exact() -> None:
    assert check_kernels(np.full((2, 3, 3), 1.0005 / 9), 2, "it").sum(axis=(1, 2)).tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize("sigma", [0.002, 0.01, 0.05])
def test_noise_is_estimated(sigma: float) -> None:
    picture = gaussian_filter(bundled_photograph("coffee").numpy()[:, :256, :256], (0, 2, 2))
    noisy = picture + sigma * np.random.default_rng(0).standard_normal(picture.shape)
    # 196,608 values, of whose diagonal differences the median scatters by .3 %; the blurred picture adds a little.
    assert estimate_noise(noisy) == pytest.approx(sigma, rel=0.03, abs=0.0005)
    assert estimate_noise(picture) < 0.001
    assert estimate_noise(picture[:, :1, :1]) == 0


def test_a_tapered_picture_is_circular_and_keeps_its_pixels() -> None:
    """Across the wrap the picture is no rougher than a blurred one is elsewhere."""
    picture = bundled_photograph("coffee").numpy()[:, 50:113, 70:128]
    kernel = kernel_of(13, 0)
    padded, inside = tapered(picture, kernel)
    assert np.array_equal(padded[(slice(None), *inside)], picture)
    for axis in (1, 2):
        wrap = np.abs(np.take(padded, 0, axis) - np.take(padded, -1, axis)).max()
        assert wrap < 0.25 * np.abs(np.take(picture, 0, axis) - np.take(picture, -1, axis)).max()
    assert padded.shape[-2] >= 63 + 24


def test_the_transfer_function_is_that_of_convolution() -> None:
    kernel = kernel_of(5, 1)
    point = np.zeros((12, 15))
    point[6, 7] = 1
    out = np.fft.irfft2(np.fft.rfft2(point) * transfer_function(kernel, (12, 15)), s=(12, 15))
    assert np.allclose(out[4:9, 5:10], kernel, atol=1e-15)
