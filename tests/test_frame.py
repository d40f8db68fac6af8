"""What frames are made of: arrays, bytes and pictures of other libraries; and what they refuse, with the remedy."""

from __future__ import annotations

import copy
import io
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import blursynth as bs
from blursynth.errors import InvalidValueError, PictureError
from blursynth.frame import Deferred
from blursynth.testing import pictures

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


def frame_of(*values: float, encoding: str = "display") -> bs.Frame:
    return bs.Frame(np.array([values], np.float32), encoding)


@pytest.mark.parametrize(
    ("values", "remedy"),
    [
        ((0, 255), r"got 0 to 255\..*Frame.from_uint8.*image / 255.*encoding='linear'"),
        ((0, 1023), r"image / 1023"),
        ((12, 65535), r"image / 65535"),
        ((-1, 1), r"\(image \+ 1\) / 2"),
        ((-2.1, 2.6), r"image \* std \+ mean.*image.clip\(0, 1\)"),
        ((0, np.nan), r"got 1 value that is NaN or infinite.*nan_to_num"),
        ((-np.inf, 1), r"got 1 value that is NaN or infinite"),
    ],
)
def test_display_frames_refuse_what_they_cannot_hold(values: tuple[float, float], remedy: str) -> None:
    with pytest.raises(InvalidValueError, match=remedy):
        frame_of(*values)
    with pytest.raises(InvalidValueError, match=remedy):
        replace(frame_of(0, 1), image=np.array([values], np.float64))


@pytest.mark.parametrize("encoding", ["linear", "raw"])
def test_light_may_be_anything_finite(encoding: str) -> None:
    assert frame_of(-0.2, 3568.0, 70000.0, encoding=encoding).image.max() == 70000
    for bad in (np.nan, np.inf):
        with pytest.raises(InvalidValueError, match="NaN or infinite"):
            frame_of(0, bad, encoding=encoding)


def test_overshoot_of_resizing_and_of_an_ideal_low_pass_passes() -> None:
    checks = np.indices((24, 24)).sum(0) % 2
    for method in (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS):
        resized = np.asarray(Image.fromarray(checks.astype(np.float32)).resize((37, 37), method))
        assert resized.min() < -0.001  # or nothing is tried here
        bs.Frame(resized, "display")
    corner = np.zeros((64, 64))
    corner[20:44, 20:44] = 1
    spectrum = np.fft.fft2(corner)
    low = (np.abs(np.fft.fftfreq(64)) < 0.2).astype(float)
    ringing = np.fft.ifft2(spectrum * low[:, None] * low).real
    assert ringing.max() > 1.1
    bs.Frame(ringing, "display")


def test_what_is_derived_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pictures(batch=2, size_px=(20, 24), encoding=bs.Encoding.DISPLAY)
    draw = bs.load_recipe("default").sample(frame[0], seed=0, index=0)

    def refuse(*_: Any) -> None:
        raise AssertionError("looked at")

    monkeypatch.setattr("blursynth.frame.check_values", refuse)
    monkeypatch.setattr("blursynth.frame.check_depth", refuse)
    part = frame.crop(2, 3, 16, 16)
    assert part.with_image(part.image + 7).image.max() > 7
    assert bs.Frame.stack([part[0], part[1]]).labels is not None
    draw.pair(part[0])
    assert bs.Frame.unchecked(np.full((4, 4), np.nan), "display").size_px == (4, 4)


def test_a_new_depth_is_looked_at() -> None:
    frame = frame_of(0, 1)
    with pytest.raises(InvalidValueError, match="meters along the optical axis"):
        frame.with_image(frame.image, depth_m=np.zeros((1, 2)))
    with pytest.raises(InvalidValueError, match=r"np\.full"):
        frame.with_image(frame.image, depth_m=2.0)


