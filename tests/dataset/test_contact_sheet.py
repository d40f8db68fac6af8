"""Contact sheets show the right pixels, kernels and numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import blursynth as bs
from blursynth.dataset.contact_sheet import (
    Row,
    contact_sheet,
    describe_draw,
    kernel_picture,
    points_of_light,
    write_contact_sheet,
)
from blursynth.errors import InvalidValueError, PictureError
from blursynth.records.units import UNITS, quantity, split_unit
from blursynth.testing import pictures


def a_row(size: int = 24) -> Row:
    rng = np.random.default_rng(0)
    sharp, blurred = rng.integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    return Row(sharp, blurred, bs.Draw((("lens", bs.kinds.GaussianBlur(sigma_px=1.0)),)), "sample 3")


def places_of(picture: np.ndarray, sheet: np.ndarray) -> list[tuple[int, int]]:
    """Where a picture lies on the sheet, pixel by pixel equal."""
    height, width = picture.shape[:2]
    corners = np.argwhere((sheet[: 1 - height, : 1 - width] == picture[0, 0]).all(axis=-1))
    return [(int(y), int(x)) for y, x in corners if np.array_equal(sheet[y : y + height, x : x + width], picture)]


def test_pixels_are_shown_as_they_are() -> None:
    row = a_row(200)
    sheet = contact_sheet([row], title="t")
    (sharp,), (blurred,) = places_of(row.sharp, sheet), places_of(row.blurred, sheet)
    assert sharp[0] == blurred[0]
    assert sharp[1] + 200 <= blurred[1]


def test_small_pictures_are_enlarged_by_a_whole_factor() -> None:
    row = a_row(24)
    sheet = contact_sheet([row], title="t", size_px=96)
    assert len(places_of(row.sharp.repeat(4, axis=0).repeat(4, axis=1), sheet)) == 1


def test_large_pictures_are_cut_to_their_middle() -> None:
    row = a_row(64)
    sheet = contact_sheet([row], title="t", size_px=40)
    assert len(places_of(row.sharp[12:52, 12:52], sheet)) == 1


def test_linear_pictures_are_encoded_for_the_eye() -> None:
    light = np.full((20, 20, 3), 0.5)
    sheet = contact_sheet([Row(light, light, bs.Draw(()))], title="t", size_px=20)
    assert (sheet == 188).all(axis=-1).sum() >= 2 * 20 * 20  # half the light is code 188, not 128


def test_kernel_picture_is_not_flipped_and_has_its_origin_in_the_middle() -> None:
    dense = np.zeros((5, 5))
    dense[2, 4] = 1.0  # light goes two px to the right
    picture = kernel_picture(dense, 99, least_px=9)[..., 0]
    factor = 11
    assert (picture[4 * factor : 5 * factor, 6 * factor : 7 * factor] == 255).all()
    assert (picture[4 * factor : 5 * factor, : 6 * factor][:, 8:] == 0).all()


def test_a_very_long_kernel_fits() -> None:
    dense = np.zeros((401, 401))
    dense[200] = 1 / 401
    picture = kernel_picture(dense, 128)
    assert picture.shape == (128, 128, 3)
    assert picture[60:68, 40:90].max() > 50


def test_numbers_are_those_of_the_recipe() -> None:
    recipe = bs.load_recipe("default")
    frame = pictures(bs.Encoding.DISPLAY, batch=1)
    draw = recipe.sample(frame, seed=1, index=1)
    lines = dict(describe_draw(draw, recipe))
    assert set(lines) >= {"lens: gaussian blur", "sensor", "jpeg"}
    assert "bit depth" in lines["sensor"]  # drawn, so it is shown even where it is at its default
    assert "seed" not in str(lines)
    assert dict(describe_draw(bs.Draw((("shake", bs.kinds.Identity()),)))) == {"shake: none": ""}


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("length_px", 23.456, "length 23.5 px"),
        ("heading_deg", 30.0, "heading 30°"),
        ("gain_dn_per_e", 0.5, "gain 0.5 DN/e-"),
        ("white_level_e", None, "white level by default e-"),
        ("shot_noise", True, "shot noise yes"),
        ("exposure_fraction", 0.25, "exposure fraction 0.25"),
        ("kernel", "sha256:" + "0" * 64, "kernel sha256:00000000..."),
    ],
)
def test_quantities(name: str, value: object, text: str) -> None:
    assert quantity(name, value) == text


def test_every_dimensional_field_has_a_known_unit() -> None:
    assert all(split_unit(f"x_{ending}") == ("x", unit) for ending, unit in UNITS.items())


@pytest.mark.parametrize(
    "size_px", [pytest.param(192, marks=pytest.mark.slow), 256, pytest.param(512, marks=pytest.mark.slow)]
)
def test_no_number_of_a_long_draw_is_cut_off(size_px: int, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = (
        ("lens", bs.kinds.GaussianBlur(sigma_px=1.5, aspect=0.8, angle_deg=30.0)),
        *((f"blur {i}", bs.kinds.GaussianBlur(sigma_px=i / 10, aspect=0.7, angle_deg=float(i))) for i in range(1, 12)),
        ("sensor", bs.kinds.Sensor(full_well_e=5000.0, read_noise_e=2.0, gain_dn_per_e=0.5, mosaic="GRBG", seed=1)),
        ("jpeg", bs.kinds.Jpeg(quality=81)),
    )
    short, long = a_row(), replace(a_row(), draw=bs.Draw(steps), caption="sample 1")
    written: list[str] = []
    ends: list[int] = []

    def write(pen: Any, lines: Any, left: int, top: int, apart: int) -> None:
        written.extend(text for _, text, _, _ in lines)
        ends.append(top + apart * len(lines))

    monkeypatch.setattr("blursynth.dataset.contact_sheet._write_lines", write)
    sheet = contact_sheet([short, long, short], title="t", size_px=size_px)
    for heading, numbers in describe_draw(long.draw):
        assert heading in written
        assert all(any(quantity in line for line in written) for quantity in numbers.split(" · "))
    assert not any("…" in line for line in written)
    assert max(ends) <= sheet.shape[0]


def test_a_long_subtitle_is_broken_and_ends_with_what_was_changed() -> None:
    from blursynth.dataset.contact_sheet import _broken, _font

    text = "word " * 60 + "changed: shake.length_px = 9"
    lines = _broken(text, " ", _font(16), 900)
    assert " ".join(lines).split() == text.split()
    assert 1 < len(lines) <= 4
    one, several = (contact_sheet([a_row()], title="t", subtitle=s) for s in ("short", text))
    assert several.shape[0] > one.shape[0]


def test_camera_and_iso_of_a_sensor_are_shown() -> None:
    sensor = bs.SensorFromProfile("sony-a7s2", iso=3200)
    recipe = bs.Recipe([("sensor", sensor)])
    frame = bs.Frame(np.zeros((1, 3, 4, 4), np.float32), bs.Encoding.LINEAR)
    ((heading, numbers),) = describe_draw(recipe.sample(frame, seed=0, index=0), recipe)
    assert heading == "sensor"
    assert numbers.startswith("Sony Alpha 7S II · ISO 3,200 · ")


def test_files(tmp_path: Path) -> None:
    write_contact_sheet(tmp_path / "new" / "sheet.png", [a_row()], title="a" * 300, subtitle="b" * 300)
    with Image.open(tmp_path / "new" / "sheet.png") as picture:
        assert picture.mode == "RGB"
    with pytest.raises(PictureError, match=r"cannot be written in the format '\.foo'"):
        write_contact_sheet(tmp_path / "sheet.foo", [a_row()], title="t")
    with pytest.raises(InvalidValueError, match="at least one row"):
        contact_sheet([], title="t")
    raw = pictures(bs.Encoding.RAW, batch=1)
    with pytest.raises(InvalidValueError, match="got raw sensor values"):
        Row.of_pair(bs.Pair(raw, raw), bs.Draw(()))


def test_rows_of_frames() -> None:
    frame = pictures(bs.Encoding.DISPLAY, batch=1)
    row = Row.of_pair(bs.Pair(frame, frame), bs.Draw(()))
    assert np.array_equal(row.sharp, np.rint(np.moveaxis(frame.image[0], 0, -1) * 255))
    gray = bs.Frame(frame.image[:, :1], "display")
    assert Row.of_pair(bs.Pair(gray, gray), bs.Draw(())).sharp.shape == (*frame.size_px, 3)


def test_noise_does_not_drown_points_of_light() -> None:
    frame = bs.Frame(np.zeros((1, 1, 60, 60)), "linear")
    resize = bs.kinds.Rescale(factor=0.6, down="bilinear", up="bilinear")
    noise = bs.kinds.GaussianNoise(sigma=0.05, seed=3)
    points = points_of_light(bs.Draw((("resize", resize), ("noise", noise))), frame)
    assert (points == points_of_light(bs.Draw((("resize", resize),)), frame)).all()
    assert (points[::12] == 0).all()  # rows between the points are dark


def test_a_blur_that_varies_shows_what_points_of_light_become() -> None:
    frame = bs.Frame(np.zeros((1, 1, 80, 100)), "linear", camera=bs.Intrinsics(4.2, 2.8))
    shake = bs.kinds.CameraShake(exposure_s=0.1, motion="random_walk", roll_mrad=40.0, seed=3)
    draw = bs.Draw((("shake", shake), ("encode", bs.kinds.Encode())))
    assert draw.kernel() is None
    points = points_of_light(draw, frame, margin_px=10)
    assert points.shape == (60, 80)
    assert abs(points.sum() - 25) < 0.5  # in linear light: no encoding, no clipping
    sharpest = np.unravel_index(points.argmax(), points.shape)
    assert np.hypot(sharpest[0] - 30, sharpest[1] - 40) < 2  # roll leaves the middle where it is
    picture = np.zeros((64, 64, 3), np.uint8)
    rows = [Row(picture, picture, draw), Row(picture, picture, draw, "", points)]
    said, shown = contact_sheet(rows[:1], title="t"), contact_sheet(rows[1:], title="t")
    assert said.shape == shown.shape
    assert (said != shown).any()
