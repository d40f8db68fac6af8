"""What a pair of a sharp and a blurred picture says of its blur, without knowing how it was made.

Four numbers of pairs: PSNR; how wide the blur is from place to place; how much of the sharp picture's spectrum is left;
and how far the blur is from being the same everywhere. All of the gray codes, so that photographs and made pictures are
looked at alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TILE_PX = 128
MARGIN_PX = 32  # seen around a tile, fading out
REACH_PX = 40  # of kernels
BANDS = ((0.12, 0.2), (0.2, 0.3), (0.3, 0.5))  # cycles per px
_LEAST_CONTRAST = 0.01  # rms step from column to column, below which a tile shows no blur
_FAINTEST = 0.1  # of a kernel's largest value, below which it is noise

Picture = NDArray[np.float64]


def psnr(sharp: Picture, blurred: Picture) -> float:
    """In dB, of codes 0..1."""
    return float(-10 * np.log10(np.mean((sharp - blurred) ** 2)))


def _frequency(shape: tuple[int, ...]) -> Picture:
    return np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))


def _kernel(sharp: Picture, blurred: Picture, regularization: float) -> Picture:
    """The kernel between two pictures that vanish at their borders, least squares, ``[2 REACH + 1]`` twice.

    Regularized in proportion to the mean power at every frequency, so that textures of any spectrum count alike.
    """
    light, seen = np.fft.rfft2(sharp), np.fft.rfft2(blurred)
    power = np.abs(light) ** 2
    ring = (_frequency(sharp.shape) * 40).astype(int)
    mean = np.bincount(ring.ravel(), power.ravel()) / np.bincount(ring.ravel())
    found = np.fft.irfft2(np.conj(light) * seen / (power + regularization * mean[ring]), s=sharp.shape)
    return np.asarray(np.roll(found, (REACH_PX, REACH_PX), (0, 1))[: 2 * REACH_PX + 1, : 2 * REACH_PX + 1])


def widths_px(sharp: Picture, blurred: Picture) -> Picture:
    """Standard deviation along its longer axis of the blur of every tile of 128 px that has detail.

    The second moments of a kernel that is fitted to the tile and smoothed by a Gaussian of half a pixel, so that no
    blur at all has .42 px.
    """
    offset = np.arange(-REACH_PX, REACH_PX + 1.0)
    side = TILE_PX + 2 * MARGIN_PX
    window = np.outer(np.hanning(side + 2)[1:-1], np.hanning(side + 2)[1:-1])
    smooth = np.exp(-0.5 * offset**2 / 0.25)
    widths = []
    for top in range(0, sharp.shape[0] - side + 1, TILE_PX):
        for left in range(0, sharp.shape[1] - side + 1, TILE_PX):
            one, other = (p[top : top + side, left : left + side] for p in (sharp, blurred))
            tile = one[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]
            if np.diff(tile, axis=1).std() < _LEAST_CONTRAST:
                continue
            kernel = _kernel((one - one.mean()) * window, (other - one.mean()) * window, 0.01)
            for axis in (0, 1):
                kernel = np.apply_along_axis(np.convolve, axis, kernel, smooth[REACH_PX - 3 : REACH_PX + 4], "same")
            kernel = np.where(kernel > _FAINTEST * kernel.max(), kernel, 0.0)
            kernel /= kernel.sum()
            rows, columns = kernel.sum(axis=1), kernel.sum(axis=0)
            y, x = offset - rows @ offset, offset - columns @ offset
            both = y @ kernel @ x
            widths.append(np.sqrt(np.linalg.eigvalsh([[rows @ y**2, both], [both, columns @ x**2]])[1]))
    return np.array(widths)


def spectrum_left(sharp: Picture, blurred: Picture) -> Picture:
    """Amplitude of the blurred picture as a share of the sharp one's, in each of :data:`BANDS`."""
    window = np.outer(np.hanning(sharp.shape[0]), np.hanning(sharp.shape[1]))
    one, other = (np.abs(np.fft.rfft2((p - p.mean()) * window)) ** 2 for p in (sharp, blurred))
    frequency = _frequency(sharp.shape)
    inside = [(frequency >= low) & (frequency < high) for low, high in BANDS]
    return np.array([np.sqrt(other[band].sum() / one[band].sum()) for band in inside])


def uneven_share(sharp: Picture, blurred: Picture) -> float:
    """What no single kernel explains: energy of its residual as a share of that of blurred - sharp.

    Some hundredths where the blur is the same everywhere.
    """
    mean = sharp.mean()
    kernel = _kernel(sharp - mean, blurred - mean, 1e-3)
    whole = np.zeros_like(sharp)
    whole[: 2 * REACH_PX + 1, : 2 * REACH_PX + 1] = kernel
    whole = np.roll(whole, (-REACH_PX, -REACH_PX), (0, 1))
    fitted = np.fft.irfft2(np.fft.rfft2(sharp - mean) * np.fft.rfft2(whole), s=sharp.shape) + mean
    inside = (slice(REACH_PX, -REACH_PX),) * 2
    return float(np.mean((fitted - blurred)[inside] ** 2) / np.mean((sharp - blurred)[inside] ** 2))


@dataclass(frozen=True)
class BlurStatistics:
    """Of some pairs together."""

    psnr_db: float  # mean
    widths_px: Picture  # at 10, 25, 50, 75 and 90 % of all tiles
    spectrum: Picture  # mean, in each band
    uneven: float  # mean


def blur_statistics(pairs: list[tuple[Picture, Picture]]) -> BlurStatistics:
    """Of pairs of color pictures ``[C, H, W]``, codes 0..1."""
    gray = [(sharp.mean(axis=0), blurred.mean(axis=0)) for sharp, blurred in pairs]
    return BlurStatistics(
        psnr_db=float(np.mean([psnr(*pair) for pair in pairs])),
        widths_px=np.percentile(np.concatenate([widths_px(*pair) for pair in gray]), (10, 25, 50, 75, 90)),
        spectrum=np.mean([spectrum_left(*pair) for pair in gray], axis=0),
        uneven=float(np.mean([uneven_share(*pair) for pair in gray])),
    )
