"""Random objects: a window shows what the whole shows; shapes and sizes are what they are said to be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blursynth.backends.cpu.object_labels import object_labels
from blursynth.errors import InvalidValueError
from blursynth.physics.object_layout import ObjectShape, random_layout, uniform_numbers


def test_uniform_numbers_are_pinned() -> None:
    """Draws of data sets hang on these; the words are Philox's own, so no release of numpy may change them."""
    assert uniform_numbers(7, 3, 3).tolist() == PINNED
    assert not np.array_equal(uniform_numbers(7, 3, 3), uniform_numbers(7, 4, 3))
    numbers = uniform_numbers(2**63 - 1, 2**31 - 1, 100_000)
    assert 0 < numbers.min() < numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 5 * np.sqrt(1 / 12 / 1e5)


PINNED = [0.48212860187611556, 0.7241355726248442, 0.05025403948627166]


@given(st.integers(0, 2**63 - 1), st.sampled_from(list(ObjectShape)), st.integers(0, 60), st.integers(0, 70))
def test_a_window_shows_what_the_whole_shows(seed: int, shape: ObjectShape, top: int, left: int) -> None:
    layout = random_layout(seed, (80, 90), 25.0, 30.0, shape)
    whole = object_labels(layout, (0, 0), (80, 90))
    part = object_labels(layout, (top, left), (20, 20))
    assert np.array_equal(part, whole[top : top + 20, left : left + 20])


def test_one_object_in_every_cell_of_a_picture_that_is_not_square() -> None:
    """Of 60 rows and 200 columns, in cells of 20 px: 3 x 10, each with its object inside."""
    layout = random_layout(3, (60, 200), 20.0, 5.0, ObjectShape.ELLIPSE)
    cells = np.floor((layout.center_px + 0.5) / 20.0).astype(int)
    assert sorted(map(tuple, cells.tolist())) == [(row, column) for row in range(3) for column in range(10)]


@pytest.mark.parametrize("shape", ["ellipse", "polygon", "blob"])
def test_objects_have_about_the_size_that_was_asked_for(shape: str) -> None:
    """Alone in their cells, so that none hides another: areas of disks of the drawn radius, within a factor of 2.5."""
    layout = random_layout(3, (1200, 1200), 120.0, 30.0, ObjectShape(shape))
    labels = object_labels(layout, (0, 0), (1200, 1200))
    area = np.bincount(labels.ravel(), minlength=len(layout) + 1)[1:]
    assert len(layout) == 100
    inside = ((layout.center_px > 60) & (layout.center_px < 1140)).all(axis=1)
    ratio = area[inside] / (np.pi * layout.radius_px[inside] ** 2)
    assert ratio.min() > 0.2
    assert ratio.max() < 1.8
    assert (layout.radius_px >= 7.5).all()
    assert (layout.radius_px <= 30).all()
    if shape == "ellipse":
        assert np.allclose(ratio, 1, atol=0.1)


def test_labels_rise_with_nearness_and_near_covers_far() -> None:
    layout = random_layout(5, (100, 100), 20.0, 60.0, ObjectShape.MIXED)
    assert (np.diff(layout.nearness) >= 0).all()
    labels = object_labels(layout, (0, 0), (100, 100))
    top = int(labels.max())
    alone = random_layout(5, (100, 100), 20.0, 60.0, ObjectShape.MIXED)
    # The nearest object that is seen is seen in full: painting it last changes nothing.
    only = object_labels(alone, (0, 0), (100, 100)) == top
    assert only.any()


def test_every_object_is_one_piece_about_its_middle() -> None:
    for seed in range(20):
        layout = random_layout(seed, (60, 60), 60.0, 30.0, ObjectShape.MIXED)
        labels = object_labels(layout, (-40, -40), (140, 140))
        assert (labels == 1).any()
        rows, columns = np.nonzero(labels)
        distance = np.hypot(rows - 40 - layout.center_px[0, 0], columns - 40 - layout.center_px[0, 1])
        assert distance.max() <= 1.65 * layout.radius_px[0] + 1


def test_too_many_objects() -> None:
    with pytest.raises(InvalidValueError, match="spacing_px=4 puts 6,250,000 objects into 10000 x 10000 px"):
        random_layout(0, (10_000, 10_000), 4.0, 3.0, ObjectShape.MIXED)
