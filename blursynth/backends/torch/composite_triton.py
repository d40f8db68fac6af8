"""Blur with occlusion, and its transpose, in Triton.

Every source is two patches: the visible one, and the surface hidden behind it. What light they have (of a mixture of
two colors, that of three pixels) is worked out before the walk, or, for the transpose, given back to the pixels after
it, so that the walk knows of patches only. Where a connected surface is missing lies a third, without light.

A program makes a tile of the result. Every pixel walks through the slices that reach it, from near to far: one pass
over the sources within reach sums coverage and light of the current slice, and finds the next farther one. In a
connected scene it separates visible from hidden patches, and also sums what the neighboring farther slice covers,
so that how a slice is scaled is known without waiting for the next pass. The walk ends where nothing is left to see, so
a pixel that sees n slices takes n + 1 passes, the first of which only finds where to begin.

The transpose walks twice, since light is divided by the sum of all shares: once for that sum, and for what share of its
reserve of hidden light each part shows in the end (kept, a number per part and pixel); once to send the light back by
atomic additions, whose order, and with it the last bits, differ from run to run. That takes one more pass for every
slice of which something is seen.

Floor: (2 r + 1)^2 sources per pass, two patches of slice, kernel, tap and light each, from the first caches, of a scene
with mixtures one coverage more, where it is connected one more patch and its coverage, with slopes two slopes per
patch. From memory the scene and the light of its patches, twice the picture, are read once, and written once before. r
is the reach of the patches near the tile, not the largest of the scene, so what is in focus is cheap.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc"

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from torch.nn.functional import max_pool2d

from blursynth.backends.torch.grid_triton import continued, on_device_of, shines, tiles
from blursynth.backends.torch.tensors import sent
from blursynth.frame import Border
from blursynth.physics.coverage import COMPLETE, GOES_ON, MOST_SCALED, NEARLY_WHOLE, NOTHING_SEEN

__all__ = ["composite", "composite_adjoint"]

Tensor = torch.Tensor
_ROWS, _COLUMNS = 8, 32
_REACHES = (0, 1, 2, 4, 6, 9, 13, 18, 26, 36, 50, 72, 100, 144, 200, 288, 400)
# Shares of light below this are rounding. In float32 a sum of shares is 1 to 1e-6 only.
_NOTHING = {torch.float32: 1e-6, torch.float64: NOTHING_SEEN}
# How the coverage of connected surfaces is scaled, see the reference.
_COMPLETE, _GOES_ON, _MOST_SCALED = (tl.constexpr(value) for value in (COMPLETE, GOES_ON, MOST_SCALED))
_NONE, _MUCH = tl.constexpr(NEARLY_WHOLE[0]), tl.constexpr(NEARLY_WHOLE[3])
_RISE, _FALL = tl.constexpr(NEARLY_WHOLE[1] - NEARLY_WHOLE[0]), tl.constexpr(NEARLY_WHOLE[2] - NEARLY_WHOLE[3])


@triton.jit
def _pass(
    light,  # [2, C, H, W] of the patches of this picture, visible and hidden; or where light is sent back to
    order,  # [2 or 3, H, W] their slices, and that of the surface which is missing, if MIXED and CONNECTED
    kernel,  # [2 or 3, H, W]; -1 where there is no such patch
    cover,  # [H, W] how much of its pixel the visible patch covers
    gone,  # [H, W] of how much of it a surface is missing
    slope,  # [2, 2, H, W] of the surface of each patch, by row and column
    table,  # [K, 2 R + 1, 2 R + 1] taps of this part
    down,  # centroid of this part, in radii
    right,
    here,  # [1, ROWS, COLUMNS] current slice of every pixel
    of_shown,  # the same; what share of the light to send back goes to its visible patches
    of_hid,  # and to its hidden ones
    y,
    x,
    made,
    sent,  # [CHANNELS or 1, ROWS, COLUMNS] light to send back
    channel,
    channels,
    height,
    width,
    reach,  # of the table
    near,  # how far off a source may be that reaches this tile
    FARTHEST: tl.constexpr,
    BORDER: tl.constexpr,
    SCENE_BORDER: tl.constexpr,
    MIXED: tl.constexpr,
    SLOPED: tl.constexpr,
    CONNECTED: tl.constexpr,
    MODE: tl.constexpr,  # 0: the next slice alone, 1: coverage too, 2: light too; 3: send light back
):
    """Of the current slice the coverage by visible and by hidden patches, where it is missing, and the light of both.

    Then what the neighboring farther slice makes of these together, what it covers, and the next farther slice that
    reaches the pixel. Visible and hidden patches are distinguished in connected scenes only; elsewhere all are visible.
    """
    area = height * width
    side = 2 * reach + 1
    shown = tl.zeros_like(here).to(table.dtype.element_ty)
    hid, void, following, following_cover = shown, shown, shown, shown
    light_shown = tl.zeros_like(sent)
    light_hid = light_shown
    farther = tl.zeros_like(here) + FARTHEST
    colored = channel < channels
    visible = light + channel.to(tl.int64) * area
    hidden = light + (channel.to(tl.int64) + channels) * area
    for dy in range(-near, near + 1):
        from_y = y - dy
        line = continued(from_y, height, SCENE_BORDER) * width
        for dx in range(-near, near + 1):
            from_x = x - dx
            place = line + continued(from_x, width, SCENE_BORDER)
            taps = table + (dy + reach) * side + dx + reach
            for surface in tl.static_range(3 if MIXED and CONNECTED and MODE < 3 else 2):
                patch = place + surface * area
                k = tl.load(kernel + patch, mask=made, other=-1)
                there = k >= 0
                number = tl.load(order + patch, mask=there, other=FARTHEST)
                tap = tl.load(taps + k * (side * side), mask=there, other=0.0)
                reaches = tap > 0
                if MODE < 3:
                    farther = tl.maximum(farther, tl.where(reaches & (number < here), number, FARTHEST))
                if MODE > 0:
                    chosen = reaches & (number == here)
                    counts = chosen
                    if CONNECTED and MODE < 3:
                        follows = reaches & (number + 1 == here)
                        counts = chosen | follows
                    share = tl.where(counts, tap, 0.0)
                    covered = share
                    if MODE < 3 and MIXED and surface != 1:
                        covered *= tl.load((cover if surface == 0 else gone) + place, mask=counts, other=0.0)
                    if SLOPED and surface < 2:
                        by_row = tl.load(slope + 2 * surface * area + place, mask=counts, other=0.0)
                        by_column = tl.load(slope + (2 * surface + 1) * area + place, mask=counts, other=0.0)
                        stretch = tl.minimum(tl.maximum(1.0 + by_row * down + by_column * right, 0.25), 4.0)
                        share *= stretch
                        covered *= stretch
                    if CONNECTED and MODE < 3:
                        following += tl.where(follows, covered, 0.0)
                        if surface < 2:
                            following_cover += tl.where(follows, covered, 0.0)
                        covered = tl.where(chosen, covered, 0.0)
                    if surface == 2:
                        void += covered
                    elif surface == 1 and CONNECTED:
                        hid += covered
                    else:
                        shown += covered
                    if MODE > 1 and surface < 2:
                        lit = chosen & colored
                        if BORDER == 3:
                            lit = lit & shines(from_y, height, BORDER) & shines(from_x, width, BORDER)
                        color = (visible if surface == 0 else hidden) + place
                        if MODE == 3:
                            tl.atomic_add(color, share * (of_shown if surface == 0 else of_hid) * sent, mask=lit)
                        elif surface == 1 and CONNECTED:
                            light_hid += share * tl.load(color, mask=lit, other=0.0)
                        else:
                            light_shown += share * tl.load(color, mask=lit, other=0.0)
    return shown, hid, void, following, following_cover, light_shown, light_hid, farther


@triton.jit
def _seen(
    shown, hid, void, following, following_cover, chain, cover, given, room, least, CONNECTED: tl.constexpr
):  # fmt: skip
    """What is seen of a slice, and of what share of its coverage by visible and by hidden patches.

    And what share of its hidden ones waits for room that is left at the end, and what its coverage is scaled to.
    ``chain`` is what neighboring slices up to this one make of all three together, ``cover`` what they cover, and
    ``given`` what those before it were given of that.
    """
    if CONNECTED:
        together = chain + following
        sure = tl.minimum((together - _NONE) / _RISE, (together - _MUCH) / _FALL)
        sure = tl.minimum(tl.maximum(sure, 0.0), 1.0)
        sure *= tl.where(together < 1.0, tl.maximum(1.0 - following_cover / _GOES_ON, 0.0), 1.0)
        scale = 1.0 + sure * (1.0 / tl.maximum(together, _NONE) - 1.0)  # nothing is sure where that is less
        covered = shown + hid
        opaque = tl.minimum(tl.maximum(scale * cover - given, 0.0), tl.minimum(covered * _MOST_SCALED, 1.0))
        complete = (shown >= _COMPLETE) & (void <= least)
        opaque = tl.where(complete, 1.0, tl.where(covered > least, opaque, 0.0))
        scale = tl.where(complete, 1.0, opaque / tl.maximum(covered, least))
        seen = tl.minimum(tl.maximum(scale * shown, room - (1.0 - opaque)), tl.minimum(opaque, room))
        seen = tl.where(covered > least, seen, 0.0)
        of_shown = tl.minimum(scale * shown, seen)
        of_hid = tl.where(hid > least, seen - of_shown, 0.0)
        factor = of_shown / tl.where(of_shown > 0, shown, 1.0)
        factor_hid = of_hid / tl.where(of_hid > 0, hid, 1.0)
        rest = tl.where(hid > least, scale - factor_hid, 0.0)
    else:
        seen = tl.where(shown > least, tl.minimum(shown, room), 0.0)
        factor = seen / tl.where(seen > 0, shown, 1.0)
        factor_hid, rest, opaque = factor, tl.zeros_like(factor), shown
    return seen, factor, factor_hid, rest, opaque


@triton.jit
def _any(condition):
    """Whether it holds for any pixel of the tile."""
    return tl.max(tl.max(tl.max(condition.to(tl.int32), axis=2), axis=1), axis=0) > 0


@triton.jit
def _composite(
    source,  # [B, C, H, W]
    out,  # [B, C, H, W]
    light,  # [B, 2, C, H, W] of the patches; for the transpose zeros, where it is sent back to
    order,  # [B, PATCHES, H, W]
    kernel,  # [B, PATCHES, H, W]
    cover,  # [B, H, W]; read if MIXED
    gone,  # [B, H, W]; read if MIXED and CONNECTED
    slope,  # [B, 2, 2, H, W]; read if SLOPED
    table,  # [G, K, 2 R + 1, 2 R + 1] of one picture after another, which differ in K and R
    tables,  # [B, 3] where the point spreads of a picture would begin with number 0; K; R
    part_weight,  # [G]
    part_center,  # [G, 2]; read if SLOPED
    kept,  # [B, G, H, W]; if CONNECTED and TRANSPOSE, room for what share of its reserve each part shows
    farthest,  # [B, H, W] slices less than this are not seen; read if LIMITED
    tile_reach,  # [B, tiles down, tiles across] how far off a source may be that reaches the tile
    channels,
    height,
    width,
    parts,
    nothing,  # [1] shares below this are rounding
    FARTHEST: tl.constexpr,
    BORDER: tl.constexpr,
    SCENE_BORDER: tl.constexpr,
    MIXED: tl.constexpr,
    SLOPED: tl.constexpr,
    CONNECTED: tl.constexpr,
    LIMITED: tl.constexpr,
    TRANSPOSE: tl.constexpr,
    CHANNELS: tl.constexpr,  # a power of 2, at least channels
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    b = tl.program_id(2)
    area = height * width
    PATCHES: tl.constexpr = 3 if MIXED and CONNECTED else 2
    real = source.dtype.element_ty
    channel = tl.arange(0, CHANNELS)[:, None, None]
    y = tl.program_id(1) * ROWS + tl.arange(0, ROWS)[None, :, None]
    x = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, None, :]
    made = (y < height) & (x < width)
    inside = made & (channel < channels)
    picture = source + b.to(tl.int64) * channels * area
    target = out + b.to(tl.int64) * channels * area
    lights = light + b.to(tl.int64) * 2 * channels * area
    orders, kernels_here = order + b.to(tl.int64) * PATCHES * area, kernel + b.to(tl.int64) * PATCHES * area
    covers, voids = cover + b.to(tl.int64) * area, gone + b.to(tl.int64) * area
    slopes = slope + b.to(tl.int64) * 4 * area
    own = tl.load(picture + channel * area + y * width + x, mask=inside, other=0.0)
    least = tl.load(nothing)
    tile = (b * tl.num_programs(1) + tl.program_id(1)) * tl.num_programs(0) + tl.program_id(0)
    kernels, reach = tl.load(tables + 3 * b + 1).to(tl.int32), tl.load(tables + 3 * b + 2).to(tl.int32)
    near = tl.minimum(tl.load(tile_reach + tile), reach)
    size = (2 * reach + 1) * (2 * reach + 1) * kernels
    table += tl.load(tables + 3 * b)
    none = tl.zeros((1, ROWS, COLUMNS), real)
    dark = none if TRANSPOSE else tl.zeros((CHANNELS, ROWS, COLUMNS), real)
    nearest = tl.zeros((1, ROWS, COLUMNS), tl.int32) + 2147483647
    limit = tl.zeros((1, ROWS, COLUMNS), tl.int32) + FARTHEST
    if LIMITED:
        limit = tl.load(farthest + b.to(tl.int64) * area + y * width + x, mask=made, other=FARTHEST)
    total, value, back = none, dark, own
    # The transpose walks twice: for the sum of all shares, by which light is divided, and to send the light back.
    for walk in tl.static_range(2 if TRANSPOSE else 1):
        if walk == 1:
            covered = total > least
            tl.store(target + channel * area + y * width + x, tl.where(covered, 0.0, own), mask=inside)
            back = tl.where(covered, own / tl.where(covered, total, 1.0), 0.0)
            tl.debug_barrier()  # what one thread kept another may ask for
        for part in range(parts):
            weight = tl.load(part_weight + part)
            taps = table + part * size
            down, right = weight, weight
            if SLOPED:
                down, right = tl.load(part_center + 2 * part), tl.load(part_center + 2 * part + 1)
            place = (b.to(tl.int64) * parts + part) * area + y * width + x
            _s, _h, _v, _f, _c, _ls, _lh, at = _pass(
                lights, orders, kernels_here, covers, voids, slopes, taps, down, right, nearest, none, none, y, x, made,
                none, channel, channels, height, width, reach, near, FARTHEST, BORDER, SCENE_BORDER, MIXED, SLOPED,
                CONNECTED, 0,
            )  # fmt: skip
            at = tl.where(at >= limit, at, FARTHEST)
            room = none + 1.0
            # The sum of neighboring slices up to the current one, and what is hidden and waits for room that is left.
            chain, cover_so_far, given, waiting, waiting_light, left = none, none, none, none, dark, none
            if CONNECTED and walk == 1:
                left = tl.load(kept + place, mask=made, other=0.0)
            while _any(at > FARTHEST):
                shown, hid, void, following, following_cover, light_shown, light_hid, farther = _pass(
                    lights, orders, kernels_here, covers, voids, slopes, taps, down, right, at, none, none, y, x, made,
                    dark, channel, channels, height, width, reach, near, FARTHEST, BORDER, SCENE_BORDER, MIXED, SLOPED,
                    CONNECTED, 1 if TRANSPOSE else 2,
                )  # fmt: skip
                if CONNECTED:
                    # What is too far to be seen says nothing about the slices before it.
                    following = tl.where(at > limit, following, 0.0)
                    together = shown + hid + void
                    chain = tl.where(together > least, chain + together, 0.0)
                    cover_so_far = tl.where(together > least, cover_so_far + shown + hid, 0.0)
                    given = tl.where(together > least, given, 0.0)
                    following_cover = tl.where(following > least, following_cover, 0.0)
                    following = tl.where(following > least, following, 0.0)
                seen, factor, factor_hid, rest, opaque = _seen(
                    shown, hid, void, following, following_cover, chain, cover_so_far, given, room, least, CONNECTED
                )  # fmt: skip
                if walk == 1:
                    factor_hid += rest * left
                    if _any(factor + factor_hid > 0):
                        _pass(
                            lights, orders, kernels_here, covers, voids, slopes, taps, down, right, at, weight * factor,
                            weight * factor_hid, y, x, made & (factor + factor_hid > 0), back, channel, channels,
                            height, width, reach, near, FARTHEST, BORDER, SCENE_BORDER, MIXED, SLOPED, CONNECTED, 3,
                        )  # fmt: skip
                else:
                    total += weight * seen
                    value += weight * (factor * light_shown + factor_hid * light_hid)
                    waiting += rest * hid
                    waiting_light += rest * light_hid
                room -= seen
                room = tl.where(room < least, 0.0, room)
                if CONNECTED:
                    goes_on = farther + 1 == at
                    chain = tl.where(goes_on, chain, 0.0)
                    cover_so_far = tl.where(goes_on, cover_so_far, 0.0)
                    given = tl.where(goes_on, given + opaque, 0.0)
                at = tl.where((room > 0) & (at > FARTHEST) & (farther >= limit), farther, FARTHEST)
            if CONNECTED and walk == 0:
                left = tl.where(waiting > least, tl.minimum(room / tl.maximum(waiting, least), 1.0), 0.0)
                total += weight * left * waiting
                value += weight * left * waiting_light
                if TRANSPOSE:
                    tl.store(kept + place, left, mask=made)
    if not TRANSPOSE:
        covered = total > least
        value = tl.where(covered, value / tl.where(covered, total, 1.0), own)
        tl.store(target + channel * area + y * width + x, value, mask=inside)


def _tables(kernel: Tensor, start: Tensor, dy: Tensor, dx: Tensor, weight: Tensor, parts: int) -> tuple[Tensor, Tensor]:
    """Point spreads with their origins in the middle, ``[G, K, 2 R + 1, 2 R + 1]`` of one picture after another.

    And what the kernel needs to find them: ``[B, 3]`` where those of a picture would begin if its first number were 0,
    how many it has (K), and their reach (R). Each picture has a table of its own, so that a large blur in one of them
    makes only its own table large; pictures that share their point spreads share the table.
    """
    starts, rows, columns = (a.numpy() for a in (start, dy, dx))
    count = (starts.size - 1) // parts
    numbers = kernel.flatten(1).numpy()
    facts, made, places = [], [], dict[tuple[int, int], tuple[int, int, int]]()
    size = 0
    for first, last in zip(numbers.min(axis=1).tolist(), numbers.max(axis=1).tolist(), strict=True):
        if (first, last) not in places:
            taps = [slice(starts[g * count + first], starts[g * count + last + 1]) for g in range(parts)]
            reach = max(max(np.abs(rows[t]).max(initial=0), np.abs(columns[t]).max(initial=0)) for t in taps)
            side, many = 2 * int(reach) + 1, last + 1 - first
            places[first, last] = size - first * side * side, many, int(reach)
            dense = np.zeros((parts, many, side, side))
            for g, t in enumerate(taps):
                which = np.repeat(np.arange(many), np.diff(starts[g * count + first : g * count + last + 2]))
                dense[g, which, rows[t] + reach, columns[t] + reach] = weight[t].numpy()
            made.append(dense.ravel())
            size += dense.size
        facts.append(places[first, last])
    return torch.from_numpy(np.concatenate(made)), torch.tensor(facts, dtype=torch.int64)


def _reaches(start: Tensor, dy: Tensor, dx: Tensor, parts: int) -> Tensor:
    """``[K]`` how far each point spread reaches, rounded up to one of a few numbers: each costs a pass of tiles."""
    counts = start.diff()
    which = torch.repeat_interleave(torch.arange(counts.numel()), counts)
    each = torch.zeros(counts.numel(), dtype=torch.int64)
    each.scatter_reduce_(0, which, torch.maximum(dy.abs(), dx.abs()).long(), "amax")
    each = each.reshape(parts, -1).amax(dim=0)
    steps = torch.tensor(_REACHES)
    return torch.where(each > steps[-1], each, steps[torch.searchsorted(steps, each).clamp(max=len(steps) - 1)])


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


@dataclass(frozen=True)
class _Patches:
    """The visible (0) and the hidden patch (1) of every pixel, N = H W of them, side by side for the walk.

    And the missing one (2), which has no light, where the scene is connected and has edges.
    """

    order: Tensor  # [B, 2 or 3, H, W]
    kernel: Tensor  # [B, 2 or 3, H, W]; -1 where there is none
    cover: Tensor | None  # [B, H, W] how much of its pixel the visible one covers; None if all of it, everywhere
    gone: Tensor | None  # [B, H, W] of how much of it the missing one is missing; None without it
    slope: Tensor | None  # [B, 2, 2, H, W] of their surfaces, by row and column
    mixed: Tensor | None  # [B, 1, N] whether a pixel is a mixture of two colors
    pure: Tensor | None  # [B, N] pixel with the color of the visible one of a mixture
    behind: Tensor  # [B, N] pixel with the color of the hidden one
    mean_picture: Tensor  # [M] pictures and pixels behind which the color is a mean
    mean_at: Tensor
    mean_of: Tensor  # [M, 4] of these pixels
    mean_weight: Tensor  # [M, 4, 1]

    @staticmethod
    def of(
        image: Tensor,
        order: Tensor,
        kernel: Tensor,
        hidden: Tensor,
        front: Tensor | None,
        share: Tensor | None,
        pure: Tensor | None,
        missing: Tensor | None,
        slope: Tensor | None,
        means: tuple[Tensor, Tensor, Tensor],
        connected: bool,
    ) -> _Patches:
        """From what a :class:`~blursynth.physics.scene.Scene` names."""
        batch, _channels, height, width = image.shape
        order, kernel, hidden = (sent(a, image.device).reshape(batch, -1) for a in (order, kernel, hidden))
        own = torch.arange(height * width, device=image.device).expand(batch, -1)
        # Without a second color its own: light sent back to one pixel for all of them would wait in line there.
        behind = torch.where(hidden >= 0, hidden, own)
        surfaces, there = [own, behind], [torch.ones_like(hidden, dtype=torch.bool), hidden >= 0]
        cover = gone = mixed = color = None
        if front is not None and share is not None and pure is not None and missing is not None:
            front, pure = (sent(a, image.device).reshape(batch, -1).long() for a in (front, pure))
            share = sent(share, image.device).reshape(batch, -1)
            cover = share.to(image.dtype)
            surfaces[0], there[0] = torch.where(front >= 0, front, own), share > 0
            color = torch.where(pure >= 0, pure, own)
            mixed = (front >= 0)[:, None]
            if connected:  # otherwise what is missing is not needed
                missing = sent(missing, image.device).reshape(batch, -1).long()
                void = torch.where(missing == front, 1 - share, 1.0)
                surfaces.append(torch.where(missing >= 0, missing, own))
                there.append((missing >= 0) & (void > 0))
                gone = void.to(image.dtype)

        def at(plane: Tensor, patches: int) -> Tensor:
            return plane[:, None].expand(-1, patches, -1).gather(2, torch.stack(surfaces[:patches], dim=1))

        mean_at, mean_of = (sent(a, image.device).long() for a in means[:2])
        shape = (batch, len(surfaces), height, width)
        kernels = torch.where(torch.stack(there, dim=1), at(kernel, len(surfaces)), -1)
        slices = at(order, len(surfaces))
        if connected:  # what is hidden is never of the slice that hides it
            slices[:, 1] = torch.minimum(slices[:, 1], slices[:, 0] - 1)
        slopes = None
        if slope is not None:
            there_slope = sent(slope, image.device, image.dtype).flatten(2)
            slopes = torch.stack([at(plane, 2) for plane in there_slope.unbind(1)], dim=2)
            slopes = slopes.reshape(batch, 2, 2, height, width).contiguous()
        return _Patches(
            slices.reshape(shape).contiguous(),
            kernels.reshape(shape).contiguous(),
            None if cover is None else cover.reshape(batch, height, width).contiguous(),
            None if gone is None else gone.reshape(batch, height, width).contiguous(),
            slopes,
            mixed,
            color,
            behind,
            torch.div(mean_at, height * width, rounding_mode="floor"),
            mean_at % (height * width),
            mean_of,
            sent(means[2], image.device, image.dtype)[..., None],
        )

    def _weights(self) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]:
        """How much of the light of the pixel itself, of ``pure`` and of ``behind`` the patches of a mixture have."""
        assert self.cover is not None
        a = self.cover.flatten(1)[:, None]
        rest = 1 - a
        q = a * a + rest * rest
        return (a * a / q, a * rest * rest / q, -a * a * rest / q), (rest / q, -a * rest / q, a * a / q)

    def light(self, image: Tensor) -> Tensor:
        """``[B, 2, C, N]`` light of the patches of a picture ``[B, C, H, W]``."""
        own = image.flatten(2)
        hidden = own.gather(2, self.behind[:, None].expand_as(own))
        four = own.transpose(1, 2)[self.mean_picture[:, None], self.mean_of]
        hidden.transpose(1, 2)[self.mean_picture, self.mean_at] = (four * self.mean_weight).sum(dim=1)
        visible = own
        if self.pure is not None and self.mixed is not None:
            colors = (own, own.gather(2, self.pure[:, None].expand_as(own)), hidden)
            # Not the sum with shares of 0 elsewhere, which would let a NaN of one pixel into others.
            visible, hidden = (
                torch.where(self.mixed, sum(w * color for w, color in zip(weights, colors, strict=True)), plain)
                for weights, plain in zip(self._weights(), (own, hidden), strict=True)
            )
        return torch.stack([visible, hidden], dim=1)

    def add_light_back(self, out: Tensor, light: Tensor) -> None:
        """Add the transpose of :meth:`light` to a picture."""
        places = out.flatten(2)
        visible, hidden = light.unbind(1)
        own, behind = visible, hidden
        if self.pure is not None and self.mixed is not None:
            own, color, behind = (
                torch.where(self.mixed, w * visible + v * hidden, plain)
                for w, v, plain in zip(*self._weights(), (visible, torch.zeros_like(own), hidden), strict=True)
            )
            places.scatter_add_(2, self.pure[:, None].expand_as(color), color)
        places += own
        of_means = behind.transpose(1, 2)[self.mean_picture, self.mean_at]
        behind.transpose(1, 2)[self.mean_picture, self.mean_at] = 0.0
        places.transpose(1, 2).index_put_(
            (self.mean_picture[:, None], self.mean_of), of_means[:, None] * self.mean_weight, accumulate=True
        )
        places.scatter_add_(2, self.behind[:, None].expand_as(behind), behind)


def _run(
    transpose: bool,
    image: Tensor,
    order: Tensor,
    kernel: Tensor,
    hidden: Tensor,
    start: Tensor,
    dy: Tensor,
    dx: Tensor,
    weight: Tensor,
    part_weight: Tensor,
    front: Tensor | None,
    share: Tensor | None,
    pure: Tensor | None,
    missing: Tensor | None,
    slope: Tensor | None,
    part_center: Tensor | None,
    farthest: Tensor | None,
    mean_at: Tensor,
    mean_of: Tensor,
    mean_weight: Tensor,
    connected: bool,
    border: str,
) -> Tensor:
    image = image.contiguous()
    out = torch.empty_like(image)
    batch, channels, height, width = image.shape
    means = mean_at, mean_of, mean_weight
    patches = _Patches.of(image, order, kernel, hidden, front, share, pure, missing, slope, means, connected)
    light = image.new_zeros(batch, 2, channels, height, width) if transpose else patches.light(image)
    parts = part_weight.numel()
    values, tables = _tables(kernel.cpu(), start.cpu(), dy.cpu(), dx.cpu(), weight.detach().cpu(), parts)
    table, tables = sent(values, image.device, image.dtype), sent(tables, image.device)
    kept = image.new_empty(batch, parts, height, width) if transpose and connected else light
    each = _reaches(start.cpu(), dy.cpu(), dx.cpu(), parts)
    far = torch.where(patches.kernel >= 0, sent(each, image.device)[patches.kernel.clamp(min=0)], 0).amax(dim=1)
    near = _tile_reach(far, torch.unique(each).tolist(), border == Border.CIRCULAR)
    # Beyond a black border there is no light, but the surfaces continue, and hide.
    code = {Border.REFLECT: 0, Border.REPLICATE: 1, Border.CIRCULAR: 2, Border.CONSTANT: 1}[Border(border)]
    with on_device_of(image):
        _composite[tiles(height, width, _ROWS, _COLUMNS, batch)](
            image,
            out,
            light,
            patches.order,
            patches.kernel,
            light if patches.cover is None else patches.cover,
            light if patches.gone is None else patches.gone,
            light if patches.slope is None else patches.slope,
            table,
            tables,
            sent(part_weight, image.device, image.dtype),
            table if part_center is None else sent(part_center.contiguous(), image.device, image.dtype),
            kept,
            patches.order if farthest is None else farthest.to(image.device).contiguous(),
            near,
            channels,
            height,
            width,
            parts,
            torch.full((1,), _NOTHING[image.dtype], dtype=image.dtype, device=image.device),
            FARTHEST=-(2**31),
            BORDER=3 if border == Border.CONSTANT else code,
            SCENE_BORDER=code,
            MIXED=patches.cover is not None,
            SLOPED=patches.slope is not None,
            CONNECTED=connected,
            LIMITED=farthest is not None,
            TRANSPOSE=transpose,
            CHANNELS=triton.next_power_of_2(channels),
            ROWS=_ROWS,
            COLUMNS=_COLUMNS,
        )
    if transpose:
        patches.add_light_back(out, light.flatten(3))
    return out


def composite(image: Tensor, *arguments: Any) -> Tensor:
    """Light of a scene; see :func:`blursynth.backends.torch.composite.composite`."""
    return _run(False, image, *arguments)


def composite_adjoint(image: Tensor, *arguments: Any) -> Tensor:
    """The transpose of :func:`composite`, by atomic additions."""
    return _run(True, image, *arguments)
