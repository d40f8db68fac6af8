"""The Triton kernels against the oracle: on a GPU if there is one, else in Triton's interpreter on tiny pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from blursynth.backends import reference
from blursynth.frame import Border
from blursynth.physics.colour import srgb_codes

torch = pytest.importorskip("torch", reason="the kernels take tensors of torch")
pytest.importorskip("triton", reason="the kernels are written in Triton")

SAME_SIZE = [b for b in Border if b != Border.VALID]
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def taps(psf: Any) -> tuple[Any, ...]:
    return tuple(torch.from_numpy(a) for a in (psf.start, psf.dy, psf.dx, psf.weight))


def close(got: Any, expected: np.ndarray, dtype: type) -> None:
    assert got.cpu().numpy().dtype == dtype
    assert got.shape == expected.shape
    assert np.abs(got.cpu().numpy() - expected).max() <= TOLERANCE[dtype] * max(1.0, np.abs(expected).max())


@every_dtype
@pytest.mark.parametrize("border", list(Border))
@pytest.mark.parametrize("batch", [1, 2])
def test_convolve(border: Border, dtype: type, batch: int, device: str, make_point_spreads: Callable[..., Any]) -> None:
    from blursynth.backends.cuda.convolve import convolve, convolve_adjoint

    rng = np.random.default_rng(1)
    psf = make_point_spreads(rng, batch, size=(3, 4))
    margins = reference.valid_margins_px(psf) if border == Border.VALID else (0, 0, 0, 0)
    shape = (9, 11) if border == Border.VALID else (3, 130) if batch == 1 else (10, 2)
    image = rng.normal(size=(2, 2, *shape)).astype(dtype)
    there = torch.from_numpy(image).to(device)
    got = convolve(there, *taps(psf), border.value, margins)
    close(got, reference.convolve(image.astype(np.float64), psf, border=border), dtype)
    back = convolve_adjoint(got, *taps(psf), border.value, margins)
    close(back, reference.convolve_adjoint(got.cpu().numpy().astype(np.float64), psf, border=border), dtype)


@every_dtype
def test_srgb(dtype: type, device: str) -> None:
    from blursynth.backends.cuda.srgb import srgb_decode, srgb_encode

    rng = np.random.default_rng(2)
    image = rng.uniform(-0.2, 1.5, (3, 2, 5, 7)).astype(dtype)
    image[0, 0, 0, :3] = (0.0, 1.0, 0.5)
    there = torch.from_numpy(image).to(device)
    close(srgb_decode(there), reference.srgb_decode(image.astype(np.float64)), dtype)
    got = srgb_encode(there, [0, 255, 65535])
    close(got[:1], reference.srgb_encode(image[:1].astype(np.float64)), dtype)
    for b, levels in ((1, 255), (2, 65535)):
        assert np.array_equal(np.rint(got[b].cpu().numpy().astype(np.float64) * levels), srgb_codes(image[b], levels))
