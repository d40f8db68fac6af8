"""Camera motion with six degrees of freedom: poses, homographies, and the times that each row of a sensor sees.

x is to the right, y downwards, z along the optical axis into the scene; pixel centres have whole coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError

__all__ = ["Warps"]


@dataclass(frozen=True, eq=False)
class Warps:
    """Where the light of every pixel comes from, at every moment of the exposure.

    At time t, pixel (x, y) of the result shows the source at ``(u / s, v / s)`` with
    ``(u, v, s) = matrix[b, t] (x, y, 1) + q(x, y) shift[b, t]``, q the pixel's inverse depth in 1/m. Row y of the
    result is the sum over n of ``weight[b, y, n]`` times the source seen at time ``first[b, y] + n``.

    Parameters
    ----------
    matrix
        ``[N, T, 3, 3]`` homographies from pixels of the result to pixels of the source, in px of the frame; N = B, or 1
        for all pictures alike.
    shift
        ``[N, T, 3]`` what translation of the camera adds per unit of inverse depth; zero for rotations.
    first
        ``[N, R]`` first time that a row sees, R = height of the picture, or 1 for all rows alike (global shutter).
    weight
        ``[N, R, n]`` share of each of the n times from there on; they sum to 1 over n for a picture of full exposure.

    Raises
    ------
    InvalidValueError
        Shapes that do not fit, or rows that see times that do not exist.
    """

    matrix: NDArray[np.float64]
    shift: NDArray[np.float64]
    first: NDArray[np.int64]
    weight: NDArray[np.float64]

    def __post_init__(self) -> None:
        matrix, shift = np.asarray(self.matrix, np.float64), np.asarray(self.shift, np.float64)
        first, weight = np.asarray(self.first, np.int64), np.asarray(self.weight, np.float64)
        pictures = matrix.shape[0] if matrix.ndim == 4 else 0
        if (
            matrix.ndim != 4
            or matrix.shape[2:] != (3, 3)
            or shift.shape != (*matrix.shape[:2], 3)
            or first.ndim != 2
            or weight.ndim != 3
            or weight.shape[:2] != first.shape
            or len(first) != pictures
        ):
            raise InvalidValueError(
                "Warps needs matrix [N, T, 3, 3], shift [N, T, 3], first [N, R] and weight [N, R, n], got "
                f"{matrix.shape}, {shift.shape}, {first.shape} and {weight.shape}."
            )
        if not all(np.isfinite(a).all() for a in (matrix, shift, weight)):
            raise InvalidValueError("Warps must be finite.")
        if first.size and (first.min() < 0 or first.max() + weight.shape[2] > matrix.shape[1]):
            raise InvalidValueError(
                f"Rows see times {first.min()} to {first.max() + weight.shape[2] - 1}, there are 0 to "
                f"{matrix.shape[1] - 1}.",
                why="Light of a time without a pose would be a guess.",
            )
        for name, value in (("matrix", matrix), ("shift", shift), ("first", first), ("weight", weight)):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        """Pictures: B, or 1 for all alike."""
        return len(self.matrix)
