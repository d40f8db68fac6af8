"""Response curves: from linear light to the values of a file and back; functions on 0..1, in float64.

A curve f rises from f(0) = 0 to f(1) = 1. The response gives ``v = f(x)`` of light x, decoding ``x = f^-1(v)``.

One family holds the curves in closed form, :class:`Sigmoid`::

    u = x ** n;    y = (1 + t) u / (1 + t u);    v = (1 - c) y + c (3 y^2 - 2 y^3)

a power, a shoulder (t > 0 bends the top over, t < 0 up) and a contrast (an S for c > 0). t = c = 0 is a gamma curve of
gamma 1 / n; t = 0, c = 1 that of "Unprocessing Images"; c = 0 the sigmoid ``(1 + s) x^n / (x^n + s)`` with s = 1 / t of
Eilertsen et al., "HDR image reconstruction from a single exposure using deep CNNs", ACM TOG 36(6), 2017, extended to
t <= 0 here.

Not modeled: curves that differ between the channels, local tone mapping.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blursynth.errors import InvalidValueError

__all__ = [
    "CONTRASTS",
    "MIDTONE_LIGHT",
    "NODES",
    "ROOT",
    "Sigmoid",
    "curve_points",
    "decode_table",
    "encode_table",
    "sampled_light",
    "sampled_value",
]

NODES = 4096
"""Entries of a table."""

ROOT = 4
"""Tables of responses are sampled over the fourth root of the light, where curves with a steep start are smooth."""

MIDTONE_LIGHT = 0.3
"""The light whose value is the ``midtone`` of a sigmoid. Over the 201 measured curves of the DoRF data base that value
is nearly uncorrelated with the exponent (-.06) and with the contrast (-.03); at other lights it is not."""

CONTRASTS = (-1.0, 1.0)
"""Range of the contrast c. Curves rise for -2 <= c <= 1; the measured ones have -.95 to 1."""


@dataclass(frozen=True)
class Sigmoid:
    """A response curve in closed form.

    Parameters
    ----------
    exponent
        n > 0, the power at the dark end, where ``v`` grows as ``x ** n``; 1 / gamma.
    shoulder
        t > -1, 0 for none.
    contrast
        c from -1 to 1, 0 for none; 1 is a smoothstep.

    Raises
    ------
    InvalidValueError
        A number out of its range.
    """

    exponent: float
    shoulder: float = 0.0
    contrast: float = 0.0

    def __post_init__(self) -> None:
        for name, holds, range_ in (
            ("exponent", 0 < self.exponent < math.inf, "> 0"),
            ("shoulder", -1 < self.shoulder < math.inf, "> -1"),
            ("contrast", CONTRASTS[0] <= self.contrast <= CONTRASTS[1], f"{CONTRASTS[0]:g} to {CONTRASTS[1]:g}"),
        ):
            if not holds:
                raise InvalidValueError(f"{name} must be {range_}, got {getattr(self, name)!r}.")

    @staticmethod
    def from_midtone(exponent: float, midtone: float, contrast: float = 0.0) -> Sigmoid:
        """The curve that gives ``midtone``, 0 < midtone < 1, to the light ``MIDTONE_LIGHT``.

        >>> curve = Sigmoid.from_midtone(0.9, 0.6, 0.2)
        >>> float(curve.value(MIDTONE_LIGHT).round(12))
        0.6
        """
        if not 0 < midtone < 1:
            raise InvalidValueError(f"midtone must be > 0 and < 1, got {midtone!r}.")
        power = MIDTONE_LIGHT**exponent
        bent = float(_without_contrast(np.float64(midtone), contrast))
        # logit(y) = log(1 + t) + logit(x^n)
        return Sigmoid(exponent, bent / (1 - bent) * (1 - power) / power - 1.0, contrast)

    def value(self, light: ArrayLike) -> NDArray[np.float64]:
        """``f(x)`` of light 0..1, clipped.

        >>> Sigmoid(0.5).value([0.0, 0.25, 1.0]).tolist()
        [0.0, 0.5, 1.0]
        """
        return self._value(np.clip(np.asarray(light, np.float64), 0.0, 1.0) ** self.exponent)

    def _value(self, power: NDArray[np.float64]) -> NDArray[np.float64]:
        """``f(x)`` of ``x ** exponent``."""
        bent = (1.0 + self.shoulder) * power / (1.0 + self.shoulder * power)
        # Written so that white is exactly 1, here and in the inverse.
        return np.asarray(bent + self.contrast * bent * (bent * (3.0 - 2.0 * bent) - 1.0))

    def light(self, value: ArrayLike) -> NDArray[np.float64]:
        """``f^-1(v)`` of values 0..1, clipped; the inverse of :meth:`value` in closed form.

        >>> Sigmoid(0.5, 1.0, 1.0).light([0.0, 0.5, 1.0]).round(12).tolist()
        [0.0, 0.111111111111, 1.0]
        """
        bent = _without_contrast(np.clip(np.asarray(value, np.float64), 0.0, 1.0), self.contrast)
        power = bent / (1.0 + self.shoulder * (1.0 - bent))
        return np.asarray(power ** (1.0 / self.exponent))

    def decode_table(self) -> NDArray[np.float64]:
        """``[NODES]`` the light of the values ``k / (NODES - 1)``."""
        return self.light(sampled_value())

    def encode_table(self) -> NDArray[np.float64]:
        """``[NODES]`` the value of the light ``(k / (NODES - 1)) ** ROOT``."""
        return self._value(np.exp(self.exponent * _log_sampled_light()))


def _without_contrast(value: NDArray[np.float64] | np.float64, contrast: float) -> NDArray[np.float64]:
    """y of ``(1 - c) y + c (3 y^2 - 2 y^3)``: about the middle, q = y - 1/2, it is ``(1 + c/2) q - 2 c q^3``."""
    w = np.asarray(value, np.float64) - 0.5
    if abs(contrast) < 1e-15:
        return w + 0.5
    # q^3 - a q + b = 0; of its three real roots (c > 0) the one in the middle, or its only one (c < 0).
    a, b = (1.0 + contrast / 2.0) / (2.0 * contrast), w / (2.0 * contrast)
    if contrast > 0:
        third = np.arcsin(np.clip(1.5 * b / a * math.sqrt(3.0 / a), -1.0, 1.0)) / 3.0
        q = 2.0 * math.sqrt(a / 3.0) * np.sin(third)
    else:
        third = np.arcsinh(1.5 * b / a * math.sqrt(-3.0 / a)) / 3.0
        q = 2.0 * math.sqrt(-a / 3.0) * np.sinh(third)
    # The ends are exact, so that black and white are kept.
    return np.asarray(np.where(w <= -0.5, 0.0, np.where(w >= 0.5, 1.0, np.clip(q + 0.5, 0.0, 1.0))))


@cache  # a power of 4,096 numbers takes longer than to encode a small picture with them
def _log_sampled_light() -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):  # black is -infinity, of which exp makes 0
        return np.asarray(np.log(sampled_light()))


def sampled_light() -> NDArray[np.float64]:
    """``[NODES]`` the light that the entries of an encode table belong to."""
    return np.asarray(np.linspace(0.0, 1.0, NODES) ** ROOT)


def sampled_value() -> NDArray[np.float64]:
    """``[NODES]`` the values that the entries of a decode table belong to."""
    return np.linspace(0.0, 1.0, NODES)


def curve_points(array: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Light and value, from 0 to 1, of a measured curve.

    Parameters
    ----------
    array
        ``[2, N]`` or ``[N, 2]``: first the light, then the value, in any unit; each is divided by its last number.

    Raises
    ------
    InvalidValueError
        The shape is another, or the numbers do not rise from (0, 0): light strictly, values never falling.
    """
    points = np.asarray(array, np.float64)
    if points.ndim != 2 or 2 not in points.shape or points.size < 4:
        raise InvalidValueError(
            f"A response curve must be an array [2, N] or [N, 2], light and value, got shape {points.shape}.",
            fix="Save two rows or two columns of numbers, from black to white.",
        )
    x, v = points if points.shape[0] == 2 else points.T
    if not np.isfinite(points).all():
        raise InvalidValueError("A response curve must hold finite numbers.")
    if x[0] != 0 or v[0] != 0:
        raise InvalidValueError(
            f"A response curve must start with light 0 and value 0, got {x[0]:g} and {v[0]:g}.",
            why="No light must give black, or a black picture would glow.",
            fix="Add the point (0, 0), or subtract the offset.",
        )
    for name, numbers, bad in (
        ("light must rise from point to point", x, np.diff(x) <= 0),
        ("value must never fall", v, np.diff(v) < 0),
    ):
        if bad.any():
            at = int(np.argmax(bad))
            swapped = "light" in name and not (np.diff(v) <= 0).any() and not (np.diff(x) < 0).any()
            raise InvalidValueError(
                f"A response curve's {name}, got {numbers[at]:g} and then {numbers[at + 1]:g} (point {at + 1}).",
                fix="The first row or column is the light; are the two swapped?" if swapped else "Look at its points.",
            )
    if not v[-1] > 0:
        raise InvalidValueError("A response curve must end above 0, got the value 0 for all light.")
    return x / x[-1], v / v[-1]


