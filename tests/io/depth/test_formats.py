"""Depth files of every format, and what is said of broken ones."""

from __future__ import annotations

import logging
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import blursynth as bs
from blursynth.errors import InvalidValueError, MissingExtraError, PictureError
from blursynth.io.depth import DepthFormat, read_depth, read_depth_map, read_labels

ROWS, COLUMNS = np.mgrid[:12, :17]
DEPTH = (1.0 + 0.25 * ROWS + 0.5 * COLUMNS).astype(np.float32)  # exact in every format


def pfm(values: np.ndarray, *, order: str = "<", scale: float = 1.0, head: str = "Pf") -> bytes:
    """Written by hand, from the bottom row up."""
    number = -scale if order == "<" else scale
    rows = b"".join(struct.pack(f"{order}{len(row)}f", *row) for row in values[::-1])
    return f"{head}\n{values.shape[1]} {values.shape[0]}\n{number}\n".encode() + rows


def test_npy_and_npz(tmp_path: Path) -> None:
    for dtype in (np.float16, np.float32, np.float64):
        np.save(tmp_path / "d.npy", DEPTH.astype(dtype)[None])  # a leading axis of one does no harm
        found = read_depth(tmp_path / "d.npy")
        assert found.dtype == np.float32
        assert np.array_equal(found, DEPTH)
    np.savez(tmp_path / "one.npz", DEPTH)
    assert np.array_equal(read_depth(tmp_path / "one.npz"), DEPTH)
    np.savez(tmp_path / "two.npz", depth=DEPTH, mask=DEPTH > 3)
    assert np.array_equal(read_depth(tmp_path / "two.npz", key="depth"), DEPTH)
    with pytest.raises(
        PictureError, match=r"two.npz: holds the arrays 'depth', 'mask'\. It is not .* Name one of them with key"
    ):
        read_depth(tmp_path / "two.npz")
    with pytest.raises(PictureError, match=r"holds the arrays 'depth', 'mask', but no 'z'"):
        read_depth(tmp_path / "two.npz", key="z")
    with pytest.raises(PictureError, match="key='a' does not apply to this file"):
        read_depth(tmp_path / "d.npy", key="a")


@pytest.mark.parametrize("ending", [".png", ".tif", ".pgm"])
def test_whole_numbers_need_their_scale(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"d{ending}"
    cv2.imwrite(str(path), np.rint(DEPTH * 5000).astype(np.uint16))
    assert np.allclose(read_depth(path, meters_per_code=1 / 5000), DEPTH, rtol=1e-6)
    with pytest.raises(PictureError, match=rf"d{ending}: holds integers \(uint16\) up to 58750, which are codes"):
        read_depth(path)


def test_eight_bits_and_three_equal_channels(tmp_path: Path) -> None:
    codes = np.rint(4 * DEPTH).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "d.png"), np.repeat(codes[..., None], 3, axis=2))
    assert np.array_equal(read_depth(tmp_path / "d.png", meters_per_code=0.25), DEPTH)


def test_float_tiff(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "d.tiff"), DEPTH)
    assert np.array_equal(read_depth(tmp_path / "d.tiff"), DEPTH)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("scale", [1.0, 0.003922])
def test_pfm_of_both_byte_orders_from_the_bottom_up(order: str, scale: float, tmp_path: Path) -> None:
    path = tmp_path / "d.pfm"
    path.write_bytes(pfm(DEPTH, order=order, scale=scale))
    assert np.array_equal(read_depth(path), DEPTH)


def test_pfm_as_opencv_writes_it(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "d.pfm"), DEPTH)
    assert np.array_equal(read_depth(tmp_path / "d.pfm"), DEPTH)


