"""What a pair of pictures says about its blur: total, centroid and third moments, to a few thousandths of a pixel."""

from __future__ import annotations

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
        from scipy.ndimage import gaussian_filter

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
        self._scale = np.array([(-smoothing_px) ** (i + j) / (factorial(i) * factorial(j)) for i, j in self.terms])
        columns = [
            gaussian_filter(picture, smoothing_px, order=term, mode="nearest", truncate=6.0) * scale
            for term, scale in zip(self.terms, self._scale, strict=True)
        ]
        rows_at = np.linspace(margin, height - margin, tiles + 1).astype(int)
        columns_at = np.linspace(margin, width - margin, tiles + 1).astype(int)
        stride = max(1, int(smoothing_px / 4))  # what is so smooth is known from fewer of its pixels
        self._tiles = [
            (slice(rows_at[a], rows_at[a + 1], stride), slice(columns_at[b], columns_at[b + 1], stride))
            for a in range(tiles)
            for b in range(tiles)
        ]
        self._inverse = [
            np.linalg.pinv(np.stack([c[tile].ravel() for c in columns], axis=1), rcond=1e-9) for tile in self._tiles
        ]

    def moments(self, blurred: NDArray[np.floating]) -> NDArray[np.float64]:
        """``[tiles^2, number of terms]`` moments ``m_ij`` in px^(i+j), rows first, in the order of ``terms``."""
        from scipy.ndimage import gaussian_filter

        smooth = gaussian_filter(np.asarray(blurred, np.float64), self._smoothing, mode="nearest", truncate=6.0)
        power = np.array([self._smoothing ** (i + j) for i, j in self.terms])
        return np.stack(
            [power * (inverse @ smooth[tile].ravel()) for inverse, tile in zip(self._inverse, self._tiles, strict=True)]
        )

    def shifts_px(self, blurred: NDArray[np.floating]) -> NDArray[np.float64]:
        """``[tiles^2, 2]`` displacement (rows, columns) of the blurred picture: the centroid of its blur."""
        found = self.moments(blurred)
        total = found[:, self.terms.index((0, 0))]
        return np.stack([found[:, self.terms.index(t)] / total for t in ((1, 0), (0, 1))], axis=1)
