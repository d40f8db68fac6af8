"""Radiometry against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from blursynth.errors import InvalidValueError
from blursynth.physics import radiometry
from blursynth.physics.radiometry import SensorParameters


def test_variance_of_dn() -> None:
    # .25 (100 + 4 + 1) + 1/12
    assert radiometry.dn_variance(100.0, 0.5, 2.0, 1.0) == pytest.approx(26.25 + 1 / 12, rel=1e-15)
    assert radiometry.dn_variance(100.0, 0.5, 2.0, 1.0, rounding=False) == 26.25


def test_parameters_are_broadcast_to_one_per_picture() -> None:
    parameters = SensorParameters(white_level_e=[1000.0, 2000.0], full_well_e=np.inf, bit_depth=[10, 12])
    assert len(parameters) == 2
    np.testing.assert_array_equal(parameters.full_well_e, [np.inf, np.inf])
    np.testing.assert_array_equal(parameters.top_dn, [1023.0, 4095.0])
    assert parameters.shot_noise.dtype == np.bool_
    assert parameters.bit_depth.dtype == np.int64


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"white_level_e": 0.0}, "white_level_e must be > 0 and finite, got 0.0"),
        ({"white_level_e": np.nan}, "got nan"),
        ({"white_level_e": np.inf}, "got inf"),
        ({"full_well_e": -1.0}, "full_well_e must be > 0, got -1.0"),
        ({"read_noise_e": -1.0}, "read_noise_e must be >= 0"),
        ({"row_noise_e": [0.0, -2.0]}, "for picture 1"),
        ({"gain_dn_per_e": 0.0}, "gain_dn_per_e must be > 0"),
        ({"black_level_dn": np.nan}, "black_level_dn"),
        ({"bit_depth": 0}, "bit_depth must be 1 to 24, got [0]"),
        ({"bit_depth": 25}, "2^24"),
        ({"white_level_e": [1.0, 2.0], "full_well_e": [1.0, 2.0, 3.0]}, "one number per picture"),
        ({"white_level_e": np.ones((2, 2))}, "not modeled"),
    ],
)
def test_broken_parameters_are_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        SensorParameters(**{"white_level_e": 1000.0, "full_well_e": 1000.0, **fields})
    assert said in str(caught.value)
