"""How much detail a crop shows, to tell a sharp crop from one that is flat or out of focus."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.backends import for_array
from blursynth.frame import Encoding
from blursynth.physics.color import LUMA

__all__ = ["detail_of", "sharpest_detail"]

TILE_PX = 256
MIDDLE_GREY = 0.18  # of white: what a meter makes of the mean of a scene


def detail_of(image: NDArray[Any], encoding: Encoding) -> float:
    """The standard deviation of the Laplacian of a picture's luma, in 8-bit codes.

    ``sqrt(var(4 y(i, j) - y(i - 1, j) - y(i + 1, j) - y(i, j - 1) - y(i, j + 1)))`` over all pixels with four
    neighbors, where y is the luma of Rec. 601 with 255 as white.

    Parameters
    ----------
    image
        ``[3, H, W]``, H and W >= 3: a display picture with values in 0..1, or linear light. Since the white of linear
        files is arbitrary, light is first metered (its mean becomes 18 % of white), clipped at white and encoded as
        sRGB.
    encoding
        Encoding of the image, display or linear.

    Notes
    -----
    A flat or defocused crop of a clean photograph has a detail of 0 to 5, a crop in focus usually 10 to 60. The square
    is the "variance of the Laplacian" used in autofocus (Pech-Pacheco et al. 2000), for which 100 (here 10) is a
    typical limit. Noise counts as detail: white noise of standard deviation s has sqrt(20) s = 4.5 s, so ``downscale``
    noisy photographs first. A crop that is blurred along only one direction keeps the detail across it.

    Examples
    --------
    >>> rows, columns = np.indices((64, 64))
    >>> checks = np.broadcast_to(0.5 + 0.1 * (-1.0) ** (rows + columns), (3, 64, 64))  # amplitude 25.5 codes
    >>> f"{detail_of(checks, Encoding.DISPLAY):.1f}"  # the Laplacian is 8 times as large
    '204.0'
    """
    values = np.asarray(image, np.float32)
    if encoding is Encoding.LINEAR:
        mean = float(values.mean(dtype=np.float64))
        values = np.minimum(values * np.float32(MIDDLE_GREY / max(mean, 1e-30)), np.float32(1.0))
        values = np.asarray(for_array(values).srgb_encode(values[None], levels=[65535]))[0]
    # Products and sums in a fixed order and in float64, so that every machine makes the same decision.
    luma = np.zeros(values.shape[1:])
    for plane, weight in zip(values, LUMA, strict=True):
        luma += 255.0 * weight * plane
    inside = luma[1:-1, 1:-1]
    laplacian = 4.0 * inside - luma[:-2, 1:-1] - luma[2:, 1:-1] - luma[1:-1, :-2] - luma[1:-1, 2:]
    return math.sqrt(float(laplacian.var()))


def sharpest_detail(pixels: NDArray[Any], encoding: Encoding, *, enough: float = math.inf) -> float:
    """The largest :func:`detail_of` among tiles of 256 x 256 px of a picture, or the first that is ``enough``.

    It is low if nothing in a picture is in focus, whereas a blurred background beside a sharp subject does not matter.

    Parameters
    ----------
    pixels
        ``[H, W, 3]``: codes of uint8 or uint16, or light of float32. Tiles at the right and lower edge overlap their
        neighbors; smaller pictures are one tile, and those with a side below 3 px have no detail.
    encoding
        Encoding of the picture, display or linear.
    """
    white = 1 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max
    most = 0.0
    if min(pixels.shape[:2]) < 3:
        return most
    for top in _starts(pixels.shape[0]):
        for left in _starts(pixels.shape[1]):
            tile = pixels[top : top + TILE_PX, left : left + TILE_PX]
            most = max(most, detail_of(np.moveaxis(tile, -1, 0) / np.float32(white), encoding))
            if most >= enough:
                return most
    return most


def _starts(length: int) -> list[int]:
    return [min(start, max(0, length - TILE_PX)) for start in range(0, length, TILE_PX)]