def encode_table(light: ArrayLike, value: ArrayLike) -> NDArray[np.float64]:
    """``[NODES]`` the response at the light ``(k / (NODES - 1))^ROOT``, from points of the curve.

    Raises
    ------
    InvalidValueError
        The points do not rise from (0, 0) to (1, 1).
    """
    x, v = _checked(light, value)
    return np.asarray(np.interp(sampled_light(), x, v))


def decode_table(light: ArrayLike, value: ArrayLike) -> NDArray[np.float64]:
    """``[NODES]`` the light of the values ``k / (NODES - 1)``, from points of the curve.

    Where a measured curve is flat, the middle of the range of light with that value is taken.
    """
    x, v = _checked(light, value)
    levels, first = np.unique(v, return_index=True)
    last = np.append(first[1:], v.size) - 1
    middle = 0.5 * (x[first] + x[last])
    middle[0], middle[-1] = 0.0, 1.0
    wanted = sampled_value()
    above = np.searchsorted(levels, wanted)  # the first level that is not below
    below = np.maximum(above - 1, 0)
    # Between two levels, the curve rises from the end of one flat stretch to the start of the next.
    start, end = x[last][below], x[first][above]
    share = (wanted - levels[below]) / np.where(above > below, levels[above] - levels[below], 1.0)
    return np.asarray(np.where(levels[above] == wanted, middle[above], start + share * (end - start)))


def _checked(light: ArrayLike, value: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, v = np.asarray(light, np.float64), np.asarray(value, np.float64)
    if x.ndim != 1 or x.shape != v.shape or x.size < 2:
        raise InvalidValueError(f"A curve needs as many values as lights, got shapes {x.shape} and {v.shape}.")
    ends = (x[0], v[0], x[-1], v[-1])
    if not (np.isfinite(x).all() and np.isfinite(v).all()) or (np.diff(x) <= 0).any() or (np.diff(v) < 0).any():
        raise InvalidValueError("A curve must rise: light strictly, values never falling, all finite.")
    if np.abs(np.array(ends) - (0, 0, 1, 1)).max() > 1e-9:
        raise InvalidValueError(f"A curve must go from (0, 0) to (1, 1), got ({ends[0]}, {ends[1]}) to {ends[2:]}.")
    return x, v
