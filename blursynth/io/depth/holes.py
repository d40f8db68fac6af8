"""Filling of unknown depth from its surroundings."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import Argument, InvalidValueError

__all__ = ["Fill", "fill_holes"]

Fill = Literal["background", "nearest", "refuse"]


def fill_holes(depth_m: NDArray[Any], *, fill: Fill = "background") -> tuple[NDArray[np.float32], int]:
    """Fill the unknown pixels (NaN, infinite, 0) of a depth map.

    ``background``: the farther of the nearest known pixels to the left and to the right in the same row, or the only
    one at the end of a row. Rows without any known pixel are copied from the nearest row that has some. Most holes are
    regions that one of two cameras (or the projector of a depth sensor) could not see because something nearer was in
    the way. They belong to the background, and the two views of stereo and depth cameras are on the same row.

    ``nearest``: the nearest known pixel, by Euclidean distance. This is better for holes due to dark, shiny or
    textureless surfaces, but foregrounds grow into the shadows beside them.

    ``refuse``: a hole is an error.

    Parameters
    ----------
    depth_m
        ``[H, W]`` meters.
    fill
        The method.

    Returns
    -------
    ndarray, int
        ``[H, W]`` float32, every value known, and the number of pixels that were filled.

    Raises
    ------
    InvalidValueError
        No value is known, or there are holes and ``fill`` is ``refuse``.

    Notes
    -----
    Both copy measured depths without interpolating, so they create no new surfaces. Not modeled: the color picture,
    whose edges could delimit the holes more accurately.

    Source: the interpolation towards the background is that of H. Hirschmueller, "Stereo processing by semiglobal
    matching and mutual information", IEEE TPAMI 30(2):328-341, 2008, on one row instead of eight directions.
    """
    known = np.isfinite(depth_m)
    known &= depth_m > 0
    missing = int(known.size - np.count_nonzero(known))
    if missing == known.size:
        raise InvalidValueError(
            "depth holds no known value: every pixel is NaN, infinite or 0.",
            why="There is nothing to fill the holes from.",
            fix="Leave the depth out, or measure it again.",
        )
    if fill not in ("background", "nearest", "refuse"):
        raise InvalidValueError(f"fill must be 'background', 'nearest' or 'refuse', got {fill!r}.")
    if missing == 0:
        return np.ascontiguousarray(depth_m, np.float32), 0
    if fill == "refuse":
        raise InvalidValueError(
            (
                f"depth has {missing} unknown pixels of {known.size} (NaN, infinite or 0), and ",
                Argument("fill", fill),
                ".",
            ),
            fix=(
                "Allow ",
                Argument("fill", "background"),
                " or ",
                Argument("fill", "nearest"),
                ", or fill them first.",
            ),
            field="fill",
            value=fill,
        )
    filled = np.where(known, depth_m, 0).astype(np.float32)
    if fill == "nearest":
        from scipy.ndimage import distance_transform_edt

        row, column = distance_transform_edt(~known, return_distances=False, return_indices=True)
        return np.ascontiguousarray(filled[row, column]), missing
    _fill_rows(filled, known)
    return filled, missing


def _fill_rows(depth: NDArray[np.float32], known: NDArray[np.bool_]) -> None:
    """In place: the farther neighbor on the row, then whole rows from the nearest one; unknown pixels hold 0."""
    rows = np.flatnonzero(known.any(axis=1))
    broken = rows[~known[rows].all(axis=1)]
    if broken.size:
        part, there = depth[broken], known[broken]
        place = np.where(there, np.arange(depth.shape[1], dtype=np.int32), np.int32(-1))
        left = np.maximum.accumulate(place, axis=1)
        place[~there] = depth.shape[1]
        right = np.minimum.accumulate(place[:, ::-1], axis=1)[:, ::-1]
        hole_row, hole_column = np.nonzero(~there)
        before, after = left[hole_row, hole_column], right[hole_row, hole_column]
        # 0, less than any depth, where the row ends first.
        from_left = np.where(before >= 0, part[hole_row, np.maximum(before, 0)], 0)
        from_right = np.where(after < depth.shape[1], part[hole_row, np.minimum(after, depth.shape[1] - 1)], 0)
        depth[broken[hole_row], hole_column] = np.maximum(from_left, from_right)
    if rows.size < depth.shape[0]:
        lost = np.setdiff1d(np.arange(depth.shape[0]), rows)
        above = np.clip(np.searchsorted(rows, lost) - 1, 0, rows.size - 1)
        below = np.minimum(above + 1, rows.size - 1)
        nearest = np.where(np.abs(rows[above] - lost) <= np.abs(rows[below] - lost), rows[above], rows[below])
        depth[lost] = depth[nearest]
