"""Resampling against its oracle and the laws of a change of grid: linear, transposed, nothing shifted."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import blursynth as bs
from blursynth.backends import cpu, oracle
from blursynth.errors import InvalidValueError
from blursynth.frame import Border
from blursynth.physics import resampling
from blursynth.physics.resampling import METHODS, Bands, rescaling

WAYS = list(itertools.product(METHODS, METHODS))
BORDERS = [border for border in Border if border is not Border.VALID]
factors = st.floats(0.05, 4) | st.sampled_from([0.125, 0.25, 0.5, 1.0, 2.0, 1 / 3])


def bands(size: int, factor: float, down: str, up: str, border: Border = Border.REFLECT, first: int = 0) -> Any:
    return rescaling(factor, down, up, first_px=first, size_px=size, border=border)


def matrix(size: int, factor: float, down: str, up: str, border: Border = Border.REFLECT, first: int = 0) -> np.ndarray:
    """The whole way there and back along one axis."""
    to, back = bands(size, factor, down, up, border, first)
    return np.asarray(back.matrix(len(to)) @ to.matrix(size))


@given(
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.tuples(factors, factors),
    st.sampled_from(WAYS),
    st.sampled_from(BORDERS),
    st.integers(0, 1000),
    st.sampled_from([np.float32, np.float64]),
)
def test_numba_is_the_oracle(
    size: tuple[int, int], factor: tuple[float, float], way: tuple[str, str], border: Border, first: int, dtype: type
) -> None:
    rng = np.random.default_rng(first)
    rows, columns = (bands(n, f, *way, border, first)[0] for n, f in zip(size, factor, strict=True))
    image = rng.normal(size=(2, 3, *size)).astype(dtype)
    eps = np.finfo(dtype).eps
    assert np.allclose(
        cpu.resample(image, rows, columns), oracle.resample(image, rows, columns), rtol=0, atol=100 * eps
    )
    back = rng.normal(size=(2, 3, len(rows), len(columns))).astype(dtype)
    expected = oracle.resample_adjoint(back, rows, columns, size)
    scale = max(1.0, np.abs(expected).max())
    got = cpu.resample_adjoint(back, rows, columns, size)
    assert np.allclose(got, expected, rtol=0, atol=1000 * eps * scale)


@pytest.mark.parametrize("backend", [cpu, oracle], ids=["cpu", "oracle"])
@given(st.tuples(st.integers(1, 32), st.integers(1, 32)), st.tuples(factors, factors), st.sampled_from(WAYS))
def test_adjoint(backend: Any, size: tuple[int, int], factor: tuple[float, float], way: tuple[str, str]) -> None:
    rng = np.random.default_rng(size[0])
    rows, columns = (bands(n, f, *way)[0] for n, f in zip(size, factor, strict=True))
    x, y = rng.normal(size=(1, 2, *size)), rng.normal(size=(1, 2, len(rows), len(columns)))
    there, back = backend.resample(x, rows, columns), backend.resample_adjoint(y, rows, columns, size)
    norms = np.linalg.norm(x) * np.linalg.norm(y) * max(1.0, np.linalg.norm(rows.matrix(size[0]), 2))
    assert abs((there * y).sum() - (x * back).sum()) <= 1e-12 * norms


@given(st.integers(1, 40), factors, st.sampled_from(WAYS), st.integers(0, 10_000))
def test_constants_are_kept(size: int, factor: float, way: tuple[str, str], first: int) -> None:
    for border in (Border.REFLECT, Border.REPLICATE, Border.CIRCULAR):
        assert np.abs(matrix(size, factor, *way, border, first).sum(axis=1) - 1).max() <= 1e-13


@pytest.mark.parametrize("way", WAYS, ids="-".join)
@pytest.mark.parametrize("samples_per_period", [1, 2, 3, 7])
def test_nothing_is_shifted(way: tuple[str, str], samples_per_period: int) -> None:
    """Over a period of both grids light stays where it was on the mean; with bilinear ways, in every pixel."""
    period = 10
    size = 12 * period
    middle = slice(5 * period, 7 * period)
    there = matrix(size, samples_per_period / period, *way)[middle]
    places = there @ np.arange(size) - np.arange(size)[middle]
    assert abs(places.mean()) <= 1e-12
    if way == ("bilinear", "bilinear"):
        assert np.abs(places).max() <= 1e-12
    # As a picture and its mirror image do: the grids have no preferred end.
    whole = matrix(size, samples_per_period / period, *way)
    assert np.allclose(whole, whole[::-1, ::-1], rtol=0, atol=1e-13)


@given(factors, st.sampled_from(WAYS))
def test_light_goes_no_farther_than_the_reach(factor: float, way: tuple[str, str]) -> None:
    size = 121
    row, column = np.nonzero(np.abs(matrix(size, factor, *way, Border.CONSTANT)) > 1e-12)
    assert np.abs(row - column).max() <= resampling.reach_px(factor, *way)


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_the_same_size_changes_nothing(way: tuple[str, str]) -> None:
    assert np.array_equal(matrix(9, 1.0, *way), np.eye(9))


def test_halves_by_hand() -> None:
    light = np.arange(8.0)
    assert (matrix(8, 0.5, "area", "area") @ light).tolist() == [0.5, 0.5, 2.5, 2.5, 4.5, 4.5, 6.5, 6.5]
    assert (matrix(8, 0.25, "area", "area") @ light).tolist() == [1.5] * 4 + [5.5] * 4
    # A window that begins at an odd pixel has the grid of the whole: its first block is half a block.
    assert (matrix(8, 0.5, "area", "area", first=1) @ light)[1:7].tolist() == [1.5, 1.5, 3.5, 3.5, 5.5, 5.5]


def test_as_opencv_does() -> None:
    """cv2 rounds the size and stops at the edges; inside and at whole factors both are the same."""
    import cv2

    picture = np.random.default_rng(0).random((48, 48))
    flags = {"area": cv2.INTER_AREA, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
    for (down, up), factor in itertools.product(WAYS, (0.25, 0.5)):
        if up == "area":
            continue  # OpenCV's own mixture
        small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=flags[down])
        expected = cv2.resize(small, (48, 48), interpolation=flags[up])
        axis = matrix(48, factor, down, up)
        inside = slice(16, -16)
        assert np.abs((axis @ picture @ axis.T - expected)[inside, inside]).max() <= 1e-6


def test_bytes_do_not_depend_on_threads() -> None:
    image = np.random.default_rng(1).random((2, 3, 300, 400)).astype(np.float32)
    rows, columns = bands(300, 0.37, "bicubic", "area")[0], bands(400, 0.37, "bicubic", "area")[0]
    results = [cpu.resample(image, rows, columns, threads=n) for n in (1, 2, 5)]
    assert all(np.array_equal(results[0], r) for r in results[1:])
    size = (300, 400)
    backs = [cpu.resample_adjoint(results[0], rows, columns, size, threads=n) for n in (1, 2, 5)]
    assert all(np.array_equal(backs[0], r) for r in backs[1:])


def test_bad_input() -> None:
    image = np.zeros((1, 1, 4, 4))
    good = Bands(np.array([[0]]), np.array([[1.0]]))
    for make, message in (
        (lambda: Bands(np.zeros((2, 2), np.int64), np.zeros((2, 3))), "one shape"),
        (lambda: Bands(np.array([[-1]]), np.array([[1.0]])), ">= 0"),
        (lambda: cpu.resample(image, Bands(np.array([[4]]), np.array([[1.0]])), good), "sample 4 of a picture"),
        (lambda: cpu.resample(image[0], good, good), "float32 or float64 array"),
        (lambda: cpu.resample_adjoint(image, good, good, (4, 4)), "the size that the bands give"),
        (lambda: resampling.taps(np.arange(2), 1.0, "lanczos"), "no method 'lanczos'"),
        (lambda: bands(4, 0.0, "area", "area"), "factor must be > 0"),
        (lambda: bands(4, 0.5, "area", "area", Border.VALID), "no meaning"),
        (lambda: bs.kinds.Rescale(factor=5.0), "factor must be <= 4"),
    ):
        with pytest.raises(InvalidValueError, match=message):
            make()