@pytest.mark.parametrize(
    ("image", "remedy"),
    [
        (np.zeros((3, 4, 4), np.float16), r"got float16\. float16 has 11 bits.*astype\(np\.float32\)"),
        (np.zeros((3, 4, 4), np.uint8), r"got uint8\..*Frame\.from_uint8"),
        (np.zeros((3, 4, 4), np.uint16), r"got uint16\..*65535"),
        (np.zeros((3, 4, 4), ">f4"), r"got >f4\..*astype\(np\.float32\)"),
        (np.zeros((4, 4), complex), r"got complex128"),
        (Image.new("RGB", (4, 4)), r"got Image of size 4 x 4|Frame\.from_pil"),
        ([[0.0, 1.0]], r"got list.*np\.asarray"),
        ("photo.jpg", r"got str.*read_frame"),
        (b"\x89PNG", r"got bytes.*read_frame"),
        (frame_of(0, 1), r"already a Frame"),
        (np.ma.masked_less(np.zeros((3, 4, 4)), 1), r"masked array.*filled"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_things_get_their_remedy(image: Any, remedy: str) -> None:
    with pytest.raises(InvalidValueError, match=remedy):
        bs.Frame(image, "display")


def test_a_matrix_is_an_array() -> None:
    assert bs.Frame(np.zeros((4, 5), np.float32).view(np.matrix), "display").size_px == (4, 5)


def test_tensors() -> None:
    torch = pytest.importorskip("torch")
    for half, words in ((torch.float16, "float16 has 11 bits"), (torch.bfloat16, "bfloat16 has 8 bits")):
        with pytest.raises(InvalidValueError, match=rf"{words}.*image\.float\(\)"):
            bs.Frame(torch.zeros((3, 4, 4), dtype=half), "display")
    with pytest.raises(InvalidValueError, match="got 0 to 255"):
        bs.Frame(torch.tensor([[0.0, 255.0]]), "display")
    with pytest.raises(InvalidValueError, match="got 2 values that are NaN or infinite"):
        bs.Frame(torch.tensor([[float("nan"), float("inf")]]), "linear")
    leaf = torch.rand((3, 4, 4), requires_grad=True)
    frame = bs.Frame(leaf, "display")
    frame.image.sum().backward()
    assert leaf.grad is not None
    assert np.array_equal(np.asarray(frame)[0], leaf.detach().numpy())
    assert bs.Frame(torch.zeros((3, 4, 4), device="meta"), "display").channels == 3  # it has no values to look at
    video = bs.Frame.from_uint8(torch.from_numpy(RGB))
    assert isinstance(video.image, torch.Tensor)
    assert video.image.is_contiguous()
    assert np.array_equal(video.to_uint8(), RGB)


@pytest.mark.parametrize(
    ("codes", "layout"),
    [
        (RGB, None),
        (np.moveaxis(RGB, -1, 0), None),
        (RGB[..., 0], None),
        (np.stack([RGB, RGB[::-1]]), None),
        (np.stack([RGB, RGB[::-1]]).transpose(0, 3, 1, 2), None),
        (RGB[..., :1], None),
        (np.dstack([RGB, np.full((5, 7), 255, np.uint8)]), None),  # opaque
        (RGB[:3], "HWC"),
        (np.moveaxis(RGB[:, :3], -1, 0), "CHW"),
        (np.moveaxis(RGB, -1, 0), "BHW"),
    ],
)
def test_bytes_in_every_order(codes: np.ndarray, layout: Any) -> None:
    frame = bs.Frame.from_uint8(codes, layout=layout)
    assert frame.image.dtype == np.float32
    made = frame.to_uint8()
    expected = codes
    if layout == "CHW" or (codes.ndim > 2 and codes.shape[-1] not in (1, 3, 4)):
        expected = codes if layout == "BHW" else np.moveaxis(codes, -3, -1)
    expected = expected[..., :3] if expected.shape[-1] == 4 else expected
    if layout != "BHW" and expected.ndim > 2 and expected.shape[-1] == 1:
        expected = expected[..., 0]
    assert np.array_equal(made, expected)
    assert np.array_equal(np.asarray(frame), frame.image)
    assert np.asarray(frame, np.float64).dtype == np.float64


@pytest.mark.parametrize(
    ("codes", "options", "message"),
    [
        (RGB[:3], {}, r"Shape \(3, 7, 3\) may be HWC or CHW\. Specify it: layout='HWC'"),
        (np.zeros((2, 3, 9, 4), np.uint8), {}, r"may be BHWC or BCHW"),
        (np.zeros((8, 9, 10), np.uint8), {}, r"no axis of 1, 3 or 4 channels.*layout='BHW'"),
        (np.zeros((8,), np.uint8), {}, "2 to 4 axes"),
        (RGB, {"layout": "CHW"}, "1, 3 or 4 channels, got 5"),
        (RGB, {"layout": "HW"}, "has 2 axes, but the array 3"),
        (RGB, {"layout": "WHC"}, "layout must be HW, HWC"),
        (np.dstack([RGB, RGB[..., :1]]), {}, r"transparent.*codes\[\.\.\., :3\]"),
        (RGB.astype(np.float32), {}, "takes an array of uint8, got float32"),
        (RGB.astype(np.uint16), {}, "got uint16.*65535"),
        (Image.fromarray(RGB), {}, r"Frame\.from_pil"),
        (np.zeros((0, 7, 3), np.uint8), {}, "is empty"),
    ],
)
def test_bytes_that_cannot_be_a_picture(codes: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        bs.Frame.from_uint8(codes, **options)


def saved(picture: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(Image.fromarray(RGB), "PNG", exif=exif)


@pytest.mark.parametrize(
    "data",
    [
        saved(Image.fromarray(RGB), "PNG"),
        saved(Image.fromarray(RGB), "JPEG", quality=90),
        saved(Image.fromarray(RGB).convert("L"), "PNG"),
        saved(Image.fromarray(RGB).convert("P"), "PNG"),
        saved(Image.fromarray(RGB).convert("RGBA"), "PNG"),
        saved(Image.fromarray(RGB).convert("CMYK"), "TIFF"),
        saved(Image.fromarray(RGB[..., 0].astype(np.uint16) * 257), "PNG"),
        rotated(),
    ],
    ids=["png", "jpeg", "gray", "palette", "opaque", "cmyk", "16-bit", "rotated"],
)
def test_pillow_bytes_and_files_agree(data: bytes, tmp_path: Any) -> None:
    path = tmp_path / "picture"
    path.write_bytes(data)
    of_file = bs.read_frame(path)
    of_pil = bs.Frame.from_pil(Image.open(io.BytesIO(data)), source="photo")
    assert np.array_equal(of_pil.image, of_file.image)
    assert of_pil.source == ("photo",)
    for given in (data, bytearray(data), io.BytesIO(data)):
        of_bytes = bs.read_frame(given)
        assert np.array_equal(of_bytes.image, of_file.image)
        assert of_bytes.source == ()


def test_pillow_pictures_that_cannot_be_used() -> None:
    with pytest.raises(InvalidValueError, match="transparent"):
        bs.Frame.from_pil(Image.new("RGBA", (4, 4)))
    with pytest.raises(InvalidValueError, match=r"mode 'F'.*white"):
        bs.Frame.from_pil(Image.new("F", (4, 4)))
    with pytest.raises(InvalidValueError, match=r"got ndarray of shape .*Frame\.from_uint8"):
        bs.Frame.from_pil(RGB)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    cut = saved(Image.fromarray(noise), "PNG")[:2000]
    with pytest.raises(PictureError, match="cannot be decoded"):
        bs.Frame.from_pil(Image.open(io.BytesIO(cut)))
    with pytest.raises(PictureError, match=r"^The given bytes: is not a picture"):
        bs.read_frame(b"no picture")
    with pytest.raises(PictureError, match=r"^The given bytes: is damaged"):
        bs.read_frame(cut)


def test_bytes_out() -> None:
    frame = frame_of(-0.2, 0.5, 1.3)
    assert frame.to_uint8().tolist() == [[0, 128, 255]]  # half to even: 127.5 is 128, as files are written
    assert bs.Frame.stack([frame, frame]).to_uint8().shape == (2, 1, 3)
    with pytest.raises(InvalidValueError, match=r"got a linear one.*Encode\(\)"):
        frame_of(0, 1, encoding="linear").to_uint8()
    with pytest.raises(InvalidValueError, match=r"got a raw one.*Develop\(\)"):
        frame_of(0, 1, encoding="raw").to_uint8()
    with pytest.raises(InvalidValueError, match="NaN"):
        frame.with_image(frame.image * np.nan).to_uint8()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"camera": "phone"}, "Frame.camera must be Intrinsics"),
        (
            {"camera": [bs.Intrinsics(4.2, 1.4)] * 2},
            "Frame.camera must be Intrinsics, or one per picture, got .* for 1",
        ),
        ({"origin_px": (1, 2, 3)}, "Frame.origin_px must be two integers"),
        ({"full_size_px": "large"}, "Frame.full_size_px must be two integers"),
        ({"source": ("a", "b")}, "Frame.source must be a string, or one per picture"),
        ({"labels": [[1, 2]]}, r"labels must be an array \[B, H, W\], got list"),
    ],
)
def test_fields_that_do_not_fit(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        bs.Frame(np.zeros((1, 2), np.float32), "display", **fields)


def test_pictures_of_a_batch_are_found_or_there_is_an_index_error() -> None:
    frame = bs.Frame(
        np.arange(3.0, dtype=np.float32).reshape(3, 1, 1, 1) / 2, "display", camera=bs.Intrinsics(4.2, 1.4)
    )
    assert [float(frame[i].image.max()) for i in (0, -1, np.int64(1))] == [0.0, 1.0, 0.5]
    assert len(frame[np.int64(1)].camera) == 1
    assert len(frame[[True, False, True]]) == 2
    assert len(list(frame)) == 3
    for number in (3, -4):
        with pytest.raises(IndexError, match=f"has 3 pictures, counted from 0, so there is no picture {number}"):
            frame[number]


def test_depth_of_other_numbers_becomes_float32() -> None:
    for dtype in (np.float16, np.uint16, np.int64):
        depth = bs.Frame(np.zeros((2, 2), np.float32), "display", depth_m=np.full((2, 2), 2, dtype)).depth_m
        assert (depth.dtype, depth.max()) == (np.float32, 2)
    with pytest.raises(InvalidValueError, match="numbers in meters, got complex128"):
        bs.Frame(np.zeros((2, 2), np.float32), "display", depth_m=np.ones((2, 2), complex))


def test_pictures_of_0_to_255_are_not_written_white(tmp_path: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"write_picture: the picture must lie in 0\.\.1, got 0 to 255.*/ 255"):
        bs.write_picture(tmp_path / "a.png", np.array([[0.0, 255.0]]))
    bs.write_picture(tmp_path / "a.png", np.array([[-0.1, 1.2]]))
    bs.write_picture(tmp_path / "b.png", frame_of(0, 1).with_image(np.array([[[[-2.0, 2.0]]]])))  # noise of a frame
    assert not (tmp_path / "c.png").exists()


@pytest.mark.parametrize("value", [np.float32(0), np.float64(0.25)])
def test_a_picture_of_one_value_is_sent_as_that_value(value: np.floating) -> None:
    outline = bs.Frame(np.broadcast_to(value, (2, 3, 500, 400)), "linear", depth_m=np.ones((2, 500, 400), np.float32))
    for frame, most in ((outline.with_image(outline.image, depth_m=None), 2000), (outline, 2000 + 4 * 2 * 500 * 400)):
        sent = pickle.dumps(frame)
        assert len(sent) < most
        received = pickle.loads(sent)  # noqa: S301  # our own
        assert received.image.dtype == value.dtype
        assert np.array_equal(received.image, frame.image)
        assert (received.depth_m is None) == (frame.depth_m is None)
    varied = pictures(batch=2)
    assert np.array_equal(pickle.loads(pickle.dumps(varied)).image, varied.image)  # noqa: S301  # our own


def test_one_text_stands_for_all_pictures() -> None:
    frame = bs.Frame(np.zeros((2, 1, 4, 4), np.float32), "display", source="a.png")
    assert frame.source == ("a.png", "a.png")


def test_deferred_depth_is_computed_when_it_is_read_and_once() -> None:
    made: list[int] = []
    depth = np.arange(1.0, 2 * 6 * 7 + 1).reshape(2, 6, 7)

    def compute() -> np.ndarray:
        made.append(1)
        return depth

    frame = pictures(batch=2, size_px=(6, 7)).with_image(np.zeros((2, 3, 6, 7), np.float32), depth_m=Deferred(compute))
    part = frame.crop(1, 2, 4, 5)[1]
    both = bs.Frame.stack([part, part])
    assert frame.has_depth
    assert part.has_depth
    assert "depth_m" in repr(both)
    assert not made
    assert both.depth_m is not None
    assert np.array_equal(both.depth_m[1], depth[1, 1:5, 2:7])
    assert np.array_equal(copy.deepcopy(part).depth_m, part.depth_m)
    assert frame.depth_m is depth
    assert len(made) == 1
