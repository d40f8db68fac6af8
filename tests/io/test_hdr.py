"""Radiance, OpenEXR, floating-point TIFF and linear codes as frames of light."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

import blursynth as bs
from blursynth.errors import InvalidValueError, MissingExtraError, PictureError
from blursynth.io.pictures import read_header, read_light, read_pixels

ROWS, COLUMNS = np.mgrid[:24, :40]
LIGHT = np.stack([0.2 + 0.1 * np.sin(COLUMNS / 5), ROWS / 8.0, 5.0 * (COLUMNS > 30) + 0.01], axis=-1).astype(np.float32)


def write_exr(path: Path, channels: dict[str, np.ndarray], **header: object) -> None:
    library = pytest.importorskip("OpenEXR")
    head = {"compression": library.ZIP_COMPRESSION, "type": library.scanlineimage, **header}
    planes = {name: np.ascontiguousarray(values) for name, values in channels.items()}
    with library.File(head, planes) as file:
        file.write(str(path))


def rgb(light: np.ndarray = LIGHT, prefix: str = "") -> dict[str, np.ndarray]:
    return {prefix + name: light[..., c] for c, name in enumerate("RGB")}


def write_opencv(path: Path, light: np.ndarray) -> None:
    path.write_bytes(cv2.imencode(path.suffix, light[..., ::-1] if light.ndim == 3 else light)[1].tobytes())


def test_radiance(tmp_path: Path) -> None:
    write_opencv(tmp_path / "a.hdr", LIGHT)
    info = read_header(tmp_path / "a.hdr")
    assert (info.height, info.width, info.encoding, info.icc_profile) == (24, 40, bs.Encoding.LINEAR, "")
    frame = bs.read_frame(tmp_path / "a.hdr")
    assert frame.encoding is bs.Encoding.LINEAR
    assert frame.image.dtype == np.float32
    # One exponent for the three channels: 8 bits of the largest.
    error = np.abs(frame.image[0].transpose(1, 2, 0) - LIGHT)
    assert (error <= LIGHT.max(axis=-1, keepdims=True) / 128).all()
    assert frame.image.max() > 4.9


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_openexr(kind: type[np.floating], tmp_path: Path) -> None:
    light = LIGHT.astype(kind)
    write_exr(tmp_path / "a.exr", {**rgb(light), "A": np.ones(light.shape[:2], kind)})
    frame = bs.read_frame(tmp_path / "a.exr", dtype=np.float64)
    assert frame.image.dtype == np.float64
    np.testing.assert_array_equal(frame.image[0].transpose(1, 2, 0), light)
    write_exr(tmp_path / "y.exr", {"Y": light[..., 1]})
    np.testing.assert_array_equal(read_light(tmp_path / "y.exr"), np.repeat(light[..., 1:2], 3, axis=2))
    write_exr(tmp_path / "layer.exr", {**rgb(light, "beauty."), "depth.Z": light[..., 0]})
    np.testing.assert_array_equal(read_light(tmp_path / "layer.exr"), light)
    primaries = (0.708, 0.292, 0.17, 0.797, 0.131, 0.046, 0.3127, 0.329)
    write_exr(tmp_path / "wide.exr", rgb(light), chromaticities=primaries)
    assert read_header(tmp_path / "wide.exr").icc_profile.startswith("chromaticities 0.708 0.292")


def test_floating_point_tiff(tmp_path: Path) -> None:
    for name, light in (("rgb.tif", LIGHT), ("gray.tiff", LIGHT[..., 1])):
        write_opencv(tmp_path / name, light)
        assert read_header(tmp_path / name).encoding is bs.Encoding.LINEAR
        expected = light if light.ndim == 3 else np.repeat(light[..., None], 3, axis=2)
        np.testing.assert_array_equal(read_light(tmp_path / name), expected)


def test_codes_may_be_light(tmp_path: Path) -> None:
    codes = (np.clip(LIGHT, 0, 1) * 65535).astype(np.uint16)
    for ending in (".png", ".tif"):
        write_opencv(tmp_path / f"a{ending}", codes)
        assert bs.read_frame(tmp_path / f"a{ending}").encoding is bs.Encoding.DISPLAY
        frame = bs.read_frame(tmp_path / f"a{ending}", encoding="linear", dtype=np.float64)
        assert frame.encoding is bs.Encoding.LINEAR
        np.testing.assert_array_equal(np.rint(frame.image[0].transpose(1, 2, 0) * 65535), codes)
    with pytest.raises(InvalidValueError, match="encoding must be 'display', 'linear' or None, got 'raw'"):
        bs.read_frame(tmp_path / "a.png", encoding="raw")
    with pytest.raises(PictureError, match="holds codes, not light"):
        read_light(tmp_path / "a.png")


def test_light_is_no_display_picture(tmp_path: Path) -> None:
    write_opencv(tmp_path / "a.hdr", LIGHT)
    with pytest.raises(PictureError, match="holds light, but encoding='display' was given"):
        bs.read_frame(tmp_path / "a.hdr", encoding="display")
    with pytest.raises(PictureError, match="holds floating-point light, not codes"):
        read_pixels(tmp_path / "a.hdr")
    assert bs.read_frame(tmp_path / "a.hdr", encoding="linear").encoding is bs.Encoding.LINEAR


def test_a_recipe_draws_no_decoding_for_light(tmp_path: Path) -> None:
    write_opencv(tmp_path / "a.tif", LIGHT)
    recipe = bs.Recipe(
        [
            ("decode", bs.kinds.SigmoidDecode()),
            ("lamps", bs.kinds.HighlightOffset(offset=1.0)),
            ("blur", bs.kinds.GaussianBlur(sigma_px=1.0)),
            ("encode", bs.kinds.Encode()),
        ]
    )
    frame = bs.read_frame(tmp_path / "a.tif")
    pair = recipe.sample(frame, seed=0, index=0).pair(frame)
    np.testing.assert_array_equal(pair.sharp.image, bs.kinds.Encode()(frame).image)
    np.testing.assert_array_equal(
        pair.blurred.image, bs.kinds.Encode()(bs.kinds.GaussianBlur(sigma_px=1.0)(frame)).image
    )


def spoiled(value: float, count: int = 3) -> np.ndarray:
    light = LIGHT.copy()
    light[5, 5 : 5 + count, 1] = value
    return light


@pytest.mark.parametrize(
    ("light", "words"),
    [
        (spoiled(np.nan), "holds 3 values that are NaN or infinite, of 2880"),
        (spoiled(np.inf), "by the largest finite value"),
        (LIGHT - 0.5, "Light is not negative"),
        (-LIGHT, "Light is not negative"),
    ],
)
def test_values_that_are_no_light_are_refused(light: np.ndarray, words: str, tmp_path: Path) -> None:
    write_opencv(tmp_path / "a.tif", light)
    with pytest.raises(PictureError) as caught:
        bs.read_frame(tmp_path / "a.tif")
    assert words in str(caught.value)


def test_a_little_negative_light_is_set_to_black_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_opencv(tmp_path / "a.tif", spoiled(-0.004))
    with caplog.at_level(logging.INFO):
        light = read_light(tmp_path / "a.tif")
    assert light.min() == 0
    np.testing.assert_array_equal(light[6:], LIGHT[6:])
    assert "3 of 2880 values are negative, down to -0.004, and were set to 0" in caplog.text


def test_broken_files_say_what_is_wrong(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_opencv(tmp_path / "whole.hdr", np.tile(LIGHT, (4, 4, 1)))
    whole = (tmp_path / "whole.hdr").read_bytes()
    cases = {
        "cut.hdr": (whole[: len(whole) // 2], "is damaged or truncated"),
        "head.hdr": (whole[:40], "its header has no size"),
        "text.hdr": (b"no picture", "is not a picture that can be read"),
        "empty.hdr": (b"", "is empty"),
        "turned.hdr": (whole.replace(b"-Y 96 +X 160", b"+X 160 -Y 96"), "do not run from the top left"),
        "xyz.hdr": (whole.replace(b"32-bit_rle_rgbe", b"32-bit_rle_xyze"), "holds CIE XYZ"),
        "bomb.hdr": (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 90000 +X 90000\n", "more than 400 megapixels"),
    }
    for name, (content, words) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PictureError) as caught:
            bs.read_frame(tmp_path / name)
        assert words in str(caught.value), name
    assert capfd.readouterr() == ("", "")
    (tmp_path / "gamma.hdr").write_bytes(whole.replace(b"FORMAT", b"GAMMA=2.2\nFORMAT", 1))
    assert read_header(tmp_path / "gamma.hdr").icc_profile == "gamma 2.2"


@pytest.mark.parametrize("tiled", [False, True])
def test_openexr_cut_off_anywhere_prints_nothing(
    tiled: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    library = pytest.importorskip("OpenEXR")
    light = np.tile(LIGHT, (4, 3, 1))
    more = {"type": library.tiledimage, "tiles": library.TileDescription()} if tiled else {}
    write_exr(tmp_path / "whole.exr", rgb(light), **more)
    np.testing.assert_array_equal(read_light(tmp_path / "whole.exr"), light)
    whole = (tmp_path / "whole.exr").read_bytes()
    for length in (*range(8, len(whole), len(whole) // 60), len(whole) - 1):
        (tmp_path / "cut.exr").write_bytes(whole[:length])
        with pytest.raises(PictureError, match=r"cut\.exr: is damaged or truncated"):
            bs.read_frame(tmp_path / "cut.exr")
    assert capfd.readouterr() == ("", "")


def test_broken_and_odd_openexr(tmp_path: Path) -> None:
    write_exr(tmp_path / "whole.exr", rgb(np.tile(LIGHT, (8, 8, 1))))
    whole = (tmp_path / "whole.exr").read_bytes()
    (tmp_path / "cut.exr").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "head.exr").write_bytes(whole[:60])
    for name in ("cut.exr", "head.exr"):
        with pytest.raises(PictureError, match="is damaged or truncated"):
            bs.read_frame(tmp_path / name)
    write_exr(tmp_path / "depth.exr", {"Z": LIGHT[..., 0]})
    with pytest.raises(PictureError, match="has the channels 'Z', but neither R, G and B nor only Y"):
        bs.read_frame(tmp_path / "depth.exr")
    write_exr(tmp_path / "glass.exr", {**rgb(), "A": LIGHT[..., 0]})
    with pytest.raises(PictureError, match="has transparent pixels"):
        bs.read_frame(tmp_path / "glass.exr")


def test_openexr_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_exr(tmp_path / "a.exr", rgb())
    monkeypatch.setitem(__import__("sys").modules, "OpenEXR", None)
    with pytest.raises(MissingExtraError, match=r"reading a\.exr, like all OpenEXR files, needs the package 'OpenEXR'"):
        bs.read_frame(tmp_path / "a.exr")


DORF = """agfachrome-rsx2-050Red
positive
 I =
   0.0  1.0e-01   5e-1
   1.0
 B =
   0 0.3 0.8 1
