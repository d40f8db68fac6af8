"""Smoothing of the depth of tensors: by the kernels of arrays, wherever the tensor lies."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from blursynth.backends.cpu.smooth_depth import smooth_depth as smooth_arrays
from blursynth.backends.torch.tensors import as_array, as_tensor

__all__ = ["smooth_depth"]


def smooth_depth(
    inverse_depth: torch.Tensor,
    guide: torch.Tensor,
    step: NDArray[np.float64],
    radius_px: NDArray[np.int64],
    contrast: NDArray[np.float64],
    snap_px: NDArray[np.int64],
) -> torch.Tensor:
    """Inverse depth smoothed within surfaces; see :func:`blursynth.backends.cpu.smooth_depth.smooth_depth`.

    Depth is prepared on the CPU, as scenes are, and the result lies where the inverse depth lies. It has no derivative:
    which pixels are one surface does not change smoothly.
    """
    smooth = smooth_arrays(as_array(inverse_depth), as_array(guide), step, radius_px, contrast, snap_px)
    return as_tensor(smooth, inverse_depth)
