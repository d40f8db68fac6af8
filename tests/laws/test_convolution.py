"""The laws of convolution and of its adjoint (docs/laws.md, "Convolution" and "Adjoint"), on both backends and by every method."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from blursynth.backends import cpu, oracle
from blursynth.backends.borders import margins_px
from blursynth.frame import Border
from blursynth.physics.point_spread import PointSpreads

Operator = Callable[..., NDArray[np.floating]]
FORWARD: dict[str, Operator] = {
    "oracle": oracle.convolve,
    "direct": partial(cpu.convolve, method="direct"),
    "fft": partial(cpu.convolve, method="fft"),
    "auto": cpu.convolve,
}
ADJOINT: dict[str, Operator] = {
    "oracle": oracle.convolve_adjoint,
    "direct": partial(cpu.convolve_adjoint, method="direct"),
    "fft": partial(cpu.convolve_adjoint, method="fft"),
    "auto": cpu.convolve_adjoint,
}
DIRECT = ("oracle", "direct")
SAME_SIZE = [b for b in Border if b != Border.VALID]
KEEPS_CONSTANTS = [Border.REFLECT, Border.REPLICATE, Border.CIRCULAR, Border.VALID]
# Errors relative to the largest pixel, for kernels of sum 1.
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}

every_method = pytest.mark.parametrize("method", list(FORWARD))
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
every_border = pytest.mark.parametrize("border", list(Border))
seeds = st.integers(0, 2**32)


def kernel(rng: np.random.Generator, *, largest: int = 11) -> NDArray[np.float64]:
    """A kernel of odd size and sum 1: sparse, dense, or a column times a row."""
    height, width = 1 + 2 * rng.integers(0, largest // 2 + 1, 2)
    kind = rng.integers(3)
    if kind == 0:
        dense = rng.random((height, width)) * (rng.random((height, width)) < 0.2)
        dense[rng.integers(height), rng.integers(width)] = 1
    elif kind == 1:
        dense = rng.random((height, width))
    else:
        dense = np.outer(rng.random(height) + 0.1, rng.random(width) + 0.1)
    return dense / dense.sum()


def picture(rng: np.random.Generator, dtype: type, *, smallest: int = 1, batch: int = 1) -> NDArray[np.floating]:
    height, width = rng.integers(smallest, 33, 2)
    return rng.normal(size=(batch, 2, height, width)).astype(dtype)


def grown(
    rng: np.random.Generator, dtype: type, border: Border, psf: PointSpreads, **kwargs: int
) -> NDArray[np.floating]:
    """A picture, by its margins larger where the border needs it."""
    top, bottom, left, right = margins_px(psf.dy, psf.dx)
    image = picture(rng, dtype, **kwargs)
    if border == Border.VALID:
        batch, channels, height, width = image.shape
        image = rng.normal(size=(batch, channels, height + top + bottom, width + left + right)).astype(dtype)
    return image


@every_method
@every_dtype
@every_border
@given(seed=seeds)
def test_linear(method: str, dtype: type, border: Border, seed: int) -> None:
    rng = np.random.default_rng(seed)
    psf = PointSpreads.from_dense([kernel(rng)])
    x = grown(rng, dtype, border, psf)
    y = rng.normal(size=x.shape).astype(dtype)
    a, b = (dtype(v) for v in rng.normal(size=2))
    blur = partial(FORWARD[method], psf=psf, border=border)
    scale = np.abs(x).max() * abs(a) + np.abs(y).max() * abs(b)
    assert np.abs(blur(a * x + b * y) - (a * blur(x) + b * blur(y))).max() <= TOLERANCE[dtype] * scale


@every_method
@every_dtype
@given(seed=seeds)
def test_impulse_gives_the_kernel(method: str, dtype: type, seed: int) -> None:
    """Not flipped, not shifted; and, directly, nothing at all beyond it."""
    rng = np.random.default_rng(seed)
    k = kernel(rng)
    reach_y, reach_x = k.shape[0] // 2, k.shape[1] // 2
    impulse = np.zeros((1, 1, 31, 29), dtype)
    row, column = int(rng.integers(reach_y, 31 - reach_y)), int(rng.integers(reach_x, 29 - reach_x))
    impulse[0, 0, row, column] = 1
    expected = np.zeros((31, 29))
    expected[row - reach_y : row + reach_y + 1, column - reach_x : column + reach_x + 1] = k
    for border in SAME_SIZE:
        got = FORWARD[method](impulse, PointSpreads.from_dense([k]), border=border)[0, 0]
        outside = np.ones((31, 29), bool)
        outside[row - reach_y : row + reach_y + 1, column - reach_x : column + reach_x + 1] = False
        mirrored = border == Border.REFLECT or (border == Border.REPLICATE)
        if not mirrored or (2 * reach_y < row < 30 - 2 * reach_y and 2 * reach_x < column < 28 - 2 * reach_x):
            assert np.abs(got - expected).max() <= (1e-6 if dtype == np.float32 else 1e-12)
            if method in DIRECT:
                assert not got[outside].any()


# How numpy calls them: its "symmetric", which repeats the edge pixel, is none of ours.
NUMPYS = {Border.REFLECT: "reflect", Border.REPLICATE: "edge", Border.CIRCULAR: "wrap", Border.CONSTANT: "constant"}


@every_method
@every_dtype
@pytest.mark.parametrize("border", list(NUMPYS))
@pytest.mark.parametrize("size", [(9, 14), (33, 40), (1, 7), (2, 3)])
def test_the_picture_goes_on_as_numpys_pad_says(
    method: str, dtype: type, border: Border, size: tuple[int, int]
) -> None:
    """Against scipy's convolution of numpy's padded picture, with a kernel that is not its own mirror image."""
    from scipy.signal import convolve2d

    rng = np.random.default_rng(5)
    x, k = rng.random(size).astype(dtype), rng.random((5, 9)) ** 3
    expected = convolve2d(np.pad(x.astype(np.float64), ((2, 2), (4, 4)), mode=NUMPYS[border]), k / k.sum(), "valid")
    got = FORWARD[method](x[None, None], PointSpreads.from_dense([k / k.sum()]), border=border)[0, 0]
    assert np.abs(got - expected).max() <= TOLERANCE[dtype]


@every_method
@every_dtype
@pytest.mark.parametrize("border", KEEPS_CONSTANTS)
@given(seed=seeds)
def test_constants_are_kept(method: str, dtype: type, border: Border, seed: int) -> None:
    rng = np.random.default_rng(seed)
    psf = PointSpreads.from_dense([kernel(rng)])
    value = dtype(rng.normal())
    got = FORWARD[method](np.full_like(grown(rng, dtype, border, psf), value), psf, border=border)
    assert np.abs(got - value).max() <= TOLERANCE[dtype] * abs(value)


@every_method
@given(seed=seeds)
def test_flux_is_kept_circular_and_full(method: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    psf = PointSpreads.from_dense([kernel(rng)])
    x = np.abs(picture(rng, np.float64))
    got = FORWARD[method](x, psf, border=Border.CIRCULAR)
    assert abs(got.sum() - x.sum()) <= 1e-12 * x.sum()
    top, bottom, left, right = margins_px(psf.dy, psf.dx)
    full = np.pad(x, ((0, 0), (0, 0), (bottom, top), (right, left)))
    assert abs(FORWARD[method](full, psf, border=Border.CONSTANT).sum() - x.sum()) <= 1e-12 * x.sum()


@every_method
@every_dtype
@every_border
@given(seed=seeds)
def test_range_is_kept(method: str, dtype: type, border: Border, seed: int) -> None:
    rng = np.random.default_rng(seed)
    psf = PointSpreads.from_dense([kernel(rng)])
    x = grown(rng, dtype, border, psf)
    got = FORWARD[method](x, psf, border=border)
    low, high = float(x.min()), float(x.max())
    if border == Border.CONSTANT:
        low, high = min(low, 0.0), max(high, 0.0)
    eps = np.finfo(dtype).eps
    if method == "fft":
        slack = 16 * eps * np.log2(64 * 64) * np.sqrt((psf.weight**2).sum()) * np.linalg.norm(x)
    else:
        slack = (psf.weight.size + 1) * eps * float(np.abs(x).max())  # rounding of the weights and of the sum
    assert low - slack <= got.min()
    assert got.max() <= high + slack
    if method in DIRECT and border != Border.VALID:
        assert not (FORWARD[method](np.abs(x), psf, border=border) < 0).any()


@pytest.mark.parametrize("method", DIRECT)
@every_dtype
@given(seed=seeds)
def test_exact_zeros_beyond_the_support(method: str, dtype: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    k = kernel(rng)
    x = picture(rng, dtype, smallest=8)
    x[..., : x.shape[2] // 2, :] = 0
    x[..., :, : x.shape[3] // 2] = 0
    lit = np.zeros(x.shape[2:], bool)
    rows, columns = np.nonzero(k)
    for y, z in zip(*np.nonzero(x.any(axis=(0, 1))), strict=True):
        i, j = y + rows - k.shape[0] // 2, z + columns - k.shape[1] // 2
        seen = (i >= 0) & (i < lit.shape[0]) & (j >= 0) & (j < lit.shape[1])
        lit[i[seen], j[seen]] = True
    got = FORWARD[method](x, PointSpreads.from_dense([k]), border=Border.CONSTANT)
    assert not got[..., ~lit].any()


@every_dtype
@every_border
@given(seed=seeds)
def test_fourier_equals_direct(dtype: type, border: Border, seed: int) -> None:
    rng = np.random.default_rng(seed)
    psf = PointSpreads.from_dense([kernel(rng, largest=31) for _ in range(2)])
    x = grown(rng, dtype, border, psf, batch=2)
    for operators in (FORWARD, ADJOINT):
        direct, fourier = (operators[m](x, psf, border=border) for m in ("direct", "fft"))
        scale = max(np.abs(x).max(), np.abs(direct).max())
        assert np.abs(direct - fourier).max() <= TOLERANCE[dtype] * scale


@pytest.mark.parametrize("method", ["oracle", "direct", "fft"])
@given(seed=seeds)
def test_transfer_function_is_at_most_one(method: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    impulse = np.zeros((1, 1, 31, 32))
    impulse[..., 3, 5] = 1
    spread = FORWARD[method](impulse, PointSpreads.from_dense([kernel(rng)]), border=Border.CIRCULAR)
    transfer = np.abs(np.fft.fft2(spread[0, 0]))
    assert abs(transfer[0, 0] - 1) <= 1e-12
    assert transfer.max() <= 1 + 1e-12


@every_method
@every_dtype
@every_border
@given(seed=seeds, largest=st.sampled_from([3, 9, 41]))
def test_adjoint(method: str, dtype: type, border: Border, seed: int, largest: int) -> None:
    """``<A x, y> = <x, A' y>``, scaled by the norms, on small pictures: errors at the border drown in large ones."""
    rng = np.random.default_rng(seed)
    if method == "oracle":  # tap by tap in Python; pictures of a few pixels are smaller than these kernels too
        largest = min(largest, 9)
    psf = PointSpreads.from_dense([kernel(rng, largest=largest) for _ in range(2)])
    x = grown(rng, dtype, border, psf, batch=2)
    ax = FORWARD[method](x, psf, border=border)
    y = rng.normal(size=ax.shape).astype(dtype)
    aty = ADJOINT[method](y, psf, border=border)
    assert aty.shape == x.shape
    left = np.vdot(ax.astype(np.float64), y.astype(np.float64))
    right = np.vdot(x.astype(np.float64), aty.astype(np.float64))
    bound = 1e-12 if dtype == np.float64 else 1e-5
    assert abs(left - right) <= bound * np.linalg.norm(x.astype(np.float64)) * np.linalg.norm(y.astype(np.float64))


@every_method
@every_border
def test_every_picture_gets_its_own_point_spread(method: str, border: Border) -> None:
    rng = np.random.default_rng(11)
    psf = PointSpreads.from_dense([kernel(rng) for _ in range(3)])
    x = grown(rng, np.float64, border, psf, batch=3, smallest=20)
    for operators in (FORWARD, ADJOINT):
        together = operators[method](x, psf, border=border)
        top, bottom, left, right = margins_px(psf.dy, psf.dx)
        for b in range(3):
            alone = operators[method](x[b : b + 1], psf[b], border=border)
            if border == Border.VALID:
                t, o, le, r = margins_px(psf[b].dy, psf[b].dx)
                if operators is FORWARD:  # the batch drops what its largest point spread needs
                    height, width = alone.shape[2:]
                    alone = alone[..., top - t : height - (bottom - o), left - le : width - (right - r)]
                else:
                    alone = np.pad(alone, ((0, 0), (0, 0), (top - t, bottom - o), (left - le, right - r)))
            assert np.abs(together[b] - alone[0]).max() <= 1e-12
