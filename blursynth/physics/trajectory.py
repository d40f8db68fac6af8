"""Paths of a point of light on the sensor while the shutter is open.

A path is ``[N, 2]`` or, for a batch, ``[B, N, 2]``: x to the right and y downwards, in px, float64, at equal time
steps of the exposure. The position of a path on the sensor does not matter: ``rasterize`` of a backend moves its mean
to zero.

The random walk needs many random numbers, so this module only defines its law and its parameters
(:class:`WalkParameters`), and the backends compute it (``backends.cpu.random_walk``, ``backends.oracle.random_walk``).

Not modeled: rotation of the camera about the optical axis and depth; those bend the path from pixel to pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blursynth.errors import InvalidValueError, demand, did_you_mean

__all__ = [
    "PUBLISHED_CANVAS_PX",
    "PUBLISHED_LENGTH_PX",
    "PUBLISHED_SAMPLES",
    "WalkForm",
    "WalkLaw",
    "WalkParameters",
    "averaged_frames",
    "constant_acceleration",
    "exposure_shares",
    "gaussian_process",
    "published_placement",
    "replay",
    "straight_line",
]

# Boracchi and Foi 2012, as their MATLAB code has them.
PUBLISHED_SAMPLES = 2000
PUBLISHED_LENGTH_PX = 60.0
PUBLISHED_CANVAS_PX = 64


class WalkForm(StrEnum):
    """How the random walk depends on the number of samples.

    ``INVARIANT``: its law does not change with ``samples`` or, in proportion, with ``length_px``. ``PAPER``: exactly as
    published; twice the samples then also mean twice the shakes and a more crooked path.
    """

    INVARIANT = "invariant"
    PAPER = "paper"


@dataclass(frozen=True, eq=False)
class WalkLaw:
    """The coefficients of one step of the random walk, one per path, as the backends use them.

    A step is ``v <- v + 2 v exp(i(pi + U - 1/2)) [W < shake] + noise (n1 + i n2) - pull x``, ``v <- step v / |v|``,
    ``x <- x + v``, with U and W uniform in (0, 1) and n standard normal.
    """

    heading_x: NDArray[np.float64]  # [B]
    heading_y: NDArray[np.float64]  # [B]
    first_speed_px: NDArray[np.float64]  # [B]  |v| before the first step
    step_px: NDArray[np.float64]  # [B]
    shake: NDArray[np.float64]  # [B]  probability
    noise_px: NDArray[np.float64]  # [B]
    pull: NDArray[np.float64]  # [B]


@dataclass(frozen=True, eq=False)
class WalkParameters:
    """The Markov random trajectory of Boracchi and Foi: a particle with constant speed and a restless heading.

    With ``h = L/(N - 1)``, ``v_0 = exp(i theta)``, ``v = a v_0`` (``h v_0`` if a = 0) and ``x_1 = 0``, each of the N
    - 1 steps is

    1. with probability ``p a`` a shake: ``J = 2 v exp(i(pi + U - 1/2))``, nearly a reversal; otherwise J = 0;
    2. ``dv = J + a (g (n1 + i n2) - c x_t) h`` with n standard normal;
    3. ``v <- v + dv``, then ``v <- h v/|v|`` and ``x_{t+1} = x_t + v``.

    So every step has length h and the path has length L, exactly, and the pull ``c`` is towards the START of the path
    (the published text says towards the previous position).

    In the form ``invariant``, with N0 = 2000, ``g`` is multiplied by ``sqrt(N0/N)``, ``p`` by ``N0/N`` and ``c`` by
    ``(N0/N)(60 px/L)``: the variance of the heading, the number of shakes and the extent per length then do not
    depend on N and L, as long as one step turns the heading by little: between 1000 and 8000 samples the extent
    changes by less than 1 % for a <= 0.02 (g = 5, c = 0.5), by 10 % at a = 0.1. At N = 2000 and L = 60 px both forms
    are the same.

    Parameters
    ----------
    length_px
        L, length of the path in px, > 0 (published: 60). Scalars and arrays ``[B]`` broadcast, here and below.
    anxiety
        a, 0 (a straight line) to 1; published: U(0, 0.1), in their demo 0.005.
    centripetal
        c >= 0; published: U(0, 0.7).
    big_shake
        p >= 0; published: U(0, 0.2).
    gaussian
        g >= 0; published: U(0, 10).
    heading_rad
        theta, from +x (right) towards +y (down); published: U(0, 2 pi).
    samples
        N >= 2, positions of the path (published: 2000).
    form
        ``invariant`` (default) or ``paper``.

    Raises
    ------
    InvalidValueError
        A number outside its range, or a shake probability above 1 (too few samples for the anxiety).

    Notes
    -----
    The published code draws a, c, g, p and theta once per trajectory, uniformly from the published ranges above; here
    they are plain numbers, because a record of a degradation must hold them.

    Not modeled: rotation of the camera, acceleration along the path (the speed is constant), the spectrum of hand
    tremor.

    Source: G. Boracchi and A. Foi, "Modeling the performance of image restoration from motion blur", IEEE Trans. Image
    Processing 21(8):3502-3517, 2012, and its MATLAB code.
    """

    length_px: NDArray[np.float64]
    anxiety: NDArray[np.float64]
    centripetal: NDArray[np.float64]
    big_shake: NDArray[np.float64]
    gaussian: NDArray[np.float64]
    heading_rad: NDArray[np.float64]
    samples: int = PUBLISHED_SAMPLES
    form: WalkForm = WalkForm.INVARIANT

    def __post_init__(self) -> None:
        names = ("length_px", "anxiety", "centripetal", "big_shake", "gaussian", "heading_rad")
        numbers = [np.atleast_1d(np.asarray(getattr(self, name), np.float64)) for name in names]
        try:
            arrays = [np.array(a) for a in np.broadcast_arrays(*numbers)]
        except ValueError as error:
            shapes = ", ".join(f"{name} {a.shape}" for name, a in zip(names, numbers, strict=True))
            raise InvalidValueError(
                f"The parameters of a random walk must have one value per path, got {shapes}.",
                fix="Pass scalars or arrays of one length.",
            ) from error
        for name, array in zip(names, arrays, strict=True):
            if array.ndim != 1 or not np.isfinite(array).all():
                raise InvalidValueError(
                    f"{name} must be a finite number or an array [B] of them, got {array.tolist()}."
                )
            object.__setattr__(self, name, array)
        demand(bool((self.length_px > 0).all()), "length_px", self.length_px, "> 0", "A path needs a length.")
        demand(
            bool(((self.anxiety >= 0) & (self.anxiety <= 1)).all()),
            "anxiety",
            self.anxiety,
            "0..1",
            "It scales every disturbance; 0 is a straight line, the published range is 0..0.1.",
        )
        for name in ("centripetal", "big_shake", "gaussian"):
            demand(bool((getattr(self, name) >= 0).all()), name, getattr(self, name), ">= 0", "It is a strength.")
        demand(
            isinstance(self.samples, int | np.integer) and self.samples >= 2,
            "samples",
            self.samples,
            "an integer >= 2",
            "A path needs a start and an end.",
        )
        object.__setattr__(self, "samples", int(self.samples))
        try:
            object.__setattr__(self, "form", WalkForm(self.form))
        except ValueError as error:
            raise InvalidValueError(
                f"There is no form {self.form!r} of the random walk.",
                fix=did_you_mean(str(self.form), [f.value for f in WalkForm]),
            ) from error

    def __len__(self) -> int:
        return int(self.length_px.size)

    def law(self) -> WalkLaw:
        """The coefficients of one step, with the scaling of the form applied."""
        # Below this the square of the first speed would underflow, and the path is straight anyway.
        anxiety = np.where(self.anxiety < 1e-100, 0.0, self.anxiety)
        step = self.length_px / (self.samples - 1)
        refinement = PUBLISHED_SAMPLES / self.samples if self.form is WalkForm.INVARIANT else 1.0
        length_ratio = PUBLISHED_LENGTH_PX / self.length_px if self.form is WalkForm.INVARIANT else 1.0
        shake = self.big_shake * anxiety * refinement
        if (shake > 1).any():
            raise InvalidValueError(
                f"The probability of a shake per step is {float(shake.max()):.3g}, which is above 1.",
                why=f"It is big_shake * anxiety * {PUBLISHED_SAMPLES}/samples.",
                fix="Use more samples, or a smaller big_shake.",
            )
        return WalkLaw(
            heading_x=np.cos(self.heading_rad),
            heading_y=np.sin(self.heading_rad),
            first_speed_px=np.where(anxiety > 0, anxiety, step),
            step_px=step,
            shake=shake,
            noise_px=anxiety * self.gaussian * step * math.sqrt(refinement),
            pull=anxiety * self.centripetal * step * refinement * length_ratio,
        )


def straight_line(length_px: ArrayLike, angle_rad: ArrayLike) -> NDArray[np.float64]:
    """A straight path at constant speed, ``[2, 2]`` or ``[B, 2, 2]``, with its middle at zero.

    Parameters
    ----------
    length_px
        Distance from end to end, >= 0.
    angle_rad
        From +x (right) towards +y (down).

    Examples
    --------
    >>> straight_line(4.0, 0.0).tolist()
    [[-2.0, -0.0], [2.0, 0.0]]
    """
    length, angle = np.broadcast_arrays(np.asarray(length_px, np.float64), np.asarray(angle_rad, np.float64))
    demand(bool((np.isfinite(length) & (length >= 0)).all()), "length_px", length_px, "finite and >= 0", "")
    demand(bool(np.isfinite(angle).all()), "angle_rad", angle_rad, "finite", "")
    half = 0.5 * length[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return np.stack([-half, half], axis=-2)


def constant_acceleration(
    velocity_px: ArrayLike, acceleration_px: ArrayLike, *, samples: int = 257
) -> NDArray[np.float64]:
    """The parabola ``x(t) = v t + a t^2/2``, t from 0 to 1 over the exposure, as a polyline ``[N, 2]`` or ``[B, N,
    2]``.

    Parameters
    ----------
    velocity_px
        ``[2]`` or ``[B, 2]``, velocity at the start in px per exposure.
    acceleration_px
        ``[2]`` or ``[B, 2]`` in px per exposure squared.
    samples
        Positions at equal times. The polyline is off the curve by at most ``|a|/(8 (samples - 1)^2)`` px, and inside
        a chord the speed is constant.
    """
    velocity = np.asarray(velocity_px, np.float64)
    acceleration = np.asarray(acceleration_px, np.float64)
    for name, value in (("velocity_px", velocity), ("acceleration_px", acceleration)):
        demand(
            value.ndim in (1, 2) and value.shape[-1] == 2 and bool(np.isfinite(value).all()),
            name,
            value.tolist(),
            "finite, [2] or [B, 2]",
            "A path has an x and a y.",
        )
    demand(samples >= 2, "samples", samples, ">= 2", "A path needs a start and an end.")
    time = np.linspace(0.0, 1.0, samples)[:, None]
    return velocity[..., None, :] * time + 0.5 * acceleration[..., None, :] * time * time


def gaussian_process(
    sigma_px: float, correlation_time: float, *, seed: int, samples: int = 501, batch: int | None = None
) -> NDArray[np.float64]:
    r"""A smooth random path: a stationary Gaussian process with the Matern-5/2 covariance, x and y independent.

    ``cov(x(s), x(t)) = sigma^2 (1 + q + q^2/3) exp(-q)`` with ``q = sqrt(5) |s - t| / l``, times in units of the
    exposure. It has a velocity and an acceleration, unlike the random walk. It is drawn exactly, for any number of
    samples, as the Markov process of (position, velocity, acceleration) that has this covariance.

    Parameters
    ----------
    sigma_px
        Standard deviation of each coordinate in px, >= 0.
    correlation_time
        l as a fraction of the exposure, > 0. A small value gives a tangle, a large one almost a straight line.
    seed
        0 <= seed < 2**64. The same seed gives the same path; twice the samples give another path of the same law.
    samples
        Positions at equal times, >= 2.
    batch
        None for ``[N, 2]``, a number for ``[B, N, 2]``.

    Source of the use for blur: deepinv's MotionBlurGenerator. Of the covariance: Rasmussen and Williams, "Gaussian
    processes for machine learning", 2006, chapter 4; of the Markov form: Hartikainen and Sarkka, MLSP 2010.
    """
    demand(math.isfinite(sigma_px) and sigma_px >= 0, "sigma_px", sigma_px, "finite and >= 0", "")
    demand(
        math.isfinite(correlation_time) and correlation_time > 0,
        "correlation_time",
        correlation_time,
        "finite and > 0",
        "It is the time, as a fraction of the exposure, over which the path remembers.",
    )
    demand(samples >= 2, "samples", samples, ">= 2", "A path needs a start and an end.")
    demand(0 <= seed < 2**64, "seed", seed, "0 <= seed < 2**64", "")
    # Notation (Hartikainen and Sarkka 2010, eq. 12 for p = 2), time in units of 1/rate, so that the numbers are near 1.
    d = math.sqrt(5.0) / correlation_time / (samples - 1)
    transition = math.exp(-d) * np.array(
        [
            [1 + d + d * d / 2, d + d * d, d * d / 2],
            [-d * d / 2, 1 + d - d * d, d - d * d / 2],
            [d * d / 2 - d, d * d - 3 * d, 1 - 2 * d + d * d / 2],
        ]
    )
    stationary = np.array([[1.0, 0.0, -1 / 3], [0.0, 1 / 3, 0.0], [-1 / 3, 0.0, 1.0]])
    # The covariance of what a step adds is the integral of exp(F s) g g' exp(F s)' over s from 0 to d; g g' = 16/3 at
    # (2, 2). As a difference of stationary covariances it would cancel to nothing for small d; the integrand is a
    # polynomial of degree 4 times exp(-2 s), so a Gauss-Legendre rule is exact to rounding.
    node, weight = np.polynomial.legendre.leggauss(24)
    pieces = max(1, math.ceil(min(d, 40.0) / 2.0))
    added = np.zeros((3, 3))
    for piece in range(pieces):
        width = min(d, 40.0) / pieces
        s = width * (piece + 0.5 * (node + 1.0))
        column = np.exp(-s) * np.stack([s * s / 2, s - s * s / 2, 1 - 2 * s + s * s / 2])
        added += (16.0 / 3.0) * (0.5 * width * weight * column) @ column.T
    # Scaling each state by its own size keeps the factorisation well conditioned however small d is.
    size = np.sqrt(np.diag(added))
    factor = size[:, None] * np.linalg.cholesky(added / np.outer(size, size))
    normals = np.random.Generator(np.random.Philox(key=seed)).standard_normal((samples, 3, 2 * (batch or 1)))
    state = np.linalg.cholesky(stationary) @ normals[0]
    path = np.empty((samples, state.shape[1]))
    path[0] = state[0]
    shocks = np.einsum("ij,tjb->tib", factor, normals[1:])
    for t in range(1, samples):
        state = transition @ state + shocks[t - 1]
        path[t] = state[0]
    paths = sigma_px * path.reshape(samples, batch or 1, 2).transpose(1, 0, 2)
    return np.ascontiguousarray(paths if batch is not None else paths[0])


def replay(
    time_s: ArrayLike, position_px: ArrayLike, *, start_s: float | None = None, exposure_s: float | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A recorded path, cut to one exposure: the recording's own polyline, whose corners and times are kept.

    Parameters
    ----------
    time_s
        ``[M]`` times of the recording in s, strictly increasing; need not be evenly spaced.
    position_px
        ``[M, 2]`` x and y in px; between two of them the point moves straight at constant speed.
    start_s, exposure_s
        The exposure within the recording; by default the whole of it.

    Returns
    -------
    tuple
        Positions ``[N, 2]``: the two ends of the exposure and the recorded ones between them; and the time ``[N - 1]``
        from each to the next in s, as ``rasterize`` takes them.

    Raises
    ------
    InvalidValueError
        Times that do not increase, values that are not finite, or an exposure outside the recording.

    Examples
    --------
    >>> positions, duration = replay([0, 1, 4], [[0, 0], [2, 0], [2, 6]], start_s=0.5, exposure_s=2.0)
    >>> positions.tolist(), duration.tolist()
    ([[1.0, 0.0], [2.0, 0.0], [2.0, 3.0]], [0.5, 1.5])
    """
    time = np.asarray(time_s, np.float64)
    position = np.asarray(position_px, np.float64)
    if time.ndim != 1 or time.size < 2 or position.shape != (time.size, 2):
        raise InvalidValueError(
            f"A recorded path needs times [M] and positions [M, 2] with M >= 2, got {time.shape} and {position.shape}.",
            fix="Give one x and one y per time.",
        )
    if not (np.isfinite(time).all() and np.isfinite(position).all()):
        raise InvalidValueError("A recorded path must be finite, got NaN or infinite values.", fix="Cut the gaps out.")
    if (np.diff(time) <= 0).any():
        where = int(np.argmax(np.diff(time) <= 0))
        raise InvalidValueError(
            f"time_s must increase strictly, got {time[where]} s followed by {time[where + 1]} s.",
            fix="Sort the recording and drop repeated times.",
        )
    start = float(time[0]) if start_s is None else float(start_s)
    length = float(time[-1]) - start if exposure_s is None else float(exposure_s)
    # Rounding of start + exposure must not refuse an exposure that ends with the recording.
    slack = 1e-9 * (float(time[-1]) - float(time[0]))
    end = start + length
    if not (start < end and start >= time[0] - slack and end <= time[-1] + slack):
        raise InvalidValueError(
            f"The exposure from {start} s to {end} s is not inside the recording, {time[0]} s to {time[-1]} s.",
            fix="Choose start_s and exposure_s > 0 inside the recording.",
        )
    first, last = np.searchsorted(time, start, side="right"), np.searchsorted(time, end, side="left")
    clock = np.concatenate([[start], time[first:last], [end]])
    return np.stack([np.interp(clock, time, position[:, axis]) for axis in (0, 1)], axis=-1), np.diff(clock)


