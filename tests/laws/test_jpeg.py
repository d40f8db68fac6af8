"""Laws of JPEG: shape, quality, and the block grid of the full picture."""

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
    codes = np.moveaxis(skimage.data.chelsea(), -1, 0)
    return bs.Frame(np.ascontiguousarray(codes / np.asarray(255, dtype), dtype), bs.Encoding.DISPLAY)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.sampled_from([1, 3]),
    subsampling=st.sampled_from(["444", "422", "420"]),
)
def test_any_size_keeps_its_shape(height: int, width: int, channels: int, subsampling: str) -> None:
    frame = pictures(bs.Encoding.DISPLAY, batch=1, channels=channels, size_px=(height, width))
    out = bs.Jpeg(quality=75, subsampling=subsampling)(frame)
    assert out.image.shape == frame.image.shape
    assert np.array_equal(np.rint(out.image * 255) / np.float32(255), out.image)


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
def test_higher_quality_means_lower_error(subsampling: str) -> None:
    frame = photograph()
    errors = [
        float(np.abs(bs.Jpeg(quality=q, subsampling=subsampling)(frame).image - frame.image).mean())
        for q in (10, 30, 50, 70, 85, 95, 100)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1.5 / 255


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
@pytest.mark.parametrize(("top", "left"), [(16, 32), (21, 45), (50, 63), (17, 17)])
def test_a_window_with_margin_equals_the_whole(subsampling: str, top: int, left: int) -> None:
    frame = photograph()
    jpeg = bs.Jpeg(quality=50, subsampling=subsampling)
    reach = jpeg.reach_px(frame)
    assert reach is not None
    whole = jpeg(frame).image[..., top : top + 70, left : left + 64]
    window = frame.crop(top - reach, left - reach, 70 + 2 * reach, 64 + 2 * reach)
    assert np.array_equal(bs.Draw((("jpeg", jpeg),))(window, margin_px=reach).image, whole)


def test_grey_of_three_channels_stays_grey() -> None:
    grey = np.repeat(photograph().image[:, :1], 3, axis=1)
    out = bs.Jpeg(quality=60)(bs.Frame(grey, bs.Encoding.DISPLAY)).image
    assert np.abs(out - out.mean(axis=1, keepdims=True)).max() <= 1 / 255


def test_four_channels_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="1 or 3 channels, got 4"):
        bs.Jpeg(quality=50)(pictures(bs.Encoding.DISPLAY, channels=4))
