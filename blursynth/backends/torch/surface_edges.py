"""The edges of surfaces in pictures that are tensors: scenes are made on the CPU wherever the picture lies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.cpu.surface_edges import surface_edges as edges_of_arrays
from blursynth.backends.cpu.surface_edges import surface_slope
from blursynth.backends.torch.tensors import as_array
from blursynth.physics.surface_edges import SurfaceEdges

__all__ = ["surface_edges", "surface_slope"]


def surface_edges(
    image: Any,
    level: NDArray[np.float64],
    deep_px: NDArray[np.float64] | None,
    wide_px: NDArray[np.float64] | None,
    *,
    jump: float,
    slack_px: float,
) -> SurfaceEdges:
    """Which surfaces lie on both sides of every edge; see the backend of arrays. Nothing depends on it smoothly."""
    picture = as_array(image.detach().cpu())
    return edges_of_arrays(picture, level, deep_px, wide_px, jump=jump, slack_px=slack_px)
