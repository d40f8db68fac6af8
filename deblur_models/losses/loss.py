"""The base class of losses."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from blursynth.errors import InvalidValueError
from blursynth.records.kind import Kind

__all__ = ["Loss"]


class Loss(Kind):
    """A differentiable distance of restored and sharp images ``[B, 3, H, W]``, 0..1, averaged over the batch.

    Subclasses implement :meth:`distance`, which always computes in float32 (or float64 for such inputs), since spectra,
    variances and penalties are unreliable in half precision.
    """

    every_scale: ClassVar[bool] = True
    """Whether networks with several outputs use it for each output, or only for the finest."""

    weight: float = Field(default=1.0, gt=0, le=1e6, description="weight of this loss in the sum")

    @abstractmethod
    def distance(self, restored: Tensor, sharp: Tensor) -> Tensor:
        """A scalar, without ``weight``."""

    def __call__(self, restored: Tensor, sharp: Tensor) -> Tensor:
        """The distance without its weight, so that logged values with different weights are comparable.

        Raises
        ------
        InvalidValueError
            The shapes differ.
        """
        if restored.shape != sharp.shape:
            raise InvalidValueError(
                f"A loss compares images of the same shape, got {list(restored.shape)} and {list(sharp.shape)}."
            )
        if restored.element_size() < 4:
            restored = restored.float()
        with torch.autocast(restored.device.type, enabled=False):
            return self.distance(restored, sharp.to(restored.dtype))

    def over_scales(self, outputs: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
        """The sum over the outputs of a network, or that of the finest alone, as ``every_scale`` says."""
        pairs = zip(outputs, targets, strict=True) if self.every_scale else [(outputs[0], targets[0])]
        return torch.stack([self(output, target) for output, target in pairs]).sum()

    def check_ready(self) -> None:
        """Raise an error if something that the loss needs (a weights file) is missing, before any work starts."""
