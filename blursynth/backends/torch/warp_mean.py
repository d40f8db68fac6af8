"""The mean of the pictures that a moving camera sees, for tensors; derivatives by picture and inverse depth.

- ``blursynth::warp_mean`` ``A(q) x`` and ``blursynth::warp_mean_adjoint`` ``A(q)' g``, each the other's derivative;
- ``blursynth::warp_mean_depth`` ``sum_c g_c(p) sum_t w_t d/dq x_c(place(p, t, q))``, the derivative of
  ``<g, A(q) x>`` by the inverse depth q(p): the slope of the bilinear interpolation along the way that the place
  moves. Where a place is an integer it is the slope on the side of the larger coordinate.

Derivatives by depth are offered once: the operator for them has none of its own, and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from blursynth.backends.borders import continued_index
from blursynth.backends.checks import check_one_each, check_warps
from blursynth.backends.torch.operator import in_triton, linear_operator, operator
from blursynth.backends.torch.tensors import as_array, as_tensor, checked_image, checked_plane, packed
from blursynth.frame import Border
from blursynth.physics.warps import Warps

__all__ = ["warp_mean", "warp_mean_adjoint"]

Tensor = torch.Tensor


def _warps(matrix: Tensor, shift: Tensor, first: Tensor, weight: Tensor) -> Warps:
    return Warps(as_array(matrix), as_array(shift), as_array(first), as_array(weight))


def _unpack(depth: Tensor | None, *rest: Any) -> Any:
    *warps, border = rest
    depth_of = None if depth is None else as_array(depth)
    return {"warps": _warps(*warps), "inverse_depth": depth_of, "border": Border(border)}


def _by_depth(image: Tensor, gradient: Tensor, depth: Tensor, *warps: Any) -> Tensor:
    return _depth(image, gradient, depth, *warps).to(depth.dtype)


_WARPS = "Tensor matrix, Tensor shift, Tensor first, Tensor weight, str border"
_mean, _adjoint = linear_operator(
    "warp_mean",
    f"Tensor? inverse_depth, {_WARPS}",
    _unpack,
    "warp_mean_triton",
    derivatives={"inverse_depth": _by_depth},
    adds_atomically=True,
)


def _slope(
    image: Tensor,
    gradient: Tensor,
    depth: Tensor,
    matrix: Tensor,
    shift: Tensor,
    first: Tensor,
    weight: Tensor,
    border: str,
) -> Tensor:
    light, back = as_array(image), as_array(gradient)
    warps = _warps(matrix, shift, first, weight)
    batch, channels, height, width = light.shape
    slope = np.zeros((batch, height, width))
    x = np.arange(width, dtype=np.float64)
    for b in range(batch):
        n = b % len(warps)
        starts = np.broadcast_to(warps.first[n], (height,))
        shares = np.broadcast_to(warps.weight[n], (height, warps.weight.shape[2]))
        for time in range(warps.matrix.shape[1]):
            turn = time - starts
            rows = np.flatnonzero((turn >= 0) & (turn < shares.shape[1]))
            share = shares[rows, turn[rows]]
            if not share.any() or not warps.shift[n, time].any():
                continue
            m, move = warps.matrix[n, time], warps.shift[n, time]
            q, y = as_array(depth)[b][rows].astype(np.float64), rows[:, None].astype(np.float64)
            u, v, s = (m[i, 0] * x + m[i, 1] * y + m[i, 2] + q * move[i] for i in range(3))
            down, across = v / s, u / s
            per_row, per_column = (move[1] - down * move[2]) / s, (move[0] - across * move[2]) / s
            top, left = np.floor(down), np.floor(across)
            below, right = down - top, across - left
            for i, part_y, sign_y in ((0, 1 - below, -1.0), (1, below, 1.0)):
                iy = continued_index(top.astype(np.int64) + i, height, Border(border))
                for j, part_x, sign_x in ((0, 1 - right, -1.0), (1, right, 1.0)):
                    ix = continued_index(left.astype(np.int64) + j, width, Border(border))
                    change = sign_y * part_x * per_row + sign_x * part_y * per_column
                    change = np.where((iy >= 0) & (ix >= 0), change, 0.0) * share[:, None]
                    for c in range(channels):
                        slope[b, rows] += change * light[b, c][iy, ix] * back[b, c][rows]
    return as_tensor(slope.astype(light.dtype), image)


_depth = operator(
    "warp_mean_depth",
    f"Tensor image, Tensor gradient, Tensor inverse_depth, {_WARPS}",
    _slope,
    in_triton("warp_mean_triton", "warp_mean_depth"),
    shape=lambda image, *rest: image.new_empty((image.shape[0], *image.shape[2:])),
)


def _arguments(image: Tensor, warps: Warps, inverse_depth: Tensor | None, border: Border | str) -> tuple[Any, ...]:
    border = check_warps(checked_image(image).shape, warps, border)
    return (
        None if inverse_depth is None else checked_plane(inverse_depth, image, "inverse_depth"),
        *packed(warps.matrix, warps.shift, warps.first, warps.weight),
        border.value,
    )


def warp_mean(
    image: Tensor, warps: Warps | Sequence[Warps], inverse_depth: Tensor | None = None, *, border: Border | str
) -> Tensor:
    """``y(p) = sum_t weight(row of p, t) x(place(p, t))``: the weighted mean of warped pictures, bilinear."""
    if not isinstance(warps, Warps):
        check_one_each("warps", len(warps), len(checked_image(image)))
        if image.device.type == "cpu":
            depths = [None if inverse_depth is None else inverse_depth[b : b + 1] for b in range(len(image))]
            each = zip(warps, depths, strict=True)
            return torch.cat([warp_mean(image[b : b + 1], *one, border=border) for b, one in enumerate(each)])
        warps = Warps.concatenate(warps)
    return _mean(image, *_arguments(image, warps, inverse_depth, border))


def warp_mean_adjoint(
    image: Tensor, warps: Warps, inverse_depth: Tensor | None = None, *, border: Border | str
) -> Tensor:
    """The exact transpose of :func:`warp_mean`, with the same derivatives."""
    return _adjoint(image, *_arguments(image, warps, inverse_depth, border))
