"""The laws of blur that depends on depth, for the oracle and for the backend of numpy arrays."""

from __future__ import annotations

import math
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
from blursynth.backends.oracle.surface_edges import hidden_behind
from blursynth.frame import Border
from blursynth.physics.aperture import Aperture
from blursynth.physics.point_spread import PointSpreads, disk, polygon
from blursynth.physics.scene import Scene, blur_levels, level_radius_px

BACKENDS = [oracle, cpu]
BORDERS = [Border.REFLECT, Border.REPLICATE, Border.CIRCULAR, Border.CONSTANT]
both = pytest.mark.parametrize("backend", BACKENDS, ids=["oracle", "cpu"])


def two_planes(near: NDArray[np.bool_], near_psf: PointSpreads, far_psf: PointSpreads) -> Scene:
    """A nearer plane where the mask is True, before one that goes on behind it as far as light can get."""
    order = np.where(near, 9, 0).astype(np.int32)[None]
    reach = int(near_psf.reach_px()[0] + far_psf.reach_px()[0]) + 2
    hidden = hidden_behind(order, gap=2, reach_px=reach)
    return Scene(order, near.astype(np.int32)[None], hidden, PointSpreads.concatenate([far_psf, near_psf]))


@both
@pytest.mark.parametrize("border", BORDERS)
def test_constant_depth_is_uniform_blur(backend: ModuleType, border: Border) -> None:
    image = np.random.default_rng(0).random((1, 3, 25, 31))
    zeros = np.zeros((1, 25, 31), np.int32)
    for psf in (disk(0.0), disk(1.2), disk(4.7), polygon(5.0, 5, 0.3)):
        scene = Scene(zeros, zeros, zeros - 1, psf)
        blurred = backend.composite(image, scene, border=border)
        assert np.abs(blurred - oracle.convolve(image, psf, border=border)).max() <= 1e-12


