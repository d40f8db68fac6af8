"""Convolution with a varying point spread: the fast one against the definition, and what it refuses."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from blursynth.backends import cpu, oracle
from blursynth.backends.borders import margins_px
from blursynth.backends.cpu.convolve_varying_ribbons import prefer_ribbons
from blursynth.backends.cpu.convolve_varying_tiles import prepare_nodes
from blursynth.errors import InvalidValueError
from blursynth.frame import Border
from blursynth.physics.point_spread import PointSpreads, disk
from blursynth.physics.point_spread_field import PointSpreadField

# Of the largest value of the picture or of the result (kernels have a sum of 1).
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}
SAME_SIZE = [b for b in Border if b != Border.VALID]
FORMS = ("convolve_varying", "convolve_varying_adjoint")

every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
every_border = pytest.mark.parametrize("border", SAME_SIZE)


def point_spreads(rng: np.random.Generator, count: int, *, largest: int, fill: float) -> PointSpreads:
    """Kernels of random size, filling and origin, each with a sum of 1."""
    kernels, centers = [], []
    for _ in range(count):
        height, width = rng.integers(1, largest + 1, 2)
        kernel = rng.random((height, width)) * (rng.random((height, width)) < fill)
        kernel[rng.integers(height), rng.integers(width)] = 1
        kernels.append(kernel / kernel.sum())
        centers.append((int(rng.integers(-2, height + 2)), int(rng.integers(-2, width + 2))))
    return PointSpreads.from_dense(kernels, centers)


def field_and_level(
    rng: np.random.Generator, batch: int, size: tuple[int, int]
) -> tuple[PointSpreadField, NDArray[np.floating] | None]:
    """Up to three nodes along each axis, anywhere on the picture; levels smooth, rough, whole, or absent."""
    levels, rows, columns = (int(n) for n in rng.integers(1, 4, 3))
    pictures = 1 if rng.random() < 0.5 else batch
    psf = point_spreads(rng, pictures * levels * rows * columns, largest=9, fill=rng.choice([0.2, 1.0]))
    first = rng.uniform(-5, 15, (pictures, 2))
    field = PointSpreadField(psf, levels, rows, columns, first, tuple(rng.uniform(0.7, 20, 2)))
    kind = rng.integers(4)
    if levels == 1 and kind == 0:
        return field, None
    level = rng.uniform(-0.5, levels - 0.5, (batch, *size))
    if kind == 1:
        level = np.linspace(0, levels - 1, size[0])[None, :, None] + np.zeros((batch, *size))
    if kind == 2:
        level = np.round(level)
    return field, level.astype(np.float32) if rng.random() < 0.5 else level


def difference(
    name: str, image: NDArray[np.floating], field: PointSpreadField, level: Any, border: Border, **kwargs: Any
) -> float:
    got = getattr(cpu, name)(image, field, level, border=border, **kwargs)
    assert got.dtype == image.dtype
    assert got.shape == image.shape
    expected = getattr(oracle, name)(image.astype(np.float64), field, level, border=border)
    return float(np.abs(got - expected).max() / max(np.abs(image).max(), np.abs(expected).max()))


@every_dtype
@every_border
@given(seed=st.integers(0, 2**32), height=st.integers(1, 40), width=st.integers(1, 70))
def test_fast_equals_definition(seed: int, height: int, width: int, border: Border, dtype: type) -> None:
    rng = np.random.default_rng(seed)
    batch, channels = int(rng.integers(1, 3)), int(rng.integers(1, 6))
    image = rng.normal(size=(batch, channels, height, width)).astype(dtype)
    field, level = field_and_level(rng, batch, (height, width))
    for name in FORMS:
        assert difference(name, image, field, level, border) <= TOLERANCE[dtype]


@every_dtype
@every_border
@pytest.mark.parametrize("name", FORMS)
def test_several_tiles(name: str, border: Border, dtype: type) -> None:
    rng = np.random.default_rng(5)
    image = rng.random((1, 3, 70, 300)).astype(dtype)
    psf = point_spreads(rng, 12, largest=7, fill=0.3)
    field = PointSpreadField(psf, 2, 2, 3, np.array([[8.0, 20.0]]), (50.0, 90.0))
    assert difference(name, image, field, rng.uniform(0, 1, (1, 70, 300)), border) <= TOLERANCE[dtype]


@every_dtype
@pytest.mark.parametrize("name", FORMS)
def test_large_disks_from_running_sums(name: str, dtype: type) -> None:
    """The coding as differences is exact, at edges, at jumps of the level, and across tiles."""
    rng = np.random.default_rng(6)
    field = PointSpreadField(PointSpreads.concatenate([disk(r) for r in (0.0, 9.3, 18.6)]), levels=3)
    image = rng.random((1, 2, 66, 270)).astype(dtype)
    level = np.where(rng.random((1, 66, 270)) < 0.01, 0.3, np.linspace(0, 2, 270) + np.zeros((1, 66, 1)))
    for border in (Border.REFLECT, Border.CONSTANT):
        assert difference(name, image, field, level, border) <= TOLERANCE[dtype]


@every_dtype
@pytest.mark.parametrize("ribbons", [True, False])
@given(seed=st.integers(0, 2**32), height=st.integers(1, 90), width=st.integers(1, 60))
@settings(max_examples=20)
def test_both_methods_of_grids(seed: int, height: int, width: int, ribbons: bool, dtype: type) -> None:
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(1, int(rng.integers(1, 6)), height, width)).astype(dtype)
    rows, columns = (int(n) for n in rng.integers(1, 7, 2))
    psf = point_spreads(rng, rows * columns, largest=7, fill=0.5)
    first, step = rng.uniform(-9, 15, (1, 2)), tuple(rng.choice([0.4, 3.0, 8.0, 30.0], 2))
    field = PointSpreadField(psf, 1, rows, columns, first, step)
    border = SAME_SIZE[seed % 4]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["blursynth.backends.cpu.convolve_varying"], "prefer_ribbons", lambda *_: ribbons)
        for name in FORMS:
            assert difference(name, image, field, None, border) <= TOLERANCE[dtype]


@every_border
def test_ribbons_in_several_tiles_and_by_several_threads(border: Border) -> None:
    rng = np.random.default_rng(8)
    image = rng.random((1, 4, 70, 300))
    field = PointSpreadField(
        point_spreads(rng, 12, largest=7, fill=0.3), 1, 2, 6, np.array([[8.0, 20.0]]), (50.0, 50.0)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["blursynth.backends.cpu.convolve_varying"], "prefer_ribbons", lambda *_: True)
        for name in FORMS:
            assert difference(name, image, field, None, border) <= TOLERANCE[np.float64]
            one, two = (getattr(cpu, name)(image, field, None, border=border, threads=n) for n in (1, 2))
            assert np.array_equal(one, two)


def test_the_faster_method_of_a_grid_is_chosen() -> None:
    """Ribbons where many similar point spreads meet, blocks for few or large ones; nothing to blend for a single one."""

    def chosen(psf: PointSpreads, rows: int, columns: int, step: float, turned: bool) -> bool:
        taps = (psf.start, psf.dy, psf.dx, psf.weight, margins_px(psf.dy, psf.dx))
        return bool(prefer_ribbons(*taps, rows, columns, step, step, 16, turned))

    line = PointSpreads.from_dense([np.eye(15) / 15] * 64)
    for turned in (False, True):
        assert chosen(line, 8, 8, 4.0, turned)
        assert not chosen(PointSpreads.concatenate([disk(30.0)] * 4), 2, 2, 500.0, turned)
        assert not chosen(line[0], 1, 1, 4.0, turned)


@every_dtype
def test_disks_cost_no_more_than_their_circumference(dtype: type) -> None:
    """Entries of the inner loop, which the time of large disks is proportional to."""
    radii = (20.0, 40.0, 80.0, 160.0)
    psf = PointSpreads.concatenate([disk(r) for r in radii])
    first, _, _, summed, _ = prepare_nodes(
        psf.start, psf.dy, psf.dx, psf.weight, 1000, 700, 1e-5, False, np.empty(0, dtype)
    )
    entries = np.diff(first)
    assert summed.all()
    assert (entries <= 19.0 * np.array(radii)).all(), entries / radii
    assert np.polyfit(np.log(radii), np.log(entries), 1)[0] < 1.1


@pytest.mark.parametrize("name", FORMS)
def test_a_peaked_kernel_on_a_wide_base_stays_exact(name: str) -> None:
    """Differences of a high peak would multiply the rounding of the running sums, so it is not coded so."""
    kernel = np.full((25, 25), 0.1 / 624)
    kernel[12, 12] = 0.9
    psf = PointSpreads.from_dense([kernel, np.full((25, 25), 1 / 625)])
    _, _, _, summed, _ = prepare_nodes(psf.start, psf.dy, psf.dx, psf.weight, 300, 300, 4e-6, False, np.empty(0, "f4"))
    assert summed.tolist() == [False, True]
    image = 100 + np.random.default_rng(3).random((1, 1, 40, 240), np.float32)
    field = PointSpreadField(psf, columns=2, step_px=(1.0, 200.0))
    assert difference(name, image, field, None, Border.REFLECT) <= 4e-6


@pytest.mark.parametrize("name", FORMS)
def test_many_levels_in_one_block(name: str) -> None:
    rng = np.random.default_rng(7)
    field = PointSpreadField(point_spreads(rng, 140, largest=4, fill=0.5), levels=140)
    image = rng.random((1, 1, 9, 50))
    assert difference(name, image, field, rng.uniform(0, 139, (1, 9, 50)), Border.REFLECT) <= 1e-12


@pytest.mark.parametrize("name", FORMS)
def test_bytes_do_not_depend_on_threads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # By its name, because the package exports the function of the same name.
    monkeypatch.setattr(sys.modules["blursynth.backends.cpu.convolve_varying"], "_THREAD_PAYS_ENTRIES", 0)
    rng = np.random.default_rng(8)
    image = rng.random((2, 4, 150, 280), np.float32)
    field = PointSpreadField(point_spreads(rng, 6, largest=9, fill=0.4), 3, 1, 2, step_px=(1.0, 150.0))
    level = rng.uniform(0, 2, (2, 1, 1)) + np.linspace(0, 1, 280, dtype=np.float32) * np.ones((2, 150, 1), np.float32)
    one, four = (getattr(cpu, name)(image, field, level, border=Border.REFLECT, threads=n) for n in (1, 4))
    assert one.tobytes() == four.tobytes()


@pytest.mark.parametrize("name", FORMS)
def test_strides_do_not_matter(name: str) -> None:
    rng = np.random.default_rng(9)
    field = PointSpreadField(point_spreads(rng, 4, largest=5, fill=0.5), 2, 2, step_px=(9.0, 1.0))
    image, level = rng.random((2, 3, 20, 30), np.float32), rng.uniform(0, 1, (2, 20, 30))
    expected = getattr(cpu, name)(image, field, level, border=Border.REFLECT)
    interleaved = np.moveaxis(np.ascontiguousarray(np.moveaxis(image, 1, -1)), -1, 1)
    swapped = image.astype(image.dtype.newbyteorder())
    transposed = np.ascontiguousarray(image.swapaxes(2, 3)).swapaxes(2, 3)
    padded = np.zeros((2, 3, 25, 40), np.float32)
    padded[..., 2:22, 3:33] = image
    for other in (interleaved, swapped, transposed, padded[..., 2:22, 3:33], image[::-1][::-1]):
        kept = other.copy()
        for place in (level, np.ascontiguousarray(level.swapaxes(1, 2)).swapaxes(1, 2), level[:, ::-1][:, ::-1]):
            assert np.array_equal(getattr(cpu, name)(other, field, place, border=Border.REFLECT), expected)
        assert np.array_equal(other, kept)


@pytest.mark.parametrize("name", FORMS)
def test_level_keeps_its_precision(name: str) -> None:
    """A float64 level of a float32 picture is not rounded to float32: among many levels that would be seen."""
    levels = 2000
    kernels = [np.array([[1.0 - a, a]]) for a in np.arange(levels) % 2]
    field = PointSpreadField(PointSpreads.from_dense(kernels), levels=levels)
    image = np.random.default_rng(1).random((1, 1, 3, 33), np.float32)
    level = np.full((1, 3, 33), 1999 - 1 / 3)
    assert difference(name, image, field, level, Border.REFLECT) <= 2e-7


@pytest.mark.parametrize("name", FORMS)
def test_refusals(name: str) -> None:
    blur = getattr(cpu, name)
    image, level = np.zeros((2, 1, 5, 6), np.float32), np.zeros((2, 5, 6), np.float32)
    delta = PointSpreads.from_dense([np.ones((1, 1))] * 6)
    two = PointSpreadField(PointSpreads.from_dense([np.ones((1, 1))] * 2), levels=2)
    with pytest.raises(InvalidValueError, match="no meaning where the point spread varies"):
        blur(image, two, level, border=Border.VALID)
    with pytest.raises(InvalidValueError, match="needs the level of every pixel"):
        blur(image, two, border=Border.REFLECT)
    with pytest.raises(InvalidValueError, match="level must have the shape"):
        blur(image, two, level[:, :4], border=Border.REFLECT)
    for wrong in (np.nan, np.inf):
        holes = level.copy()
        holes[1, 2, 3] = wrong
        with pytest.raises(InvalidValueError, match="level must be finite"):
            blur(image, two, holes, border=Border.REFLECT)
    with pytest.raises(InvalidValueError, match="2 pictures of the batch"):
        blur(image, PointSpreadField(delta, levels=2), level, border=Border.REFLECT)
    with pytest.raises(InvalidValueError, match="float32 or float64"):
        blur(image.astype(np.uint8), two, level, border=Border.REFLECT)
    with pytest.raises(InvalidValueError, match="border must be one of"):
        blur(image, two, level, border="wrap")
