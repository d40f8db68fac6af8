"""Positions of the tiles of an image, and the weights that blend them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Window", "windows"]


@dataclass(frozen=True, eq=False)
class Window:
    """The range of a tile along one axis, ``start`` to ``stop``, and the part that is used: ``first`` to ``last``.

    ``weight`` has one value for each pixel from first to last; the weights of all windows sum to 1 at every pixel.
    """

    start: int
    stop: int
    first: int
    last: int
    weight: Tensor

    def shown(self) -> slice:
        """The used part, in image coordinates."""
        return slice(self.first, self.last)

    def inside(self) -> slice:
        """The used part, in tile coordinates."""
        return slice(self.first - self.start, self.last - self.start)


def windows(length: int, tile_px: int, overlap_px: int, multiple_px: int = 1) -> list[Window]:
    """Evenly spread tiles over an axis, beginning at multiples of ``multiple_px``, and their weights.

    With the fade ``u_i(x) = sin^2(pi/2 t)``, t from 0 to 1 over a quarter of the overlap, in the middle of the overlap
    of tiles i and i + 1, the weight of tile i is ``u_(i-1) - u_i``: never negative, and 1 in the sum.

    >>> [(w.start, w.stop, w.first, w.last) for w in windows(100, 48, 16, 8)]
    [(0, 48, 0, 38), (24, 72, 34, 66), (56, 100, 62, 100)]
    """
    tile = max(1, -(-tile_px // multiple_px))
    overlap = min(-(-overlap_px // multiple_px), tile - 1)
    whole = -(-length // multiple_px)
    number = 1 if whole <= tile else -(-(whole - overlap) // (tile - overlap))
    starts = [multiple_px * (i * (whole - tile) // (number - 1)) for i in range(number)] if number > 1 else [0]
    stops = [min(start + tile * multiple_px, length) for start in starts]
    fade = overlap_px / 4.0
    centers = [0.5 * (stop + start) for stop, start in zip(stops[:-1], starts[1:], strict=True)]
    places = torch.arange(length, dtype=torch.float64) + 0.5
    rises = [torch.ones_like(places), *(_rise(places - center, fade) for center in centers), torch.zeros_like(places)]
    found = []
    for start, stop, before, after in zip(starts, stops, rises[:-1], rises[1:], strict=True):
        weight = before - after
        used = torch.nonzero(weight > 0).flatten()
        first, last = int(used[0]), int(used[-1]) + 1
        found.append(Window(start, stop, first, last, weight[first:last].float()))
    return found


def _rise(distance: Tensor, fade: float) -> Tensor:
    if fade < 1.0:
        return (distance > 0).to(distance.dtype)
    t = (distance / fade + 0.5).clamp(0.0, 1.0)
    return torch.sin(0.5 * math.pi * t).square()
