"""Formulas of the losses of single pixels, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from blursynth.errors import InvalidValueError
from deblur_models.losses import L1, L2, PSNR, Charbonnier

RNG = np.random.default_rng(3)
ONE, OTHER = RNG.random((2, 4, 3, 9, 7))
A, B = torch.from_numpy(ONE), torch.from_numpy(OTHER)


def test_l1_and_l2() -> None:
    assert L1()(A, B).item() == pytest.approx(np.abs(ONE - OTHER).mean())
    assert L2()(A, B).item() == pytest.approx(((ONE - OTHER) ** 2).mean())


def test_l2_of_pictures_that_are_normalized_as_for_imagenet() -> None:
    """As DeblurGAN-v2's code takes it: (x - mean) / std of both pictures first, with torchvision's numbers."""
    mean, std = (np.array(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    expected = (((ONE - mean) / std - (OTHER - mean) / std) ** 2).mean()
    assert L2(imagenet_std=True)(A, B).item() == pytest.approx(expected)
    same = L2(imagenet_std=True)(A, A + 0.1) / L2()(A, A + 0.1)
    assert same.item() == pytest.approx(19.6, abs=0.3), "nearly 20 times as much"
    with pytest.raises(InvalidValueError, match="3 channels, got 1"):
        L2(imagenet_std=True)(A[:, :1], B[:, :1])


def test_charbonnier() -> None:
    assert Charbonnier(epsilon=0.2)(A, B).item() == pytest.approx(np.sqrt((ONE - OTHER) ** 2 + 0.04).mean())


def test_charbonnier_is_nearly_l1_far_from_zero() -> None:
    assert Charbonnier()(A, A + 0.5).item() == pytest.approx(0.5, abs=2e-6)


def test_psnr_is_minus_the_mean_of_the_pictures_psnr() -> None:
    each = [10 * np.log10(1 / ((a - b) ** 2).mean()) for a, b in zip(ONE, OTHER, strict=True)]
    assert PSNR()(A, B).item() == pytest.approx(-np.mean(each), abs=1e-5)


def test_psnr_of_a_known_error() -> None:
    gray = torch.full((1, 3, 8, 8), 0.5, dtype=torch.float64)
    assert PSNR()(gray, gray + 0.1).item() == pytest.approx(-20.0, abs=1e-4)
    assert PSNR(epsilon=1e-4)(gray, gray).item() == pytest.approx(-40.0)


def test_psnr_of_the_luma() -> None:
    luma = np.array([65.481, 128.553, 24.966]) / 255
    errors = [((np.tensordot(luma, a - b, axes=(0, 0))) ** 2).mean() for a, b in zip(ONE, OTHER, strict=True)]
    assert PSNR(luma=True)(A, B).item() == pytest.approx(np.mean(10 * np.log10(np.array(errors) + 1e-8)))


def test_the_luma_needs_three_channels() -> None:
    with pytest.raises(InvalidValueError, match="3 channels, got 1"):
        PSNR(luma=True)(A[:, :1], B[:, :1])


def test_every_picture_counts_by_its_ratio() -> None:
    """A picture with a tenth of another's error gains as many dB by being improved by the same factor."""
    start = torch.stack([A[0] + 0.3, A[1] + 0.03])
    first, second = start.clone(), start.clone()
    first[0], second[1] = A[0] + 0.15, A[1] + 0.015
    assert PSNR()(first, A[:2]).item() == pytest.approx(PSNR()(second, A[:2]).item(), abs=1e-3)
