"""The distributions of what a sensor adds: fixed seeds, a million samples, five standard errors; and independence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import special, stats

from blursynth.backends import cpu
from blursynth.physics.radiometry import SensorParameters

SIGMAS = 5.0
P_VALUE = 2 * special.ndtr(-SIGMAS)  # 5.7e-7
SHAPE = (1, 4, 512, 512)
TALL = (1, 4, 2**18, 1)  # a million rows
WIDE = (1, 4, 1, 2**18)  # a million columns
N = int(np.prod(SHAPE))  # 1,048,576
OFFSET_DN = 2.0**20


def field(shape: tuple[int, ...], light: float = 0.0, *, seed: int = 71, **fields: object) -> np.ndarray:
    """What a sensor of gain 1 adds to flat light of ``light`` electrons, as float64, neither rounded nor clipped."""
    given = {"white_level_e": 1.0, "full_well_e": np.inf, "bit_depth": 24, "rounding": False, "shot_noise": False}
    parameters = SensorParameters(**{**given, "black_level_dn": OFFSET_DN, **fields})
    image = np.full(shape, light)
    dn = cpu.sensor(image, parameters, np.array([seed], np.uint64), origin_px=np.zeros((1, 2), np.int64))
    return (dn - OFFSET_DN - light).ravel()


def assert_distributed(sample: np.ndarray, quantile: Callable[[np.ndarray], np.ndarray]) -> None:
    """Chi-square in 200 classes of equal probability, and the counts in both tails of 1e-3 and 1e-4."""
    assert sample.size == N
    classes = quantile(np.linspace(0, 1, 201)[1:-1])
    observed = np.bincount(np.searchsorted(classes, sample), minlength=200)
    assert stats.chisquare(observed).pvalue > P_VALUE
    for p in (1e-3, 1e-4):
        low, high = quantile(np.array([p, 1 - p]))
        for found in ((sample < low).sum(), (sample > high).sum()):
            assert abs(found - p * N) < SIGMAS * np.sqrt(p * N)


@pytest.mark.parametrize("tails", [-0.4, -0.2, -0.05, -1e-4, 0.0, 1e-3, 0.14, 0.5, 1.0])
def test_tukey_lambda_read_noise(tails: float) -> None:
    distribution = stats.tukeylambda(tails)
    if tails == 0.0:
        distribution = stats.logistic()  # its limit
    variance = {0.0: np.pi**2 / 3}.get(tails)
    if variance is None:  # by the integral of the squared quantile, which scipy's own formula loses for small shapes
        variance = float(stats.tukeylambda(tails).var())
    noise = field(SHAPE, read_noise_e=1.0, read_noise_shape=tails)
    assert_distributed(noise, lambda u: distribution.ppf(u) / np.sqrt(variance))
    assert abs(noise.mean()) < SIGMAS / np.sqrt(N)
    if tails > -0.2:  # below -1/4 the fourth moment is infinite, and near it a million samples do not show it
        kurtosis = 1.2 if tails == 0.0 else float(stats.tukeylambda(tails).stats("k"))
        assert abs(noise.var() - 1) < SIGMAS * np.sqrt((2 + kurtosis) / N)


def test_heavier_tails_have_more_outliers() -> None:
    shares = [
        (np.abs(field(SHAPE, read_noise_e=1.0, read_noise_shape=t)) > 5).mean() for t in (-0.4, -0.2, 0.0, 0.14, 1.0)
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 1e-3 > shares[3]
    assert shares[4] == 0  # the uniform distribution


@pytest.mark.parametrize(
    ("shape", "light", "fields", "sd"),
    [
        (SHAPE, 0.0, {"read_noise_e": 2.0}, 2.0),
        (SHAPE, 1000.0, {"prnu": 0.02, "sensor_seed": 5}, 20.0),
        (SHAPE, 0.0, {"dsnu_e": 3.0, "sensor_seed": 5}, 3.0),
        (TALL, 0.0, {"row_noise_e": 1.5}, 1.5),
        (WIDE, 0.0, {"column_noise_e": 0.5}, 0.5),
        (TALL, 0.0, {"dsnu_e": 3.0, "sensor_seed": 2**63 - 1}, 3.0),
    ],
    ids=["read", "prnu", "dsnu", "row", "column", "dsnu-tall"],
)
def test_normal_parts(shape: tuple[int, ...], light: float, fields: dict[str, object], sd: float) -> None:
    noise = field(shape, light, **fields) / sd
    assert_distributed(noise, special.ndtri)
    assert abs(noise.mean()) < SIGMAS / np.sqrt(N)
    assert abs(noise.var() - 1) < SIGMAS * np.sqrt(2 / N)
    assert abs(stats.skew(noise)) < SIGMAS * np.sqrt(6 / N)
    assert abs(stats.kurtosis(noise)) < SIGMAS * np.sqrt(24 / N)


@pytest.mark.parametrize("mean", [0.01, 0.3, 5.0, 80.0, 2e3, 1e5])
@pytest.mark.parametrize("dark_e", [0.0, 0.6])
def test_electrons_of_the_sensor_are_poisson_distributed(mean: float, dark_e: float) -> None:
    """Light and dark current are counted together; read noise of the same seed does not show in the counts."""
    counts = field(SHAPE, mean, shot_noise=True, dark_e=dark_e) + mean
    mean += dark_e
    assert abs(counts.mean() - mean) < SIGMAS * np.sqrt(mean / N)
    assert abs(counts.var() - mean) < SIGMAS * np.sqrt((2 + 1 / mean) / N) * mean
    ends = np.unique(stats.poisson.ppf(np.linspace(0, 1, 202)[1:-1], mean))
    probability = np.diff(np.concatenate([[0.0], special.pdtr(ends, mean), [1.0]]))
    observed = np.bincount(np.searchsorted(ends, np.rint(counts)), minlength=ends.size + 1)
    assert (probability * N > 50).all()
    assert stats.chisquare(observed, probability * N).pvalue > P_VALUE


@pytest.mark.parametrize("shape", [TALL, WIDE, SHAPE], ids=["rows", "columns", "pixels"])
def test_all_parts_are_independent(shape: tuple[int, ...]) -> None:
    """Under one seed for all, the sensor's own too: neither they nor their squares are correlated."""
    seed = 77
    parts = {
        "shot": field(shape, 400.0, seed=seed, shot_noise=True),
        "read": field(shape, seed=seed, read_noise_e=1.0),
        "prnu": field(shape, 1000.0, seed=seed, prnu=0.01, sensor_seed=seed),
        "dsnu": field(shape, seed=seed, dsnu_e=1.0, sensor_seed=seed),
    }
    if shape is TALL:
        parts["row"] = field(shape, seed=seed, row_noise_e=1.0)
    if shape is WIDE:
        parts["column"] = field(shape, seed=seed, column_noise_e=1.0)
    values = np.array([(v - v.mean()) / v.std() for v in parts.values()])
    for one in (values, values**2):
        for other in (values, values**2):
            one_n, other_n = (x - x.mean(axis=1, keepdims=True) for x in (one, other))
            correlation = one_n @ other_n.T / N / np.outer(one_n.std(axis=1), other_n.std(axis=1))
            np.fill_diagonal(correlation, 0.0)
            assert np.abs(correlation).max() < SIGMAS / np.sqrt(N), correlation


