"""Paths of objects that move on their own while the shutter is open.

An object moves as a rigid whole along ``x(t) = length * integral of (cos, sin)(heading(s)) ds``, with the share
``s(t) = t + a (t^2 - t)`` of the way done at time t of the exposure (0 to 1): the speed ``1 + a (2t - 1)`` rises or
falls linearly, and the heading turns at a constant rate along the way, so the path is an arc of a circle.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blursynth.physics.object_layout import uniform_numbers

__all__ = ["SAMPLES", "arc_path", "object_paths", "path_bound_px"]

SAMPLES = 65  # positions of a path; at 200 px and a right angle the chords are off by less than .04 px


def arc_path(
    length_px: ArrayLike,
    angle_rad: ArrayLike,
    acceleration: ArrayLike,
    bend_rad: ArrayLike,
    frames: int | None = None,
    shutter_fraction: float = 1.0,
) -> NDArray[np.float64]:
    """``[..., 65, 2]`` x (right) and y (down) in px at equal times, with the mean over the exposure at zero.

    Numbers give one path, arrays as many as they have elements.

    Parameters
    ----------
    length_px
        Length of the path, >= 0.
    angle_rad
        Heading in the middle of the way, from +x (right) towards +y (down).
    acceleration
        -1 (slows down to a standstill) to 1 (starts from one); 0 is constant speed.
    bend_rad
        Turn of the heading along the way; positive from +x towards +y.
    frames
        ``[..., frames, 2]`` positions in the middle of as many equal parts of the exposure, with their own mean at
        zero; None: a path of 65.
    shutter_fraction
        Part of the exposure, in its middle, during which light arrives: that part of the path, with its own mean at
        zero.
    """
    length, angle, gain, bend = (np.asarray(one)[..., None] for one in (length_px, angle_rad, acceleration, bend_rad))
    t = np.linspace(0.0, 1.0, SAMPLES) if frames is None else (np.arange(frames) + 0.5) / frames
    t = shutter_fraction * t + 0.5 * (1.0 - shutter_fraction)
    s = t + gain * (t * t - t)
    # sin(b)/b keeps its digits where the bend vanishes.
    half = 0.5 * bend * s
    chord = length * s * np.sinc(half / math.pi)
    heading = angle - 0.5 * bend + half
    path = np.stack([chord * np.cos(heading), chord * np.sin(heading)], axis=-1)
    between = path if frames is not None else 0.5 * (path[..., :-1, :] + path[..., 1:, :])
    return np.asarray(path - between.mean(axis=-2, keepdims=True))


def object_paths(
    labels: NDArray[np.int32],
    *,
    seed: int,
    length_px: float,
    slowest: float,
    still_fraction: float,
    angle_rad: float,
    spread_rad: float,
    acceleration: float,
    bend_rad: float,
    frames: int | None = None,
    shutter_fraction: float = 1.0,
) -> NDArray[np.float64]:
    """The path of every object, ``[N, 65, 2]``, each a function of the seed and its own label alone.

    Parameters
    ----------
    labels
        ``[N]`` labels of the objects.
    seed
        0 <= seed < 2^63.
    length_px
        Length of the fastest object's path, >= 0.
    slowest
        Length of the slowest moving object's path as a share of it, 0..1; lengths are uniform in between.
    still_fraction
        Probability that an object stands still.
    angle_rad, spread_rad
        Headings are uniform in angle +- spread.
    acceleration, bend_rad
        Those of each object are uniform in +- these.
    frames, shutter_fraction
        As those of :func:`arc_path`; ``[N, frames, 2]`` with frames.
    """
    u = np.array([uniform_numbers(seed, int(label), 5) for label in labels]).reshape(-1, 5).T
    length = np.where(u[4] < still_fraction, 0.0, length_px * (slowest + (1.0 - slowest) * u[0]))
    signed = 2.0 * u - 1.0
    heading, gain, bend = angle_rad + spread_rad * signed[1], acceleration * signed[2], bend_rad * signed[3]
    return arc_path(length, heading, gain, bend, frames, shutter_fraction)


def path_bound_px(length_px: float, acceleration: float) -> float:
    """The largest distance of any position of a path from its mean: ``length (1/2 + |acceleration|/6)``.

    From the mean to the farther end there are ``integral of (1 - s(t)) dt`` of the length, at most; a bend only
    shortens that, and so do frames, the first and last of which lie inside.
    """
    return length_px * (0.5 + abs(acceleration) / 6.0)
