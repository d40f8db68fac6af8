"""Where the light of every pixel of a moving camera comes from: homographies, and the times at which rows are exposed.

x is to the right, y downwards, z along the optical axis into the scene; pixel centers have whole coordinates.

From a pose to a warp. A camera with the orientation R (a matrix that converts directions of the camera to directions of
the world) and the position c sees the world point ``X_w = R X + c`` at X of its own coordinates. At the reference pose
``(R_0, c_0)`` it was seen at ``X_0 = R_0' (X_w - c_0) = A X + a`` with ``A = R_0' R`` and ``a = R_0' (c - c_0)``. Pixel
``p = (x, y, 1)`` of the moving camera shows the point ``X = D K^-1 p`` at its depth D, so it shows what stands at ``K
X_0 / D = K A K^-1 p + q K a`` in the reference picture, q = 1 / D: the ``matrix`` and ``shift`` of :class:`Warps`.

In the notation of other books, ``X_t = R_t X_0 + t_t`` with ``R_t = A'`` and ``t_t = -A' a``, and for a plane
``n' X_0 = d`` the homography ``H_t = K (R_t + t_t n' / d) K^-1`` takes reference pixels to pixels of the moving camera
(:func:`homography`); a picture is rendered with its inverse, which for pure rotation is ``K A K^-1``.

The depth D belongs to the moving camera's pixel. Taking it from the reference picture at the same pixel, as the
degradations do, is exact for planes parallel to the sensor and wrong by the parallax of the depth's own slope
otherwise; regions that a nearer object hides or reveals are not modeled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blursynth.errors import InvalidValueError
from blursynth.frame import Intrinsics
from blursynth.physics.poses import Path

__all__ = [
    "CenteredOn",
    "Warps",
    "exposure_cells",
    "homography",
    "intrinsic_matrix",
    "largest_move_px",
    "principal_point_px",
    "row_exposures",
    "row_starts_s",
    "warps_of_path",
    "zoom_warps",
]

CenteredOn = Literal["mean", "mid", "start", "global_shutter"]
"""Pose of the sharp target: mean, middle or start of each row's own exposure, or one mean for all rows."""

LONGEST_PX = 2000  # as of the other motions
_SLOWEST = 0.5  # speed, as a share of the mean, below which parts of a motion are no longer made longer


