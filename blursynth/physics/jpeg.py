"""The quantization tables of Annex K of the JPEG standard (ITU-T T.81), scaled by libjpeg's quality."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHROMA_TABLE", "LUMA_TABLE", "quantization_table"]

LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56), (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
"""Table K.1, in rows: steps of luma."""

CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99), (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)  # fmt: skip
"""Table K.2, in rows: steps of chroma."""


@cache
def quantization_table(table: tuple[tuple[int, ...], ...], quality: int) -> NDArray[np.int64]:
    """The steps of baseline JPEG at a quality: ``clip((table * scale + 50) // 100, 1, 255)``.

    The scale is ``5000 // quality`` below 50, else ``200 - 2 * quality``.

    Parameters
    ----------
    table
        :data:`LUMA_TABLE` or :data:`CHROMA_TABLE`.
    quality
        1 to 100, on libjpeg's scale.

    Returns
    -------
    NDArray
        ``[8, 8]``, 1 to 255; read-only.

    Examples
    --------
    >>> quantization_table(LUMA_TABLE, 90)[0]
    array([ 3,  2,  2,  3,  5,  8, 10, 12])
    """
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = np.clip((np.array(table, np.int64) * scale + 50) // 100, 1, 255)
    steps.setflags(write=False)
    return steps
