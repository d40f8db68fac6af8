"""The sensor as a step: what it hands on, its target, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import blursynth as bs
from blursynth.errors import InvalidValueError
from blursynth.frame import MOSAICS
from blursynth.testing import pictures

COLOURS = {
    "red_gain": 2.0, "blue_gain": 1.6, "red_from_green": -0.5, "red_from_blue": -0.1, "green_from_red": -0.2,
    "green_from_blue": -0.4, "blue_from_red": 0.05, "blue_from_green": -0.5,
}  # fmt: skip

NOISE = {
    "read_noise_e": 3.0, "row_noise_e": 1.0, "column_noise_e": 0.5, "prnu": 0.01, "dsnu_e": 1.0, "sensor_seed": 2,
    "red_offset_dn": 2.0, "green_red_offset_dn": -1.0, "green_blue_offset_dn": 1.0, "blue_offset_dn": -2.0,
}  # fmt: skip


def gray(level: float, channels: int = 3) -> bs.Frame:
    return bs.Frame(np.full((1, channels, 16, 18), level, np.float32), bs.Encoding.LINEAR)


def test_what_the_frame_carries() -> None:
    sensor = bs.kinds.Sensor(
        full_well_e=3000.0, white_level_e=2000.0, bit_depth=10, black_level_dn=63, mosaic="GBRG", seed=1,
        dark_current_e_per_s=50.0, exposure_s=2.0, **COLOURS,
    )  # fmt: skip
    assert sensor.dn_per_electron == 0.48  # (1023 - 63) / 2000
    assert sensor.capacity_e == 2000.0  # the converter ends before the pixels are full
    frame = sensor(pictures())
    assert frame.encoding is bs.Encoding.RAW
    assert frame.image.shape == (2, 1, 37, 42)
    assert frame.raw.mosaic == ("GBRG", "GBRG")
    np.testing.assert_allclose(frame.raw.black_dn, 63 + 0.48 * 100)
    np.testing.assert_allclose(frame.raw.white_dn - frame.raw.black_dn, 960)
    np.testing.assert_allclose(frame.raw.saturation, (2000 - 100) / 2000)
    np.testing.assert_array_equal(frame.raw.white_balance, [[2.0, 1.0, 1.6]] * 2)
    np.testing.assert_allclose(frame.raw.color_matrix.sum(axis=2), 1.0, rtol=1e-15)
    assert frame.depth_m is not None  # the rest of the frame stays


@given(
    mosaic=st.sampled_from([None, *MOSAICS]),
    level=st.floats(0.0, 0.9),
    channels=st.sampled_from([1, 3]),
    dark=st.sampled_from([0.0, 300.0]),
)
def test_developing_undoes_a_sensor_without_noise(mosaic: str | None, level: float, channels: int, dark: float) -> None:
    fields = COLOURS | {"mosaic": mosaic} if channels == 3 else {}
    sensor = bs.kinds.Sensor(
        full_well_e=9000.0,
        shot_noise=False,
        rounding=False,
        dark_current_e_per_s=dark,
        exposure_s=1.0,
        seed=0,
        **fields,
    )
    np.testing.assert_allclose(bs.kinds.Develop()(sensor(gray(level, channels))).image, level, atol=2e-6)


@pytest.mark.parametrize("mosaic", [None, "RGGB"])
@pytest.mark.parametrize("dark", [0.0, 40.0])
def test_the_target_is_the_picture_without_noise_and_mosaic(mosaic: str | None, dark: float) -> None:
    sensor = bs.kinds.Sensor(
        full_well_e=2000.0, white_level_e=2500.0, bit_depth=14, mosaic=mosaic, dark_current_e_per_s=dark, exposure_s=1.0,
        seed=3, **COLOURS, **NOISE,
    )  # fmt: skip
    target = sensor.target()
    scene = pictures()
    scene = scene.with_image(0.2 + 0.3 * scene.image)  # colors that no channel is blind to, nor saturated by
    np.testing.assert_allclose(bs.kinds.Develop()(target(scene)).image, scene.image, atol=2e-6)
    assert target.replace(seed=9)(scene).image.tobytes() == target(scene).image.tobytes()
    # Both clip at the same white: what pixels that are full make of it, with the dark current in them.
    bright = gray(5.0)
    white = bs.kinds.Develop()(target(bright)).image
    np.testing.assert_allclose(white, (2000.0 - dark) / 2500.0, rtol=1e-6)
    quiet = sensor.replace(**dict.fromkeys((k for k in NOISE if k != "sensor_seed"), 0.0))
    np.testing.assert_allclose(bs.kinds.Develop()(quiet(bright)).image, white, rtol=1e-3)


@pytest.mark.parametrize("mosaic", MOSAICS)
def test_a_pattern_is_read_from_left_to_right_and_then_down(mosaic: str) -> None:
    """GRBG has green and red in its first row; so do raw files and the codes of OpenCV and DNG."""
    light = {"R": 0.25, "G": 0.5, "B": 0.75}
    image = np.broadcast_to(np.reshape(list(light.values()), (1, 3, 1, 1)), (1, 3, 6, 8))
    sensor = bs.kinds.Sensor(
        full_well_e=1000.0, gain_dn_per_e=1.0, black_level_dn=0, shot_noise=False, mosaic=mosaic, seed=0
    )
    raw = sensor(bs.Frame(np.ascontiguousarray(image, np.float32), bs.Encoding.LINEAR)).image[0, 0]
    for letter, (row, column) in zip(mosaic, ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True):
        assert (raw[row::2, column::2] == 1000 * light[letter]).all()


@pytest.mark.parametrize("mosaic", MOSAICS)
def test_the_phase_belongs_to_the_full_picture(mosaic: str) -> None:
    sensor = bs.kinds.Sensor(full_well_e=2000.0, mosaic=mosaic, seed=3, **COLOURS, **NOISE)
    scene = pictures()
    whole = sensor(scene).image
    for top, left in ((1, 0), (0, 1), (7, 9), (10, 4)):
        part = sensor(scene.crop(top, left, 20, 22))
        np.testing.assert_array_equal(part.image, whole[..., top : top + 20, left : left + 22])


def test_pictures_of_a_batch_have_their_own_sensors() -> None:
    sensors = [
        bs.kinds.Sensor(full_well_e=2000.0, mosaic="RGGB", seed=3, **COLOURS, **NOISE),
        bs.kinds.Sensor(
            full_well_e=500.0, mosaic="GBRG", seed=4, read_noise_shape=-0.1, read_noise_e=2.0, shot_noise=False
        ),
    ]
    scene = pictures()
    both = bs.kinds.Sensor.apply(sensors, scene)
    for b, sensor in enumerate(sensors):
        np.testing.assert_array_equal(both.image[b], sensor(scene[b]).image[0])
        assert both.raw.mosaic[b] == sensor.mosaic
    assert not both.raw.color_matrix[1][~np.eye(3, dtype=bool)].any()


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [{"mosaic": "RGGB"}, {"red_gain": 2.0}, {"blue_gain": 1.5}, {"red_from_green": -0.3}],
    ids=lambda fields: next(iter(fields)),
)
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_colors_need_three_channels(fields: dict[str, object], channels: int) -> None:
    with pytest.raises(InvalidValueError, match=f"pictures of 3 channels, got {channels}"):
        bs.kinds.Sensor(full_well_e=1000.0, seed=1, **fields)(gray(0.5, channels))


def test_offsets_of_colors_need_three_channels() -> None:
    with pytest.raises(InvalidValueError, match="color offsets of a sensor need pictures of 3 channels, got 1"):
        bs.kinds.Sensor(full_well_e=1000.0, seed=1, red_offset_dn=3.0)(gray(0.5, 1))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("fields", [{}, {"mosaic": "RGGB"}, {"shot_noise": False}, COLOURS], ids=range(4))
def test_light_must_be_finite(bad: float, fields: dict[str, object]) -> None:
    frame = gray(0.5)
    frame.image[0, 1, 2, 3] = bad
    with pytest.raises(InvalidValueError, match=r"electrons, got (nan|inf) at \[b, c, row, column\] = \[0, .*2, 3\]"):
        bs.kinds.Sensor(full_well_e=1000.0, seed=1, **fields)(frame)


def test_too_much_light_to_be_counted() -> None:
    with pytest.raises(InvalidValueError, match=r"at most 1e\+08 electrons, got 2e\+08"):
        bs.kinds.Sensor(full_well_e=1e7, seed=1)(gray(20.0))


def test_a_batch_has_a_mosaic_or_none() -> None:
    sensors = [bs.kinds.Sensor(full_well_e=2000.0, mosaic=m, seed=3) for m in ("RGGB", None)]
    with pytest.raises(InvalidValueError, match="mosaic must be 0 for all pictures of a batch, or 1 to 4 for all"):
        bs.kinds.Sensor.apply(sensors, pictures())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"black_level_dn": 4095}, "black_level_dn must lie below the top code"),
        (
            {"dark_current_e_per_s": 1000.0, "exposure_s": 1.0},
            "must leave room for light: it makes 1000 electrons of the 1000",
        ),
        ({"dark_current_e_per_s": 500.0, "exposure_s": 1.0, "gain_dn_per_e": 100.0}, "500 electrons of the 40.31"),
        ({"read_noise_shape": -0.5}, "read_noise_shape"),
        ({"prnu": 0.5}, "prnu"),
        ({"mosaic": "RGBG"}, "mosaic"),
        ({"full_well_e": 0.0}, "full_well_e"),
    ],
)
def test_impossible_sensors_are_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidValueError, match=said):
        bs.kinds.Sensor(**{"full_well_e": 1000.0, "seed": 1, **fields})


def test_a_color_matrix_without_an_inverse_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="has no inverse"):
        bs.kinds.Sensor(full_well_e=1000.0, seed=1, red_from_green=0.5, green_from_red=0.5)(gray(0.5))
