"""Response curves in closed form and from points, with numbers that follow on paper."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blursynth.errors import InvalidValueError
from blursynth.physics.response import (
    MIDTONE_LIGHT,
    NODES,
    Sigmoid,
    curve_points,
    decode_table,
    encode_table,
    sampled_light,
    sampled_value,
)

VALUES = np.linspace(0.0, 1.0, 3001)
CURVES = st.builds(
    Sigmoid,
    exponent=st.floats(0.15, 4.0),
    shoulder=st.one_of(st.floats(-0.95, 0.0), st.floats(0.0, 100.0)),
    contrast=st.one_of(st.floats(-1.0, 1.0), st.sampled_from([-1.0, -1e-8, 1e-12, 1e-6, 1.0])),
)


def test_a_power_alone_is_a_gamma_curve() -> None:
    x = np.linspace(0, 1, 11)
    np.testing.assert_allclose(Sigmoid(1 / 2.2).value(x), x ** (1 / 2.2), atol=1e-15)
    np.testing.assert_allclose(Sigmoid(1 / 2.2).light(x), x**2.2, atol=1e-15)


def test_the_sigmoid_of_hdrcnn() -> None:
    """``(1 + s) x^n / (x^n + s)`` with n = .9 and s = .6: at x = .5 it is 1.6 * .535887 / 1.135887 = .754845."""
    assert Sigmoid(0.9, 1 / 0.6).value(0.5) == pytest.approx(1.6 * 0.5**0.9 / (0.5**0.9 + 0.6), abs=1e-15)
    assert Sigmoid(0.9, 1 / 0.6).value(0.5) == pytest.approx(0.754845, abs=1e-6)


def test_contrast_one_is_a_smoothstep_with_its_published_inverse() -> None:
    """ "Unprocessing Images": 3 v^2 - 2 v^3, undone by 1/2 - sin(asin(1 - 2 v) / 3)."""
    np.testing.assert_allclose(Sigmoid(1.0, contrast=1.0).value(VALUES), 3 * VALUES**2 - 2 * VALUES**3, atol=1e-15)
    published = 0.5 - np.sin(np.arcsin(1 - 2 * VALUES) / 3)
    np.testing.assert_allclose(Sigmoid(1.0, contrast=1.0).light(VALUES), published, atol=1e-12)


@given(CURVES)
def test_light_is_the_inverse_of_value(curve: Sigmoid) -> None:
    light = curve.light(VALUES)
    assert (light[0], light[-1]) == (0.0, 1.0)
    assert (curve.value(0.0), curve.value(1.0)) == (0.0, 1.0)
    assert (np.diff(light) >= 0).all()
    np.testing.assert_allclose(curve.value(light), VALUES, atol=1e-12)


@given(st.floats(0.1, 4.0), st.floats(0.001, 0.999), st.floats(-1.0, 1.0))
def test_the_midtone_is_the_value_of_its_light(exponent: float, midtone: float, contrast: float) -> None:
    curve = Sigmoid.from_midtone(exponent, midtone, contrast)
    assert curve.value(MIDTONE_LIGHT) == pytest.approx(midtone, abs=1e-12)


@pytest.mark.parametrize(
    ("numbers", "word"),
    [
        ((0.0, 0.0, 0.0), "exponent must be > 0"),
        ((1.0, -1.0, 0.0), "shoulder must be > -1"),
        ((1.0, 0.0, 1.5), "contrast must be -1 to 1"),
        ((float("nan"), 0.0, 0.0), "exponent must be > 0"),
    ],
)
def test_numbers_out_of_range(numbers: tuple[float, float, float], word: str) -> None:
    with pytest.raises(InvalidValueError, match=word):
        Sigmoid(*numbers)
    with pytest.raises(InvalidValueError, match="midtone must be > 0"):
        Sigmoid.from_midtone(1.0, 1.0)


def test_tables_are_the_curve_at_their_nodes() -> None:
    curve = Sigmoid(0.6, 1.0, 0.3)
    x = np.linspace(0.0, 1.0, 20001) ** 2
    assert curve.decode_table().shape == curve.encode_table().shape == (NODES,)
    np.testing.assert_allclose(encode_table(x, curve.value(x)), curve.value(sampled_light()), atol=1e-5)
    np.testing.assert_allclose(decode_table(x, curve.value(x)), curve.light(sampled_value()), atol=1e-6)


def test_where_a_curve_is_flat_the_middle_is_decoded() -> None:
    """Value .5 for light .2 to .6; white from .8 on, which decodes to white itself."""
    light, value = [0.0, 0.2, 0.6, 0.8, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0]
    table = decode_table(light, value)
    assert np.interp(0.5, sampled_value(), table) == pytest.approx(0.4, abs=1e-4)
    assert (table[0], table[-1]) == (0.0, 1.0)
    assert (np.diff(table) >= 0).all()


def test_curves_come_in_rows_or_columns_and_any_unit() -> None:
    rows = np.array([[0.0, 500.0, 1000.0], [0.0, 180.0, 240.0]])
    for array in (rows, rows.T):
        light, value = curve_points(array)
        np.testing.assert_array_equal(light, [0.0, 0.5, 1.0])
        np.testing.assert_array_equal(value, [0.0, 0.75, 1.0])


@pytest.mark.parametrize(
    ("array", "words"),
    [
        ([0.0, 1.0], "must be an array [2, N] or [N, 2]"),
        (np.zeros((3, 3)), "got shape (3, 3)"),
        ([[0, 1, 2], [0, np.nan, 1]], "finite numbers"),
        ([[0.1, 0.5, 1], [0, 0.5, 1]], "must start with light 0 and value 0, got 0.1 and 0"),
        ([[0, 0.5, 1], [0.1, 0.5, 1]], "must start with light 0 and value 0, got 0 and 0.1"),
        ([[0, 0.5, 0.4], [0, 0.5, 1]], "light must rise from point to point, got 0.5 and then 0.4 (point 2)"),
        ([[0, 0.5, 0.5], [0, 0.5, 1]], "are the two swapped?"),
        ([[0, 0.5, 1], [0, 0.6, 0.5]], "value must never fall, got 0.6 and then 0.5 (point 2)"),
        ([[0, 0.5, 1], [0, 0, 0]], "must end above 0"),
    ],
)
def test_bad_curves_say_what_is_wrong(array: object, words: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        curve_points(array)
    assert words in str(caught.value)
