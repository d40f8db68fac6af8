"""Convolution of tensors with a point spread that varies, and its derivatives by picture, weights and level.

``<g, A(w, l) x>`` with ``A(w, l)`` the varying convolution with the weights w at the levels l is linear in each of g, w
and x, and piecewise linear in l, so that the operators of this file are closed under differentiation:

- ``blursynth::convolve_varying`` ``A(w, l) x``, by g;
- ``blursynth::convolve_varying_adjoint`` ``A(w, l)' g``, by x;
- ``blursynth::convolve_varying_weights`` ``[sum_p w_n(p) g(p) x(p - t)]_(n, t)``, by w;
- by l(p), between two nodes: ``sum_c g_c(p) (A(w, n + 1) x - A(w, n) x)(p)``, n the node below l(p); 0 where l lies
  beyond the outermost nodes. At a node itself it is the slope above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from blursynth.backends import cpu
from blursynth.backends.torch.convolve import tap_products
from blursynth.backends.torch.tensors import (
    as_array,
    as_tensor,
    checked_border,
    checked_image,
    checked_plane,
    point_spreads,
    taps_of,
    weights_of,
)
from blursynth.errors import InvalidValueError
from blursynth.frame import Border
from blursynth.physics.point_spread_field import PointSpreadField

__all__ = ["convolve_varying", "convolve_varying_adjoint"]

Tensor = torch.Tensor


def _field(
    start: Tensor, dy: Tensor, dx: Tensor, weight: Tensor, grid: Sequence[int], first: Tensor, step: Sequence[float]
) -> PointSpreadField:
    levels, rows, columns = grid
    psf = point_spreads(start, dy, dx, weight)
    return PointSpreadField(psf, levels, rows, columns, as_array(first), (step[0], step[1]))


def _varying_cpu(
    image: Tensor,
    level: Tensor | None,
    start: Tensor,
    dy: Tensor,
    dx: Tensor,
    weight: Tensor,
    grid: Sequence[int],
    first: Tensor,
    step: Sequence[float],
    border: str,
) -> Tensor:
    field = _field(start, dy, dx, weight, grid, first, step)
    place = None if level is None else as_array(level)
    return as_tensor(cpu.convolve_varying(as_array(image), field, place, border=Border(border)), image)


def _adjoint_cpu(
    image: Tensor,
    level: Tensor | None,
    start: Tensor,
    dy: Tensor,
    dx: Tensor,
    weight: Tensor,
    grid: Sequence[int],
    first: Tensor,
    step: Sequence[float],
    border: str,
) -> Tensor:
    field = _field(start, dy, dx, weight, grid, first, step)
    place = None if level is None else as_array(level)
    return as_tensor(cpu.convolve_varying_adjoint(as_array(image), field, place, border=Border(border)), image)


def _varying_cuda(image: Tensor, level: Tensor | None, *rest: Any) -> Tensor:
    from blursynth.backends.torch.convolve_varying_triton import convolve_varying

    return convolve_varying(image, level, *rest)


def _adjoint_cuda(image: Tensor, level: Tensor | None, *rest: Any) -> Tensor:
    from blursynth.backends.torch.convolve_varying_triton import convolve_varying_adjoint

    return convolve_varying_adjoint(image, level, *rest)


def _hat(place: Tensor, nodes: int, number: int) -> Tensor:
    return (1 - (place.clamp(0, nodes - 1) - number).abs()).clamp(min=0)


def _weights_any(
    image: Tensor,
    gradient: Tensor,
    level: Tensor | None,
    start: Tensor,
    dy: Tensor,
    dx: Tensor,
    grid: Sequence[int],
    first: Tensor,
    step: Sequence[float],
    border: str,
) -> Tensor:
    levels, rows, columns = grid
    nodes = levels * rows * columns
    batch, _, height, width = image.shape
    number = as_array(start).tolist()
    below, right = as_array(dy), as_array(dx)
    out = torch.zeros(dy.numel(), dtype=torch.float64, device=image.device)
    corner = first.to(image.device)
    for b in range(batch):
        origin = corner[b % len(corner)]
        y = (torch.arange(height, device=image.device) - origin[0]) / step[0]
        x = (torch.arange(width, device=image.device) - origin[1]) / step[1]
        for n in range(nodes):
            at, i, j = n // (rows * columns), n // columns % rows, n % columns
            down, across = _hat(y, rows, i), _hat(x, columns, j)
            lit_rows, lit_columns = down.nonzero()[:, 0], across.nonzero()[:, 0]
            if not (len(lit_rows) and len(lit_columns)):
                continue
            # The node's weight is not zero in a box only.
            top, left = int(lit_rows[0]), int(lit_columns[0])
            box = (slice(top, int(lit_rows[-1]) + 1), slice(left, int(lit_columns[-1]) + 1))
            share = down[box[0], None] * across[box[1]]
            if level is not None:
                share = share * _hat(level[b][box].to(torch.float64), levels, at)
            psf = (b * nodes if len(number) - 1 > nodes else 0) + n
            taps = slice(number[psf], number[psf + 1])
            light = share * gradient[b][(slice(None), *box)]
            out[taps] += tap_products(image[b], light, below[taps], right[taps], border, (top, left))
    return out


_FIELD = "Tensor start, Tensor dy, Tensor dx, Tensor weight, int[] grid, Tensor first, float[] step, str border"
_varying = torch.library.custom_op(
    "blursynth::convolve_varying",
    _varying_cpu,
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor image, Tensor? level, {_FIELD}) -> Tensor",
)
_adjoint = torch.library.custom_op(
    "blursynth::convolve_varying_adjoint",
    _adjoint_cpu,
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor image, Tensor? level, {_FIELD}) -> Tensor",
)
_weights = torch.library.custom_op(
    "blursynth::convolve_varying_weights",
    _weights_any,
    mutates_args=(),
    schema=f"(Tensor image, Tensor gradient, Tensor? level, {_FIELD.replace('Tensor weight, ', '')}) -> Tensor",
)
_varying.register_kernel("cuda")(_varying_cuda)
_adjoint.register_kernel("cuda")(_adjoint_cuda)


def _same_shape(image: Tensor, *rest: Any) -> Tensor:
    return image.new_empty(image.shape)


def _weights_shape(image: Tensor, gradient: Any, level: Any, start: Any, dy: Tensor, *rest: Any) -> Tensor:
    return image.new_empty((dy.shape[0],), dtype=torch.float64)


_varying.register_fake(_same_shape)
_adjoint.register_fake(_same_shape)
_weights.register_fake(_weights_shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    image, level, start, dy, dx, weight, ctx.grid, first, ctx.step, ctx.border = inputs
    kept = image if ctx.needs_input_grad[1] or ctx.needs_input_grad[5] else None
    ctx.save_for_backward(kept, level, start, dy, dx, weight, first)


def _by_level(image: Tensor, gradient: Tensor, level: Tensor, *field: Any) -> Tensor:
    """``sum_c g_c(p) (A(n + 1) x - A(n) x)(p)``."""
    levels = field[4][0]
    if levels == 1:
        return torch.zeros_like(level)
    below = level.detach().clamp(0, levels - 1).floor().clamp(max=levels - 2)
    slope = (gradient * (_varying(image, below + 1, *field) - _varying(image, below, *field))).sum(dim=1)
    inside = (level >= 0) & (level <= levels - 1)
    return torch.where(inside, slope, 0.0).to(level.dtype)


def _varying_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    image, level, start, dy, dx, weight, first = ctx.saved_tensors
    field = (start, dy, dx, weight, ctx.grid, first, ctx.step, ctx.border)
    needed = ctx.needs_input_grad
    by_image = _adjoint(gradient, level, *field) if needed[0] else None
    by_level = _by_level(image, gradient, level, *field) if needed[1] else None
    by_weight = _by_weight(image, gradient, level, field) if needed[5] else None
    return by_image, by_level, None, None, None, by_weight, None, None, None, None


def _adjoint_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    image, level, start, dy, dx, weight, first = ctx.saved_tensors
    field = (start, dy, dx, weight, ctx.grid, first, ctx.step, ctx.border)
    needed = ctx.needs_input_grad
    by_image = _varying(gradient, level, *field) if needed[0] else None
    by_level = _by_level(gradient, image, level, *field) if needed[1] else None
    by_weight = _by_weight(gradient, image, level, field) if needed[5] else None
    return by_image, by_level, None, None, None, by_weight, None, None, None, None


def _by_weight(image: Tensor, gradient: Tensor, level: Tensor | None, field: tuple[Any, ...]) -> Tensor:
    weight = field[3]
    return _weights(image, gradient, level, *field[:3], *field[4:]).to(weight.device)


def _keep_both(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    image, other, level, start, dy, dx, ctx.grid, first, ctx.step, ctx.border = inputs
    ctx.save_for_backward(image, other, level, start, dy, dx, first)


def _weights_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    image, other, level, start, dy, dx, first = ctx.saved_tensors
    field = (start, dy, dx, gradient, ctx.grid, first, ctx.step, ctx.border)
    needed = ctx.needs_input_grad
    by_image = _adjoint(other, level, *field) if needed[0] else None
    by_other = _varying(image, level, *field) if needed[1] else None
    by_level = _by_level(image, other, level, *field) if needed[2] else None
    return by_image, by_other, by_level, None, None, None, None, None, None, None


_varying.register_autograd(_varying_backward, setup_context=_keep)
_adjoint.register_autograd(_adjoint_backward, setup_context=_keep)
_weights.register_autograd(_weights_backward, setup_context=_keep_both)


def _arguments(
    image: Tensor, field: PointSpreadField, level: Tensor | None, border: Border | str, weight: Tensor | None
) -> tuple[Any, ...]:
    checked_image(image)
    border = checked_border(border)
    if border == Border.VALID:
        raise InvalidValueError(
            "border='valid' has no meaning where the point spread varies.",
            why="The margin to drop would differ from pixel to pixel.",
            fix="Use another border and crop the result.",
        )
    if len(field) not in (1, len(image)) or len(field.first_px) not in (1, len(image)):
        raise InvalidValueError(
            f"The field must be for the {len(image)} pictures of the batch, or one for all, got {len(field)} "
            f"with {len(field.first_px)} positions."
        )
    if level is None and field.levels > 1:
        raise InvalidValueError(f"A field of {field.levels} levels needs the level of every pixel, got None.")
    return (
        None if level is None else checked_plane(level, image, "level"),
        *taps_of(field.psf),
        weights_of(field.psf, weight),
        [field.levels, field.rows, field.columns],
        torch.from_numpy(field.first_px),
        [float(step) for step in field.step_px],
        border.value,
    )


def convolve_varying(
    image: Tensor,
    field: PointSpreadField,
    level: Tensor | None = None,
    *,
    border: Border | str,
    weight: Tensor | None = None,
) -> Tensor:
    """The gather form, blur then mask: ``y(p) = sum_n w_n(p) (k_n * x)(p)``, n over the nodes of the field.

    Parameters
    ----------
    image
        ``[B, C, H, W]``, float32 or float64, on the CPU or a CUDA device.
    field
        Point spreads at the nodes.
    level
        ``[B, H, W]`` on the picture's device: place of every pixel on the scale of the field's levels, clipped; None
        when there is one level only. Not finite: refused on the CPU, NaN in the result on CUDA, where looking would
        wait for the device.
    border
        How the pictures go on beyond their edge; not ``VALID``.
    weight
        ``[T]`` shares of all taps instead of ``field.psf.weight``, for point spreads that are learned or fitted.

    Returns
    -------
    Tensor
        ``[B, C, H, W]``; differentiable by ``image``, ``level`` (hence by depth) and ``weight``.

    Raises
    ------
    InvalidValueError
        Types, shapes or batches that do not fit; a level is missing; border ``VALID``.

    Notes
    -----
    No derivative by ``first_px``. The one by ``weight`` costs one pass per tap over the part of the picture that the
    node reaches.
    """
    return _varying(image, *_arguments(image, field, level, border, weight))


def convolve_varying_adjoint(
    image: Tensor,
    field: PointSpreadField,
    level: Tensor | None = None,
    *,
    border: Border | str,
    weight: Tensor | None = None,
) -> Tensor:
    """The exact transpose of :func:`convolve_varying`; with ``field.flipped()`` the scatter form, mask then blur.

    Parameters and derivatives as there.
    """
    return _adjoint(image, *_arguments(image, field, level, border, weight))
