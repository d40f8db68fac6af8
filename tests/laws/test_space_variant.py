"""The laws of convolution with a varying point spread (docs/laws.md, "Blur that varies"), on both backends."""

from __future__ import annotations

from functools import partial
from types import ModuleType

import numpy as np
import pytest
from held import hold, operator
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from blursynth.backends import cpu, oracle
from blursynth.backends.oracle.convolve_varying import node_weights
from blursynth.frame import Border
from blursynth.physics.point_spread import PointSpreads, disk
from blursynth.physics.point_spread_field import PointSpreadField

SAME_SIZE = [b for b in Border if b != Border.VALID]
# Of the largest pixel, for kernels of sum 1.
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}

# The reference computes in float64 whatever it is given.
every_implementation = pytest.mark.parametrize(
    ("backend", "dtype"),
    [(oracle, np.float64), (cpu, np.float64), (cpu, np.float32)],
    ids=["oracle", "cpu-float64", "cpu-float32"],
)
seeds = st.integers(0, 2**32)


def kernel(rng: np.random.Generator) -> NDArray[np.float64]:
    """A kernel of odd size and sum 1: sparse, dense, or a disk large enough for running sums."""
    kind = rng.integers(5)
    if kind == 0:
        return disk(float(rng.uniform(0, 8))).to_dense()
    height, width = 1 + 2 * rng.integers(0, 6, 2)
    dense = rng.random((height, width)) * (rng.random((height, width)) < (0.2 if kind < 3 else 1))
    dense[rng.integers(height), rng.integers(width)] = 1
    return np.asarray(dense / dense.sum())


def picture(rng: np.random.Generator, dtype: type) -> NDArray[np.floating]:
    """Often smaller than the kernel, never larger than 32 x 32: errors of the border would drown in a large one."""
    height, width = rng.integers(1, 33, 2)
    return rng.normal(size=(int(rng.integers(1, 3)), int(rng.integers(1, 4)), height, width)).astype(dtype)


def varying(
    rng: np.random.Generator, image: NDArray[np.floating], same: bool = False
) -> tuple[PointSpreadField, NDArray[np.floating] | None]:
    """A field of up to 3 x 3 x 3 nodes, and the level of every pixel, partly beyond the outermost levels."""
    batch, _, height, width = image.shape
    levels, rows, columns = (int(n) for n in rng.integers(1, 4, 3))
    pictures = 1 if rng.random() < 0.5 else batch
    count = pictures * levels * rows * columns
    kernels = [kernel(rng)] * count if same else [kernel(rng) for _ in range(count)]
    first, step = rng.uniform(-10, 20, (pictures, 2)), tuple(rng.uniform(0.6, 25, 2))
    field = PointSpreadField(PointSpreads.from_dense(kernels), levels, rows, columns, first, step)
    level = rng.uniform(-0.5, levels - 0.5, (batch, height, width)).astype(image.dtype)
    return field, None if levels == 1 and rng.random() < 0.5 else level


@every_implementation
@pytest.mark.parametrize("border", SAME_SIZE)
@given(seed=seeds)
def test_equal_point_spreads_are_one_convolution(backend: ModuleType, border: Border, dtype: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = picture(rng, dtype)
    field, level = varying(rng, image, same=True)
    largest = np.abs(image).max()
    for form in ("", "_adjoint"):
        got = getattr(backend, f"convolve_varying{form}")(image, field, level, border=border)
        expected = getattr(oracle, f"convolve{form}")(image.astype(np.float64), field.psf[0], border=border)
        # Light of the margin that comes back adds up in the transpose, which is then larger than the picture.
        assert np.abs(got - expected).max() <= TOLERANCE[dtype] * max(largest, np.abs(expected).max())


@given(seed=seeds)
def test_weights_sum_to_one_everywhere(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = picture(rng, np.float64)
    field, level = varying(rng, image)
    for b in range(len(image)):
        weights = node_weights(image.shape[2:], field, level, b)
        assert weights.min() >= 0
        assert np.abs(weights.sum(axis=(0, 1, 2)) - 1).max() <= 1e-12


@every_implementation
@given(seed=seeds)
def test_scatter_keeps_flux(backend: ModuleType, dtype: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = picture(rng, dtype)
    field, level = varying(rng, image)
    got = backend.convolve_varying_adjoint(image, field.flipped(), level, border=Border.CIRCULAR)
    lost = got.sum(axis=(2, 3), dtype=np.float64) - image.sum(axis=(2, 3), dtype=np.float64)
    assert np.abs(lost).max() <= TOLERANCE[dtype] * np.abs(image).sum(axis=(2, 3), dtype=np.float64).max()


@every_implementation
@pytest.mark.parametrize("border", [Border.CIRCULAR, Border.CONSTANT])
@given(seed=seeds)
def test_scatter_is_mask_then_blur(backend: ModuleType, border: Border, dtype: type, seed: int) -> None:
    """The transpose with flipped point spreads, against the formula ``sum_n k_n * (w_n x)``."""
    rng = np.random.default_rng(seed)
    image = picture(rng, dtype)
    field, level = varying(rng, image)
    expected = np.zeros(image.shape)
    for b in range(len(image)):
        weights = node_weights(image.shape[2:], field, level, b)
        for n, index in enumerate(np.ndindex(weights.shape[:3])):
            psf = field.psf[(b % len(field)) * field.nodes + n]
            masked = weights[index] * image[b : b + 1].astype(np.float64)
            expected[b] += oracle.convolve(masked, psf, border=border)[0]
    got = backend.convolve_varying_adjoint(image, field.flipped(), level, border=border)
    assert np.abs(got - expected).max() <= TOLERANCE[dtype] * max(np.abs(image).max(), np.abs(expected).max())


@every_implementation
@given(data=st.data(), border=st.sampled_from(SAME_SIZE), seed=seeds)
@settings(max_examples=15)
def test_laws_of_operators(backend: ModuleType, dtype: type, data: st.DataObject, border: Border, seed: int) -> None:
    def work(operation: str, image: NDArray[np.floating]) -> NDArray[np.floating]:
        field, level = varying(np.random.default_rng(seed), image)
        return np.asarray(getattr(backend, operation)(image, field, level, border=border))

    adapter = operator(partial(work, "convolve_varying_adjoint"), border, np.dtype(dtype).name)
    hold(data, partial(work, "convolve_varying"), adapter)


@pytest.mark.parametrize("backend", [oracle, cpu], ids=["oracle", "cpu"])
@given(seed=seeds)
def test_a_lone_point_of_light_becomes_the_point_spread_of_its_place(backend: ModuleType, seed: int) -> None:
    """Scatter: not flipped, not shifted, blended between the nodes by the level of the source."""
    rng = np.random.default_rng(seed)
    left, right = disk(1.7), PointSpreads.from_dense([np.array([[0.0, 0.2, 0.5], [0.1, 0.1, 0.1]])], [(0, 1)])
    field = PointSpreadField(PointSpreads.concatenate([left, right]), levels=2)
    share = rng.random()
    level = np.full((1, 15, 17), share)
    image = np.zeros((1, 1, 15, 17))
    image[0, 0, 7, 8] = 1
    got = backend.convolve_varying_adjoint(image, field.flipped(), level, border=Border.CONSTANT)[0, 0]
    expected = (1 - share) * left.to_dense(size_px=7) + share * right.to_dense(size_px=7)
    assert np.abs(got[4:11, 5:12] - expected).max() <= 1e-12
    got[4:11, 5:12] = 0
    assert np.abs(got).max() <= 1e-15
