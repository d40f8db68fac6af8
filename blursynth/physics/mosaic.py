"""Bayer patterns: the color of each pixel of a sensor, and the kernels that interpolate the two others.

A pattern is named by the colors at rows 0, 0, 1, 1 and columns 0, 1, 0, 1 of the full picture, so the color of a
pixel follows from its absolute row and column, and a crop keeps its phase.

The interpolation kernels are those of Malvar, He and Cutler, "High-quality linear interpolation for demosaicing of
Bayer-patterned color images", ICASSP 2004 (5 x 5, bilinear plus a correction by the Laplacian of the color at hand),
and the bilinear ones. Sums of all are 1.

The edge-aware method first estimates red (or blue) less green at every pixel twice, with the color that it does not see
from its row and from its column: ``(x[-1] + x[1]) / 2 + (2 x[0] - x[-2] - x[2]) / 4`` (Hamilton and Adams, US patent
5,629,734, 1997, expired). Each estimate is then weighted by the inverse square of how much it changes along its
direction, ``|d[1] - d[-1]|`` summed over 5 x 5 pixels, as Pekkucuksen and Altunbasak do it, "Gradient based threshold
free color filter array interpolation", ICIP 2010. Green follows from the difference; the other colors are green plus
the mean of the neighbors' differences.

Not modeled: other arrays (X-Trans, quad Bayer, RGBW), diagonal sensors.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError
from blursynth.frame import MOSAICS

__all__ = [
    "BILINEAR",
    "BLUE",
    "DEMOSAICS",
    "DEMOSAIC_REACH_PX",
    "EDGE_FLOOR",
    "GREEN",
    "MALVAR",
    "RED",
    "color_sites",
    "mosaic_code",
    "pattern_colors",
]

RED, GREEN, BLUE = 0, 1, 2

DEMOSAIC_REACH_PX = {"bilinear": 1, "malvar": 2, "edge_aware": 6}
"""Reach in px of each demosaicking method."""

DEMOSAICS = tuple(DEMOSAIC_REACH_PX)
"""Demosaicking methods; the first two are linear."""


def mosaic_code(name: str | None) -> int:
    """0 for no mosaic, else 1 + the index of the pattern.

    >>> mosaic_code("RGGB"), mosaic_code(None)
    (1, 0)
    """
    if name is None:
        return 0
    if name not in MOSAICS:
        raise InvalidValueError(f"mosaic must be one of {', '.join(MOSAICS)}, got {name!r}.")
    return 1 + MOSAICS.index(name)


@cache
def pattern_colors(code: int) -> NDArray[np.int64]:
    """``[2, 2]`` channel (0 red, 1 green, 2 blue) of the pixel at (row % 2, column % 2); not to be written to.

    >>> pattern_colors(mosaic_code("GRBG")).tolist()
    [[1, 0], [2, 1]]
    """
    colors = np.array(["RGB".index(letter) for letter in MOSAICS[code - 1]], np.int64).reshape(2, 2)
    colors.flags.writeable = False
    return colors


def color_sites(code: int, origin_px: tuple[int, int], size_px: tuple[int, int]) -> NDArray[np.int64]:
    """``[H, W]`` the channel that each pixel of a window sees.

    >>> color_sites(mosaic_code("RGGB"), (1, 0), (2, 4)).tolist()
    [[1, 2, 1, 2], [0, 1, 0, 1]]
    """
    rows = (origin_px[0] + np.arange(size_px[0])) % 2
    columns = (origin_px[1] + np.arange(size_px[1])) % 2
    return pattern_colors(code)[rows[:, None], columns]


EDGE_FLOOR = 1e-9
"""What keeps the weights of the edge-aware way equal where nothing changes: a square of sums over 5 x 5 pixels."""

# Kernels [5, 5] for: green at a red or blue pixel; red (blue) at a green pixel of a row with red (blue); the same in a
# row without; red at a blue pixel and blue at a red one.
_MALVAR_GREEN = np.array(
    [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]], np.float64
)
_MALVAR_ROW = np.array(
    [[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]], np.float64
)
_MALVAR_OPPOSITE = np.array(
    [[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]], np.float64
)
MALVAR: dict[str, NDArray[np.float64]] = {
    "green": _MALVAR_GREEN / 8.0,
    "same_row": _MALVAR_ROW / 8.0,
    "other_row": _MALVAR_ROW.T.copy() / 8.0,
    "opposite": _MALVAR_OPPOSITE / 8.0,
}

_CROSS = np.zeros((5, 5))
_CROSS[[1, 2, 2, 3], [2, 1, 3, 2]] = 0.25
_LEFT_RIGHT = np.zeros((5, 5))
_LEFT_RIGHT[2, [1, 3]] = 0.5
_CORNERS = np.zeros((5, 5))
_CORNERS[[1, 1, 3, 3], [1, 3, 1, 3]] = 0.25
BILINEAR: dict[str, NDArray[np.float64]] = {
    "green": _CROSS,
    "same_row": _LEFT_RIGHT,
    "other_row": _LEFT_RIGHT.T.copy(),
    "opposite": _CORNERS,
}
