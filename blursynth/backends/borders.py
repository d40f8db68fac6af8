"""How rows of a picture continue beyond their edge, and what ``VALID`` drops."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blursynth.frame import Border

__all__ = ["BORDER_CODES", "continued_index", "margins_px"]

BORDER_CODES = {Border.REFLECT: 0, Border.REPLICATE: 1, Border.CIRCULAR: 2, Border.CONSTANT: 3, Border.VALID: 3}
"""The borders by number, for compiled kernels."""


def continued_index(place: NDArray[np.int64], size: int, border: Border) -> NDArray[np.int64]:
    """The pixel, 0 .. size - 1, at each ``place`` of a row that continues beyond its edge; -1 for none (zero).

    A continuation longer than the row is folded, or repeated, as often as needed.

    >>> continued_index(np.arange(-3, 6), 3, Border.REFLECT)
    array([1, 2, 1, 0, 1, 2, 1, 0, 1])
    """
    if border == Border.REPLICATE:
        return np.clip(place, 0, size - 1)
    if border == Border.CIRCULAR:
        return place % size
    if border == Border.REFLECT:
        if size == 1:
            return np.zeros_like(place)
        folded = place % (2 * size - 2)
        return np.where(folded < size, folded, 2 * size - 2 - folded)
    return np.where((place >= 0) & (place < size), place, -1)


def margins_px(dy: NDArray[np.int32], dx: NDArray[np.int32]) -> tuple[int, int, int, int]:
    """Rows and columns at the top, bottom, left and right from which taps reach beyond the edge; ``VALID`` drops them.

    A tap (dy, dx) takes light from ``p - (dy, dx)``, so a positive ``dy`` reaches over the top edge. For the point
    spreads of a batch the largest reach counts, so that its results have one size. A side that no tap reaches over
    loses nothing.

    >>> margins_px(np.array([-1, 0, 1]), np.array([0, 2, 0]))
    (1, 1, 2, 0)
    """
    return (
        max(0, int(dy.max(initial=0))),
        max(0, -int(dy.min(initial=0))),
        max(0, int(dx.max(initial=0))),
        max(0, -int(dx.min(initial=0))),
    )
