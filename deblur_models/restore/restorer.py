"""The common interface of everything that restores images: networks, tiled networks, classical methods."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Restorer"]


@runtime_checkable
class Restorer(Protocol):
    """Maps blurred images to restored ones of the same shape; ``name`` appears in reports.

    ``needs_kernel``: whether it requires the kernel (non-blind classical methods).
    """

    # Properties, so that frozen records satisfy it as well as classes with attributes.
    @property
    def name(self) -> str: ...

    @property
    def needs_kernel(self) -> bool: ...

    def restore(self, blurred: Tensor, kernels: NDArray[np.floating] | None = None) -> Tensor:
        """``[B, 3, H, W]`` encoded images in 0..1 to restored ones; ``kernels`` ``[B, K, K]``, K odd, sum 1."""
        ...
