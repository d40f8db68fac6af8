"""The laws of homographies (docs/laws.md, "Homographies"), for the reference and for the CPU."""

from __future__ import annotations

from functools import partial
from types import ModuleType

import numpy as np
import pytest
from held import ACCURACY, hold, operator
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import blursynth as bs
from blursynth.backends import cpu, oracle
from blursynth.frame import Border, Intrinsics
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.poses import rotation_matrix
from blursynth.physics.warps import Warps, homography, intrinsic_matrix
from blursynth.testing import pictures

every_backend = pytest.mark.parametrize("backend", [oracle, cpu], ids=["oracle", "cpu"])
SAME_SIZE = [b for b in Border if b is not Border.VALID]
every_border = pytest.mark.parametrize("border", SAME_SIZE)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
seeds = st.integers(0, 2**32)


def global_shutter(matrix: NDArray[np.float64], weight: NDArray[np.float64] | None = None) -> Warps:
    """One picture, these homographies ``[T, 3, 3]``, equal weights unless given."""
    times = len(matrix)
    weight = np.full(times, 1.0 / times) if weight is None else weight
    return Warps(matrix[None], np.zeros((1, times, 3)), np.zeros((1, 1), np.int64), weight[None, None])


def translation(x: float, y: float) -> NDArray[np.float64]:
    return np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])


@every_backend
@every_border
@every_dtype
def test_identity_is_exact(backend: ModuleType, border: Border, dtype: type) -> None:
    image = np.random.default_rng(0).normal(size=(2, 3, 13, 70)).astype(dtype)
    assert np.array_equal(backend.warp_mean(image, global_shutter(np.eye(3)[None]), border=border), image)
    assert np.array_equal(backend.warp_mean_adjoint(image, global_shutter(np.eye(3)[None]), border=border), image)


@given(seeds)
def test_composition(seed: int) -> None:
    """``H(R_1 R_2) = H(R_1) H(R_2)``, and the inverse undoes it."""
    rng = np.random.default_rng(seed)
    intrinsics = intrinsic_matrix(Intrinsics(4.2, 1.4), (1000, 1500), rng.integers(0, 500, 2))
    one, two = rotation_matrix(rng.normal(0, 0.1, (2, 3)))
    both = homography(intrinsics, one @ two)
    scale = np.abs(both).max()
    assert np.abs(homography(intrinsics, one) @ homography(intrinsics, two) - both).max() <= 1e-12 * scale
    pixel = np.array([*rng.uniform(0, 1000, 2), 1.0])
    there = homography(intrinsics, one) @ pixel
    back = homography(intrinsics, one.T) @ (there / there[2])
    assert np.abs(back / back[2] - pixel).max() <= 1e-12 * 1000


@every_backend
@every_border
@every_dtype
def test_integer_translation_is_exact(backend: ModuleType, border: Border, dtype: type) -> None:
    image = np.random.default_rng(1).normal(size=(1, 2, 9, 40)).astype(dtype)
    moved = backend.warp_mean(image, global_shutter(translation(-3, 2)[None]), border=border)
    assert np.array_equal(moved[..., :7, 3:], image[..., 2:, :-3])
    if border is Border.CIRCULAR:
        assert np.array_equal(moved, np.roll(image, (-2, 3), axis=(2, 3)))


@every_backend
@given(seed=seeds)
@settings(max_examples=15)
def test_sub_pixel_translations_are_a_convolution_with_the_bilinear_splat(backend: ModuleType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(1, 2, 24, 30))
    moves = rng.uniform(-4, 4, (6, 2))
    weight = rng.random(6)
    weight /= weight.sum()
    kernel = np.zeros((11, 11))
    for (x, y), share in zip(moves, weight, strict=True):
        # The source lies at p + move, so an impulse appears at p - move.
        i, j = int(np.floor(-x)), int(np.floor(-y))
        for dy in (0, 1):
            for dx in (0, 1):
                kernel[5 + j + dy, 5 + i + dx] += share * (1 - abs(-y - j - dy)) * (1 - abs(-x - i - dx))
    warps = global_shutter(np.stack([translation(x, y) for x, y in moves]), weight)
    got = backend.warp_mean(image, warps, border=Border.REFLECT)
    expected = oracle.convolve(image, PointSpreads.from_dense([kernel]), border=Border.REFLECT)
    assert np.abs(got - expected)[..., 6:-6, 6:-6].max() <= 1e-10


