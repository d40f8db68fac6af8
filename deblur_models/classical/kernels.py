"""Kernels from files, for methods that need a known blur."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError
from blursynth.io.arrays import read_arrays
from blursynth.physics import point_spread

__all__ = ["read_kernel", "stack_kernels", "turned_fits_better"]

_LOOKED_AT_PX = 512
_SHIFT_PX = 4
_CLEARLY = 0.6  # ratio of unexplained variances; noise and coding leave some with either kernel


def stack_kernels(kernels: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
    """Kernels of different odd sizes as one array ``[B, K, K]``, the smaller ones padded with zeros.

    Raises
    ------
    InvalidValueError
        There are no kernels, or one is not square with odd sides.
    """
    if not kernels:
        raise InvalidValueError("There are no kernels to stack.")
    for kernel in kernels:
        if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or kernel.shape[0] % 2 == 0:
            raise InvalidValueError(f"A kernel must be square with odd sides, got {list(kernel.shape)}.")
    size = max(len(kernel) for kernel in kernels)
    return np.stack([np.pad(np.asarray(kernel, np.float64), (size - len(kernel)) // 2) for kernel in kernels])


def turned_fits_better(kernel: NDArray[np.floating], sharp: NDArray[Any], blurred: NDArray[Any]) -> bool:
    """Whether a kernel rotated by 180 degrees explains a blurred picture clearly better than the kernel itself.

    The center of the sharp picture (up to 512 px, gray, undecoded codes) is convolved with both. The residual variance
    of a linear fit of the blurred picture is compared, at the best of all shifts up to 4 px (files center kernels
    differently) and without borders. "Clearly better" means a ratio of less than 0.6.

    Parameters
    ----------
    kernel
        ``[K, K]``, K odd; the blurred picture should be the sharp one convolved with it.
    sharp, blurred
        Codes ``[H, W, 3]``. If they are too small for the kernel, the result is False.
    """
    from scipy.signal import fftconvolve

    turned = kernel[::-1, ::-1]
    if np.allclose(kernel, turned, atol=1e-3 * float(kernel.max())):
        return False
    height, width = sharp.shape[:2]
    top, left = max(0, (height - _LOOKED_AT_PX) // 2), max(0, (width - _LOOKED_AT_PX) // 2)
    part = slice(top, top + _LOOKED_AT_PX), slice(left, left + _LOOKED_AT_PX)
    before, after = (np.asarray(codes[part], np.float64).mean(axis=-1) for codes in (sharp, blurred))
    cut = len(kernel) // 2 + _SHIFT_PX
    if min(before.shape) < 2 * cut + 16:
        return False
    inner = after[cut:-cut, cut:-cut]
    inner = inner - inner.mean()
    whole = float((inner**2).sum())
    if whole == 0.0:
        return False
    left_over = []
    for candidate in (kernel, turned):
        made = fftconvolve(before, candidate, mode="valid")  # without borders of half a kernel
        best = 0.0
        for row in range(2 * _SHIFT_PX + 1):
            for column in range(2 * _SHIFT_PX + 1):
                view = made[row : row + inner.shape[0], column : column + inner.shape[1]]
                view = view - view.mean()
                power = float((view**2).sum())
                along = float((view * inner).sum())
                best = max(best, along**2 / power if power > 0 and along > 0 else 0.0)
        left_over.append(1.0 - best / whole)
    return left_over[1] < _CLEARLY * left_over[0]


def read_kernel(path: str | Path, *, turn_180: bool = False) -> NDArray[np.float64]:
    """Read a kernel ``[K, K]`` from a file: a gray picture, .npy, .npz, .mat, .csv.

    It is scaled to a sum of 1; the pixel closest to its centroid becomes the center of an odd square.

    Parameters
    ----------
    path
        The file, with one kernel.
    turn_180
        Rotate it by 180 degrees, for files with kernels defined by correlation (Levin et al. 2009).

    Raises
    ------
    PictureError
        The file cannot be read.
    InvalidValueError
        It contains several arrays, or no kernel.
    """
    arrays = read_arrays(path)
    if len(arrays) != 1:
        raise InvalidValueError(
            f"{path} contains {len(arrays)} arrays, not one kernel.",
            fix="Read them with blursynth.read_arrays and choose one.",
        )
    kernel = arrays[0]
    return point_spread.measured(kernel[::-1, ::-1] if turn_180 else kernel).to_dense()
