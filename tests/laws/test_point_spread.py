"""Laws of the rasterized path and of the point spreads with a closed form (docs/laws.md, "Point spread")."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from blursynth.backends import cpu, oracle
from blursynth.physics import point_spread
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.trajectory import WalkParameters, straight_line

BACKENDS = [pytest.param(cpu, id="cpu"), pytest.param(oracle, id="oracle")]

# Whole and half numbers are where pieces are cut: they must come up often.
coordinate = st.floats(-12, 12) | st.integers(-8, 8).map(float) | st.integers(-16, 16).map(lambda n: n / 2)


@st.composite
def paths(draw: st.DrawFn, smallest: int = 2, largest: int = 9) -> NDArray[np.float64]:
    points = draw(st.lists(st.tuples(coordinate, coordinate), min_size=smallest, max_size=largest))
    return np.array(points)


def durations(draw: st.DataObject, path: NDArray[np.float64]) -> NDArray[np.float64]:
    values = draw.draw(
        st.lists(st.sampled_from([0.0, 1.0]) | st.floats(0.01, 5), min_size=len(path) - 1, max_size=len(path) - 1)
    )
    spent = np.array(values)
    assume(spent.sum() > 0)
    return spent


def dense(psf: PointSpreads, half: int = 40, b: int = 0) -> NDArray[np.float64]:
    return psf.to_dense(b, size_px=2 * half + 1)


def moments(psf: PointSpreads, b: int = 0) -> dict[str, float]:
    part = psf[b]
    w, x, y = part.weight, part.dx.astype(float), part.dy.astype(float)
    return {"1": w.sum(), "x": w @ x, "y": w @ y, "xy": w @ (x * y), "xx": w @ (x * x), "yy": w @ (y * y)}


def path_moments(path: NDArray[np.float64], spent: NDArray[np.float64]) -> dict[str, float]:
    """Exact moments of a polyline at constant speed per segment: Simpson's rule is exact for squares and products."""
    w = spent / spent.sum()
    p, q = path[:-1], path[1:]
    m = (p + q) / 2
    square = (p * p + 4 * m * m + q * q) / 6
    product = (p.prod(1) + 4 * m.prod(1) + q.prod(1)) / 6
    return {
        "1": 1.0,
        "x": w @ m[:, 0],
        "y": w @ m[:, 1],
        "xy": w @ product,
        "xx": w @ square[:, 0],
        "yy": w @ square[:, 1],
    }


def growth(path: NDArray[np.float64], spent: NDArray[np.float64], axis: int) -> float:
    """Mean over time of u(1 - u), u the fractional part: exact, segment by segment, by its antiderivative."""

    def antiderivative(x: float) -> float:
        whole = math.floor(x)
        u = x - whole
        return whole / 6 + u * u / 2 - u**3 / 3

    total = 0.0
    for a, b, w in zip(path[:-1, axis], path[1:, axis], spent / spent.sum(), strict=True):
        if abs(b - a) > 1e-4:
            total += w * (antiderivative(b) - antiderivative(a)) / (b - a)
        else:  # the difference would cancel: Simpson's rule, whose error here is below 1e-13 off integers
            values = [x - math.floor(x) for x in (a, (a + b) / 2, b)]
            values = [u * (1 - u) for u in values]
            total += w * (values[0] + 4 * values[1] + values[2]) / 6
    return total


@pytest.mark.parametrize("backend", BACKENDS)
@given(data=st.data(), path=paths())
def test_moments(backend, data, path) -> None:
    spent = durations(data, path)
    psf = backend.rasterize(path, spent, center=False)
    got, wanted = moments(psf), path_moments(path, spent)
    size = 1 + float(np.abs(path).max())
    assert (psf.weight >= 0).all()
    assert abs(got["1"] - 1) <= 1e-12
    assert abs(got["x"] - wanted["x"]) <= 1e-12 * size
    assert abs(got["y"] - wanted["y"]) <= 1e-12 * size
    assert abs(got["xy"] - wanted["xy"]) <= 1e-11 * size**2
    assert psf.lost[0] == 0


