"""What is made on the CPU wherever the picture is: paths and their point spreads, depth, and the edges of surfaces."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from blursynth.backends.cpu.farthest_seen import farthest_seen
from blursynth.backends.cpu.jumps import jumps
from blursynth.backends.cpu.mean_poses import mean_poses
from blursynth.backends.cpu.object_labels import object_labels
from blursynth.backends.cpu.random_walk import random_walk
from blursynth.backends.cpu.rasterize import rasterize
from blursynth.backends.cpu.smooth_depth import smooth_depth as smooth_arrays
from blursynth.backends.cpu.surface_edges import surface_edges as edges_of_arrays
from blursynth.backends.cpu.surface_edges import surface_slope
from blursynth.backends.torch.tensors import as_array, as_tensor
from blursynth.physics.surface_edges import SurfaceEdges

__all__ = [
    "farthest_seen", "jumps", "mean_poses", "object_labels", "random_walk", "rasterize", "smooth_depth",
    "surface_edges", "surface_slope",
]  # fmt: skip


def smooth_depth(
    inverse_depth: torch.Tensor,
    guide: torch.Tensor,
    step: NDArray[np.float64],
    radius_px: NDArray[np.int64],
    contrast: NDArray[np.float64],
    snap_px: NDArray[np.int64],
) -> torch.Tensor:
    """Inverse depth smoothed within surfaces; it stays on its device."""
    smooth = smooth_arrays(as_array(inverse_depth), as_array(guide), step, radius_px, contrast, snap_px)
    return as_tensor(smooth, inverse_depth)


def surface_edges(
    image: torch.Tensor,
    level: NDArray[np.float64],
    deep_px: NDArray[np.float64] | None,
    wide_px: NDArray[np.float64] | None,
    *,
    jump: float,
    slack_px: float,
) -> SurfaceEdges:
    """Which surfaces lie on both sides of every edge."""
    return edges_of_arrays(as_array(image), level, deep_px, wide_px, jump=jump, slack_px=slack_px)
