"""Each classical method against its formula, or another implementation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import fft
from scipy.optimize import minimize_scalar
from skimage import restoration

from deblur_models.classical import (
    HyperLaplacian,
    RichardsonLucy,
    TotalVariation,
    UnsupervisedWiener,
    Wiener,
)
from deblur_models.classical.deconvolution import transfer_function
from deblur_models.classical.hyper_laplacian import shrink_power
from deblur_models.classical.total_variation import _divergence, _shrink


def scene(side: int = 64, margin: int = 20, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Blocks and a ramp within a flat margin: circular and mirrored borders are the same."""
    random = np.random.default_rng(seed)
    out = np.full((channels, side, side), 0.3)
    for _ in range(6):
        y, x = random.integers(margin, side - margin - 6, 2)
        out[:, y : y + 6, x : x + 6] = random.random((channels, 1, 1)) * 0.8 + 0.1
    return out


def circular_blur(picture: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    shape = picture.shape[-2:]
    return fft.irfft2(fft.rfft2(picture) * transfer_function(kernel, shape), s=shape)


@pytest.fixture
def kernel() -> np.ndarray:
    kernel = np.zeros((7, 7))
    kernel[3, 1:6] = (1, 2, 3, 2, 1)
    kernel[1:4, 4] += 1
    return kernel / kernel.sum()


def test_wiener_is_its_formula(kernel: np.ndarray) -> None:
    sharp = scene()
    blurred = circular_blur(sharp, kernel)
    restored = Wiener(balance=1e-3).deconvolve(blurred, kernel, 0.0)
    laplacian = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])
    # In a flat margin the larger, tapered domain of the method gives what the picture's own does.
    k, smooth = (transfer_function(a, sharp.shape[-2:]) for a in (kernel, laplacian))
    expected = fft.irfft2(
        np.conj(k) * fft.rfft2(blurred) / (np.abs(k) ** 2 + 1e-3 * np.abs(smooth) ** 2), s=sharp.shape[-2:]
    )
    assert np.abs(restored - expected).max() < 1e-3
    assert np.abs(Wiener(balance=1e-9).deconvolve(blurred, kernel, 0.0) - sharp).max() < 0.01
    assert not np.allclose(
        Wiener().deconvolve(blurred, kernel, 0.0), Wiener().deconvolve(blurred, kernel, 0.1), atol=1e-3
    )


def test_unsupervised_wiener_is_repeatable_and_finds_the_noise(kernel: np.ndarray) -> None:
    sharp = scene()
    blurred = circular_blur(sharp, kernel)
    noisy = blurred + 0.02 * np.random.default_rng(0).standard_normal(blurred.shape)
    method = UnsupervisedWiener()
    first = method.deconvolve(noisy, kernel, 0.0)
    assert np.array_equal(first, method.deconvolve(noisy, kernel, 0.0))
    assert not np.array_equal(first, UnsupervisedWiener(seed=1).deconvolve(noisy, kernel, 0.0))
    assert np.square(first - sharp).mean() < np.square(noisy - sharp).mean()
    # Less noise, less smoothing.
    assert np.square(method.deconvolve(blurred, kernel, 0.0) - sharp).mean() < np.square(first - sharp).mean() / 4


def test_richardson_lucy_is_scikit_images_away_from_the_border(kernel: np.ndarray) -> None:
    sharp = scene(96, margin=36)
    blurred = circular_blur(sharp, kernel)
    for iterations in (1, 5):
        ours = RichardsonLucy(iterations=iterations).deconvolve(blurred, kernel, 0.0)[0, 36:-36, 36:-36]
        # Theirs starts at .5, ours at the mean: the first step forgets the level where no border is near.
        theirs = restoration.richardson_lucy(blurred[0], kernel, num_iter=iterations)[36:-36, 36:-36]
        assert np.abs(ours - theirs).max() < 1e-6
    assert RichardsonLucy().deconvolve(blurred, kernel, 0.0).min() > 0


