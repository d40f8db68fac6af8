"""sRGB kernels: exact codes, and the definition within rounding for everything else."""

from __future__ import annotations

import numpy as np
import pytest

from blursynth.backends import cpu, oracle
from blursynth.errors import InvalidValueError
from blursynth.physics import color

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
LEVELS = pytest.mark.parametrize("levels", [1, 3, 255, 1023, 65535])


def picture(values: np.ndarray) -> np.ndarray:
    return values.reshape(1, 1, 1, -1)


@DTYPES
def test_decoding_is_exact_for_the_256_codes(dtype: type[np.floating]) -> None:
    codes = (np.arange(256) / 255).astype(dtype)
    found = cpu.srgb_decode(picture(codes)).ravel()
    np.testing.assert_array_equal(found, color.linear_of_codes().astype(dtype))
    np.testing.assert_array_equal(found, oracle.srgb_decode(picture(codes)).ravel())


@DTYPES
def test_decoding_elsewhere(dtype: type[np.floating]) -> None:
    values = np.concatenate([np.linspace(1e-9, 1, 400_001), np.linspace(-3, 3, 100_000)]).astype(dtype)
    found = cpu.srgb_decode(picture(values)).ravel()
    assert found.dtype == dtype
    np.testing.assert_allclose(found, color.srgb_to_linear(values), rtol=1e-6 if dtype == np.float32 else 1e-12)
    np.testing.assert_array_equal(cpu.srgb_decode(picture(-values)).ravel(), -found)


@DTYPES
@LEVELS
def test_encoding_gives_the_code_of_the_definition(levels: int, dtype: type[np.floating]) -> None:
    thresholds = color.encode_thresholds(levels, dtype)
    rng = np.random.default_rng(1)
    values = np.concatenate(
        [
            thresholds,
            np.nextafter(thresholds, dtype(0)),
            np.nextafter(thresholds, dtype(2)),
            np.linspace(-0.1, 1.1, 300_001).astype(dtype),
            (10 ** rng.uniform(-8, 0, 100_000)).astype(dtype),
            np.array([-np.inf, np.inf, 0.0, -0.0, 0.0031308, 1.0, 1e-40], dtype),
        ]
    )
    found = cpu.srgb_encode(picture(values), levels=[levels]).ravel()
    codes = color.srgb_codes(values, levels)
    np.testing.assert_array_equal(found, codes.astype(dtype) / dtype(levels))
    np.testing.assert_array_equal(found, oracle.srgb_encode(picture(values), levels=[levels]).ravel())


@DTYPES
@LEVELS
def test_all_codes_round_trip(levels: int, dtype: type[np.floating]) -> None:
    codes = picture(np.arange(levels + 1).astype(dtype) / dtype(levels))
    np.testing.assert_array_equal(cpu.srgb_encode(cpu.srgb_decode(codes), levels=[levels]), codes)


@DTYPES
def test_encoding_without_rounding(dtype: type[np.floating]) -> None:
    values = np.concatenate([np.linspace(0, 1, 400_001), 10 ** np.random.default_rng(2).uniform(-8, 0, 100_000)])
    values = values.astype(dtype)
    found = cpu.srgb_encode(picture(values)).ravel()
    np.testing.assert_allclose(found, color.srgb_from_linear(values), rtol=1e-6 if dtype == np.float32 else 1e-12)
    assert found.max() == 1.0
    np.testing.assert_array_equal(
        cpu.srgb_encode(picture(np.array([-1.0, 0.0, 1.0, 7.0], dtype))).ravel(), np.array([0, 0, 1, 1], dtype)
    )


@DTYPES
def test_what_is_not_a_number_stays_so(dtype: type[np.floating]) -> None:
    broken = picture(np.array([np.nan, 0.5], dtype))
    for found in (cpu.srgb_decode(broken), cpu.srgb_encode(broken), cpu.srgb_encode(broken, levels=[255])):
        assert np.isnan(found[..., 0])
        assert np.isfinite(found[..., 1])


def test_bad_arguments_are_refused() -> None:
    image = np.zeros((2, 1, 2, 2), np.float32)
    with pytest.raises(InvalidValueError, match="one entry per picture, got 1 for 2"):
        cpu.srgb_encode(image, levels=[255])
    with pytest.raises(InvalidValueError, match="levels must be 1 to 65535 or None, got 0"):
        cpu.srgb_encode(image, levels=[255, 0])
    with pytest.raises(InvalidValueError, match="float32 or float64, got uint8"):
        cpu.srgb_decode(image.astype(np.uint8))
