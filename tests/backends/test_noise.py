"""Noise kernels: equal to the oracle, keyed per pixel, and exact where they say so."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from blursynth.backends import cpu, oracle
from blursynth.backends.cpu import noise as kernels
from blursynth.backends.oracle import noise as plain
from blursynth.errors import InvalidValueError
from blursynth.physics.radiometry import SensorParameters

SEED = np.array([5, 2**63 - 1], np.uint64)
ORIGIN = np.array([[0, 0], [-7, 2**32 - 20]])  # absolute coordinates may be negative, and wrap at 2^32
SHAPE = (2, 3, 40, 301)  # neither the chunk nor any vector width divides the rows

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


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


def light(dtype: type[np.floating] = np.float32) -> np.ndarray:
    return np.random.default_rng(3).uniform(-0.1, 1.2, SHAPE).astype(dtype)


# -- exactness of the counts ------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("most", [1e-3, 0.3, 2.0, 8.0, 20.0, 300.0, 2e4, 1e5])
def test_counts_equal_the_inverse_distribution_function(most: float, dtype: type[np.floating]) -> None:
    mean = np.random.default_rng(1).uniform(0, most, SHAPE).astype(dtype)
    np.testing.assert_array_equal(
        cpu.poisson(mean, SEED, origin_px=ORIGIN), oracle.poisson(mean, SEED, origin_px=ORIGIN)
    )


@numba.njit(error_model="numpy")
def settle_all(mean, high, low, candidate, out):  # type: ignore[no-untyped-def]
    for i in range(mean.size):
        out[i] = kernels.settle(np.float64(mean[i]), high[i], low[i], np.int32(2), np.float64(candidate[i]))


@numba.njit(error_model="numpy")
def first_pass_all(mean, high, low, shift, bound, s):  # type: ignore[no-untyped-def]
    for i in range(mean.size):
        shift[i], bound[i], s[i] = kernels.expansion(mean[i], kernels.standard_normal(high[i], low[i]))


@numba.njit(error_model="numpy")
def tails_all(k, mean, above, out):  # type: ignore[no-untyped-def]
    for i in range(mean.size):
        out[i] = kernels.tail(k[i], mean[i], above[i])


@numba.njit(error_model="numpy")
def normals_all(high, low, out):  # type: ignore[no-untyped-def]
    for i in range(high.size):
        out[i] = kernels.standard_normal(high[i], low[i])


@pytest.mark.parametrize("most", [7.0, 12.0, 100.0, 1e4, 1e6, 1e8])
def test_the_quick_pass_never_decides_wrongly(most: float) -> None:
    """Every pixel again by the distribution function; this reaches means at which scipy's is no longer an oracle."""
    mean = np.random.default_rng(2).uniform(0, most, (2, 3, 100, 301))
    w0, _, w2, _ = (w.astype(np.uint32).ravel() for w in plain.words(mean.shape, SEED, ORIGIN))
    quick = cpu.poisson(mean, SEED, origin_px=ORIGIN)
    exact = np.empty(mean.size)
    settle_all(mean.ravel(), w0, w2, quick.ravel(), exact)
    np.testing.assert_array_equal(quick.ravel(), exact)


