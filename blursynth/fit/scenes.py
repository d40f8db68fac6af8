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
_SHARP = 0.85  # share of leaves whose edge is one pixel wide; the others are as soft as shadows
_LARGEST_PX = 1600  # of the short side of a sharp photograph: larger ones are made smaller, which also sharpens them
_SCENES = ("astronaut", "camera", "coins", "rocket", "brick", "grass", "gravel")  # the others are no photographs


def dead_leaves(rng: np.random.Generator, size_px: int, colors: NDArray[np.floating]) -> NDArray[np.float32]:
    """``[3, size, size]`` sharp leaves that cover one another, in codes 0..1: edges and textures at every scale.

    Discs and rectangles of all scales, each of one color, with stripes or with grain; the last covers the earlier. Some
    pictures are crowded and others nearly empty, as photographs are: a reader of blur that has seen only crowds takes
    every smooth place for blur.

    Parameters
    ----------
    rng
        Source of all its randomness.
    colors
        ``[N, 3]`` colors to choose from, codes 0..1.

    Source: Lee, Mumford and Huang, "Occlusion Models for Natural Images", IJCV 41, 2001.
    """
    chosen = np.asarray(colors, np.float32)
    picture = np.empty((3, size_px, size_px), np.float32)
    picture[:] = rng.choice(chosen)[:, None, None]
    large = np.exp(rng.uniform(np.log(3.0), np.log(size_px / 3), int(_LEAVES / 3 * 20.0 ** -rng.random())))
    small = np.exp(rng.uniform(np.log(1.5), np.log(size_px / 15), int(_LEAVES * 30.0 ** -rng.random())))
    order = np.concatenate([np.sort(large)[::-1], small])
    for radius in order.astype(np.float32):
        row, column = rng.random(2, np.float32) * size_px
        is_disc = rng.random() < 0.33
        reach = radius + 1 if is_disc else 1.42 * radius + 1
        top, left = int(max(0, row - reach)), int(max(0, column - reach))
        bottom, right = int(min(size_px, row + reach + 1)), int(min(size_px, column + reach + 1))
        y, x = np.ogrid[top:bottom, left:right]
        y, x = y.astype(np.float32) - row, x.astype(np.float32) - column
        angle = rng.random(dtype=np.float32) * np.float32(np.pi)
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        if is_disc:
            inside = radius - np.hypot(x, y)
        else:
            inside = np.minimum(radius - np.abs(along), radius * np.float32(rng.uniform(0.15, 1)) - np.abs(across))
        soft_px = 1.0 if rng.random() < _SHARP else min(float(radius), 20.0) ** rng.random()
        cover = np.clip(inside / np.float32(soft_px) + np.float32(0.5), 0, 1)
        gain = 1 + np.float32(rng.uniform(-0.15, 0.15)) * along / radius  # shading
        texture, strength = rng.random(), np.float32(0.2 * rng.random())
        if texture < 0.25:
            gain *= 1 + strength * np.sin(np.float32(2 * np.pi / rng.uniform(2.5, 14.5)) * along)
        elif texture < 0.45:
            gain *= 1 + strength * rng.standard_normal(gain.shape, np.float32)
        part = picture[:, top:bottom, left:right]
        # Most edges are weak and few are strong.
        cover *= np.float32(rng.random() ** 1.5)
        part += cover * (np.clip(chosen[rng.integers(len(chosen))][:, None, None] * gain, 0, 1) - part)
    return picture


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
    frames = [read_frame(path) for path in files if path.stem in _SCENES]
    return [frame for frame in frames if min(frame.size_px) >= least_px and frame.encoding is Encoding.DISPLAY]
