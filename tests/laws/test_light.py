"""The laws of light (docs/laws.md, "Light") that the kit does not know: codes come back, lamps beyond white show."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import blursynth as bs
from blursynth.backends import cpu, oracle
from blursynth.records.kind import find_kind

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
BACKENDS = pytest.mark.parametrize("backend", [cpu, oracle], ids=["cpu", "oracle"])


@BACKENDS
@DTYPES
def test_all_256_codes_round_trip(backend: object, dtype: type[np.floating]) -> None:
    codes = (np.arange(256).astype(dtype) / dtype(255)).reshape(1, 1, 16, 16)
    np.testing.assert_array_equal(backend.srgb_encode(backend.srgb_decode(codes), levels=[255]), codes)


CODES = (np.arange(256) / np.float64(255)).reshape(1, 1, 16, 16)
SIGMOIDS = st.builds(
    bs.kinds.SigmoidDecode,
    exponent=st.floats(0.2, 2.7),
    midtone=st.floats(0.07, 0.95),
    contrast=st.floats(-0.95, 1.0),
)
GAMMAS = st.builds(bs.kinds.GammaDecode, gamma=st.floats(1.0, 3.0), contrast=st.floats(0.0, 1.0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(
    st.one_of(SIGMOIDS, GAMMAS, st.sampled_from([bs.kinds.GammaDecode(gamma=1.0), bs.kinds.GammaDecode(contrast=1.0)]))
)
def test_every_curve_gives_all_codes_back(dtype: type[np.floating], decode: bs.Degradation) -> None:
    encode = find_kind(f"{decode.kind.removesuffix('decode')}encode", bs.kinds.ALL)(**decode.fields())
    codes = bs.Frame(CODES.astype(dtype), "display")
    light = decode(codes)
    assert light.encoding is bs.Encoding.LINEAR
    assert (np.diff(light.image.ravel()) >= 0).all()
    np.testing.assert_array_equal(encode(light).image, codes.image)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(st.integers(0, 2**32 - 1), st.integers(12, 1200), st.floats(0.3, 3.0))
def test_measured_curves_give_codes_back_where_they_rise(
    dtype: type[np.floating], seed: int, points: int, power: float
) -> None:
    """Curves of random steps, with a flat stretch. Codes within it share their light; all others come back."""
    rng = np.random.default_rng(seed)
    light = np.concatenate([[0], np.cumsum(rng.exponential(1.0, points) + 1e-3)])
    steps = rng.uniform(0.5, 1.5, points) * np.diff((light / light[-1]) ** power) * points
    flat = slice(points // 3, points // 3 + rng.integers(0, max(points // 8, 1) + 1))
    steps[flat] = 0.0
    value = np.concatenate([[0], np.cumsum(steps)])
    curve = bs.assets.register([light, value])
    codes = bs.Frame(CODES.astype(dtype), "display")
    back = bs.kinds.MeasuredEncode(curve=curve)(bs.kinds.MeasuredDecode(curve=curve)(codes)).image
    # A flat stretch has one value; the codes beside it lie on rising parts of the curve.
    np.testing.assert_array_equal(back, codes.image)


@pytest.mark.parametrize(
    "curve",
    [
        bs.kinds.HighlightOffset(offset=1.3, threshold=0.95),
        bs.kinds.HighlightExpansion(peak=9.0, threshold=0.7, exponent=3),
        bs.kinds.HighlightExpansion(peak=9.0, measure="largest", threshold=0.7),
        bs.kinds.HighlightExpansion(peak=9.0, measure="channel", threshold=0.7),
    ],
    ids=["offset", "luminance", "largest", "channel"],
)
def test_light_beyond_white_shows_only_through_blur(curve: bs.Degradation) -> None:
    """What is white stays white; blurred, lamps are brighter than without, and nothing is darker."""
    rng = np.random.default_rng(1)
    codes = np.minimum(rng.exponential(0.5, (1, 3, 40, 50)), 1.0)
    frame = bs.kinds.Decode()(bs.Frame(np.rint(codes * 255) / 255, "display"))
    extended = curve(frame)
    assert (extended.image >= frame.image).all()
    white = np.broadcast_to((frame.image == 1).all(axis=1, keepdims=True), frame.image.shape)
    assert white.any()
    assert (extended.image[white] > 1).all()
    assert curve.target() == curve
    dark = np.broadcast_to(frame.image.max(axis=1, keepdims=True) < 0.5, frame.image.shape)
    np.testing.assert_array_equal(extended.image[dark], frame.image[dark])
    blur, encode = bs.kinds.GaussianBlur(sigma_px=1.5), bs.kinds.Encode()
    lamps, none = encode(blur(extended)).image, encode(blur(frame)).image
    assert (lamps >= none).all()
    assert (lamps == 1).sum() > (none == 1).sum()
    np.testing.assert_array_equal(encode(extended).image[frame.image == 1], 1.0)
