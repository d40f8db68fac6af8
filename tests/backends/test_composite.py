"""The compiled compositing against the oracle, its adjoint, and what may not change a bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from blursynth.backends import cpu, reference
from blursynth.errors import InvalidValueError
from blursynth.frame import Border
from blursynth.physics.point_spread import PointSpreads, disk, polygon
from blursynth.physics.scene import Scene

BORDERS = [Border.REFLECT, Border.REPLICATE, Border.CIRCULAR, Border.CONSTANT]


def random_scene(
    seed: int, shape: tuple[int, int, int], *, patch: int = 4, parts: int = 1, spread: int = 1, radius: float = 6.0
) -> Scene:
    """Blocks of random slices; disks, pentagons, and taps with holes, off centre and larger than small pictures."""
    rng = np.random.default_rng(seed)
    batch, height, width = shape
    blocks = rng.integers(0, 6, (batch, height // patch + 1, width // patch + 1))
    level = np.repeat(np.repeat(blocks, patch, 1), patch, 2)[:, :height, :width]
    order = ((level - 3) * spread).astype(np.int32)
    psf = []
    for _ in range(parts):
        holes = rng.random((5, 7)) * (rng.random((5, 7)) < 0.4)
        holes[1, 2] = 1.0
        psf += [disk(0.0), disk(1.3), disk(radius), polygon(3.1, 5, rng.random()), polygon(radius, 7)]
        psf.append(PointSpreads.from_dense([holes / holes.sum()], [(0, 1)]))
    weight = rng.uniform(0.2, 1.0, parts)
    hidden = reference.hidden_behind(order, gap=2 * spread, reach_px=9)
    kernel = ((level + rng.integers(0, 2, level.shape)) % 6).astype(np.int32)
    return Scene(order, kernel, hidden, PointSpreads.concatenate(psf), weight / weight.sum())


def picture(seed: int, shape: tuple[int, ...], dtype: type = np.float64) -> NDArray[np.floating]:
    return np.random.default_rng(seed).random(shape).astype(dtype)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(
    ("channels", "height", "width", "parts"), [(3, 23, 30, 1), (1, 9, 31, 3), (4, 30, 8, 2), (2, 1, 5, 1), (3, 1, 1, 2)]
)
def test_equals_the_oracle(border: Border, channels: int, height: int, width: int, parts: int) -> None:
    scene = random_scene(height, (2, height, width), parts=parts)
    image = picture(1, (2, channels, height, width))
    expected = reference.composite(image, scene, border=border)
    assert np.abs(cpu.composite(image, scene, border=border) - expected).max() <= 1e-12
    single = image.astype(np.float32)
    assert np.abs(cpu.composite(single, scene, border=border) - expected).max() <= 2e-5
    back = reference.composite_adjoint(image, scene, border=border)
    assert np.abs(cpu.composite_adjoint(image, scene, border=border) - back).max() <= 1e-12 * max(1, np.abs(back).max())


@given(seed=st.integers(0, 10**6), patch=st.integers(1, 6), spread=st.sampled_from([1, 10**6]))
def test_equals_the_oracle_for_any_scene(seed: int, patch: int, spread: int) -> None:
    scene = random_scene(seed, (1, 14, 17), patch=patch, spread=spread, parts=1 + seed % 2)
    image = picture(seed, (1, 3, 14, 17))
    border = BORDERS[seed % 4]
    expected = reference.composite(image, scene, border=border)
    assert np.abs(cpu.composite(image, scene, border=border) - expected).max() <= 1e-12


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_adjoint(border: Border, dtype: type, tolerance: float) -> None:
    for seed, (height, width) in enumerate([(32, 32), (5, 7), (3, 20)]):
        scene = random_scene(seed, (2, height, width), parts=2)
        x, y = picture(2, (2, 3, height, width), dtype), picture(3, (2, 3, height, width), dtype) - dtype(0.5)
        forth = np.vdot(cpu.composite(x, scene, border=border).astype(np.float64), y)
        back = np.vdot(x.astype(np.float64), cpu.composite_adjoint(y, scene, border=border))
        assert abs(forth - back) <= tolerance * np.linalg.norm(x) * np.linalg.norm(y)


def test_several_tiles_equal_the_oracle() -> None:
    scene = random_scene(5, (1, 140, 300), patch=25)
    image = picture(6, (1, 1, 140, 300))
    expected = reference.composite(image, scene, border=Border.REFLECT)
    assert np.abs(cpu.composite(image, scene, border=Border.REFLECT) - expected).max() <= 1e-12
    back = reference.composite_adjoint(image, scene, border=Border.REFLECT)
    assert np.abs(cpu.composite_adjoint(image, scene, border=Border.REFLECT) - back).max() <= 1e-12


def test_threads_strides_and_batches_do_not_change_a_bit() -> None:
    scene = random_scene(7, (2, 130, 170), patch=20)
    image = picture(8, (2, 3, 130, 170), np.float32)
    expected = cpu.composite(image, scene, border=Border.REFLECT, threads=1)
    assert np.array_equal(cpu.composite(image, scene, border=Border.REFLECT, threads=2), expected)
    strided = np.moveaxis(np.ascontiguousarray(np.moveaxis(image, 1, -1)), -1, 1)
    assert np.array_equal(cpu.composite(strided, scene, border=Border.REFLECT), expected)
    back = cpu.composite_adjoint(image, scene, border=Border.REFLECT, threads=1)
    assert np.array_equal(cpu.composite_adjoint(image, scene, border=Border.REFLECT, threads=2), back)
    for b in range(2):
        one = Scene(scene.order[b : b + 1], scene.kernel[b : b + 1], scene.hidden[b : b + 1], scene.psf)
        assert np.array_equal(cpu.composite(image[b : b + 1], one, border=Border.REFLECT)[0], expected[b])
    assert np.array_equal(image, picture(8, (2, 3, 130, 170), np.float32))


def test_a_reach_larger_than_tile_and_picture() -> None:
    scene = random_scene(9, (1, 12, 15), radius=40.0)
    image = picture(10, (1, 3, 12, 15))
    for border in BORDERS:
        expected = reference.composite(image, scene, border=border)
        assert np.abs(cpu.composite(image, scene, border=border) - expected).max() <= 1e-12


def test_what_nothing_covers_keeps_its_value() -> None:
    away = PointSpreads.from_dense([np.array([[1.0]])], [(-50, 0)])
    zeros = np.zeros((1, 6, 7), np.int32)
    scene = Scene(zeros, zeros, zeros - 1, away)
    image = picture(11, (1, 3, 6, 7))
    constant = cpu.composite(image, scene, border=Border.CONSTANT)
    assert np.array_equal(constant, reference.composite(image, scene, border=Border.CONSTANT))
    half = PointSpreads.from_dense([np.array([[1.0]])], [(0, -3)])
    scene = Scene(zeros, zeros, zeros - 1, half)
    for border in BORDERS:
        expected = reference.composite(image, scene, border=border)
        assert np.array_equal(cpu.composite(image, scene, border=border), expected)
        back = reference.composite_adjoint(image, scene, border=border)
        assert np.allclose(cpu.composite_adjoint(image, scene, border=border), back, rtol=0, atol=1e-15)


def test_bad_scenes_are_refused() -> None:
    scene = random_scene(1, (1, 8, 9))
    with pytest.raises(InvalidValueError, match="shape"):
        cpu.composite(np.zeros((1, 1, 8, 8)), scene, border=Border.REFLECT)
    with pytest.raises(InvalidValueError, match="valid"):
        cpu.composite(np.zeros((1, 1, 8, 9)), scene, border=Border.VALID)
