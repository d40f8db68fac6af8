"""Picture files, in and out."""

from __future__ import annotations

import logging
import threading
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import blursynth as bs
from blursynth.errors import InvalidValueError, PictureError
from blursynth.io.pictures import read_frame, read_header, read_pixels, write_picture

ROWS, COLUMNS = np.mgrid[:48, :64]
GREY = (128 + 60 * np.sin(COLUMNS / 7) + 50 * np.cos(ROWS / 5)).astype(np.uint8)
RGB = np.stack([GREY, 255 - GREY, (COLUMNS * 3).astype(np.uint8)], axis=-1)
RGB16 = RGB.astype(np.uint16) * 257 + 3
RGB16[RGB == 255] = 65535
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # what EXIF says must be done to see it upright
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


def encoded(ending: str, codes: np.ndarray) -> bytes:
    order = codes[..., ::-1] if codes.ndim == 3 and codes.shape[2] == 3 else codes
    return cv2.imencode(ending, order)[1].tobytes()


@pytest.mark.parametrize("ending", [".png", ".tif", ".bmp", ".ppm", ".webp"])
def test_eight_bits_come_back_as_they_are(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{ending}"
    Image.fromarray(RGB).save(path, **({"lossless": True} if ending == ".webp" else {}))
    codes = read_pixels(path)
    assert codes.dtype == np.uint8
    assert codes.flags.c_contiguous
    assert np.array_equal(codes, RGB)
    info = read_header(path)
    assert (info.height, info.width, info.bit_depth) == (48, 64, 8)


@pytest.mark.parametrize("ending", [".png", ".tif", ".ppm"])
def test_sixteen_bits_stay_sixteen(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{ending}"
    path.write_bytes(encoded(ending, RGB16))
    assert read_header(path).bit_depth == 16
    codes = read_pixels(path)
    assert codes.dtype == np.uint16
    assert np.array_equal(codes, RGB16)
    image = read_frame(path, dtype=np.float64).image
    assert np.array_equal(np.rint(image[0] * 65535), np.moveaxis(RGB16, -1, 0))


@pytest.mark.parametrize("ending", [".png", ".tif", ".pgm"])
def test_gray_becomes_three_equal_channels(ending: str, tmp_path: Path) -> None:
    for gray in (GREY, GREY.astype(np.uint16) * 257):
        path = tmp_path / f"a{ending}"
        path.write_bytes(encoded(ending, gray))
        codes = read_pixels(path)
        assert codes.dtype == gray.dtype
        assert np.array_equal(codes, np.repeat(gray[..., None], 3, axis=2))


@pytest.mark.parametrize("orientation", TURNS)
def test_pictures_are_turned_upright(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = TURNS[orientation](RGB)
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    Image.fromarray(RGB).save(tmp_path / "a.tif", tiffinfo={0x0112: orientation})
    Image.fromarray(GREY.astype(np.uint16)).save(tmp_path / "gray16.tif", tiffinfo={0x0112: orientation})
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=exif, quality=100, subsampling=0)
    for name in ("a.png", "a.tif"):
        assert np.array_equal(read_pixels(tmp_path / name), expected), name
    assert np.array_equal(read_pixels(tmp_path / "gray16.tif")[..., 0], TURNS[orientation](GREY))
    assert np.abs(read_pixels(tmp_path / "a.jpg").astype(int) - expected).max() < 12
    for name in ("a.png", "a.tif", "gray16.tif", "a.jpg"):
        info = read_header(tmp_path / name)
        assert (info.height, info.width) == expected.shape[:2], name


def test_sixteen_bit_png_is_turned_too(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_pixels(tmp_path / "a.png")[..., 0], TURNS[6](GREY.astype(np.uint16) * 257))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_decoding_makes_no_second_copy(mode: str, tmp_path: Path) -> None:
    """Of what Pillow has decoded (outside of Python's memory) one array is made, some rows at a time."""
    height, width = 1503, 2011
    bands = np.random.default_rng(3).integers(0, 256, (height, width, 4), np.uint8)
    picture = Image.fromarray(bands[..., : {"RGB": 3, "L": 1, "CMYK": 4}[mode]].squeeze(), mode)
    picture.save(tmp_path / "large.tif")
    tracemalloc.start()
    try:
        codes = read_pixels(tmp_path / "large.tif")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(codes, np.asarray(picture.convert("RGB")))
    assert codes.nbytes < most < 1.5 * codes.nbytes + 2**22


def test_copyright_and_profile_are_noted(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x8298] = "Jane Doe, CC BY 4.0"
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=exif)
    assert read_header(tmp_path / "a.jpg").license == "Jane Doe, CC BY 4.0"
    assert read_frame(tmp_path / "a.jpg").license == ("Jane Doe, CC BY 4.0",)
    Image.fromarray(RGB).save(tmp_path / "b.jpg", icc_profile=b"nonsense" * 30)
    assert read_header(tmp_path / "b.jpg").icc_profile == "unreadable profile"
    assert read_header(tmp_path / "a.jpg").icc_profile == ""


def test_reading_leaves_pillows_limit_and_the_filters_of_warnings_alone(tmp_path: Path) -> None:
    """Pictures are read by many threads, and the filters are shared by all of them."""
    Image.fromarray(RGB).save(tmp_path / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    data = exif.tobytes()
    Image.fromarray(RGB).save(tmp_path / "b.jpg", exif=data[:12] + b"\xff" * (len(data) - 12))
    limit, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    faults: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(10):
                read_pixels(tmp_path / "a.png")
                read_pixels(tmp_path / "b.jpg")
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert (limit, filters) == (Image.MAX_IMAGE_PIXELS, list(warnings.filters))


def test_written_pictures_come_back(tmp_path: Path) -> None:
    planar = np.moveaxis(RGB, -1, 0) / np.float32(255)
    write_picture(tmp_path / "new" / "a.png", planar)
    assert np.array_equal(read_pixels(tmp_path / "new" / "a.png"), RGB)
    write_picture(tmp_path / "gray.png", planar[0])
    assert np.array_equal(read_pixels(tmp_path / "gray.png")[..., 1], GREY)
    write_picture(tmp_path / "frame.png", bs.Frame(planar, "display"))
    assert np.array_equal(read_pixels(tmp_path / "frame.png"), RGB)
    write_picture(tmp_path / "clipped.png", planar * 3 - 1)
    assert read_pixels(tmp_path / "clipped.png").max() == 255
    for ending in ("png", "tif"):
        write_picture(tmp_path / f"fine.{ending}", planar, bit_depth=16)
        codes = read_pixels(tmp_path / f"fine.{ending}")
        assert codes.dtype == np.uint16
        assert np.array_equal(codes, np.rint(np.moveaxis(planar, 0, -1) * 65535))
    with pytest.raises(InvalidValueError, match=r"16 for \.png"):
        write_picture(tmp_path / "fine.jpg", planar, bit_depth=16)
    write_picture(tmp_path / "a.jpg", planar)
    assert np.abs(read_pixels(tmp_path / "a.jpg").astype(int) - RGB).mean() < 2


@pytest.mark.parametrize(
    ("name", "image", "message"),
    [
        ("a.png", np.zeros((3, 4, 4), np.uint8), "takes floating-point values 0..1, got uint8. Divide codes by white."),
        ("a.png", np.zeros((4, 4, 3)), "with 1 or 3 channels, got shape (4, 4, 3). Channels come first"),
        ("a.png", np.zeros((2, 4, 4)), "got shape (2, 4, 4)"),
        ("a.png", np.zeros((3, 0, 4)), "got shape (3, 0, 4)"),
        ("a.png", np.full((3, 4, 4), np.nan), "got shape (3, 4, 4) with NaN or infinite values."),
        ("a.png", bs.Frame(np.zeros((3, 4, 4), np.float32), "linear"), "takes one display frame, got Frame(1x3x4x4 linear). Encode it first"),
        ("a.png", bs.Frame(np.zeros((2, 3, 4, 4), np.float32), "display"), "got Frame(2x3x4x4 display)"),
        ("a.foo", np.zeros((3, 4, 4)), "a.foo: pictures cannot be written in the format '.foo'. Known: .png"),
        ("a", np.zeros((3, 4, 4)), "in the format ''"),
        ("file/a.png", np.zeros((3, 4, 4)), "cannot be written (a part of the path is a file)"),
    ],
)  # fmt: skip
def test_what_cannot_be_written(name: str, image: object, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((InvalidValueError, PictureError)) as caught:
        write_picture(tmp_path / name, image)
    assert message in str(caught.value)


def test_depth_comes_with_the_picture(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    depth = np.linspace(1, 5, GREY.size).reshape(GREY.shape)
    np.save(tmp_path / "depth.npy", depth)
    frame = read_frame(tmp_path / "a.png", depth=tmp_path / "depth.npy")
    assert frame.depth_m is not None
    assert np.allclose(frame.depth_m[0], depth)


@pytest.mark.parametrize(
    ("depth", "message"),
    [
        (np.ones((48, 65)), "d.npy: depth has 48 x 65 px (rows x columns), its picture 48 x 64."),
        (np.zeros((48, 64)), "d.npy: depth holds no known value: every pixel is NaN, infinite or 0."),
        (np.array(["a"]), "d.npy: is not a readable .npy file of numbers (it does not hold one array of numbers)."),
        (b"", "d.npy: is empty (0 bytes)."),
        (b"text", "d.npy: is not a readable .npy file of numbers (it is not an array file). Save [H, W] with numpy.save."),
        (np.array([{}]), "d.npy: is not a readable .npy file of numbers (it holds Python objects, which are never unpickled)."),
        (None, "d.npy: there is no such file."),
    ],
)  # fmt: skip
def test_bad_depth(depth: object, message: str, tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    if isinstance(depth, bytes):
        (tmp_path / "d.npy").write_bytes(depth)
    elif depth is not None:
        np.save(tmp_path / "d.npy", depth)
    with pytest.raises(PictureError) as caught:
        read_frame(tmp_path / "a.png", depth=tmp_path / "d.npy")
    assert message in str(caught.value)
    assert "allow_pickle" not in str(caught.value)


def test_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """OpenCV writes to the terminal on its own when it cannot read a file."""
    good = encoded(".tif", RGB16)
    (tmp_path / "a.tif").write_bytes(good[: len(good) // 2] if good[:4] == b"" else good[:200] + b"\xff" * 200)
    with caplog.at_level(logging.DEBUG), pytest.raises(PictureError):
        read_pixels(tmp_path / "a.tif")
    assert capfd.readouterr() == ("", "")
