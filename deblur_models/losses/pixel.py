"""Losses of single pixels."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from deblur_models.losses.loss import Loss

__all__ = ["Charbonnier"]


class Charbonnier(Loss):
    """``mean sqrt(d^2 + epsilon^2)``: L1 with a smooth foot.

    Source: W. Lai et al., "Deep Laplacian Pyramid Networks", CVPR 2017; epsilon .001 as in MPRNet.
    """

    epsilon: float = Field(default=1e-3, gt=0, le=1, description="width of the smooth foot, in picture units")

    def distance(self, restored: Tensor, sharp: Tensor) -> Tensor:
        difference = restored - sharp
        return (difference * difference + self.epsilon**2).sqrt().mean()
