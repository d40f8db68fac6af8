"""The compiled compositing against the oracle, its adjoint, and what may not change a bit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from cases import random_means
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from blursynth.backends import cpu, oracle
from blursynth.backends.oracle.surface_edges import hidden_behind
from blursynth.errors import InvalidValueError
from blursynth.frame import Border
from blursynth.physics.point_spread import PointSpreads, disk, polygon
from blursynth.physics.scene import Scene
from blursynth.physics.surface_edges import Means

BORDERS = [Border.REFLECT, Border.REPLICATE, Border.CIRCULAR, Border.CONSTANT]


def random_scene(
    seed: int, shape: tuple[int, int, int], *, patch: int = 4, parts: int = 1, spread: int = 1, radius: float = 6.0
) -> Scene:
    """Blocks of random slices; disks, pentagons, and taps with holes, off center and larger than small pictures."""
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
    hidden = hidden_behind(order, gap=2 * spread, reach_px=9)
    kernel = ((level + rng.integers(0, 2, level.shape)) % 6).astype(np.int32)
    means = random_means(rng, hidden)
    return Scene(order, kernel, hidden, PointSpreads.concatenate(psf), weight / weight.sum(), means=means)


def edged_scene(seed: int, shape: tuple[int, int, int], *, parts: int = 1, connected: bool = True) -> Scene:
    """Like :func:`random_scene`, with mixed pixels, places where a surface is missing, and slopes."""
    rng = np.random.default_rng(seed)
    batch, height, width = shape
    plain = random_scene(seed, shape, parts=parts, patch=5)
    pixels = height * width
    rough = rng.integers(-1, 2, shape).astype(np.int32)  # noise within one surface
    kind = rng.integers(0, 4, shape)  # half of the pixels mixed, missing or wholly covered by another's surface
    mixed = kind > 1
    share = np.where(mixed, rng.random(shape), 1.0)
    share = np.where(mixed & (rng.random(shape) < 0.3), 0.0, share)
    share = np.where(mixed & (rng.random(shape) < 0.1), 1.0, share)
    anywhere = rng.integers(0, pixels, (3, *shape)).astype(np.int32)
    front = np.where(mixed, anywhere[1], np.int32(-1))
    missing = np.where(rng.random(shape) < 0.4, rng.integers(0, pixels, shape), -1).astype(np.int32)
    missing = np.where(mixed & (rng.random(shape) < 0.6), front, missing)
    order = (2 * plain.order + rough).astype(np.int32)
    gradient, center = rng.normal(0.0, 0.3, (batch, 2, height, width)), rng.uniform(-1.0, 1.0, (parts, 2))
    farthest = None
    if connected:  # at half of the pixels some slices are too far to be seen
        farthest = np.where(rng.random(shape) < 0.5, rng.permuted(order, axis=2), order.min() - 9).astype(np.int32)
    hidden = np.where(mixed, anywhere[0], plain.hidden)
    return Scene(
        order,
        plain.kernel,
        hidden,
        plain.psf,
        plain.part_weight,
        front,
        share,
        np.where(mixed & (share > 0), anywhere[2], np.int32(-1)),
        missing,
        gradient,
        center,
        connected,
        farthest,
        random_means(rng, hidden, share),
    )


def picture(seed: int, shape: tuple[int, ...], dtype: type = np.float64) -> NDArray[np.floating]:
    return np.random.default_rng(seed).random(shape).astype(dtype)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(
    ("channels", "height", "width", "parts"), [(3, 23, 30, 1), (1, 9, 31, 3), (4, 30, 8, 2), (2, 1, 5, 1), (3, 1, 1, 2)]
)
def test_equals_the_oracle(border: Border, channels: int, height: int, width: int, parts: int) -> None:
    scene = random_scene(height, (2, height, width), parts=parts)
    image = picture(1, (2, channels, height, width))
    expected = oracle.composite(image, scene, border=border)
    assert np.abs(cpu.composite(image, scene, border=border) - expected).max() <= 1e-12
    single = image.astype(np.float32)
    assert np.abs(cpu.composite(single, scene, border=border) - expected).max() <= 2e-5
    back = oracle.composite_adjoint(image, scene, border=border)
    assert np.abs(cpu.composite_adjoint(image, scene, border=border) - back).max() <= 1e-12 * max(1, np.abs(back).max())


@given(seed=st.integers(0, 10**6), patch=st.integers(1, 6), spread=st.sampled_from([1, 10**6]))
def test_equals_the_oracle_for_any_scene(seed: int, patch: int, spread: int) -> None:
    scene = random_scene(seed, (1, 14, 17), patch=patch, spread=spread, parts=1 + seed % 2)
    image = picture(seed, (1, 3, 14, 17))
    border = BORDERS[seed % 4]
    expected = oracle.composite(image, scene, border=border)
    assert np.abs(cpu.composite(image, scene, border=border) - expected).max() <= 1e-12


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize(("channels", "height", "width", "parts"), [(3, 23, 30, 1), (1, 9, 21, 3), (2, 1, 5, 2)])
def test_edges_equal_the_oracle(
    border: Border, connected: bool, channels: int, height: int, width: int, parts: int
) -> None:
    scene = edged_scene(height, (2, height, width), parts=parts, connected=connected)
    image = picture(1, (2, channels, height, width))
    expected = oracle.composite(image, scene, border=border)
    assert np.abs(cpu.composite(image, scene, border=border) - expected).max() <= 1e-12 * np.abs(expected).max()
    single = image.astype(np.float32)
    assert np.abs(cpu.composite(single, scene, border=border) - expected).max() <= 2e-5 * np.abs(expected).max()
    back = oracle.composite_adjoint(image, scene, border=border)
    assert np.abs(cpu.composite_adjoint(image, scene, border=border) - back).max() <= 1e-12 * max(1, np.abs(back).max())
    y = picture(3, image.shape) - 0.5
    forth = np.vdot(expected, y)
    assert abs(forth - np.vdot(image, oracle.composite_adjoint(y, scene, border=border))) <= 1e-12 * (
        np.linalg.norm(image) * np.linalg.norm(y)
    )


@given(seed=st.integers(0, 10**6))
def test_edges_equal_the_oracle_for_any_scene(seed: int) -> None:
    scene = edged_scene(seed, (1, 14, 17), parts=1 + seed % 2, connected=seed % 3 > 0)
    if seed % 5 == 0:  # far apart, but neighbors stay neighbors
        far = np.where(scene.order > 0, scene.order + 10**6, scene.order)
        scene = dataclasses.replace(scene, order=far.astype(np.int32))
    image = picture(seed, (1, 3, 14, 17))
    border = BORDERS[seed % 4]
    expected = oracle.composite(image, scene, border=border)
    assert np.abs(cpu.composite(image, scene, border=border) - expected).max() <= 1e-12 * max(1, np.abs(expected).max())


def test_edges_in_several_tiles_equal_the_oracle() -> None:
    scene = edged_scene(5, (1, 70, 262))  # three rows of two tiles, the last of each cut off
    image = picture(6, (1, 1, 70, 262))
    expected = oracle.composite(image, scene, border=Border.REFLECT)
    assert np.abs(cpu.composite(image, scene, border=Border.REFLECT) - expected).max() <= 1e-12 * np.abs(expected).max()
    back = oracle.composite_adjoint(image, scene, border=Border.REFLECT)
    found = cpu.composite_adjoint(image, scene, border=Border.REFLECT)
    assert np.abs(found - back).max() <= 1e-12 * np.abs(back).max()
    again = cpu.composite(image, scene, border=Border.REFLECT, threads=2)
    assert np.array_equal(again, cpu.composite(image, scene, border=Border.REFLECT, threads=1))


def test_mixed_pixels_in_focus_are_not_changed() -> None:
    """Whatever share an edge is given: front and hidden patch add up to the pixel."""
    shape = (1, 14, 17)
    order, own = np.zeros(shape, np.int32), np.arange(14 * 17, dtype=np.int32).reshape(shape)
    order[0, 0, 0] = 9
    front, share = np.zeros(shape, np.int32), np.random.default_rng(3).random(shape)
    front[0, 0, 0], share[0, 0, 0] = -1, 1.0
    pure = np.where(front < 0, -1, own[:, ::-1]).astype(np.int32)
    kernel = np.zeros(shape, np.int32)
    sharp = Scene(order, kernel, own, disk(0.0), np.ones(1), front, share, pure, front, connected=True)
    image = picture(2, (1, 3, 14, 17))
    for backend in (oracle, cpu):
        assert np.abs(backend.composite(image, sharp, border=Border.REFLECT) - image).max() <= 1e-12


def test_a_surface_that_ends_beside_a_whole_one_lets_nothing_through_it() -> None:
    """Where a nearer surface is missing, the next one stays whole, even in the neighboring slice."""
    rng = np.random.default_rng(9)
    shape = (1, 24, 40)
    columns = np.arange(40) + np.zeros(shape, int)
    order = np.where(columns >= 30, 6, 5).astype(np.int32)
    order[:, 0, 0] = 0  # far behind, and bright
    image = np.zeros((1, 1, 24, 40))
    image[..., 0, 0] = 1.0
    hidden = np.where(columns >= 1, 0, -1).astype(np.int32)
    missing = np.where((columns < 30) & (rng.random(shape) < 0.6), 39, -1).astype(np.int32)
    plain = np.full(shape, -1, np.int32)
    psf = PointSpreads.concatenate([disk(0.0), disk(4.3), disk(3.2)])
    kernel = np.where(order == 6, 1, np.where(order == 5, 2, 0)).astype(np.int32)
    scene = Scene(order, kernel, hidden, psf, np.ones(1), plain, np.ones(shape), plain, missing, connected=True)
    for backend in (oracle, cpu):
        assert backend.composite(image, scene, border=Border.REPLICATE)[0, 0, 6:, 6:24].max() <= 1e-12


def test_what_is_hidden_lies_behind_whatever_its_slice_is() -> None:
    """Even if it is named to be of the same slice, or a nearer one."""
    shape = (1, 12, 13)
    order = np.full(shape, 3, np.int32)
    order[:, :, 0] = 4
    hidden = np.zeros(shape, np.int32)
    image = np.zeros((1, 1, 12, 13))
    image[..., 0] = 1.0
    kernel = np.where(order == 3, 1, 0).astype(np.int32)
    scene = Scene(order, kernel, hidden, PointSpreads.concatenate([disk(0.0), disk(2.2)]), connected=True)
    for backend in (oracle, cpu):
        assert backend.composite(image, scene, border=Border.REPLICATE)[0, 0, :, 4:].max() <= 1e-12


@pytest.mark.parametrize(("radii", "most"), [((3.5, 3.6, 3.7), 1e-12), ((3.1, 3.6, 4.2), 0.05)])
def test_noise_and_steps_of_one_surface_let_nothing_through(radii: tuple[float, ...], most: float) -> None:
    """A white surface behind a black one: not a trace is seen, or little of it where sizes scatter by half a px."""
    rng = np.random.default_rng(4)
    shape = (1, 40, 44)
    order = rng.integers(10, 13, shape).astype(np.int32)
    order[:, :, 40:] = 0
    kernel = rng.integers(0, 3, shape).astype(np.int32)
    corner = np.full(shape, 43, np.int32)
    image = np.zeros((1, 1, 40, 44))
    image[..., 40:] = 1.0
    psf = PointSpreads.concatenate([disk(r) for r in radii])
    hidden = np.where(order > 0, corner, -1).astype(np.int32)
    apart = Scene(order, kernel, hidden, psf)
    leaks = cpu.composite(image, apart, border=Border.REPLICATE)[0, 0, :, :30]
    assert leaks.max() > max(0.02, 2 * most)
    whole = np.full(shape, -1, np.int32)
    together = Scene(
        order, kernel, hidden, psf, np.ones(1), whole, np.ones(shape), whole, whole, connected=True
    )  # fmt: skip
    for backend in (oracle, cpu):
        assert backend.composite(image, together, border=Border.REPLICATE)[0, 0, :, :30].max() <= most


def test_several_tiles_equal_the_oracle() -> None:
    scene = random_scene(5, (1, 70, 262), patch=25)
    image = picture(6, (1, 1, 70, 262))
    expected = oracle.composite(image, scene, border=Border.REFLECT)
    assert np.abs(cpu.composite(image, scene, border=Border.REFLECT) - expected).max() <= 1e-12
    back = oracle.composite_adjoint(image, scene, border=Border.REFLECT)
    assert np.abs(cpu.composite_adjoint(image, scene, border=Border.REFLECT) - back).max() <= 1e-12


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(("connected", "parts"), [(True, 1), (True, 2), (False, 2)])
def test_what_is_still_and_where_one_surface_is_in_reach(border: Border, connected: bool, parts: int) -> None:
    """From left to right in focus, one surface that is blurred, and an edge; in focus it keeps its very bits."""
    height, width = 21, 83  # cells that are cut off by the edge
    column = np.arange(width) + np.zeros((1, height, 1), int)
    order = np.where(column < 62, 0, 3).astype(np.int32)
    kernel = np.where(column < 27, 0, 1 + column % 2).astype(np.int32)
    psf = PointSpreads.concatenate([disk(0.0), disk(1.6), disk(2.4)] * parts)
    hidden = hidden_behind(order, gap=2, reach_px=5)
    scene = Scene(order, kernel, hidden, psf, np.full(parts, 1 / parts), connected=connected)
    image = picture(14, (1, 3, height, width))
    got = cpu.composite(image, scene, border=border)
    assert np.abs(got - oracle.composite(image, scene, border=border)).max() <= 1e-12
    still = slice(8 if border == Border.CIRCULAR else 0, 16)
    assert np.array_equal(got[..., still], image[..., still])


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
        planes = (plane[b : b + 1] for plane in (scene.order, scene.kernel, scene.hidden))
        one = Scene(*planes, scene.psf, means=scene.means.of_picture(b, 130 * 170))
        assert np.array_equal(cpu.composite(image[b : b + 1], one, border=Border.REFLECT)[0], expected[b])
    assert np.array_equal(image, picture(8, (2, 3, 130, 170), np.float32))


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("window", [(0, 0, 60, 70), (0, 61, 9, 9), (13, 21, 31, 17), (59, 0, 1, 70)])
def test_a_window_is_that_part_of_the_whole(border: Border, window: tuple[int, int, int, int]) -> None:
    image = picture(20, (2, 3, 60, 70))
    top, left, height, width = window
    for scene in (random_scene(19, (2, 60, 70), parts=2), edged_scene(19, (2, 60, 70))):
        whole = cpu.composite(image, scene, border=border)[..., top : top + height, left : left + width]
        assert np.abs(cpu.composite(image, scene, border=border, window=window) - whole).max() <= 1e-12
    with pytest.raises(InvalidValueError, match="window"):
        cpu.composite(image, scene, border=border, window=(0, 0, 61, 70))


def test_a_reach_larger_than_tile_and_picture() -> None:
    scene = random_scene(9, (1, 7, 9), radius=34.0)
    image = picture(10, (1, 3, 7, 9))
    for border in BORDERS:
        expected = oracle.composite(image, scene, border=border)
        assert np.abs(cpu.composite(image, scene, border=border) - expected).max() <= 1e-12


def test_what_nothing_covers_keeps_its_value() -> None:
    away = PointSpreads.from_dense([np.array([[1.0]])], [(-50, 0)])
    zeros = np.zeros((1, 6, 7), np.int32)
    scene = Scene(zeros, zeros, zeros - 1, away)
    image = picture(11, (1, 3, 6, 7))
    constant = cpu.composite(image, scene, border=Border.CONSTANT)
    assert np.array_equal(constant, oracle.composite(image, scene, border=Border.CONSTANT))
    half = PointSpreads.from_dense([np.array([[1.0]])], [(0, -3)])
    scene = Scene(zeros, zeros, zeros - 1, half)
    for border in BORDERS:
        expected = oracle.composite(image, scene, border=border)
        assert np.array_equal(cpu.composite(image, scene, border=border), expected)
        back = oracle.composite_adjoint(image, scene, border=border)
        assert np.allclose(cpu.composite_adjoint(image, scene, border=border), back, rtol=0, atol=1e-15)


def test_bad_scenes_are_refused() -> None:
    scene = random_scene(1, (1, 8, 9))
    with pytest.raises(InvalidValueError, match="shape"):
        cpu.composite(np.zeros((1, 1, 8, 8)), scene, border=Border.REFLECT)
    with pytest.raises(InvalidValueError, match="valid"):
        cpu.composite(np.zeros((1, 1, 8, 9)), scene, border=Border.VALID)
    edged = edged_scene(1, (1, 8, 9))
    assert edged.share is not None
    means, mixed = edged.means, np.flatnonzero(edged.share < 1)[:3]
    for change, message in (
        ({"front": None}, "belong together"),
        ({"slope": None}, "belong together"),
        ({"share": np.full((1, 8, 9), 1.5)}, "share"),
        ({"hidden": np.full((1, 8, 9), -1, np.int32)}, "hidden"),
        ({"pure": np.full((1, 8, 9), -1, np.int32)}, "pure"),
        ({"front": np.full((1, 8, 9), 72, np.int32)}, "front"),
        ({"part_center": np.zeros((2, 2))}, "part_center"),
        ({"means": Means(means.at[::-1], means.of, means.weight)}, "ascending"),
        ({"means": Means(means.at, means.of + np.int32(72), means.weight)}, "of pixels"),
        ({"means": Means(means.at, means.of, 2 * means.weight)}, "weights"),
        ({"means": Means(means.at, means.of[1:], means.weight)}, "means"),
        ({"means": Means(mixed, means.of[: mixed.size], means.weight[: mixed.size])}, "share of 1"),
    ):
        with pytest.raises(InvalidValueError, match=message):
            dataclasses.replace(edged, **change)