@every_backend
def test_roll_keeps_the_principal_point(backend: ModuleType) -> None:
    intrinsics = intrinsic_matrix(Intrinsics(4.2, 1.4, (12.0, 20.0)), (31, 45))
    image = np.random.default_rng(2).normal(size=(1, 3, 31, 45))
    for angle in (0.01, -0.2, 1.0):
        turn = homography(intrinsics, rotation_matrix([0, 0, angle]))
        point = turn @ (20.0, 12.0, 1.0)
        assert np.abs(point / point[2] - (20.0, 12.0, 1.0)).max() <= 1e-10
        turned = backend.warp_mean(image, global_shutter(turn[None]), border=Border.REFLECT)
        assert np.abs(turned - image)[:, :, 12, 20].max() <= 1e-10
        assert np.abs(turned - image).max() > 0.1


@every_backend
@every_dtype
def test_rows_of_one_time_are_the_global_shutter_to_the_bit(backend: ModuleType, dtype: type) -> None:
    rng = np.random.default_rng(3)
    image = rng.normal(size=(1, 3, 37, 90)).astype(dtype)
    intrinsics = intrinsic_matrix(Intrinsics(4.2, 1.4), (37, 90))
    one = global_shutter(homography(intrinsics, rotation_matrix(rng.normal(0, 0.002, (5, 3)))))
    rows = Warps(one.matrix, one.shift, np.repeat(one.first, 37, axis=1), np.repeat(one.weight, 37, axis=1))
    assert np.array_equal(
        backend.warp_mean(image, one, border=Border.REFLECT), backend.warp_mean(image, rows, border=Border.REFLECT)
    )


@pytest.mark.parametrize("from_", ["top", "bottom"])
def test_readout_0_is_the_global_shutter_to_the_bit(from_: str) -> None:
    frame = pictures(size_px=(60, 80))
    numbers = {"exposure_s": 0.07, "pitch_mrad": 2.0, "yaw_mrad": 1.0, "roll_mrad": 20.0, "x_mm": 1.0, "seed": 9}
    rolling = bs.kinds.RollingShutter(readout_s=0.0, readout_from=from_, **numbers)
    for reference_pose in ("mean", "mid", "start"):
        expected = bs.kinds.CameraShake(centered_on=reference_pose, **numbers)(frame).image
        assert np.array_equal(rolling.replace(centered_on=reference_pose)(frame).image, expected)
    assert np.array_equal(
        rolling.replace(centered_on="global_shutter")(frame).image, bs.kinds.CameraShake(**numbers)(frame).image
    )


@every_backend
@pytest.mark.parametrize("dtype", list(ACCURACY))
@pytest.mark.parametrize("deep", [False, True])
@given(data=st.data(), border=st.sampled_from(SAME_SIZE), seed=seeds)
@settings(max_examples=15)
def test_laws_of_operators(
    backend: ModuleType, dtype: str, deep: bool, data: st.DataObject, border: Border, seed: int
) -> None:
    """On pictures smaller than the motion too."""
    rng = np.random.default_rng(seed)
    matrix = np.stack([rotation_matrix([0, 0, rng.normal(0, 0.3)]) for _ in range(4)])
    matrix[:, :2, 2] = rng.normal(0, 6, (4, 2))
    matrix[:, 2, :2] = rng.uniform(0, 0.005, (4, 2))
    shift = rng.uniform(0, 1, (4, 3)) * (5, 5, 0.1) if deep else np.zeros((4, 3))

    def work(operation: str, image: NDArray[np.floating]) -> NDArray[np.floating]:
        own, (height, width) = np.random.default_rng(seed), image.shape[2:]
        weight = own.random((1, height, 3))
        rows = own.integers(0, 2, (1, height))
        warps = Warps(matrix[None], shift[None], rows, weight / weight.sum(axis=2, keepdims=True))
        depth = own.random((1, height, width)).astype(dtype) if deep else None
        return np.asarray(getattr(backend, operation)(image, warps, depth, border=border))

    hold(data, partial(work, "warp_mean"), operator(partial(work, "warp_mean_adjoint"), border, dtype))


@every_border
@every_dtype
@pytest.mark.parametrize("angle", [0.05, 0.3, 1.2])
def test_memory_of_something_else_does_not_count(border: Border, dtype: type, angle: float) -> None:
    """Taps of no weight, which pixels of a block have for the sake of others, stay within the picture."""
    rng = np.random.default_rng(7)
    matrix = np.stack([rotation_matrix([0, 0, angle * turn]) for turn in (-1, 0.4, 1)])
    matrix[:, 2, :2] = 0.004
    warps = global_shutter(matrix)
    for height, width in ((4, 19), (17, 3), (30, 41)):
        x = rng.normal(size=(1, 2, height, width)).astype(dtype)
        expected = oracle.warp_mean(x.astype(np.float64), warps, border=border)
        for _ in range(20):
            for size in (64, 256, 512, 1024, 2048, 4096, 16384):  # what is freed here is what is given out next
                np.full(size, np.nan, dtype)
            found = cpu.warp_mean(x, warps, border=border)
            assert np.abs(found - expected).max() <= (1e-12 if dtype is np.float64 else 1e-5) * np.abs(x).max()
