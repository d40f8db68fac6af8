"""Gradient magnitude similarity deviation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from blursynth.errors import InvalidValueError
from deblur_models.metrics.metric import Metric, luma

__all__ = ["Gmsd"]

_CONSTANT = 170.0 / 255.0**2


class Gmsd(Metric):
    """Standard deviation of the gradient similarity ``(2 g h + c) / (g^2 + h^2 + c)`` of two images.

    ``g`` and ``h`` are the lengths of Prewitt gradients (divided by 3) of the luma at half size (means of 2 x 2
    pixels, zeros beyond the border as in the original), ``c = 170 / 255^2``. It is 0 for equal images; the sample
    standard deviation is used. Blur of a whole image changes the mean similarity more than its deviation, so combine it
    with another metric.

    Source: W. Xue, L. Zhang, X. Mou, A. Bovik, "Gradient magnitude similarity deviation", IEEE TIP 2014.
    """

    higher_is_better = False

    @property
    def protocol(self) -> str:
        return "GMSD of the luma (BT.601, not rounded) at half size, Prewitt gradients, T = 170 for codes 0..255"

    def measure(self, restored: Tensor, sharp: Tensor) -> Tensor:
        if min(restored.shape[-2:]) < 4:
            raise InvalidValueError(
                f"GMSD needs sides of at least 4 px, got {restored.shape[-2]} x {restored.shape[-1]}."
            )
        g, h = (_gradient(luma(picture.double())) for picture in (restored, sharp))
        similarity = (2 * g * h + _CONSTANT) / (g * g + h * h + _CONSTANT)
        return similarity.flatten(1).std(dim=1)


def _gradient(gray: Tensor) -> Tensor:
    height, width = gray.shape[-2:]
    half = F.avg_pool2d(F.pad(gray, (0, width % 2, 0, height % 2)), 2)
    slope = torch.tensor([[1.0, 0.0, -1.0]] * 3, dtype=gray.dtype, device=gray.device) / 3
    return F.conv2d(half, torch.stack([slope, slope.T])[:, None], padding=1).square().sum(dim=1).sqrt()
