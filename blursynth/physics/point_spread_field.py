"""Point spreads that vary across a picture: known at nodes, interpolated in between."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError
from blursynth.physics.point_spread import PointSpreads

__all__ = ["PointSpreadField"]


@dataclass(frozen=True, eq=False)
class PointSpreadField:
    """The point spreads of a batch of pictures at the nodes of a grid (level, row, column).

    Between nodes the point spread is the linear blend of its neighbors: at level ``l + f`` it is
    ``(1 - f) k[l] + f k[l + 1]``, and likewise along rows and columns; beyond the outermost nodes it stays as it is
    there. The weights of the nodes at a pixel sum to 1. A level is any quantity that each pixel has, such as its
    inverse depth on a scale of the caller's.

    Parameters
    ----------
    psf
        ``N * levels * rows * columns`` point spreads in that order, N = B, or 1 for all pictures alike.
    levels, rows, columns
        Number of nodes along each axis, >= 1; 1 means that the point spread does not depend on it.
    first_px
        ``[N, 2]`` row and column of the first node in px of the frame (its first pixel's center is 0).
    step_px
        Distance of the nodes in px along rows and columns, > 0.

    Raises
    ------
    InvalidValueError
        The number of point spreads does not fit the grid, or a step is not positive.
    """

    psf: PointSpreads
    levels: int = 1
    rows: int = 1
    columns: int = 1
    first_px: NDArray[np.float64] = field(default_factory=lambda: np.zeros((1, 2)))
    step_px: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        nodes = self.levels * self.rows * self.columns
        if min(self.levels, self.rows, self.columns) < 1 or len(self.psf) % nodes or not len(self.psf):
            raise InvalidValueError(
                f"{len(self.psf)} point spreads do not fit a grid of {self.levels} levels x {self.rows} rows x "
                f"{self.columns} columns.",
                fix="Give one point spread per node and picture, or per node for all pictures alike.",
            )
        first = np.asarray(self.first_px, np.float64)
        if first.ndim != 2 or first.shape[1] != 2 or not np.isfinite(first).all():
            raise InvalidValueError(f"first_px must be finite [N, 2] (row, column), got shape {first.shape}.")
        if not (min(self.step_px) > 0 and np.isfinite(self.step_px).all()):
            raise InvalidValueError(f"step_px must be > 0, got {self.step_px}.")
        object.__setattr__(self, "first_px", first)

    @property
    def nodes(self) -> int:
        """Nodes per picture."""
        return self.levels * self.rows * self.columns

    def __len__(self) -> int:
        """Pictures: B, or 1 for all alike."""
        return len(self.psf) // self.nodes

    def flipped(self) -> PointSpreadField:
        """The same field with every point spread turned by 180 degrees."""
        psf = self.psf
        # Taps stay sorted by (dy, dx) within each point spread when their order is reversed.
        order = np.concatenate(
            [np.arange(b - 1, a - 1, -1) for a, b in zip(psf.start[:-1], psf.start[1:], strict=True)]
        ).astype(np.int64)
        turned = PointSpreads(psf.start, -psf.dy[order], -psf.dx[order], psf.weight[order], psf.lost)
        return PointSpreadField(turned, self.levels, self.rows, self.columns, self.first_px, self.step_px)
