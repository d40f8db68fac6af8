"""The laws of light (PHYSICS.md, section 7): codes round-trip, edges average in linear light, saturation is not blurred away."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blursynth.backends import cpu, reference
from blursynth.frame import Border
from blursynth.physics.point_spread import PointSpreads

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
BACKENDS = pytest.mark.parametrize("backend", [cpu, reference], ids=["cpu", "reference"])


@BACKENDS
@DTYPES
def test_all_256_codes_round_trip(backend: object, dtype: type[np.floating]) -> None:
    codes = (np.arange(256).astype(dtype) / dtype(255)).reshape(1, 1, 16, 16)
    np.testing.assert_array_equal(backend.srgb_encode(backend.srgb_decode(codes), levels=[255]), codes)


@BACKENDS
def test_a_half_and_half_edge_is_brighter_than_the_middle_code(backend: object) -> None:
    """Blurred in linear light, black beside white makes .7354 in sRGB; .5 would be the sign of blur in the wrong space."""
    edge = np.zeros((1, 1, 9, 16))
    edge[..., 8:] = 1.0
    box = PointSpreads.from_dense([np.full((1, 2), 0.5)], centres=[(0, 0)])
    blurred = backend.convolve(backend.srgb_decode(edge), box, border=Border.REPLICATE)
    middle = backend.srgb_encode(blurred)[..., 4, 8]
    assert middle == pytest.approx(0.7353570, abs=1e-6)
    assert abs(float(middle[0, 0]) - 0.5) > 0.2


@BACKENDS
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 5), st.floats(0.1, 1.0))
def test_saturation_before_blur_loses_light(backend: object, seed: int, rows: int, columns: int, total: float) -> None:
    """``min(k*x, 1) >= k * min(x, 1)`` for every PSF k >= 0 with a sum of at most 1."""
    rng = np.random.default_rng(seed)
    image = rng.exponential(1.0, (1, 1, 12, 13))
    kernel = rng.random((rows, columns))
    psf = PointSpreads.from_dense([total * kernel / kernel.sum()])
    for border in (Border.REFLECT, Border.REPLICATE, Border.CIRCULAR, Border.CONSTANT):
        clipped_after = np.minimum(backend.convolve(image, psf, border=border), 1.0)
        clipped_before = backend.convolve(np.minimum(image, 1.0), psf, border=border)
        assert (clipped_after >= clipped_before - 1e-14).all()
