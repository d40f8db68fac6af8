"""Sharp scenes to simulate with: a user's sharp photographs, or those that come along and dead leaves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blursynth.dataset.bundled import bundled_photographs
from blursynth.errors import MissingExtraError
from blursynth.frame import Encoding, Frame
from blursynth.io.downscale import downscale

__all__ = ["bundled_scenes", "dead_leaves", "scene_of_photograph"]

_LEAVES = 700
_LARGEST_PX = 1600  # of the short side of a sharp photograph: larger ones are made smaller, which also sharpens them
_PHOTOGRAPHIC = ("astronaut", "brick", "camera", "coins", "grass", "gravel", "rocket", "text")


def dead_leaves(rng: np.random.Generator, size_px: int, colors: NDArray[np.floating]) -> NDArray[np.float32]:
    """``[3, size, size]`` sharp leaves that cover one another, in codes 0..1: edges and textures at every scale.

    Discs and rectangles of all scales, each of one color, with stripes or with grain; the last covers the earlier.

    Parameters
    ----------
    rng
        Source of all its randomness.
    colors
        ``[N, 3]`` colors to choose from, codes 0..1.

    Source: Lee, Mumford and Huang, "Occlusion Models for Natural Images", IJCV 41, 2001.
    """
    picture = np.empty((3, size_px, size_px), np.float32)
    picture[:] = rng.choice(colors)[:, None, None]
    # Twice as many of half the size: with r^-3 all scales cover alike, from a few px up to the third of the picture.
    scale = np.exp(rng.uniform(np.log(3.0), np.log(size_px / 3), _LEAVES))
    order = np.concatenate([np.sort(scale[: _LEAVES // 2])[::-1], scale[_LEAVES // 2 :]])
    for radius in order:
        row, column = rng.random(2) * size_px
        top, left = int(max(0, row - 1.5 * radius)), int(max(0, column - 1.5 * radius))
        bottom, right = int(min(size_px, row + 1.5 * radius + 1)), int(min(size_px, column + 1.5 * radius + 1))
        y, x = np.mgrid[top:bottom, left:right].astype(np.float32)
        y, x = y - row, x - column
        angle = rng.random() * np.pi
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        sort = rng.integers(3)
        if sort == 0:
            inside = radius - np.hypot(x, y)
        else:
            inside = np.minimum(radius - np.abs(along), radius * (0.15 + 0.85 * rng.random()) - np.abs(across))
        cover = np.clip(inside + 0.5, 0, 1)  # an edge of one pixel
        color = rng.choice(colors)[:, None, None] * np.ones_like(cover)
        texture = rng.random()
        if texture < 0.25:
            period = 2.5 + 12 * rng.random()
            color = color * (1 + 0.35 * rng.random() * np.sin(2 * np.pi * along / period))
        elif texture < 0.45:
            color = color * (1 + 0.25 * rng.random() * rng.standard_normal(cover.shape))
        shade = 1 + 0.3 * (rng.random() - 0.5) * along / radius
        part = picture[:, top:bottom, left:right]
        part += cover * (np.clip(color * shade, 0, 1) - part)
    return picture.clip(0, 1).astype(np.float32)


def scene_of_photograph(frame: Frame) -> Frame:
    """A photograph as a sharp scene: large ones are made smaller, which hides their own noise, blocks and softness."""
    factor = min(8, min(frame.size_px) // (_LARGEST_PX // 2))
    return downscale(frame, factor) if factor >= 2 else frame


def bundled_scenes(least_px: int) -> list[Frame]:
    """The bundled photographs that show a scene; none if scikit-image is not installed."""
    from blursynth.io.pictures import read_frame

    try:
        files: Sequence[Path] = bundled_photographs("training")
    except MissingExtraError:
        return []
    frames = [read_frame(path) for path in files if path.stem in _PHOTOGRAPHIC]
    return [frame for frame in frames if min(frame.size_px) >= least_px and frame.encoding is Encoding.DISPLAY]
