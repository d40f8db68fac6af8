"""Levels and grids from an error bound: the bound itself, and what it means for pictures, against brute force."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from blursynth.backends import cpu
from blursynth.errors import InvalidValueError
from blursynth.frame import Border
from blursynth.physics.levels import (
    TOLERANCE_PX,
    disk_radii_px,
    grid_axis_px,
    grid_step_px,
    level_of,
    path_scales,
)
from blursynth.physics.point_spread import PointSpreads, disk
from blursynth.physics.point_spread_field import PointSpreadField

seeds = st.integers(0, 2**32)
tolerances = st.floats(0.02, 2.0)


def crooked_path(rng: np.random.Generator, length_px: float) -> NDArray[np.float64]:
    """``[N, 2]`` a smooth random path around zero."""
    heading = np.cumsum(rng.normal(0, 0.2, 60)) + rng.uniform(0, 6)
    path = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0) * (length_px / 60)
    return np.asarray(path - path.mean(axis=0))


def reach(path: NDArray[np.float64]) -> float:
    return float(np.hypot(path[:, 0], path[:, 1]).max())


def leaves(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """Random discs that hide each other, whose statistics are those of photographs: sizes of a power law, any color,
    integrated over the pixels, behind a lens with a blur of half a pixel; linear light ``[1, 3, H, W]``."""
    fine = 4
    shape = (height * fine, width * fine)
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.full((3, *shape), 0.5)
    for _ in range(400):
        radius = fine / math.sqrt(rng.uniform(40.0**-2, 1.5**-2))
        inside = (y - rng.uniform(0, shape[0])) ** 2 + (x - rng.uniform(0, shape[1])) ** 2 < radius**2
        image[:, inside] = rng.uniform(0, 1, (3, 1))
    light = np.asarray(cpu.srgb_decode(image[None])).reshape(1, 3, height, fine, width, fine).mean(axis=(3, 5))
    line = np.array([0.107, 0.786, 0.107])  # sigma .5 px
    lens = PointSpreads.from_dense([np.outer(line, line) / line.sum() ** 2])
    return np.asarray(cpu.convolve(light, lens, border=Border.REFLECT))


def brute_force(image: NDArray[np.float64], psf: PointSpreads) -> NDArray[np.float64]:
    """The per-pixel sum: pixel p of ``[1, C, H, W]`` with its own point spread ``psf[p]``, reflected borders."""
    _, channels, height, width = image.shape
    margin = int(psf.reach_px().max())
    padded = np.pad(image[0], ((0, 0), (margin, margin), (margin, margin)), mode="reflect")
    pixel = np.repeat(np.arange(height * width), np.diff(psf.start))
    row, column = pixel // width + margin - psf.dy, pixel % width + margin - psf.dx
    result = [np.bincount(pixel, psf.weight * padded[c, row, column], height * width) for c in range(channels)]
    return np.asarray(result).reshape(image.shape)


def parallax(
    image: NDArray[np.float64], path: NDArray[np.float64], scale: NDArray[np.float64], tolerance: float
) -> tuple[NDArray[np.floating], NDArray[np.float64]]:
    """One path that every pixel sees in its own size: from levels, and each pixel's own."""
    nodes = path_scales(reach(path), float(scale.min()), float(scale.max()), tolerance)
    field = PointSpreadField(cpu.rasterize(path * nodes[:, None, None], center=False), levels=nodes.size)
    fast = cpu.convolve_varying(image, field, level_of(scale, nodes)[None], border=Border.REFLECT)
    return fast, brute_force(image, cpu.rasterize(path * scale.reshape(-1, 1, 1), center=False))


def defocus(
    image: NDArray[np.float64], radius: NDArray[np.float64], tolerance: float
) -> tuple[NDArray[np.floating], NDArray[np.float64]]:
    nodes = disk_radii_px(float(radius.min()), float(radius.max()), tolerance)
    psf = PointSpreads.concatenate([disk(float(r)) for r in nodes])
    field = PointSpreadField(psf, levels=nodes.size)
    fast = cpu.convolve_varying(image, field, level_of(radius, nodes)[None], border=Border.REFLECT)
    return fast, brute_force(image, PointSpreads.concatenate([disk(float(r)) for r in radius.ravel()]))


