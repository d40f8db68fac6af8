"""Sensor and development together: what the one undoes of the other, saturation, and how good the colors are."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from hypothesis import assume, given
from hypothesis import strategies as st

import blursynth as bs
from blursynth.errors import InvalidValueError
from blursynth.frame import MOSAICS
from blursynth.physics.mosaic import color_sites, mosaic_code
from blursynth.testing import pictures

METHODS = ("bilinear", "malvar", "edge_aware")
COLOURS = {
    "red_gain": 2.0,
    "blue_gain": 1.6,
    "red_from_green": -0.5,
    "red_from_blue": -0.1,
    "green_from_red": -0.2,
    "green_from_blue": -0.3,
    "blue_from_green": -0.5,
}


def quiet(**changes: object) -> bs.kinds.Sensor:
    """A sensor without noise and rounding, in which nothing saturates before white."""
    fields = {
        "full_well_e": 1e5, "white_level_e": 1e4, "gain_dn_per_e": 0.3, "black_level_dn": 200, "bit_depth": 16,
        "shot_noise": False, "rounding": False, "seed": 0,
    }  # fmt: skip
    return bs.kinds.Sensor(**{**fields, **changes})  # type: ignore[arg-type]


def smooth(height: int = 60, width: int = 70) -> bs.Frame:
    """Light of colors that change slowly, well within the range of every channel of the camera."""
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / 29.0) * np.cos(columns / 31.0), np.sin((rows + columns) / 33.0), np.cos(rows / 37.0)]
    return bs.Frame(0.4 + 0.05 * np.array(waves)[None], bs.Encoding.LINEAR)


@given(
    red_gain=st.floats(1, 2.4),
    blue_gain=st.floats(1, 2.4),
    cross=st.tuples(*[st.floats(-0.6, 0.2)] * 6),
    gain=st.floats(0.25, 4),
    method=st.sampled_from(METHODS),
)
def test_development_undoes_a_sensor_with_all_channels(
    red_gain: float, blue_gain: float, cross: tuple[float, ...], gain: float, method: str
) -> None:
    names = ("red_from_green", "red_from_blue", "green_from_red", "green_from_blue", "blue_from_red", "blue_from_green")
    matrix = dict(zip(names, cross, strict=True))
    frame = smooth(8, 9)
    sensor = quiet(red_gain=red_gain, blue_gain=blue_gain, **matrix)
    assume(abs(np.linalg.det(sensor.color_matrix)) > 0.01)
    balanced = np.linalg.solve(np.array(sensor.color_matrix), frame.image[0].reshape(3, -1))
    assume(balanced.min() > 0 and balanced.max() < 1)  # colors outside of what the camera can hold are cut
    raw = sensor(frame)
    seen = bs.kinds.Develop(demosaic=method, gain=gain)(raw)
    assert seen.encoding is bs.Encoding.LINEAR
    assert seen.raw is None
    np.testing.assert_allclose(seen.image, gain * frame.image, rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mosaic", MOSAICS)
def test_development_undoes_a_mosaic_of_smooth_pictures(mosaic: str, method: str) -> None:
    """To what the curvature leaves: .05 / 29^2 = 6e-5 per px^2, about twice through the matrix."""
    frame = smooth()
    seen = bs.kinds.Develop(demosaic=method)(quiet(mosaic=mosaic, **COLOURS)(frame))
    inside = (..., slice(3, -3), slice(3, -3))
    assert np.abs(seen.image - frame.image)[inside].max() < 2e-4


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mosaic", MOSAICS)
def test_a_window_with_margin_equals_the_whole_through_sensor_and_development(mosaic: str, method: str) -> None:
    frame = pictures(dtype=np.float64, origin_px=(3, 8))
    camera = bs.Draw(
        (
            ("sensor", bs.kinds.Sensor(full_well_e=2000.0, read_noise_e=3.0, mosaic=mosaic, seed=5, **COLOURS)),
            ("develop", bs.kinds.Develop(demosaic=method, gain=1.2)),
        )
    )
    reach = camera.reach_px(frame)
    assert reach is not None
    whole = camera(frame).image[..., 11:24, 12:25]
    window = frame.crop(11 - reach, 12 - reach, 13 + 2 * reach, 13 + 2 * reach)
    assert np.array_equal(camera(window, margin_px=reach).image, whole)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("full_well_e", [1e5, 6000.0])
def test_what_is_saturated_is_neutral(full_well_e: float, method: str) -> None:
    """A lamp is white, not magenta: its channels are clipped at one level, that of the first to be full."""
    lamp = np.full((1, 3, 20, 20), 0.2)
    lamp[:, :, 5:15, 5:15] = 40.0
    raw = quiet(full_well_e=full_well_e, mosaic="RGGB", bit_depth=12, gain_dn_per_e=0.3, **COLOURS)(
        bs.Frame(lamp, bs.Encoding.LINEAR)
    )
    assert raw.raw is not None
    assert (raw.raw.saturation[0] < 1) == (full_well_e < 1e4)
    seen = bs.kinds.Develop(demosaic=method)(raw).image[0, :, 8:12, 8:12]
    assert np.abs(seen - seen.mean(axis=0)).max() <= 1e-9
    assert seen.mean() == pytest.approx(min(full_well_e / 1e4, 1.0), abs=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_gray_noise_free_pictures_stay_gray_where_they_are_flat(method: str) -> None:
    gray = np.repeat(np.linspace(0.1, 0.9, 5), 8)[None, None, None, :] * np.ones((1, 3, 16, 40))
    seen = bs.kinds.Develop(demosaic=method)(quiet(mosaic="GBRG", **COLOURS)(bs.Frame(gray, bs.Encoding.LINEAR))).image
    # Two px and more from every edge; the edge-aware way weighs a wider neighborhood, but what it weighs agrees there.
    flat = [8 * k + i for k in range(5) for i in (3, 4)]
    assert np.abs(seen - gray)[..., flat].max() <= 1e-9


def psnr_db(method: str, name: str, mosaic: str = "RGGB") -> float:
    """Of a mosaic of the picture's codes, as the papers do it."""
    picture = np.moveaxis(getattr(skimage.data, name)(), -1, 0)[None] / 255
    sites = color_sites(mosaic_code(mosaic), (0, 0), picture.shape[2:])
    seen = np.take_along_axis(picture, sites[None, None], axis=1)
    frame = bs.Frame(seen, bs.Encoding.RAW, raw=bs.RawMetadata(0.0, 1.0, (mosaic,)))
    error = (bs.kinds.Develop(demosaic=method)(frame).image - picture)[..., 8:-8, 8:-8]
    return float(-10 * np.log10((error**2).mean()))


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
def test_photographs_malvar_is_better_by_what_is_published(name: str) -> None:
    """Above 3 dB on each; along edges there is more to be had."""
    bilinear, malvar, edge_aware = (psnr_db(method, name) for method in METHODS)
    assert malvar > bilinear + 3.0
    assert edge_aware > malvar + 1.4


def test_the_exposure_compensation_is_a_factor_of_the_light() -> None:
    raw = quiet(mosaic="BGGR", **COLOURS)(smooth(12, 13))
    once, twice = (bs.kinds.Develop(gain=gain)(raw).image for gain in (1.0, 2.0))
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-12)


def test_raw_frames_without_levels_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="needs its metadata"):
        bs.kinds.Develop()(bs.Frame(np.ones((1, 1, 4, 4)), bs.Encoding.RAW))


def test_the_target_is_developed_alike() -> None:
    step = bs.kinds.Develop(demosaic="bilinear", gain=1.5)
    assert step.target() == step
