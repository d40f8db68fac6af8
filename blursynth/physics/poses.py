"""Poses of a camera: rotations, recordings of its motion, and how a hand that holds it moves.

x is to the right, y downwards, z along the optical axis into the scene.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blursynth.errors import InvalidValueError

__all__ = [
    "Path",
    "Poses",
    "hand_tremor",
    "integrate_gyro",
    "interpolate_poses",
    "mean_quaternion",
    "mean_rotation",
    "poses_from_recording",
    "quaternion_of",
    "random_walk",
    "rotation_matrix",
    "rotation_of",
    "rotation_vector",
]


@dataclass(frozen=True, eq=False)
class Poses:
    """Positions and orientations of a camera.

    Parameters
    ----------
    orientation
        ``[N, 3, 3]`` from directions of the camera to directions of the world.
    position_m
        ``[N, 3]`` in the world.
    """

    orientation: NDArray[np.float64]
    position_m: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.orientation)


Path = Callable[[NDArray[np.float64]], Poses]
"""A camera's motion: poses at the given times in s after the start of the first row's exposure."""


def rotation_matrix(vector_rad: ArrayLike) -> NDArray[np.float64]:
    """Rotation by ``|v|`` about the axis ``v / |v|`` (Rodrigues): ``I + sin a W + (1 - cos a) W^2``, ``[..., 3, 3]``.

    Examples
    --------
    >>> np.rint(rotation_matrix([0, 0, np.pi / 2])).astype(int).tolist()  # x turns to y: clockwise on the screen
    [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    """
    v = np.asarray(vector_rad, np.float64)
    angle = np.sqrt((v * v).sum(axis=-1))
    cross = np.zeros((*v.shape, 3))
    cross[..., 0, 1], cross[..., 0, 2], cross[..., 1, 2] = -v[..., 2], v[..., 1], -v[..., 0]
    cross -= np.swapaxes(cross, -1, -2)
    # sin a / a and (1 - cos a) / a^2 by sinc, which is exact at 0 as well.
    first = np.sinc(angle / np.pi)[..., None, None]
    second = (0.5 * np.sinc(angle / (2 * np.pi)) ** 2)[..., None, None]
    return np.asarray(np.eye(3) + first * cross + second * (cross @ cross))


def rotation_vector(matrix: ArrayLike) -> NDArray[np.float64]:
    """The inverse of :func:`rotation_matrix`, angles of 0 to pi; ``[..., 3]`` of ``[..., 3, 3]``."""
    m = np.asarray(matrix, np.float64)
    odd = 0.5 * np.stack(
        [m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]], axis=-1
    )
    sine = np.sqrt((odd * odd).sum(axis=-1))
    cosine = 0.5 * (np.trace(m, axis1=-2, axis2=-1) - 1.0)
    angle = np.arctan2(sine, cosine)
    vector = odd * np.where(sine > 1e-9, angle / np.where(sine > 1e-9, sine, 1.0), 1.0)[..., None]
    turned = (sine < 1e-6) & (cosine < 0)
    if turned.any():
        # Half a turn: the odd part vanishes, the axis is the longest column of (R + I) / 2.
        even = 0.5 * (m + np.eye(3))[turned]
        longest = np.argmax((even * even).sum(axis=-2), axis=-1)
        axis = np.take_along_axis(even, longest[:, None, None], axis=-1)[..., 0]
        axis /= np.sqrt((axis * axis).sum(axis=-1, keepdims=True))
        sign = np.where((axis * odd[turned]).sum(axis=-1, keepdims=True) < 0, -1.0, 1.0)
        vector[turned] = sign * axis * angle[turned][:, None]
    return np.asarray(vector)


def mean_rotation(rotation: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Karcher mean over the second last axis: ``sum_n w_n log(M' R_n) = 0``; ``[..., 3, 3]`` of ``[..., N, 3, 3]``.

    Parameters
    ----------
    rotation
        ``[..., N, 3, 3]``, within a hemisphere of each other (less than a quarter turn from the mean).
    weight
        ``[..., N]``, >= 0; only their ratios matter.
    """
    weight = np.broadcast_to(weight, rotation.shape[:-2])
    return rotation_of(mean_quaternion(quaternion_of(rotation), weight))


def quaternion_of(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quaternions ``[4, ...]`` (w, x, y, z) of rotations ``[..., 3, 3]``; the sign is arbitrary."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = np.moveaxis(rotation, (-2, -1), (0, 1))
    one = np.ones_like(xx)
    # 4 q q', of which every row is q times one of its numbers: the row of the largest is exact.
    products = np.array(
        [
            [one + xx + yy + zz, zy - yz, xz - zx, yx - xy],
            [zy - yz, one + xx - yy - zz, xy + yx, xz + zx],
            [xz - zx, xy + yx, one - xx + yy - zz, yz + zy],
            [yx - xy, xz + zx, yz + zy, one - xx - yy + zz],
        ]
    )
    largest = np.argmax(np.einsum("ii...->i...", products), axis=0)
    row = np.take_along_axis(products, largest[None, None], axis=0)[0]
    return np.asarray(row / np.sqrt((row * row).sum(axis=0)))


def rotation_of(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of :func:`quaternion_of`, for quaternions of length 1."""
    w, x, y, z = quaternion
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.ascontiguousarray(np.moveaxis(np.array(rows), (0, 1), (-2, -1)))


def mean_quaternion(quaternion: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """:func:`mean_rotation` of quaternions ``[4, ..., N]`` with weights ``[..., N]``: ``[4, ...]``."""
    share = weight / weight.sum(axis=-1, keepdims=True)
    first = np.take_along_axis(quaternion, np.argmax(weight > 0, axis=-1)[None, ..., None], axis=-1)
    aligned = np.where((first * quaternion).sum(axis=0) < 0, -quaternion, quaternion)
    turns = np.ascontiguousarray(np.moveaxis(aligned, 0, -2))  # [..., 4, N]
    # Their plain mean is off by the third power of the spread.
    mean = np.einsum("...kn,...n->...k", turns, share)
    mean /= np.sqrt((mean * mean).sum(axis=-1, keepdims=True))
    for _ in range(30):
        w, x, y, z = np.moveaxis(mean, -1, 0)
        # What conjugates of the means, from the left, make of quaternions; the transpose multiplies by the means.
        back = np.stack([w, x, y, z, -x, w, z, -y, -y, -z, w, x, -z, y, -x, w], axis=-1).reshape(*w.shape, 4, 4)
        apart = back @ turns
        ratio, half = _angle_by_sine(
            np.einsum("...kn,...kn->...n", apart[..., 1:, :], apart[..., 1:, :]), apart[..., 0, :]
        )
        step = np.einsum("...kn,...n,...n->...k", apart[..., 1:, :], share, ratio)  # half of the turn
        length = np.sqrt((step * step).sum(axis=-1, keepdims=True))
        forward = np.concatenate([np.cos(length), np.sinc(length / np.pi) * step], axis=-1)
        mean = (np.swapaxes(back, -1, -2) @ forward[..., None])[..., 0]
        # The error after a step is the step times the square of the spread.
        if length.max() * min(4.0 * half**2, 1.0) < 1e-12:
            break
    return np.moveaxis(mean, -1, 0)


def _angle_by_sine(squared_sine: NDArray[np.float64], cosine: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Angles divided by their sines, and the largest angle."""
    most = float(squared_sine.max())
    if most < 2.5e-3 and cosine.min() > 0:  # hands turn so little that the series of the arc sine is exact
        ratio = np.full_like(squared_sine, 105 / 3456)
        for factor in (15 / 336, 3 / 40, 1 / 6, 1.0):
            ratio *= squared_sine
            ratio += factor
        return ratio, 1.001 * math.sqrt(most)
    sine = np.sqrt(squared_sine)
    angle = np.arctan2(sine, cosine)
    return np.divide(angle, sine, out=np.ones_like(sine), where=sine > 0), float(angle.max())


def interpolate_poses(time_s: NDArray[np.float64], poses: Poses, wanted_s: ArrayLike) -> Poses:
    """Poses between recorded ones: positions linearly, orientations along the shortest turn (slerp).

    Raises
    ------
    InvalidValueError
        Times do not increase, or a wanted time is outside the recording.
    """
    wanted = np.asarray(wanted_s, np.float64)
    if time_s.size < 2 or (np.diff(time_s) <= 0).any():
        raise InvalidValueError(
            "The times of a recording must increase strictly and be two or more.",
            fix="Sort the recording and drop repeated times.",
        )
    slack = 1e-9 * (time_s[-1] - time_s[0])
    if wanted.size and (wanted.min() < time_s[0] - slack or wanted.max() > time_s[-1] + slack):
        raise InvalidValueError(
            f"The exposure from {wanted.min():.6g} s to {wanted.max():.6g} s is not inside the recording, "
            f"{time_s[0]:.6g} s to {time_s[-1]:.6g} s.",
            fix="Choose start_s, exposure_s and readout_s inside the recording.",
        )
    low = np.clip(np.searchsorted(time_s, wanted, side="right") - 1, 0, time_s.size - 2)
    part = np.clip((wanted - time_s[low]) / (time_s[low + 1] - time_s[low]), 0.0, 1.0)[:, None]
    before, after = poses.orientation[low], poses.orientation[low + 1]
    turn = rotation_vector(np.swapaxes(before, -1, -2) @ after)
    start, end = poses.position_m[low], poses.position_m[low + 1]
    return Poses(before @ rotation_matrix(part * turn), start + part * (end - start))


def integrate_gyro(time_s: NDArray[np.float64], rate_rad_per_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Orientations ``[N, 3, 3]`` (camera to world, the first is I) from angular rates ``[N, 3]`` in camera axes.

    ``q' = q (x) omega / 2``: ``R_{n+1} = R_n exp(h (omega_n + omega_{n+1}) / 2)``, exact for a constant rate.
    """
    turn = 0.5 * (rate_rad_per_s[1:] + rate_rad_per_s[:-1]) * np.diff(time_s)[:, None]
    steps = rotation_matrix(turn)
    orientation = np.empty((len(time_s), 3, 3))
    orientation[0] = np.eye(3)
    for n, step in enumerate(steps):
        orientation[n + 1] = orientation[n] @ step
    return orientation


def poses_from_recording(recording: NDArray[np.float64]) -> tuple[NDArray[np.float64], Poses]:
    """Times from 0 on, and poses, of a recorded camera path.

    Parameters
    ----------
    recording
        ``[M, 8]`` as in the TUM RGB-D benchmark: time in s, position x y z in m, and the quaternion x y z w from camera
        to world; or ``[M, 4]``: time in s and a gyroscope's rates in rad/s about x (right), y (down) and z (ahead) of
        the camera.

    Raises
    ------
    InvalidValueError
        The number of columns is another, there are fewer than two rows, times do not increase, or a quaternion has
        length 0.
    """
    if recording.ndim != 2 or recording.shape[1] not in (4, 8) or len(recording) < 2:
        raise InvalidValueError(
            f"A recorded camera path is an array [M, 8] (time, x, y, z, quaternion x, y, z, w) or [M, 4] (time and "
            f"angular rates) with M >= 2, got shape {recording.shape}.",
            fix="Convert it to one of these; times are in s, positions in m, rates in rad/s.",
        )
    time = recording[:, 0] - recording[0, 0]
    if (np.diff(time) <= 0).any():
        where = int(np.argmax(np.diff(time) <= 0))
        raise InvalidValueError(
            f"The times of a recorded camera path must increase strictly, got {recording[where, 0]} s followed by "
            f"{recording[where + 1, 0]} s.",
            fix="Sort the recording and drop repeated times.",
        )
    if recording.shape[1] == 4:
        return time, Poses(integrate_gyro(time, recording[:, 1:]), np.zeros((len(time), 3)))
    length = np.sqrt((recording[:, 4:] ** 2).sum(axis=1))
    if not (length > 0).all():
        raise InvalidValueError("A recorded camera path has a quaternion of length 0.", fix="Drop such rows.")
    x, y, z, w = (recording[:, 4:] / length[:, None]).T
    orientation = np.stack(
        [
            *(1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
            *(2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
            *(2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
        ],
        axis=-1,
    ).reshape(-1, 3, 3)
    return time, Poses(orientation, recording[:, 1:4].copy())


# Waves per axis and band; more of them make the process more nearly Gaussian.
_WAVES = 16
_TREMOR_WIDTH = 0.1  # standard deviation of the tremor's frequencies as a share of its middle


def hand_tremor(
    seed: int, *, drift_hz: float, tremor_hz: float, tremor_share: float
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Six independent stationary processes of variance 1 with the spectrum of a hand that tries to hold still.

    A slow drift (Gaussian spectrum around 0 with the standard deviation ``drift_hz``) and a resonance at ``tremor_hz``
    (Gaussian, a tenth of its middle wide) with the share ``tremor_share`` of the variance. Each is a sum of waves whose
    frequencies are drawn from the spectrum and whose phases are uniform, so that it can be evaluated at any time.

    What is measured. The change over a time t has the variance ``2 sum_b s_b (1 - exp(-(2 pi w_b t)^2 / 2) cos(2 pi f_b
    t))``, b the two bands with shares s, middles f and widths w. Relative to 100 ms, the rms turn over 10/20/35/50/200
    ms was .14/.28/.46/.62/1.68 for a gyroscope in a hand, and .12/.23/.39/.54/1.83 for the hand-held camera of TUM's
    sequence fr1_xyz; with a drift of 1 Hz and a share of .01 it is .15/.29/.47/.61/1.75 here, with .1
    .34/.65/1.00/1.15/1.75: more than ten times the tremor of either. Fitted to both, the share is .011 (drift 1.15 Hz)
    and .002 (.7 Hz). So the path of a hand over a short exposure is nearly straight. In displacement physiological
    tremor is small beside slow motion in medical records, too: without 7.5 to 12.5 Hz the amplitude of a finger held
    out falls by less than 3 % (a share below .06), without 1 to 3.5 Hz by 56 % (Carignan, Daneault and Duval, Exp.
    Brain Res. 202:299-306, 2010); a camera's mass leaves less of it. Accelerometers show it so clearly because they
    weight by the fourth power of the frequency.

    Not modeled: fatigue. The Gaussian shape of both bands is by judgment, and the six axes are independent. A
    fuller model from medical and photographic records: Gavant et al., "A physiological camera shake model for image
    stabilization systems", IEEE Sensors 2011.

    Returns
    -------
    callable
        ``[N]`` times in s to ``[N, 6]``.
    """
    rng = np.random.Generator(np.random.Philox(key=seed))
    normal = rng.standard_normal((2, _WAVES, 6))
    phase = rng.uniform(0.0, 2.0 * np.pi, (2, _WAVES, 6))
    middle = np.array([0.0, tremor_hz])[:, None, None]
    width = np.array([drift_hz, _TREMOR_WIDTH * tremor_hz])[:, None, None]
    rate = 2.0 * np.pi * (middle + width * normal)
    height = np.repeat(np.sqrt(2.0 / _WAVES * np.array([1.0 - tremor_share, tremor_share])), _WAVES)
    rate, phase = (np.ascontiguousarray(values.reshape(-1, 6).T) for values in (rate, phase))  # [6, waves]

    def process(time_s: NDArray[np.float64]) -> NDArray[np.float64]:
        waves = rate * np.asarray(time_s)[:, None, None]
        waves += phase
        return np.asarray(np.einsum("naw,w->na", np.cos(waves, out=waves), height))

    return process


def random_walk(
    seed: int, exposure_s: float, *, samples: int = 128
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Six independent random walks whose change over an exposure has the variance 1, joined linearly.

    Returns
    -------
    callable
        ``[N]`` times in s, >= 0, to ``[N, 6]``; walks of one seed are equal as far as they go.
    """
    step_s = exposure_s / samples

    def process(time_s: NDArray[np.float64]) -> NDArray[np.float64]:
        time = np.asarray(time_s, np.float64)
        # One step beyond the last time, because of rounding.
        knots = max(samples, math.ceil(float(time.max(initial=0.0)) / step_s)) + 1
        rng = np.random.Generator(np.random.Philox(key=seed))
        steps = rng.standard_normal((knots, 6)) / math.sqrt(samples)
        walk = np.concatenate([np.zeros((1, 6)), np.cumsum(steps, axis=0)])
        at = np.arange(knots + 1) * step_s
        return np.stack([np.interp(time, at, walk[:, axis]) for axis in range(6)], axis=-1)

    return process
