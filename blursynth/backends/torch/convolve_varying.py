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

from blursynth.backends.checks import check_convolve_varying
from blursynth.backends.torch.convolve import tap_products
from blursynth.backends.torch.operator import linear_operator, operator
from blursynth.backends.torch.tensors import as_array, checked_image, checked_plane, packed, point_spreads, taps_of
from blursynth.frame import Border
from blursynth.physics.point_spread_field import PointSpreadField

__all__ = ["convolve_varying", "convolve_varying_adjoint"]

Tensor = torch.Tensor


def _unpack(level: Tensor | None, *field: Any) -> Any:
    *taps, (levels, rows, columns), first, step, border = field
    spreads = PointSpreadField(point_spreads(*taps), levels, rows, columns, as_array(first), tuple(step))
    return {"field": spreads, "level": None if level is None else as_array(level), "border": Border(border)}


def _hat(place: Tensor, nodes: int, number: int) -> Tensor:
    return (1 - (place.clamp(0, nodes - 1) - number).abs()).clamp(min=0)


def _sum_over_pixels(
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


def _by_level(image: Tensor, gradient: Tensor, level: Tensor, *field: Any) -> Tensor:
    """``sum_c g_c(p) (A(n + 1) x - A(n) x)(p)``."""
    levels = field[4][0]
    if levels == 1:
        return torch.zeros_like(level)
    below = level.detach().clamp(0, levels - 1).floor().clamp(max=levels - 2)
    slope = (gradient * (_varying(image, below + 1, *field) - _varying(image, below, *field))).sum(dim=1)
    inside = (level >= 0) & (level <= levels - 1)
    return torch.where(inside, slope, 0.0).to(level.dtype)


def _by_weight(image: Tensor, gradient: Tensor, level: Tensor | None, *field: Any) -> Tensor:
    return _weights(image, gradient, level, *field[:3], *field[4:]).to(field[3].device)


_TAPS, _GRID = "Tensor start, Tensor dy, Tensor dx", "int[] grid, Tensor first, float[] step, str border"
_varying, _adjoint = linear_operator(
    "convolve_varying",
    f"Tensor? level, {_TAPS}, Tensor weight, {_GRID}",
    _unpack,
    "convolve_varying_triton",
    derivatives={"level": _by_level, "weight": _by_weight},
)


def _with_weight(w: Tensor, level: Tensor | None, start: Tensor, dy: Tensor, dx: Tensor, *grid: Any) -> tuple[Any, ...]:
    return level, start, dy, dx, w, *grid


_weights = operator(
    "convolve_varying_weights",
    f"Tensor image, Tensor gradient, Tensor? level, {_TAPS}, {_GRID}",
    _sum_over_pixels,
    shape=lambda image, gradient, level, start, dy, *rest: image.new_empty((dy.shape[0],), dtype=torch.float64),
    derivatives={
        "image": lambda w, image, gradient, *rest: _adjoint(gradient, *_with_weight(w, *rest)),
        "gradient": lambda w, image, gradient, *rest: _varying(image, *_with_weight(w, *rest)),
        "level": lambda w, image, gradient, *rest: _by_level(image, gradient, *_with_weight(w, *rest)),
    },
)


def _arguments(
    image: Tensor, field: PointSpreadField, level: Tensor | None, border: Border | str, weight: Tensor | None
) -> tuple[Any, ...]:
    border = check_convolve_varying(checked_image(image).shape, field, level, border)
    return (
        None if level is None else checked_plane(level, image, "level"),
        *taps_of(field.psf, weight),
        [field.levels, field.rows, field.columns],
        *packed(field.first_px),
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
    """The gather form, blur then mask; differentiable by ``image``, ``level`` (hence by depth) and ``weight``."""
    return _varying(image, *_arguments(image, field, level, border, weight))


def convolve_varying_adjoint(
    image: Tensor,
    field: PointSpreadField,
    level: Tensor | None = None,
    *,
    border: Border | str,
    weight: Tensor | None = None,
) -> Tensor:
    """The exact transpose of :func:`convolve_varying`, with the same derivatives."""
    return _adjoint(image, *_arguments(image, field, level, border, weight))
