"""Losses of structure: similarity in windows, edges, smoothness, and spectra."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from blursynth.errors import InvalidValueError
from deblur_models.losses.loss import Loss
from deblur_models.metrics.ssim import MS_SSIM_WEIGHTS, ms_ssim, ssim

__all__ = ["SSIM", "Edge", "FftL1", "MsSSIM", "TotalVariation"]

# 1-D kernel of Burt and Adelson's pyramid with a = .4.
_BURT_ADELSON = (0.05, 0.25, 0.4, 0.25, 0.05)


class SSIM(Loss):
    """``1 - SSIM``: 0 for equal images, up to 2. See :func:`deblur_models.metrics.ssim.ssim` for the protocol."""

    every_scale: ClassVar[bool] = False

    sigma: float = Field(default=1.5, gt=0, le=100, description="sigma of the Gaussian window in px")
    window_px: int = Field(default=11, ge=3, le=255, description="side of the window in px, odd")

    def model_post_init(self, context: object) -> None:
        check_odd(self.window_px)

    def distance(self, restored: Tensor, sharp: Tensor) -> Tensor:
        return 1 - ssim(restored, sharp, sigma=self.sigma, window_px=self.window_px).mean()


class MsSSIM(Loss):
    """``1 - MS-SSIM``: 0 for equal images, up to 1. See :func:`deblur_models.metrics.ssim.ms_ssim`.

    Five scales with a window of 11 px need sides of at least 176 px; for smaller training patches use fewer ``scales``.
    The exponents of the finest ones are then rescaled to the sum of all, so that values keep their order of magnitude,
    but they are not comparable with the usual MS-SSIM.
    """

    every_scale: ClassVar[bool] = False

    scales: int = Field(default=5, ge=1, le=5, description="number of scales, each half the size of the previous one")
    sigma: float = Field(default=1.5, gt=0, le=100, description="sigma of the Gaussian window in px at every scale")
    window_px: int = Field(default=11, ge=3, le=255, description="side of the window in px, odd")

    def model_post_init(self, context: object) -> None:
        check_odd(self.window_px)

    def distance(self, restored: Tensor, sharp: Tensor) -> Tensor:
        weights = MS_SSIM_WEIGHTS[: self.scales]
        if self.scales < len(MS_SSIM_WEIGHTS):
            weights = tuple(w * sum(MS_SSIM_WEIGHTS) / sum(weights) for w in weights)
        return 1 - ms_ssim(restored, sharp, sigma=self.sigma, window_px=self.window_px, weights=weights).mean()


class Edge(Loss):
    """Charbonnier of the difference of the finest Laplacian-pyramid levels, ``mean sqrt(L(d)^2 + epsilon^2)``.

    ``L(x) = x - G U D G x``: G the 5 x 5 binomial-like filter (.05, .25, .4, .25, .05) along both axes with replicated
    borders, D every second pixel, U zeros between them and times 4. L is linear, so the level of the difference is the
    difference of the levels. Equal images give ``epsilon``.

    Source: S. Zamir et al., "Multi-Stage Progressive Image Restoration" (MPRNet), CVPR 2021, with weight .05 along with
    a Charbonnier loss; the pyramid of P. Burt and E. Adelson, 1983.
    """

    epsilon: float = Field(default=1e-3, gt=0, le=1, description="epsilon of Charbonnier, in units of the image values")

    def distance(self, restored: Tensor, sharp: Tensor) -> Tensor:
        level = laplacian_level(restored - sharp)
        return (level * level + self.epsilon**2).sqrt().mean()


class TotalVariation(Loss):
    """Total variation of the *restored* image per value: a smoothness prior that does not use the sharp one.

    ``anisotropic``: ``sum (|dx| + |dy|) / N``; ``isotropic``: ``sum (sqrt(dx^2 + dy^2 + epsilon^2) - epsilon) / N``;
    forward differences, 0 beyond the last row and column, N the number of values of the batch. Constant images give
    0.

    Source: L. Rudin, S. Osher and E. Fatemi, "Nonlinear total variation based noise removal algorithms", 1992.
    """

    form: Literal["anisotropic", "isotropic"] = Field(
        default="anisotropic", description="sum of the differences in both directions, or norm of the gradient"
    )
    epsilon: float = Field(
        default=1e-3, gt=0, le=1, description="smoothing of the isotropic form at 0, in units of the image values"
    )

    def distance(self, restored: Tensor, sharp: Tensor) -> Tensor:
        down = restored[..., 1:, :] - restored[..., :-1, :]
        right = restored[..., :, 1:] - restored[..., :, :-1]
        if self.form == "anisotropic":
            return (down.abs().sum() + right.abs().sum()) / restored.numel()
        down, right = F.pad(down, (0, 0, 0, 1)), F.pad(right, (0, 1))
        return ((down * down + right * right + self.epsilon**2).sqrt() - self.epsilon).mean()


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


def laplacian_level(picture: Tensor) -> Tensor:
    """``x - G U D G x``, of the same shape; see :class:`Edge`."""
    coarse = torch.zeros_like(picture)
    coarse[..., ::2, ::2] = 4 * _smoothed(picture)[..., ::2, ::2]
    return picture - _smoothed(coarse)


def _smoothed(picture: Tensor) -> Tensor:
    channels = picture.shape[1]
    kernel = picture.new_tensor(_BURT_ADELSON).repeat(channels, 1, 1)
    padded = F.pad(picture, (2, 2, 2, 2), mode="replicate")
    rows = F.conv2d(padded, kernel[:, :, None, :], groups=channels)
    return F.conv2d(rows, kernel[:, :, :, None], groups=channels)


def check_odd(window_px: int) -> None:
    if window_px % 2 == 0:
        raise InvalidValueError(
            f"window_px must be odd, got {window_px}.",
            why="A window has a center pixel.",
            fix=f"Use {window_px - 1} or {window_px + 1}.",
        )
