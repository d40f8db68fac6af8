"""Sharpening: an unsharp mask on luma, with a threshold and a limit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import blursynth as bs
from blursynth.errors import InvalidValueError
from blursynth.physics import point_spread
from blursynth.testing import pictures

LUMA = np.array([0.299, 0.587, 0.114])


def display(image: np.ndarray) -> bs.Frame:
    return bs.Frame(image, bs.Encoding.DISPLAY)


def edge(low: float = 0.3, high: float = 0.6, channels: int = 1) -> np.ndarray:
    image = np.full((1, channels, 9, 60), low)
    image[..., 30:] = high
    return image


@given(
    color=st.tuples(*[st.floats(0, 1)] * 3),
    sigma=st.floats(0.1, 8),
    amount=st.floats(0, 20),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
)
def test_constants_are_kept(color: tuple[float, ...], sigma: float, amount: float, size: tuple[int, int]) -> None:
    image = np.array(color)[None, :, None, None] * np.ones((1, 3, *size))
    assert np.abs(bs.kinds.Sharpen(sigma_px=sigma, amount=amount)(display(image)).image - image).max() <= 1e-12


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_amount_is_no_change_to_the_bit(dtype: type[np.floating]) -> None:
    frame = pictures(bs.Encoding.DISPLAY, dtype=dtype)
    assert np.array_equal(bs.kinds.Sharpen(sigma_px=1.0, amount=0.0)(frame).image, frame.image)


def test_an_impulse_shows_the_mask() -> None:
    image = np.full((1, 1, 31, 31), 0.5)
    image[0, 0, 15, 15] += 0.1
    out = bs.kinds.Sharpen(sigma_px=1.2, amount=0.8)(display(image)).image
    kernel = point_spread.gaussian(1.2).to_dense(size_px=31)
    expected = image + 0.08 * (-kernel)
    expected[0, 0, 15, 15] += 0.08
    assert np.abs(out - expected).max() <= 1e-12


def test_mean_and_place_are_kept() -> None:
    rows, columns = np.mgrid[:61, :61]
    blob = 0.2 + 0.4 * np.exp(-((rows - 29.3) ** 2 + (columns - 31.6) ** 2) / 18.0)
    out = bs.kinds.Sharpen(sigma_px=1.5, amount=1.0)(display(blob[None, None])).image[0, 0]
    assert out.mean() == pytest.approx(blob.mean(), abs=1e-9)
    for axis in (rows, columns):
        before = ((blob - 0.2) * axis).sum() / (blob - 0.2).sum()
        assert ((out - 0.2) * axis).sum() / (out - 0.2).sum() == pytest.approx(before, abs=1e-6)


@given(amount=st.floats(0.1, 3), sigma=st.floats(0.5, 3))
def test_edges_get_halos_on_both_sides_as_large_as_each_other(amount: float, sigma: float) -> None:
    out = bs.kinds.Sharpen(sigma_px=sigma, amount=amount)(display(edge(0.45, 0.55))).image
    over, under = out.max() - 0.55, 0.45 - out.min()
    assert over > 0
    assert over == pytest.approx(under, abs=1e-12)


def test_the_limit_is_that_of_the_change() -> None:
    before = edge()
    free = bs.kinds.Sharpen(sigma_px=1.0, amount=2.0)(display(before)).image
    assert np.abs(free - before).max() > 20 / 255
    held = bs.kinds.Sharpen(sigma_px=1.0, amount=2.0, limit_codes=12.0)(display(before)).image
    assert np.abs(held - before).max() == pytest.approx(12 / 255, abs=1e-12)


def test_the_threshold_spares_small_differences() -> None:
    step = bs.kinds.Sharpen(sigma_px=1.0, amount=2.0, threshold_codes=5.0)
    low = edge(0.5, 0.5 + 9 / 255)  # less than 5 codes on each side
    assert np.array_equal(step(display(low)).image, low)
    high = edge(0.3, 0.7)
    sharp, all_sharp = step(display(high)).image, step.replace(threshold_codes=0.0)(display(high)).image
    assert (np.abs(all_sharp - high) - np.abs(sharp - high)).max() == pytest.approx(2 * 5 / 255, abs=1e-12)


def test_all_channels_change_alike_by_the_luma() -> None:
    frame = display(0.4 + 0.2 * pictures(bs.Encoding.DISPLAY, dtype=np.float64).image)
    step = bs.kinds.Sharpen(sigma_px=1.0, amount=0.7)
    change = step(frame).image - frame.image
    assert np.abs(np.diff(change, axis=1)).max() <= 1e-12
    y = np.einsum("c,bchw->bhw", LUMA, frame.image)[:, None]
    assert np.abs(step(display(y)).image - y - change[:, :1]).max() <= 1e-12


def test_the_result_stays_within_0_and_1() -> None:
    out = bs.kinds.Sharpen(sigma_px=2.0, amount=10.0)(pictures(bs.Encoding.DISPLAY)).image
    assert out.min() == 0
    assert out.max() == 1


def test_the_target_is_not_sharpened() -> None:
    assert bs.kinds.Sharpen(sigma_px=1.0, amount=1.0).target() == bs.kinds.Identity()


def test_each_picture_has_its_own_numbers() -> None:
    frame = pictures(bs.Encoding.DISPLAY, batch=3)
    steps = [
        bs.kinds.Sharpen(sigma_px=0.7, amount=1.0, threshold_codes=3.0),
        bs.kinds.Sharpen(sigma_px=2.0, amount=0.0),
        bs.kinds.Sharpen(sigma_px=1.3, amount=2.0, limit_codes=9.0),
    ]
    together = bs.apply([bs.Draw((("sharpen", step),)) for step in steps], frame).image
    for b, step in enumerate(steps):
        assert np.array_equal(step(frame[b]).image[0], together[b])


def test_four_channels_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="1 or 3 channels, got 4"):
        bs.kinds.Sharpen(sigma_px=1.0, amount=1.0)(pictures(bs.Encoding.DISPLAY, channels=4))


def test_tensors_have_a_derivative() -> None:
    torch = pytest.importorskip("torch", reason="operators on tensors need torch")
    step = bs.kinds.Sharpen(sigma_px=0.7, amount=1.0, threshold_codes=1.0, limit_codes=40.0)
    image = torch.from_numpy(0.3 + 0.4 * pictures(bs.Encoding.DISPLAY, batch=1, size_px=(6, 7), dtype=np.float64).image)
    assert torch.autograd.gradcheck(lambda x: step(display(x)).image, image.requires_grad_(), atol=1e-6)
