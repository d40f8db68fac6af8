"""Point spread functions as ragged lists of taps, and the ones that have a closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError

__all__ = ["PointSpreads"]


@dataclass(frozen=True, eq=False)
class PointSpreads:
    """The point spreads of a batch: only their occupied taps.

    Tap ``t`` of picture ``b`` (``start[b] <= t < start[b + 1]``) sends the light of pixel ``p`` to
    ``p + (dy[t], dx[t])`` with the share ``weight[t]``: ``y(p) = sum_t weight[t] x(p - (dy[t], dx[t]))``.

    Parameters
    ----------
    start
        ``[B + 1]``, the first tap of every picture; the last entry is the number of taps.
    dy, dx
        ``[T]`` row and column offset in px, int32, sorted by (dy, dx) and unique within a picture.
    weight
        ``[T]`` share of the light, float64.
    lost
        ``[B]`` share of the light that was cut off by a limited support; 0 where the support is automatic.
    """

    start: NDArray[np.int64]
    dy: NDArray[np.int32]
    dx: NDArray[np.int32]
    weight: NDArray[np.float64]
    lost: NDArray[np.float64]

    @staticmethod
    def from_dense(
        kernels: Sequence[NDArray[np.floating]], centres: Sequence[tuple[int, int]] | None = None
    ) -> PointSpreads:
        """Taps of dense kernels ``[h, w]``; zeros are left out.

        ``centres`` gives the (row, column) of each kernel's origin; by default the middle ``(h // 2, w // 2)``.

        Raises
        ------
        InvalidValueError
            A kernel is not two-dimensional, is empty, or holds values that are not finite.
        """
        start, dy, dx, weight = [0], [], [], []
        for b, kernel in enumerate(kernels):
            dense = np.asarray(kernel, np.float64)
            if dense.ndim != 2 or dense.size == 0 or not np.isfinite(dense).all():
                raise InvalidValueError(
                    f"Kernel {b} must be a finite array [h, w], got shape {dense.shape}"
                    f"{'' if np.isfinite(dense).all() else ' with NaN or infinite values'}.",
                    fix="Pass one two-dimensional kernel per picture.",
                )
            row, column = centres[b] if centres is not None else (dense.shape[0] // 2, dense.shape[1] // 2)
            rows, columns = np.nonzero(dense)
            start.append(start[-1] + rows.size)
            dy.append((rows - row).astype(np.int32))
            dx.append((columns - column).astype(np.int32))
            weight.append(dense[rows, columns])
        return PointSpreads(
            np.array(start, np.int64),
            np.concatenate(dy),
            np.concatenate(dx),
            np.concatenate(weight),
            np.zeros(len(kernels)),
        )

    @staticmethod
    def concatenate(parts: Sequence[PointSpreads]) -> PointSpreads:
        """One batch of several."""
        if len(parts) == 1:
            return parts[0]
        offsets = np.cumsum([0] + [int(p.start[-1]) for p in parts])
        start = np.concatenate([[0], *(p.start[1:] + o for p, o in zip(parts, offsets, strict=False))])
        return PointSpreads(
            start.astype(np.int64),
            np.concatenate([p.dy for p in parts]),
            np.concatenate([p.dx for p in parts]),
            np.concatenate([p.weight for p in parts]),
            np.concatenate([p.lost for p in parts]),
        )

    def __len__(self) -> int:
        return self.start.size - 1

    def __getitem__(self, b: int) -> PointSpreads:
        """The point spread of one picture, as a batch of one."""
        taps = slice(self.start[b], self.start[b + 1])
        return PointSpreads(
            np.array([0, self.start[b + 1] - self.start[b]], np.int64),
            self.dy[taps],
            self.dx[taps],
            self.weight[taps],
            self.lost[b : b + 1],
        )

    def sums(self) -> NDArray[np.float64]:
        """``[B]`` the light that arrives: 1 for a normalised point spread."""
        return np.array([self.weight[a:b].sum() for a, b in zip(self.start[:-1], self.start[1:], strict=True)])

    def centroids(self) -> NDArray[np.float64]:
        """``[B, 2]`` (row, column) of the centre of mass in px; (0, 0) for a centred point spread."""
        out = np.zeros((len(self), 2))
        for i, (a, b) in enumerate(zip(self.start[:-1], self.start[1:], strict=True)):
            total = self.weight[a:b].sum()
            out[i] = (self.weight[a:b] @ self.dy[a:b] / total, self.weight[a:b] @ self.dx[a:b] / total)
        return out

    def reach_px(self) -> NDArray[np.int64]:
        """``[B]`` the largest offset in rows or columns."""
        return np.array(
            [
                max(int(np.abs(self.dy[a:b]).max(initial=0)), int(np.abs(self.dx[a:b]).max(initial=0)))
                for a, b in zip(self.start[:-1], self.start[1:], strict=True)
            ],
            np.int64,
        )

    def to_dense(self, b: int = 0, *, size_px: int | None = None) -> NDArray[np.float64]:
        """One kernel as a square array with the origin in its middle; ``size_px`` is odd, by default as large as needed.

        Raises
        ------
        InvalidValueError
            ``size_px`` is even or too small to hold all taps.
        """
        taps = slice(self.start[b], self.start[b + 1])
        needed = 2 * int(self.reach_px()[b]) + 1
        size = needed if size_px is None else size_px
        if size % 2 == 0 or size < needed:
            raise InvalidValueError(
                f"size_px must be odd and at least {needed}, got {size}.",
                why="A smaller canvas would cut off light, an even one has no middle.",
            )
        dense = np.zeros((size, size))
        np.add.at(dense, (self.dy[taps] + size // 2, self.dx[taps] + size // 2), self.weight[taps])
        return dense
