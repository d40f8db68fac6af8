"""The oracle of layered scenes, held against closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable

import analytic_layers as al
import numpy as np
import pytest
from analytic_layers import Layer
from numpy.typing import NDArray

ROWS, COLUMNS = 6, 40
WINDOW = (0, 0, ROWS, COLUMNS)
ONE, NOTHING = (1.0, 1.0, 1.0), Layer((al.everywhere(),), color=(0.0, 0.0, 0.0))


def mean_over_pixels(function: Callable[..., NDArray[np.float64]]) -> NDArray[np.float64]:
    """A function of y and x, averaged over the area of every pixel by Gauss-Legendre."""
    nodes, weights = np.polynomial.legendre.leggauss(16)
    y = np.arange(ROWS)[:, None, None, None] + 0.5 * nodes[:, None]
    x = np.arange(COLUMNS)[:, None, None] + 0.5 * nodes
    return np.asarray((function(y, x) * weights[:, None] * weights).sum(axis=(2, 3)) / 4)


def share_of_disk(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area of the unit disk on one side of a line at this signed distance, of the whole."""
    t = np.clip(distance, -1.0, 1.0)
    return np.asarray(0.5 + (t * np.sqrt(1.0 - t * t) + np.arcsin(t)) / math.pi)


@pytest.mark.parametrize(("angle", "radius"), [(10.0, 5.0), (75.0, -8.0), (200.0, 14.0)])
def test_an_edge_out_of_focus_covers_a_segment_of_the_disk(angle: float, radius: float) -> None:
    edge = Layer((al.half_plane(angle, 19.7, 2.2),), radius, color=ONE)
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    expected = mean_over_pixels(
        lambda y, x: share_of_disk(((x - 19.7) * cosine + (y - 2.2) * sine) / abs(radius)),
    )
    made = al.rays([edge, NOTHING], WINDOW, al.disk_points(36))
    assert np.abs(made - expected).max() <= 3e-3


@pytest.mark.parametrize(("angle", "slope"), [(0.0, 0.2), (180.0, 0.2), (0.0, -0.35)])
def test_the_edge_of_a_slanted_sheet_is_blurred_by_the_radius_at_the_edge(angle: float, slope: float) -> None:
    # Its points at x = 20 are displaced by u r(20), wherever else the sheet has other radii.
    edge = Layer((al.half_plane(angle, 20.0, 0.0),), 4.0 - slope * 20.0 + 0.1, (0.0, slope), ONE)
    side = math.cos(math.radians(angle))
    expected = mean_over_pixels(lambda y, x: share_of_disk(side * (x - 20.0) / 4.1) + 0.0 * y)
    assert np.abs(al.rays([edge, NOTHING], WINDOW, al.disk_points(36)) - expected).max() <= 3e-3


def test_a_ray_goes_the_right_way_through_a_slanted_sheet() -> None:
    # Seen from one side of the aperture only: x = 20 appears at 20 + r(20), where r = 4 + .2 (x - 20).
    points = np.broadcast_to([1.0, 0.0], (256, 2))
    edge = Layer((al.half_plane(0.0, 20.0, 0.0),), 0.0, (0.0, 0.2), ONE)
    row = al.rays([edge, NOTHING], WINDOW, points)[0, 0]
    assert np.array_equal(row[[23, 25]], [0.0, 1.0])
    assert row[24] == pytest.approx(0.5, abs=0.04)


def test_a_nearer_layer_hides_a_farther_one_ray_by_ray() -> None:
    """Two edges blurred to the same side hide each other, to opposite sides they do not: the means differ."""
    shares = {}
    for far in (5.0, -5.0):
        near = Layer((al.half_plane(0.0, 20.0, 0.0),), 10.0, color=(0.0, 0.0, 0.0))
        back = Layer((al.half_plane(180.0, 20.0, 0.0),), far, color=ONE)
        shares[far] = al.rays([near, back, NOTHING], WINDOW, al.disk_points(36))[0, 0, 20]
    # At x = 20 the near edge lets the ray u pass where u > 0, and a ray that passes meets the far layer where
    # r u > 0: all of those that pass, or none.
    assert shares[5.0] == pytest.approx(0.5, abs=0.03)
    assert shares[-5.0] == pytest.approx(0.0, abs=0.03)


