"""The sensor kernel: equal to the oracle, its own parts in turn, and keyed per pixel."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from blursynth.backends import cpu, oracle
from blursynth.backends.cpu import elementary
from blursynth.backends.cpu import noise as kernels
from blursynth.backends.oracle import noise as plain
from blursynth.errors import InvalidValueError
from blursynth.frame import MOSAICS
from blursynth.physics.mosaic import color_sites
from blursynth.physics.radiometry import SensorParameters, tukey_lambda_sd

SEED = np.array([5, 2**63 - 1], np.uint64)
ORIGIN = np.array([[0, 0], [-7, 2**32 - 21]])  # absolute coordinates may be negative, odd, and wrap at 2^32
SHAPE = (2, 3, 40, 301)  # neither the chunk nor any vector width divides the rows

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])

CAMERA = np.linalg.inv([[1.6, -0.5, -0.1], [-0.2, 1.6, -0.4], [0.0, -0.5, 1.5]]) / np.array([[2.0], [1.0], [1.6]])


def phone(**changes: object) -> SensorParameters:
    fields = {
        "white_level_e": [3000.0, 150.0],
        "full_well_e": [2500.0, 1e4],
        "read_noise_e": [3.0, 1.5],
        "row_noise_e": [0.5, 0.0],
        "gain_dn_per_e": [1.3, 6.0],
        "black_level_dn": [64.0, 10.0],
        "bit_depth": [12, 10],
    }
    return SensorParameters(**{**fields, **changes})


def bayer(**changes: object) -> SensorParameters:
    """Everything that a sensor can do."""
    fields = {
        "mosaic": [1, 4],
        "from_light": CAMERA,
        "read_noise_shape": [-0.1, np.nan],
        "column_noise_e": [0.7, 1.0],
        "dark_e": [4.0, 0.0],
        "prnu": [0.01, 0.003],
        "dsnu_e": [0.0, 2.0],
        "sensor_seed": [9, 2**63 - 1],
        "offset_dn": [[1.5, -2.0, 3.0, 0.5], [0.0, 0.0, 0.0, 1.0]],
    }
    return phone(**{**fields, **changes})


def light(dtype: type[np.floating] = np.float32) -> np.ndarray:
    return np.random.default_rng(3).uniform(-0.1, 1.2, SHAPE).astype(dtype)


# -- the reference ----------------------------------------------------------------------------------------------------


@DTYPES
def test_the_fused_sensor_equals_its_parts(dtype: type[np.floating]) -> None:
    image, parameters = light(dtype), phone(row_noise_e=0.0)

    def column(values: np.ndarray) -> np.ndarray:
        return values.astype(dtype)[:, None, None, None]

    mean = np.maximum(image, 0) * column(parameters.white_level_e)
    count = np.minimum(cpu.poisson(mean, SEED, origin_px=ORIGIN), column(parameters.full_well_e))
    volt = cpu.gaussian_noise(count, parameters.read_noise_e, SEED, origin_px=ORIGIN)
    dn = np.rint(volt * column(parameters.gain_dn_per_e) + column(parameters.black_level_dn))
    dn = np.clip(dn, dtype(0), column(parameters.top_dn))
    assert cpu.sensor(image, parameters, SEED, origin_px=ORIGIN).tobytes() == dn.tobytes()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"shot_noise": [False, True]},
        {"rounding": False},
        {"read_noise_e": 0.0, "row_noise_e": 0.0},
        {"shot_noise": False, "read_noise_e": 0.0, "row_noise_e": 0.0, "rounding": [True, False]},
        {"full_well_e": np.inf, "bit_depth": 8},
    ],
)
def test_the_sensor_equals_the_reference(changes: dict[str, object]) -> None:
    parameters = phone(**changes)
    image = light(np.float64)
    found = cpu.sensor(image, parameters, SEED, origin_px=ORIGIN)
    expected = oracle.sensor(image, parameters, SEED, origin_px=ORIGIN)
    if np.all(parameters.rounding):
        # A normal number that differs by 1e-6 may fall on the other side of a half.
        assert np.abs(found - expected).max() <= 1
        assert (found != expected).mean() < 1e-4
    else:
        np.testing.assert_allclose(found, expected, rtol=0, atol=1 + 1e-9 if np.any(parameters.rounding) else 1e-4)
    half = cpu.sensor(image.astype(np.float32), parameters, SEED, origin_px=ORIGIN)
    assert half.dtype == np.float32
    assert np.abs(half - found).mean() < 0.01


def test_dn_are_whole_and_in_range() -> None:
    dn = cpu.sensor(light(), phone(), SEED, origin_px=ORIGIN)
    np.testing.assert_array_equal(dn, np.rint(dn))
    assert dn.min() >= 0
    assert (dn[0].max(), dn[1].max()) <= (4095, 1023)


def test_without_noise_the_sensor_is_a_straight_line() -> None:
    quiet = SensorParameters(
        white_level_e=1000.0, full_well_e=800.0, gain_dn_per_e=2.0, black_level_dn=50.0, bit_depth=12, shot_noise=False
    )
    ramp = np.array([-1.0, 0.0, 0.25, 0.5, 0.8, 0.9, 3.0], np.float32).reshape(1, 1, 1, 7)
    dn = cpu.sensor(ramp, quiet, SEED[:1], origin_px=ORIGIN[:1])
    np.testing.assert_array_equal(dn.ravel(), [50, 50, 550, 1050, 1650, 1650, 1650])


def close(found: np.ndarray, expected: np.ndarray, parameters: SensorParameters, light: np.ndarray) -> None:
    """Equal to the accuracy of the normal numbers, but for counts that fall to the other side of a tie."""

    def column(values: np.ndarray) -> np.ndarray:
        return np.broadcast_to(values, (len(found),))[:, None, None, None]

    p = parameters
    noise_e = p.read_noise_e + p.row_noise_e + p.column_noise_e + p.dsnu_e
    noise_e = noise_e + p.prnu * p.white_level_e * max(float(np.abs(light).max()), 1.0) * 5
    slack = column(1e-5 * p.gain_dn_per_e * (noise_e + 1e-3))
    tie = np.where(column(p.shot_noise), column(p.gain_dn_per_e), 0.0)
    tie = np.where(column(p.rounding), np.ceil(tie + slack), tie)
    difference = np.abs(found - expected)
    assert (difference <= np.maximum(tie, column(p.rounding)) + slack).all()
    assert (difference > slack).sum() <= 2 + 1e-4 * found.size


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mosaic": 0},
        {"mosaic": 0, "from_light": np.eye(3)},
        {"mosaic": 2, "from_light": np.eye(3)},
        {"shot_noise": [False, True]},
        {"rounding": False},
        {"rounding": False, "shot_noise": False},
        {"prnu": 0.2},
        {"prnu": 0.0, "dsnu_e": 0.0, "column_noise_e": 0.0, "dark_e": 0.0, "offset_dn": 0.0},
        {"read_noise_shape": [0.14, 0.0], "rounding": False},
        {"read_noise_shape": [1.0, -0.4], "rounding": False},
        {"full_well_e": np.inf, "bit_depth": 8},
        {"white_level_e": [3e5, 0.4], "full_well_e": 1e6},
    ],
)
def test_colors_and_fixed_pattern_equal_the_reference(changes: dict[str, object]) -> None:
    parameters, image = bayer(**changes), light(np.float64)
    found = cpu.sensor(image, parameters, SEED, origin_px=ORIGIN)
    expected = oracle.sensor(image, parameters, SEED, origin_px=ORIGIN)
    assert found.shape == expected.shape == (2, 3 if np.all(parameters.mosaic == 0) else 1, 40, 301)
    close(found, expected, parameters, image)
    half = cpu.sensor(image.astype(np.float32), parameters, SEED, origin_px=ORIGIN)
    assert half.dtype == np.float32
    assert np.abs(half - found).mean() < 0.01


@st.composite
def sensors(draw: st.DrawFn, batch: int) -> SensorParameters:
    def each(values: st.SearchStrategy[object]) -> list[object]:
        return [draw(values) for _ in range(batch)]

    def amount(most: float) -> list[object]:
        return each(st.sampled_from([0.0, most / 9, most]))

    mosaics = st.integers(1, 4) if draw(st.booleans()) else st.just(0)
    return SensorParameters(
        white_level_e=each(st.sampled_from([0.5, 30.0, 2e3, 1e5])),
        full_well_e=each(st.sampled_from([25.0, 1.5e3, 1e6, np.inf])),
        read_noise_e=amount(4.0),
        read_noise_shape=each(st.sampled_from([np.nan, -0.4, -0.01, 0.0, 1e-4, 0.14, 1.0])),
        row_noise_e=amount(2.0),
        column_noise_e=amount(2.0),
        gain_dn_per_e=each(st.floats(0.1, 3.0)),
        black_level_dn=each(st.sampled_from([0.0, 64.0])),
        bit_depth=each(st.integers(8, 16)),
        shot_noise=each(st.booleans()),
        rounding=each(st.booleans()),
        dark_e=amount(9.0),
        prnu=amount(0.02),
        dsnu_e=amount(3.0),
        sensor_seed=each(st.integers(0, 2**63 - 1)),
        mosaic=each(mosaics),
        from_light=np.array(each(st.sampled_from([np.eye(3).tolist(), CAMERA.tolist()]))),
        offset_dn=np.array(each(st.tuples(*[st.sampled_from([0.0, -3.25, 5.0])] * 4))),
    )


@given(st.data())
def test_any_sensor_equals_the_reference(data: st.DataObject) -> None:
    batch = data.draw(st.integers(1, 3))
    parameters = data.draw(sensors(batch))
    channels = 3 if parameters.has_colors else data.draw(st.integers(1, 4))
    shape = (batch, channels, data.draw(st.integers(1, 20)), data.draw(st.sampled_from([1, 2, 17, 64, 131])))
    seed = np.array(data.draw(st.lists(st.integers(0, 2**63 - 1), min_size=batch, max_size=batch)), np.uint64)
    origin = np.array(
        data.draw(st.lists(st.tuples(st.integers(-99, 2**31), st.integers(-99, 99)), min_size=batch, max_size=batch))
    )
    image = np.random.default_rng(int(seed[0])).uniform(-0.1, 1.2, shape)
    found = cpu.sensor(image, parameters, seed, origin_px=origin)
    close(found, oracle.sensor(image, parameters, seed, origin_px=origin), parameters, image)


# -- Tukey-lambda numbers ---------------------------------------------------------------------------------------------


@numba.njit(error_model="numpy")
def tukey_all(high, low, shape, scale, out):  # type: ignore[no-untyped-def]
    for i in range(high.size):
        out[i] = kernels.tukey_lambda(high[i], low[i], shape, scale)


@numba.njit(error_model="numpy")
def exp_minus_one_all(x, out):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        out[i] = elementary.exp_minus_one(x[i])


def test_exp_minus_one_keeps_its_digits_next_to_zero() -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate(
        [rng.uniform(-80, 80, 100000), rng.choice([-1, 1], 100000) * np.exp(rng.uniform(-80, 4, 100000))]
    )
    x = x.astype(np.float32)
    found = np.empty_like(x)
    exp_minus_one_all(x, found)
    np.testing.assert_allclose(found, np.expm1(x.astype(np.float64)), rtol=2e-7)
    exp_minus_one_all(np.zeros(40, np.float32), found[:40])
    assert not found[:40].any()


@pytest.mark.parametrize("shape", [-0.4, -0.25, -0.02, -1e-5, 1e-9, 1e-7, 1e-3, 0.14, 0.5, 1.0])
def test_tukey_lambda_numbers_equal_the_inverse_distribution_function(shape: float) -> None:
    rng = np.random.default_rng(2)
    size = 200000
    whole = rng.integers(0, 2**63, size, dtype=np.uint64) >> rng.integers(0, 63, size, dtype=np.uint64)
    whole[:100000] = rng.integers(0, 2**63, 100000, dtype=np.uint64)
    high = (whole >> np.uint64(32)).astype(np.uint32) | (rng.integers(0, 2, size, dtype=np.uint32) << np.uint32(31))
    low = (whole & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    found = np.empty(size, np.float32)
    tukey_all(high, low, np.float32(shape), np.float32(1 / (shape * tukey_lambda_sd(shape))), found)
    p, above = plain.tail_probability(high.astype(np.uint64), low.astype(np.uint64))
    expected = (special.boxcox1p(-p, shape) - special.boxcox(p, shape)) / tukey_lambda_sd(shape)
    expected = np.where(above, expected, -expected)
    error = np.abs(found - expected)
    assert (error < np.maximum(4e-7, 2e-6 * np.abs(expected))).all(), (error / np.maximum(0.1, np.abs(expected))).max()


def test_nearly_no_shape_is_the_logistic_distribution() -> None:
    for tails in (0.0, 1e-12, -1e-12):
        dn = cpu.sensor(light(), phone(read_noise_shape=tails, rounding=False), SEED, origin_px=ORIGIN)
        none = cpu.sensor(light(), phone(read_noise_shape=0.0, rounding=False), SEED, origin_px=ORIGIN)
        np.testing.assert_allclose(dn, none, rtol=1e-6)


# -- keyed per pixel --------------------------------------------------------------------------------------------------


@given(st.integers(0, 39), st.integers(0, 300), st.integers(1, 40), st.integers(1, 301), st.booleans())
def test_a_tile_equals_the_whole(top: int, left: int, height: int, width: int, mosaic: bool) -> None:
    image, parameters = light(), bayer() if mosaic else bayer(mosaic=0)
    window = (..., slice(top, top + height), slice(left, left + width))
    whole = cpu.sensor(image, parameters, SEED, origin_px=ORIGIN)
    tile = cpu.sensor(image[window], parameters, SEED, origin_px=ORIGIN + np.array([top, left]))
    assert whole[window].tobytes() == tile.tobytes()


@pytest.mark.parametrize("mosaic", [[2, 3], 0])
def test_threads_do_not_change_the_bytes(mosaic: object) -> None:
    image = np.random.default_rng(6).uniform(0, 1.2, (2, 3, 333, 401)).astype(np.float32)
    results = {
        cpu.sensor(image, bayer(mosaic=mosaic), SEED, origin_px=ORIGIN, threads=threads).tobytes()
        for threads in (1, 2, 3, 7)
    }
    assert len(results) == 1


@pytest.mark.parametrize("code", [1, 2, 3, 4], ids=MOSAICS)
def test_each_pixel_of_a_mosaic_sees_its_color_and_offset(code: int) -> None:
    """Worked out by hand: white 100 e-, gain 1, black 10, offsets 1, 2, 3, 4 of R, G beside R, G beside B, B."""
    image = np.broadcast_to(np.array([0.25, 0.5, 0.75])[:, None, None], (1, 3, 6, 9)).astype(np.float32)
    quiet = SensorParameters(
        100.0, 1e4, black_level_dn=10.0, shot_noise=False, mosaic=code, offset_dn=[[1.0, 2.0, 3.0, 4.0]]
    )
    origin = np.array([[3, -5]])
    dn = cpu.sensor(image, quiet, SEED[:1], origin_px=origin)[0, 0]
    sites = color_sites(code, (3, -5), (6, 9))
    for row in range(6):
        green = 62 if (sites[row] == 0).any() else 63
        for column in range(9):
            assert dn[row, column] == (36, green, 89)[sites[row, column]]
    np.testing.assert_array_equal(dn, oracle.sensor(image, quiet, SEED[:1], origin_px=origin)[0, 0])


def test_a_mosaic_takes_the_noise_of_one_channel() -> None:
    """The noise of a pixel belongs to its place, not to its color: gray light gives what one channel gives."""
    gray = np.full((2, 1, 40, 301), 0.3, np.float32)
    fields = {"column_noise_e": 1.0, "prnu": 0.01, "dsnu_e": 1.0, "sensor_seed": 3}
    one = cpu.sensor(gray, phone(**fields), SEED, origin_px=ORIGIN)
    three = cpu.sensor(np.repeat(gray, 3, axis=1), phone(**fields, mosaic=1), SEED, origin_px=ORIGIN)
    assert one.tobytes() == three.tobytes()


# -- bad input --------------------------------------------------------------------------------------------------------

GOOD = np.ones((2, 1, 2, 3), np.float32)


@pytest.mark.parametrize(
    ("bad", "shot_noise", "said"),
    [
        *((np.nan, counted, "got nan") for counted in (True, False)),
        *((np.inf, counted, "got inf") for counted in (True, False)),
        (1e7, True, r"at most 1e\+08 electrons, got 1.5e\+09"),  # what is not counted may be large
    ],
)
def test_impossible_light_is_refused(bad: float, shot_noise: bool, said: str) -> None:
    image = GOOD.copy()
    image[1, 0, 1, 2] = bad
    with pytest.raises(InvalidValueError, match=said) as caught:
        cpu.sensor(image, phone(shot_noise=shot_noise), SEED, origin_px=ORIGIN)
    assert "at [b, c, row, column] = [1, 0, 1, 2]" in str(caught.value)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_first_impossible_pixel_is_named(threads: int) -> None:
    image = np.ones((2, 3, 300, 400), np.float32)
    image[1, 2, 5, 6] = image[0, 1, 200, 30] = image[0, 1, 201, 3] = np.nan
    with pytest.raises(InvalidValueError, match=r"got nan at \[b, c, row, column\] = \[0, 0, 200, 30\]"):
        cpu.sensor(image, bayer(), SEED, origin_px=ORIGIN, threads=threads)


def test_light_below_zero_is_no_light() -> None:
    image = np.full((2, 3, 2, 3), -np.inf, np.float32)
    np.testing.assert_array_equal(
        cpu.sensor(image, phone(), SEED, origin_px=ORIGIN),
        cpu.sensor(0 * GOOD.repeat(3, 1), phone(), SEED, origin_px=ORIGIN),
    )


@pytest.mark.parametrize("shape", [(1, 3, 0, 5), (1, 3, 5, 0), (0, 3, 4, 4)])
def test_nothing_in_nothing_out(shape: tuple[int, ...]) -> None:
    nothing = np.ones(shape, np.float32)
    for mosaic, channels in ((0, 3), (1, 1)):
        parameters = SensorParameters(10.0, 20.0, mosaic=mosaic)
        found = cpu.sensor(nothing, parameters, np.ones(shape[0], np.uint64), origin_px=np.zeros((1, 2), np.int64))
        assert found.shape == (shape[0], channels, *shape[2:])


def test_ill_fitting_arguments_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="3 sensors for 2 pictures"):
        cpu.sensor(GOOD, SensorParameters([1.0, 2.0, 3.0], 5.0), SEED, origin_px=ORIGIN)
    for colors in ({"mosaic": 1}, {"from_light": CAMERA}):
        with pytest.raises(InvalidValueError, match="pictures of 3 channels, got 1"):
            cpu.sensor(GOOD, phone(**colors), SEED, origin_px=ORIGIN)
    with pytest.raises(InvalidValueError, match="one integer >= 0 per picture"):
        cpu.sensor(GOOD, phone(), SEED[:1], origin_px=ORIGIN)
