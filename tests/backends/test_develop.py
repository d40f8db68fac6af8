"""The development of raw numbers: equal to the oracle, in the phase of the pattern, whatever the window and threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blursynth.backends import cpu, oracle
from blursynth.errors import InvalidValueError
from blursynth.frame import MOSAICS
from blursynth.physics.development import DevelopParameters
from blursynth.physics.mosaic import DEMOSAIC_REACH_PX, DEMOSAICS, color_sites

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
METHODS = pytest.mark.parametrize("method", DEMOSAICS)
PHASES = pytest.mark.parametrize("code", range(1, 5), ids=MOSAICS)
MATRIX = np.array([[1.5, -0.4, -0.1], [-0.2, 1.5, -0.3], [0.0, -0.5, 1.5]])
ZERO = np.zeros((1, 2), np.int64)


def parameters(method: str = "malvar", code: int = 1, **changes: object) -> DevelopParameters:
    fields: dict[str, object] = {"black_dn": 0.0, "white_dn": 1.0, "mosaic": code, "demosaic": DEMOSAICS.index(method)}
    return DevelopParameters(**{**fields, **changes})  # type: ignore[arg-type]


def mosaicked(picture: np.ndarray, code: int, origin: tuple[int, int] = (0, 0)) -> np.ndarray:
    """``[1, 1, H, W]`` what the pixels of a sensor see of a picture ``[3, H, W]``."""
    return np.take_along_axis(picture, color_sites(code, origin, picture.shape[1:])[None], axis=0)[None]


# -- against the oracle -----------------------------------------------------------------------------------------------


@given(
    height=st.integers(2, 70),
    width=st.integers(2, 70),
    codes=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    method=st.sampled_from(DEMOSAICS),
    origin=st.tuples(st.integers(-5, 5), st.integers(-5, 5)),
    double=st.booleans(),
    seed=st.integers(0, 99),
)
def test_equals_the_oracle(
    height: int, width: int, codes: list[int], method: str, origin: tuple[int, int], double: bool, seed: int
) -> None:
    if method == "edge_aware" and not double:
        # Mirrored pictures of 2 or 3 px repeat, so that nothing changes along an axis: then the floor of the weights,
        # 3e-5 of white, decides, which float32 sums reach by rounding. Such pictures are held in float64.
        height, width = max(height, 5), max(width, 5)
    rng = np.random.default_rng(seed)
    batch = len(codes)
    dn = rng.uniform(0, 1100, (batch, 1, height, width)).astype(np.float64 if double else np.float32)
    chosen = parameters(
        method,
        black_dn=rng.uniform(0, 100, batch),
        white_dn=rng.uniform(800, 1000, batch),
        mosaic=codes,
        white_balance=rng.uniform(0.8, 2.4, (batch, 3)),
        color_matrix=MATRIX,
        gain=rng.uniform(0.5, 2.0, batch),
        clip=rng.uniform(0.5, 1.0, batch),
    )
    found = cpu.develop(dn, chosen, origin_px=np.array([origin]))
    expected = oracle.develop(dn, chosen, origin_px=np.array([origin]))
    assert found.dtype == dn.dtype
    assert found.shape == (batch, 3, height, width)
    assert np.abs(found - expected).max() <= (1e-12 if double else 2e-5) * np.abs(expected).max()


@DTYPES
@METHODS
def test_equals_the_oracle_across_tiles(method: str, dtype: type[np.floating]) -> None:
    dn = np.random.default_rng(1).uniform(0, 1, (1, 1, 37, 1100)).astype(dtype)
    chosen = parameters(method, code=3, white_balance=[2.0, 1.0, 1.6], color_matrix=MATRIX)
    found, expected = (b.develop(dn, chosen, origin_px=np.array([[1, 2]])) for b in (cpu, oracle))
    assert np.abs(found - expected).max() <= (1e-12 if dtype == np.float64 else 2e-5) * np.abs(expected).max()


@DTYPES
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("colored", [False, True])
def test_equals_the_oracle_without_a_mosaic(channels: int, colored: bool, dtype: type[np.floating]) -> None:
    if colored and channels != 3:
        pytest.skip("colors need three channels")
    dn = np.random.default_rng(2).uniform(0, 1100, (2, channels, 9, 701)).astype(dtype)
    colors = {"white_balance": [2.0, 1.0, 1.6], "color_matrix": MATRIX} if colored else {}
    chosen = DevelopParameters([64.0, 60.0], [964.0, 900.0], gain=[1.3, 0.7], clip=[1.0, 0.8], **colors)  # type: ignore[arg-type]
    found, expected = (b.develop(dn, chosen, origin_px=ZERO) for b in (cpu, oracle))
    assert found.dtype == dtype
    assert np.abs(found - expected).max() <= (1e-12 if dtype == np.float64 else 2e-5) * np.abs(expected).max()


# -- what the ways to fill in colors reproduce -----------------------------------------------------------------------


@PHASES
@METHODS
@DTYPES
def test_constants_are_kept(method: str, code: int, dtype: type[np.floating]) -> None:
    flat = np.broadcast_to(np.array([0.7, 0.4, 0.1])[:, None, None], (3, 12, 17))
    found = cpu.develop(mosaicked(flat, code).astype(dtype), parameters(method, code), origin_px=ZERO)[0]
    assert np.abs(found - flat).max() <= (1e-12 if dtype == np.float64 else 1e-6)


@PHASES
@METHODS
def test_ramps_are_kept(method: str, code: int) -> None:
    """Each channel with a slope of its own: away from the border, where a reflected ramp is none."""
    rows, columns = np.mgrid[:20, :21] / 50.0
    ramps = np.stack([rows, 0.3 + 0.5 * columns - 0.2 * rows, 0.9 - columns])
    found = cpu.develop(mosaicked(ramps, code), parameters(method, code), origin_px=ZERO)[0]
    margin = DEMOSAIC_REACH_PX[method]
    inside = (slice(None), slice(margin, -margin), slice(margin, -margin))
    assert np.abs(found - ramps)[inside].max() <= 1e-12


@PHASES
@METHODS
def test_the_color_that_a_pixel_sees_stays_as_it_is(method: str, code: int) -> None:
    dn = np.random.default_rng(3).uniform(0, 1, (1, 1, 10, 13))
    found = cpu.develop(dn, parameters(method, code), origin_px=ZERO)
    seen = np.take_along_axis(found[0], color_sites(code, (0, 0), (10, 13))[None], axis=0)
    assert np.abs(seen - dn[0]).max() <= 1e-15


@METHODS
@pytest.mark.parametrize("shift", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("size", [(9, 12), (16, 21)])
def test_a_window_with_margin_equals_the_whole(method: str, shift: tuple[int, int], size: tuple[int, int]) -> None:
    """At every parity of the window's first pixel, on noise, where each value matters."""
    dn = np.random.default_rng(4).uniform(0, 1000, (1, 1, 40, 45)).astype(np.float32)
    chosen = parameters(method, code=2, black_dn=64.0, white_dn=900.0, white_balance=[2.0, 1.0, 1.6], clip=0.9)
    reach = DEMOSAIC_REACH_PX[method]
    top, left = 7 + shift[0], 8 + shift[1]
    whole = cpu.develop(dn, chosen, origin_px=np.array([[3, 6]]))[..., top : top + size[0], left : left + size[1]]
    window = dn[..., top - reach : top + size[0] + reach, left - reach : left + size[1] + reach]
    found = cpu.develop(window, chosen, origin_px=np.array([[3 + top - reach, 6 + left - reach]]))
    inside = (..., slice(reach, -reach), slice(reach, -reach))
    assert np.array_equal(found[inside], whole)


