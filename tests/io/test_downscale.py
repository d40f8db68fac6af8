"""Downscaling in linear light, of frames with maps and cameras."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import blursynth as bs
from blursynth.errors import InvalidValueError
from blursynth.physics.color import srgb_from_linear, srgb_to_linear
from blursynth.testing import pictures


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_light_is_averaged_over_blocks(factor: int) -> None:
    frame = pictures(dtype=np.float64)
    height, width = (n // factor for n in frame.size_px)
    small = bs.downscale(frame, factor)
    assert small.size_px == (height, width)
    block = frame.image[1, 2, factor : 2 * factor, 2 * factor : 3 * factor]
    assert small.image[1, 2, 1, 2] == pytest.approx(block.mean(), abs=1e-15)
    kept = frame.image[..., : height * factor, : width * factor]
    assert small.image.mean() == pytest.approx(kept.mean(), abs=1e-13)  # light is neither made nor lost


def test_codes_are_averaged_as_light_and_not_rounded() -> None:
    frame = pictures(bs.Encoding.DISPLAY, dtype=np.float64)
    small = bs.downscale(frame, 2)
    assert small.encoding is bs.Encoding.DISPLAY
    light = srgb_to_linear(frame.image[0, 0, 4:6, 6:8]).mean()
    assert small.image[0, 0, 2, 3] == pytest.approx(float(srgb_from_linear(light)), abs=1e-12)
    assert np.abs(small.image * 255 - np.rint(small.image * 255)).max() > 0.4
    whole = bs.kinds.Decode()(frame)
    np.testing.assert_allclose(bs.kinds.Decode()(small).image, bs.downscale(whole, 2).image, atol=1e-12)


@pytest.mark.parametrize("factor", [2, 3])
def test_maps_are_never_averaged(factor: int) -> None:
    frame = pictures()
    small = bs.downscale(frame, factor)
    middle = factor // 2
    for name in ("depth_m", "labels"):
        made, given_ = getattr(small, name), getattr(frame, name)
        assert made.dtype == given_.dtype
        assert set(np.unique(made)) <= set(np.unique(given_))
        assert made[1, 3, 5] == given_[1, 3 * factor + middle, 5 * factor + middle]


def test_the_camera_has_larger_pixels() -> None:
    camera = bs.Intrinsics(focal_length_mm=4.2, pixel_pitch_um=1.4, principal_point_px=(3.5, 7.5))
    frame = bs.Frame(np.zeros((3, 8, 16), np.float32), "linear", camera=camera)
    small = bs.downscale(frame, 2).camera[0]
    assert small.pixel_pitch_um == 2.8
    assert small.focal_length_mm == 4.2
    assert small.principal_point_px == (1.5, 3.5)  # the middle stays the middle
    assert small.focal_length_px == pytest.approx(camera.focal_length_px / 2)


@given(st.integers(2, 8), st.integers(0, 2), st.integers(0, 2))
def test_a_window_is_that_of_the_whole(factor: int, row: int, column: int) -> None:
    frame = pictures(size_px=(45, 53))
    whole = bs.downscale(frame, factor)
    rows, columns = (n // factor - 2 for n in frame.size_px)
    part = bs.downscale(frame.crop(row * factor, column * factor, rows * factor, columns * factor), factor)
    np.testing.assert_array_equal(part.image, whole.image[..., row : row + rows, column : column + columns])
    np.testing.assert_array_equal(part.origin_px[0], [row, column])
    np.testing.assert_array_equal(part.full_size_px, whole.full_size_px)


def test_on_tensors() -> None:
    torch = pytest.importorskip("torch")
    for encoding in (bs.Encoding.LINEAR, bs.Encoding.DISPLAY):
        frame = pictures(encoding)
        tensors = bs.Frame(torch.from_numpy(frame.image), encoding, depth_m=torch.from_numpy(frame.depth_m))
        small = bs.downscale(tensors, 3)
        assert isinstance(small.image, torch.Tensor)
        np.testing.assert_allclose(small.image.numpy(), bs.downscale(frame, 3).image, atol=1e-6)
        np.testing.assert_array_equal(small.depth_m.numpy(), bs.downscale(frame, 3).depth_m)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: bs.downscale(pictures(), 1), "factor must be an integer 2 to 8, got 1"),
        (lambda: bs.downscale(pictures(), 9), "got 9"),
        (lambda: bs.downscale(pictures(), 2.0), "got 2.0"),
        (lambda: bs.downscale(pictures(), True), "got True"),
        (lambda: bs.downscale(pictures(bs.Encoding.RAW), 2), "Put a develop step before it"),
        (lambda: bs.downscale(pictures(size_px=(7, 30)), 8), "7 x 30 px has no block of 8 x 8"),
        (lambda: bs.downscale(pictures().crop(1, 0, 8, 8), 2), "which is not a multiple of 2"),
    ],
)
def test_bad_arguments(make: object, words: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        make()
    assert words in str(caught.value)