@dataclass(frozen=True, eq=False)
class Warps:
    """Where the light of every pixel comes from, at every moment of the exposure.

    At time t, pixel (x, y) of the result shows the source at ``(u / s, v / s)`` with
    ``(u, v, s) = matrix[b, t] (x, y, 1) + q(x, y) shift[b, t]``, q the pixel's inverse depth in 1/m. Row y of the
    result is the sum over n of ``weight[b, y, n]`` times the source seen at time ``first[b, y] + n``.

    Parameters
    ----------
    matrix
        ``[N, T, 3, 3]`` homographies from pixels of the result to pixels of the source, in px of the frame; N = B, or 1
        for all pictures alike.
    shift
        ``[N, T, 3]`` what translation of the camera adds per unit of inverse depth; zero for rotations.
    first
        ``[N, R]`` first time at which a row is exposed, R = height of the picture, or 1 for all rows alike (global
        shutter).
    weight
        ``[N, R, n]`` share of each of the n times from there on; they sum to 1 over n for a picture of full exposure.

    Raises
    ------
    InvalidValueError
        Shapes do not fit, or rows are exposed at times that do not exist.
    """

    matrix: NDArray[np.float64]
    shift: NDArray[np.float64]
    first: NDArray[np.int64]
    weight: NDArray[np.float64]

    def __post_init__(self) -> None:
        matrix, shift = np.asarray(self.matrix, np.float64), np.asarray(self.shift, np.float64)
        first, weight = np.asarray(self.first, np.int64), np.asarray(self.weight, np.float64)
        pictures = matrix.shape[0] if matrix.ndim == 4 else 0
        if (
            matrix.ndim != 4
            or matrix.shape[2:] != (3, 3)
            or shift.shape != (*matrix.shape[:2], 3)
            or first.ndim != 2
            or weight.ndim != 3
            or weight.shape[:2] != first.shape
            or len(first) != pictures
        ):
            raise InvalidValueError(
                "Warps needs matrix [N, T, 3, 3], shift [N, T, 3], first [N, R] and weight [N, R, n], got "
                f"{matrix.shape}, {shift.shape}, {first.shape} and {weight.shape}."
            )
        if not all(np.isfinite(a).all() for a in (matrix, shift, weight)):
            raise InvalidValueError("Warps must be finite.")
        if first.size and (first.min() < 0 or first.max() + weight.shape[2] > matrix.shape[1]):
            raise InvalidValueError(
                f"Rows see times {first.min()} to {first.max() + weight.shape[2] - 1}, there are 0 to "
                f"{matrix.shape[1] - 1}.",
                why="Light of a time without a pose would be a guess.",
            )
        for name, value in (("matrix", matrix), ("shift", shift), ("first", first), ("weight", weight)):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        """Pictures: B, or 1 for all alike."""
        return len(self.matrix)

    @staticmethod
    def concatenate(parts: Sequence[Warps]) -> Warps:
        """One batch of several; where pictures see different numbers of times, the rest have no weight.

        Raises
        ------
        InvalidValueError
            Their pictures differ in height.
        """
        if len(parts) == 1:
            return parts[0]
        rows = max(part.first.shape[1] for part in parts)
        if any(part.first.shape[1] not in (1, rows) for part in parts):
            raise InvalidValueError(
                "Warps of one batch must be for pictures of one height.", fix="Warp them one by one."
            )
        seen = max(part.weight.shape[2] for part in parts)
        times = max(max(part.matrix.shape[1], int(part.first.max()) + seen) for part in parts)
        count = sum(map(len, parts))
        matrix, shift = np.tile(np.eye(3), (count, times, 1, 1)), np.zeros((count, times, 3))
        first, weight = np.empty((count, rows), np.int64), np.zeros((count, rows, seen))
        at = 0
        for part in parts:
            here = slice(at, at + len(part))
            matrix[here, : part.matrix.shape[1]], shift[here, : part.shift.shape[1]] = part.matrix, part.shift
            first[here], weight[here, :, : part.weight.shape[2]] = part.first, part.weight
            at += len(part)
        return Warps(matrix, shift, first, weight)


def largest_move_px(warps: Warps, b: int, size_px: tuple[int, int], inverse_depth: tuple[float, float] | None) -> float:
    """A bound of how far any pixel of a picture is from the places that its light comes from, in each coordinate.

    Parameters
    ----------
    warps, b
        The warps, and the number of the picture among them.
    size_px
        Height and width of the picture.
    inverse_depth
        Smallest and largest inverse depth of its pixels in 1/m; None if nothing depends on it.

    Raises
    ------
    InvalidValueError
        A pixel looks behind the camera.

    Notes
    -----
    The ends of every row (of a global shutter: the corners), at both depths, are moved exactly; between two depths a
    place lies between theirs. Along a line of n px the place ``u / s`` has the second derivative
    ``-2 s' (u' s - u s') / s^3``, whose difference is constant, so that in between a pixel leaves the chord by at most
    ``n^2 / 4 |s' (u' s - u s')| / min(s)^3``.
    """
    height, width = size_px
    first, weight = warps.first[b], warps.weight[b]
    rolling = len(first) > 1
    lines = np.arange(height) if rolling else np.array([0, height - 1])
    row = lines if rolling else np.zeros(2, np.int64)
    time = first[row][:, None] + np.arange(weight.shape[1])
    exposed = weight[row] != 0
    line = np.broadcast_to(lines[:, None], time.shape)[exposed].astype(np.float64)
    time = time[exposed]
    # [numerator of x, of y, denominator; ...]: at the start of a line, its growth along it and from line to line.
    matrix = warps.matrix[b].transpose(1, 2, 0)
    along, down = np.take(matrix[:, 0], time, axis=1), np.take(matrix[:, 1], time, axis=1)
    start = down * line + np.take(matrix[:, 2], time, axis=1)
    depths = (0.0,) if inverse_depth is None or not warps.shift[b].any() else inverse_depth
    largest = 0.0
    for deep in depths:
        here = start + deep * np.take(warps.shift[b].T, time, axis=1) if deep else start
        there = here + (width - 1.0) * along
        nearest = min(float(here[2].min()), float(there[2].min()))
        if not nearest > 0:
            raise InvalidValueError(
                "A pixel looks behind the camera.",
                why="The motion is larger than the scene's depth or the field of view.",
                fix="Use smaller amplitudes or a larger nearest_m.",
            )
        for axis in (0, 1):
            ends = ((here, (0.0, line)[axis]), (there, (width - 1.0, line)[axis]))
            moved = max(_most(end[axis] / end[2] - own) for end, own in ends)
            bend = (width - 1.0) ** 2 * _most(along[2] * (along[axis] * here[2] - here[axis] * along[2]))
            if not rolling:  # between the two rows, along both ends
                bends = [_most(down[2] * (down[axis] * end[2] - end[axis] * down[2])) for end in (here, there)]
                bend += (height - 1.0) ** 2 * max(bends)
            largest = max(largest, moved + 0.25 * bend / nearest**3)
    return largest


