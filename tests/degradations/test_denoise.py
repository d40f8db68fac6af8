"""Noise reduction: what it takes, what it keeps, and what it leaves."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st

import blursynth as bs
from blursynth.errors import InvalidValueError
from blursynth.testing import pictures

LUMA = np.array([0.299, 0.587, 0.114])


def display(image: np.ndarray) -> bs.Frame:
    return bs.Frame(image, bs.Encoding.DISPLAY)


def noisy_gray(sigma_codes: float, size: int = 256, seed: int = 1) -> np.ndarray:
    return 0.5 + np.random.default_rng(seed).normal(0, sigma_codes / 255, (1, 1, size, size))


@given(
    color=st.tuples(*[st.floats(0, 1)] * 3),
    luma=st.floats(0, 128),
    chroma=st.floats(0, 128),
    radius=st.integers(1, 12),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
)
def test_constants_are_kept(
    color: tuple[float, ...], luma: float, chroma: float, radius: int, size: tuple[int, int]
) -> None:
    image = np.array(color)[None, :, None, None] * np.ones((1, 3, *size))
    step = bs.kinds.Denoise(luma_codes=luma, chroma_codes=chroma, luma_radius_px=radius, chroma_radius_px=13 - radius)
    assert np.abs(step(display(image)).image - image).max() <= 1e-12


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_strength_is_no_change_to_the_bit(dtype: type[np.floating]) -> None:
    frame = pictures(bs.Encoding.DISPLAY, dtype=dtype)
    assert np.array_equal(bs.kinds.Denoise(luma_codes=0.0, chroma_codes=0.0)(frame).image, frame.image)


def test_no_strength_is_no_change_beside_pictures_with_some() -> None:
    frame = pictures(bs.Encoding.DISPLAY)
    steps = [bs.kinds.Denoise(luma_codes=0.0, chroma_codes=0.0), bs.kinds.Denoise(luma_codes=9.0, chroma_codes=9.0)]
    draws = [bs.Draw((("denoise", step),)) for step in steps]
    out = bs.apply(draws, frame).image
    assert np.array_equal(out[0], frame.image[0])
    assert not np.array_equal(out[1], frame.image[1])


def test_the_mean_is_kept() -> None:
    """Whatever the strength: all windows that see a pixel are averaged with equal shares."""
    image = np.full((1, 3, 70, 80), 0.5)
    image[:, :, 20:50, 20:60] = skimage.data.chelsea()[100:130, 100:140].transpose(2, 0, 1) / 255 * 0.8 + 0.1
    for strength in (2.0, 10.0, 60.0):
        out = bs.kinds.Denoise(luma_codes=strength, chroma_codes=2 * strength, chroma_radius_px=3)(display(image)).image
        np.testing.assert_allclose(out.mean(axis=(2, 3)), image.mean(axis=(2, 3)), atol=1e-12)


def test_nothing_moves() -> None:
    """A blob stays where it is, and a mirrored picture gives the mirrored result."""
    rows, columns = np.mgrid[:41, :41]
    blob = 0.2 + 0.5 * np.exp(-((rows - 20) ** 2 + (columns - 20) ** 2) / 18.0)
    step = bs.kinds.Denoise(luma_codes=30.0, chroma_codes=0.0)
    out = step(display(blob[None, None])).image[0, 0] - 0.2
    assert abs((out * rows).sum() / out.sum() - 20) <= 1e-9
    assert abs((out * columns).sum() / out.sum() - 20) <= 1e-9
    frame = pictures(bs.Encoding.DISPLAY, dtype=np.float64)
    mirrored = step(display(frame.image[..., ::-1])).image[..., ::-1]
    assert np.abs(mirrored - step(frame).image).max() <= 1e-12


def test_noise_of_the_strength_is_halved_in_each_window() -> None:
    """s = 1/2: half of every pixel stays, beside the means of windows."""
    image = noisy_gray(4.0)
    out = bs.kinds.Denoise(luma_codes=4.0, chroma_codes=0.0, luma_radius_px=8)(display(image)).image
    assert out.std() / image.std() == pytest.approx(0.5, abs=0.02)


def test_stronger_means_less_noise_and_edges_stay() -> None:
    image = noisy_gray(4.0)
    image[..., 128:] += 0.4  # an edge of 100 codes
    left, steepness = [], []
    for strength in (2.0, 5.0, 10.0, 20.0):
        out = bs.kinds.Denoise(luma_codes=strength, chroma_codes=0.0)(display(image)).image[0, 0]
        left.append(out[:, 20:100].std())
        steepness.append((out[:, 128] - out[:, 127]).mean() / 0.4)
    assert left == sorted(left, reverse=True)
    assert left[2] < 0.35 * 4 / 255
    assert steepness == sorted(steepness, reverse=True)
    assert steepness[2] > 0.9


def test_neighboring_noise_agrees_afterwards() -> None:
    image = noisy_gray(4.0)

    def neighbors(picture: np.ndarray) -> float:
        rest = picture[0, 0, 20:-20, 20:-20] - picture[0, 0, 20:-20, 20:-20].mean()
        return float((rest[:, 1:] * rest[:, :-1]).mean() / rest.var())

    assert abs(neighbors(image)) < 5 / 216
    assert neighbors(bs.kinds.Denoise(luma_codes=10.0, chroma_codes=0.0)(display(image)).image) > 0.4


def test_slopes_stay_slopes() -> None:
    """Only their ends, where the border reflects them, are rounded."""
    rows, columns = np.mgrid[:60, :60]
    slope = (0.2 + 0.006 * rows + 0.003 * columns)[None, None]
    out = bs.kinds.Denoise(luma_codes=10.0, chroma_codes=0.0, luma_radius_px=3)(display(slope)).image
    assert np.abs(out - slope)[..., 9:-9, 9:-9].max() <= 1e-12


def test_luma_is_that_of_jpeg() -> None:
    """Noise in red and blue that green makes up for, as ITU-R BT.601 weighs them, is not noise of luma."""
    rng = np.random.default_rng(2)
    red, blue = 0.03 * rng.standard_normal((2, 1, 30, 34))
    image = 0.5 + np.stack([red, -(LUMA[0] * red + LUMA[2] * blue) / LUMA[1], blue], axis=1)
    step = bs.kinds.Denoise(luma_codes=10.0, chroma_codes=0.0)
    assert np.abs(step(display(image)).image - image).max() <= 1e-12
    swapped = np.ascontiguousarray(image[:, ::-1])
    assert np.abs(step(display(swapped)).image - swapped).max() > 1e-3


def test_luma_and_chroma_are_apart() -> None:
    """Chroma alone is smoothed at the same luma, and luma alone at the same chroma."""
    frame = display(0.3 + 0.4 * pictures(bs.Encoding.DISPLAY, dtype=np.float64).image)  # far from the clip
    y = np.einsum("c,bchw->bhw", LUMA, frame.image)
    chroma = bs.kinds.Denoise(luma_codes=0.0, chroma_codes=30.0)(frame).image
    assert np.abs(np.einsum("c,bchw->bhw", LUMA, chroma) - y).max() <= 1e-12
    assert np.abs(chroma - frame.image).max() > 0.01
    luma = bs.kinds.Denoise(luma_codes=30.0, chroma_codes=0.0)(frame).image
    assert np.abs(np.diff(luma - frame.image, axis=1)).max() <= 1e-12


def test_a_noisy_photograph_becomes_better() -> None:
    clean = skimage.data.astronaut()[:256, 100:356].transpose(2, 0, 1)[None] / 255
    noisy = np.clip(clean + np.random.default_rng(5).normal(0, 10 / 255, clean.shape), 0, 1)
    out = bs.kinds.Denoise(luma_codes=8.0, chroma_codes=20.0)(display(noisy)).image
    assert 10 * np.log10(((noisy - clean) ** 2).mean() / ((out - clean) ** 2).mean()) > 3.0  # dB
    assert out.min() >= 0
    assert out.max() <= 1


def test_the_target_is_not_denoised() -> None:
    assert bs.kinds.Denoise(luma_codes=5.0, chroma_codes=10.0).target() == bs.kinds.Identity()


def test_the_reach_is_that_of_what_is_on() -> None:
    frame, gray = pictures(bs.Encoding.DISPLAY), pictures(bs.Encoding.DISPLAY, channels=1)
    both = bs.kinds.Denoise(luma_codes=5.0, chroma_codes=5.0, luma_radius_px=2, chroma_radius_px=7)
    assert (both.reach_px(frame), both.reach_px(gray)) == (21, 6)
    assert both.replace(chroma_codes=0.0).reach_px(frame) == 6
    assert both.replace(chroma_codes=0.0, luma_codes=0.0).reach_px(frame) == 0


def test_four_channels_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="1 or 3 channels, got 4"):
        bs.kinds.Denoise(luma_codes=5.0, chroma_codes=5.0)(pictures(bs.Encoding.DISPLAY, channels=4))


def test_tensors_have_a_derivative() -> None:
    torch = pytest.importorskip("torch", reason="operators on tensors need torch")
    step = bs.kinds.Denoise(luma_codes=20.0, chroma_codes=40.0, luma_radius_px=1, chroma_radius_px=2)
    image = torch.from_numpy(0.3 + 0.4 * pictures(bs.Encoding.DISPLAY, batch=1, size_px=(6, 7), dtype=np.float64).image)
    assert torch.autograd.gradcheck(lambda x: step(display(x)).image, image.requires_grad_(), atol=1e-6)