def stretched_words(size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Words whose probabilities are spread evenly over the powers of two, out to the last one."""
    whole = rng.integers(0, 2**63, size, dtype=np.uint64) >> rng.integers(0, 63, size, dtype=np.uint64)
    high = (whole >> np.uint64(32)).astype(np.uint32) | (rng.integers(0, 2, size, dtype=np.uint32) << np.uint32(31))
    return high, (whole & np.uint64(0xFFFFFFFF)).astype(np.uint32)


@pytest.mark.parametrize("mean", [7.0, 9.0, 15.0, 50.0, 1e3, 2e4, 1e5])
def test_the_quick_pass_knows_its_own_error(mean: float) -> None:
    rng = np.random.default_rng(4)
    high, low = stretched_words(20000, rng)
    high[::2] = rng.integers(0, 2**32, 10000, dtype=np.uint32)
    means = (mean * rng.uniform(1, 1.1, high.size)).astype(np.float32)
    shift, bound, s = (np.empty(high.size, np.float32) for _ in range(3))
    first_pass_all(means, high, low, shift, bound, s)
    p, above = plain.tail_probability(high.astype(np.uint64), low.astype(np.uint64))
    used = (s > -0.75) & (s < 1.85) & (p > 1e-16)
    shift, bound, p, above, wide = shift[used], bound[used], p[used], above[used], means[used].astype(np.float64)
    x = wide + shift
    step = 1e-4 * np.sqrt(wide)

    def cumulative(x: np.ndarray) -> np.ndarray:  # the tail's continuous extension: P(N < x) or its complement
        return np.where(above, special.gammainc(x, wide), special.gammaincc(x, wide))

    for _ in range(3):  # Newton's steps to where the extension equals p
        slope = (cumulative(x + step) - cumulative(x - step)) / (2 * step)
        x = x - np.clip((cumulative(x) - p) / slope, -0.1, 0.1)
    error = np.abs(x - (wide + shift))
    assert (error < 0.75 * bound).all(), (error / bound).max()


def test_tail_probabilities() -> None:
    rng = np.random.default_rng(5)
    mean = np.exp(rng.uniform(np.log(1e-2), np.log(1e5), 20000))
    k = np.maximum(np.floor(mean + rng.uniform(-6, 6, mean.size) * np.sqrt(mean)), 0).astype(np.int64)
    above = k + 1 > mean
    found = np.empty(mean.size)
    tails_all(k, mean, above, found)
    expected = np.where(above, special.pdtrc(k, mean), special.pdtr(k, mean))
    # Below 1e-12 of probability scipy's own error grows; the counts do not depend on more.
    sound = expected > 1e-12
    np.testing.assert_allclose(found[sound], expected[sound], rtol=1e-12)


@pytest.mark.parametrize("mean", [1e4, 3e5, 7e6])
def test_tail_probabilities_of_large_means_by_summation(mean: float) -> None:
    rng = np.random.default_rng(6)
    exact = np.longdouble
    for z in rng.uniform(-6, 6, 12):
        k = int(mean + z * np.sqrt(mean))
        above = k + 1 > mean
        first = exact(k + 1 if above else k)
        inverse = 1 / first
        stirling = inverse * (exact(1) / 12 - inverse**2 * (exact(1) / 360 - inverse**2 / 1260))
        mu = (exact(mean) - first) / first
        log_p = -first * (mu - np.log1p(mu)) - stirling - np.log(2 * exact(np.pi) * first) / 2
        steps = np.arange(1, int(12 * np.sqrt(mean))).astype(exact)
        ratios = exact(mean) / (first + steps) if above else (first - steps + 1) / exact(mean)
        expected = np.exp(log_p) * (1 + np.cumprod(ratios).sum())
        assert float(kernels.tail(k, mean, above) / expected - 1) == pytest.approx(0, abs=2e-12)


def counts_all(mean: np.ndarray, w0: np.ndarray, w2: np.ndarray, count: np.ndarray) -> None:
    state, drawn = np.empty((2, 1000), np.int32), np.empty((3, 1000), np.uint32)
    number = np.empty((2, 1000), mean.dtype)
    for i in range(0, mean.size, 1000):
        at = slice(i, i + 1000)
        kernels.counts(mean[at], w0[at], w2[at], 1000, count[at], state, drawn, number)


@DTYPES
@pytest.mark.parametrize(("least", "most"), [(1e-3, 7.0), (7.0, 24.0), (4.0, 14.0), (15.0, 60.0), (60.0, 1e4)])
def test_counts_of_words_next_to_the_border_between_two_counts(
    least: float, most: float, dtype: type[np.floating]
) -> None:
    """Probabilities that differ from a value of the distribution function by 1e-9 to 1e-4 of it, to either side."""
    rng = np.random.default_rng(9)
    size = 40000
    mean = np.exp(rng.uniform(np.log(least), np.log(most), size)).astype(dtype)
    wide = mean.astype(np.float64)
    k = np.maximum(np.rint(wide + np.sqrt(wide) * rng.uniform(-5, 6, size)), 0)
    above = special.pdtr(k, wide) > 0.5
    p = np.where(above, special.pdtrc(k, wide), special.pdtr(k, wide))
    p = np.clip(p * (1 + rng.choice([-1, 1], size) * 10.0 ** rng.uniform(-9, -4, size)), 1e-17, 0.5 - 1e-9)
    high = np.floor(p * 2.0**32)
    low = np.floor((p * 2.0**32 - high) * 2.0**32)
    w0 = high.astype(np.uint32) | (above.astype(np.uint32) << np.uint32(31))
    w2 = low.astype(np.uint32)
    found = np.empty(size, dtype)
    counts_all(mean, w0, w2, found)
    p, above = plain.tail_probability(w0.astype(np.uint64), w2.astype(np.uint64))
    np.testing.assert_array_equal(found, plain.poisson_quantile(p, above, wide))


def test_counts_at_the_ends() -> None:
    zero = np.zeros((2, 1, 3, 5), np.float32)
    np.testing.assert_array_equal(cpu.poisson(zero, SEED, origin_px=ORIGIN), zero)
    tiny = np.full_like(zero, 1e-40)  # a number below the normal range of float32
    np.testing.assert_array_equal(cpu.poisson(tiny, SEED, origin_px=ORIGIN), zero)
    # The last probabilities that the words can say, 2^-65 on either side.
    mean = np.array([0.5, 3.0, 6.99, 7.0, 40.0, 5e3, 1e5], np.float64)
    for high in (0, 0x80000000):
        found, words = np.empty(mean.size), np.full(mean.size, high, np.uint32)
        settle_all(mean, words, np.zeros_like(words), mean, found)
        expected = plain.poisson_quantile(2.0**-65, high > 0, mean)
        np.testing.assert_array_equal(found, expected)


# -- normal numbers ---------------------------------------------------------------------------------------------------


def test_normal_numbers_equal_the_inverse_distribution_function() -> None:
    high, low = stretched_words(200000, np.random.default_rng(7))
    high[:100000] = np.random.default_rng(8).integers(0, 2**32, 100000, dtype=np.uint32)
    found = np.empty(high.size, np.float32)
    normals_all(high, low, found)
    expected = plain.standard_normals(high.astype(np.uint64), low.astype(np.uint64))
    assert (np.abs(found - expected) < np.maximum(1.2e-6, 4e-7 * np.abs(expected))).all()
    assert np.abs(expected).max() > 8.5


def test_the_tails_reach_nine_sigma() -> None:
    found = np.empty(2, np.float32)
    normals_all(np.array([0, 0x80000000], np.uint32), np.zeros(2, np.uint32), found)
    assert -found[0] == found[1] == pytest.approx(-special.ndtri(2.0**-65), rel=4e-7)
    assert found[1] > 9.1


# -- keyed per pixel --------------------------------------------------------------------------------------------------


def every_noise(
    image: np.ndarray, seed: np.ndarray, origin: np.ndarray, parameters: SensorParameters
) -> list[np.ndarray]:
    return [
        cpu.poisson(np.maximum(image, 0) * image.dtype.type(40), seed, origin_px=origin),
        cpu.gaussian_noise(image, np.full(len(seed), 0.3), seed, origin_px=origin),
        cpu.sensor(image, parameters, seed, origin_px=origin),
    ]


@given(st.integers(0, 39), st.integers(0, 300), st.integers(1, 40), st.integers(1, 301))
def test_a_tile_equals_the_whole(top: int, left: int, height: int, width: int) -> None:
    image = light()
    window = (..., slice(top, top + height), slice(left, left + width))
    whole = every_noise(image, SEED, ORIGIN, phone())
    tile = every_noise(image[window], SEED, ORIGIN + np.array([top, left]), phone())
    for one, other in zip(whole, tile, strict=True):
        assert one[window].tobytes() == other.tobytes()


def test_one_pixel_does_not_disturb_the_others() -> None:
    image = light()
    before = every_noise(image, SEED, ORIGIN, phone())
    image[0, 1, 7, 100] = 0.9
    for one, other in zip(before, every_noise(image, SEED, ORIGIN, phone()), strict=True):
        changed = np.argwhere(one != other)
        assert {tuple(c) for c in changed} <= {(0, 1, 7, 100)}


def test_seed_row_column_and_channel_all_count() -> None:
    flat = np.full((1, 2, 8, 64), 300.0, np.float32)
    start = np.zeros((1, 2), np.int64)
    base = cpu.poisson(flat, np.array([1], np.uint64), origin_px=start)
    for seed in (2, 1 + 2**32, 1 + 2**62):  # both words of the key
        assert (cpu.poisson(flat, np.array([seed], np.uint64), origin_px=start) != base).mean() > 0.9
    assert (base[0, 0] != base[0, 1]).mean() > 0.9
    assert (base[0, 0, 0] != base[0, 0, 1]).mean() > 0.9
    assert (base[..., :-1] != base[..., 1:]).mean() > 0.9


# -- bad input --------------------------------------------------------------------------------------------------------

GOOD = np.ones((2, 1, 2, 3), np.float32)


@pytest.mark.parametrize(
    ("bad", "said"),
    [(-1.0, "got -1.0"), (np.nan, "got nan"), (2e8, "must be 0 to 1e+08"), (np.inf, "got inf")],
)
def test_impossible_means_are_refused(bad: float, said: str) -> None:
    mean = GOOD.copy()
    mean[1, 0, 1, 2] = bad
    with pytest.raises(InvalidValueError) as caught:
        cpu.poisson(mean, SEED, origin_px=ORIGIN)
    assert said in str(caught.value)
    assert "[1, 0, 1, 2]" in str(caught.value)


def test_ill_fitting_arguments_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="float32 or float64 image"):
        cpu.poisson(GOOD.astype(np.int32), SEED, origin_px=ORIGIN)
    with pytest.raises(InvalidValueError, match="float32 or float64 image"):
        cpu.poisson(GOOD[0], SEED, origin_px=ORIGIN)
    with pytest.raises(InvalidValueError, match="one integer >= 0 per picture"):
        cpu.poisson(GOOD, SEED[:1], origin_px=ORIGIN)
    with pytest.raises(InvalidValueError, match="one integer >= 0 per picture"):
        cpu.poisson(GOOD, np.array([1.5, 2.0]), origin_px=ORIGIN)
    with pytest.raises(InvalidValueError, match="one integer >= 0 per picture"):
        cpu.poisson(GOOD, np.array([-1, 2]), origin_px=ORIGIN)
    with pytest.raises(InvalidValueError, match="origin_px"):
        cpu.poisson(GOOD, SEED, origin_px=np.zeros((3, 2), np.int64))
    with pytest.raises(InvalidValueError, match="origin_px"):
        cpu.poisson(GOOD, SEED, origin_px=np.zeros((2, 2)))
    with pytest.raises(InvalidValueError, match="sigma must be >= 0"):
        cpu.gaussian_noise(GOOD, np.array([1.0, -1.0]), SEED, origin_px=ORIGIN)