@pytest.mark.parametrize("backend", BACKENDS)
@given(data=st.data(), path=paths())
def test_variance_grows_by_the_mean_of_u_times_one_minus_u(backend, data, path) -> None:
    spent = durations(data, path)
    psf = backend.rasterize(path, spent, center=False)
    got, wanted = moments(psf), path_moments(path, spent)
    for axis, name in enumerate(("xx", "yy")):
        added = growth(path, spent, axis)
        assert -1e-12 <= added <= 0.25 + 1e-12
        assert got[name] - wanted[name] == pytest.approx(added, abs=1e-10)


@given(data=st.data(), path=paths(), center=st.booleans())
def test_cpu_is_the_reference(data, path, center) -> None:
    spent = durations(data, path)
    start = data.draw(st.floats(0, 0.9))
    end = data.draw(st.floats(start + 0.05, 1.0))
    clock = np.concatenate([[0], np.cumsum(spent)]) / spent.sum()
    assume(np.diff(np.clip(clock, start, end)).max() > 0)
    options = {"center": center, "exposure": (start, end), "unit_sum": data.draw(st.booleans())}
    got = cpu.rasterize(path, spent, **options)
    wanted = oracle.rasterize(path, spent, **options)
    assert np.abs(dense(got) - dense(wanted)).max() <= 1e-12
    assert abs(got.sums()[0] - (1.0 if options["unit_sum"] else end - start)) <= 1e-12


def test_cpu_is_the_reference_on_random_walks() -> None:
    rng = np.random.default_rng(0)
    parameters = WalkParameters(
        rng.uniform(2, 60, 6), rng.uniform(0, 0.1, 6), 0.3, 0.1, 5.0, rng.uniform(0, 6, 6), samples=600
    )
    path = cpu.random_walk(parameters, np.arange(6, dtype=np.uint64))
    got, wanted = cpu.rasterize(path), oracle.rasterize(path)
    assert np.array_equal(got.start, wanted.start)
    for b in range(6):
        assert np.abs(dense(got, b=b) - dense(wanted, b=b)).max() <= 1e-13


@given(paths())
def test_the_centroid_is_at_zero_and_the_sum_is_one(path) -> None:
    psf = cpu.rasterize(path)
    assert np.abs(psf.centroids()).max() <= 1e-10
    assert abs(psf.sums()[0] - 1) <= 1e-12
    assert psf.to_dense().astype(np.float32).sum(dtype=np.float64) == pytest.approx(1, abs=1e-6)


@given(path=paths(), by=st.tuples(st.integers(-20, 20), st.integers(-20, 20)))
def test_an_integer_shift_shifts(path, by) -> None:
    # On a grid of 2^-20 px the shift is exact in floating point, so that only the rasterization is tested.
    path = np.round(path * 2.0**20) / 2.0**20
    still, moved = (cpu.rasterize(p, center=False) for p in (path, path + np.array(by)))
    shifted = PointSpreads(
        still.start, still.dy + np.int32(by[1]), still.dx + np.int32(by[0]), still.weight, still.lost
    )
    assert np.abs(dense(moved) - dense(shifted)).max() <= 1e-13


@given(st.data(), paths())
def test_time_reversal_changes_nothing(data, path) -> None:
    spent = durations(data, path)
    forth = cpu.rasterize(path, spent)
    back = cpu.rasterize(path[::-1], spent[::-1])
    assert np.abs(dense(forth) - dense(back)).max() <= 1e-12


