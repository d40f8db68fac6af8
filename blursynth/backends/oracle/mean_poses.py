"""The mean poses of a moving camera over the exposures of rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blursynth.physics.poses import Poses, mean_rotation

__all__ = ["mean_poses"]


def mean_poses(poses: Poses, first: NDArray[np.int64], weight: NDArray[np.float64]) -> Poses:
    """The Karcher mean of the orientations and the mean of the positions that every row sees."""
    which = first[:, None] + np.arange(weight.shape[1])
    share = weight / weight.sum(axis=1, keepdims=True)
    orientation = [mean_rotation(poses.orientation[seen], row) for seen, row in zip(which, share, strict=True)]
    return Poses(np.array(orientation), (share[..., None] * poses.position_m[which]).sum(axis=1))
