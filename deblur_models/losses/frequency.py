"""Losses of spectra."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from deblur_models.losses.loss import Loss

__all__ = ["FftL1"]


class FftL1(Loss):
    """Mean absolute difference of the real and imaginary parts of the two-dimensional Fourier transforms.

    ``mean (|Re F d| + |Im F d|) / 2`` over all frequencies, channels and pictures; not the modulus of the complex
    difference.

    With the usual ``backward`` normalization (none), as in MIMO-UNet, a coefficient is a sum over pixels: the loss
    grows with the square root of the number of pixels for noise-like differences, and the published weight .1 belongs
    to patches of 256 px. ``ortho`` divides by that root, so that values do not depend on the size of the patch; for
    256 px patches .1 of ``backward`` is 25.6 of ``ortho``. ``forward`` divides by the number of pixels.

    Source: S. Cho et al., "Rethinking Coarse-to-Fine Approach in Single Image Deblurring" (MIMO-UNet), ICCV 2021.
    """

    norm: Literal["backward", "ortho", "forward"] = Field(
        default="backward", description="what the transform is divided by: 1, the root of the pixels, the pixels"
    )

    def distance(self, restored: Tensor, sharp: Tensor) -> Tensor:
        # Half of the columns of a real picture's spectrum repeat the others: they are counted, not computed.
        spectrum = torch.fft.rfft2(restored - sharp, norm=self.norm)
        size = spectrum.real.abs() + spectrum.imag.abs()
        width = restored.shape[-1]
        times = torch.full((size.shape[-1],), 2.0, dtype=size.dtype, device=size.device)
        times[0] = 1.0
        if width % 2 == 0:
            times[-1] = 1.0
        total: Tensor = (size * times).sum()
        return total / (2 * restored.numel())
