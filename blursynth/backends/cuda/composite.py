"""Blur with occlusion, and its transpose, in Triton.

A program makes a tile of the result. Every pixel walks through the slices whose light reaches it, from near to far:
one pass over the sources within reach sums the coverage and the light of the slice at hand, and finds the next farther
one. The walk ends where nothing is left to see, so a pixel of one surface takes two passes, the first of which only
finds where to begin. Every source is two patches: the visible one, and the surface hidden behind it.

The transpose walks twice, since light is divided by the sum of all shares: once for that sum, once to send the light
back by atomic additions, whose order, and with it the last bits, differ from run to run.

Floor: (2 r + 1)^2 sources per pass, two patches of slice, kernel, tap and colour each, from the first caches; the
pictures and the scene themselves are read once from memory. r is the reach of the patches near the tile, not the
largest of the scene, so what is in focus is cheap.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc"

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch.nn.functional import max_pool2d

from blursynth.backends.cuda.grid import continued, on_device_of, shines, tiles
from blursynth.backends.reference.composite import NOTHING_SEEN
from blursynth.frame import Border

__all__ = ["composite", "composite_adjoint"]

Tensor = torch.Tensor
_ROWS, _COLUMNS = 8, 32
# Shares of light below this are rounding. In float32 a sum of shares is 1 to 1e-6 only.
_NOTHING = {torch.float32: 1e-6, torch.float64: NOTHING_SEEN}


@triton.jit
def _pass(
    picture,  # [C, H, W] of this picture; colours, or where light is sent back to
    order,  # [2, H, W] slices of this picture: visible, hidden
    kernel,  # [2, H, W]; -1 where nothing is hidden
    pixel,  # [H, W] whose colour the hidden patch has
    table,  # [K, 2 R + 1, 2 R + 1] taps of this part
    here,  # [1, ROWS, COLUMNS] slice at hand of every pixel
    y,
    x,
    made,
    sent,  # [C', ROWS, COLUMNS] light to send back
    channel,
    channels,
    height,
    width,
    reach,  # of the table
    near,  # how far off a source may be that reaches this tile
    FARTHEST: tl.constexpr,
    BORDER: tl.constexpr,
    SCENE_BORDER: tl.constexpr,
    MODE: tl.constexpr,  # 0: coverage alone, 1: colours too, 2: send light back
):
    """Coverage and light of the slice at hand, and the next farther slice that reaches each pixel."""
    area = height * width
    side = 2 * reach + 1
    coverage = tl.zeros_like(sent)
    light = tl.zeros_like(sent)
    farther = tl.zeros_like(here) + FARTHEST
    for dy in range(-near, near + 1):
        from_y = y - dy
        line = continued(from_y, height, SCENE_BORDER) * width
        for dx in range(-near, near + 1):
            from_x = x - dx
            place = line + continued(from_x, width, SCENE_BORDER)
            lit = made & shines(from_y, height, BORDER) & shines(from_x, width, BORDER)
            for surface in tl.static_range(2):
                k = tl.load(kernel + surface * area + place, mask=made, other=-1)
                there = made & (k >= 0)
                slice_number = tl.load(order + surface * area + place, mask=there, other=FARTHEST)
                tap = tl.load(table + (k * side + dy + reach) * side + dx + reach, mask=there, other=0.0)
                farther = tl.where((tap > 0) & (slice_number < here), tl.maximum(farther, slice_number), farther)
                share = tl.where(slice_number == here, tap, 0.0)
                coverage += share
                if MODE > 0:
                    colour = place if surface == 0 else tl.load(pixel + place, mask=there, other=0)
                    shown = lit & (share > 0) & (channel < channels)
                    if MODE == 1:
                        light += share * tl.load(picture + channel * area + colour, mask=shown, other=0.0)
                    else:
                        tl.atomic_add(picture + channel * area + colour, share * sent, mask=shown)
    return coverage, light, farther


@triton.jit
def _composite(
    source,  # [B, C, H, W]
    out,  # [B, C, H, W]; for the transpose, zeros
    order,  # [B, 2, H, W]
    kernel,  # [B, 2, H, W]
    pixel,  # [B, H, W]
    table,  # [G, K, 2 R + 1, 2 R + 1]
    part_weight,  # [G]
    tile_reach,  # [B, tiles down, tiles across] how far off a source may be that reaches the tile
    channels,
    height,
    width,
    parts,
    kernels,
    reach,
    nothing,  # [1] shares below this are rounding
    FARTHEST: tl.constexpr,
    BORDER: tl.constexpr,
    SCENE_BORDER: tl.constexpr,
    TRANSPOSE: tl.constexpr,
    CHANNELS: tl.constexpr,  # a power of 2, at least channels
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    b = tl.program_id(2)
    area = height * width
    number = source.dtype.element_ty
    channel = tl.arange(0, CHANNELS)[:, None, None]
    y = tl.program_id(1) * ROWS + tl.arange(0, ROWS)[None, :, None]
    x = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, None, :]
    made = (y < height) & (x < width)
    inside = made & (channel < channels)
    picture = source + b.to(tl.int64) * channels * area
    target = out + b.to(tl.int64) * channels * area
    orders, kernels_here = order + b.to(tl.int64) * 2 * area, kernel + b.to(tl.int64) * 2 * area
    pixels = pixel + b.to(tl.int64) * area
    own = tl.load(picture + channel * area + y * width + x, mask=inside, other=0.0)
    least = tl.load(nothing)
    tile = (b * tl.num_programs(1) + tl.program_id(1)) * tl.num_programs(0) + tl.program_id(0)
    near = tl.load(tile_reach + tile)
    size = (2 * reach + 1) * (2 * reach + 1) * kernels
    total = tl.zeros((1, ROWS, COLUMNS), number)
    value = tl.zeros((CHANNELS, ROWS, COLUMNS), number)
    single = tl.zeros((1, ROWS, COLUMNS), number)
    beyond = tl.zeros((1, ROWS, COLUMNS), tl.int32) + 2147483647
    for part in range(parts):
        share = tl.load(part_weight + part)
        taps = table + part * size
        room = tl.zeros((1, ROWS, COLUMNS), number) + 1.0
        _c, _l, at = _pass(
            picture, orders, kernels_here, pixels, taps, beyond, y, x, made, single, channel, channels, height, width,
            reach, near, FARTHEST, BORDER, SCENE_BORDER, 0,
        )  # fmt: skip
        while tl.max(tl.max(tl.max(at, axis=2), axis=1), axis=0) > FARTHEST:
            if TRANSPOSE:
                coverage, light, farther = _pass(
                    picture, orders, kernels_here, pixels, taps, at, y, x, made, single, channel, channels, height,
                    width, reach, near, FARTHEST, BORDER, SCENE_BORDER, 0,
                )  # fmt: skip
            else:
                coverages, light, farther = _pass(
                    picture, orders, kernels_here, pixels, taps, at, y, x, made, value, channel, channels, height,
                    width, reach, near, FARTHEST, BORDER, SCENE_BORDER, 1,
                )  # fmt: skip
                coverage = tl.max(coverages, axis=0)[None, :, :]
            there = (coverage > least) & (at > FARTHEST)
            seen = tl.where(there, tl.minimum(coverage, room), 0.0)
            factor = seen / tl.where(there, coverage, 1.0)
            total += share * seen
            if not TRANSPOSE:
                value += share * factor * light
            room -= seen
            room = tl.where(room < least, 0.0, room)
            at = tl.where((room > 0) & (at > FARTHEST), farther, FARTHEST)
    covered = total > least
    whole = tl.where(covered, total, 1.0)
    if not TRANSPOSE:
        tl.store(target + channel * area + y * width + x, tl.where(covered, value / whole, own), mask=inside)
    else:
        back = tl.where(covered, own / whole, 0.0)
        tl.atomic_add(target + channel * area + y * width + x, tl.where(covered, 0.0, own), mask=inside)
        for part in range(parts):
            share = tl.load(part_weight + part)
            taps = table + part * size
            room = tl.zeros((1, ROWS, COLUMNS), number) + 1.0
            _c, _l, at = _pass(
                target, orders, kernels_here, pixels, taps, beyond, y, x, made, single, channel, channels, height,
                width, reach, near, FARTHEST, BORDER, SCENE_BORDER, 0,
            )  # fmt: skip
            while tl.max(tl.max(tl.max(at, axis=2), axis=1), axis=0) > FARTHEST:
                coverage, light, farther = _pass(
                    target, orders, kernels_here, pixels, taps, at, y, x, made, single, channel, channels, height,
                    width, reach, near, FARTHEST, BORDER, SCENE_BORDER, 0,
                )  # fmt: skip
                there = (coverage > least) & (at > FARTHEST)
                seen = tl.where(there, tl.minimum(coverage, room), 0.0)
                factor = seen / tl.where(there, coverage, 1.0)
                lit = made & there & (factor > 0)
                _pass(
                    target, orders, kernels_here, pixels, taps, at, y, x, lit, share * factor * back, channel,
                    channels, height, width, reach, near, FARTHEST, BORDER, SCENE_BORDER, 2,
                )  # fmt: skip
                room -= seen
                room = tl.where(room < least, 0.0, room)
                at = tl.where((room > 0) & (at > FARTHEST), farther, FARTHEST)


def _table(start: Tensor, dy: Tensor, dx: Tensor, weight: Tensor, like: Tensor) -> tuple[Tensor, int, Tensor]:
    """``[P, 2 R + 1, 2 R + 1]`` point spreads with their origins in the middle, R, and the reach ``[P]`` of each."""
    start, dy, dx, weight = (a.cpu() for a in (start, dy, dx, weight))
    reach = max(int(dy.abs().max()), int(dx.abs().max()))
    dense = torch.zeros((start.numel() - 1, 2 * reach + 1, 2 * reach + 1), dtype=torch.float64)
    which = torch.repeat_interleave(torch.arange(start.numel() - 1), start.diff())
    dense[which, dy.long() + reach, dx.long() + reach] = weight
    each = torch.zeros(start.numel() - 1, dtype=torch.int64)
    each.scatter_reduce_(0, which, torch.maximum(dy.abs(), dx.abs()).long(), "amax")
    return dense.to(like), reach, each


def _tile_reach(far: Tensor, reaches: Sequence[int], everywhere: bool) -> Tensor:
    """``[B, tiles down, tiles across]`` how far off a source may be that still reaches a tile, from above.

    ``far`` ``[B, H, W]`` is the reach of the patches of every pixel, one of ``reaches``. A source of reach r counts for
    the tiles within r of its own. What a border shows beyond the edge is no nearer to a tile than the pixel that it is
    a copy of, but for a round picture, whose tiles are all given the largest reach.
    """
    tile = (_ROWS, _COLUMNS)
    grown = max_pool2d(far[:, None].float(), tile, ceil_mode=True)
    if everywhere:
        grown = torch.full_like(grown, max(reaches))
    for reach in reaches:
        down, across = -(-reach // _ROWS), -(-reach // _COLUMNS)
        there = max_pool2d((far == reach)[:, None].float(), tile, ceil_mode=True)
        there = max_pool2d(there, (2 * down + 1, 2 * across + 1), stride=1, padding=(down, across))
        grown = torch.maximum(grown, reach * there)
    return grown.to(torch.int32).contiguous()


def _run(
    transpose: bool,
    image: Tensor,
    out: Tensor,
    order: Tensor,
    kernel: Tensor,
    hidden: Tensor,
    start: Tensor,
    dy: Tensor,
    dx: Tensor,
    weight: Tensor,
    part_weight: Tensor,
    border: str,
) -> Tensor:
    image = image.contiguous()
    batch, channels, height, width = image.shape
    order, kernel, hidden = (a.to(image.device) for a in (order, kernel, hidden))
    # Slice and kernel of the hidden patches, so that the walk reads them side by side.
    pixel = hidden.clamp(min=0)
    flat = pixel.reshape(batch, -1).long()
    behind = order.reshape(batch, -1).gather(1, flat).reshape(order.shape)
    spread = kernel.reshape(batch, -1).gather(1, flat).reshape(order.shape)
    orders = torch.stack([order, behind], dim=1).contiguous()
    kernels = torch.stack([kernel, torch.where(hidden >= 0, spread, -1)], dim=1).contiguous()
    table, reach, each = _table(start, dy, dx, weight, image)
    parts = part_weight.numel()
    each = each.reshape(parts, -1).amax(dim=0)  # [K]
    reaches = each.to(image.device)
    far = torch.maximum(reaches[kernels[:, 0]], torch.where(hidden >= 0, reaches[spread], 0))
    near = _tile_reach(far, torch.unique(each).tolist(), border == Border.CIRCULAR)
    # Beyond a black border nothing shines, but the surfaces go on, and hide.
    code = {Border.REFLECT: 0, Border.REPLICATE: 1, Border.CIRCULAR: 2, Border.CONSTANT: 1}[Border(border)]
    with on_device_of(image):
        _composite[tiles(height, width, _ROWS, _COLUMNS, batch)](
            image,
            out,
            orders,
            kernels,
            pixel.contiguous(),
            table,
            part_weight.to(image),
            near,
            channels,
            height,
            width,
            parts,
            len(table) // parts,
            reach,
            torch.full((1,), _NOTHING[image.dtype], dtype=image.dtype, device=image.device),
            FARTHEST=-(2**31),
            BORDER=3 if border == Border.CONSTANT else code,
            SCENE_BORDER=code,
            TRANSPOSE=transpose,
            CHANNELS=triton.next_power_of_2(channels),
            ROWS=_ROWS,
            COLUMNS=_COLUMNS,
        )
    return out


def composite(image: Tensor, *arguments: Any) -> Tensor:
    """Light of a scene; see :func:`blursynth.backends.torch_ops.composite.composite`."""
    return _run(False, image, torch.empty_like(image, memory_format=torch.contiguous_format), *arguments)


def composite_adjoint(image: Tensor, *arguments: Any) -> Tensor:
    """The transpose of :func:`composite`, by atomic additions."""
    return _run(True, image, torch.zeros_like(image, memory_format=torch.contiguous_format), *arguments)
