"""Distributions: range, law, and the same numbers everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy import stats

import blursynth as bs
from blursynth.errors import BlursynthError
from blursynth.recipe.distributions import Distribution, parse
from blursynth.records.streams import Stream
from blursynth.testing import pictures

FRAME = pictures(batch=1)

LAWS = [
    (bs.Uniform(2.0, 5.0), stats.uniform(2.0, 3.0)),
    (bs.LogUniform(2.0, 50.0), stats.loguniform(2.0, 50.0)),
    (bs.Normal(1.0, 2.0), stats.norm(1.0, 2.0)),
    (bs.TruncatedNormal(0.0, 1.0, 0.5, 2.0), stats.truncnorm(0.5, 2.0)),
    (bs.Beta(2.0, 5.0, 1.0, 3.0), stats.beta(2.0, 5.0, loc=1.0, scale=2.0)),
]


def sample(distribution: Distribution, count: int, name: str = "x") -> list[object]:
    return [distribution.sample(Stream(1, i, name), FRAME, {}) for i in range(count)]


@pytest.mark.parametrize(("ours", "law"), LAWS, ids=[type(d).__name__ for d, _ in LAWS])
def test_law(ours: Distribution, law: object) -> None:
    values = np.array(sample(ours, 20_000), float)
    assert stats.kstest(values, law.cdf).pvalue > 5.7e-7  # type: ignore[attr-defined]  # 5 sigma
    low, high = ours.extremes()
    assert low <= values.min()
    assert values.max() <= high


def test_choice_and_integer_frequencies() -> None:
    values = sample(bs.Choice(("a", "b", "c"), (1.0, 2.0, 1.0)), 20_000)
    counts = np.array([values.count(v) for v in "abc"])
    assert stats.chisquare(counts, [5000, 10000, 5000]).pvalue > 5.7e-7
    values = sample(bs.Integer(-2, 3), 20_000)
    assert set(values) == {-2, -1, 0, 1, 2, 3}
    assert stats.chisquare([values.count(v) for v in range(-2, 4)]).pvalue > 5.7e-7


@given(low=st.floats(-1e6, 1e6), width=st.floats(0, 1e6), seed=st.integers(0, 2**63 - 1))
def test_uniform_stays_inside(low: float, width: float, seed: int) -> None:
    distribution = bs.Uniform(low, low + width)
    assert low <= distribution.sample(Stream(seed, 0, "x"), FRAME, {}) <= low + width  # type: ignore[operator]


@given(
    depth=arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=7), elements=st.floats(0.25, 64, width=32)),
    share=st.floats(0, 1),
)
def test_depth_quantile_is_that_of_numpy(depth: NDArray[np.float32], share: float) -> None:
    frame = bs.Frame(np.zeros(depth.shape, np.float32), "linear", depth_m=depth)
    drawn = bs.DepthQuantile(share, share).sample(Stream(0, 0, "x"), frame, {})
    assert drawn == pytest.approx(np.quantile(depth.astype(np.float64), share), rel=1e-8)


COMBINED = [
    bs.Meter(0.5, 0.1, 0.2),
    bs.Product("exposure.exposure_s", bs.LogUniform(50.0, 400.0), 0.5, low=1.0, high=70.0),
    bs.Quotient(1.0, "exposure.exposure_s"),
]


@pytest.mark.parametrize(
    "ours", [d for d, _ in LAWS] + [bs.Choice((1, 2)), bs.Integer(1, 6), bs.SameAs("a.b"), *COMBINED]
)
def test_plain_form_round_trips(ours: Distribution) -> None:
    assert parse(ours.to_plain()) == ours


def test_known_draws() -> None:
    """The stream is part of the format: a change of these numbers changes everybody's data sets."""
    assert Stream(7, 3, "shake").word() == 5522497689659709530
    assert bs.Uniform(4.0, 40.0).sample(Stream(7, 3, "shake"), FRAME, {}) == 14.7775072
    assert bs.Normal(0.0, 1.0).sample(Stream(7, 3, "shake"), FRAME, {}) == -0.526198352


def test_numbers_of_numpy_are_seeds_too() -> None:
    assert Stream(np.int64(7), np.uint8(3), "x").word() == Stream(7, 3, "x").word()  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [-1, 2**63, 1.0, True, "7"])
