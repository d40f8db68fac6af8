"""The mean of warped pictures, its transpose and its slope by inverse depth, in Triton.

A program makes a tile of the result and goes through the moments that its rows see. Places are worked out as the
displacement from the pixel itself, ``(u - s x) / s``, from coefficients made in float64: so their error in float32 is
that of a displacement of a few pixels, not of a coordinate of thousands.

The transpose sends light by atomic additions. Their order, and with it the last bits, differ from run to run; a gather
would need the inverse of a map that has none where depth varies.

Floor: the picture and the inverse depth are read and the result is written; per moment about 30 operations per pixel
and 8 operations and 4 loads from the first cache per channel. Places beyond 10^6 px are held there.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc"

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from blursynth.backends.borders import BORDER_CODES
from blursynth.backends.checks import check_ahead, check_depth_given
from blursynth.backends.torch.grid_triton import continued, on_device_of, shines, tiles
from blursynth.backends.torch.tensors import sent
from blursynth.frame import Border

__all__ = ["warp_mean", "warp_mean_adjoint", "warp_mean_depth"]

Tensor = torch.Tensor
_ROWS, _COLUMNS = 4, 64


@triton.jit
def _displacement(coefficient, y, x, q):
    """Displacement along rows and columns of a pixel at a moment, its divisor, and its slopes by inverse depth."""
    tilt = tl.load(coefficient + 6) * x + tl.load(coefficient + 7) * y
    s0, s1, s2 = tl.load(coefficient + 9), tl.load(coefficient + 10), tl.load(coefficient + 11)
    s = tilt + tl.load(coefficient + 8) + q * s2
    ahead = s > 0
    safe = tl.where(ahead, s, 1.0)
    across = tl.load(coefficient) * x + tl.load(coefficient + 1) * y + tl.load(coefficient + 2)
    across = (across + q * (s0 - s2 * x) - x * tilt) / safe
    down = tl.load(coefficient + 3) * x + tl.load(coefficient + 4) * y + tl.load(coefficient + 5)
    down = (down + q * (s1 - s2 * y) - y * tilt) / safe
    slope_across = (s0 - s2 * (x + across)) / safe
    slope_down = (s1 - s2 * (y + down)) / safe
    across = tl.minimum(tl.maximum(across, -1e6), 1e6)
    down = tl.minimum(tl.maximum(down, -1e6), 1e6)
    return down, across, ahead, slope_down, slope_across


@triton.jit
def _warp(
    source,  # [B C, H, W] picture; of the transpose and of the slope: what is sent back
    other,  # of the slope: [B C, H, W] picture
    depth,  # [B, H, W], or anything
    out,  # [B C, H, W]; of the slope [B, H, W]
    coefficient,  # [N, T, 12]
    first,  # [N, R]
    weight,  # [N, R, seen]
    with_weight,  # [N] how many of them have weight
    channels,
    height,
    width,
    times,
    seen,
    SHARED: tl.constexpr,  # one set of warps for all pictures
    GLOBAL: tl.constexpr,  # all rows see the same moments
    DEEP: tl.constexpr,
    BORDER: tl.constexpr,
    MODE: tl.constexpr,  # 0: mean, 1: transpose, 2: slope by inverse depth
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    plane = tl.program_id(2)
    b = plane if MODE == 2 else plane // channels
    n = 0 if SHARED else b
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    made = (row < height) & (column < width)
    here = row * width + column
    area = height * width
    number = source.dtype.element_ty
    y, x = row.to(number), column.to(number)
    if DEEP:
        q = tl.load(depth + b.to(tl.int64) * area + here, mask=made, other=0.0)
    else:
        q = tl.zeros((ROWS, COLUMNS), number)
    if GLOBAL:
        moments = first + n + tl.zeros((ROWS, 1), tl.int32)
        shares = weight + n * seen + tl.zeros((ROWS, 1), tl.int32)
    else:
        inside = n * height + tl.minimum(row, height - 1)
        moments = first + inside
        shares = weight + inside * seen
    total = tl.zeros((ROWS, COLUMNS), number)
    planes = channels if MODE == 2 else 1
    for k in range(tl.load(with_weight + n)):
        share = tl.load(shares + k)
        time = tl.load(moments) + k
        down, across, ahead, slope_down, slope_across = _displacement(coefficient + (n * times + time) * 12, y, x, q)
        low_y, low_x = tl.floor(down), tl.floor(across)
        part_y, part_x = down - low_y, across - low_x
        top, left = row + low_y.to(tl.int32), column + low_x.to(tl.int32)
        mark = tl.where(ahead, 0.0, float("nan"))  # pixels that look behind the camera become NaN
        # A moment without weight is not read: it may be one that the row never sees.
        used = made & (share != 0)
        for i in tl.static_range(2):
            at_y = top + i
            line = continued(at_y, height, BORDER) * width
            share_y = part_y if i == 1 else 1.0 - part_y
            for j in tl.static_range(2):
                at_x = left + j
                lit = shines(at_y, height, BORDER) & shines(at_x, width, BORDER)
                place = line + continued(at_x, width, BORDER)
                share_x = part_x if j == 1 else 1.0 - part_x
                if MODE == 2:
                    change = share_x * slope_down * (2 * i - 1) + share_y * slope_across * (2 * j - 1)
                    for c in range(planes):
                        channel = (b * planes + c).to(tl.int64) * area
                        light = tl.load(source + channel + here, mask=used, other=0.0)
                        value = tl.load(other + channel + place, mask=used & lit, other=0.0)
                        total += tl.where(used, share * change * light * value + mark, 0.0)
                elif MODE == 1:
                    light = tl.load(source + plane.to(tl.int64) * area + here, mask=used, other=0.0)
                    sent = share * share_y * share_x * light + mark
                    tl.atomic_add(out + plane.to(tl.int64) * area + place, sent, mask=used & lit)
                else:
                    value = tl.load(source + plane.to(tl.int64) * area + place, mask=used & lit, other=0.0)
                    total += tl.where(used, share * share_y * share_x * value + mark, 0.0)
    if MODE != 1:
        tl.store(out + plane.to(tl.int64) * area + here, total, mask=made)


def _coefficients(matrix: Tensor, shift: Tensor, like: Tensor) -> Tensor:
    """``[N, T, 12]`` homographies less the identity times their scale, in the order of ``_displacement``."""
    scale = matrix[..., 2, 2]
    parts = [
        matrix[..., 0, 0] - scale,
        matrix[..., 0, 1],
        matrix[..., 0, 2],
        matrix[..., 1, 0],
        matrix[..., 1, 1] - scale,
        matrix[..., 1, 2],
        matrix[..., 2, 0],
        matrix[..., 2, 1],
        scale,
        *shift.unbind(dim=-1),
    ]
    return sent(torch.stack(parts, dim=-1), like.device, like.dtype)


def _times_seen(weight: Tensor) -> Tensor:
    """``[N]`` after how many times no row of a picture sees anything more: pictures of one batch may differ in that."""
    used = (weight != 0).any(dim=1)
    return (used * torch.arange(1, used.shape[1] + 1)).amax(dim=1).to(torch.int32)


def _check(matrix: Tensor, shift: Tensor, height: int, width: int, depth: Tensor | None) -> None:
    """Refuse what can be known without looking at the device: for a plane its corners decide."""
    check_depth_given(shift, depth)
    if depth is None:
        ends = [[x, y, 1.0] for x in (0, width - 1) for y in (0, height - 1)]
        check_ahead(matrix[:, :, 2] @ torch.tensor(ends, dtype=matrix.dtype, device=matrix.device).T)


def _run(
    mode: int,
    source: Tensor,
    other: Tensor,
    depth: Tensor | None,
    out: Tensor,
    matrix: Tensor,
    shift: Tensor,
    first: Tensor,
    weight: Tensor,
    border: str,
) -> Tensor:
    batch, channels, height, width = source.shape
    _check(matrix, shift, height, width, depth)
    source = source.contiguous()
    with on_device_of(source):
        _warp[tiles(height, width, _ROWS, _COLUMNS, batch if mode == 2 else batch * channels)](
            source,
            other.contiguous(),
            source if depth is None else depth.to(source.dtype).contiguous(),
            out,
            _coefficients(matrix, shift, source),
            sent(first, source.device, torch.int32),
            sent(weight.contiguous(), source.device, source.dtype),
            sent(_times_seen(weight), source.device),
            channels,
            height,
            width,
            matrix.shape[1],
            weight.shape[2],
            SHARED=len(matrix) == 1,
            GLOBAL=first.shape[1] == 1,
            DEEP=depth is not None,
            BORDER=BORDER_CODES[Border(border)],
            MODE=mode,
            ROWS=_ROWS,
            COLUMNS=_COLUMNS,
        )
    return out


def warp_mean(image: Tensor, depth: Tensor | None, *warps: Any) -> Tensor:
    """The mean of warps; see :func:`blursynth.backends.torch.warp_mean.warp_mean`."""
    out = torch.empty_like(image, memory_format=torch.contiguous_format)
    return _run(0, image, image, depth, out, *warps)


def warp_mean_adjoint(image: Tensor, depth: Tensor | None, *warps: Any) -> Tensor:
    """The transpose of :func:`warp_mean`, by atomic additions."""
    out = torch.zeros_like(image, memory_format=torch.contiguous_format)
    return _run(1, image, image, depth, out, *warps)


def warp_mean_depth(image: Tensor, gradient: Tensor, depth: Tensor, *warps: Any) -> Tensor:
    """``[B, H, W]`` slope of ``<gradient, warp_mean(image)>`` by the inverse depth of every pixel."""
    batch, _, height, width = image.shape
    out = image.new_empty((batch, height, width))
    return _run(2, gradient, image, depth, out, *warps)
