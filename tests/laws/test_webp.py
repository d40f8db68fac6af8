"""Laws of WebP: shape, quality, gray, and that each pixel depends on all others."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st

import blursynth as bs
from blursynth.errors import InvalidValueError
from blursynth.testing import pictures


def photograph(dtype: type = np.float32) -> bs.Frame:
    codes = np.moveaxis(skimage.data.chelsea()[:160, :192], -1, 0)
    return bs.Frame(np.ascontiguousarray(codes / np.asarray(255, dtype), dtype), bs.Encoding.DISPLAY)


@given(height=st.integers(1, 40), width=st.integers(1, 40), channels=st.sampled_from([1, 3]), top=st.integers(0, 15))
def test_any_size_keeps_its_shape(height: int, width: int, channels: int, top: int) -> None:
    frame = pictures(bs.Encoding.DISPLAY, batch=1, channels=channels, size_px=(height, width), origin_px=(top, 3))
    out = bs.kinds.Webp(quality=75, effort=0)(frame)
    assert out.image.shape == frame.image.shape
    assert np.array_equal(np.rint(out.image * 255) / np.float32(255), out.image)


@pytest.mark.parametrize("effort", [0, 4])
def test_higher_quality_means_lower_error(effort: int) -> None:
    frame = photograph()
    errors = [
        float(np.abs(bs.kinds.Webp(quality=q, effort=effort)(frame).image - frame.image).mean())
        for q in (0, 20, 40, 60, 80, 95, 100)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 2.5 / 255  # chroma has half the resolution at any quality


@pytest.mark.parametrize("channels", [1, 3])
def test_gray_stays_gray(channels: int) -> None:
    gray = np.repeat(photograph().image[:, :1], channels, axis=1)
    out = bs.kinds.Webp(quality=60)(bs.Frame(gray, bs.Encoding.DISPLAY)).image
    assert np.abs(out - out.mean(axis=1, keepdims=True)).max() <= 1 / 255
    assert np.abs(out - gray).mean() < 5 / 255


def test_its_reach_is_unbounded() -> None:
    """A change of the first block changes pixels everywhere, so no margin is wide enough."""
    frame = photograph()
    webp = bs.kinds.Webp(quality=80)
    assert webp.reach_px(frame) is None
    changed = frame.image.copy()
    changed[..., :16, :16] = 1 - changed[..., :16, :16]
    moved = np.abs(webp(frame.with_image(changed)).image - webp(frame).image)[..., 64:, 64:] > 0
    assert moved.any(axis=1).mean() > 0.2
    with pytest.raises(InvalidValueError, match="margin_px"):
        bs.Draw((("webp", webp),))(frame, margin_px=32)


def test_the_block_grid_is_that_of_the_full_picture() -> None:
    """A crop has blocks cut off at its corner; a grid that begins there is that of a file of its own."""
    cropped = photograph().crop(5, 7, 80, 96)
    alone = bs.Frame(cropped.image, bs.Encoding.DISPLAY)
    webp = bs.kinds.Webp(quality=60)
    assert not np.array_equal(webp(cropped).image, webp(alone).image)
    assert np.array_equal(webp.replace(grid_row_px=5, grid_column_px=7)(cropped).image, webp(alone).image)
    there = photograph().crop(32, 48, 80, 96)  # on the grid
    assert np.array_equal(webp(there).image, webp(bs.Frame(there.image, bs.Encoding.DISPLAY)).image)


def test_four_channels_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="1 or 3 channels, got 4"):
        bs.kinds.Webp(quality=50)(pictures(bs.Encoding.DISPLAY, channels=4))


def test_pictures_larger_than_the_format_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="at most 16383 px a side"):
        bs.kinds.Webp(quality=50)(bs.Frame(np.zeros((1, 1, 2, 16384), np.float32), bs.Encoding.DISPLAY))


def test_tensors_that_need_a_derivative_are_refused() -> None:
    torch = pytest.importorskip("torch", reason="operators on tensors need torch")
    frame = photograph()
    tensor = torch.from_numpy(frame.image)
    assert np.array_equal(
        bs.kinds.Webp(quality=50)(frame.with_image(tensor)).image.numpy(), bs.kinds.Webp(quality=50)(frame).image
    )
    with pytest.raises(InvalidValueError, match="WebP has no derivative"):
        bs.kinds.Webp(quality=50)(frame.with_image(tensor.clone().requires_grad_()))
