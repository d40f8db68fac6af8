"""Convolution of tensors: numba on the CPU, Triton on the GPU, and derivatives of any order.

``<g, A(w) x>`` with ``A(w)`` the convolution with the weights w is linear in each of g, w and x. Its three derivatives
are the three operators of this file, and the derivatives of these are again among them:

- ``blursynth::convolve`` ``A(w) x``, by g;
- ``blursynth::convolve_adjoint`` ``A(w)' g``, by x;
- ``blursynth::convolve_weights`` ``[sum_p g(p) x(p - t)]_t``, by w.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blursynth.backends.borders import continued_index, margins_px
from blursynth.backends.checks import check_convolve, check_valid_size
from blursynth.backends.torch.operator import linear_operator, operator
from blursynth.backends.torch.tensors import as_array, checked_image, point_spreads, taps_of
from blursynth.frame import Border
from blursynth.physics.point_spread import PointSpreads

__all__ = ["convolve", "convolve_adjoint", "tap_products"]

Tensor = torch.Tensor


def _unpack(start: Tensor, dy: Tensor, dx: Tensor, weight: Tensor, border: str, margins: Sequence[int]) -> Any:
    return {"psf": point_spreads(start, dy, dx, weight), "border": Border(border)}


def _smaller(image: Tensor, *rest: Any) -> Tensor:
    *size, height, width = image.shape
    top, bottom, left, right = rest[-1]
    return image.new_empty((*size, height - top - bottom, width - left - right))


def _larger(image: Tensor, *rest: Any) -> Tensor:
    return _smaller(image, [-margin for margin in rest[-1]])


def _by_weight(image: Tensor, gradient: Tensor, start: Tensor, dy: Tensor, dx: Tensor, *rest: Any) -> Tensor:
    weight, border, margins = rest
    return _weights(image, gradient, start, dy, dx, border, margins).to(weight.device)


_TAPS = "Tensor start, Tensor dy, Tensor dx"
_convolve, _adjoint = linear_operator(
    "convolve",
    f"{_TAPS}, Tensor weight, str border, int[] margins",
    _unpack,
    "convolve_triton",
    shapes=(_smaller, _larger),
    derivatives={"weight": _by_weight},
)


def _sum_over_pixels(
    image: Tensor, gradient: Tensor, start: Tensor, dy: Tensor, dx: Tensor, border: str, margins: Sequence[int]
) -> Tensor:
    out = torch.zeros(dy.numel(), dtype=torch.float64, device=image.device)
    first = as_array(start).tolist()
    rows, columns = as_array(dy), as_array(dx)
    for b in range(image.shape[0]):
        taps = slice(first[b], first[b + 1]) if len(first) > 2 else slice(0, first[1])
        origin = (margins[0], margins[2])
        out[taps] += tap_products(image[b], gradient[b], rows[taps], columns[taps], border, origin)
    return out


_weights = operator(
    "convolve_weights",
    f"Tensor image, Tensor gradient, {_TAPS}, str border, int[] margins",
    _sum_over_pixels,
    shape=lambda image, gradient, start, dy, *rest: image.new_empty((dy.shape[0],), dtype=torch.float64),
    derivatives={
        "image": lambda w, image, gradient, start, dy, dx, *rest: _adjoint(gradient, start, dy, dx, w, *rest),
        "gradient": lambda w, image, gradient, start, dy, dx, *rest: _convolve(image, start, dy, dx, w, *rest),
    },
)


def tap_products(
    image: Tensor,
    gradient: Tensor,
    dy: NDArray[np.int32],
    dx: NDArray[np.int32],
    border: str,
    origin: tuple[int, int] = (0, 0),
) -> Tensor:
    """``[T]`` ``sum_p g(p) E x(p - t)`` of one picture, in float64: one pass over the gradient per tap.

    ``gradient`` ``[C, h, w]`` lies with its first pixel at ``origin`` of ``image`` ``[C, H, W]``.
    """
    if not dy.size:
        return image.new_zeros(0, dtype=torch.float64)
    height, width = image.shape[1:]
    high, wide = gradient.shape[1:]
    top, left = origin
    rows = continued_index(np.arange(top - dy.max(), top + high - dy.min()), height, Border(border))
    columns = continued_index(np.arange(left - dx.max(), left + wide - dx.min()), width, Border(border))
    y, x = torch.from_numpy(rows).to(image.device), torch.from_numpy(columns).to(image.device)
    seen = (y >= 0)[:, None] & (x >= 0)
    grown = torch.where(seen, image[:, y][:, :, x], image.new_zeros(())).to(torch.float64)
    light = gradient.to(torch.float64)
    places = zip((dy.max() - dy).tolist(), (dx.max() - dx).tolist(), strict=True)
    return torch.stack([(light * grown[:, i : i + high, j : j + wide]).sum() for i, j in places])


def _checked(image: Tensor, psf: PointSpreads, border: Border | str) -> tuple[Border, tuple[int, int, int, int]]:
    border = check_convolve(checked_image(image).shape, psf, border)
    return border, margins_px(psf.dy, psf.dx) if border == Border.VALID else (0, 0, 0, 0)


def convolve(image: Tensor, psf: PointSpreads, *, border: Border | str, weight: Tensor | None = None) -> Tensor:
    """True convolution of every picture with its own point spread; ``weight`` replaces ``psf.weight``.

    Examples
    --------
    >>> psf = PointSpreads.from_dense([np.array([[0.25, 0.5, 0.25]])])
    >>> weight = torch.from_numpy(psf.weight).requires_grad_()
    >>> row = torch.tensor([[[[0.0, 0.0, 1.0, 0.0, 0.0]]]], dtype=torch.float64)
    >>> blurred = convolve(row, psf, border="reflect", weight=weight)
    >>> blurred.tolist()
    [[[[0.0, 0.25, 0.5, 0.25, 0.0]]]]
    >>> blurred[..., 2].sum().backward()
    >>> weight.grad.tolist()
    [0.0, 1.0, 0.0]
    """
    border, margins = _checked(image, psf, border)
    check_valid_size(image.shape, margins)
    return _convolve(image, *taps_of(psf, weight), border.value, margins)


def convolve_adjoint(image: Tensor, psf: PointSpreads, *, border: Border | str, weight: Tensor | None = None) -> Tensor:
    """The exact transpose of :func:`convolve`, borders included."""
    border, margins = _checked(image, psf, border)
    return _adjoint(image, *taps_of(psf, weight), border.value, margins)
