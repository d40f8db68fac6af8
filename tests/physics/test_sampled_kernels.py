"""Kernels of the super-resolution literature against their formulas, and what they have in common."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

import blursynth as bs
from blursynth.errors import InvalidValueError
from blursynth.physics import sampled_kernels
from blursynth.physics.point_spread import PointSpreads

widths = st.floats(0.2, 6)
angles = st.floats(-4, 4)
sizes = st.integers(0, 12).map(lambda n: 2 * n + 1)


def quadratic(sigma: tuple[float, float], angle: float, size: int) -> np.ndarray:
    """``q`` by the covariance matrix, as the publications have it."""
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    inverse = np.linalg.inv(turn @ np.diag(np.square(sigma)) @ turn.T)
    x, y = np.meshgrid(np.arange(size) - size // 2, np.arange(size) - size // 2)
    place = np.stack([x, y], axis=-1).astype(float)
    return np.asarray(np.einsum("yxi,ij,yxj->yx", place, inverse, place))


def scaled(kernel: np.ndarray) -> np.ndarray:
    return np.asarray(kernel / kernel.sum())


def dense(psf: PointSpreads, size: int) -> np.ndarray:
    return psf.to_dense(size_px=size)


@given(widths, widths, angles, st.floats(0.5, 4), sizes)
def test_generalized_gaussian(along: float, across: float, angle: float, shape: float, size: int) -> None:
    expected = scaled(np.exp(-0.5 * quadratic((along, across), angle, size) ** shape))
    psf = sampled_kernels.generalized_gaussian(along, across, angle, shape, size)
    assert np.abs(dense(psf, size) - expected).max() <= 1e-12


@given(widths, widths, angles, st.floats(1, 2), sizes)
def test_plateau(along: float, across: float, angle: float, shape: float, size: int) -> None:
    expected = scaled(1 / (1 + quadratic((along, across), angle, size) ** shape))
    psf = sampled_kernels.plateau(along, across, angle, shape, size)
    assert np.abs(dense(psf, size) - expected).max() <= 1e-12


@given(st.floats(math.pi / 5, math.pi), sizes)
def test_low_pass(cutoff: float, size: int) -> None:
    radius = np.hypot(*np.mgrid[-(size // 2) : size // 2 + 1, -(size // 2) : size // 2 + 1])
    with np.errstate(invalid="ignore", divide="ignore"):
        kernel = cutoff * special.j1(cutoff * radius) / (2 * np.pi * radius)
    kernel[size // 2, size // 2] = cutoff**2 / (4 * np.pi)
    psf = sampled_kernels.low_pass(cutoff, size)
    assert np.abs(dense(psf, size) - scaled(kernel)).max() <= 1e-12


def test_low_pass_passes_what_is_below_the_cutoff() -> None:
    """With a large square: a wave at half the cutoff keeps its size, one at 1.5 times it is gone."""
    psf = sampled_kernels.low_pass(1.2, 401)
    assert psf.weight.min() < 0
    for frequency, share in ((0.6, 1.0), (1.8, 0.0)):
        response = float(psf.weight @ np.cos(frequency * psf.dx))
        assert response == pytest.approx(share, abs=0.03)


MADE = [
    lambda size: sampled_kernels.generalized_gaussian(2.0, 0.8, 0.4, 0.7, size),
    lambda size: sampled_kernels.plateau(2.0, 0.8, 0.4, 1.5, size),
    lambda size: sampled_kernels.low_pass(1.1, size),
]


@pytest.mark.parametrize("make", MADE, ids=["generalized Gaussian", "plateau", "low pass"])
@pytest.mark.parametrize("size", [1, 3, 7, 21])
def test_centered_with_a_sum_of_one(make: object, size: int) -> None:
    psf = make(size)  # type: ignore[operator]
    assert abs(psf.sums()[0] - 1) <= 1e-12
    assert np.abs(psf.centroids()).max() <= 1e-10
    assert psf.reach_px()[0] == size // 2
    kernel = dense(psf, size)
    assert np.array_equal(kernel, kernel[::-1, ::-1])


def test_signs() -> None:
    """All but the low-pass filter are light: never negative."""
    assert all((make(21).weight >= 0).all() for make in MADE[:2])
    assert (MADE[2](21).weight < 0).any()


def test_no_width_is_no_blur() -> None:
    for blur in (
        bs.kinds.GeneralizedGaussianBlur(sigma_px=0.0),
        bs.kinds.GeneralizedGaussianBlur(sigma_px=0.0, shape=0.1),
        bs.kinds.GeneralizedGaussianBlur(sigma_px=1e-200, shape=20.0),
        bs.kinds.PlateauBlur(sigma_px=0.0),
        bs.kinds.SincBlur(cutoff_rad_per_px=2.0, size_px=1),
    ):
        assert blur.point_spread().to_dense().tolist() == [[1.0]]
    line = bs.kinds.GeneralizedGaussianBlur(sigma_px=0.0, sigma_across_px=2.0).point_spread()
    assert set(line.dx.tolist()) == {0}
    assert line.reach_px()[0] == 10


def test_a_wide_sampled_gaussian_is_nearly_the_integrated_one() -> None:
    sampled = sampled_kernels.generalized_gaussian(3.0, 3.0, 0.0, 1.0, 31)
    integrated = bs.kinds.GaussianBlur(sigma_px=math.sqrt(9 - 1 / 12)).point_spread()
    size = 2 * int(integrated.reach_px()[0]) + 1
    assert np.abs(dense(sampled, 31) - integrated.to_dense(size_px=max(31, size))[:31, :31]).max() <= 1e-5


@pytest.mark.parametrize("kind", [bs.kinds.GeneralizedGaussianBlur, bs.kinds.PlateauBlur, bs.kinds.SincBlur])
def test_an_even_size_is_refused(kind: type[bs.Degradation]) -> None:
    first = "cutoff_rad_per_px" if kind is bs.kinds.SincBlur else "sigma_px"
    with pytest.raises(InvalidValueError, match="size_px must be odd, got 8"):
        kind(**{first: 1.0, "size_px": 8})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sampled_kernels.low_pass(1.0, 4), "size_px must be odd"),
        (lambda: sampled_kernels.low_pass(0.0, 5), "cutoff_rad_per_px must be > 0"),
        (lambda: sampled_kernels.plateau(-1.0, 1.0, 0.0, 1.0, 5), "sigma_px must be >= 0"),
        (lambda: sampled_kernels.plateau(1.0, 1.0, 0.0, 0.0, 5), "shape must be > 0"),
    ],
)
def test_bad_input(make: object, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        make()  # type: ignore[operator]
