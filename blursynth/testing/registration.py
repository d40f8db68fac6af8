"""Where a picture lies relative to another, to a hundredth of a pixel: the check that a pair is aligned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["shift_px", "tile_shifts_px"]


def shift_px(sharp: NDArray[np.floating], blurred: NDArray[np.floating], *, steps: int = 20) -> NDArray[np.float64]:
    """Displacement (rows, columns) in px that carries ``sharp`` onto ``blurred``, both ``[H, W]``.

    Gauss-Newton on the squared difference (Lucas and Kanade 1981), with the sharp picture smoothed until its spectrum
    fits the blurred one's: least squares finds the shift of the blur's centroid, for any blur whose higher moments
    are symmetric and approximately for others. Finds shifts of up to about 3 px.

    Returns
    -------
    ``[2]``; NaN where the picture has no structure in both directions.
    """
    a = np.asarray(sharp, np.float64)
    b = np.asarray(blurred, np.float64)
    rows, columns = a.shape
    fy = np.fft.fftfreq(rows)[:, None]
    fx = np.fft.fftfreq(columns)[None, :]
    window = np.outer(np.hanning(rows + 2)[1:-1], np.hanning(columns + 2)[1:-1])
    # A Gaussian low-pass in both: what blur took away from one must not be compared with what the other still has.
    low_pass = np.exp(-2 * np.pi**2 * 3.0**2 * (fy**2 + fx**2))
    moving = np.fft.fft2((a - a.mean()) * window) * low_pass
    fixed = np.real(np.fft.ifft2(np.fft.fft2((b - b.mean()) * window) * low_pass))
    estimate = np.zeros(2)
    for _ in range(steps):
        spectrum = moving * np.exp(-2j * np.pi * (fy * estimate[0] + fx * estimate[1]))
        moved = np.real(np.fft.ifft2(spectrum))
        gain = float((moved * fixed).sum() / max((moved * moved).sum(), 1e-30))
        gy = -gain * np.real(np.fft.ifft2(spectrum * 2j * np.pi * fy))
        gx = -gain * np.real(np.fft.ifft2(spectrum * 2j * np.pi * fx))
        normal = np.array([[(gy * gy).sum(), (gy * gx).sum()], [(gy * gx).sum(), (gx * gx).sum()]])
        if np.linalg.cond(normal) > 1e4:
            return np.full(2, np.nan)
        rest = fixed - gain * moved
        step = np.linalg.solve(normal, np.array([(gy * rest).sum(), (gx * rest).sum()]))
        estimate += np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-4:
            break
    return estimate


def tile_shifts_px(
    sharp: NDArray[np.floating], blurred: NDArray[np.floating], *, tiles: int = 4
) -> NDArray[np.float64]:
    """:func:`shift_px` of ``tiles x tiles`` parts of two pictures ``[H, W]``: ``[tiles^2, 2]``."""
    rows, columns = sharp.shape[0] // tiles, sharp.shape[1] // tiles
    return np.array(
        [
            shift_px(
                sharp[i * rows : (i + 1) * rows, j * columns : (j + 1) * columns],
                blurred[i * rows : (i + 1) * rows, j * columns : (j + 1) * columns],
            )
            for i in range(tiles)
            for j in range(tiles)
        ]
    )