def roll(
    image: NDArray[np.float64], angle_rad: float, center_px: tuple[float, float], tolerance: float
) -> tuple[NDArray[np.floating], NDArray[np.float64]]:
    """A roll by +- ``angle_rad``: from a grid, and each pixel's own."""
    height, width = image.shape[2:]
    angles = np.linspace(-angle_rad, angle_rad, 9)

    def paths(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
        dy, dx = np.meshgrid(y - center_px[0], x - center_px[1], indexing="ij")
        dy, dx = dy.reshape(-1, 1), dx.reshape(-1, 1)
        return np.stack(
            [dx * np.cos(angles) - dy * np.sin(angles) - dx, dx * np.sin(angles) + dy * np.cos(angles) - dy], axis=2
        )

    step = grid_step_px(2 * math.sin(angle_rad / 2), tolerance)
    y, x = grid_axis_px(height, step, center_px[0]), grid_axis_px(width, step, center_px[1])
    field = PointSpreadField(
        cpu.rasterize(paths(y, x), center=False),
        rows=y.size,
        columns=x.size,
        first_px=np.array([[y[0], x[0]]]),
        step_px=(step, step),
    )
    fast = cpu.convolve_varying(image, field, border=Border.REFLECT)
    exact = cpu.rasterize(paths(np.arange(height, dtype=float), np.arange(width, dtype=float)), center=False)
    return fast, brute_force(image, exact)


def errors(fast: NDArray[np.floating], exact: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Differences in codes after sRGB, and in standard deviations of the noise of a sensor indoors (white at 1870
    electrons, the middle of the usual range, 3 electrons of read noise)."""
    codes = 255 * np.abs(cpu.srgb_encode(fast) - cpu.srgb_encode(exact))
    noise = np.sqrt(np.maximum(exact, 0) / 1870 + (3 / 1870) ** 2)
    return codes, np.abs(fast - exact) / noise


@given(seed=seeds, tolerance=tolerances)
def test_all_light_of_a_scaled_path_lands_within_the_tolerance(seed: int, tolerance: float) -> None:
    rng = np.random.default_rng(seed)
    path = crooked_path(rng, rng.uniform(0.1, 60))
    low = rng.uniform(0, 1)
    high = low + rng.uniform(0, 2)
    nodes = path_scales(reach(path), low, high, tolerance)
    assert nodes[0] == low
    assert nodes[-1] == high
    within(nodes, rng.uniform(low, high, 50), np.hypot(path[:, 0], path[:, 1]), tolerance)


@given(seed=seeds, tolerance=tolerances)
def test_all_light_of_a_disk_lands_within_the_tolerance(seed: int, tolerance: float) -> None:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 3)
    high = low + rng.uniform(0, 20)
    nodes = disk_radii_px(low, high, tolerance)
    assert nodes[0] == low
    assert nodes[-1] == high
    assert (np.diff(nodes) > 0).all()
    # Up to half a pixel all disks are the same single pixel.
    within(np.maximum(nodes, 0.5), np.maximum(rng.uniform(low, high, 50), 0.5), np.array([1.0]), tolerance)


def within(
    nodes: NDArray[np.float64], scales: NDArray[np.float64], distance: NDArray[np.float64], tolerance: float
) -> None:
    """For light at these distances at scale 1: no shift, the root mean square error, and the largest one."""
    levels = level_of(np.clip(scales, nodes[0], nodes[-1]), np.unique(nodes))
    nodes = np.unique(nodes)
    below = np.minimum(levels.astype(int), max(nodes.size - 2, 0))
    above = np.minimum(below + 1, nodes.size - 1)
    share = levels - below
    to_below = (nodes[below] - scales)[:, None] * distance
    to_above = (nodes[above] - scales)[:, None] * distance
    share = share[:, None]
    assert np.abs((1 - share) * to_below + share * to_above).max() <= 1e-9 * (1 + distance.max())
    assert np.sqrt((1 - share) * to_below**2 + share * to_above**2).max() <= tolerance * (1 + 1e-6) + 1e-9
    assert np.abs(to_above - to_below).max() <= 2 * tolerance * (1 + 1e-6)


@given(seed=seeds, tolerance=tolerances)
def test_all_light_between_the_nodes_of_a_grid_lands_within_the_tolerance(seed: int, tolerance: float) -> None:
    """For any field that is linear in place, such as a roll."""
    rng = np.random.default_rng(seed)
    slope = rng.normal(size=(30, 2, 2)) * 10 ** rng.uniform(-3, 0)  # bit of light, where it lands, pixel
    step = grid_step_px(float(np.hypot(slope[:, 0], slope[:, 1]).max()), tolerance)
    for fy, fx in rng.random((30, 2)):
        squared, mean = np.zeros(30), np.zeros((30, 2))
        for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
            share = abs(1 - y - fy) * abs(1 - x - fx)
            off = slope @ (np.array([y - fy, x - fx]) * step)
            squared += share * (off**2).sum(axis=1)
            mean += share * off
        assert np.abs(mean).max() <= 1e-9
        assert np.sqrt(squared).max() <= tolerance * (1 + 1e-9)


@pytest.mark.parametrize("tolerance", [0.05, 0.25, 1.0])
def test_pictures_differ_by_no_more_than_the_tolerance_times_their_gradient(tolerance: float) -> None:
    """Any picture, the noisiest too: a rasterized path is an integral over the bilinear picture, whose slope is known."""
    rng = np.random.default_rng(1)
    for _ in range(3):
        image = rng.random((1, 1, 20, 26))
        path = crooked_path(rng, rng.uniform(2, 25))
        steepest = np.hypot(np.abs(np.diff(image, axis=2)).max(), np.abs(np.diff(image, axis=3)).max())
        fast, exact = parallax(image, path, rng.uniform(0.2, 1, (20, 26)), tolerance)
        assert np.abs(fast - exact).max() <= tolerance * steepest
        angle = rng.uniform(0.02, 0.3)
        fast, exact = roll(image, angle, (rng.uniform(0, 19), rng.uniform(0, 25)), tolerance)
        assert np.abs(fast - exact).max() <= tolerance * steepest


def test_smooth_pictures_differ_by_the_square_of_the_tolerance() -> None:
    """``tolerance^2 / 2`` times the largest second derivative, and so four times less for half the tolerance."""
    y, x = np.mgrid[:30, :40]
    image = (0.5 + 0.5 * np.sin(0.3 * x + 0.2 * y))[None, None]
    path = crooked_path(np.random.default_rng(3), 20.0)
    scale = 0.2 + 0.8 * x / 39
    worst = []
    for tolerance in (1.0, 0.5, 0.25, 0.125):
        fast, exact = parallax(image, path, scale, tolerance)
        worst.append(np.abs(fast - exact).max())
        assert worst[-1] <= 0.5 * tolerance**2 * 0.5 * (0.3**2 + 0.2**2)
    assert worst[0] > 16 * worst[-1]


def smooth_depth(height: int, width: int) -> NDArray[np.float64]:
    y, x = np.mgrid[:height, :width]
    return 0.6 + 0.4 * np.sin(y / 17.0 + x / 31.0)


def test_defaults_cannot_be_seen_in_natural_textures() -> None:
    """At most a code after sRGB and .2 sigma of the noise, with smooth depth and roll, against brute force."""
    rng = np.random.default_rng(11)
    image = leaves(rng, 64, 80)
    scale = smooth_depth(64, 80)
    cases: dict[str, Callable[[], tuple[NDArray[np.floating], NDArray[np.float64]]]] = {
        "parallax": lambda: parallax(image, crooked_path(rng, 31.0), scale, TOLERANCE_PX),
        "little parallax": lambda: parallax(image, crooked_path(rng, 6.0), scale, TOLERANCE_PX),
        "defocus": lambda: defocus(image, 15 * (scale - 0.2), TOLERANCE_PX),
        "little defocus": lambda: defocus(image, 4 * (scale - 0.2), TOLERANCE_PX),
    }
    for name, case in cases.items():
        codes, sigmas = errors(*case())
        assert codes.max() <= 1, (name, codes.max())
        assert sigmas.max() <= 0.2, (name, sigmas.max())
    # Around the center of a roll the picture is sharp, and two axes blend.
    codes, sigmas = errors(*roll(image, 0.15, (31.5, 39.5), TOLERANCE_PX))
    assert np.quantile(codes, 0.999) <= 0.5
    assert np.quantile(sigmas, 0.999) <= 0.2
    assert codes.max() <= 1.5


@pytest.mark.real_data
def test_defaults_cannot_be_seen_in_photographs(real_data: Path) -> None:
    from blursynth.io.pictures import read_frame

    rng = np.random.default_rng(12)
    scale = smooth_depth(64, 80)
    files = sorted((real_data / "photos" / "kodak24").glob("*.png"))
    assert files
    for file in files[:6]:
        display = np.asarray(read_frame(file).image, np.float64)
        image = np.ascontiguousarray(cpu.srgb_decode(display[:, :, 200:264, 300:380]))
        for fast, exact in (
            parallax(image, crooked_path(rng, 31.0), scale, TOLERANCE_PX),
            defocus(image, 15 * (scale - 0.2), TOLERANCE_PX),
            roll(image, 0.15, (31.5, 39.5), TOLERANCE_PX),
        ):
            codes, sigmas = errors(fast, exact)
            assert np.quantile(codes, 0.999) <= 1
            assert np.quantile(sigmas, 0.999) <= 0.2
            assert codes.max() <= 1.5


def test_numbers_of_nodes() -> None:
    assert path_scales(10.0, 0.5, 0.5).tolist() == [0.5]
    assert path_scales(0.0, 0.0, 1.0).tolist() == [0.0, 1.0]
    assert path_scales(10.0, 0.0, 1.0, 0.5).size == 11
    assert disk_radii_px(0.0, 0.3).tolist() == [0.0, 0.3]
    assert disk_radii_px(7.0, 7.0).tolist() == [7.0]
    assert disk_radii_px(4.0, 14.0, 0.5).size == 11
    assert {0.5, 1.5, 2.5, 3.5} <= set(disk_radii_px(0.1, 9.0).tolist())
    assert grid_step_px(0.0) == math.inf
    assert grid_step_px(0.01, 0.1) == pytest.approx(0.1 * math.sqrt(2) / 0.01)


@given(size=st.integers(1, 500), step=st.floats(0.3, 300), through=st.none() | st.floats(-50, 550))
def test_a_grid_covers_its_axis_and_meets_its_point(size: int, step: float, through: float | None) -> None:
    nodes = grid_axis_px(size, step, through)
    assert nodes[0] <= 1e-6
    assert nodes[-1] >= size - 1 - 1e-6
    assert nodes.size <= math.ceil((size - 1) / step) + 2
    assert np.abs(np.diff(nodes) - step).max(initial=0) <= 1e-9
    if through is not None and 0 <= through <= size - 1:
        assert np.abs(nodes - through).min() <= 1e-9


def test_one_node_where_nothing_changes() -> None:
    assert grid_axis_px(100, math.inf).tolist() == [0.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: path_scales(-1.0, 0.0, 1.0), "reach_px must be >= 0, got -1.0"),
        (lambda: path_scales(1.0, 1.0, 0.5), "high must be >= low = 1.0, got 0.5"),
        (lambda: path_scales(1.0, math.nan, 0.5), "low must be >= 0, got nan"),
        (lambda: disk_radii_px(0.0, math.inf), "high_px must be >= low_px"),
        (lambda: disk_radii_px(0.0, 1.0, 0.0), "tolerance_px must be > 0, got 0.0"),
        (lambda: grid_step_px(-0.1), "largest_change_per_px must be >= 0"),
        (lambda: grid_step_px(math.nan), "largest_change_per_px must be >= 0"),
        (lambda: grid_axis_px(0, 1.0), "size_px must be >= 1"),
        (lambda: grid_axis_px(5, 0.0), "step_px must be > 0"),
        (lambda: level_of(1.0, [0.0, 0.0]), "strictly ascending"),
        (lambda: level_of(1.0, []), "strictly ascending"),
    ],
)
def test_refusals(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        call()