def test_bad_seeds(bad: object) -> None:
    with pytest.raises(BlursynthError, match="integer"):
        Stream(bad, 0, "x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: bs.Normal(0, -1), "sd must be >= 0"),
        (lambda: bs.TruncatedNormal(0, 1, 50, 60), "too far from the mean"),
        (lambda: bs.TruncatedNormal(0, 0, 0, 1), "sd must be > 0"),
        (lambda: bs.Choice(()), "at least one value"),
        (lambda: bs.Choice((1, 2), (1.0,)), "one weight per value"),
        (lambda: bs.Choice((1, 2), (0.0, 0.0)), "sum > 0"),
        (lambda: bs.Beta(0, 1), "a and b must be > 0"),
        (lambda: bs.DepthQuantile(0.5, 1.5), r"lie in \[0, 1\]"),
        (lambda: bs.Integer(1.5, 2), "integer"),  # type: ignore[arg-type]
        (lambda: bs.Uniform(0, float("inf")), "finite number"),
        (lambda: bs.SameAs("shake"), '"step.field"'),
        (lambda: parse({"uniform": 3}), "needs a list"),
        (lambda: parse({"uniform": [1, 2], "weights": [1]}), "no parameter 'weights'"),
        (lambda: parse({"choice": 3}), "list of values"),
        (lambda: parse({}), "an empty table"),
        (lambda: bs.Product(2.0), "at least two factors"),
        (lambda: bs.Product("exposure", 2.0), '"step.field"'),
        (lambda: bs.Product(2.0, 3.0, low=5.0, high=1.0), "low must not exceed high"),
        (lambda: parse({"product": [1.0, 2.0], "hihg": 3.0}), "no parameter 'hihg'"),
        (lambda: bs.Meter(0.5, 0.0, 1.0), "low must be > 0"),
        (lambda: bs.Meter(1.5, 0.1, 1.0), r"lies in \[0, 1\]"),
    ],
)
def test_bad_parameters(build: object, message: str) -> None:
    with pytest.raises(BlursynthError, match=message):
        build()  # type: ignore[operator]


EARLIER = {"exposure": bs.kinds.Exposure(exposure_s=0.05, metered_s=0.1)}


def test_products_and_quotients() -> None:
    stream = Stream(1, 2, "x")
    path = bs.Product("exposure.exposure_s", bs.Uniform(100.0, 200.0), high=9.0)
    values = [path.sample(Stream(1, i, "x"), FRAME, EARLIER) for i in range(200)]
    assert min(values) >= 5.0  # type: ignore[type-var]
    assert max(values) == 9.0  # type: ignore[type-var]  # held
    assert bs.Product(2.0, 3.0, 4.0).sample(stream, FRAME, {}) == 24.0
    assert bs.Quotient(1.0, "exposure.exposure_s", 2).sample(stream, FRAME, EARLIER) == 10.0
    assert bs.Product(bs.Uniform(-1.0, 2.0), bs.Uniform(3.0, 5.0)).extremes() == (-5.0, 10.0)
    assert path.extremes() == (9.0,)
    assert [r.field for r in path.depends_on()] == ["exposure.exposure_s"]
    with pytest.raises(BlursynthError, match=r"divides 1.0 by 0"):
        bs.Quotient(1.0, 0.0).sample(stream, FRAME, {})


def test_factors_are_independent() -> None:
    squares = bs.Product(bs.Uniform(0.0, 1.0), bs.Uniform(0.0, 1.0))
    mean = np.mean(sample(squares, 20_000))  # type: ignore[call-overload]
    assert mean == pytest.approx(0.25, abs=5 * np.sqrt(7 / 144 / 20_000))  # 1/3 if both were one number


@pytest.mark.parametrize("encoding", [bs.Encoding.LINEAR, bs.Encoding.DISPLAY])
def test_the_meter_puts_a_quantile_at_a_level(encoding: bs.Encoding) -> None:
    frame = pictures(encoding, batch=1)
    light = frame if encoding is bs.Encoding.LINEAR else bs.kinds.Decode()(frame)
    gain = bs.Meter(0.5, 0.18, 0.18).sample(Stream(0, 0, "x"), frame, {})
    luminance = np.tensordot([0.2126, 0.7152, 0.0722], light.image[0], 1) * gain
    assert np.median(luminance) == pytest.approx(0.18, rel=1e-5)
    # Crops of photographs may be black, or nearly so: that is not a reason to stop a data set.
    dark = frame.with_image(np.zeros_like(frame.image))
    assert bs.Meter(0.5, 0.1, 0.2).sample(Stream(0, 0, "x"), dark, {}) == 1.0
    lamp = dark.with_image(dark.image.copy())
    lamp.image[..., :8, :8] = 1.0
    assert bs.Meter(0.5, 0.1, 0.2).sample(Stream(0, 0, "x"), lamp, {}) > 0  # type: ignore[operator]
