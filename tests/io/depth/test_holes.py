"""Unknown depth, filled: the farther neighbor on the row, or the nearest of all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blursynth.errors import InvalidValueError
from blursynth.io.depth import fill_holes

NAN = np.nan


def test_holes_belong_to_the_background() -> None:
    depth = np.array(
        [
            [1.0, NAN, NAN, 5.0, 5.0],
            [5.0, 0.0, np.inf, 1.0, 1.0],
            [NAN, NAN, 2.0, 3.0, NAN],
            [NAN, NAN, NAN, NAN, NAN],
            [7.0, 7.0, 7.0, 7.0, 7.0],
        ]
    )
    filled, count = fill_holes(depth)
    assert count == 12
    assert filled.tolist() == [
        [1, 5, 5, 5, 5],
        [5, 5, 5, 1, 1],
        [2, 2, 2, 3, 3],
        [2, 2, 2, 3, 3],  # of two rows as near, the one above
        [7, 7, 7, 7, 7],
    ]
    assert filled.dtype == np.float32


def test_rows_at_the_edges() -> None:
    depth = np.full((5, 3), NAN)
    depth[2] = [1.0, NAN, 2.0]
    assert fill_holes(depth)[0].tolist() == [[1, 2, 2]] * 5


def test_nearest() -> None:
    depth = np.full((5, 7), NAN)
    depth[2, 1], depth[2, 6] = 3.0, 9.0
    filled, count = fill_holes(depth, fill="nearest")
    assert count == 33
    assert filled[2].tolist() == [3, 3, 3, 3, 9, 9, 9]
    assert filled[0, 0] == 3


@given(st.integers(0, 10_000), st.floats(0.0, 0.99), st.sampled_from(["background", "nearest"]))
def test_known_pixels_stay_and_filled_ones_are_copies(seed: int, share: float, fill: str) -> None:
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0.5, 9.0, (rng.integers(1, 9), rng.integers(1, 9))).astype(np.float32)
    holes = rng.random(depth.shape) < share
    holes.flat[0] = False
    broken = np.where(holes, rng.choice([NAN, 0.0, np.inf, -np.inf], depth.shape), depth)
    filled, count = fill_holes(broken, fill=fill)  # type: ignore[arg-type]
    assert count == holes.sum()
    assert np.array_equal(filled[~holes], depth[~holes])
    assert np.isin(filled, depth[~holes]).all()
    assert fill_holes(filled)[1] == 0
    if fill == "background":  # by hand, pixel by pixel
        for y, x in np.argwhere(holes):
            left, right = depth[y, :x][~holes[y, :x]], depth[y, x + 1 :][~holes[y, x + 1 :]]
            candidates = [*left[-1:], *right[:1]]
            if candidates:
                assert filled[y, x] == max(candidates)


def test_refusals() -> None:
    with pytest.raises(InvalidValueError, match="depth holds no known value"):
        fill_holes(np.zeros((2, 2)))
    with pytest.raises(InvalidValueError, match="has 1 unknown pixels of 2"):
        fill_holes(np.array([[0.0, 1.0]]), fill="refuse")
    with pytest.raises(InvalidValueError, match="fill must be"):
        fill_holes(np.ones((2, 2)), fill="blur")  # type: ignore[arg-type]


def test_the_input_is_not_changed() -> None:
    depth = np.array([[1.0, 0.0]], np.float32)
    fill_holes(depth)
    assert depth.tolist() == [[1.0, 0.0]]