def test_richardson_lucy_climbs_the_likelihood(kernel: np.ndarray) -> None:
    """Of photon counts, with the pixels beyond the border as unknowns (an EM algorithm never descends)."""
    random = np.random.default_rng(0)
    counts = random.poisson(200 * circular_blur(scene(40, margin=10), kernel)) / 200
    last = -np.inf
    for iterations in (1, 2, 4, 8, 16):
        x = RichardsonLucy(iterations=iterations).deconvolve(counts, kernel, 0.0)
        expected = circular_blur(x, kernel)[:, 8:-8, 8:-8]
        likelihood = (counts[:, 8:-8, 8:-8] * np.log(expected) - expected).sum()
        assert likelihood > last
        last = likelihood


def total_variation(x: np.ndarray) -> float:
    return float(
        np.sqrt(np.square(np.roll(x, -1, axis=-2) - x).sum(0) + np.square(np.roll(x, -1, axis=-1) - x).sum(0)).sum()
    )


def test_total_variation_finds_the_minimum(kernel: np.ndarray) -> None:
    """No small change of the solution lowers the energy by more than what is left of convergence."""
    sharp = scene(48, margin=16, channels=2)
    noise = 0.02 * np.random.default_rng(0).standard_normal(sharp.shape)
    blurred, strength = circular_blur(sharp, kernel) + noise, 0.01

    def energy(x: np.ndarray) -> float:
        # In the inside alone: what lies beyond the border is free in the method.
        return 0.5 * np.square(circular_blur(x, kernel) - blurred).sum() + strength * total_variation(x)

    x = TotalVariation(strength=strength, iterations=600).deconvolve(blurred, kernel, 0.0)
    assert np.square(x - sharp).mean() < np.square(blurred - sharp).mean() / 4
    random = np.random.default_rng(1)
    window = np.zeros_like(x)
    window[:, 10:-10, 10:-10] = 1
    for scale in (0.003, 0.01, 0.03):
        for _ in range(5):
            assert energy(x + scale * window * random.standard_normal(x.shape)) > energy(x)
            y, column = random.integers(10, 34, 2)
            bump = np.zeros_like(x)
            bump[:, y : y + 4, column : column + 4] = scale * random.choice([-1, 1])
            assert energy(x + bump) > energy(x) - 1e-6
    for towards in (sharp, blurred, np.full_like(x, x.mean())):
        assert energy(x + 0.1 * window * (towards - x)) > energy(x) - 1e-5
    few = TotalVariation(strength=strength).deconvolve(blurred, kernel, 0.0)
    assert -10 * np.log10(np.square(few - x).mean()) > 45


def test_the_steps_of_total_variation() -> None:
    random = np.random.default_rng(0)
    w, x = random.standard_normal((2, 3, 9, 8)), random.standard_normal((3, 9, 8))
    gradient = np.stack([np.roll(x, -1, axis=-2) - x, np.roll(x, -1, axis=-1) - x])
    assert (gradient * w).sum() == pytest.approx((x * _divergence(w)).sum())  # adjoint
    shrunk = _shrink(w, 0.5)
    before, after = (np.sqrt(np.square(v).sum(axis=(0, 1))) for v in (w, shrunk))
    assert np.allclose(after, np.maximum(before - 0.5, 0))
    assert (_shrink(w, 100.0) == 0).all()


@pytest.mark.parametrize("power", [0.5, 2 / 3, 0.8])
@pytest.mark.parametrize("weight", [1.0, 8.0, 256.0])
def test_the_step_of_a_power_is_the_minimum(power: float, weight: float) -> None:
    values = np.linspace(-2, 2, 41)
    for v, w in zip(values, shrink_power(values, power, weight), strict=True):

        def cost(u: float, v: float = v) -> float:
            return abs(u) ** power + weight / 2 * (u - v) ** 2

        found = minimize_scalar(cost, bounds=sorted((v / 2, v)) if v else (-1e-9, 1e-9), method="bounded")
        assert cost(w) <= min(cost(0.0), found.fun) + 1e-6


def test_hyper_laplacian_undoes_blur(kernel: np.ndarray) -> None:
    sharp = scene(channels=3)
    blurred = circular_blur(sharp, kernel)
    noisy = blurred + 0.01 * np.random.default_rng(0).standard_normal(blurred.shape)
    restored = HyperLaplacian(strength=1 / 2000).deconvolve(noisy, kernel, 0.01)
    assert np.square(restored - sharp).mean() < np.square(noisy - sharp).mean() / 5
    exact = HyperLaplacian(strength=1e-7).deconvolve(blurred, kernel, 0.0)
    assert np.abs(exact - sharp).max() < 0.02
