"""Table lookup of response curves: the numba kernels against the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blursynth.backends import cpu, oracle
from blursynth.errors import InvalidValueError
from blursynth.physics.response import Sigmoid

CURVES = (Sigmoid(1 / 2.2), Sigmoid(0.8, 1.5, 0.4), Sigmoid(2.4, 80.0, -0.5))
DECODE = np.stack([curve.decode_table() for curve in CURVES])
ENCODE = np.stack([curve.encode_table() for curve in CURVES])
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def pictures(dtype: type[np.floating], seed: int = 0, shape: tuple[int, ...] = (3, 3, 61, 67)) -> np.ndarray:
    """Values around 0..1, some beyond, with the ends, and dense near black."""
    rng = np.random.default_rng(seed)
    image = rng.uniform(-0.1, 1.1, shape)
    image[..., ::2] **= 4
    image[..., :2] = [0.0, 1.0]
    return image.astype(dtype)


@DTYPES
def test_against_the_oracle(dtype: type[np.floating]) -> None:
    image = pictures(dtype)
    eps = np.finfo(dtype).eps
    for name, tables in (("response_decode", DECODE), ("response_encode", ENCODE)):
        ours, exact = getattr(cpu, name)(image, tables), getattr(oracle, name)(image, tables)
        assert ours.dtype == dtype
        for b, table in enumerate(tables):
            steepest = np.abs(np.diff(table)).max() * table.size
            assert np.abs(ours[b].astype(float) - exact[b]).max() <= 4 * eps * (1 + steepest), (name, b)


@DTYPES
@pytest.mark.parametrize("levels", [1, 255, 1023, 65535])
def test_codes_are_those_of_the_oracle(dtype: type[np.floating], levels: int) -> None:
    image = pictures(dtype, seed=1, shape=(3, 3, 401, 403))
    ours = cpu.response_encode(image, ENCODE, levels=[levels, None, levels])
    exact = oracle.response_encode(image, ENCODE, levels=[levels, None, levels])
    np.testing.assert_array_equal(ours[[0, 2]], exact[[0, 2]])
    np.testing.assert_allclose(ours[1], exact[1], atol=1e-5)


def odd_tables() -> np.ndarray:
    """Curves that no camera has: flat for a while, steeper than bins allow, never white, and falling."""
    flat = np.clip(np.linspace(-1, 2, 4096), 0, 1)
    steep = np.clip(np.linspace(-200, 200, 4096), 0, 1)
    dim = 0.4 * np.linspace(0, 1, 4096) ** 3
    falling = np.sin(np.linspace(0, 2.8, 4096)) ** 2
    return np.stack([flat, steep, dim, falling])


@DTYPES
@pytest.mark.parametrize("levels", [3, 255])
def test_codes_of_odd_curves(dtype: type[np.floating], levels: int) -> None:
    image = pictures(dtype, seed=2, shape=(4, 1, 301, 303))
    ours = cpu.response_encode(image, odd_tables(), levels=[levels] * 4)
    np.testing.assert_array_equal(ours, oracle.response_encode(image, odd_tables(), levels=[levels] * 4))


def test_light_of_codes_does_not_depend_on_their_neighbors() -> None:
    codes = np.random.default_rng(3).integers(0, 256, (1, 1, 40, 50)).astype(np.float32) / np.float32(255)
    mixed = codes.copy()
    mixed[..., ::7] += np.float32(1e-3)
    light, other = (cpu.response_decode(image, DECODE[1:2]) for image in (codes, mixed))
    np.testing.assert_array_equal(other[mixed == codes], light[mixed == codes])


@DTYPES
def test_ends_and_what_is_no_number(dtype: type[np.floating]) -> None:
    image = np.array([[[[0.0, 1.0, -3.0, 7.0, np.nan, np.inf, -np.inf, -0.0]]]], dtype)
    expected = [0.0, 1.0, 0.0, 1.0, np.nan, 1.0, 0.0, 0.0]
    for curve in CURVES:
        for found in (
            cpu.response_decode(image, curve.decode_table()[None]),
            cpu.response_encode(image, curve.encode_table()[None]),
            cpu.response_encode(image, curve.encode_table()[None], levels=[255]),
        ):
            np.testing.assert_array_equal(found[0, 0, 0], expected)


@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(1, 9), st.integers(1, 300_000))
def test_neither_threads_nor_shapes_matter(seed: int, batch: int, rows: int, columns: int) -> None:
    columns = max(1, columns // rows)
    image = pictures(np.float32, seed, (batch, 1, rows, max(columns, 2)))
    one = cpu.response_encode(image, ENCODE[:batch], levels=[255] * batch, threads=1)
    np.testing.assert_array_equal(cpu.response_encode(image, ENCODE[:batch], levels=[255] * batch, threads=2), one)
    flat = image.reshape(batch, 1, 1, -1)
    np.testing.assert_array_equal(
        cpu.response_encode(flat, ENCODE[:batch], levels=[255] * batch).reshape(one.shape), one
    )
    light = cpu.response_decode(image, DECODE[:batch], threads=1)
    np.testing.assert_array_equal(cpu.response_decode(image, DECODE[:batch], threads=2), light)
    np.testing.assert_array_equal(cpu.response_decode(flat, DECODE[:batch]).reshape(one.shape), light)


def test_bad_arguments() -> None:
    image = pictures(np.float32)
    with pytest.raises(InvalidValueError, match="must be float32 or float64, got int64"):
        cpu.response_decode(np.zeros((1, 1, 2, 2), np.int64), DECODE[:1])
    with pytest.raises(InvalidValueError, match=r"\[1, NODES\] or \[3, NODES\], got \(2, 4096\)"):
        cpu.response_encode(image, ENCODE[:2])
    with pytest.raises(InvalidValueError, match="one entry per picture, got 1 for 3"):
        cpu.response_encode(image, ENCODE, levels=[255])
    with pytest.raises(InvalidValueError, match="1 to 65535 or None, got 70000"):
        cpu.response_encode(image, ENCODE, levels=[255, 70000, None])
