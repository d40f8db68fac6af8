"""The one interface of everything that restores a picture: networks, tiled networks, classical methods."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Restorer"]


@runtime_checkable
class Restorer(Protocol):
    """Takes blurred pictures, gives restored ones of the same shape; ``name`` stands in reports.

    ``needs_kernel``: whether it must be told the point spread (classical methods that are not blind).
    """

    # Properties, so that frozen records satisfy it as well as classes with attributes.
    @property
    def name(self) -> str: ...

    @property
    def needs_kernel(self) -> bool: ...

    def restore(self, blurred: Tensor, kernels: NDArray[np.floating] | None = None) -> Tensor:
        """``[B, 3, H, W]`` encoded pictures in 0..1 to restored ones; ``kernels`` ``[B, K, K]``, K odd, sum 1."""
        ...
