"""Convolution with a point spread that varies, and its transpose, in Triton.

A program makes a tile of the result. It goes through the nodes that have weight anywhere in the tile: where the level
is smooth, one or two levels and at most 2 x 2 places. For each it sums over the taps, which are the same for the whole
tile, and adds the sum times each pixel's own weight of the node.

The transpose gathers too, so it does not change from run to run: in the picture grown by the taps' reach, pixel r
collects ``sum_n sum_t k_n(t) w_n(r + t) y(r + t)`` over all levels (any of them may lie within reach) and the places
near the tile; the margin is then folded back. It costs all levels where the forward one costs two.

Floor: the picture and the level are read, the result written (8 bytes per pixel and channel and 4 per pixel in
float32); with T taps per node and N nodes in a tile, 2 N T operations and N T loads from the first cache per pixel and
channel.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc"

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from blursynth.backends.borders import BORDER_CODES, margins_px
from blursynth.backends.torch.convolve_triton import fold
from blursynth.backends.torch.grid_triton import continued, on_device_of, shines, tiles
from blursynth.backends.torch.tensors import sent
from blursynth.frame import Border

__all__ = ["convolve_varying", "convolve_varying_adjoint"]

Tensor = torch.Tensor
_ROWS, _COLUMNS = 8, 64


@triton.jit
def _node_place(pixel, first, step, nodes):
    """Place of pixels on the scale of the nodes 0 .. nodes - 1, clipped."""
    return tl.minimum(tl.maximum((pixel - first) / step, 0.0), nodes - 1.0)


@triton.jit
def _hat(place, node):
    return tl.maximum(1.0 - tl.abs(place - node), 0.0)


@triton.jit
def _varying(
    source,  # [B C, H, W]
    level,  # [B, H, W], or anything where there is one level
    out,
    start,
    dy,
    dx,
    weight,
    geometry,  # [N, 4]: first row, first column, step along rows, step along columns
    channels,
    height,
    width,
    levels,
    node_rows,
    node_columns,
    SHARED: tl.constexpr,
    SHARED_GEOMETRY: tl.constexpr,
    LEVELLED: tl.constexpr,
    BORDER: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    plane = tl.program_id(2)
    b = plane // channels
    y = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    x = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    made = (y < height)[:, None] & (x < width)[None, :]
    here = y[:, None] * width + x[None, :]
    picture = source + plane.to(tl.int64) * height * width
    number = source.dtype.element_ty
    where = geometry + (0 if SHARED_GEOMETRY else 4 * b)
    # Beyond the picture's edge the last pixel is repeated, so that no node is visited in vain.
    row_place = _node_place(tl.minimum(y, height - 1).to(number), tl.load(where), tl.load(where + 2), node_rows)
    column_place = _node_place(
        tl.minimum(x, width - 1).to(number), tl.load(where + 1), tl.load(where + 3), node_columns
    )
    if LEVELLED:
        inside = tl.minimum(y, height - 1)[:, None] * width + tl.minimum(x, width - 1)[None, :]
        at = tl.load(level + b.to(tl.int64) * height * width + inside)
        level_place = tl.minimum(tl.maximum(tl.where(at == at, at, 0.0), 0.0), levels - 1.0)
    else:
        at = tl.zeros((ROWS, COLUMNS), number)
        level_place = at
    first_level = tl.min(tl.min(level_place, axis=1), axis=0).to(tl.int32)
    last_level = tl.minimum(tl.max(tl.max(level_place, axis=1), axis=0).to(tl.int32) + 1, levels - 1)
    first_row = tl.min(row_place, axis=0).to(tl.int32)
    last_row = tl.minimum(tl.max(row_place, axis=0).to(tl.int32) + 1, node_rows - 1)
    first_column = tl.min(column_place, axis=0).to(tl.int32)
    last_column = tl.minimum(tl.max(column_place, axis=0).to(tl.int32) + 1, node_columns - 1)
    total = tl.zeros((ROWS, COLUMNS), number)
    for n in range(first_level, last_level + 1):
        of_level = _hat(level_place, n)
        for i in range(first_row, last_row + 1):
            of_row = _hat(row_place, i)
            for j in range(first_column, last_column + 1):
                share = of_level * of_row[:, None] * _hat(column_place, j)[None, :]
                node = (n * node_rows + i) * node_columns + j
                if not SHARED:
                    node += b * levels * node_rows * node_columns
                blurred = tl.zeros((ROWS, COLUMNS), number)
                for t in range(tl.load(start + node), tl.load(start + node + 1)):
                    from_y = y - tl.load(dy + t)
                    from_x = x - tl.load(dx + t)
                    lit = shines(from_y, height, BORDER)[:, None] & shines(from_x, width, BORDER)[None, :]
                    place = continued(from_y, height, BORDER)[:, None] * width
                    place += continued(from_x, width, BORDER)[None, :]
                    blurred += tl.load(weight + t) * tl.load(picture + place, mask=made & lit, other=0.0)
                total += share * blurred
    total = tl.where(at == at, total, at)  # NaN in the level becomes NaN in the result
    tl.store(out + plane.to(tl.int64) * height * width + here, total, mask=made)


@triton.jit
def _varying_adjoint(
    source,  # [B C, H, W]
    level,
    out,  # [B C, grown_height, grown_width]
    start,
    dy,
    dx,
    weight,
    geometry,
    channels,
    height,
    width,
    grown_height,
    grown_width,
    top,  # margins of the grown picture
    left,
    reach_up,  # how far the taps reach, as in margins_px
    reach_down,
    reach_left,
    reach_right,
    levels,
    node_rows,
    node_columns,
    SHARED: tl.constexpr,
    SHARED_GEOMETRY: tl.constexpr,
    LEVELLED: tl.constexpr,
    CIRCULAR: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    plane = tl.program_id(2)
    b = plane // channels
    grown_y = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    grown_x = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    made = (grown_y < grown_height)[:, None] & (grown_x < grown_width)[None, :]
    y, x = grown_y - top, grown_x - left
    picture = source + plane.to(tl.int64) * height * width
    levels_here = level + b.to(tl.int64) * height * width
    number = source.dtype.element_ty
    where = geometry + (0 if SHARED_GEOMETRY else 4 * b)
    first_y, first_x = tl.load(where), tl.load(where + 1)
    step_y, step_x = tl.load(where + 2), tl.load(where + 3)
    first_row, last_row = 0, node_rows - 1
    first_column, last_column = 0, node_columns - 1
    if not CIRCULAR:  # a round picture may have its nodes anywhere
        low = (tl.program_id(1) * ROWS - top - reach_down).to(number)
        first_row = _node_place(low, first_y, step_y, node_rows).to(tl.int32)
        high = _node_place(low + (ROWS - 1 + reach_down + reach_up), first_y, step_y, node_rows).to(tl.int32)
        last_row = tl.minimum(high + 1, node_rows - 1)
        low = (tl.program_id(0) * COLUMNS - left - reach_right).to(number)
        first_column = _node_place(low, first_x, step_x, node_columns).to(tl.int32)
        high = _node_place(low + (COLUMNS - 1 + reach_right + reach_left), first_x, step_x, node_columns).to(tl.int32)
        last_column = tl.minimum(high + 1, node_columns - 1)
    total = tl.zeros((ROWS, COLUMNS), number)
    for n in range(levels):
        for i in range(first_row, last_row + 1):
            for j in range(first_column, last_column + 1):
                node = (n * node_rows + i) * node_columns + j
                if not SHARED:
                    node += b * levels * node_rows * node_columns
                for t in range(tl.load(start + node), tl.load(start + node + 1)):
                    to_y = y + tl.load(dy + t)
                    to_x = x + tl.load(dx + t)
                    if CIRCULAR:
                        to_y, to_x = continued(to_y, height, 2), continued(to_x, width, 2)
                    seen = made & shines(to_y, height, 3)[:, None] & shines(to_x, width, 3)[None, :]
                    place = to_y[:, None] * width + to_x[None, :]
                    of_row = _hat(_node_place(to_y.to(number), first_y, step_y, node_rows), i)
                    of_column = _hat(_node_place(to_x.to(number), first_x, step_x, node_columns), j)
                    share = tl.load(weight + t) * of_row[:, None] * of_column[None, :]
                    if LEVELLED:
                        at = tl.load(levels_here + place, mask=seen, other=0.0)
                        of_level = _hat(tl.minimum(tl.maximum(at, 0.0), levels - 1.0), n)
                        share *= tl.where(at == at, of_level, at)
                    total += share * tl.load(picture + place, mask=seen, other=0.0)
    target = out + plane.to(tl.int64) * grown_height * grown_width
    tl.store(target + grown_y[:, None] * grown_width + grown_x[None, :], total, mask=made)


def _given(
    image: Tensor, level: Tensor | None, out: Tensor, taps: Sequence[Tensor], first: Tensor, step: Sequence[float]
) -> tuple[Tensor, ...]:
    """What both kernels take first."""
    start, dy, dx, weight = taps
    steps = torch.tensor(step, dtype=torch.float64, device=first.device).expand(len(first), 2)
    geometry = sent(torch.cat([first, steps], dim=1), image.device, image.dtype)
    levels = image if level is None else level.to(image.dtype).contiguous()
    there = (sent(a, image.device) for a in (start, dy, dx))
    return image, levels, out, *there, sent(weight, image.device, image.dtype), geometry


def _options(level: Tensor | None, start: Tensor, grid: Sequence[int], first: Tensor) -> dict[str, Any]:
    return {
        "SHARED": start.numel() - 1 == grid[0] * grid[1] * grid[2],
        "SHARED_GEOMETRY": len(first) == 1,
        "LEVELLED": level is not None,
        "ROWS": _ROWS,
        "COLUMNS": _COLUMNS,
    }


def convolve_varying(image: Tensor, level: Tensor | None, *field: Any) -> Tensor:
    """The gather form; see :func:`blursynth.backends.torch.convolve_varying.convolve_varying`."""
    *taps, grid, first, step, border = field
    image = image.contiguous()
    batch, channels, height, width = image.shape
    out = torch.empty_like(image)
    with on_device_of(image):
        _varying[tiles(height, width, _ROWS, _COLUMNS, batch * channels)](
            *_given(image, level, out, taps, first, step),
            channels,
            height,
            width,
            *grid,
            BORDER=BORDER_CODES[Border(border)],
            **_options(level, taps[0], grid, first),
        )
    return out


def convolve_varying_adjoint(image: Tensor, level: Tensor | None, *field: Any) -> Tensor:
    """The exact transpose of :func:`convolve_varying`, borders included."""
    *taps, grid, first, step, border = field
    image = image.contiguous()
    batch, channels, height, width = image.shape
    folds = border in (Border.REFLECT, Border.REPLICATE)
    reach = margins_px(taps[1].cpu().numpy(), taps[2].cpu().numpy())
    top, bottom, left, right = reach if folds else (0, 0, 0, 0)
    grown = image.new_empty((batch, channels, height + top + bottom, width + left + right))
    with on_device_of(image):
        _varying_adjoint[tiles(grown.shape[2], grown.shape[3], _ROWS, _COLUMNS, batch * channels)](
            *_given(image, level, grown, taps, first, step),
            channels,
            height,
            width,
            *grown.shape[2:],
            top,
            left,
            *reach,
            *grid,
            CIRCULAR=border == Border.CIRCULAR,
            **_options(level, taps[0], grid, first),
        )
    return fold(grown, (top, bottom, left, right), Border(border)) if folds else grown
