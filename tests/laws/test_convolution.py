"""The laws of convolution and of its adjoint (docs/laws.md, "Convolution" and "Adjoint"), by every method.

Those of the kit for pictures that keep their size; here is what it does not know: borders that drop pixels, zeros that
are exact, batches whose point spreads differ, and that two methods agree.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from held import ACCURACY, OF_OPERATORS, hold
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from blursynth.backends import cpu, oracle
from blursynth.backends.borders import margins_px
from blursynth.frame import Border
from blursynth.physics.point_spread import PointSpreads
from blursynth.testing import Adapter, laws
from blursynth.testing.strategies import point_spreads

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
# Errors relative to the largest pixel, for kernels of sum 1.
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}
OF_CONVOLUTION = (
    *OF_OPERATORS,
    *(laws.impulse_response, laws.flux, laws.translation, laws.border, laws.no_wrap_around, laws.saturation),
)

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
@pytest.mark.parametrize("dtype", list(ACCURACY))
@given(data=st.data(), border=st.sampled_from(SAME_SIZE), psf=point_spreads(), total=st.sampled_from([1.0, 0.4]))
@settings(max_examples=15)
def test_laws(method: str, dtype: str, data: st.DataObject, border: Border, psf: PointSpreads, total: float) -> None:
    """With any point spread, larger than the picture too, and one of a short exposure."""
    psf = PointSpreads(psf.start, psf.dy, psf.dx, total * psf.weight, psf.lost)
    forth, back = (partial(form[method], psf=psf, border=border) for form in (FORWARD, ADJOINT))
    adapter = Adapter(
        layout="NCHW",
        dtype=dtype,
        channels=2,
        accuracy=ACCURACY[dtype],
        reach_px=int(psf.reach_px()[0]),
        border=str(border),
        largest=4.0,
        kernel=psf.to_dense(),
        adjoint=back,
        exempt={} if total == 1.0 else dict.fromkeys(("flux", "constants", "value_range"), "less light arrives"),
    )
    hold(data, forth, adapter, OF_CONVOLUTION)


@every_method
@every_dtype
@given(seed=seeds)
def test_a_border_that_drops_pixels_shows_the_middle_of_any_other(method: str, dtype: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    psf = PointSpreads.from_dense([kernel(rng)])
    x = grown(rng, dtype, Border.VALID, psf)
    top, bottom, left, right = margins_px(psf.dy, psf.dx)
    whole = FORWARD[method](x, psf, border=Border.CONSTANT)
    middle = whole[..., top : x.shape[2] - bottom, left : x.shape[3] - right]
    got = FORWARD[method](x, psf, border=Border.VALID)
    assert got.shape == middle.shape
    assert np.abs(got - middle).max() <= TOLERANCE[dtype] * np.abs(x).max()


@pytest.mark.parametrize("method", DIRECT)
@every_dtype
@given(seed=seeds)
def test_exact_zeros_beyond_the_support(method: str, dtype: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    k = kernel(rng)
    x = np.abs(picture(rng, dtype, smallest=8))
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
    assert not (got < 0).any()


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