def test_pfm_with_a_comment_and_on_one_line(tmp_path: Path) -> None:
    data = pfm(DEPTH)
    (tmp_path / "a.pfm").write_bytes(data.replace(b"Pf\n", b"Pf\n# made by hand\n", 1))
    (tmp_path / "b.pfm").write_bytes(data.replace(b"Pf\n17 12\n", b"Pf 17 12 ", 1))
    for name in ("a", "b"):
        assert np.array_equal(read_depth(tmp_path / f"{name}.pfm"), DEPTH)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (pfm(DEPTH, head="PF"), r"is a color PFM \(it begins with PF\)\. Depth has one value per pixel"),
        (pfm(DEPTH)[:-5], r"is damaged or truncated \(811 bytes of numbers, 17 x 12 px need 816\)"),
        (b"P5\n17 12\n255\n" + bytes(204), "is not a PFM file"),
        (b"Pf\n17\n", "its header is not 'Pf width height scale'"),
        (b"Pf\n17 -2\n-1\n", "its header is not"),
        (b"Pf\n17 12\n0\n" + bytes(816), "its header is not"),
        (b"Pf\n17 12\nnan\n" + bytes(816), "its header is not"),
        (b"Pf", "its header is not"),
        (b"", r"is empty \(0 bytes\)"),
    ],
)  # fmt: skip
def test_bad_pfm(data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "d.pfm").write_bytes(data)
    with pytest.raises(PictureError, match=f"d.pfm: .*{words}"):
        read_depth(tmp_path / "d.pfm")


def write_exr(path: Path, channels: dict[str, np.ndarray]) -> None:
    library = pytest.importorskip("OpenEXR")
    header = {"compression": library.ZIP_COMPRESSION, "type": library.scanlineimage}
    with library.File(header, channels) as file:
        file.write(str(path))


def test_openexr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "d.exr"
    for channels in ({"Z": DEPTH}, {"Y": DEPTH}, {"any": DEPTH}, {"Z": DEPTH, "R": 2 * DEPTH, "G": DEPTH, "B": DEPTH},
                     {name: DEPTH.astype(np.float16) for name in "RGB"}):  # fmt: skip
        write_exr(path, channels)
        assert np.array_equal(read_depth(path), DEPTH), channels.keys()
    write_exr(path, {"R": DEPTH, "G": 2 * DEPTH, "B": DEPTH})
    assert np.array_equal(read_depth(path, key="G"), 2 * DEPTH)
    with pytest.raises(
        PictureError, match=r"d.exr: has the channels 'B', 'G', 'R'\. It is not .* Name one of them with key"
    ):
        read_depth(path)
    with pytest.raises(PictureError, match="but no 'Z'"):
        read_depth(path, key="Z")
    whole = path.read_bytes()
    for length in (3, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(PictureError, match=r"d.exr: is damaged or truncated"):
            read_depth(path)
    assert capfd.readouterr() == ("", ""), "the library's own lines"


def test_openexr_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    (tmp_path / "d.exr").write_bytes(b"anything")
    with pytest.raises(MissingExtraError, match=r"OpenEXR files, needs the package 'OpenEXR'.*extra 'depth'"):
        read_depth(tmp_path / "d.exr")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("d.jpg", b"x", "is a JPEG. Compression changes the values"),
        ("d.txt", b"x", r"depth cannot be read from the format '.txt'\. Known: .npy, .npz"),
        ("d.png", b"x", "is not a picture that can be read"),
        ("d.npy", b"x", "is not a readable .npy file of numbers"),
        ("d.npz", b"PK\x03\x04rest", "is not a readable .npz file of numbers"),
        ("d.npz", b"text", "is not a readable .npz file of numbers"),
    ],
)  # fmt: skip
def test_damaged_files(name: str, data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(PictureError, match=f"{name}: {words}") as caught:
        read_depth(tmp_path / name)
    assert "pickle" not in str(caught.value)


def test_files_of_something_else(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 5, 3), np.uint8) + np.arange(3, dtype=np.uint8)).save(tmp_path / "color.png")
    Image.fromarray(np.zeros((4, 5), np.uint8)).convert("P").save(tmp_path / "palette.png")
    whole = cv2.imencode(".png", np.rint(DEPTH * 1000).astype(np.uint16))[1].tobytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) - 30])
    np.save(tmp_path / "flat.npy", np.ones(7))
    np.save(tmp_path / "text.npy", np.array(["a"]))
    np.save(tmp_path / "complex.npy", np.ones((3, 3), complex))
    np.save(tmp_path / "none.npy", np.ones((0, 3)))
    for name, words in {
        "color.png": "is a colored picture",
        "palette.png": "is a picture with a palette, whose values are colors",
        "cut.png": "is damaged or truncated",
        "flat.npy": r"depth must be one array \[H, W\], got shape \(7,\)",
        "text.npy": "it does not hold one array of numbers",
        "complex.npy": "it does not hold one array of numbers",
        "none.npy": r"depth must be one array \[H, W\], got shape \(0, 3\)",
        "missing.npy": "there is no such file",
        "": "is a folder",
    }.items():
        with pytest.raises(PictureError, match=words):
            read_depth(tmp_path / name, meters_per_code=0.001 if name.endswith("png") else None)


