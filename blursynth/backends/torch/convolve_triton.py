"""Convolution tap by tap, and its transpose, in Triton.

A program makes a tile of the result. The tap's offset and weight are the same for the whole tile; the continuation
beyond the edge is separable, so its integer arithmetic costs one row and one column of the tile, not its area.

The transpose is a correlation, which is taken into the margin that the taps reach over; the margin is then folded back
onto the pixels that the border copies there. Both steps gather, so the result does not change from run to run.

Floor: the picture is read and written once (8 bytes per pixel and channel in float32) where the taps are few; with T
taps, 2 T operations per pixel and channel and T loads from the first cache, which is what bounds a long list of taps.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc"

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import triton
import triton.language as tl

from blursynth.backends.borders import BORDER_CODES, continued_index, margins_px
from blursynth.backends.torch.grid_triton import continued, on_device_of, shines, tiles
from blursynth.backends.torch.tensors import sent
from blursynth.frame import Border

__all__ = ["convolve", "convolve_adjoint", "fold"]

Tensor = torch.Tensor
_ROWS, _COLUMNS = 8, 128


@triton.jit
def _convolve(
    source,  # [B C, height, width]
    out,  # [B C, out_height, out_width]
    start,
    dy,
    dx,
    weight,
    channels,
    height,
    width,
    out_height,
    out_width,
    origin_y,
    origin_x,
    SIGN: tl.constexpr,  # 1: convolution, -1: correlation
    SHARED: tl.constexpr,  # one point spread for all pictures
    BORDER: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    plane = tl.program_id(2)
    y = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    x = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    made = (y < out_height)[:, None] & (x < out_width)[None, :]
    picture = source + plane.to(tl.int64) * height * width
    b = 0 if SHARED else plane // channels
    total = tl.zeros((ROWS, COLUMNS), source.dtype.element_ty)
    for t in range(tl.load(start + b), tl.load(start + b + 1)):
        from_y = y + origin_y - SIGN * tl.load(dy + t)
        from_x = x + origin_x - SIGN * tl.load(dx + t)
        lit = shines(from_y, height, BORDER)[:, None] & shines(from_x, width, BORDER)[None, :]
        place = continued(from_y, height, BORDER)[:, None] * width + continued(from_x, width, BORDER)[None, :]
        total += tl.load(weight + t) * tl.load(picture + place, mask=made & lit, other=0.0)
    target = out + plane.to(tl.int64) * out_height * out_width
    tl.store(target + y[:, None] * out_width + x[None, :], total, mask=made)


@triton.jit
def _fold(
    grown,  # [B C, grown_height, grown_width]
    out,  # [B C, height, width]
    row_start,  # [height + 1], places of the grown picture that belong to each row
    row_place,
    column_start,
    column_place,
    height,
    width,
    grown_height,
    grown_width,
    COLUMNS: tl.constexpr,
):
    plane, y = tl.program_id(2), tl.program_id(1)
    x = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    made = x < width
    first = tl.load(column_start + x, mask=made, other=0)
    count = tl.load(column_start + x + 1, mask=made, other=0) - first
    longest = tl.max(count, axis=0)
    picture = grown + plane.to(tl.int64) * grown_height * grown_width
    total = tl.zeros((COLUMNS,), grown.dtype.element_ty)
    for i in range(tl.load(row_start + y), tl.load(row_start + y + 1)):
        row = picture + tl.load(row_place + i) * grown_width
        for k in range(longest):
            place = tl.load(column_place + first + k, mask=k < count, other=0)
            total += tl.load(row + place, mask=k < count, other=0.0)
    tl.store(out + plane.to(tl.int64) * height * width + y * width + x, total, mask=made)


def _folded_places(size: int, before: int, after: int, border: Border, like: Tensor) -> tuple[Tensor, Tensor]:
    """For each pixel of a row the places, counted from the start of the margin, where the border copies it to."""
    pixel = continued_index(np.arange(-before, size + after), size, border)
    place = np.argsort(pixel, kind="stable").astype(np.int32)
    start = np.searchsorted(pixel[place], np.arange(size + 1)).astype(np.int32)
    return sent(torch.from_numpy(start), like.device), sent(torch.from_numpy(place), like.device)


def fold(grown: Tensor, margins: Sequence[int], border: Border) -> Tensor:
    """Add the margin (top, bottom, left, right) of ``[B, C, H', W']`` to the pixels that the border copies there."""
    top, bottom, left, right = margins
    batch, channels, grown_height, grown_width = grown.shape
    height, width = grown_height - top - bottom, grown_width - left - right
    out = grown.new_empty((batch, channels, height, width))
    rows = _folded_places(height, top, bottom, border, grown)
    columns = _folded_places(width, left, right, border, grown)
    with on_device_of(grown):
        _fold[tiles(height, width, 1, _COLUMNS, batch * channels)](
            grown, out, *rows, *columns, height, width, grown_height, grown_width, COLUMNS=_COLUMNS
        )
    return out


def _run(
    image: Tensor,
    out: Tensor,
    taps: tuple[Tensor, Tensor, Tensor, Tensor],
    origin: tuple[int, int],
    sign: int,
    border: int,
) -> Tensor:
    start, dy, dx, weight = taps
    image = image.contiguous()
    batch, channels, height, width = image.shape
    out_height, out_width = out.shape[2:]
    with on_device_of(image):
        _convolve[tiles(out_height, out_width, _ROWS, _COLUMNS, batch * channels)](
            image,
            out,
            sent(start, image.device),
            sent(dy, image.device),
            sent(dx, image.device),
            sent(weight, image.device, image.dtype),
            channels,
            height,
            width,
            out_height,
            out_width,
            *origin,
            SIGN=sign,
            SHARED=start.numel() == 2,
            BORDER=border,
            ROWS=_ROWS,
            COLUMNS=_COLUMNS,
        )
    return out


def convolve(
    image: Tensor, start: Tensor, dy: Tensor, dx: Tensor, weight: Tensor, border: str, margins: Sequence[int]
) -> Tensor:
    """``y[b](p) = sum_t w_t x[b](p - (dy_t, dx_t))``; see :func:`blursynth.backends.torch.convolve.convolve`."""
    batch, channels, height, width = image.shape
    top, bottom, left, right = margins
    out = image.new_empty((batch, channels, height - top - bottom, width - left - right))
    return _run(image, out, (start, dy, dx, weight), (top, left), 1, BORDER_CODES[Border(border)])


def convolve_adjoint(
    image: Tensor, start: Tensor, dy: Tensor, dx: Tensor, weight: Tensor, border: str, margins: Sequence[int]
) -> Tensor:
    """The exact transpose of :func:`convolve`, borders included."""
    batch, channels, height, width = image.shape
    folds = border in (Border.REFLECT, Border.REPLICATE)
    top, bottom, left, right = margins_px(dy.cpu().numpy(), dx.cpu().numpy()) if folds else margins
    grown = image.new_empty((batch, channels, height + top + bottom, width + left + right))
    code = BORDER_CODES[Border.CIRCULAR if border == Border.CIRCULAR else Border.CONSTANT]
    _run(image, grown, (start, dy, dx, weight), (-top, -left), -1, code)
    return fold(grown, (top, bottom, left, right), Border(border)) if folds else grown
