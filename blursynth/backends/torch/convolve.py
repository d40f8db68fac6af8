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

from blursynth.backends import cpu
from blursynth.backends.oracle.convolve import check_valid_size, continued_index, valid_margins_px
from blursynth.backends.torch.tensors import (
    as_array,
    as_tensor,
    checked_border,
    checked_image,
    point_spreads,
    taps_of,
    weights_of,
)
from blursynth.errors import InvalidValueError
from blursynth.frame import Border
from blursynth.physics.point_spread import PointSpreads

__all__ = ["convolve", "convolve_adjoint", "tap_products"]

Tensor = torch.Tensor


def _convolve_cpu(
    image: Tensor, start: Tensor, dy: Tensor, dx: Tensor, weight: Tensor, border: str, margins: Sequence[int]
) -> Tensor:
    return as_tensor(cpu.convolve(as_array(image), point_spreads(start, dy, dx, weight), border=Border(border)), image)


def _adjoint_cpu(
    image: Tensor, start: Tensor, dy: Tensor, dx: Tensor, weight: Tensor, border: str, margins: Sequence[int]
) -> Tensor:
    psf = point_spreads(start, dy, dx, weight)
    return as_tensor(cpu.convolve_adjoint(as_array(image), psf, border=Border(border)), image)


def _weights_any(
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


def _convolve_cuda(
    image: Tensor, start: Tensor, dy: Tensor, dx: Tensor, weight: Tensor, border: str, margins: Sequence[int]
) -> Tensor:
    from blursynth.backends.torch.convolve_triton import convolve

    return convolve(image, start, dy, dx, weight, border, margins)


def _adjoint_cuda(
    image: Tensor, start: Tensor, dy: Tensor, dx: Tensor, weight: Tensor, border: str, margins: Sequence[int]
) -> Tensor:
    from blursynth.backends.torch.convolve_triton import convolve_adjoint

    return convolve_adjoint(image, start, dy, dx, weight, border, margins)


_TAPS = "Tensor start, Tensor dy, Tensor dx"
_convolve = torch.library.custom_op(
    "blursynth::convolve",
    _convolve_cpu,
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor image, {_TAPS}, Tensor weight, str border, int[] margins) -> Tensor",
)
_adjoint = torch.library.custom_op(
    "blursynth::convolve_adjoint",
    _adjoint_cpu,
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor image, {_TAPS}, Tensor weight, str border, int[] margins) -> Tensor",
)
_weights = torch.library.custom_op(
    "blursynth::convolve_weights",
    _weights_any,
    mutates_args=(),
    schema=f"(Tensor image, Tensor gradient, {_TAPS}, str border, int[] margins) -> Tensor",
)
_convolve.register_kernel("cuda")(_convolve_cuda)
_adjoint.register_kernel("cuda")(_adjoint_cuda)


@_convolve.register_fake
def _convolve_shape(image: Tensor, start: Any, dy: Any, dx: Any, weight: Any, border: str, margins: Any) -> Tensor:
    batch, channels, height, width = image.shape
    top, bottom, left, right = margins
    return image.new_empty((batch, channels, height - top - bottom, width - left - right))


@_adjoint.register_fake
def _adjoint_shape(image: Tensor, start: Any, dy: Any, dx: Any, weight: Any, border: str, margins: Any) -> Tensor:
    batch, channels, height, width = image.shape
    top, bottom, left, right = margins
    return image.new_empty((batch, channels, height + top + bottom, width + left + right))


@_weights.register_fake
def _weights_shape(image: Tensor, gradient: Any, start: Any, dy: Tensor, dx: Any, border: str, margins: Any) -> Tensor:
    return image.new_empty((dy.shape[0],), dtype=torch.float64)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    image, start, dy, dx, weight, ctx.border, ctx.margins = inputs
    # The picture is kept only for a derivative that needs it.
    ctx.save_for_backward(image if ctx.needs_input_grad[4] else None, start, dy, dx, weight)


