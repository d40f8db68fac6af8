"""Point spreads as data, measured kernels, the published splat, and bad input. The laws are in tests/laws."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest

from blursynth.backends import cpu
from blursynth.errors import InvalidValueError
from blursynth.physics import point_spread
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.trajectory import WalkParameters, published_placement


def test_dense_and_back() -> None:
    kernel = np.array([[0.0, 0.25, 0.0], [0.0, 0.5, 0.125], [0.0, 0.0, 0.125]])
    psf = PointSpreads.from_dense([kernel])
    assert psf.dy.tolist() == [-1, 0, 0, 1]
    assert psf.dx.tolist() == [0, 0, 1, 1]
    assert np.array_equal(psf.to_dense(), kernel)
    assert psf.sums().tolist() == [1.0]
    assert psf.centroids().tolist() == [[-0.125, 0.25]]
    assert psf.reach_px().tolist() == [1]


def test_a_batch_keeps_its_members() -> None:
    parts = [point_spread.disk(2.0), point_spread.gaussian(1.0), point_spread.disk(0.0)]
    batch = PointSpreads.concatenate(parts)
    assert len(batch) == 3
    for b, part in enumerate(parts):
        assert np.array_equal(batch[b].weight, part.weight)
        assert batch.lost[b] == part.lost[0]


def test_no_blur_is_one_pixel() -> None:
    for psf in (
        point_spread.disk(0.0),
        point_spread.disk(0.5),
        point_spread.polygon(0.0, 5),
        point_spread.gaussian(0.0),
        point_spread.gaussian(1e-5, 0.0, 0.3),
        cpu.rasterize(np.zeros((2, 2))),
    ):
        assert psf.to_dense().tolist() == [[1.0]]


def test_a_disk_of_radius_one_by_hand() -> None:
    # The middle pixel is full; the next holds the half-disk beyond x = 1/2 between y = -1/2 and 1/2.
    kernel = point_spread.disk(1.0).to_dense() * math.pi
    side = math.sin(math.pi / 6) * math.cos(math.pi / 6) + math.pi / 6 - 0.5
    assert kernel[1, 1] == pytest.approx(1.0)
    assert kernel[1, 2] == pytest.approx(side, rel=1e-12)
    assert kernel[0, 0] == pytest.approx((math.pi - 1 - 4 * side) / 4, rel=1e-12)


def test_measured_is_scaled_and_put_on_its_nearest_pixel() -> None:
    kernel = np.zeros((9, 7))
    kernel[6, 1], kernel[6, 2], kernel[7, 1] = 2.0, 1.0, 1.0
    psf = point_spread.measured(kernel)
    assert psf.sums()[0] == pytest.approx(1.0, abs=1e-15)
    assert np.abs(psf.centroids()).max() <= 0.5
    assert dict(zip(zip(psf.dy.tolist(), psf.dx.tolist(), strict=True), psf.weight.tolist(), strict=True)) == {
        (0, 0): 0.5,
        (0, 1): 0.25,
        (1, 0): 0.25,
    }
    stays = point_spread.measured(kernel, recenter=False)
    assert stays.dy.tolist() == [2, 2, 3]
    assert stays.dx.tolist() == [-2, -1, -2]
    padded = np.pad(kernel, ((3, 0), (0, 4)))
    assert np.array_equal(point_spread.measured(padded).dx, psf.dx)


def test_measured_takes_integers_and_forgives_rounding() -> None:
    assert point_spread.measured(np.array([[0, 255, 0]], np.uint8)).weight.tolist() == [1.0]
    psf = point_spread.measured(np.array([[1.0, -1e-8, 1.0]]))
    assert psf.weight.tolist() == [0.5, 0.5]


@pytest.mark.real_data
def test_levins_kernels_load(real_data: Path) -> None:
    import h5py

    file = next(Path(root) / name for root, _, names in os.walk(real_data) for name in names if name == "Levin09.mat")
    with h5py.File(file) as stored:
        kernels = [np.array(stored[r]).T for r in np.array(stored["kernels"]).ravel()]
    assert len(kernels) == 8
    for kernel in kernels:
        psf = point_spread.measured(kernel[::-1, ::-1])
        assert psf.sums()[0] == pytest.approx(1, abs=1e-12)
        assert np.abs(psf.centroids()).max() <= 0.5
        assert (psf.weight > 0).all()


def splat(position: np.ndarray, canvas: int, end: float, counted_from: int) -> np.ndarray:
    """The published loop in plain words; pixel indices from 0."""
    count = len(position)
    kernel = np.zeros((canvas + 3, canvas + 3))
    for i, (x, y) in enumerate(position):
        t = i + counted_from
        seen = max(0.0, min(t, end * count) - max(t - 1, 0.0))
        column, row = (min(canvas - 1, max(1, math.floor(v))) for v in (x, y))
        for m in (row, row + 1):
            for n in (column, column + 1):
                kernel[m - counted_from, n - counted_from] += seen * max(0, 1 - abs(x - n)) * max(0, 1 - abs(y - m))
    return kernel[:canvas, :canvas] / count


@pytest.mark.parametrize("counted_from", [0, 1])
@pytest.mark.parametrize("end", [0.001, 0.01, 0.1, 0.5, 1.0])
def test_the_published_splat(end: float, counted_from: int) -> None:
    parameters = WalkParameters(60.0, 0.005, 0.3, 0.1, 5.0, [0.3, 2.0], form="paper")  # type: ignore[arg-type]
    placed = published_placement(cpu.random_walk(parameters, [3, 4]))
    psf = point_spread.rasterize_samples(placed, exposure_end=end, counted_from=counted_from)
    for b in range(2):
        got = psf.to_dense(b, size_px=129)[64 - 31 : 64 - 31 + 64, 64 - 31 : 64 - 31 + 64]
        assert np.abs(got - splat(placed[b], 64, end, counted_from)).max() <= 1e-14
    # The port's first sample, whose time lies before the exposure, has no light.
    assert psf.sums()[0] == pytest.approx(end if counted_from else min(end, 1999 / 2000), abs=1e-12)


def test_the_exact_form_is_the_limit_of_the_published_one() -> None:
    parameters = WalkParameters(60.0, 0.005, 0.3, 0.1, 5.0, 1.0)  # type: ignore[arg-type]
    path = cpu.random_walk(parameters, [3])[0]
    placed = published_placement(path)
    samples = point_spread.rasterize_samples(placed, counted_from=1).to_dense(size_px=129)
    exact = cpu.rasterize(placed - 1 - 31, center=False).to_dense(size_px=129)
    assert np.abs(samples - exact).sum() < 0.01


def test_light_outside_the_canvas_is_reported() -> None:
    path = np.stack([np.linspace(-10.5, 10.5, 2001), np.full(2001, 5.0)], axis=1)
    psf = point_spread.rasterize_samples(path, canvas_px=16, counted_from=1)
    assert psf.lost[0] == pytest.approx(0.5, abs=0.05)
    assert psf.sums()[0] + psf.lost[0] == pytest.approx(1.0, abs=1e-12)


BAD = [
    (lambda: point_spread.disk(-1.0), "radius_px must be"),
    (lambda: point_spread.disk(float("nan")), "radius_px must be"),
    (lambda: point_spread.polygon(3.0, 2), "blades must be"),
    (lambda: point_spread.gaussian(-1.0), "sigma_major_px must be"),
    (lambda: point_spread.gaussian(1.0, cut=0.0), "cut must be"),
    (lambda: point_spread.airy(0.0, 550.0, 1.4), "f_number must be"),
    (lambda: point_spread.airy(64.0, 550.0, 0.5, cut=1e-4), "radius of"),
    (lambda: point_spread.measured(np.zeros((3, 3))), "must hold light"),
    (lambda: point_spread.measured(np.array([[1.0, -0.1]])), "not be negative"),
    (lambda: point_spread.measured(np.array([[1.0, np.inf]])), "must be finite"),
    (lambda: point_spread.measured(np.ones(3)), "array .h, w."),
    (lambda: point_spread.measured(np.ones((3, 3, 3))), "array .h, w."),
    (lambda: point_spread.measured(np.array([["a"]])), "real numbers"),
    (lambda: PointSpreads.from_dense([np.zeros((0, 3))]), "Kernel 0"),
    (lambda: point_spread.disk(3.0).to_dense(size_px=4), "size_px must be odd"),
    (lambda: point_spread.rasterize_samples(np.zeros((5, 3))), "position_px"),
    (lambda: point_spread.rasterize_samples(np.zeros((5, 2)), exposure_end=0.0), "exposure_end"),
]


@pytest.mark.parametrize(("wrong", "message"), BAD)
def test_bad_input_says_what_is_wrong(wrong, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        wrong()
