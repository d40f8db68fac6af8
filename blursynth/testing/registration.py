"""What a pair of pictures says about its blur: total, centroid and third moments, to a few thousandths of a pixel."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise, product
from math import factorial

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError

__all__ = ["MomentRegistration"]


class MomentRegistration:
    """Registers blurred pictures to a sharp one by the moments of the blur, in tiles.

    Convolution expands into derivatives of the picture, each with a moment m of the point spread: ``y = sum_ij
    (-1)^(i+j) m_ij / (i! j!) d^i/dy^i d^j/dx^j x``. Both sides are smoothed by one Gaussian, so that the series
    converges for blurs about as wide as it, and the moments follow by least squares in every tile. The first ones are
    the displacement of the blurred picture, and unlike phase correlation or Lucas-Kanade they are not led astray by a
    blur that is lopsided; the third ones tell a point spread from its mirror image.

    Parameters
    ----------
    sharp
        ``[H, W]`` in linear light.
    smoothing_px
        Standard deviation of the Gaussian; at least that of the blur.
    order
        Highest derivative; the error falls as (width of the blur / smoothing_px)^(order + 1).
    tiles
        Number of tiles along each side of the picture, without a border of 4 smoothing_px.

    Raises
    ------
    InvalidValueError
        The picture is too small for this smoothing.
    """

    def __init__(
        self, sharp: NDArray[np.floating], *, smoothing_px: float = 3.0, order: int = 5, tiles: int = 4
    ) -> None:
        picture = np.asarray(sharp, np.float64)
        self._smoothing = smoothing_px
        margin = int(np.ceil(4 * smoothing_px))
        height, width = picture.shape
        if min(height, width) - 2 * margin < 8 * tiles:
            raise InvalidValueError(
                f"{height} x {width} px are too few for {tiles} x {tiles} tiles with smoothing {smoothing_px}.",
                fix=f"Use at least {2 * margin + 8 * tiles} px, or fewer tiles.",
            )
        self.terms = [(i, n - i) for n in range(order + 1) for i in range(n + 1)]
        # Each derivative is scaled by smoothing^n / n!, so that the columns are of like size.
        scale = np.array([(-smoothing_px) ** (i + j) / (factorial(i) * factorial(j)) for i, j in self.terms])
        stride = max(1, int(smoothing_px / 4))  # what is so smooth is known from fewer of its pixels
        rows, columns = (
            [_Band(size, int(first), int(end), stride, smoothing_px, order) for first, end in pairwise(ends)]
            for size in picture.shape
            for ends in [np.linspace(margin, size - margin, tiles + 1).astype(int)]
        )
        self._tiles = list(product(rows, columns))
        self._inverse = []
        for tile in self._tiles:
            derivatives = [c * _filtered(picture, tile, term) for term, c in zip(self.terms, scale, strict=True)]
            self._inverse.append(np.linalg.pinv(np.stack(derivatives, axis=1), rcond=1e-9))

    def moments(self, blurred: NDArray[np.floating]) -> NDArray[np.float64]:
        """``[tiles^2, number of terms]`` moments ``m_ij`` in px^(i+j), rows first, in the order of ``terms``."""
        picture = np.asarray(blurred, np.float64)
        power = np.array([self._smoothing ** (i + j) for i, j in self.terms])
        tiles = zip(self._inverse, self._tiles, strict=True)
        return np.stack([power * (inverse @ _filtered(picture, tile, (0, 0))) for inverse, tile in tiles])

    def shifts_px(self, blurred: NDArray[np.floating]) -> NDArray[np.float64]:
        """``[tiles^2, 2]`` displacement (rows, columns) of the blurred picture: the centroid of its blur."""
        picture = np.asarray(blurred, np.float64)
        tiles = zip(self._weights, self._tiles, strict=True)
        total, *first = np.stack([w @ picture[rows.around, columns.around].ravel() for w, (rows, columns) in tiles], 1)
        shifts: NDArray[np.float64] = self._smoothing * np.stack(first, axis=1) / total[:, None]
        return shifts

    @cached_property
    def _weights(self) -> list[NDArray[np.float64]]:
        """What makes sums of a picture's pixels the total and the first moments in each tile, ``[3, pixels]``.

        The smoothing and the solution of least squares in one, since many pictures are registered to one.
        """
        wanted = [self.terms.index(term) for term in ((0, 0), (1, 0), (0, 1))]
        found = []
        for inverse, (rows, columns) in zip(self._inverse, self._tiles, strict=True):
            smooth = rows.filters[0], columns.filters[0]
            solved = inverse[wanted].reshape(len(wanted), len(smooth[0]), len(smooth[1]))
            found.append((smooth[0].T @ solved @ smooth[1]).reshape(len(wanted), -1))
        return found


class _Band:
    """Pixels of a tile along one axis, and what smooths and differentiates there: matrices from those around them."""

    def __init__(self, size: int, first: int, end: int, stride: int, smoothing_px: float, order: int) -> None:
        from scipy.ndimage import gaussian_filter1d

        reach = int(6.0 * smoothing_px) + 1
        self.around = slice(max(0, first - reach), min(size, end + reach))
        places = np.arange(first, end, stride)[:, None] + np.arange(-reach, reach + 1)
        places = np.clip(places, 0, size - 1) - self.around.start  # beyond the edge, its pixel
        unit = np.where(np.arange(-reach, reach + 1) == 0, 1.0, 0.0)
        self.filters = np.zeros((order + 1, len(places), self.around.stop - self.around.start))
        for n, matrix in enumerate(self.filters):
            response = gaussian_filter1d(unit, smoothing_px, order=n, mode="constant", truncate=6.0)
            np.add.at(matrix, (np.arange(len(places))[:, None], places), response[::-1])


def _filtered(
    picture: NDArray[np.float64], tile: tuple[_Band, _Band], derivative: tuple[int, int]
) -> NDArray[np.float64]:
    """A derivative along rows and columns of the smoothed picture, at the pixels of one tile."""
    (rows, columns), (i, j) = tile, derivative
    return np.ravel(rows.filters[i] @ picture[rows.around, columns.around] @ columns.filters[j].T)
