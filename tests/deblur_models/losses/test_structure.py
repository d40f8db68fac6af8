"""Formulas of the losses of structure, against naive numpy and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from blursynth.errors import InvalidValueError
from deblur_models.losses import SSIM, Edge, MsSSIM, TotalVariation
from deblur_models.losses.structure import laplacian_level
from deblur_models.metrics.ssim import MS_SSIM_WEIGHTS, ms_ssim

RNG = np.random.default_rng(5)
ONE, OTHER = RNG.random((2, 2, 3, 20, 17))
A, B = torch.from_numpy(ONE), torch.from_numpy(OTHER)


def test_ssim_is_that_of_scikit_image() -> None:
    each = [
        structural_similarity(
            a, b, channel_axis=0, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for a, b in zip(ONE, OTHER, strict=True)
    ]
    assert SSIM()(A, B).item() == pytest.approx(1 - np.mean(each), abs=1e-6)


def test_inverted_structure_has_more_than_one() -> None:
    assert SSIM()(A, 1 - A).item() > 1


def test_ms_ssim_of_all_scales_is_the_metric() -> None:
    one, other = torch.rand(2, 1, 3, 176, 180, generator=torch.Generator().manual_seed(0))
    assert MsSSIM()(one, other).item() == pytest.approx(1 - ms_ssim(one, other).mean().item(), abs=1e-6)


def test_fewer_scales_keep_the_sum_of_exponents() -> None:
    weights = tuple(np.array(MS_SSIM_WEIGHTS[:2]) / sum(MS_SSIM_WEIGHTS[:2]) * sum(MS_SSIM_WEIGHTS))
    near = A + 0.05 * (B - A)
    loss = MsSSIM(scales=2, window_px=5)(near, A)
    assert loss.item() == pytest.approx(1 - ms_ssim(near, A, window_px=5, weights=weights).mean().item(), abs=1e-9)


def test_too_small_pictures_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="176 px, got 20 x 17"):
        MsSSIM()(A, B)
    with pytest.raises(InvalidValueError, match="at least 11 px"):
        SSIM()(A[..., :10], B[..., :10])


def naive_level(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """The Laplacian level of one channel ``[H, W]``, pixel by pixel."""
    height, width = picture.shape
    filter_px = (0.05, 0.25, 0.4, 0.25, 0.05)

    def smoothed(x: NDArray[np.float64]) -> NDArray[np.float64]:
        out = np.zeros_like(x)
        for i in range(height):
            for j in range(width):
                for di in range(-2, 3):
                    for dj in range(-2, 3):
                        row, column = min(max(i + di, 0), height - 1), min(max(j + dj, 0), width - 1)
                        out[i, j] += filter_px[di + 2] * filter_px[dj + 2] * x[row, column]
        return out

    down = smoothed(picture)
    up = np.zeros_like(picture)
    for i in range(0, height, 2):
        for j in range(0, width, 2):
            up[i, j] = 4 * down[i, j]
    return picture - smoothed(up)


@pytest.mark.parametrize("size_px", [(9, 8), (6, 11), (1, 5)])
def test_edge_is_charbonnier_of_the_levels_difference(size_px: tuple[int, int]) -> None:
    one, other = np.random.default_rng(1).random((2, 1, 2, *size_px))
    levels = np.array([[naive_level(one[0, c]) - naive_level(other[0, c]) for c in range(2)]])
    expected = np.sqrt(levels**2 + 1e-6).mean()
    assert Edge()(torch.from_numpy(one), torch.from_numpy(other)).item() == pytest.approx(expected, abs=1e-9)


def test_a_constant_has_no_edge_inside() -> None:
    level = laplacian_level(torch.full((1, 1, 12, 12), 0.7, dtype=torch.float64))
    assert level[..., 4:-4, 4:-4].abs().max().item() < 1e-12


def test_total_variation() -> None:
    down, right = np.diff(ONE, axis=2), np.diff(ONE, axis=3)
    plain = (np.abs(down).sum() + np.abs(right).sum()) / ONE.size
    assert TotalVariation()(A, B).item() == pytest.approx(plain)
    rows, columns = np.zeros_like(ONE), np.zeros_like(ONE)
    rows[:, :, :-1], columns[..., :-1] = down, right
    round_one = (np.sqrt(rows**2 + columns**2 + 0.01**2) - 0.01).mean()
    assert TotalVariation(form="isotropic", epsilon=0.01)(A, B).item() == pytest.approx(round_one)


def test_constants_have_no_variation() -> None:
    gray = torch.full((1, 3, 6, 6), 0.3)
    for form in ("anisotropic", "isotropic"):
        assert TotalVariation(form=form)(gray, A[:1, :, :6, :6].float()).item() == pytest.approx(0, abs=1e-7)


def test_only_the_isotropic_form_is_the_same_along_a_diagonal() -> None:
    """A slope of 1 per px along x against the same slope along the diagonal."""
    row, column = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    straight, slanted = column / 64, (row + column) / 64 / 2**0.5
    ratio = {}
    for form in ("anisotropic", "isotropic"):
        variation = TotalVariation(form=form, epsilon=1e-6)
        along, across = (variation(x[None, None], x[None, None]).item() for x in (slanted, straight))
        ratio[form] = along / across
    assert ratio["isotropic"] == pytest.approx(1, abs=0.02)
    assert ratio["anisotropic"] == pytest.approx(2**0.5, abs=0.02)