eastman B of a kind
 I = 0 0.5 1
 B = 0, 0.25, 1
"""


def test_curves_of_the_dorf_data_base(tmp_path: Path) -> None:
    (tmp_path / "dorfCurves.txt").write_text(DORF)
    first, second = bs.read_arrays(tmp_path / "dorfCurves.txt")
    np.testing.assert_array_equal(first, [[0, 0.1, 0.5, 1], [0, 0.3, 0.8, 1]])
    np.testing.assert_array_equal(second, [[0, 0.5, 1], [0, 0.25, 1]])
    for text, words in (
        (DORF.replace(" B = 0, 0.25, 1\n", ""), "rows I = and B = must alternate"),
        (DORF.replace("0, 0.25, 1", "0, 1"), "curve 2 has 3 light values but 2 code values"),
    ):
        (tmp_path / "bad.txt").write_text(text)
        with pytest.raises(PictureError, match=words):
            bs.read_arrays(tmp_path / "bad.txt")


RECIPE = """
[[step]]
kind = "measured_decode"
name = "decode"
curve = { files = "dorfCurves.txt" }

[[step]]
kind = "gaussian_blur"
sigma_px = 1.0

[[step]]
kind = "measured_encode"
curve = { same_as = "decode.curve" }
"""


def test_a_recipe_draws_one_curve_for_the_way_in_and_out(tmp_path: Path) -> None:
    (tmp_path / "dorfCurves.txt").write_text(DORF)
    (tmp_path / "r.toml").write_text(RECIPE)
    recipe = bs.load_recipe(tmp_path / "r.toml")
    frame = bs.Frame(np.rint(np.clip(LIGHT.transpose(2, 0, 1), 0, 1) * 255) / 255, "display")
    drawn = [recipe.sample(frame, seed=1, index=i) for i in range(20)]
    assert all(draw["decode"].curve == draw["measured_encode"].curve for draw in drawn)
    assert len({draw["decode"].curve for draw in drawn}) == 2
    np.testing.assert_allclose(drawn[0].pair(frame).sharp.image, frame.image, atol=1e-6)
    assert set(drawn[0].assets()) == {drawn[0]["decode"].curve}


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ("0 0\n0.5 0.7\n1 0.6", "value must never fall, got 0.7 and then 0.6"),
        ("0.1 0\n0.5 0.5\n1 1", "must start with light 0 and value 0"),
        ("0 0 0\n1 1 1\n2 2 2", "must be an array [2, N] or [N, 2]"),
    ],
)
def test_a_bad_curve_is_told_when_the_recipe_is_loaded(numbers: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "curve.txt").write_text(numbers)
    (tmp_path / "r.toml").write_text(RECIPE.replace('files = "dorfCurves.txt"', 'file = "curve.txt"'))
    with pytest.raises(bs.RecipeError) as caught:
        bs.load_recipe(tmp_path / "r.toml")
    assert words in str(caught.value)
    assert "decode" in str(caught.value)