def test_sums_of_all_parts_have_the_sum_of_the_variances() -> None:
    noise = field(
        SHAPE, 900.0, shot_noise=True, dark_e=20.0, read_noise_e=3.0, read_noise_shape=0.0, prnu=0.01, dsnu_e=2.0
    )  # fmt: skip
    variance = 900.0 + 20.0 + 9.0 + 81.0 + 4.0
    assert abs(noise.mean() - 20.0) < SIGMAS * np.sqrt(variance / N)
    assert abs(noise.var() - variance) < SIGMAS * np.sqrt((2 + 1.2 * (9 / variance) ** 2 + 1 / 900) / N) * variance
    neighbors = noise.reshape(4, 512, 512) - noise.mean()
    for one, other in (
        (neighbors[:, :, 1:], neighbors[:, :, :-1]),
        (neighbors[:, 1:], neighbors[:, :-1]),
        (neighbors[:, 2:], neighbors[:, :-2]),
        (neighbors[1:], neighbors[:-1]),
    ):
        assert abs((one * other).mean()) / variance < SIGMAS / np.sqrt(one.size)


def test_rows_and_columns_differ_between_channels_frames_and_each_other() -> None:
    shape = (1, 3, 4096, 4096)
    rows = [field((*shape[:3], 1), seed=s, row_noise_e=1.0).reshape(3, -1) for s in (1, 2)]
    columns = [field((*shape[:2], 1, shape[3]), seed=s, column_noise_e=1.0).reshape(3, -1) for s in (1, 2)]
    correlation = np.corrcoef(np.concatenate(rows + columns))
    assert np.abs(correlation - np.eye(12)).max() < SIGMAS / np.sqrt(4096)


def test_sensors_of_neighboring_seeds_are_uncorrelated() -> None:
    fields = [field(SHAPE, dsnu_e=1.0, sensor_seed=s) for s in (0, 1, 2**32, 2**62)]
    fields += [field(SHAPE, dsnu_e=1.0, sensor_seed=0, seed=99)]
    assert np.array_equal(fields[0], fields[-1])  # the frame's seed does not matter
    correlation = np.corrcoef(np.array(fields[:-1]))
    assert np.abs(correlation - np.eye(4)).max() < SIGMAS / np.sqrt(N)