@given(paths())
def test_quarter_turns_and_flips_commute(path) -> None:
    straight = dense(cpu.rasterize(path, center=False))
    flipped = dense(cpu.rasterize(path * np.array([-1, 1]), center=False))
    # rot90 turns anticlockwise as seen: right becomes up, (x, y) -> (y, -x).
    turned = dense(cpu.rasterize(np.stack([path[:, 1], -path[:, 0]], axis=1), center=False))
    assert np.abs(flipped - straight[:, ::-1]).max() <= 1e-12
    assert np.abs(turned - np.rot90(straight)).max() <= 1e-12


@given(st.data(), paths(), st.integers(2, 7))
def test_refining_a_segment_changes_nothing(data, path, pieces) -> None:
    spent = durations(data, path)
    time = np.linspace(0, 1, pieces + 1)[:-1, None]
    fine = np.concatenate([p + time * (q - p) for p, q in itertools.pairwise(path)] + [path[-1:]])
    coarse = cpu.rasterize(path, spent, center=False)
    refined = cpu.rasterize(fine, np.repeat(spent / pieces, pieces), center=False)
    assert np.abs(dense(coarse) - dense(refined)).max() <= 1e-12


@given(st.data(), paths(smallest=3), st.floats(0.05, 0.95))
def test_exposures_that_follow_each_other_add_up(data, path, cut) -> None:
    spent = durations(data, path)
    clock = np.concatenate([[0], np.cumsum(spent)]) / spent.sum()
    first, second, whole = (
        dense(cpu.rasterize(path, spent, center=False, exposure=window, unit_sum=False))
        for window in ((0.0, cut), (cut, 1.0), (0.0, 1.0))
    )
    assert np.abs(first + second - whole).max() <= 1e-12
    assert abs(first.sum() - cut) <= 1e-12
    # The same for two paths put end to end.
    middle = data.draw(st.integers(1, len(path) - 2))
    share = clock[middle]
    assume(0.01 < share < 0.99)
    a = dense(cpu.rasterize(path[: middle + 1], spent[:middle], center=False))
    b = dense(cpu.rasterize(path[middle:], spent[middle:], center=False))
    assert np.abs(share * a + (1 - share) * b - whole).max() <= 1e-12


def test_a_batch_is_its_members() -> None:
    rng = np.random.default_rng(3)
    path, spent = rng.normal(0, 5, (5, 30, 2)), rng.uniform(0, 1, (5, 29))
    together = cpu.rasterize(path, spent, exposure=np.array([[0, b / 10 + 0.5] for b in range(5)]))
    for b in range(5):
        alone = cpu.rasterize(path[b], spent[b], exposure=(0, b / 10 + 0.5))
        assert np.array_equal(alone.weight, together[b].weight)
        assert np.array_equal(alone.dx, together[b].dx)
        assert np.array_equal(alone.dy, together[b].dy)
    order = together.dy.astype(np.int64) * 10_000 + together.dx
    for b in range(5):
        taps = order[together.start[b] : together.start[b + 1]]
        assert (np.diff(taps) > 0).all()


def test_a_line_of_three_pixels_by_hand() -> None:
    # From -1 to 1: the tent of pixel 0 holds the area 1 of 2, those of -1 and 1 half of it.
    psf = cpu.rasterize(straight_line(2.0, 0.0))
    assert psf.to_dense()[1].tolist() == pytest.approx([0.25, 0.5, 0.25], abs=1e-15)
    assert psf.dy.tolist() == [0, 0, 0]


def test_a_point_at_rest() -> None:
    delta = cpu.rasterize(np.full((3, 2), 7.3))
    assert delta.to_dense().tolist() == [[1.0]]
    between = dense(cpu.rasterize(np.array([[0.25, 0.5], [0.25, 0.5]]), center=False), half=1)
    assert between[1:, 1:].tolist() == [[0.375, 0.125], [0.375, 0.125]]


def test_a_jump_leaves_no_light() -> None:
    psf = cpu.rasterize(np.array([[0.0, 0.0], [0.0, 0.0], [10.0, 0.0], [10.0, 0.0]]), [1.0, 0.0, 3.0], center=False)
    assert dict(zip(psf.dx.tolist(), psf.weight.tolist(), strict=True)) == {0: 0.25, 10: 0.75}