@METHODS
def test_the_reach_is_no_larger_than_it_must_be(method: str) -> None:
    reach = DEMOSAIC_REACH_PX[method]
    dn = np.random.default_rng(5).uniform(0.2, 0.8, (1, 1, 21, 21))
    changed = dn.copy()
    changed[0, 0, 10, 10] = 1.0
    chosen = parameters(method)
    moved = (cpu.develop(dn, chosen, origin_px=ZERO) != cpu.develop(changed, chosen, origin_px=ZERO))[0].any(axis=0)
    rows, columns = np.nonzero(moved)
    assert max(np.abs(rows - 10).max(), np.abs(columns - 10).max()) == reach


@METHODS
@DTYPES
def test_values_below_black_are_kept(method: str, dtype: type[np.floating]) -> None:
    """The mean of noise around black is black, and single pixels reach as low as they did."""
    dn = np.random.default_rng(6).normal(64, 8, (1, 1, 200, 200)).clip(0).astype(dtype)
    chosen = parameters(method, black_dn=64.0, white_dn=964.0)
    found = cpu.develop(dn, chosen, origin_px=ZERO)
    lowest = (dn.min() - 64) / 900
    assert found.min() <= lowest + 1e-6
    assert abs(found.mean() - (dn.mean() - 64) / 900) < 1e-4


@METHODS
def test_the_lowest_code_survives_the_largest_gain(method: str) -> None:
    chosen = parameters(method, black_dn=64.0, white_dn=128.0, white_balance=[2.4, 1.0, 1.9], clip=0.7)
    found = cpu.develop(np.zeros((1, 1, 8, 8)), chosen, origin_px=ZERO)[0]
    assert np.abs(found.mean(axis=(1, 2)) - [-2.4, -1.0, -1.9]).max() <= 1e-12


def test_edge_aware_follows_edges() -> None:
    """Stripes along rows, of one color each, are kept but for their ends; linear ways leave colored teeth on them."""
    stripes = np.broadcast_to(np.repeat([0.2, 0.8], 3)[np.arange(24) % 6][None, :, None], (3, 24, 30))
    inside = (slice(None), slice(6, -6), slice(6, -6))
    errors = {
        method: np.abs(cpu.develop(mosaicked(stripes, 1), parameters(method), origin_px=ZERO)[0] - stripes)[
            inside
        ].max()
        for method in DEMOSAICS
    }
    assert errors["edge_aware"] < 0.01
    assert errors["malvar"] > 0.05
    assert errors["bilinear"] > 0.05