def test_disparity_with_hand_computed_numbers(tmp_path: Path) -> None:
    """Middlebury 2014: Z = baseline f / (disparity + doffs); 0 and inf are unknown."""
    disparity = np.array([[10.0, 0.0, np.inf], [30.0, 70.0, np.nan]], np.float32)
    (tmp_path / "d.pfm").write_bytes(pfm(disparity))
    found = read_depth_map(tmp_path / "d.pfm", DepthFormat(focal_length_px=1000.0, baseline_m=0.2, doffs_px=30.0))
    assert found.filled == 3
    assert np.allclose(found.depth_m, [[5.0, 5.0, 5.0], [200 / 60, 2.0, 2.0]])
    codes = np.array([[40, 0], [100, 200]], np.uint8)
    cv2.imwrite(str(tmp_path / "d.png"), codes)
    found = read_depth_map(tmp_path / "d.png", DepthFormat(focal_length_px=500.0, baseline_m=0.1, codes_per_px=4))
    assert found.filled == 1
    assert np.allclose(found.depth_m, [[5.0, 5.0], [2.0, 1.0]])
    with pytest.raises(PictureError, match=r"holds integers \(uint8\).*Give codes_per_px: 4 for Middlebury 2003"):
        read_depth(tmp_path / "d.png", focal_length_px=500.0, baseline_m=0.1)


def test_infinitely_far_is_unknown_unless_a_distance_is_given(tmp_path: Path) -> None:
    depth = np.array([[2.0, np.inf, np.nan, 3.0]])
    np.save(tmp_path / "d.npy", depth)
    assert read_depth(tmp_path / "d.npy").tolist() == [[2.0, 3.0, 3.0, 3.0]]
    assert read_depth(tmp_path / "d.npy", infinity_m=1000.0).tolist() == [[2.0, 1000.0, 1000.0, 3.0]]
    np.save(tmp_path / "d.npy", np.array([[50.0, 0.0, 100.0]]))
    found = read_depth(tmp_path / "d.npy", focal_length_px=500.0, baseline_m=0.1, infinity_m=800.0)
    assert found.tolist() == [[1.0, 800.0, 0.5]]


