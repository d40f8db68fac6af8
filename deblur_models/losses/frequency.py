"""Losses in the frequency domain."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from deblur_models.losses.loss import Loss

__all__ = ["FftL1"]


class FftL1(Loss):
    """Mean absolute difference of the real and imaginary parts of the two-dimensional Fourier transforms.

    ``mean (|Re F d| + |Im F d|) / 2`` over all frequencies, channels and images; not the modulus of the complex
    difference.

    With the usual ``backward`` normalization (none), as in MIMO-UNet, a coefficient is a sum over pixels: the loss
    grows with the square root of the number of pixels for noise-like differences, and the published weight .1 is for
    patches of 256 px. ``ortho`` divides by that root, so that values do not depend on the patch size; for 256 px
    patches, a weight of .1 for ``backward`` equals 25.6 for ``ortho``. ``forward`` divides by the number of pixels.

    Source: S. Cho et al., "Rethinking Coarse-to-Fine Approach in Single Image Deblurring" (MIMO-UNet), ICCV 2021.
    """

    norm: Literal["backward", "ortho", "forward"] = Field(
        default="backward",
        description="divisor of the transform: 1, the root of the pixel count, the pixel count",
    )

    def distance(self, restored: Tensor, sharp: Tensor) -> Tensor:
        # Half of the columns of a real image's spectrum repeat the others; they are weighted, not computed.
        spectrum = torch.fft.rfft2(restored - sharp, norm=self.norm)
        size = spectrum.real.abs() + spectrum.imag.abs()
        width = restored.shape[-1]
        times = torch.full((size.shape[-1],), 2.0, dtype=size.dtype, device=size.device)
        times[0] = 1.0
        if width % 2 == 0:
            times[-1] = 1.0
        total: Tensor = (size * times).sum()
        return total / (2 * restored.numel())
