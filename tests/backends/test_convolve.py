"""Convolution: the fast one against the definition, and what it refuses."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blursynth.backends import cpu, oracle
from blursynth.backends.borders import margins_px
from blursynth.errors import InvalidValueError
from blursynth.frame import Border
from blursynth.physics.point_spread import PointSpreads

EPS = {np.dtype(np.float32): 1.2e-7, np.dtype(np.float64): 2.2e-16}


def point_spreads(rng: np.random.Generator, batch: int, *, largest: int = 12, fill: float = 0.4) -> PointSpreads:
    """Kernels of random size, filling and origin, each with a sum of 1."""
    kernels, centers = [], []
    for _ in range(batch):
        height, width = rng.integers(1, largest + 1, 2)
        kernel = rng.random((height, width)) * (rng.random((height, width)) < fill)
        kernel[rng.integers(height), rng.integers(width)] = 1
        kernels.append(kernel / kernel.sum())
        centers.append((int(rng.integers(-2, height + 2)), int(rng.integers(-2, width + 2))))
    return PointSpreads.from_dense(kernels, centers)


def trajectory(rng: np.random.Generator, size: int) -> PointSpreads:
    """A thin crooked line through a square of ``size`` px, splatted bilinearly."""
    heading = np.cumsum(rng.normal(0, 0.05, 1000))
    path = np.cumsum(np.stack([np.sin(heading), np.cos(heading)], axis=1), axis=0)
    path -= path.min(axis=0)
    path *= (size - 1.001) / path.max()
    kernel = np.zeros((size + 1, size + 1))
    whole = path.astype(int)
    part = path - whole
    for dy, dx in itertools.product((0, 1), repeat=2):
        share = np.abs(1 - dy - part[:, 0]) * np.abs(1 - dx - part[:, 1])
        np.add.at(kernel, (whole[:, 0] + dy, whole[:, 1] + dx), share)
    return PointSpreads.from_dense([kernel / kernel.sum()])


def fits(shape: tuple[int, ...], psf: PointSpreads, border: Border) -> bool:
    top, bottom, left, right = margins_px(psf.dy, psf.dx)
    return border != Border.VALID or (shape[2] > top + bottom and shape[3] > left + right)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("border", list(Border))
@given(seed=st.integers(0, 2**32), height=st.integers(1, 40), width=st.integers(1, 70), batch=st.integers(1, 3))
def test_fast_equals_definition(seed: int, height: int, width: int, batch: int, border: Border, dtype: type) -> None:
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(batch, 2, height, width)).astype(dtype)
    psf = point_spreads(rng, batch if seed % 2 else 1, fill=(0.1, 0.5, 1.0)[seed % 3])
    for name in ("convolve", "convolve_adjoint"):
        if name == "convolve" and not fits(image.shape, psf, border):
            continue
        expected = getattr(oracle, name)(image.astype(np.float64), psf, border=border)
        got = getattr(cpu, name)(image, psf, border=border)
        assert got.shape == expected.shape
        assert got.dtype == dtype
        # A sum of at most 144 products (and, in the adjoint, of as many folded pixels).
        assert np.abs(got - expected).max() <= 160 * EPS[np.dtype(dtype)] * (
            np.abs(image).max() + np.abs(expected).max()
        )


@pytest.mark.parametrize("border", list(Border))
@pytest.mark.parametrize("shape", [(65, 385), (130, 400), (1, 800), (300, 5), (129, 769)])
def test_several_tiles_equal_definition(shape: tuple[int, int], border: Border) -> None:
    """Pictures of more than one tile, with ends that fill neither a tile nor a vector."""
    rng = np.random.default_rng(3)
    image = rng.normal(size=(1, 2, *shape))
    psf = trajectory(rng, 21)
    for name in ("convolve", "convolve_adjoint"):
        if name == "convolve" and not fits(image.shape, psf, border):
            continue
        expected = getattr(oracle, name)(image, psf, border=border)
        for method, tolerance in (("auto", 1e-13), ("direct", 1e-13), ("fft", 1e-12)):
            got = getattr(cpu, name)(image, psf, border=border, method=method)
            assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("border", list(Border))
def test_product_point_spread_in_two_passes(border: Border) -> None:
    """A column times a row, off center, on pictures smaller and larger than a tile; a product with a hole takes the other way."""
    rng = np.random.default_rng(8)
    kernel = np.outer(rng.random(15), rng.random(20))
    dented = kernel.copy()
    dented[3, 4] = 0
    for k, shape in itertools.product((kernel, dented), ((1, 33), (20, 7), (150, 60), (40, 500))):
        psf = PointSpreads.from_dense([k / k.sum()], [(2, 17)])
        image = rng.normal(size=(1, 1, *shape))
        if not fits(image.shape, psf, border):
            continue
        for dtype in (np.float32, np.float64):
            got = cpu.convolve(image.astype(dtype), psf, border=border)
            expected = oracle.convolve(image, psf, border=border)
            assert np.abs(got - expected).max() <= 40 * EPS[np.dtype(dtype)] * np.abs(image).max()


@pytest.mark.parametrize("method", ["auto", "direct", "fft"])
@pytest.mark.parametrize("kind", ["trajectory", "gaussian", "disk"])
def test_bytes_do_not_depend_on_threads(kind: str, method: str) -> None:
    rng = np.random.default_rng(5)
    y, x = np.mgrid[-12:13, -12:13]
    psf = {
        "trajectory": trajectory(rng, 40),
        "gaussian": PointSpreads.from_dense([np.exp(-(x**2 + y**2) / 32.0)]),
        "disk": PointSpreads.from_dense([(x**2 + y**2 < 150) / 1.0]),
    }[kind]
    image = rng.random((1, 3, 300, 500), dtype=np.float32)
    for name in ("convolve", "convolve_adjoint"):
        alone, shared = (
            getattr(cpu, name)(image, psf, border=Border.REFLECT, method=method, threads=threads) for threads in (1, 3)
        )
        assert alone.tobytes() == shared.tobytes()


def test_direct_crop_equals_whole_bit_by_bit() -> None:
    rng = np.random.default_rng(6)
    image = rng.random((1, 1, 200, 500), dtype=np.float32)
    psf = trajectory(rng, 31)
    top, bottom, left, right = margins_px(psf.dy, psf.dx)
    whole = cpu.convolve(image, psf, border=Border.VALID, method="direct")
    for i, j, height, width in ((0, 0, 60, 70), (13, 101, 33, 51), (100, 57, 64, 300)):
        window = image[..., i : i + height + top + bottom, j : j + width + left + right]
        part = cpu.convolve(window, psf, border=Border.VALID, method="direct")
        assert np.array_equal(part, whole[..., i : i + height, j : j + width])


@pytest.mark.parametrize("method", ["direct", "fft"])
def test_any_strides_and_nothing_changed(method: str) -> None:
    rng = np.random.default_rng(7)
    stored = rng.random((2, 50, 60, 3))
    psf = point_spreads(rng, 2)
    views = {
        "channels last": np.moveaxis(stored, -1, 1),
        "window": np.moveaxis(stored, -1, 1)[:, :, 5:40, 7:50],
        "every other": np.ascontiguousarray(np.moveaxis(stored, -1, 1))[:, ::2, ::2, ::2],
        "rows of a larger picture": np.ascontiguousarray(np.moveaxis(stored, -1, 1))[..., 3:44, 9:50],
        "upside down": np.ascontiguousarray(np.moveaxis(stored, -1, 1))[:, ::-1, ::-1],
        "mirrored": np.ascontiguousarray(np.moveaxis(stored, -1, 1))[..., ::-1],
        "one picture twice": np.broadcast_to(np.ascontiguousarray(np.moveaxis(stored, -1, 1))[:1], (2, 3, 50, 60)),
        "other byte order": np.ascontiguousarray(np.moveaxis(stored, -1, 1)).astype(">f8"),
    }
    for border, (name, view) in itertools.product(Border, views.items()):
        view.flags.writeable = False
        before = view.copy()
        for call in ("convolve", "convolve_adjoint"):
            got = getattr(cpu, call)(view, psf, border=border, method=method)
            expected = getattr(cpu, call)(before.astype(np.float64, order="C"), psf, border=border, method=method)
            assert np.array_equal(got, expected), (name, border)
        assert np.array_equal(view, before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("method", ["oracle", "auto", "direct", "fft"])
def test_a_pixel_that_is_not_finite_spoils_what_the_taps_reach(method: str, bad: float) -> None:
    """No more than that and a row above and below, in either direction; the rest is what it is without it."""
    rng = np.random.default_rng(12)
    kernel = rng.random((17, 23)) * (rng.random((17, 23)) < 0.6)
    psf = PointSpreads.from_dense([kernel / kernel.sum()])
    # Of several tiles, for every method; the reference has none, and is slow.
    image = rng.random((1, 2, 60, 70) if method == "oracle" else (1, 2, 260, 430), dtype=np.float32)
    broken = image.copy()
    for c, y, x in ((0, 30, 40), (1, 25, 30)) if method == "oracle" else ((0, 100, 200), (0, 40, 333), (1, 201, 60)):
        broken[0, c, y, x] = bad
    choice = {} if method == "oracle" else {"method": method}
    backend = oracle if method == "oracle" else cpu
    for name, sign in (("convolve", 1), ("convolve_adjoint", -1)):
        without = getattr(backend, name)(image, psf, border=Border.REFLECT, **choice)
        got = getattr(backend, name)(broken, psf, border=Border.REFLECT, **choice)
        reached = np.zeros(image.shape, bool)
        for _, c, y, x in np.argwhere(~np.isfinite(broken)):
            reached[0, c, y + sign * psf.dy, x + sign * psf.dx] = True
        near = reached | np.roll(reached, 1, 2) | np.roll(reached, -1, 2)
        assert not np.isfinite(got[reached]).any()
        assert np.isfinite(got[~(reached if method == "oracle" else near)]).all()
        kept = np.isfinite(got)
        assert np.abs(got - without, where=kept, out=np.zeros_like(got)).max() <= 2e-6


def test_empty_point_spread_gives_zero() -> None:
    none = PointSpreads(np.zeros(2, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0), np.ones(1))
    for backend, border in itertools.product((cpu, oracle), Border):
        assert not backend.convolve(np.ones((1, 1, 3, 4)), none, border=border).any()


@pytest.mark.parametrize(
    ("image", "border", "batch", "message"),
    [
        (np.ones((4, 4)), "reflect", 1, r"float32 or float64 array \[B, C, H, W\], got float64 \(4, 4\)"),
        (np.ones((1, 1, 4, 4), np.uint8), "reflect", 1, "got uint8"),
        (np.ones((1, 1, 4, 4), np.float16), "reflect", 1, "got float16"),
        ([[1.0]], "reflect", 1, "got list"),
        (np.ones((1, 1, 0, 4)), "reflect", 1, "image is empty"),
        (np.ones((3, 1, 4, 4)), "reflect", 2, "each of the 3 pictures, or a single one, got 2"),
        (np.ones((1, 1, 4, 4)), "mirror", 1, "border must be one of reflect, .* got 'mirror'"),
        (
            np.ones((1, 1, 4, 2)),
            "valid",
            1,
            r"leaves nothing of a picture of 4 x 2 px: .* 1 \+ 1 rows and 1 \+ 1 columns",
        ),
    ],
)
def test_bad_input_is_refused(image: object, border: str, batch: int, message: str) -> None:
    psf = PointSpreads.from_dense([np.ones((3, 3))] * batch)
    with pytest.raises(InvalidValueError, match=message):
        cpu.convolve(image, psf, border=border)
    if border != "valid":
        with pytest.raises(InvalidValueError, match=message):
            cpu.convolve_adjoint(image, psf, border=border)


def test_unknown_method_is_refused() -> None:
    psf = PointSpreads.from_dense([np.ones((3, 3))])
    with pytest.raises(InvalidValueError, match="method must be 'auto', 'direct' or 'fft', got 'sparse'"):
        cpu.convolve(np.ones((1, 1, 4, 4)), psf, border=Border.REFLECT, method="sparse")  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(1, 1), (7, 40), (300, 290)])
def test_very_many_taps_are_summed_up_in_parts(size: tuple[int, int]) -> None:
    """One sum of 40,000 taps in float32 is off by 2e-5 of white; its bits where there are few taps are unchanged."""
    rng = np.random.default_rng(3)
    dense = 1.0 + rng.random((201, 201))
    psf = PointSpreads.from_dense([dense / dense.sum()])
    image = np.full((1, 2, *size), 0.99)
    image[..., ::3] = 0.98
    got = cpu.convolve(image.astype(np.float32), psf, border=Border.REFLECT, method="direct")
    expected = cpu.convolve(image, psf, border=Border.REFLECT, method="fft")
    assert np.abs(got - expected).max() <= 8e-6
