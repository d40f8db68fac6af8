"""Kernels that are turned the wrong way are told by what they make of the sharp picture."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import convolve, gaussian_filter

from deblur_models.classical import turned_fits_better

RNG = np.random.default_rng(3)
SHARP = gaussian_filter(RNG.random((120, 140, 3)) * 255, (1, 1, 0))
KERNEL = np.zeros((11, 11))
KERNEL[2, 2:9] = 1.0
KERNEL[2:7, 8] = 0.5
KERNEL /= KERNEL.sum()
BLURRED = np.stack([convolve(SHARP[..., c], KERNEL) for c in range(3)], axis=-1)


@pytest.mark.parametrize("shift", [(0, 0), (3, -2)])
@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_the_rotated_kernel_is_distinguished_from_the_right_one(shift: tuple[int, int], noise: float) -> None:
    seen = np.roll(BLURRED, shift, (0, 1)) + noise * RNG.standard_normal(BLURRED.shape)
    codes = np.rint(np.clip(0.8 * seen + 5, 0, 255)).astype(np.uint8)  # another exposure
    assert turned_fits_better(KERNEL[::-1, ::-1], SHARP.astype(np.uint8), codes)
    assert not turned_fits_better(KERNEL, SHARP.astype(np.uint8), codes)


def test_what_tells_nothing_is_no_reason_to_warn() -> None:
    assert not turned_fits_better(np.full((5, 5), 0.04), SHARP, BLURRED)  # symmetric
    assert not turned_fits_better(KERNEL[::-1, ::-1], SHARP[:20, :20], BLURRED[:20, :20])  # too small
    assert not turned_fits_better(KERNEL[::-1, ::-1], SHARP, np.zeros_like(BLURRED))
    assert not turned_fits_better(KERNEL, SHARP, RNG.random(SHARP.shape))  # neither explains it