@both
@pytest.mark.parametrize("dtype", list(ACCURACY))
@given(data=st.data(), border=st.sampled_from(BORDERS), seed=st.integers(0, 10**6))
@settings(max_examples=15)
def test_laws_of_operators(backend: ModuleType, dtype: str, data: st.DataObject, border: Border, seed: int) -> None:
    """With surfaces of several distances in blocks, in pictures smaller than the blur too."""
    psf = PointSpreads.concatenate([disk(r) for r in (0.0, 1.0, 2.3, 4.0)] + [polygon(5.2, 5)])

    def work(operation: str, image: NDArray[np.floating]) -> NDArray[np.floating]:
        rng, (height, width) = np.random.default_rng(seed), image.shape[2:]
        blocks = rng.integers(0, 5, (1, -(-height // 5), -(-width // 4))).astype(np.int32)
        level = np.repeat(np.repeat(blocks, 5, 1), 4, 2)[:, :height, :width].copy()
        hidden = hidden_behind(level, gap=1 + seed % 2, reach_px=8)
        scene = Scene(level, np.ascontiguousarray(level[:, ::-1]), hidden, psf)
        return np.asarray(getattr(backend, operation)(image, scene, border=border))

    hold(data, partial(work, "composite"), operator(partial(work, "composite_adjoint"), border, dtype))


@both
def test_a_sharp_foreground_is_never_contaminated(backend: ModuleType) -> None:
    rng = np.random.default_rng(1)
    near = np.zeros((40, 44), bool)
    near[10:30, 14:31] = True
    near[20, :] = True  # as thin as a wire
    scene = two_planes(near, disk(0.0), disk(6.3))
    for dtype in (np.float32, np.float64):
        image = rng.random((1, 3, 40, 44)).astype(dtype)
        blurred = backend.composite(image, scene, border=Border.REFLECT)
        assert np.array_equal(blurred[..., near], image[..., near])
        # And no light of the foreground reaches the background: not a bit depends on its color.
        recolored = np.where(near, 50.0, image).astype(dtype)
        again = backend.composite(recolored, scene, border=Border.REFLECT)
        assert np.array_equal(again[..., ~near], blurred[..., ~near])


@both
def test_background_goes_on_behind_a_blurred_foreground(backend: ModuleType) -> None:
    near = np.zeros((30, 50), bool)
    near[:, 25:] = True
    image = np.where(near, 0.2, 0.8)[None, None]
    psf = disk(6.0)
    blurred = backend.composite(image, two_planes(near, psf, disk(0.0)), border=Border.REPLICATE)[0, 0]
    # Exactly the foreground's share of light, over a background that is there behind it: no black halo.
    alpha = oracle.convolve(near[None, None].astype(np.float64), psf, border=Border.REPLICATE)[0, 0]
    assert np.abs(blurred - (0.8 + (0.2 - 0.8) * alpha)).max() <= 1e-12


@both
@pytest.mark.parametrize(("blades", "expected"), [(0, 0.5), (6, 0.5), (5, 0.489)])
def test_alpha_at_a_straight_edge(backend: ModuleType, blades: int, expected: float) -> None:
    near = np.zeros((3, 100), bool)
    near[:, 50:] = True
    # The corners of the pentagon point left and right here, which is where it is least symmetric.
    psf = Aperture(blades, 0.0).point_spreads(20.0)
    blurred = backend.composite(near[None, None] * 1.0, two_planes(near, psf, disk(0.0)), border=Border.REPLICATE)
    at_edge = blurred[0, 0, 1, 49:51].mean()  # the edge lies between the two pixels
    if blades == 5:
        assert min(abs(at_edge - expected), abs(1 - at_edge - expected)) <= 2e-3
    else:
        assert abs(at_edge - expected) <= 1e-12


class PinholePictures:
    """Two textured planes seen through every point of a small aperture: the truth, picture by picture.

    The far plane repeats, so that what is hidden is known: it is seen elsewhere. Through the aperture point k the near
    plane is displaced by ``near k`` px and the far one by ``far k`` px.
    """

    size, period = (48, 64), 16

    def __init__(self, near: int, far: int, radius: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        height, width = self.size
        self.far_texture = np.tile(rng.random((16, 16)), (height // 16, width // 16))
        self.near_texture = rng.random(self.size)
        rows, columns = np.mgrid[:height, :width]
        self.mask = (np.abs(columns - 32) < 12) & (np.abs(rows - 24) < 10) & ((columns // 3 % 4 != 0) | (rows < 20))
        self.near, self.far = near, far
        span = range(-radius, radius + 1)
        self.points = [(a, b) for a in span for b in span if a * a + b * b <= radius * radius + 0.5]
        self.image = np.where(self.mask, self.near_texture, self.far_texture)[None, None]

    def truth(self) -> NDArray[np.float64]:
        total = np.zeros(self.size)
        for row, column in self.points:
            far = np.roll(self.far_texture, (self.far * row, self.far * column), (0, 1))
            shift = (self.near * row, self.near * column)
            total += np.where(np.roll(self.mask, shift, (0, 1)), np.roll(self.near_texture, shift, (0, 1)), far)
        return total / len(self.points)

    def scene(self, parts: int) -> Scene:
        """The same with the aperture cut into so many parts, by rows and then columns."""
        rows = max(1, round(math.sqrt(parts)))
        groups: list[NDArray[np.int64]] = []
        for chunk in np.array_split(np.array(self.points), rows):
            chunk = chunk[np.argsort(chunk[:, 1], kind="stable")]
            groups += [group for group in np.array_split(chunk, max(1, parts // rows)) if len(group)]
        if parts == len(self.points):
            groups = [np.array([point]) for point in self.points]
        width, period = self.size[1], self.period
        hidden = np.full(self.size, -1, np.int32)
        seen = {(p // width % period, p % width % period): p for p in np.flatnonzero(~self.mask).tolist()}
        for p in np.flatnonzero(self.mask).tolist():
            hidden[p // width, p % width] = seen[(p // width % period, p % width % period)]
        psf = PointSpreads.concatenate([self._psf(g, scale) for g in groups for scale in (self.far, self.near)])
        weight = np.array([len(g) for g in groups]) / len(self.points)
        order = np.where(self.mask, 9, 0).astype(np.int32)[None]
        return Scene(order, self.mask.astype(np.int32)[None], hidden[None], psf, weight)

    @staticmethod
    def _psf(points: NDArray[np.int64], scale: int) -> PointSpreads:
        dense = np.zeros((41, 41))
        for row, column in points:
            dense[20 + scale * row, 20 + scale * column] += 1 / len(points)
        return PointSpreads.from_dense([dense])

    def error(self, backend: ModuleType, parts: int) -> NDArray[np.float64]:
        blurred = backend.composite(self.image, self.scene(parts), border=Border.CIRCULAR)[0, 0]
        return np.abs(np.asarray(blurred) - self.truth())


@both
@pytest.mark.parametrize(("near", "far"), [(0, 1), (1, 0), (2, 1), (1, -1), (2, -1)])
def test_one_part_per_point_is_the_mean_of_pinhole_pictures(backend: ModuleType, near: int, far: int) -> None:
    pictures = PinholePictures(near, far, 2)
    assert pictures.error(backend, len(pictures.points)).max() <= 1e-12


@both
@pytest.mark.parametrize(("near", "far"), [(0, 1), (1, 0)])
def test_one_part_is_exact_where_one_of_two_surfaces_is_sharp(backend: ModuleType, near: int, far: int) -> None:
    assert PinholePictures(near, far, 3).error(backend, 1).max() <= 1e-12


@pytest.mark.parametrize(("near", "far"), [(2, 1), (1, -1), (2, -1)])
def test_more_parts_converge_to_the_mean_of_pinhole_pictures(near: int, far: int) -> None:
    # White noise on both planes, the worst there is. Root mean square over the picture, of a white of 1:
    # 1 part .012 to .016, 4 parts .010 to .014, 16 parts .006 to .010, one per point 0. The largest error falls from
    # .09 to .05 to 0.
    pictures = PinholePictures(near, far, 3)
    errors = [pictures.error(cpu, parts) for parts in (1, 4, 16, len(pictures.points))]
    spread = [float(np.sqrt(np.mean(error**2))) for error in errors]
    assert spread[0] > spread[1] > spread[2] > spread[3]
    assert spread[0] <= 0.02
    assert spread[2] <= 0.7 * spread[0]
    assert spread[3] <= 1e-12
    assert errors[0].max() <= 0.1
    assert errors[2].max() <= 0.06


@pytest.mark.parametrize("depth_m", [1.35, 3.5])
@pytest.mark.parametrize("angle_deg", [0.0, 70.0])
def test_an_odd_aperture_is_the_mean_of_its_pinhole_pictures_on_either_side_of_the_focus(
    depth_m: float, angle_deg: float
) -> None:
    """A textured L before a wall of one color. From the point a of the aperture, to the right of and below its middle,
    a thing at s is seen ``-a f / s`` away from where it was, and the picture is aligned at the focus s_f.
    """
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:60, :70]
    near = (abs(rows - 30) < 14) & (abs(columns - 34) < 16) & ((rows > 34) | (columns < 28))
    image = np.where(near, rng.random((60, 70)), 0.3)
    frame = bs.Frame(
        image[None, None],
        "linear",
        depth_m=np.where(near, depth_m, 1e5)[None],
        camera=bs.Intrinsics(focal_length_mm=50.0, pixel_pitch_um=20.0),
    )
    step = bs.kinds.Defocus(f_number=2.0, focus_distance_m=2.0, blades=3, angle_deg=angle_deg, tolerance_px=0.002)
    # Points of equal area of the triangle whose first corner lies where the degrees say, 12.5 mm from its middle.
    corners = 12.5 * np.exp(1j * (np.radians(angle_deg) + 2 * np.pi / 3 * np.arange(3)))
    first, second = (np.indices((200, 200)).reshape(2, -1) + 0.5) / 200
    root = np.sqrt(first)
    points = corners[0] * (1 - root) + corners[1] * root * (1 - second) + corners[2] * root * second
    moves = points * 50.0 * 2.0 / (2.0 - 0.05) * (1 / 2000 - 1 / (1000 * depth_m)) / 0.020
    expected = np.zeros(image.shape)
    for (dy, dx), count in zip(
        *np.unique(np.rint([moves.imag, moves.real]).astype(int).T, axis=0, return_counts=True), strict=True
    ):
        seen = np.roll(near, (dy, dx), (0, 1))
        expected += count / len(moves) * np.where(seen, np.roll(image, (dy, dx), (0, 1)), 0.3)
    # Half a turn is off by .3; the points, and the hundredths of a px by which pixels of triangles are centered, by .004.
    assert np.abs(step(frame).image[0, 0] - expected).max() <= 0.01


def test_more_slices_converge_to_the_mean_of_pinhole_pictures() -> None:
    # Three planes with blurs of 5, 3 and 1 px: where slices are too thick to tell them apart, they mix.
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:60, :70]
    radius = np.where(np.abs(columns - 30) < 10, 5, np.where(np.abs(rows - 30) < 12, 3, 1))
    image = np.where(radius == 5, 0.9, np.where(radius == 3, 0.5, 0.1))[None, None] + 0.05 * rng.random((1, 1, 60, 70))
    psf = PointSpreads.concatenate([disk(float(r)) for r in range(6)])

    def blurred(thickness: int) -> NDArray[np.floating]:
        order = (radius // thickness).astype(np.int32)[None]
        hidden = hidden_behind(order, gap=1, reach_px=12)
        scene = Scene(order, radius.astype(np.int32)[None], hidden, psf)
        return cpu.composite(image, scene, border=Border.REFLECT)

    errors = [float(np.abs(blurred(thickness) - blurred(1)).max()) for thickness in (8, 4, 2)]
    assert errors[0] > 0.1 > errors[2]
    assert errors[0] >= errors[1] >= errors[2]


@pytest.mark.parametrize("tolerance", [0.02, 0.05, 0.2])
def test_rounding_to_levels_is_within_its_tolerance(tolerance: float) -> None:
    radius = np.linspace(-30.0, 30.0, 4001)
    levels = blur_levels(radius, tolerance)
    made = np.array([level_radius_px(int(level), tolerance) for level in levels])
    made[levels == 0] = np.copysign(0.5, radius[levels == 0])  # which is no blur either
    blurred = np.abs(radius) > 0.5
    error = np.abs(made - radius)
    assert error[blurred].max() <= tolerance * (1 + 1e-9)
    small = blurred & (np.abs(radius) < 16)
    assert (error[small] <= tolerance / 16 * np.abs(radius[small]) * (1 + tolerance)).all()
    assert (np.abs(made[~blurred]) <= 0.5 + tolerance / 16).all()


def test_the_tolerance_is_below_one_code() -> None:
    # An edge between black and white, its blur off by the rounding to levels, as codes of an 8-bit sRGB file.
    edge = np.zeros((1, 1, 1, 121))
    edge[..., 60:] = 1.0
    rng = np.random.default_rng(4)
    for radius in rng.uniform(0.5, 30.0, 40):
        rounded = level_radius_px(int(blur_levels(np.array([radius]), 0.04)[0]), 0.04)
        exact, made = (oracle.convolve(edge, disk(r), border=Border.REPLICATE) for r in (radius, abs(rounded)))
        difference = np.abs(oracle.srgb_encode(exact) - oracle.srgb_encode(made))
        assert difference.max() <= 1 / 255
