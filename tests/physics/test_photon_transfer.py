"""Photon transfer recovers what it should, within the intervals it states, and refuses what it cannot use."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import blursynth as bs
from blursynth.errors import InvalidValueError
from blursynth.physics.photon_transfer import (
    CUT_AT_BLACK,
    CUT_AT_WHITE,
    NEAR_SATURATION,
    NEAR_WHITE,
    NO_NOISE,
    SATURATED,
    Estimate,
    PhotonTransfer,
    _ceiling,
    _planes,
    _true_moments,
    fit_noisy_clean,
    fit_photon_transfer,
)
from blursynth.records.streams import Stream

Raw = NDArray[np.float32]
OFFSETS = ("red_offset_dn", "green_red_offset_dn", "green_blue_offset_dn", "blue_offset_dn")


def shots(sensor: bs.kinds.Sensor, lights: Sequence[float], seeds: Sequence[int], size: int) -> list[Raw]:
    channels = 1 if sensor.mosaic is None else 3
    light = np.empty((len(seeds), channels, size, size), np.float32)
    light[:] = np.reshape(lights, (-1, 1, 1, 1))
    frame = bs.Frame(light, bs.Encoding.LINEAR)
    return list(bs.kinds.Sensor.apply([sensor.replace(seed=seed) for seed in seeds], frame).image[:, 0])


def shot(sensor: bs.kinds.Sensor, light: float, seed: int, size: int) -> Raw:
    return shots(sensor, [light], [seed], size)[0]


def taken(
    sensor: bs.kinds.Sensor, seed: int, *, size: int = 128, dark: int = 6, exposures: int = 7
) -> tuple[list[Raw], list[tuple[Raw, Raw]]]:
    """Dark frames and pairs of flat fields."""
    key = 1000 * seed
    levels = np.repeat(np.linspace(0.06, 0.9, exposures), 2)
    seeds = [*range(key, key + dark), *range(key + 100, key + 100 + 2 * exposures)]
    made = shots(sensor, [*np.zeros(dark), *levels], seeds, size)
    return made[:dark], list(zip(made[dark::2], made[dark + 1 :: 2], strict=True))


def fitted(sensor: bs.kinds.Sensor, seed: int, **options: int) -> PhotonTransfer:
    darks, pairs = taken(sensor, seed, **options)
    return fit_photon_transfer(darks, pairs, bit_depth=sensor.bit_depth, mosaic=sensor.mosaic)


SENSOR = bs.kinds.Sensor(full_well_e=30000.0, read_noise_e=5.0, black_level_dn=200, bit_depth=12, seed=0)
RICH = bs.kinds.Sensor(
    full_well_e=6000.0, read_noise_e=6.0, read_noise_shape=-0.1, row_noise_e=2.0, column_noise_e=1.0, prnu=0.01,
    dsnu_e=4.0, black_level_dn=300, bit_depth=14, mosaic="GBRG", red_gain=2.0, blue_gain=1.6, red_from_green=-0.5,
    red_offset_dn=3.0, green_red_offset_dn=-2.0, green_blue_offset_dn=1.0, blue_offset_dn=0.5, seed=0,
)  # fmt: skip


def settings(name: str) -> list[dict[str, float]]:
    """Several settings of a camera: its ends and its middle."""
    camera = bs.load_sensor_profile(name)
    if camera.iso_range is not None:
        low, high = camera.iso_range
        return [{"iso": low}, {"iso": math.sqrt(low * high)}, {"iso": high}]
    low, high = camera.gain_range_dn_per_e
    return [{"gain_dn_per_e": low}, {"gain_dn_per_e": math.sqrt(low * high)}, {"gain_dn_per_e": high}]


@pytest.mark.parametrize("name", bs.sensor_profile_names())
def test_the_intervals_hold_the_truth_for_every_camera(name: str) -> None:
    """Coverage over settings and seeds is 95 %, within what so many trials can tell (5 sigma)."""
    held: Counter[str] = Counter()
    trials: Counter[str] = Counter()
    scores: list[float] = []
    misfits: list[tuple[float, int]] = []
    for place, setting in enumerate(settings(name)):
        for trial in range(14):
            # Seeds differ between cameras too: with equal ones all would see the same luck.
            seed = 100 * bs.sensor_profile_names().index(name) + 20 * place + trial
            drawn = bs.load_sensor_profile(name).draw(Stream(seed, 0, "sensor"), **setting)
            sensor = bs.kinds.Sensor(**drawn, seed=0)
            found = fitted(sensor, seed)
            gain = found.gain_dn_per_e
            assert gain.value == pytest.approx(sensor.dn_per_electron, rel=0.03)
            misfits.append((found.misfit, len([p for p in found.points if p.used]) - 1))
            scores.append((gain.value - sensor.dn_per_electron) / ((gain.high - gain.low) / 3.92))
            truths = [("gain", gain, sensor.dn_per_electron), ("read noise", found.read_noise_e, sensor.read_noise_e)]
            truths += [("row noise", found.row_noise_e, sensor.row_noise_e)]
            truths += [
                ("black", black, sensor.black_level_dn + getattr(sensor, offset))
                for black, offset in zip(found.black_of_plane_dn, OFFSETS, strict=True)
            ]
            for what, estimate, truth in truths:
                held[what] += estimate.holds(truth)
                trials[what] += 1
    for what, count in trials.items():
        # The planes of one frame share the noise of rows, so of the black levels not all trials are independent.
        effective = count / (4 if what == "black" else 1)
        slack = 5 * math.sqrt(0.95 * 0.05 / effective)
        assert held[what] / count > 0.95 - slack, (what, held[what], count)
    # Chi-squared is what it should be.
    spread = math.sqrt(sum(2 / free for _, free in misfits)) / len(misfits)
    assert float(np.mean([value for value, _ in misfits])) == pytest.approx(1.0, abs=5 * spread)
    # Neither biased nor over- or under-confident.
    assert abs(float(np.mean(scores))) < 5 / math.sqrt(len(scores))
    assert float(np.std(scores)) == pytest.approx(1.0, abs=5 / math.sqrt(2 * len(scores)))


def test_all_cameras_together_cover_95_percent() -> None:
    held: Counter[str] = Counter()
    trials = 0
    for camera, name in enumerate(bs.sensor_profile_names()):
        for place, setting in enumerate(settings(name)):
            for trial in range(12):
                seed = 5000 + 100 * camera + 20 * place + trial
                sensor = bs.kinds.Sensor(
                    **bs.load_sensor_profile(name).draw(Stream(seed, 0, "sensor"), **setting), seed=0
                )
                found = fitted(sensor, seed, size=96, dark=4, exposures=5)
                truth_black = sensor.black_level_dn + sum(getattr(sensor, offset) for offset in OFFSETS) / 4
                held["gain"] += found.gain_dn_per_e.holds(sensor.dn_per_electron)
                held["read noise"] += found.read_noise_e.holds(sensor.read_noise_e)
                held["black level"] += found.black_level_dn.holds(truth_black)
                trials += 1
    for what, count in held.items():
        assert abs(count / trials - 0.95) < 5 * math.sqrt(0.95 * 0.05 / trials), (what, count, trials)


def test_everything_that_a_sensor_has_is_told_apart() -> None:
    found = fitted(RICH, 3, size=256, dark=12, exposures=8)
    assert found.gain_dn_per_e.holds(RICH.dn_per_electron)
    assert found.read_noise_e.holds(RICH.read_noise_e)
    assert found.row_noise_e.holds(RICH.row_noise_e)
    assert found.column_noise_e.holds(RICH.column_noise_e)
    assert found.prnu.holds(RICH.prnu)
    assert found.prnu.low > 0.008
    assert found.dsnu_e.holds(RICH.dsnu_e)
    assert found.dsnu_e.low > 3.5
    assert found.read_noise_dn.value == pytest.approx(found.read_noise_e.value * found.gain_dn_per_e.value, rel=1e-9)
    for black, offset in zip(found.black_of_plane_dn, (3.0, -2.0, 1.0, 0.5), strict=True):
        assert black.value == pytest.approx(300 + offset, abs=1.0)


def test_prnu_and_offsets_cover_95_percent() -> None:
    sensor = RICH.replace(mosaic=None, red_gain=1.0, blue_gain=1.0, red_from_green=0.0, **dict.fromkeys(OFFSETS, 0.0))
    held: Counter[str] = Counter()
    for trial in range(40):
        found = fitted(sensor.replace(sensor_seed=trial), 700 + trial, size=96)
        held["prnu"] += found.prnu.holds(0.01)
        held["dsnu"] += found.dsnu_e.holds(4.0)
        held["column"] += found.column_noise_e.holds(1.0)
    for what, count in held.items():
        assert count >= 40 * 0.95 - 5 * math.sqrt(40 * 0.95 * 0.05), (what, count)


def test_a_monochrome_sensor_and_a_well_that_fills() -> None:
    full = SENSOR.replace(full_well_e=15000.0, white_level_e=30000.0, gain_dn_per_e=3895 / 30000)
    found = fitted(full, 1)
    assert found.saturation_dn == pytest.approx(200 + 15000 * full.dn_per_electron, rel=0.15)
    assert found.gain_dn_per_e.holds(full.dn_per_electron)
    used = [p.signal_dn for p in found.points if p.used]
    assert max(used) <= 0.7 * (found.saturation_dn - 199)


def test_noise_that_the_converter_hides_is_only_bounded() -> None:
    coarse = SENSOR.replace(read_noise_e=2.0, gain_dn_per_e=0.12, white_level_e=30000.0)
    found = fitted(coarse, 2)
    assert found.read_noise_e.low == 0.0
    assert found.read_noise_e.holds(2.0)
    assert found.gain_dn_per_e.value == pytest.approx(0.12, rel=0.02)


@given(mean=st.floats(100.0, 101.0), sd=st.floats(0.3, 1.2))
def test_rounding_is_undone_exactly(mean: float, sd: float) -> None:
    from scipy.stats import norm

    codes = np.arange(80, 122)
    share = np.diff(norm.cdf(np.append(codes - 0.5, codes[-1] + 0.5), mean, sd))
    middle = float((share * codes).sum())
    variance = float((share * (codes - middle) ** 2).sum())
    found = _true_moments(middle, variance)
    assert found[0] == pytest.approx(mean, abs=1e-3)
    assert found[1] == pytest.approx(sd**2, rel=2e-3)


def test_planes_are_those_of_the_pattern() -> None:
    for mosaic in ("RGGB", "BGGR", "GRBG", "GBRG"):
        light = bs.Frame(
            np.broadcast_to(np.array([0.2, 0.5, 0.8], np.float32)[None, :, None, None], (1, 3, 4, 4)).copy(),
            bs.Encoding.LINEAR,
        )
        quiet = bs.kinds.Sensor(
            full_well_e=1000.0, shot_noise=False, black_level_dn=0, bit_depth=16, rounding=False, gain_dn_per_e=1.0,
            mosaic=mosaic, green_red_offset_dn=10.0, green_blue_offset_dn=20.0, seed=0,
        )  # fmt: skip
        raw = quiet(light).image[0, 0]
        seen = [float(raw[rows, columns].mean()) for rows, columns in _planes(mosaic)]
        assert seen == pytest.approx([200, 510, 520, 800], rel=1e-5)
        assert all(np.ptp(raw[place]) == 0 for place in _planes(mosaic))


def test_the_band_is_that_of_the_line() -> None:
    found = fitted(SENSOR, 5)
    line, half = found.line([0.0, 1000.0])
    assert line[0] == pytest.approx(found.intercept_dn2)
    assert (line[1] - line[0]) / 1000 == pytest.approx(found.gain_dn_per_e.value)
    assert half[1] > half[0] > 0


def test_more_frames_narrow_the_interval() -> None:
    few, many = fitted(SENSOR, 6, size=64), fitted(SENSOR, 6, size=256)

    def width(e: Estimate) -> float:
        return e.high - e.low

    assert width(few.gain_dn_per_e) / width(many.gain_dn_per_e) == pytest.approx(4.0, rel=0.2)


# Bad input

NUMBERS = np.random.Generator(np.random.Philox(9))  # no sensor is compiled for it while tests are collected


def simple_shot(electrons: float) -> Raw:
    counts = NUMBERS.poisson(electrons, (32, 32)) + NUMBERS.normal(0, 5, (32, 32))
    return np.rint(200 + counts * SENSOR.dn_per_electron).astype(np.float32)


DARK = [simple_shot(0) for _ in range(3)]
FLAT = [(simple_shot(x), simple_shot(x)) for x in (1800, 14000, 27000)]


def spoiled(**changes: Any) -> dict[str, Any]:
    return {"dark": DARK, "flats": FLAT, "bit_depth": 12, **changes}


REFUSED = [
    (spoiled(dark=DARK[:1]), "At least two dark frames are needed, got 1"),
    (spoiled(dark=[]), "At least two dark frames"),
    (spoiled(flats=FLAT[:1]), "At least two pairs"),
    (spoiled(flats=[(FLAT[0][0], FLAT[1][0]), *FLAT[1:]]), "are not a pair"),
    (spoiled(flats=[(FLAT[0][0],), *FLAT[1:]]), "must be pairs of equal"),
    (spoiled(flats=[(FLAT[0][0], FLAT[0][0]), *FLAT[1:]]), "same picture"),
    (spoiled(flats=[(DARK[0], DARK[1]), (DARK[1], DARK[2])]), "as dark as the dark frames"),
    (spoiled(dark=[DARK[0], DARK[0]]), "all the same"),
    (spoiled(dark=[d - 200 + np.float32(0) for d in DARK]), "from 0 to 4095"),
    (spoiled(dark=[np.maximum(d - 200, 0) for d in DARK]), "of the dark pixels are 0"),
    (spoiled(dark=[DARK[0], DARK[1][:, :30]]), "30 x 32 px, the first frame 32 x 32"),
    (spoiled(flats=[FLAT[0], (FLAT[1][0][:20], FLAT[1][1][:20])]), "32 x 20 px"),
    (spoiled(dark=[np.stack([d] * 3) for d in DARK]), "raw values [H, W]"),
    (spoiled(bit_depth=10), "from 0 to 1023"),
    (spoiled(bit_depth=17), "bit_depth must be 2 to 16"),
    (spoiled(bit_depth=12.0), "bit_depth must be 2 to 16"),
    (spoiled(mosaic="RGBG"), "mosaic must be one of"),
    (
        spoiled(flats=[tuple(np.full_like(f, 4095) - (i == 3) for i, f in enumerate(p)) for p in FLAT]),
        "pairs of flat fields are saturated",
    ),
    (spoiled(dark=[d[:8, :8] for d in DARK]), "at least 16 x 16"),
    (spoiled(flats=[(np.full((32, 32), 200), np.full((32, 32), 200)), *FLAT]), "have the value 200 everywhere"),
    (spoiled(dark_names=["d1"]), "Every frame needs one name"),
    (
        spoiled(flats=[(FLAT[0][0], FLAT[0][0]), *FLAT[1:]], flat_names=[("x.png", "y.png")] * 3),
        "x.png and y.png are the same",
    ),
    (
        spoiled(flats=[(FLAT[0][0], FLAT[1][0]), *FLAT[1:]], flat_names=[("x.png", "y.png")] * 3),
        "x.png and y.png are not a pair",
    ),
    (spoiled(dark=[DARK[0], DARK[1][:, :30]], dark_names=["d.png", "e.png"]), "e.png is 30 x 32 px"),
    (spoiled(dark=[d * np.float32("nan") for d in DARK]), "from 0 to 4095"),
]


@pytest.mark.parametrize(("arguments", "says"), REFUSED)
def test_what_cannot_be_used_is_refused(arguments: dict[str, Any], says: str) -> None:
    arguments = dict(arguments)
    with pytest.raises(InvalidValueError) as error:
        fit_photon_transfer(arguments.pop("dark"), arguments.pop("flats"), **arguments)
    assert says in str(error.value)


def test_saturated_flats_are_refused_and_some_are_left_out() -> None:
    bright = [(shot(SENSOR, x, 50 + i, 64), shot(SENSOR, x, 60 + i, 64)) for i, x in enumerate((0.9, 1.2, 1.3))]
    darks = [shot(SENSOR, 0.0, i, 64) for i in range(3)]
    with pytest.raises(InvalidValueError, match="below 70 % of saturation"):
        fit_photon_transfer(darks, bright, bit_depth=12)
    low = [(shot(SENSOR, x, 70 + i, 64), shot(SENSOR, x, 80 + i, 64)) for i, x in enumerate((0.2, 0.5))]
    found = fit_photon_transfer(darks, [*bright, *low], bit_depth=12)
    assert [p.used for p in found.points] == [False, False, False, True, True]
    assert [p.pair for p in found.points] == [1, 2, 3, 4, 5]
    assert [p.why_not for p in found.points] == [NEAR_SATURATION, SATURATED, SATURATED, "", ""]
    assert found.gain_dn_per_e.value == pytest.approx(SENSOR.dn_per_electron, rel=0.1)


@pytest.mark.parametrize("mosaic", [None, "RGGB"])
@pytest.mark.parametrize("end_dn", [4095, 2000])
def test_flats_that_are_cut_off_are_told_from_equal_ones(mosaic: str | None, end_dn: int) -> None:
    """Constant or cut off, at the top code or below it: left out where enough remain, otherwise refused as what it is."""
    darks = [shot(SENSOR, 0.0, i, 64) for i in range(4)]
    full = np.full((64, 64), end_dn, np.float32)
    half = [np.minimum(shot(SENSOR, (end_dn - 200) / 3895, 90 + i, 64), end_dn) for i in range(2)]
    low = [
        (shot(SENSOR, x, 70 + i, 64), shot(SENSOR, x, 80 + i, 64))
        for i, x in enumerate(0.7 * (end_dn - 200) / 3895 * np.linspace(0.3, 0.9, 4))
    ]
    with pytest.raises(InvalidValueError) as error:
        fit_photon_transfer(darks, [(full, full)] * 3, bit_depth=12, mosaic=mosaic)
    assert "All 3 pairs of flat fields are saturated" in str(error.value)
    assert f"100.0% of the pixels are at {end_dn} DN" in str(error.value)
    assert "shorter exposures" in str(error.value)
    assert ("bit depth" in str(error.value)) == (end_dn < 4095)
    with pytest.raises(InvalidValueError, match=r"Only 1 of 3 .* 2 are saturated"):
        fit_photon_transfer(darks, [low[0], (full, full), (half[0], half[1])], bit_depth=12, mosaic=mosaic)
    alone = fit_photon_transfer(darks, low, bit_depth=12, mosaic=mosaic)
    found = fit_photon_transfer(darks, [*low, (half[0], half[1]), (full, full)], bit_depth=12, mosaic=mosaic)
    assert found.saturation_dn == end_dn
    assert found.gain_dn_per_e == alone.gain_dn_per_e
    assert {p.why_not for p in found.points if p.pair > 4} == {SATURATED}
    assert all(p.used for p in found.points if p.pair <= 4)


def test_unimodal_noise_is_never_taken_for_a_cut() -> None:
    rng = np.random.default_rng(8)
    for sd in (0.4, 0.7, 1.0, 3.0, 20.0, 90.0):
        for step in (1, 4):  # codes that were shifted leave gaps
            for size in (16, 64):
                a, b = (step * np.rint(rng.normal(700, sd, (size, size))) for _ in range(2))
                assert _ceiling(a, b, 65535.0)[0] == 0.0, (sd, step, size)


def test_a_bayer_sensor_without_its_pattern_is_refused() -> None:
    base = RICH.replace(mosaic="RGGB")
    for mosaic, alike in (("RGGB", "RGGB or BGGR"), ("BGGR", "RGGB or BGGR"), ("GRBG", "GRBG or GBRG")):
        sensor = base.replace(mosaic=mosaic)
        darks, pairs = taken(sensor, 4, size=64, dark=3, exposures=4)
        with pytest.raises(InvalidValueError, match=f"look like those of a Bayer sensor.*{alike}.*--pattern"):
            fit_photon_transfer(darks, pairs, bit_depth=14)
        fit_photon_transfer(darks, pairs, bit_depth=14, mosaic=mosaic)


def test_a_monochrome_sensor_is_no_mosaic() -> None:
    """PRNU, offsets, noise of rows, light that falls off and columns of two amplifiers do not look like colors."""
    heavy = SENSOR.replace(prnu=0.05, dsnu_e=20.0, row_noise_e=30.0, column_noise_e=30.0, black_level_dn=300)
    for size in (16, 17, 64):
        for seed in range(5):
            darks, pairs = taken(heavy.replace(sensor_seed=seed), seed, size=size, dark=4, exposures=4)
            fall = 1 - 0.6 * np.linspace(0, 1, size) ** 2 * np.linspace(0, 1, size)[:, None]
            two = np.where(np.arange(size) % 2, 1.0, 0.9)
            for shading in (fall, fall * two):
                shaded = [(300 + shading * (a - 300), 300 + shading * (b - 300)) for a, b in pairs]
                fit_photon_transfer(darks, shaded, bit_depth=12)


# One noisy and one clean picture


def scene(size: int) -> NDArray[np.float32]:
    rows, columns = np.mgrid[:size, :size] / size
    light = 0.05 + 0.7 * rows * (0.5 + 0.5 * np.sin(9 * columns)) + 0.15 * (columns > 0.5)
    return light.astype(np.float32)


def test_a_noisy_and_a_clean_raw_picture_tell_gain_and_read_noise() -> None:
    held: Counter[str] = Counter()
    for trial in range(30):
        light = bs.Frame(scene(200)[None, None], bs.Encoding.LINEAR)
        noisy = SENSOR.replace(seed=trial)(light).image[0, 0]
        clean = SENSOR.replace(seed=0, shot_noise=False, read_noise_e=0.0, rounding=False)(light).image[0, 0]
        found = fit_noisy_clean(noisy, clean, black=200, white=4095, rounding_variance=1 / 12)
        gain = SENSOR.dn_per_electron
        assert found.gain.value == pytest.approx(gain, rel=0.05)
        held["gain"] += found.gain.holds(gain)
        held["read"] += found.read_noise.holds(gain * SENSOR.read_noise_e)
    assert held["gain"] >= 30 * 0.95 - 5 * math.sqrt(30 * 0.95 * 0.05)
    assert held["read"] >= 30 * 0.95 - 5 * math.sqrt(30 * 0.95 * 0.05)


def test_outliers_of_the_scene_are_left_out() -> None:
    rng = np.random.default_rng(4)
    clean = 100 + 900 * scene(200).astype(np.float64)
    noisy = clean + rng.normal(0, np.sqrt(0.5 * (clean - 100) + 16))
    noisy[rng.uniform(size=noisy.shape) < 0.01] += 400  # something moved
    found = fit_noisy_clean(noisy, clean, black=100, white=5000)
    assert found.gain.value == pytest.approx(0.5, rel=0.05)
    assert found.read_noise.value == pytest.approx(4.0, rel=0.2)


def test_levels_that_are_not_fitted_say_why() -> None:
    rng = np.random.default_rng(5)
    clean = np.linspace(0, 4095, 60000)
    noisy = np.clip(np.rint(clean + rng.normal(0, 1, clean.size) * np.sqrt(0.5 * clean + 100)), 0, 4095)
    found = fit_noisy_clean(noisy, np.rint(clean), black=0, white=4095, rounding_variance=1 / 12)
    assert [not reason for reason in found.why_not] == found.used.tolist()
    assert found.why_not[0] == CUT_AT_BLACK
    assert found.why_not[-1] == CUT_AT_WHITE
    assert NEAR_WHITE in fit_noisy_clean(noisy, np.rint(clean), black=0, white=4150).why_not
    flat = noisy.copy()
    flat[30000:32500] = np.rint(clean)[30000:32500]
    assert found.why_not[12] == ""
    assert fit_noisy_clean(flat, np.rint(clean), black=0, white=4095).why_not[12] == NO_NOISE


def test_bad_pairs_are_refused() -> None:
    clean = 100 + 900 * scene(64).astype(np.float64)
    noisy = clean + np.random.default_rng(0).normal(0, 5, clean.shape)
    for arguments, says in (
        ((noisy, clean[:, :60]), "one size"),
        ((clean, clean), "the same"),
        ((noisy[:10, :10], clean[:10, :10]), "pixels are needed"),
        ((noisy, np.full_like(clean, 500.0)), "too small a range"),
    ):
        with pytest.raises(InvalidValueError, match=says):
            fit_noisy_clean(*arguments, black=100, white=1000)
    with pytest.raises(InvalidValueError, match="above black"):
        fit_noisy_clean(noisy, clean, black=100, white=100)
