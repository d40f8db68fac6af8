"""Kernels for methods that are told the blur: those of draws, and of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blursynth.contact_sheet import draw_kernel
from blursynth.core import Draw
from blursynth.errors import InvalidValueError
from blursynth.io import read_arrays
from blursynth.physics import point_spread

__all__ = ["read_kernel", "stack_kernels", "true_kernel"]


def true_kernel(draw: Draw) -> NDArray[np.float64]:
    """The blur of a draw as one kernel ``[K, K]``: the point spreads of its steps convolved with one another.

    K is odd, zero shift is in the middle, the sum is 1 (a darker exposure is not a matter of the kernel). A draw
    without blur gives ``[[1]]``.

    Raises
    ------
    InvalidValueError
        A step blurs differently from pixel to pixel, so that no single kernel stands for it.

    Not modelled: what happens between and after the blurs (clipping, demosaicking, sharpening, compression).
    """
    for name, step in draw.steps:
        if step.varies:
            raise InvalidValueError(
                f"The draw has no single kernel: its step {name!r} ({step.kind}) blurs differently from "
                "pixel to pixel.",
                fix="Take a recipe of uniform blurs (default, motion-only) for methods that need a kernel.",
            )
    kernel = draw_kernel(draw)
    return np.ones((1, 1)) if kernel is None else kernel


def stack_kernels(kernels: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
    """Kernels of different odd sizes as one array ``[B, K, K]``, the smaller ones with zeros around them.

    Raises
    ------
    InvalidValueError
        There are none, or one is not square with odd sides.
    """
    if not kernels:
        raise InvalidValueError("There are no kernels to stack.")
    for kernel in kernels:
        if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or kernel.shape[0] % 2 == 0:
            raise InvalidValueError(f"A kernel must be square with odd sides, got {list(kernel.shape)}.")
    size = max(len(kernel) for kernel in kernels)
    return np.stack([np.pad(np.asarray(kernel, np.float64), (size - len(kernel)) // 2) for kernel in kernels])


def read_kernel(path: str | Path, *, turn_180: bool = False) -> NDArray[np.float64]:
    """A kernel ``[K, K]`` from a file: a grey picture, .npy, .npz, .mat, .csv.

    It is scaled to a sum of 1; its pixel nearest to the centroid comes to the middle of an odd square.

    Parameters
    ----------
    path
        The file, with one kernel.
    turn_180
        Turn it by 180 degrees, for files that hold kernels for correlation (Levin et al. 2009).

    Raises
    ------
    PictureError
        The file cannot be read.
    InvalidValueError
        It holds several arrays, or something that is no kernel.
    """
    arrays = read_arrays(path)
    if len(arrays) != 1:
        raise InvalidValueError(
            f"{path} holds {len(arrays)} arrays, not one kernel.",
            fix="Read them with blursynth.read_arrays, and choose one.",
        )
    kernel = arrays[0]
    return point_spread.measured(kernel[::-1, ::-1] if turn_180 else kernel).to_dense()