def _convolve_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    image, start, dy, dx, weight = ctx.saved_tensors
    rest = (ctx.border, ctx.margins)
    by_image = _adjoint(gradient, start, dy, dx, weight, *rest) if ctx.needs_input_grad[0] else None
    by_weight = None
    if ctx.needs_input_grad[4]:
        by_weight = _weights(image, gradient, start, dy, dx, *rest).to(weight.device)
    return by_image, None, None, None, by_weight, None, None


def _adjoint_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    image, start, dy, dx, weight = ctx.saved_tensors
    rest = (ctx.border, ctx.margins)
    by_image = _convolve(gradient, start, dy, dx, weight, *rest) if ctx.needs_input_grad[0] else None
    by_weight = None
    if ctx.needs_input_grad[4]:
        by_weight = _weights(gradient, image, start, dy, dx, *rest).to(weight.device)
    return by_image, None, None, None, by_weight, None, None


def _keep_both(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    image, other, start, dy, dx, ctx.border, ctx.margins = inputs
    ctx.save_for_backward(image, other, start, dy, dx)


def _weights_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    image, other, start, dy, dx = ctx.saved_tensors
    rest = (ctx.border, ctx.margins)
    by_image = _adjoint(other, start, dy, dx, gradient, *rest) if ctx.needs_input_grad[0] else None
    by_other = _convolve(image, start, dy, dx, gradient, *rest) if ctx.needs_input_grad[1] else None
    return by_image, by_other, None, None, None, None, None


_convolve.register_autograd(_convolve_backward, setup_context=_keep)
_adjoint.register_autograd(_adjoint_backward, setup_context=_keep)
_weights.register_autograd(_weights_backward, setup_context=_keep_both)


def _checked(image: Tensor, psf: PointSpreads, border: Border | str) -> tuple[Border, tuple[int, int, int, int]]:
    checked_image(image)
    border = checked_border(border)
    if len(psf) not in (1, image.shape[0]):
        raise InvalidValueError(
            f"psf must hold one point spread for each of the {image.shape[0]} pictures, or a single one, "
            f"got {len(psf)}.",
            why="Which picture gets which blur would be a guess.",
            fix="Pass psf[b] for one picture, or build the batch with PointSpreads.from_dense.",
        )
    return border, valid_margins_px(psf) if border == Border.VALID else (0, 0, 0, 0)


def convolve(image: Tensor, psf: PointSpreads, *, border: Border | str, weight: Tensor | None = None) -> Tensor:
    """True convolution of every picture with its own point spread: ``y[b](p) = sum_t w_t x[b](p - (dy_t, dx_t))``.

    Parameters
    ----------
    image
        ``[B, C, H, W]``, float32 or float64, on the CPU (numba, on shared memory) or a CUDA device (Triton).
    psf
        B point spreads, or one for all. They are made on the CPU in float64 wherever the picture lies.
    border
        How the pictures go on beyond their edge; see :class:`Border`.
    weight
        ``[T]`` shares of the taps instead of ``psf.weight``: the way to a point spread that is learned or fitted.

    Returns
    -------
    Tensor
        ``[B, C, H', W']`` on the picture's device; differentiable by ``image`` and ``weight`` as often as wanted.

    Raises
    ------
    InvalidValueError
        The image is of another type or shape; the batches differ; ``VALID`` leaves nothing; no such border; not one
        weight per tap.

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
    check_valid_size(tuple(image.shape), margins)
    return _convolve(image, *taps_of(psf), weights_of(psf, weight), border.value, margins)


def convolve_adjoint(image: Tensor, psf: PointSpreads, *, border: Border | str, weight: Tensor | None = None) -> Tensor:
    """The exact transpose of :func:`convolve`, borders included; parameters and derivatives as there.

    For ``VALID`` the image has the small size that :func:`convolve` returns, and the result the large one.
    """
    border, margins = _checked(image, psf, border)
    return _adjoint(image, *taps_of(psf), weights_of(psf, weight), border.value, margins)
