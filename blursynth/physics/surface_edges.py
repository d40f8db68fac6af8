"""The edges of nearer surfaces in a picture: what is mixed there, what continues behind them, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "EVEN_AT_LEAST",
    "FRONT_REACH_PX",
    "MIRRORED_PX",
    "OFF_LINE",
    "PURE_REACH_PX",
    "PURE_WITHIN",
    "SLOPE_REACH_PX",
    "SMALLEST_CONTRAST",
    "STEEPEST",
    "TELLING",
    "THIN_BACK_PX",
    "TRUST",
    "UNEVEN_REACH_PX",
    "UNEVEN_SHARE",
    "Means",
    "SurfaceEdges",
]

# A jump counts where at least 15 % of the second differences of the level within 4 px are below 5 % of it. Of white
# noise that is a jump of 9 standard deviations; slopes have none, and grids of wires leave enough that are small.
UNEVEN_REACH_PX = 4
UNEVEN_SHARE = 0.05
EVEN_AT_LEAST = 0.15
PURE_REACH_PX = 4  # px within which a surface shows its unmixed color
FRONT_REACH_PX = 3
THIN_BACK_PX = 2
# Width of the band beside an edge whose surface continues behind it; farther in, it is mirrored again.
MIRRORED_PX = 8.0
SLOPE_REACH_PX = 3
# A surface continues behind another with slopes of at most this many px of radius per px.
STEEPEST = 0.3
# Weight of the colors' variance against the side given by the depth: measured on photographs with mattes of discs,
# blobs and wires (0 to 12 tried; the error is flat from 4 on).
TRUST = 4.0
# A pixel is at most this many standard deviations of its surface's colors from their mean if nothing is mixed into it.
PURE_WITHIN = 2.0
# Colors of two surfaces determine shares if they are at least this many standard deviations of both apart.
TELLING = 3.0
# A mixture lies on the line between the two colors, off it by no more than this share of their distance, and noise.
OFF_LINE = 0.15
SMALLEST_CONTRAST = 1e-4  # of the squared light of both surfaces; below it, colors carry no information


@dataclass(frozen=True, eq=False)
class Means:
    """Hidden colors of a batch of pictures that are means of the colors of four pixels each.

    Parameters
    ----------
    at
        ``[M]`` int64, ascending: ``(b * H + row) * W + column`` of the pixels behind which they are.
    of
        ``[M, 4]`` int32: ``row * W + column`` of the four.
    weight
        ``[M, 4]`` float64, at least 0; those of a mean sum to 1.
    """

    at: NDArray[np.int64]
    of: NDArray[np.int32]
    weight: NDArray[np.float64]

    @classmethod
    def none(cls) -> Means:
        """No means anywhere."""
        return cls(np.empty(0, np.int64), np.empty((0, 4), np.int32), np.empty((0, 4)))

    @classmethod
    def concatenate(cls, means: Sequence[Means], pixels: Sequence[int]) -> Means:
        """Those of several batches, which have so many pixels, as of one."""
        before = np.cumsum([0, *pixels[:-1]])
        at = np.concatenate([one.at + first for one, first in zip(means, before, strict=True)])
        return cls(at, np.concatenate([one.of for one in means]), np.concatenate([one.weight for one in means]))

    def of_picture(self, b: int, pixels: int) -> Means:
        """Those of one picture of so many pixels, as the first of a batch."""
        first, end = np.searchsorted(self.at, (b * pixels, (b + 1) * pixels))
        return Means(self.at[first:end] - b * pixels, self.of[first:end], self.weight[first:end])


@dataclass(frozen=True, eq=False)
class SurfaceEdges:
    """The edges of a :class:`~blursynth.physics.scene.Scene`, in its shapes."""

    front: NDArray[np.int32]
    share: NDArray[np.float64]
    pure: NDArray[np.int32]
    hidden: NDArray[np.int32]
    missing: NDArray[np.int32]
    means: Means

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> SurfaceEdges:
        """No edges anywhere."""
        front, pure, hidden, missing = (np.full(shape, -1, np.int32) for _ in range(4))
        return cls(front, np.ones(shape), pure, hidden, missing, Means.none())
