"""The loss of spectra, against a Fourier sum and numpy's transform."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deblur_models.losses import FftL1


@given(height=st.integers(1, 12), width=st.integers(1, 12))
@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
def test_it_is_the_mean_over_the_whole_spectrum(norm: str, height: int, width: int) -> None:
    """Counting the half of the columns that repeat is the same as computing them, for even and odd sides."""
    one, other = np.random.default_rng(height * 13 + width).random((2, 2, 3, height, width))
    spectrum = np.fft.fft2(one - other, norm=norm)
    expected = (np.abs(spectrum.real) + np.abs(spectrum.imag)).mean() / 2
    loss = FftL1(norm=norm)(torch.from_numpy(one), torch.from_numpy(other))
    assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_it_is_the_fourier_sum() -> None:
    """Without any transform of a library: 3 x 4 px, term by term."""
    one, other = np.random.default_rng(0).random((2, 3, 4))
    total = 0.0
    for u in range(3):
        for v in range(4):
            angle = -2 * np.pi * (u * np.arange(3)[:, None] / 3 + v * np.arange(4)[None] / 4)
            total += abs(((one - other) * np.cos(angle)).sum()) + abs(((one - other) * np.sin(angle)).sum())
    pictures = (torch.from_numpy(x)[None, None] for x in (one, other))
    assert FftL1()(*pictures).item() == pytest.approx(total / (2 * 12))


def test_only_ortho_does_not_depend_on_the_size() -> None:
    """White noise: the usual form grows as the root of the number of pixels."""
    random = torch.Generator().manual_seed(0)
    small, large = (torch.randn(4, 3, n, n, generator=random) * 0.1 for n in (32, 128))
    ratio = {
        norm: (FftL1(norm=norm)(large, 0 * large) / FftL1(norm=norm)(small, 0 * small)).item()
        for norm in ("backward", "ortho", "forward")
    }
    assert ratio["ortho"] == pytest.approx(1, abs=0.03)
    assert ratio["backward"] == pytest.approx(4, abs=0.12)
    assert ratio["forward"] == pytest.approx(1 / 4, abs=0.01)


def test_a_256_px_patch_changes_its_weight_as_the_docstring_says() -> None:
    one, other = torch.rand(2, 1, 1, 256, 256, generator=torch.Generator().manual_seed(1))
    plain, ortho = FftL1()(one, other), FftL1(norm="ortho")(one, other)
    assert 0.1 * plain.item() == pytest.approx(25.6 * ortho.item(), rel=1e-5)
