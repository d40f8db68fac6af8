"""Response curves by their tables in plain numpy, float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from blursynth.physics.response import ROOT

__all__ = ["response_decode", "response_encode"]


def _looked_up(u: NDArray[np.float64], table: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.empty(u.shape)
    for b in range(u.shape[0]):
        row = table[b if len(table) > 1 else 0]
        out[b] = np.interp(u[b], np.linspace(0.0, 1.0, row.size), row)
    return out


def response_decode(image: NDArray[np.floating], table: NDArray[np.float64]) -> NDArray[np.floating]:
    """The table over the values 0..1."""
    value = np.clip(np.asarray(image, np.float64), 0.0, 1.0)
    return _looked_up(value, table).astype(image.dtype)


def response_encode(
    image: NDArray[np.floating], table: NDArray[np.float64], *, levels: Sequence[int | None] | None = None
) -> NDArray[np.floating]:
    """The table over the ROOTth root of the light 0..1."""
    light = np.clip(np.asarray(image, np.float64), 0.0, 1.0)
    value = _looked_up(light ** (1.0 / ROOT), table)
    for b, level in enumerate(levels or ()):
        if level is not None:
            value[b] = np.rint(value[b] * level) / level
    return value.astype(image.dtype)