@pytest.mark.parametrize(
    ("depth", "words"),
    [
        (np.full((4, 4), np.nan), "depth holds no known value: every pixel is NaN, infinite or 0"),
        (np.zeros((4, 4)), "depth holds no known value"),
        (np.full((4, 4), np.inf), "depth holds no known value"),
        (-DEPTH, r"depth must not be negative, got 204 negative values of 204, down to -11\.75\. Nothing visible is behind.*negate them"),
        (np.where(DEPTH < 2, -1, DEPTH), r"got \d+ negative values of 204, down to -1\..*set them to 0 or NaN"),
        (DEPTH * 1000 * 100, r"median of 6\.\d+e\+05 m\. Scenes lie between 1 mm and 10 km.*meters_per_code=0.001; now it is 1"),
        (DEPTH * 1e-6, r"median of 6\.\d+e-06 m\. .* as meters_per_code; now it is 1"),
    ],
)  # fmt: skip
def test_depth_that_cannot_be(depth: np.ndarray, words: str, tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", depth)
    with pytest.raises(PictureError, match=f"d.npy: .*{words}"):
        read_depth(tmp_path / "d.npy")


def test_disparity_in_the_wrong_unit(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", DEPTH)
    with pytest.raises(PictureError, match=r"Check focal_length_px \(px, not mm\), baseline_m \(meters\)"):
        read_depth(tmp_path / "d.npy", focal_length_px=3000.0, baseline_m=193.0)
    np.save(tmp_path / "d.npy", -DEPTH)
    with pytest.raises(PictureError, match=r"disparities must not be negative, got 204 negative values"):
        read_depth(tmp_path / "d.npy", focal_length_px=3000.0, baseline_m=0.2)


def test_size_of_the_picture(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", DEPTH)
    assert read_depth(tmp_path / "d.npy", size_px=(12, 17)).shape == (12, 17)
    with pytest.raises(
        PictureError, match=r"12 x 17 px \(rows x columns\), its picture 17 x 12.*EXIF.*Rotate the map by 90"
    ):
        read_depth(tmp_path / "d.npy", size_px=(17, 12))
    with pytest.raises(
        PictureError, match=r"12 x 17 px \(rows x columns\), its picture 12 x 18.*not aligned pixel by pixel"
    ):
        read_depth(tmp_path / "d.npy", size_px=(12, 18), resample="nearest")
    with pytest.raises(
        PictureError, match=r"It has the picture's aspect ratio at another size. Allow resample='nearest'"
    ):
        read_depth(tmp_path / "d.npy", size_px=(24, 34))
    doubled = read_depth(tmp_path / "d.npy", size_px=(24, 34), resample="nearest")
    assert np.array_equal(doubled, np.repeat(np.repeat(DEPTH, 2, axis=0), 2, axis=1))
    smooth = read_depth(tmp_path / "d.npy", size_px=(24, 34), resample="linear")
    rows, columns = np.mgrid[:24, :34]
    plane = 1.0 + 0.25 * (rows / 2 - 0.25) + 0.5 * (columns / 2 - 0.25)
    assert np.allclose(smooth[1:-1, 1:-1], plane[1:-1, 1:-1], atol=1e-6)
    assert np.array_equal(read_depth(tmp_path / "d.npy", size_px=(6, 8), resample="nearest").shape, (6, 8))


def test_filled_pixels_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    depth = DEPTH.copy()
    depth[3, 4:9] = 0
    np.save(tmp_path / "d.npy", depth)
    with caplog.at_level(logging.INFO, logger="blursynth"):
        read_depth(tmp_path / "d.npy")
    assert "5 of 204 pixels had no depth and were filled (background)" in caplog.text
    with pytest.raises(PictureError, match=r"depth has 5 unknown pixels of 204 .* and fill='refuse'"):
        read_depth(tmp_path / "d.npy", fill="refuse")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"meters_per_code": 0}, "meters_per_code must be > 0.0, got 0"),
        ({"meters_per_code": float("nan")}, "meters_per_code must be a finite number, got nan"),
        ({"meters_per_code": "0.1"}, "meters_per_code must be a number, got '0.1'"),
        ({"meters_per_code": True}, "meters_per_code must be a number, got True"),
        ({"doffs_px": float("inf"), "focal_length_px": 1.0, "baseline_m": 1.0}, "doffs_px must be a finite number"),
        ({"focal_length_px": 500.0}, "focal_length_px is given without baseline_m"),
        ({"baseline_m": 0.2}, "baseline_m is given without focal_length_px"),
        ({"baseline_m": 0.2, "focal_length_px": 9.0, "meters_per_code": 1.0}, "exclude each other"),
        ({"codes_per_px": 4}, "codes_per_px needs focal_length_px and baseline_m"),
        ({"doffs_px": 4}, "doffs_px needs focal_length_px and baseline_m"),
        ({"fill": "magic"}, "fill must be 'background', 'nearest' or 'refuse', got 'magic'"),
        ({"resample": "cubic"}, "resample must be 'nearest' or 'linear', got 'cubic'"),
        ({"key": 3}, "key must be a string, got 3"),
    ],
)  # fmt: skip
def test_options_that_cannot_be(options: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        DepthFormat(**options)  # type: ignore[arg-type]


def test_a_format_is_json() -> None:
    form = DepthFormat(focal_length_px=1000, baseline_m=np.float32(0.25), codes_per_px=4, fill="nearest")
    assert form.to_dict(defaults=False) == {
        "focal_length_px": 1000.0,
        "baseline_m": 0.25,
        "codes_per_px": 4.0,
        "fill": "nearest",
    }
    assert DepthFormat(**form.to_dict()) == form
    assert DepthFormat().to_dict(defaults=False) == {}
    with pytest.raises(
        InvalidValueError, match=r"DepthFormat has no field 'focal_px'. Did you mean 'focal_length_px'\?"
    ):
        DepthFormat(focal_px=1.0)  # type: ignore[call-arg]


def test_labels(tmp_path: Path) -> None:
    labels = (COLUMNS // 4).astype(np.int64)
    np.save(tmp_path / "l.npy", labels)
    cv2.imwrite(str(tmp_path / "l8.png"), labels.astype(np.uint8))
    cv2.imwrite(str(tmp_path / "l16.png"), labels.astype(np.uint16))
    palette = Image.fromarray(labels.astype(np.uint8), mode=None).convert("L")
    indexed = Image.new("P", palette.size)
    indexed.putdata(list(labels.ravel()))
    indexed.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9, 1, 2, 3])
    indexed.save(tmp_path / "p.png")
    np.save(tmp_path / "b.npy", labels > 1)
    for name in ("l.npy", "l8.png", "l16.png", "p.png"):
        found = read_labels(tmp_path / name, size_px=(12, 17))
        assert found.dtype == np.int32
        assert np.array_equal(found, labels), name
    assert np.array_equal(read_labels(tmp_path / "b.npy"), labels > 1)