def test_an_object_that_moves_covers_a_share_of_the_time() -> None:
    path = np.array([[-6.0, 2.0], [6.0, -2.0]])
    edge = Layer((al.half_plane(0.0, 20.3, 0.0),), color=ONE, path_px=path)
    expected = mean_over_pixels(lambda y, x: np.clip((x - 20.3) / 12.0 + 0.5, 0.0, 1.0) + 0.0 * y)
    assert np.abs(al.rays([edge, NOTHING], WINDOW, 16) - expected).max() <= 1e-3


@pytest.mark.parametrize("boxes", [1, 2])
def test_boxes_widen_what_is_blurred_and_nothing_else(boxes: int) -> None:
    edge = Layer((al.half_plane(0.0, 20.3, 0.0),), 0.6, color=ONE)
    points = np.zeros((256 * 36, 2))  # no blur but that of the boxes
    made = al.rays([edge, NOTHING], WINDOW, points, boxes=boxes)[0, 0]
    x = np.arange(COLUMNS)
    # The integral of x F(x) up to X is (X^2 - variance)/2 for a distribution F of mean 0, and a sum over middles of
    # pixels is less by 1/24. The variance is 1/12 for the pixel, and 1/12 for each box.
    without = 0.5 * (COLUMNS - 0.5 - 20.3) ** 2 - 1 / 24
    assert (made * (x - 20.3)).sum() - without == pytest.approx(-0.5 * (boxes + 1) / 12, abs=2e-3)
    sharp = Layer(edge.shapes, 0.0, color=ONE)
    still = al.picture([sharp, NOTHING], ROWS, COLUMNS)[0]
    assert np.array_equal(al.rays([sharp, NOTHING], WINDOW, points, boxes=boxes), still)


def test_a_picture_has_means_over_pixels_and_the_layer_of_most_of_them() -> None:
    layers = [Layer((al.half_plane(0.0, 20.2, 0.0),), 3.0, (0.5, -0.25), ONE), NOTHING]
    image, most = al.picture(layers, ROWS, COLUMNS)
    assert image[0, 2, 19:22] == pytest.approx([0.0, 0.3, 1.0], abs=1 / 32)
    assert most[2, 19:22].tolist() == [1, 1, 0]
    assert al.signed_radius(layers, most)[2, 19:22].tolist() == [0.0, 0.0, 3.0 + 1.0 - 0.25 * 21]


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        (al.disc(20.2, 3.1, 2.2), math.pi * 2.2**2),
        (al.stripe(0.0, 20.2, 0.0, 0.7), ROWS * 0.7),
        (al.stripe(90.0, 0.0, 2.6, 1.5), COLUMNS * 1.5),
        (al.ring(20.0, 2.6, 2.0, 0.5), math.pi * (2.25**2 - 1.75**2)),
        (al.grid(0.0, -0.5, -0.5, 2.0, 0.5), ROWS * COLUMNS * (1 - 0.75**2)),
        (al.half_plane(90.0, 0.0, 3.9), (ROWS - 0.5 - 3.9) * COLUMNS),
    ],
)
def test_shapes_have_their_areas(shape: al.Shape, area: float) -> None:
    image = al.picture([Layer((shape,), color=ONE), NOTHING], ROWS, COLUMNS)[0]
    assert image[1].sum() == pytest.approx(area, rel=0.03)


def test_codes_are_those_of_srgb() -> None:
    # IEC 61966-2-1: the code 188 is .5029 of light, 10 is .003035, 255 is 1.
    assert al.codes(np.array([0.0, 0.003035, 0.5029, 1.0, 2.0])) == pytest.approx([0, 10, 188, 255, 255], abs=0.01)