def _most(values: NDArray[np.float64]) -> float:
    return float(np.abs(values).max())


def principal_point_px(camera: Intrinsics | None, full_size_px: ArrayLike) -> tuple[float, float]:
    """Row and column of the optical axis in the full picture: the camera's, or the middle."""
    if camera is not None and camera.principal_point_px is not None:
        return camera.principal_point_px
    height, width = np.asarray(full_size_px, np.float64).tolist()
    return (height - 1) / 2, (width - 1) / 2


def intrinsic_matrix(camera: Intrinsics, full_size_px: ArrayLike, origin_px: ArrayLike = (0, 0)) -> NDArray[np.float64]:
    """K: directions of the camera to pixels of a frame, ``(x, y, 1) ~ K (X, Y, Z)``.

    Parameters
    ----------
    camera
        Focal length, pixel pitch and principal point (in the full picture; its middle when None).
    full_size_px
        Height and width of the full picture.
    origin_px
        Row and column of the frame's first pixel in the full picture; the matrix is in px of the frame.

    Examples
    --------
    >>> intrinsic_matrix(Intrinsics(4.2, 1.4), (101, 201), (0, 100))
    array([[3.e+03, 0.e+00, 0.e+00],
           [0.e+00, 3.e+03, 5.e+01],
           [0.e+00, 0.e+00, 1.e+00]])
    """
    size = np.asarray(full_size_px, np.float64)
    row, column = principal_point_px(camera, size) - np.asarray(origin_px, np.float64)
    focal = camera.focal_length_px
    return np.array([[focal, 0.0, column], [0.0, focal, row], [0.0, 0.0, 1.0]])


def homography(
    intrinsics: NDArray[np.float64],
    rotation: NDArray[np.float64],
    translation_m: ArrayLike = (0.0, 0.0, 0.0),
    normal: ArrayLike = (0.0, 0.0, 1.0),
    distance_m: float = math.inf,
) -> NDArray[np.float64]:
    """``H = K (R + t n' / d) K^-1``: pixels at the reference pose to pixels after ``X_t = R X + t``.

    Parameters
    ----------
    intrinsics
        K, ``[3, 3]``.
    rotation, translation_m
        ``[..., 3, 3]`` and ``[..., 3]``.
    normal, distance_m
        Of the plane ``n' X = d`` in the coordinates of the reference pose; by default infinitely far.
    """
    tilt = np.asarray(translation_m, np.float64)[..., :, None] * (np.asarray(normal, np.float64) / distance_m)
    return np.asarray(intrinsics @ (rotation + tilt) @ np.linalg.inv(intrinsics))


