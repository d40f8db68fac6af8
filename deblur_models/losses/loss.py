"""What all losses share."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from blursynth.errors import InvalidValueError
from blursynth.records.kind import Kind

__all__ = ["Loss"]


class Loss(Kind):
    """A distance between restored and sharp pictures ``[B, 3, H, W]``, 0..1, averaged over the batch; differentiable.

    Subclasses write :meth:`distance`, which always computes in float32 (or float64 where that comes in), since spectra,
    variances and penalties lose their meaning in half precision.
    """

    every_scale: ClassVar[bool] = True
    """Whether networks with several outputs are told it for each of them, or for the finest alone."""

    weight: float = Field(default=1.0, gt=0, le=1e6, description="factor of this loss in the sum")

    @abstractmethod
    def distance(self, restored: Tensor, sharp: Tensor) -> Tensor:
        """A scalar; ``weight`` is not in it."""

    def __call__(self, restored: Tensor, sharp: Tensor) -> Tensor:
        """The distance without its weight, so that curves of different weights compare.

        Raises
        ------
        InvalidValueError
            The two have different shapes.
        """
        if restored.shape != sharp.shape:
            raise InvalidValueError(
                f"A loss compares pictures of one shape, got {list(restored.shape)} and {list(sharp.shape)}."
            )
        if restored.element_size() < 4:
            restored = restored.float()
        with torch.autocast(restored.device.type, enabled=False):
            return self.distance(restored, sharp.to(restored.dtype))

    def check_ready(self) -> None:
        """Raises an error where something that the loss needs (a weights file) is missing, before any work starts."""
