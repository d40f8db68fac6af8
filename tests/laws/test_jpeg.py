"""Laws of JPEG that the kit does not know: color, and the block grid of the full picture, which is libjpeg's."""

from __future__ import annotations

import io

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray
from PIL import Image

import blursynth as bs
from blursynth.errors import InvalidValueError
from blursynth.testing import pictures


def photograph(dtype: type = np.float32) -> bs.Frame:
    codes = np.moveaxis(skimage.data.chelsea(), -1, 0)
    return bs.Frame(np.ascontiguousarray(codes / np.asarray(255, dtype), dtype), bs.Encoding.DISPLAY)


def through_pillow(codes: NDArray[np.uint8], quality: int, subsampling: str) -> NDArray[np.uint8]:
    """``[C, H, W]`` codes of a picture that another program than ours saved and opened again."""
    planes = np.moveaxis(codes, 0, -1)
    file = io.BytesIO()
    Image.fromarray(planes if len(codes) == 3 else planes[..., 0]).save(
        file, "jpeg", quality=quality, subsampling={"444": 0, "422": 1, "420": 2}[subsampling]
    )
    opened = np.asarray(Image.open(file))
    return np.moveaxis(opened, -1, 0) if len(codes) == 3 else opened[None]


def codes_of(frame: bs.Frame) -> NDArray[np.uint8]:
    return np.rint(frame.image[0] * 255).astype(np.uint8)


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
@pytest.mark.parametrize("channels", [1, 3])
def test_codes_are_those_of_a_file_of_pillow(subsampling: str, channels: int) -> None:
    """Blocks begin with the picture's first pixel, in files of any program; the grid of a window is the whole's."""
    frame = photograph().crop(0, 0, 211, 230)
    frame = bs.Frame(np.ascontiguousarray(frame.image[:, :channels]), bs.Encoding.DISPLAY)
    jpeg = bs.kinds.Jpeg(quality=35, subsampling=subsampling)
    whole = through_pillow(codes_of(frame), 35, subsampling)
    assert np.array_equal(codes_of(jpeg(frame)), whole)
    # A window that begins inside of a block, at a row and a column that differ by no multiple of a block.
    top, left, height, width = 59, 37, 70, 75
    reach = jpeg.reach_px(frame)
    assert reach is not None
    window = frame.crop(top - reach, left - reach, height + 2 * reach, width + 2 * reach)
    made = bs.Draw((("jpeg", jpeg),))(window, margin_px=reach)
    assert np.array_equal(codes_of(made), whole[:, top : top + height, left : left + width])
    # A grid that begins elsewhere is that of a file of the picture from there on.
    row, column = 13, 6
    moved = codes_of(jpeg.replace(grid_row_px=row, grid_column_px=column)(frame))[:, row:, column:]
    cut = through_pillow(codes_of(frame)[:, row:, column:], 35, subsampling)
    # Beside its edge the cut picture has no neighbors from which chroma could be interpolated.
    beside = 0 if subsampling == "444" or channels == 1 else 1
    assert np.array_equal(moved[:, beside:, beside:], cut[:, beside:, beside:])


@pytest.mark.parametrize(("row", "column"), [(0, 0), (5, 0), (0, 3), (2, 7)])
def test_at_the_lowest_quality_every_block_is_one_color(row: int, column: int) -> None:
    """Of a gentle slope only the means of blocks are left, which show where blocks begin."""
    rows, columns = np.mgrid[:72, :88]
    slope = ((40 + 1.4 * rows + 1.1 * columns) / 255).astype(np.float32)
    out = bs.kinds.Jpeg(quality=1, grid_row_px=row, grid_column_px=column)(
        bs.Frame(slope[None, None], bs.Encoding.DISPLAY)
    )
    codes = codes_of(out)[0].astype(int)
    assert np.array_equal(np.rint(out.image * 255) / np.float32(255), out.image), "no value between two codes"
    for axis, first in ((0, row), (1, column)):
        steps = np.abs(np.diff(codes, axis=axis)).sum(axis=1 - axis)
        begins = (np.arange(steps.size) + 1) % 8 == first
        assert steps[~begins].max() == 0
        assert steps[begins].min() > 0


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
@pytest.mark.parametrize(("top", "left"), [(16, 32), (21, 45), (50, 63), (17, 17)])
def test_a_window_with_margin_equals_the_whole(subsampling: str, top: int, left: int) -> None:
    frame = photograph()
    jpeg = bs.kinds.Jpeg(quality=50, subsampling=subsampling)
    reach = jpeg.reach_px(frame)
    assert reach is not None
    whole = jpeg(frame).image[..., top : top + 70, left : left + 64]
    window = frame.crop(top - reach, left - reach, 70 + 2 * reach, 64 + 2 * reach)
    assert np.array_equal(bs.Draw((("jpeg", jpeg),))(window, margin_px=reach).image, whole)


def test_four_channels_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="1 or 3 channels, got 4"):
        bs.kinds.Jpeg(quality=50)(pictures(bs.Encoding.DISPLAY, channels=4))


# -- compressed twice -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subsampling", ["444", "420"])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (3, 5), (8, 8), (15, 9)])
def test_a_grid_that_begins_elsewhere(subsampling: str, row: int, column: int) -> None:
    """It is that of the picture which was cropped there and saved."""
    frame = photograph()
    step = bs.kinds.Jpeg(quality=40, subsampling=subsampling, grid_row_px=row, grid_column_px=column)
    cropped = frame.crop(row, column, 90, 100)
    alone = bs.Frame(cropped.image, bs.Encoding.DISPLAY)
    expected = bs.kinds.Jpeg(quality=40, subsampling=subsampling)(alone).image
    assert np.array_equal(step(cropped).image, expected)


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
def test_a_window_on_a_shifted_grid_equals_the_whole(subsampling: str) -> None:
    frame = photograph()
    jpeg = bs.kinds.Jpeg(quality=50, subsampling=subsampling, grid_row_px=11, grid_column_px=6)
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
    assert isinstance(second, bs.kinds.Jpeg)
    once = first(frame)
    assert np.array_equal(draw(frame).image, second(once).image)
    # Blocks on the same grid are nearly at rest; on another grid they lose again.
    same = bs.kinds.Jpeg(quality=70, subsampling="444")(once).image - once.image
    shifted = bs.kinds.Jpeg(quality=70, subsampling="444", grid_row_px=4, grid_column_px=4)(once).image - once.image
    assert np.abs(same).mean() < 0.5 * np.abs(shifted).mean()