def exposure_shares(
    path: ArrayLike, duration: ArrayLike | None, exposure: ArrayLike, *, unit_sum: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The part of each segment of a path that is exposed, and its share of the light.

    Parameters
    ----------
    path
        ``[B, N, 2]`` or ``[N, 2]`` in px.
    duration
        ``[B, N - 1]`` or ``[N - 1]`` time spent in each segment, >= 0, in any unit; None: all equal.
    exposure
        ``[2]`` or ``[B, 2]`` start and end as fractions of the whole time.
    unit_sum
        The light of a path adds up to 1 if true, to ``end - start`` if not.

    Returns
    -------
    tuple
        The path as ``[B, N, 2]``, and ``[S, N - 1, 3]``: first and last fraction of every segment that is seen and
        its light, with S = B, or 1 where it is the same for all paths.
    """
    positions = np.ascontiguousarray(path, np.float64)
    if positions.ndim == 2:
        positions = positions[None]
    if positions.ndim != 3 or positions.shape[0] < 1 or positions.shape[1] < 2 or positions.shape[2] != 2:
        raise InvalidValueError(
            f"A path must be [B, N, 2] or [N, 2] with N >= 2, got {np.shape(path)}.",
            fix="Give x and y in px for every position; a point at rest is two equal positions.",
        )
    if not np.isfinite(positions).all():
        raise InvalidValueError("A path must be finite, got NaN or infinite positions.", fix="Cut the gaps out.")
    batch, samples = positions.shape[:2]
    window = np.atleast_2d(np.asarray(exposure, np.float64))
    if window.ndim != 2 or window.shape[1] != 2 or window.shape[0] not in (1, batch):
        raise InvalidValueError(
            f"exposure must be [2] or [B, 2] (start and end), got shape {np.shape(exposure)} for {batch} paths."
        )
    if not ((window[:, 0] >= 0) & (window[:, 0] < window[:, 1]) & (window[:, 1] <= 1)).all():
        raise InvalidValueError(
            f"exposure must have 0 <= start < end <= 1, got {window.tolist()}.",
            why="It is the part of the path's time during which the shutter is open.",
        )
    if duration is None and len(window) == 1 and window[0, 0] == 0 and window[0, 1] == 1:
        # The usual case, and for single paths the rest of this function would cost more than the rasterization.
        whole = np.empty((1, samples - 1, 3))
        whole[...] = (0.0, 1.0, 1.0 / (samples - 1))
        return positions, whole
    if duration is None:
        clock = np.linspace(0.0, 1.0, samples)[None]
    else:
        spent = np.atleast_2d(np.asarray(duration, np.float64))
        if spent.ndim != 2 or spent.shape[1] != samples - 1 or spent.shape[0] not in (1, batch):
            raise InvalidValueError(
                f"duration must be [N - 1] or [B, N - 1] = [{batch}, {samples - 1}], got {np.shape(duration)}.",
                why="There is one duration for each segment between positions.",
            )
        if not (np.isfinite(spent).all() and (spent >= 0).all() and (spent.sum(axis=1) > 0).all()):
            raise InvalidValueError(
                "duration must be finite, >= 0, and not 0 everywhere.", why="Light needs time to arrive."
            )
        clock = np.concatenate([np.zeros((len(spent), 1)), np.cumsum(spent, axis=1)], axis=1)
        clock = clock / clock[:, -1:]
    start, end = window[:, :1], window[:, 1:]
    seen = np.clip(clock, start, end)
    spent = clock[:, 1:] - clock[:, :-1]
    part = np.divide(1.0, spent, out=np.zeros_like(spent), where=spent > 0)
    first = np.clip((seen[:, :-1] - clock[:, :-1]) * part, 0.0, 1.0)
    # Counted from the far end, so that a segment that is seen to its end ends at exactly 1.
    last = np.clip(1.0 - (clock[:, 1:] - seen[:, 1:]) * part, 0.0, 1.0)
    light = np.diff(seen, axis=1)
    if unit_sum:
        light = light / (end - start)
    return positions, np.stack(np.broadcast_arrays(first, last, light), axis=-1)


def averaged_frames(
    path: ArrayLike, *, frames: int, gap: float, interpolated: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The parts of a path that contribute to a mean of successive frames.

    Parameters
    ----------
    path
        ``[N, 2]`` at equal times, from the first light of the first frame to the last light of the last.
    frames
        Number of frames, >= 1.
    gap
        Part of the time between two frames in which the shutter is closed, 0 to 1.
    interpolated
        Frames made between each two, each on the straight lines between their positions.

    Returns
    -------
    tuple
        Positions ``[M, 2]``, the time spent between each two of them ``[M - 1]`` (0 from frame to frame), as
        ``rasterize`` takes them, and the position ``[2]`` of the frame in the middle: of an even number, of the two
        there.

    Examples
    --------
    >>> positions, duration, middle = averaged_frames([[0, 0], [8, 0]], frames=3, gap=1.0)
    >>> positions[:, 0].tolist(), duration.tolist(), middle.tolist()
    ([0.0, 0.0, 4.0, 4.0, 8.0, 8.0], [1.0, 0.0, 1.0, 0.0, 1.0], [4.0, 0.0])
    """
    positions = np.asarray(path, np.float64)
    demand(
        positions.ndim == 2 and positions.shape[1] == 2 and len(positions) >= 2 and bool(np.isfinite(positions).all()),
        "path",
        np.shape(path),
        "finite, [N, 2] with N >= 2",
        "A path needs a start and an end.",
    )
    demand(frames >= 1, "frames", frames, ">= 1", "A mean needs at least one frame.")
    demand(0 <= gap <= 1, "gap", gap, "0..1", "It is a part of the time between two frames.")
    demand(interpolated >= 0, "interpolated", interpolated, ">= 0", "")
    whole = frames - gap  # times between frames from the first light to the last
    steps = 1 if gap == 1 else max(1, round((len(positions) - 1) * (1 - gap) / whole))
    time = np.arange(frames)[:, None] + (1 - gap) * np.linspace(0.0, 1.0, steps + 1)
    clock = np.linspace(0.0, whole, len(positions))
    seen = np.stack([np.interp(time, clock, positions[:, axis]) for axis in (0, 1)], axis=-1)  # [frames, steps + 1, 2]
    at = np.linspace(0.0, frames - 1.0, (frames - 1) * (interpolated + 1) + 1)
    first = np.minimum(np.floor(at).astype(np.int64), max(frames - 2, 0))
    part = (at - first)[:, None, None]
    seen = (1.0 - part) * seen[first] + part * seen[np.minimum(first + 1, frames - 1)]
    duration = np.concatenate([np.full((len(seen), steps), 1.0 / steps), np.zeros((len(seen), 1))], axis=1)
    middle = 0.5 * (seen[(len(seen) - 1) // 2] + seen[len(seen) // 2])
    # The mean over a frame's exposure, of which the ends count half.
    weight = np.full(steps + 1, 1.0 / steps)
    weight[[0, -1]] *= 0.5
    return seen.reshape(-1, 2), duration.ravel()[:-1], weight @ middle


def published_placement(path: ArrayLike, canvas_px: int = PUBLISHED_CANVAS_PX) -> NDArray[np.float64]:
    """The position in which the published code puts a path ``[..., N, 2]`` on its square canvas.

    The lowest x and y go to 0, then the start to a whole pixel, then everything by ``1 + ceil((canvas - max)/2)``. So
    the START lies on a pixel and the path is neither at its mean nor at the middle of its bounding box; the MATLAB
    original counts pixels from 1, the Python port keeps its formula and counts from 0, which shifts it by one more.
    Only for repeating those publications: an image blurred this way is displaced against its sharp original, by up to
    half of its extent.

    Source: Boracchi and Foi's ``createTrajectory.m``; DeblurGAN's ``generate_trajectory.py``.
    """
    x = np.asarray(path, np.float64)
    demand(canvas_px >= 3, "canvas_px", canvas_px, ">= 3", "The canvas must hold a pixel and its neighbors.")
    x = x - x.min(axis=-2, keepdims=True)
    x = x - np.fmod(x[..., :1, :], 1.0) + 1.0
    return np.asarray(x + np.ceil((canvas_px - x.max(axis=-2, keepdims=True)) / 2.0))
