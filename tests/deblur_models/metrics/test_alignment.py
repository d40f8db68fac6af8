"""Shifts are found, and scores of shifted pictures are those of unshifted ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from blursynth.errors import InvalidValueError
from deblur_models.metrics import metric
from deblur_models.metrics.alignment import align
from deblur_models.metrics.trajectory import best_over_trajectory


def scene(height: int = 60, width: int = 52, seed: int = 0) -> torch.Tensor:
    """A smooth periodic picture, so that a Fourier shift is exact."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    out = np.full((3, height, width), 0.5)
    for channel in out:
        for _ in range(12):
            fy, fx = random.integers(-5, 6, 2)
            channel += 0.05 * np.cos(2 * np.pi * (fy * y / height + fx * x / width) + random.uniform(0, 6))
    return torch.from_numpy(out.clip(0.05, 0.95))


def shifted(picture: torch.Tensor, dy: float, dx: float) -> torch.Tensor:
    """``out(p + d) = picture(p)`` by the Fourier transform."""
    fy = torch.fft.fftfreq(picture.shape[-2], dtype=torch.float64)[:, None]
    fx = torch.fft.fftfreq(picture.shape[-1], dtype=torch.float64)
    return torch.fft.ifft2(torch.fft.fft2(picture) * torch.exp(-2j * torch.pi * (fy * dy + fx * dx))).real


@given(st.integers(-20, 20), st.integers(-20, 20), st.integers(0, 9))
def test_shifts_of_quarters_are_found(quarters_y: int, quarters_x: int, seed: int) -> None:
    sharp = scene(seed=seed)[None]
    y, x = quarters_y / 4, quarters_x / 4
    aligned = align(shifted(sharp, y, x), sharp, border_px=8)
    assert aligned.shift_px.tolist() == [[y, x]]
    assert aligned.restored.shape == aligned.sharp.shape == (1, 3, 44, 36)
    assert (aligned.restored - aligned.sharp).abs().max() < 0.01


def test_whole_shifts_are_exact_and_each_picture_has_its_own() -> None:
    sharp = torch.stack([scene(seed=s) for s in range(3)])
    wanted = [(0, 0), (-3, 2), (4, 4)]
    moved = torch.stack([p.roll(d, dims=(-2, -1)) for p, d in zip(sharp, wanted, strict=True)])
    for step in (1.0, 0.125):
        aligned = align(moved, sharp, max_shift_px=4, border_px=6, step_px=step)
        assert [tuple(s) for s in aligned.shift_px.tolist()] == wanted
        assert torch.equal(aligned.restored, aligned.sharp)


def test_the_best_whole_shift_is_that_of_an_exhaustive_search() -> None:
    random = torch.Generator().manual_seed(3)
    a, b = torch.rand(2, 1, 3, 30, 34, generator=random)
    error = {
        (y, x): float((a[..., 7 + y : 23 + y, 7 + x : 27 + x] - b[..., 7:23, 7:27]).square().sum())
        for y in range(-5, 6)
        for x in range(-5, 6)
    }
    found = align(a, b, step_px=1.0, border_px=7).shift_px[0].tolist()
    assert tuple(found) == min(error, key=error.__getitem__)


def test_aligned_scores() -> None:
    sharp = scene()[None]
    noisy = sharp + 0.02 * torch.randn(sharp.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    aligned = metric("aligned", max_shift_px=5, border_px=8)
    inside = metric("psnr")(noisy[..., 8:-8, 8:-8], sharp[..., 8:-8, 8:-8])
    assert aligned(noisy, sharp).item() == pytest.approx(inside.item())
    moved = noisy.roll((2, -3), dims=(-2, -1))
    assert aligned(moved, sharp).item() == pytest.approx(inside.item())
    assert metric("psnr")(moved, sharp).item() < inside.item() - 5
    levin = metric("aligned", of="ssim", interpolation="linear")
    assert (levin.name, levin.better, levin.border_px, levin.step_px) == ("ssim_aligned", "higher", 15, 0.25)
    assert "5 px in steps of 0.25 px (linear), 15 px cut on each side" in levin.protocol
    assert metric("aligned", of={"kind": "gmsd"}).better == "lower"


def test_alignment_refuses() -> None:
    sharp = scene()[None]
    with pytest.raises(InvalidValueError, match="border_px must be at least max_shift_px"):
        metric("aligned", max_shift_px=14)
    with pytest.raises(InvalidValueError, match=r"got 0\.3"):
        metric("aligned", step_px=0.3)
    with pytest.raises(InvalidValueError, match="not use a sharp image"):
        metric("aligned", of="niqe")
    with pytest.raises(InvalidValueError, match="Nothing remains"):
        align(sharp, sharp, border_px=30)
    with pytest.raises(InvalidValueError, match="the same shape"):
        align(sharp, sharp[..., 1:])


def test_the_best_of_a_trajectory() -> None:
    path = [scene(seed=s) for s in range(6)]
    restored = 0.8 * path[4].roll((-3, 2), dims=(-2, -1))
    score = best_over_trajectory(restored, iter(path), empty_border="cut")
    assert score.reference == 4
    assert score.shift_px == (3, -2)
    # Before it is moved back.
    assert score.scale == pytest.approx(float((restored * path[4]).sum() / restored.square().sum()))
    assert score.value > max(v for k, v in enumerate(score.values) if k != 4) + 3
    assert score.value == max(score.values)
    assert len(score.values) == 6


def test_a_trajectory_score_is_its_formula() -> None:
    x, z = scene(seed=1), scene(seed=1) * 0.5 + 0.1
    scale = float((x * z).sum() / (z * z).sum())
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64).view(3, 1, 1)
    gray = ((x - scale * z) * weights).sum(0)
    expected = -10 * torch.log10(gray.square().mean()).item()
    assert best_over_trajectory(z, [x]).value == pytest.approx(expected, abs=1e-9)


def test_an_emptied_border_counts_as_equal_in_the_published_form() -> None:
    x = scene(seed=2)
    z = (x + 0.05 * torch.rand(x.shape, generator=torch.Generator().manual_seed(0))).roll((8, 0), dims=(-2, -1))
    counted, cut = (best_over_trajectory(z, [x], empty_border=e) for e in ("counted", "cut"))
    assert counted.shift_px == cut.shift_px == (-8, 0)
    assert counted.value - cut.value == pytest.approx(10 * np.log10(60 / 52), abs=1e-9)


def test_trajectory_scores_of_structure_and_refusals() -> None:
    x = scene()
    assert best_over_trajectory(x, [x], measure="ssim").value == pytest.approx(1.0)
    big = torch.nn.functional.interpolate(x[None], scale_factor=4)[0]
    assert best_over_trajectory(big, [big], measure="ms_ssim").value == pytest.approx(1.0)
    for arguments, message in [
        ((x, []), "no references"),
        ((x, [x[:, 1:]]), "Reference 0 has shape"),
        ((x[None], [x]), "one at a time"),
        ((0 * x, [x]), "black"),
    ]:
        with pytest.raises(InvalidValueError, match=message):
            best_over_trajectory(*arguments)
    with pytest.raises(InvalidValueError, match="'ssim'"):
        best_over_trajectory(x, [x], measure="sim")
    with pytest.raises(InvalidValueError, match="'cut'"):
        best_over_trajectory(x, [x], empty_border="cutt")
