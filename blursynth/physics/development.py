"""The development of raw values to linear light by a camera, as parameters per picture.

In this order: ``x = (DN - black) / (white - black)``; times the white balance of the channel; clipped at the common
white (channels that saturate at different levels would otherwise tint what is saturated); demosaic; ``M x`` to
linear sRGB; times the gain of an exposure compensation. Values below 0 are kept: the noise around black is symmetric,
and clipping its lower half would brighten the shadows.

Not modeled: lens shading, defective pixels, highlight reconstruction, color profiles with tables.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blursynth.errors import InvalidValueError
from blursynth.physics.batches import of_shape
from blursynth.physics.mosaic import DEMOSAICS

__all__ = ["DevelopParameters", "camera_from_srgb"]


@dataclass(frozen=True, eq=False)
class DevelopParameters:
    """The developments of a batch, one entry per picture.

    Parameters
    ----------
    black_dn, white_dn
        ``[B]`` the DN of no light and of linear 1.0; white above black.
    mosaic
        ``[B]`` 0 without a mosaic, else 1 + the index of the pattern in :data:`blursynth.frame.MOSAICS`.
    demosaic
        ``[B]`` indices into :data:`blursynth.physics.mosaic.DEMOSAICS`; unused without a mosaic.
    white_balance
        ``[B, 3]`` gains of red, green and blue, > 0; unused (and must be 1) where there are not three channels.
    color_matrix
        ``[B, 3, 3]`` from balanced camera colors to linear sRGB.
    gain
        ``[B]`` exposure compensation, > 0.
    clip
        ``[B]`` the common white after the white balance, > 0: 1, or less where a channel saturates below.

    Raises
    ------
    InvalidValueError
        A value is out of its range, or arrays do not fit each other.
    """

    black_dn: NDArray[np.float64]
    white_dn: NDArray[np.float64]
    mosaic: NDArray[np.int64] = 0  # type: ignore[assignment]  # scalars are broadcast below
    demosaic: NDArray[np.int64] = 0  # type: ignore[assignment]
    white_balance: NDArray[np.float64] = 1.0  # type: ignore[assignment]
    color_matrix: NDArray[np.float64] = None  # type: ignore[assignment]
    gain: NDArray[np.float64] = 1.0  # type: ignore[assignment]
    clip: NDArray[np.float64] = 1.0  # type: ignore[assignment]

    def __post_init__(self) -> None:
        black = np.atleast_1d(np.asarray(self.black_dn, np.float64))
        batch = black.size
        identity = np.eye(3)
        matrix = identity if self.color_matrix is None else self.color_matrix
        shapes: tuple[tuple[str, ArrayLike, tuple[int, ...], type[np.generic]], ...] = (
            ("black_dn", black, (batch,), np.float64),
            ("white_dn", self.white_dn, (batch,), np.float64),
            ("mosaic", self.mosaic, (batch,), np.int64),
            ("demosaic", self.demosaic, (batch,), np.int64),
            ("white_balance", self.white_balance, (batch, 3), np.float64),
            ("color_matrix", matrix, (batch, 3, 3), np.float64),
            ("gain", self.gain, (batch,), np.float64),
            ("clip", self.clip, (batch,), np.float64),
        )
        for name, value, shape, kind in shapes:
            try:
                whole = of_shape(value, shape, kind)
            except ValueError:
                raise InvalidValueError(
                    f"{name} must have the shape {list(shape)}, got {list(np.shape(value))}."
                ) from None
            object.__setattr__(self, name, whole)
        # As plain numbers: for batches of usual size that is faster than array operations.
        levels = zip(self.black_dn.tolist(), self.white_dn.tolist(), strict=True)
        if not all(dark < light for dark, light in levels):
            raise InvalidValueError(
                f"white_dn must lie above black_dn, got {self.white_dn.tolist()} and {self.black_dn.tolist()}.",
                fix="Look at frame.raw.",
            )
        for name, positive in (("white_balance", self.white_balance), ("gain", self.gain), ("clip", self.clip)):
            if not all(0 < value < math.inf for value in positive.ravel().tolist()):
                raise InvalidValueError(f"{name} must be finite and > 0, got {positive.tolist()}.")
        if not np.isfinite(self.color_matrix).all():
            raise InvalidValueError(f"color_matrix must be finite, got {self.color_matrix.tolist()}.")
        mosaics = self.mosaic.tolist()
        if not (all(m == 0 for m in mosaics) or all(1 <= m <= 4 for m in mosaics)):
            raise InvalidValueError(
                f"mosaic must be 0 for all pictures of a batch, or 1 to 4 for all, got {mosaics}.",
                fix="Process them apart.",
            )
        if not all(0 <= method < len(DEMOSAICS) for method in self.demosaic.tolist()):
            raise InvalidValueError(f"demosaic must index {', '.join(DEMOSAICS)}, got {self.demosaic.tolist()}.")

        # Plain, since compilers trace no values.
        mosaic = any(mosaics)
        colors = mosaic or bool((self.white_balance != 1).any() or (self.color_matrix != identity).any())
        object.__setattr__(self, "_has_mosaic", mosaic)
        object.__setattr__(self, "_has_colors", colors)

    def __len__(self) -> int:
        return int(self.black_dn.size)

    @property
    def has_mosaic(self) -> bool:
        """Whether the pixels saw one color each."""
        return bool(self._has_mosaic)  # type: ignore[attr-defined]

    @property
    def has_colors(self) -> bool:
        """Whether three channels come out: of a mosaic, or through a white balance or a matrix."""
        return bool(self._has_colors)  # type: ignore[attr-defined]


def camera_from_srgb(white_balance: ArrayLike, color_matrix: ArrayLike) -> NDArray[np.float64]:
    """``[B, 3, 3]`` from linear sRGB to the raw response of the channels: ``diag(1 / white_balance) M^-1``.

    Raises
    ------
    InvalidValueError
        The matrix has no inverse.

    Examples
    --------
    >>> camera_from_srgb([2.0, 1.0, 1.6], np.eye(3)).diagonal().tolist()
    [0.5, 1.0, 0.625]
    """
    matrix = np.asarray(color_matrix, np.float64)
    balance = np.asarray(white_balance, np.float64)
    if not np.isfinite(matrix).all() or (np.abs(np.linalg.det(matrix)) < 1e-6).any():
        raise InvalidValueError(
            f"The color matrix has no inverse: {matrix.tolist()}.",
            why="Two colors of the camera would be identical.",
            fix="Use smaller values off its diagonal.",
        )
    return np.asarray(np.linalg.inv(matrix) / balance[..., :, None])
