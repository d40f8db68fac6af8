"""The guided filter with itself as the guide: equal to the oracle, to the bit in windows and by any threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blursynth.backends import cpu, oracle
from blursynth.errors import InvalidValueError

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    strength=st.lists(st.sampled_from([0.0, 1e-30, 0.01, 0.2, 3.0]), min_size=1, max_size=3),
    radius=st.integers(1, 12),
    double=st.booleans(),
    seed=st.integers(0, 99),
)
def test_equals_the_oracle(size: tuple[int, int], strength: list[float], radius: int, double: bool, seed: int) -> None:
    image = np.random.default_rng(seed).uniform(0, 1, (len(strength), 2, *size)).astype(float if double else np.float32)
    radii = np.array([[radius + b, radius] for b in range(len(strength))])
    strengths = np.array([[c, 0.7 * c] for c in strength])
    found = cpu.self_guided(image, strengths, radii)
    expected = oracle.self_guided(image.astype(np.float64), strengths, radii)
    assert found.dtype == image.dtype
    if not double and 1e-30 in strength:
        expected[np.array(strength) == 1e-30] = 0  # its square is none of float32's numbers
    assert np.abs(found - expected).max() <= (1e-12 if double else 2e-5)


@DTYPES
def test_equals_the_oracle_across_tiles(dtype: type[np.floating]) -> None:
    image = np.random.default_rng(1).uniform(0, 1, (1, 1, 150, 530)).astype(dtype)
    found = cpu.self_guided(image, np.array([[0.2]]), np.array([[3]]))
    expected = oracle.self_guided(image.astype(np.float64), np.array([[0.2]]), np.array([[3]]))
    assert np.abs(found - expected).max() <= (1e-12 if dtype == np.float64 else 2e-5)


@DTYPES
def test_bytes_do_not_depend_on_window_threads_batch_or_layout(dtype: type[np.floating]) -> None:
    image = np.random.default_rng(2).uniform(0, 1, (2, 2, 300, 310)).astype(dtype)
    strength, radius = np.array([[0.1, 0.2], [0.3, 0.1]]), np.array([[2, 1], [4, 3]])
    found = cpu.self_guided(image, strength, radius, threads=1)
    assert np.array_equal(cpu.self_guided(image, strength, radius, threads=3), found)
    assert np.array_equal(cpu.self_guided(image[1:], strength[1:], radius[1:]), found[1:])
    turned = np.ascontiguousarray(image.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert np.array_equal(cpu.self_guided(turned, strength, radius), found)
    reach = 12
    part = cpu.self_guided(image[..., 31 - reach : 90 + reach, 57 - reach : 200 + reach], strength, radius)
    assert np.array_equal(part[..., reach:-reach, reach:-reach], found[..., 31:90, 57:200])


def test_flat_pictures_and_no_strength_give_nothing() -> None:
    assert not cpu.self_guided(np.random.default_rng(3).random((1, 1, 9, 9)), np.zeros((1, 1)), np.array([[2]])).any()
    assert np.abs(cpu.self_guided(np.full((1, 1, 9, 9), 0.3), np.ones((1, 1)), np.array([[2]]))).max() <= 1e-15


def test_ill_fitting_arguments_are_refused() -> None:
    image = np.ones((2, 1, 4, 4))
    with pytest.raises(InvalidValueError, match="float32 or float64 array"):
        cpu.self_guided(image.astype(np.int32), np.ones((2, 1)), np.ones((2, 1), int))  # type: ignore[arg-type]
    for strength in (np.ones((3, 1)), np.ones(2), np.array([[1.0], [-1.0]]), np.array([[1.0], [np.nan]])):
        with pytest.raises(InvalidValueError, match="strength must be one finite number"):
            cpu.self_guided(image, strength, np.ones((2, 1), int))
    for radius in (np.ones((3, 1), int), np.array([[1], [0]]), np.array([[1.5], [2.0]])):
        with pytest.raises(InvalidValueError, match="radius_px must be one integer"):
            cpu.self_guided(image, np.ones((2, 1)), radius)
