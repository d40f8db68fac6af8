"""8-bit codes and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from blursynth.backends.cpu import from_codes, to_codes
from blursynth.errors import InvalidValueError


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_all_codes_round_trip(dtype: type) -> None:
    codes = np.arange(256, dtype=np.uint8).reshape(2, 128)
    values = from_codes(codes, dtype)
    assert values.dtype == dtype
    assert np.array_equal(values, codes.astype(dtype) / dtype(255))
    assert np.array_equal(to_codes(values), codes)


@given(arrays(np.float32, 50, elements=st.floats(-10, 10, width=32)))
def test_codes_are_rounded_and_clipped(values: np.ndarray) -> None:
    assert np.array_equal(to_codes(values), np.rint(np.clip(values * np.float32(255), 0, 255)).astype(np.uint8))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(InvalidValueError, match="finite"):
        to_codes(np.array([0.5, bad], np.float32))