def demand_length(length_px: float) -> None:
    """Refuse excessively long motions.

    Raises
    ------
    InvalidValueError
        The path is longer than 2000 px.
    """
    if length_px > LONGEST_PX:
        raise InvalidValueError(
            f"The picture would move along a path of {length_px:.0f} px; at most {LONGEST_PX} is possible.",
            why="Angles are in mrad, a gyroscope's rates in rad/s (not degrees), steps in mm, depth in meters.",
            fix="Check the units; or use smaller amplitudes, a shorter exposure or a larger nearest_m.",
        )


def _moments(length_px: float, step_px: float) -> int:
    """How many poses show a motion of this length.

    One per ``step_px``; motions below 64 px are seen from more, since each pose then has a larger share of the light.
    With a step of 0.5 px photographs differ from those of many more poses by at most one code of 8-bit sRGB; with 1 px,
    in half the time, also but for one pixel in 100,000 beside the hardest edges, by two or three (benchmarks/warp.py).
    """
    return max(1, math.ceil(max(length_px, 8.0 * math.sqrt(length_px)) / step_px - 1e-9))


def exposure_cells(
    path: Path, intrinsics: NDArray[np.float64], size_px: ArrayLike, span_s: float, *, step_px: float, nearest_m: float
) -> NDArray[np.float64]:
    """Boundaries ``[N + 1]`` in s of parts of a motion in which no pixel moves farther than ``step_px``.

    The parts are short where the camera is fast: each is equally long for the corner of the picture (or its middle)
    that is fastest at the time, at infinite depth or at ``nearest_m``.

    Parameters
    ----------
    path
        The motion.
    intrinsics
        K of the full picture.
    size_px
        Height and width of the full picture.
    span_s
        The motion's duration, from 0 on: exposure and readout.
    step_px, nearest_m
        The bound in px, > 0, and the depth in m down to which it holds.

    Raises
    ------
    InvalidValueError
        More than 20,000 parts would be needed.
    """
    samples = min(257 + int(2000 * span_s), 8193)
    times = np.linspace(0.0, span_s, samples)
    poses = path(times)
    height, width = np.asarray(size_px, np.float64)
    corners = np.array(
        [[x, y, 1.0] for x in (0.0, (width - 1) / 2, width - 1) for y in (0.0, (height - 1) / 2, height - 1)]
    )
    rays = np.linalg.solve(intrinsics, corners.T)  # [3, 9]
    # Moves from one sample to the next, in the coordinates of the former.
    before = np.swapaxes(poses.orientation[:-1], -1, -2)
    turned = before @ poses.orientation[1:] @ rays
    moved = (before @ np.diff(poses.position_m, axis=0)[..., None]) / nearest_m
    speed = np.zeros(samples - 1)
    for offset in (0.0, moved):
        seen = intrinsics @ (turned + offset)
        if not (seen[:, 2] > 0).all():
            raise InvalidValueError(
                "The camera turns or moves so fast that pixels look behind it.",
                fix="Use smaller amplitudes, a shorter exposure or a larger nearest_m.",
            )
        distance = seen[:, :2] / seen[:, 2:] - corners.T[:2]
        speed = np.maximum(speed, np.sqrt((distance**2).sum(axis=1)).max(axis=1))
        if not poses.position_m.any():
            break
    # Where the camera turns back, it is slow and much light gathers: a floor keeps the parts short there, too.
    speed = np.hypot(speed, _SLOWEST * speed.mean())
    length = np.concatenate([[0.0], np.cumsum(speed)])
    demand_length(float(length[-1]))
    parts = _moments(float(length[-1]), step_px)
    if length[-1] == 0:
        return np.array([0.0, span_s])
    # Where the camera rests, all times are equivalent; a tiny speed keeps the inverse unique.
    length += np.linspace(0.0, 1e-9 * length[-1], samples)
    cells = np.interp(np.linspace(0.0, length[-1], parts + 1), length, times)
    cells[0], cells[-1] = 0.0, span_s
    return np.asarray(cells)


def row_starts_s(
    rows: ArrayLike, full_height_px: int, readout_s: float, *, from_bottom: bool = False
) -> NDArray[np.float64]:
    """When the exposure of a row begins, in s after the first row's: row r of h at ``r readout_s / h``."""
    order = np.asarray(rows, np.float64)
    if from_bottom:
        order = full_height_px - 1 - order
    return order * (readout_s / full_height_px)