def test_a_long_diagonal_keeps_all_its_light() -> None:
    psf = cpu.rasterize(straight_line(3000.0, 0.3))
    assert abs(psf.sums()[0] - 1) <= 1e-12
    assert np.abs(psf.centroids()).max() <= 1e-10


# Closed forms


@given(st.floats(0.51, 60))
def test_disk_marginals_are_the_arcsin_form(radius: float) -> None:
    kernel = point_spread.disk(radius).to_dense()
    half = kernel.shape[0] // 2

    def antiderivative(x: float) -> float:
        t = min(max(x / radius, -1.0), 1.0)
        return (t * math.sqrt(1 - t * t) + math.asin(t)) / math.pi

    wanted = [antiderivative(m + 0.5) - antiderivative(m - 0.5) for m in range(-half, half + 1)]
    assert np.abs(kernel.sum(axis=0) - wanted).max() <= 1e-12
    assert np.abs(kernel.sum(axis=1) - wanted).max() <= 1e-12
    assert abs(kernel.sum() - 1) <= 1e-12
    assert (kernel >= 0).all()


@pytest.mark.parametrize("radius", [0.6, 1.0, 1.5, 2.37, 7.5])
def test_disk_is_the_supersampled_disk(radius: float) -> None:
    kernel = point_spread.disk(radius).to_dense()
    half, fine = kernel.shape[0] // 2, 400
    at = (np.arange((2 * half + 1) * fine) + 0.5) / fine - half - 0.5
    inside = at[:, None] ** 2 + at**2 <= radius**2
    brute = inside.reshape(2 * half + 1, fine, 2 * half + 1, fine).mean(axis=(1, 3)) / (math.pi * radius**2)
    assert np.abs(kernel - brute).max() <= 20 / (fine**1.5 * math.pi * radius**2)
    for moved in (np.rot90(kernel), kernel[::-1], kernel.T):
        assert np.array_equal(kernel, moved)


@given(radius=st.floats(0.6, 40), blades=st.integers(3, 11), turn=st.floats(-4, 4))
def test_polygon_area_and_centroid(radius: float, blades: int, turn: float) -> None:
    psf = point_spread.polygon(radius, blades, turn)
    area = blades / 2 * radius**2 * math.sin(2 * math.pi / blades)
    # A pixel inside is full: its weight is 1/area.
    assert psf.weight.max() <= 1 / area * (1 + 1e-10)
    if radius * math.cos(math.pi / blades) > 0.75:
        assert psf.weight.max() == pytest.approx(1 / area, rel=1e-10)
    assert (psf.weight > 0).all()
    assert abs(psf.sums()[0] - 1) <= 1e-12
    assert np.abs(psf.centroids()).max() <= 1e-10
    assert psf.reach_px()[0] <= math.ceil(radius - 0.35)


@pytest.mark.parametrize(("radius", "blades", "turn"), [(3.7, 5, 0.3), (2.0, 4, 0.0), (1.0, 3, 2.0), (6.2, 8, 0.1)])
def test_polygon_is_the_supersampled_polygon(radius: float, blades: int, turn: float) -> None:
    angle = turn + 2 * math.pi * np.arange(blades) / blades
    corner = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    kernel = point_spread.covered_area(corner)
    half, fine = kernel.shape[0] // 2, 400
    at = (np.arange((2 * half + 1) * fine) + 0.5) / fine - half - 0.5
    inside = np.ones((at.size, at.size), bool)
    for side in range(blades):
        normal = turn + (2 * side + 1) * math.pi / blades
        inside &= at * math.cos(normal) + at[:, None] * math.sin(normal) <= radius * math.cos(math.pi / blades)
    brute = inside.reshape(2 * half + 1, fine, 2 * half + 1, fine).mean(axis=(1, 3))
    assert np.abs(kernel - brute).max() <= 3 / fine
    assert kernel.sum() == pytest.approx(blades / 2 * radius**2 * math.sin(2 * math.pi / blades), rel=1e-12)
    # With an even number of corners that is the point spread; with an odd one it is moved a little to center it.
    away = np.abs(
        dense(point_spread.polygon(radius, blades, turn)) * kernel.sum() - dense(PointSpreads.from_dense([kernel]))
    )
    assert away.max() <= (1e-12 if blades % 2 == 0 else 0.15)


