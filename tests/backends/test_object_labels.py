"""Labels of random objects: the fast ones equal the oracle's, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blursynth.backends import cpu, oracle
from blursynth.physics.object_layout import ObjectShape, random_layout


@given(
    st.integers(0, 2**63 - 1),
    st.sampled_from(list(ObjectShape)),
    st.tuples(st.integers(-30, 60), st.integers(-30, 70)),
    st.tuples(st.integers(1, 40), st.integers(1, 50)),
)
def test_equal_to_the_oracle(
    seed: int, shape: ObjectShape, origin_px: tuple[int, int], size_px: tuple[int, int]
) -> None:
    layout = random_layout(seed, (80, 90), 17.0, 30.0, shape)
    fast, slow = (backend.object_labels(layout, origin_px, size_px) for backend in (cpu, oracle))
    assert fast.dtype == slow.dtype == np.int32
    assert np.array_equal(fast, slow)


@pytest.mark.parametrize("shape", list(ObjectShape))
def test_far_from_all_objects_nothing_is_there(shape: ObjectShape) -> None:
    layout = random_layout(3, (80, 90), 17.0, 30.0, shape)
    for origin in ((-500, 0), (0, 500), (500, -500)):
        assert not cpu.object_labels(layout, origin, (8, 9)).any()