@METHODS
def test_what_is_clipped_is_clipped_at_one_level(method: str) -> None:
    """Channels that saturate at different levels are equal after the clip, so saturated areas are neutral."""
    dn = np.full((1, 1, 10, 10), 5000.0)
    chosen = parameters(
        method, black_dn=64.0, white_dn=900.0, white_balance=[2.0, 1.0, 1.6], color_matrix=MATRIX, clip=0.8
    )
    np.testing.assert_allclose(cpu.develop(dn, chosen, origin_px=ZERO), 0.8, rtol=1e-12)


@DTYPES
def test_levels_without_a_mosaic(dtype: type[np.floating]) -> None:
    dn = np.array([40.0, 64.0, 1000.0, 2000.0, 4095.0, np.nan], dtype).reshape(1, 1, 1, 6)
    found = cpu.develop(dn, DevelopParameters(64.0, 2000.0), origin_px=ZERO)
    assert found.dtype == dtype
    np.testing.assert_allclose(found.ravel(), [-24 / 1936, 0, 936 / 1936, 1, 1, np.nan], rtol=1e-6)
    np.testing.assert_allclose(found, oracle.develop(dn, DevelopParameters(64.0, 2000.0), origin_px=ZERO), rtol=1e-6)


# -- bytes ------------------------------------------------------------------------------------------------------------


@DTYPES
@METHODS
def test_bytes_do_not_depend_on_threads_batch_or_layout(method: str, dtype: type[np.floating]) -> None:
    dn = np.random.default_rng(7).uniform(0, 1000, (2, 1, 600, 1100)).astype(dtype)
    chosen = parameters(
        method, mosaic=[1, 4], black_dn=[64.0, 60.0], white_dn=[900.0, 950.0], white_balance=[2.0, 1.0, 1.6],
        color_matrix=MATRIX,
    )  # fmt: skip
    origin = np.array([[0, 0], [3, 5]])
    found = cpu.develop(dn, chosen, origin_px=origin, threads=1)
    assert np.array_equal(cpu.develop(dn, chosen, origin_px=origin, threads=3), found)
    alone = parameters(
        method, code=4, black_dn=60.0, white_dn=950.0, white_balance=[2.0, 1.0, 1.6], color_matrix=MATRIX
    )  # fmt: skip
    assert np.array_equal(cpu.develop(dn[1:], alone, origin_px=origin[1:])[0], found[1])
    turned = np.ascontiguousarray(dn.transpose(0, 1, 3, 2)).transpose(0, 1, 3, 2)
    assert np.array_equal(cpu.develop(turned, chosen, origin_px=origin), found)


def test_methods_may_differ_within_a_batch() -> None:
    dn = np.random.default_rng(8).uniform(0, 1, (3, 1, 12, 14))
    found = cpu.develop(dn, parameters(black_dn=np.zeros(3), demosaic=[0, 1, 2]), origin_px=ZERO)
    for b, method in enumerate(DEMOSAICS):
        assert np.array_equal(cpu.develop(dn[b : b + 1], parameters(method), origin_px=ZERO)[0], found[b])


# -- bad input --------------------------------------------------------------------------------------------------------


def test_ill_fitting_pictures_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="white_dn must lie above black_dn"):
        DevelopParameters(64.0, 64.0)
    with pytest.raises(InvalidValueError, match="float32 or float64 array"):
        cpu.develop(np.ones((1, 1, 4, 4), np.uint16), parameters(), origin_px=ZERO)  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="have 1 channel, got 3"):
        cpu.develop(np.ones((1, 3, 4, 4)), parameters(), origin_px=ZERO)
    with pytest.raises(InvalidValueError, match="3 channels, got 1"):
        cpu.develop(np.ones((1, 1, 4, 4)), DevelopParameters(0.0, 1.0, white_balance=[2.0, 1.0, 1.5]), origin_px=ZERO)
    for shape in ((1, 8), (8, 1), (1, 1)):
        with pytest.raises(InvalidValueError, match="at least 2 x 2 px"):
            cpu.develop(np.ones((1, 1, *shape)), parameters(), origin_px=ZERO)
    with pytest.raises(InvalidValueError, match="2 developments for 3 pictures"):
        cpu.develop(np.ones((3, 1, 4, 4)), parameters(black_dn=[0.0, 0.0]), origin_px=ZERO)
    with pytest.raises(InvalidValueError, match="origin_px"):
        cpu.develop(np.ones((1, 1, 4, 4)), parameters(), origin_px=np.zeros((3, 2), np.int64))


@METHODS
@pytest.mark.parametrize("shape", [(2, 2), (2, 9), (3, 2), (5, 4)])
def test_the_smallest_mosaics(method: str, shape: tuple[int, int]) -> None:
    flat = np.broadcast_to(np.array([0.7, 0.4, 0.1])[:, None, None], (3, *shape))
    found = cpu.develop(mosaicked(flat, 2), parameters(method, 2), origin_px=ZERO)[0]
    assert np.abs(found - flat).max() <= 1e-12