def test_a_polygon_of_many_blades_is_a_disk() -> None:
    disk, polygon = point_spread.disk(5.3), point_spread.polygon(5.3, 1000)
    assert np.abs(dense(disk) - dense(polygon)).max() <= 1e-6


@given(
    major=st.floats(0.3, 6),
    minor=st.floats(0.3, 6),
    angle=st.floats(-math.pi, math.pi) | st.sampled_from([0.0, math.pi / 2, math.pi / 4]),
)
def test_gaussian_moments(major: float, minor: float, angle: float) -> None:
    cut = 1e-9
    got = moments(point_spread.gaussian(major, minor, angle, cut=cut))
    c, s = math.cos(angle), math.sin(angle)
    assert abs(got["1"] - 1) <= 1e-12
    assert abs(got["x"]) <= 1e-12
    assert abs(got["y"]) <= 1e-12
    # Sampling a density that was averaged over pixels: exact up to the cut and to aliasing, exp(-2 pi^2 f' C f) of the
    # covariance C at the whole frequencies f, of which the lowest is (1, 0), (0, 1) or (1, +-1).
    low = min(math.hypot(major * c, minor * s), math.hypot(major * s, minor * c), math.sqrt(2) * min(major, minor))
    slack = 4 * math.exp(-2 * math.pi**2 * low**2) * (1 + major + minor) ** 2 + 100 * cut * (major + minor + 1) ** 2
    assert got["xx"] == pytest.approx((major * c) ** 2 + (minor * s) ** 2 + 1 / 12, abs=slack)
    assert got["yy"] == pytest.approx((major * s) ** 2 + (minor * c) ** 2 + 1 / 12, abs=slack)
    assert got["xy"] == pytest.approx((major**2 - minor**2) * s * c, abs=slack)


@pytest.mark.parametrize("sigma", [0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.3])
@pytest.mark.parametrize("angle", [0.0, 0.6])
def test_gaussian_variance_at_any_width(sigma: float, angle: float) -> None:
    """The docstring's series, by the differences of error functions of whole pixels, along both axes of the picture."""
    s1, s2 = sigma, 0.6 * sigma
    got = moments(point_spread.gaussian(s1, s2, angle, cut=1e-13))
    c, s = math.cos(angle), math.sin(angle)
    for axis, variance in (("xx", (s1 * c) ** 2 + (s2 * s) ** 2), ("yy", (s1 * s) ** 2 + (s2 * c) ** 2)):
        width = math.sqrt(2 * variance)
        pixels = [0.5 * (math.erf((i + 0.5) / width) - math.erf((i - 0.5) / width)) for i in range(-20, 21)]
        assert got[axis] == pytest.approx(
            sum(i * i * p for i, p in zip(range(-20, 21), pixels, strict=True)), abs=1e-10
        )
        series = variance + 1 / 12
        for j in range(1, 40):
            lost = variance + 1 / (2 * math.pi * j) ** 2
            series -= 4 * (-1) ** (j + 1) * lost * math.exp(-2 * (math.pi * j) ** 2 * variance)
        assert got[axis] == pytest.approx(series, abs=1e-10)
    stated = {0.2: 0.0124, 0.3: 0.0956, 0.4: 0.2118}
    if angle == 0 and sigma in stated:
        assert got["xx"] == pytest.approx(stated[sigma], abs=5e-5)


