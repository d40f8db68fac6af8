"""Response curves: how linear light becomes the numbers of a file, and back; functions on 0..1, in float64.

A curve f rises from f(0) = 0 to f(1) = 1. The response gives ``v = f(x)`` of light x, decoding ``x = f^-1(v)``.

Not modelled: curves that differ between the channels, local tone mapping.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blursynth.errors import InvalidValueError

__all__ = ["NODES", "ROOT", "decode_table", "encode_table"]

NODES = 4096
"""Entries of a table."""

ROOT = 4
"""Tables of responses stand over the fourth root of the light, where curves with a steep start are smooth."""


def encode_table(light: ArrayLike, value: ArrayLike) -> NDArray[np.float64]:
    """``[NODES]`` the response at the light ``(k / (NODES - 1))^ROOT``, from points of the curve.

    Raises
    ------
    InvalidValueError
        The points do not rise from (0, 0) to (1, 1).
    """
    x, v = _checked(light, value)
    return np.asarray(np.interp(np.linspace(0.0, 1.0, NODES) ** ROOT, x, v))


def decode_table(light: ArrayLike, value: ArrayLike) -> NDArray[np.float64]:
    """``[NODES]`` the light of the values ``k / (NODES - 1)``, from points of the curve.

    Where a measured curve is flat, the middle of the light that gives one value is taken.
    """
    x, v = _checked(light, value)
    levels, first = np.unique(v, return_index=True)
    last = np.append(first[1:], v.size) - 1
    middle = 0.5 * (x[first] + x[last])
    middle[0], middle[-1] = 0.0, 1.0
    return np.asarray(np.interp(np.linspace(0.0, 1.0, NODES), levels, middle))


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
