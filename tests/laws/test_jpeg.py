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


# -- compressed twice -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subsampling", ["444", "420"])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (3, 5), (8, 8), (15, 9)])
def test_a_grid_that_begins_elsewhere(subsampling: str, row: int, column: int) -> None:
    """It is that of the picture which was cropped there and saved."""
    frame = photograph()
    step = bs.Jpeg(quality=40, subsampling=subsampling, grid_row_px=row, grid_column_px=column)
    cropped = frame.crop(row, column, 90, 100)
    alone = bs.Frame(cropped.image, bs.Encoding.DISPLAY)
    expected = bs.Jpeg(quality=40, subsampling=subsampling)(alone).image
    assert np.array_equal(step(cropped).image, expected)


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
def test_a_window_on_a_shifted_grid_equals_the_whole(subsampling: str) -> None:
    frame = photograph()
    jpeg = bs.Jpeg(quality=50, subsampling=subsampling, grid_row_px=11, grid_column_px=6)
    reach = jpeg.reach_px(frame)
    assert reach is not None
    window = frame.crop(50 - reach, 61 - reach, 70 + 2 * reach, 64 + 2 * reach)
    whole = jpeg(frame).image[..., 50:120, 61:125]
    assert np.array_equal(bs.Draw((("jpeg", jpeg),))(window, margin_px=reach).image, whole)


def test_two_steps_of_a_recipe_compress_twice() -> None:
    """As a recipe in TOML: two steps of one kind need two names; the grids may differ."""
    recipe = bs.Recipe.from_dict(
        {
            "summary": "Saved, cropped, saved again",
            "step": [
                {"name": "camera", "kind": "jpeg", "quality": 70, "subsampling": "444"},
                {
                    "name": "service",
                    "kind": "jpeg",
                    "quality": 60,
                    "subsampling": "444",
                    "grid_row_px": {"integer": [0, 15]},
                    "grid_column_px": 3,
                },
            ],
        }
    )
    frame = photograph()
    draw = recipe.sample(frame, seed=1, index=2)
    first, second = (draw[name] for name in ("camera", "service"))
    assert isinstance(second, bs.Jpeg)
    once = first(frame)
    assert np.array_equal(draw(frame).image, second(once).image)
    # Blocks on the same grid are nearly at rest; on another grid they lose again.
    same = bs.Jpeg(quality=70, subsampling="444")(once).image - once.image
    shifted = bs.Jpeg(quality=70, subsampling="444", grid_row_px=4, grid_column_px=4)(once).image - once.image
    assert np.abs(same).mean() < 0.5 * np.abs(shifted).mean()
