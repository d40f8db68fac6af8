"""How much detail a crop shows: what tells a sharp crop from one that is flat or out of focus."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.backends import for_array
from blursynth.frame import Encoding

__all__ = ["detail_of"]

LUMA = (0.299, 0.587, 0.114)  # of Rec. 601
MIDDLE_GREY = 0.18  # of white: what a meter makes of the mean of a scene


def detail_of(image: NDArray[Any], encoding: Encoding) -> float:
    """The standard deviation of the Laplacian of a picture's luma, in codes of 8 bits.

    ``sqrt(var(4 y(i, j) - y(i - 1, j) - y(i + 1, j) - y(i, j - 1) - y(i, j + 1)))`` over all pixels with four
    neighbors, y the luma of Rec. 601 with 255 as white.

    Parameters
    ----------
    image
        ``[3, H, W]``, H and W >= 3: values 0..1 of a display picture; or light, which is metered (its mean becomes 18 %
        of white), clipped at white and encoded as sRGB first, since the white of files of light is arbitrary.
    encoding
        Which of the two.

    Notes
    -----
    A flat or defocused crop of a clean photograph has 0 to 5, a crop in focus mostly 10 to 60. The square is the
    "variance of the Laplacian" of autofocus (Pech-Pacheco et al. 2000), of which 100, here 10, is a usual limit. Noise
    counts as detail: white noise of standard deviation s has sqrt(20) s = 4.5 s, so make noisy photographs smaller
    (``downscale``) before they are judged. A crop that is blurred along one direction alone keeps the detail across.

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
    # Products and sums in one order and in float64, so that every machine decides alike.
    luma = np.zeros(values.shape[1:])
    for plane, weight in zip(values, LUMA, strict=True):
        luma += 255.0 * weight * plane
    inside = luma[1:-1, 1:-1]
    laplacian = 4.0 * inside - luma[:-2, 1:-1] - luma[2:, 1:-1] - luma[1:-1, :-2] - luma[1:-1, 2:]
    return math.sqrt(float(laplacian.var()))