def test_bad_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "float.npy", DEPTH)
    np.save(tmp_path / "negative.npy", np.full((4, 4), -1))
    np.save(tmp_path / "three.npy", np.zeros((4, 4, 3), int))
    np.save(tmp_path / "size.npy", np.zeros((24, 34), int))
    (tmp_path / "l.jpg").write_bytes(b"x")
    Image.fromarray(np.arange(60, dtype=np.uint8).reshape(4, 5, 3)).save(tmp_path / "color.png")
    for name, words in {
        "float.npy": r"labels must be integers, got float32\. 0 is the background, 1 .. n the objects",
        "negative.npy": r"labels must be 0 .. 2\^31 - 1, got -1 to -1",
        "three.npy": r"labels must be one array \[H, W\], got shape \(4, 4, 3\)",
        "size.npy": r"labels has 24 x 34 px \(rows x columns\), its picture 12 x 17",
        "l.jpg": "labels cannot be read from the format '.jpg'. Labels need a lossless format",
        "color.png": "is a colored picture",
        "missing.png": "there is no such file",
    }.items():
        with pytest.raises(PictureError, match=words):
            read_labels(tmp_path / name, size_px=(12, 17))


def test_a_frame_with_depth_labels_and_camera(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((12, 17, 3), np.uint8)).save(tmp_path / "a.png")
    cv2.imwrite(str(tmp_path / "d.png"), np.rint(DEPTH * 1000).astype(np.uint16))
    cv2.imwrite(str(tmp_path / "l.png"), (COLUMNS // 4).astype(np.uint8))
    camera = bs.Intrinsics(4.2, 1.4)
    depth = bs.read_depth(tmp_path / "d.png", meters_per_code=0.001)
    frame = bs.read_frame(tmp_path / "a.png", depth=depth, labels=tmp_path / "l.png", camera=camera)
    assert np.allclose(frame.depth_m[0], DEPTH)
    assert frame.labels is not None
    assert frame.labels.max() == 4
    assert frame.camera == (camera,)
    with pytest.raises(
        PictureError, match=r"a.png: depth_m must have the picture's shape \(1, 12, 17\), got \(1, 11, 17\)"
    ):
        bs.read_frame(tmp_path / "a.png", depth=depth[1:])
    with pytest.raises(PictureError, match=r"d.png: holds integers"):
        bs.read_frame(tmp_path / "a.png", depth=tmp_path / "d.png")