@given(sigma=st.floats(0, 8), cut=st.sampled_from([1e-3, 1e-6, 1e-9]))
def test_gaussian_reports_what_it_cuts(sigma: float, cut: float) -> None:
    psf = point_spread.gaussian(sigma, sigma / 2, 0.7, cut=cut)
    assert 0 <= psf.lost[0] <= cut
    assert abs(psf.sums()[0] - 1) <= 1e-12


def test_gaussian_against_the_error_function_and_a_turn() -> None:
    upright, turned = point_spread.gaussian(2.0, 0.7, 0.0), point_spread.gaussian(0.7, 2.0, math.pi / 2)
    assert np.abs(dense(upright) - dense(turned)).max() <= 1e-15
    middle = (math.erf(0.5 / (2.0 * math.sqrt(2))) * math.erf(0.5 / (0.7 * math.sqrt(2)))) / (1 - upright.lost[0])
    assert dense(upright)[40, 40] == pytest.approx(middle, rel=1e-12)
    # Along +x and +y, which is down and right, for a positive angle.
    leaning = dense(point_spread.gaussian(3.0, 0.5, math.pi / 4))
    assert leaning[42, 42] > 10 * leaning[42, 38]


def test_oriented_gaussian_is_the_numerical_integral() -> None:
    from scipy.integrate import dblquad

    s1, s2, angle = 1.5, 0.4, 0.5
    c, s = math.cos(angle), math.sin(angle)

    def density(y: float, x: float) -> float:
        return math.exp(-0.5 * (((c * x + s * y) / s1) ** 2 + ((c * y - s * x) / s2) ** 2)) / (2 * math.pi * s1 * s2)

    psf = point_spread.gaussian(s1, s2, angle)
    kernel = dense(psf) * (1 - psf.lost[0])
    for row, column in ((0, 0), (1, 1), (-1, 1), (1, 3)):
        whole = dblquad(density, column - 0.5, column + 0.5, row - 0.5, row + 0.5, epsabs=1e-13)[0]
        assert kernel[40 + row, 40 + column] == pytest.approx(whole, abs=1e-11)


@pytest.mark.parametrize(("f_number", "pitch"), [(2.0, 1.4), (8.0, 3.0), (1.4, 4.0)])
def test_airy_is_the_encircled_energy(f_number: float, pitch: float) -> None:
    from scipy.special import j0, j1

    psf = point_spread.airy(f_number, 550.0, pitch)
    assert abs(psf.sums()[0] - 1) <= 1e-12
    assert np.abs(psf.centroids()).max() <= 1e-12
    assert (psf.weight > 0).all()
    # Between the energy outside a circle just inside and one just outside of the support.
    scale = 0.550 * f_number / pitch
    reach = int(psf.reach_px()[0])
    outside = [float(j0(v) ** 2 + j1(v) ** 2) for v in (math.pi * (reach + e) / scale for e in (-1.0, 1.5))]
    assert outside[1] <= psf.lost[0] <= outside[0]
    assert psf.lost[0] <= 0.011
    kernel = psf.to_dense()
    for moved in (np.rot90(kernel), kernel[::-1], kernel.T):
        assert np.array_equal(kernel, moved)


def test_airy_tends_to_its_density_for_small_pixels() -> None:
    from scipy.special import j1

    psf = point_spread.airy(10.0, 500.0, 0.25, cut=0.02)  # scale 20 px
    kernel = psf.to_dense() * (1 - psf.lost[0])
    half = kernel.shape[0] // 2
    for column in (1, 10, 31, 50):
        v = math.pi * column / 20
        density = math.pi / (4 * 20**2) * float(2 * j1(v) / v) ** 2
        assert kernel[half, half + column] == pytest.approx(density, rel=2e-3, abs=2e-6)
    # The first dark ring at 1.22 s.
    ring = kernel[half, half : half + 40]
    assert abs(int(np.argmin(ring)) - 1.22 * 20) <= 1