def row_exposures(
    cells_s: NDArray[np.float64], starts_s: NDArray[np.float64], exposure_s: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """``first`` and ``weight`` of :class:`Warps`: the share of a row's exposure in each part of the motion.

    Examples
    --------
    >>> first, weight = row_exposures(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 0.5]), 2.0)
    >>> first.tolist(), weight.tolist()
    ([0, 0], [[0.5, 0.5, 0.0], [0.25, 0.5, 0.25]])
    """
    parts = len(cells_s) - 1
    ends_s = starts_s + exposure_s
    first = np.clip(np.searchsorted(cells_s, starts_s, side="right") - 1, 0, parts - 1)
    last = np.clip(np.searchsorted(cells_s, ends_s, side="left") - 1, 0, parts - 1)
    count = int((last - first).max()) + 1
    first = np.minimum(first, parts - count)
    which = first[:, None] + np.arange(count)
    seen = np.minimum(cells_s[which + 1], ends_s[:, None]) - np.maximum(cells_s[which], starts_s[:, None])
    seen = np.maximum(seen, 0.0)
    return first.astype(np.int64), seen / seen.sum(axis=1, keepdims=True)


def _seen(
    cells_s: NDArray[np.float64], starts_s: NDArray[np.float64], exposure_s: float, frames: int | None
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Times of poses, and ``first`` and ``weight`` of :class:`Warps`: of a continuous exposure, or of moments."""
    if frames is None:
        return 0.5 * (cells_s[:-1] + cells_s[1:]), *row_exposures(cells_s, starts_s, exposure_s)
    rows = len(starts_s)
    moments_s = exposure_s * (np.arange(frames) + 0.5) / frames
    return (
        (starts_s[:, None] + moments_s).ravel(),
        np.arange(rows, dtype=np.int64) * frames,
        np.full((rows, frames), 1.0 / frames),
    )


def warps_of_path(
    path: Path,
    cells_s: NDArray[np.float64],
    intrinsics: NDArray[np.float64],
    backend: Any,
    *,
    exposure_s: float,
    starts_s: NDArray[np.float64] | None = None,
    all_starts_s: NDArray[np.float64] | None = None,
    centered_on: CenteredOn = "mean",
    frames: int | None = None,
) -> Warps:
    """The warps of a camera on a path, for one picture.

    Parameters
    ----------
    path
        The motion.
    cells_s
        Boundaries of its parts, of :func:`exposure_cells`; each part is seen from the pose at its middle.
    intrinsics
        K in px of the frame.
    backend
        Backend whose ``mean_poses`` is used.
    exposure_s
        How long every row is exposed.
    starts_s
        ``[H]`` when the exposure of each row of the frame begins; None, or all 0: a global shutter, from 0 on.
    all_starts_s
        The same of the full picture's rows; only ``centered_on="global_shutter"`` needs it.
    centered_on
        ``mean``: the Karcher mean of the orientations and the mean of the positions over the exposure, each row's own
        under a rolling shutter, so that no row is moved; ``mid``, ``start``: the pose at that time of each row's
        exposure; ``global_shutter``: the mean over the exposures of all rows of the full picture, so that the rolling
        shutter bends the blurred picture and the target is straight.
    frames
        Number of moments at which every row is exposed, each in the middle of its share of the row's exposure; None: a
        continuous exposure, by the parts.
    """
    rolling = starts_s is not None and bool(np.any(starts_s != 0))
    starts = starts_s if rolling and starts_s is not None else np.zeros(1)
    times, first, weight = _seen(cells_s, starts, exposure_s, frames)
    poses = path(times)
    seen = first[:, None] + np.arange(weight.shape[1])
    one = not rolling or centered_on == "global_shutter"
    if centered_on in ("start", "mid"):
        reference = path((starts[:1] if one else starts) + (0.5 * exposure_s if centered_on == "mid" else 0.0))
    elif not one or not rolling:
        reference = backend.mean_poses(poses, first, weight)
    else:
        all_times, begin, rows = _seen(cells_s, starts if all_starts_s is None else all_starts_s, exposure_s, frames)
        share = np.zeros((1, len(all_times)))
        np.add.at(share[0], begin[:, None] + np.arange(rows.shape[1]), rows)
        reference = backend.mean_poses(path(all_times), np.zeros(1, np.int64), share)
    # Where every row is centered on its own pose, it has warps of its own, which are stored one after another.
    which = np.arange(len(times))[None] if one else seen
    first = first if one else np.arange(len(starts), dtype=np.int64) * weight.shape[1]
    back = np.swapaxes(reference.orientation, -1, -2)
    # K A K^-1, A = R_0' R, transposed: every pose once, then all that a row sees by one product.
    poses_t = np.ascontiguousarray(np.swapaxes(poses.orientation @ np.linalg.inv(intrinsics), -1, -2))
    seen_t = np.take(poses_t, which, axis=0).reshape(len(which), -1, 3)
    seen_t = seen_t @ np.ascontiguousarray(np.swapaxes(intrinsics @ back, -1, -2))
    matrix = np.ascontiguousarray(np.swapaxes(seen_t.reshape(-1, 3, 3), -1, -2))
    # A roll about the optical axis is affine; the product's rounding would cost it a division per pixel.
    upright = [(turns[:, 2, :2] == 0).all(axis=1) for turns in (back, poses.orientation)]
    flat = upright[0][:, None] & upright[1][which]
    matrix[flat.ravel(), 2] = (0.0, 0.0, 1.0)
    shift = np.zeros((matrix.shape[0], 3))
    if poses.position_m.any():
        moved = (poses.position_m[which] - reference.position_m[:, None]) @ reference.orientation
        shift = moved.reshape(-1, 3) @ intrinsics.T
    return Warps(matrix[None], shift[None], first[None], weight[None])


def zoom_warps(
    scale: float,
    center_px: ArrayLike,
    size_px: ArrayLike,
    *,
    step_px: float,
    centered_on: Literal["mean", "start"] = "mean",
    frames: int | None = None,
    shutter_fraction: float = 1.0,
) -> Warps:
    """A focal length that grows by the factor ``scale`` during the exposure, at a constant relative rate.

    Parameters
    ----------
    scale
        Focal length at the end over that at the start, > 0.
    center_px
        Row and column of the fixed point, in px of the frame.
    size_px
        ``[2, 2]`` first and last row and column, in px of the frame, between which no pixel may move farther than
        ``step_px`` from one moment to the next.
    centered_on
        The target's focal length: the mean of its logarithm over the exposure, or that at the start.
    frames
        Number of moments, instead of the number that follows from ``step_px``.
    shutter_fraction
        Part of the exposure, in its middle, during which light arrives.
    """
    row, column = np.asarray(center_px, np.float64)
    box = np.asarray(size_px, np.float64)
    furthest = math.hypot(*np.abs(box - (row, column)).max(axis=0))
    swing = shutter_fraction * abs(math.log(scale))
    # The edge of the picture moves by furthest d(log scale), more where it is magnified.
    demand_length(swing * furthest * math.exp(0.5 * swing))
    times = _moments(swing * furthest * math.exp(0.5 * swing), step_px) if frames is None else frames
    moment = shutter_fraction * ((np.arange(times) + 0.5) / times - 0.5) + (0.0 if centered_on == "mean" else 0.5)
    # A longer focal length shows a smaller part of the scene: the source lies nearer to the center.
    nearer = np.exp(-math.log(scale) * moment)
    matrix = np.zeros((1, times, 3, 3))
    matrix[0, :, 0, 0] = matrix[0, :, 1, 1] = nearer
    matrix[0, :, 0, 2], matrix[0, :, 1, 2] = column * (1 - nearer), row * (1 - nearer)
    matrix[0, :, 2, 2] = 1.0
    return Warps(matrix, np.zeros((1, times, 3)), np.zeros((1, 1), np.int64), np.full((1, 1, times), 1.0 / times))
