"""How rows continue beyond their edge: as numpy's ``pad`` continues them, which is not our own code."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.frame import Border

__all__ = ["continued_index"]

_NUMPYS: dict[Border, Any] = {Border.REFLECT: "reflect", Border.REPLICATE: "edge", Border.CIRCULAR: "wrap"}


def continued_index(place: NDArray[np.int64], size: int, border: Border) -> NDArray[np.int64]:
    """The pixel, 0 .. size - 1, at each ``place`` of a row that continues beyond its edge; -1 for none."""
    far = max(0, int(-place.min(initial=0)), int(place.max(initial=0)) - size + 1)
    pixels = np.pad(np.arange(size) + 1, far, mode=_NUMPYS.get(border, "constant")) - 1
    return np.asarray(pixels[place + far])
