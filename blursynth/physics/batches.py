"""Arrays of a batch, one entry per picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

__all__ = ["of_shape"]


def of_shape(values: ArrayLike, shape: tuple[int, ...], kind: DTypeLike) -> NDArray[Any]:
    """A contiguous array of this shape and type: the values themselves if they are one, or else broadcast to it.

    Broadcasting takes longer than a small batch is worth, so it is done only where it is needed.

    Raises
    ------
    ValueError
        The values do not fit the shape.

    Examples
    --------
    >>> of_shape(2.0, (3,), np.float32)
    array([2., 2., 2.], dtype=float32)
    """
    array = np.asarray(values, kind)
    return np.ascontiguousarray(array if array.shape == shape else np.broadcast_to(array, shape))
