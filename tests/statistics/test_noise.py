"""The laws of noise (docs/laws.md, "Noise"): fixed seeds, at least a million samples, five standard errors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from blursynth.backends import cpu
from blursynth.physics import radiometry
from blursynth.physics.development import DevelopParameters
from blursynth.physics.radiometry import SensorParameters

SIGMAS = 5.0
P_VALUE = 2 * special.ndtr(-SIGMAS)  # 5.7e-7
SHAPE = (1, 4, 512, 512)
N = int(np.prod(SHAPE))  # 1,048,576
ORIGIN = np.zeros((1, 2), np.int64)


def seeded(seed: int) -> np.ndarray:
    return np.array([seed], np.uint64)


def flat(value: float) -> np.ndarray:
    return np.full(SHAPE, value, np.float32)


def sensor(light: np.ndarray, seed: int, **fields: object) -> np.ndarray:
    defaults = {"white_level_e": 1000.0, "full_well_e": np.inf, "black_level_dn": 100.0, "bit_depth": 14}
    return cpu.sensor(light, SensorParameters(**{**defaults, **fields}), seeded(seed), origin_px=ORIGIN)


def variance_error(variance: float, excess_kurtosis: float, samples: int) -> float:
    """The allowed error of a sample variance: 5 sqrt((2 + kappa) / N) of it."""
    return SIGMAS * np.sqrt((2 + excess_kurtosis) / samples) * variance


MEANS = [1e-4, 0.1, 1.0, 5.0, 6.99, 7.01, 9.9, 10.1, 30.0, 100.0, 1e3, 1e4, 1e5]


@pytest.mark.parametrize("mean", MEANS)
def test_counts_are_poisson_distributed(mean: float) -> None:
    exact = float(np.float32(mean))
    counts = cpu.poisson(flat(mean), seeded(11), origin_px=ORIGIN).ravel().astype(np.int64)
    # Classes of about equal probability, at most 200, each with at least 50 counts expected.
    ends = np.unique(stats.poisson.ppf(np.linspace(0, 1, 202)[1:-1], exact))
    probability = np.diff(np.concatenate([[0.0], special.pdtr(ends, exact), [1.0]]))
    observed = np.bincount(np.searchsorted(ends, counts), minlength=ends.size + 1)
    expected = probability * N
    while expected.size > 1 and expected[-1] < 50:
        expected = np.append(expected[:-2], expected[-2] + expected[-1])
        observed = np.append(observed[:-2], observed[-2] + observed[-1])
    if expected.size > 1:
        assert stats.chisquare(observed, expected * N / expected.sum()).pvalue > P_VALUE
    assert abs(counts.mean() - exact) < SIGMAS * np.sqrt(exact / N)
    assert abs(counts.var() - exact) < variance_error(exact, 1 / exact, N)


def test_no_light_makes_no_electrons() -> None:
    assert not cpu.poisson(flat(0.0), seeded(1), origin_px=ORIGIN).any()


@pytest.mark.parametrize("mean", [1.0, 10.0, 100.0])
def test_skew_of_the_counts(mean: float) -> None:
    counts = cpu.poisson(flat(mean), seeded(12), origin_px=ORIGIN).astype(np.float64)
    skew = stats.skew(counts, axis=None)
    # Standard error of the sample skewness, sqrt(6 / N) for a normal distribution; twice that covers mean 1.
    assert abs(skew - mean**-0.5) < SIGMAS * np.sqrt(6 / N) * (2 if mean < 5 else 1)


def test_the_far_tail_of_the_counts() -> None:
    """Counts with a probability of 1e-4 on either side occur as often as they should."""
    for mean in (4.0, 25.0, 2500.0):
        counts = cpu.poisson(flat(mean), seeded(13), origin_px=ORIGIN)
        low, high = stats.poisson.ppf([1e-4, 1 - 1e-4], mean)
        for found, probability in (
            ((counts < low).sum(), special.pdtr(low - 1, mean) if low > 0 else 0.0),
            ((counts > high).sum(), special.pdtrc(high, mean)),
        ):
            assert abs(found - probability * N) <= SIGMAS * np.sqrt(probability * N)


def test_normal_noise_is_normally_distributed() -> None:
    noise = cpu.gaussian_noise(flat(0.0), np.array([1.0]), seeded(14), origin_px=ORIGIN).ravel().astype(np.float64)
    classes = special.ndtri(np.linspace(0, 1, 201))
    observed = np.histogram(noise, classes)[0]
    assert stats.chisquare(observed).pvalue > P_VALUE
    assert abs(noise.mean()) < SIGMAS / np.sqrt(N)
    assert abs(noise.var() - 1) < variance_error(1.0, 0.0, N)
    assert abs(stats.skew(noise)) < SIGMAS * np.sqrt(6 / N)
    assert abs(stats.kurtosis(noise)) < SIGMAS * np.sqrt(24 / N)
    for z in (3.0, 4.0):
        expected = N * special.ndtr(-z)
        assert abs((noise > z).sum() - expected) < SIGMAS * np.sqrt(expected)
        assert abs((noise < -z).sum() - expected) < SIGMAS * np.sqrt(expected)


def test_neighbors_are_uncorrelated() -> None:
    for noise in (
        cpu.poisson(flat(20.0), seeded(15), origin_px=ORIGIN) - 20,
        cpu.gaussian_noise(flat(0.0), np.array([1.0]), seeded(15), origin_px=ORIGIN),
        sensor(flat(0.02), 16, read_noise_e=2.0, gain_dn_per_e=3.0) - 160,
    ):
        field = noise[0].astype(np.float64)
        field = (field - field.mean()) / field.std()
        for one, other in (
            (field[:, :, 1:], field[:, :, :-1]),
            (field[:, 1:], field[:, :-1]),
            (field[:, 1:, 1:], field[:, :-1, :-1]),
            (field[1:], field[:-1]),
            (field[:, :, 256:], field[:, :, :-256]),
        ):
            assert abs((one * other).mean()) < SIGMAS / np.sqrt(one.size)


def test_shot_and_read_noise_of_one_seed_are_uncorrelated() -> None:
    shot = cpu.poisson(flat(50.0), seeded(17), origin_px=ORIGIN).astype(np.float64)
    read = cpu.gaussian_noise(flat(0.0), np.array([1.0]), seeded(17), origin_px=ORIGIN).astype(np.float64)
    for f in (lambda x: x, np.square):
        assert abs(np.corrcoef(f(shot - 50).ravel(), f(read).ravel())[0, 1]) < SIGMAS / np.sqrt(N)


def test_fields_of_neighboring_seeds_are_uncorrelated() -> None:
    fields = [cpu.poisson(flat(50.0), seeded(s), origin_px=ORIGIN).ravel() for s in (0, 1, 2, 2**32, 2**62)]
    correlation = np.corrcoef(np.array(fields, np.float64))
    assert np.abs(correlation - np.eye(len(fields))).max() < SIGMAS / np.sqrt(N)


@pytest.mark.parametrize(("gain", "read_noise_e"), [(0.5, 3.0), (2.0, 1.2), (6.0, 4.0)])
def test_photon_transfer(gain: float, read_noise_e: float) -> None:
    """From differences of two frames, up to 70 % of saturation: slope K within 1 %, intercept K^2 s_r^2 + 1/12."""
    full_e = (2**14 - 1 - 100) / gain
    fields = {"white_level_e": full_e, "gain_dn_per_e": gain, "read_noise_e": read_noise_e}
    levels = np.concatenate([[0.0], np.geomspace(1e-3, 0.7, 9)])
    means, variances = [], []
    for i, level in enumerate(levels):
        one, other = (sensor(flat(level), 100 + 2 * i + j, **fields).astype(np.float64) for j in (0, 1))
        means.append((one.mean() + other.mean()) / 2 - 100)
        variances.append(((one - other) ** 2).mean() / 2)
    means, variances = np.array(means), np.array(variances)
    expected = radiometry.dn_variance(levels * full_e, gain, read_noise_e)
    assert (np.abs(variances - expected) < variance_error(expected, 0.0, N)).all()
    # The error of a variance grows with it: weigh by it.
    slope, intercept = np.polyfit(means, variances, 1, w=1 / expected)
    assert abs(slope / gain - 1) < 0.01
    assert abs(intercept - (gain**2 * read_noise_e**2 + 1 / 12)) < variance_error(float(expected[0]), 0.0, N)
    assert intercept > 0.24


def test_counts_never_exceed_the_full_well() -> None:
    dn = sensor(flat(1.0), 31, full_well_e=950.0, gain_dn_per_e=1.0)
    assert dn.max() == 950 + 100
    share = special.pdtrc(949, 1000.0)  # P(N >= 950)
    assert abs((dn == 1050).sum() - share * N) < SIGMAS * np.sqrt(share * (1 - share) * N)


def test_variance_between_rows() -> None:
    """What a row shares has the variance that was asked for, and differs between channels."""
    rows = np.concatenate(
        [
            sensor(
                np.full((1, 4, 8192, 128), 0.5, np.float32),
                seed,
                row_noise_e=3.0,
                read_noise_e=1.0,
                gain_dn_per_e=2.0,
                rounding=False,
                shot_noise=False,
            ).astype(np.float64)
            for seed in (41, 42)
        ],
        axis=1,
    )[0]
    means = rows.mean(axis=-1)  # [8, 8192]
    expected = 2.0**2 * (3.0**2 + 1.0**2 / 128)
    assert abs(means.var() - expected) < variance_error(expected, 0.0, means.size)
    within = rows.var(axis=-1).mean() * 128 / 127
    assert abs(within - 4.0) < variance_error(4.0, 0.0, rows.size)
    correlation = np.corrcoef(means)
    assert np.abs(correlation - np.eye(8)).max() < SIGMAS / np.sqrt(8192)


def test_the_black_level_removes_the_clipping_bias() -> None:
    """Without it the lower half of the noise in the dark is cut off and the mean rises by sigma / sqrt(2 pi)."""
    fields = {"read_noise_e": 5.0, "gain_dn_per_e": 1.0}
    with_black = sensor(flat(0.0), 51, black_level_dn=64.0, **fields).astype(np.float64) - 64
    without = sensor(flat(0.0), 51, black_level_dn=0.0, **fields).astype(np.float64)
    assert abs(with_black.mean()) < SIGMAS * np.sqrt(25.0 + 1 / 12) / np.sqrt(N)
    assert without.mean() == pytest.approx(5 / np.sqrt(2 * np.pi), rel=0.02)
    # Developed, the dark stays at zero on average: negative values are kept.
    dark = sensor(flat(0.0), 52, black_level_dn=64.0, **fields)
    assert abs(
        cpu.develop(dark, DevelopParameters(64.0, 1064.0), origin_px=np.zeros((1, 2), np.int64))
        .astype(np.float64)
        .mean()
    ) < SIGMAS * 5.01e-3 / np.sqrt(N)


def test_mean_and_variance_with_everything_on() -> None:
    fields = {"read_noise_e": 3.0, "gain_dn_per_e": 1.7, "full_well_e": 2000.0}
    dn = sensor(flat(0.2), 61, **fields).astype(np.float64)
    variance = float(radiometry.dn_variance(200.0, 1.7, 3.0))
    assert abs(dn.mean() - (1.7 * 200 + 100)) < SIGMAS * np.sqrt(variance / N)
    assert abs(dn.var() - variance) < variance_error(variance, 1 / 200, N)
