"""What blurs are tried with: pictures small enough to read, with as much darkness around them as a law needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from blursynth.testing.adapter import Array, Blur
from blursynth.testing.strategies import DEPTHS, IMAGES, Strategy, depth_maps, images, sizes, st

__all__ = ["LEVELS", "inner", "ramp", "scenes", "seen_at"]

LEVELS = 63
"""Steps from black to 252 / 255: four 8-bit codes each, so that sums by quarters are codes as well."""


@st.composite
def scenes(
    draw: st.DrawFn,
    blur: Blur,
    names: tuple[str, ...] = ("x",),
    *,
    inside: bool = False,
    extra_px: int = 0,
    depth: Literal["any", "constant", "none"] = "any",
    kinds: tuple[str, ...] | None = None,
    smallest_px: int = 1,
    largest_px: int = 12,
    levels: int = LEVELS,
    others: Mapping[str, Strategy[Any]] | None = None,
) -> dict[str, Any]:
    """Pictures of one size, named, with ``depth_m`` for a blur with depth, and other parts of a case.

    Parameters
    ----------
    inside
        The pictures are dark as far from their edges as the blur reaches, so that no light meets a border.
    extra_px
        More darkness than that.
    levels
        Steps from black to white; by default four codes each.
    """
    adapter = blur.adapter
    least = max(smallest_px, 1 if inside else adapter.smallest_px)
    size = draw(sizes(least, max(largest_px, least)))
    # One pixel more than the reach: borders that reflect bring light back from there.
    margin = blur.reach_px + 1 + extra_px if inside else 0
    margin = max(margin, -(-(adapter.smallest_px - min(size)) // 2))
    case: dict[str, Any] = {}
    brightest = 1.0 if levels != LEVELS else 4 * LEVELS / 255
    for name in names:
        picture = draw(images(channels=adapter.channels, size_px=size, levels=levels, kinds=kinds or IMAGES))
        case[name] = np.pad(picture * brightest, ((0, 0), (margin, margin), (margin, margin)))
    if adapter.depth is not None and depth != "none":
        full = (size[0] + 2 * margin, size[1] + 2 * margin)
        case["depth_m"] = draw(depth_maps(size_px=full, kinds=("constant",) if depth == "constant" else DEPTHS))
    for name, strategy in (others or {}).items():
        case[name] = draw(strategy)
    return case


def seen_at(depth_m: Array | float | None, size_px: tuple[int, ...] = ()) -> dict[str, Any]:
    """The arguments of a blur for a depth map, or for a wall at one distance; none for a blur without depth."""
    if depth_m is None:
        return {}
    return {"depth_m": np.full(size_px, depth_m) if isinstance(depth_m, float) else depth_m}


def inner(picture: Array, margin: int) -> Array:
    """The part at least ``margin`` px from every edge."""
    height, width = picture.shape[-2:]
    return picture[..., margin : height - margin, margin : width - margin]


def ramp(blur: Blur, axis: int, *, extra_px: int = 2) -> tuple[Array, float]:
    """A picture that rises along the rows (axis 0) or columns (axis 1) by whole 8-bit codes, and its slope per px.

    It is large enough that some pixels see no border.
    """
    side = max(2 * blur.reach_px + 1 + 2 * extra_px, blur.adapter.smallest_px)
    slope = max(1, 255 // side)
    codes = np.arange(side) * slope
    picture = np.broadcast_to(codes[:, None] if axis == 0 else codes, (blur.adapter.channels, side, side))
    return picture / 255.0 if codes[-1] <= 255 else picture / codes[-1], slope / max(255.0, float(codes[-1]))
