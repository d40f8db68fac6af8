"""Structural similarity as metrics; the differentiable functions are in :mod:`deblur_models.metrics.ssim`."""

from __future__ import annotations

from torch import Tensor

from deblur_models.metrics.metric import Metric
from deblur_models.metrics.ssim import ms_ssim, ssim

__all__ = ["MsSsim", "Ssim"]

_WINDOW = "gaussian windows of sigma 1.5 cut to 11 x 11 px, whole windows only, per channel, data range 1"


class Ssim(Metric):
    """Structural similarity as in scikit-image with Gaussian weights and population covariances.

    Easily confused with MATLAB's ``ssim`` of a color image (channels as a third spatial axis), with CW-SSIM (the .958
    of DeblurGAN's paper) and with SSIM of gray images.
    """

    @property
    def protocol(self) -> str:
        return f"SSIM, {_WINDOW}, population covariances, mean over places and channels"

    def measure(self, restored: Tensor, sharp: Tensor) -> Tensor:
        return ssim(restored.double(), sharp.double())


class MsSsim(Metric):
    """Structural similarity over five scales; images need sides of at least 176 px."""

    @property
    def protocol(self) -> str:
        return f"MS-SSIM, five scales (Wang 2003) halved by 2 x 2 means, {_WINDOW}, mean over places and channels"

    def measure(self, restored: Tensor, sharp: Tensor) -> Tensor:
        return ms_ssim(restored.double(), sharp.double())
