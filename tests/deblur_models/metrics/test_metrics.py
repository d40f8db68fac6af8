"""What holds for every metric, and PSNR, GMSD and the measure of harm."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d
from skimage.metrics import peak_signal_noise_ratio

from blursynth.errors import InvalidValueError
from deblur_models.metrics import ALL, PSNR, Metric, metric, no_harm

# Those that need no weights file.
READY = [m.kind for m in ALL if m.kind != "lpips"]


@pytest.fixture(scope="module")
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    sharp = torch.nn.functional.avg_pool2d(torch.rand(2, 3, 197, 213, generator=random), 3, stride=1, padding=1)
    return (sharp + 0.05 * torch.randn(sharp.shape, generator=random)).clamp(0, 1), sharp


@pytest.mark.parametrize("kind", READY)
def test_every_metric_keeps_the_contract(kind: str, pair) -> None:
    restored, sharp = pair
    m = metric(kind)
    m.check_ready()
    assert isinstance(m, Metric)
    assert m.better in ("higher", "lower")
    assert m.protocol
    assert "\n" not in m.protocol
    value = m(restored, sharp if m.needs_sharp else None)
    assert value.shape == (2,)
    assert value.dtype == torch.float64
    alone = m(restored[1:], sharp[1:] if m.needs_sharp else None)  # a batch is its pictures one by one
    assert torch.allclose(value[1:], alone, atol=1e-10)
    beyond = torch.where(restored > 0.6, restored + 3, restored)  # is cut
    cut = torch.where(restored > 0.6, torch.ones(()), restored)
    assert torch.equal(m(beyond, sharp), m(cut, sharp))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(m(restored, sharp), value)
    assert not m(restored.clone().requires_grad_(), sharp).requires_grad
    if m.needs_sharp:
        better, worse = m((2 * sharp + restored) / 3, sharp), value
        assert ((better > worse) if m.better == "higher" else (better < worse)).all()
        with pytest.raises(InvalidValueError, match="got none"):
            m(restored)
        with pytest.raises(InvalidValueError, match="one shape"):
            m(restored, sharp[..., 1:])
    with pytest.raises(InvalidValueError, match="NaN or infinite"):
        m(restored / 0, sharp)
    with pytest.raises(InvalidValueError, match="uint8"):
        m(restored.byte(), sharp)


def test_names_are_unique_and_misspelled_ones_get_suggestions() -> None:
    names = [m().name for m in ALL]
    assert len(set(names)) == len(names)
    with pytest.raises(InvalidValueError, match="'psnr'"):
        metric("pnsr")
    with pytest.raises(InvalidValueError, match="no field 'sigma'"):
        metric("ssim", sigma=2.0)


def test_psnr_is_scikit_images(pair) -> None:
    restored, sharp = pair
    for ours, a, b in zip(metric("psnr")(restored, sharp), restored, sharp, strict=True):
        theirs = peak_signal_noise_ratio(b.double().numpy(), a.double().numpy(), data_range=1.0)
        assert ours.item() == pytest.approx(theirs, abs=1e-9)
    assert torch.isinf(metric("psnr")(sharp, sharp)).all()


def test_gmsd_is_its_formula(pair) -> None:
    """As MATLAB's conv2(..., 'same') would have it, on codes 0..255."""

    def gradient(picture: torch.Tensor) -> np.ndarray:
        r, g, b = 255 * picture.double().numpy()
        gray = 0.299 * r + 0.587 * g + 0.114 * b
        half = convolve2d(gray, np.full((2, 2), 0.25))[1:, 1:][::2, ::2]
        slope = np.array([[1, 0, -1]] * 3) / 3
        return np.hypot(convolve2d(half, slope, mode="same"), convolve2d(half, slope.T, mode="same"))

    for ours, a, b in zip(metric("gmsd")(*pair), *pair, strict=True):
        g, h = gradient(a), gradient(b)
        assert ours.item() == pytest.approx(np.std((2 * g * h + 170) / (g**2 + h**2 + 170), ddof=1), abs=1e-12)
    assert metric("gmsd")(pair[0], pair[0]).abs().max() < 1e-12


class Dimmer:
    name = "dimmer"

    def __init__(self, needs_kernel: bool) -> None:
        self.needs_kernel = needs_kernel

    def restore(self, blurred, kernels=None):
        assert (kernels is not None) == self.needs_kernel
        if kernels is not None:
            assert kernels.shape == (len(blurred), 1, 1)
            assert (kernels == 1).all()
        return blurred - 0.01


@pytest.mark.parametrize("needs_kernel", [False, True])
def test_harm_is_what_becomes_of_sharp_pictures(needs_kernel: bool) -> None:
    sharp = torch.full((3, 3, 16, 16), 0.5, dtype=torch.float64)
    assert no_harm(Dimmer(needs_kernel), sharp).tolist() == pytest.approx([-20 * math.log10(0.01)] * 3)


def test_pictures_of_0_to_255_are_not_cut_to_white() -> None:
    codes = torch.tensor([0.0, 255.0]).expand(1, 3, 16, 2)
    with pytest.raises(InvalidValueError, match=r"psnr: the sharp picture must lie in 0\.\.1, got 0 to 255"):
        PSNR()(codes / 255, codes)
    assert PSNR()(codes, codes / 255).isinf()  # what is restored may overshoot
