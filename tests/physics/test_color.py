"""The sRGB curves against their definition and against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blursynth.errors import InvalidValueError
from blursynth.physics import color


def test_known_values() -> None:
    # code 128: ((128/255 + .055) / 1.055)^2.4 = .52796^2.4 = .21586
    assert color.srgb_to_linear(128 / 255) == pytest.approx(0.2158605, abs=1e-7)
    # code 10 lies on the straight part: 10 / 255 / 12.92
    assert color.srgb_to_linear(10 / 255) == 10 / 255 / 12.92
    assert float(color.srgb_to_linear(1.0)) == 1.0
    assert color.srgb_from_linear(0.5) == pytest.approx(0.7353570, abs=1e-7)


def test_the_two_parts_meet_within_the_published_step() -> None:
    below, above = color.srgb_to_linear(0.04045), color.srgb_to_linear(np.nextafter(0.04045, 1))
    assert abs(float(above - below)) < 3e-8


@pytest.mark.parametrize("levels", [1, 3, 255, 1023, 4095, 65535])
def test_all_codes_round_trip(levels: int) -> None:
    np.testing.assert_array_equal(color.srgb_codes(color.linear_of_codes(levels), levels), np.arange(levels + 1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("levels", [1, 2, 255, 65535])
def test_thresholds_are_the_first_number_of_each_code(levels: int, dtype: type[np.floating]) -> None:
    thresholds = color.encode_thresholds(levels, dtype)
    assert thresholds.dtype == dtype
    codes = np.arange(1, levels + 1)
    np.testing.assert_array_equal(color.srgb_codes(thresholds, levels), codes)
    np.testing.assert_array_equal(color.srgb_codes(np.nextafter(thresholds, dtype(0)), levels), codes - 1)


@given(st.floats(-4, 4))
def test_decoding_is_odd_and_encoding_clips(value: float) -> None:
    assert color.srgb_to_linear(-value) == -color.srgb_to_linear(value)
    assert 0.0 <= float(color.srgb_from_linear(value)) <= 1.0


@given(st.floats(0, 1))
def test_the_curves_are_inverse(value: float) -> None:
    # At the joint of the two parts the published constants leave a step of 3e-8 in linear light.
    assert color.srgb_from_linear(color.srgb_to_linear(value)) == pytest.approx(value, abs=5e-7)


@pytest.mark.parametrize("levels", [0, -1, 65536, 2.5])
def test_levels_out_of_range_are_refused(levels: int) -> None:
    with pytest.raises(InvalidValueError, match="levels must be an integer 1 to 65535"):
        color.srgb_codes(0.5, levels)
