"""Peak signal-to-noise ratio, and the effect of a restorer on sharp images."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deblur_models.metrics.metric import Metric
from deblur_models.restore.restorer import Restorer

__all__ = ["PSNR", "no_harm"]


class PSNR(Metric):
    """``10 log10(1 / mean (a - b)^2)`` in dB, over all pixels and channels of an image; infinite for equal images.

    The mean over a data set is the mean of dB values, as in all deblurring papers, not the dB value of the mean error.
    """

    @property
    def protocol(self) -> str:
        return "PSNR in dB, peak 1, over all pixels and channels of a picture, values cut to 0..1 and not rounded"

    def measure(self, restored: Tensor, sharp: Tensor) -> Tensor:
        error = (restored.double() - sharp.double()).square().mean(dim=(1, 2, 3))
        return -10.0 * torch.log10(error)


def no_harm(restorer: Restorer, sharp: Tensor) -> Tensor:
    """PSNR ``[B]`` between sharp images and a restorer's output for them: how little it changes them.

    Methods that need a kernel get the identity kernel. Above 40 dB the difference is invisible; infinite: no change.
    """
    kernels: NDArray[np.floating] | None = np.ones((len(sharp), 1, 1)) if restorer.needs_kernel else None
    return PSNR()(restorer.restore(sharp, kernels), sharp)
