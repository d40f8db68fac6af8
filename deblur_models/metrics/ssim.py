"""Structural similarity at one scale and at several, differentiable.

There are many protocols under the name SSIM, and their values differ by more than those of papers (MATLAB's ``ssim``
treats the channels of a color image as a third spatial axis; others compare gray images, or values 0..255 with the
constants for 0..1). Here: Gaussian windows, per channel, population variances, the mean over channels and positions.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from blursynth.errors import InvalidValueError, did_you_mean
from deblur_models.metrics.metric import Metric

__all__ = ["MS_SSIM_WEIGHTS", "MsSsim", "Ssim", "SsimPadding", "ms_ssim", "smallest_side_px", "ssim", "ssim_map"]

SsimPadding = Literal["none", "reflect"]
"""``none``: only windows that are entirely inside count, as in the original and in scikit-image;
``reflect``: images are mirrored at the border (without repeating the edge), so that every pixel has a window, as in
torchmetrics 1.9."""

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the scales, finest first (Wang et al. 2003, from an experiment with viewers)."""

_K1, _K2 = 0.01, 0.03
_FLOOR = 1e-6
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


def ssim(
    a: Tensor,
    b: Tensor,
    *,
    sigma: float = 1.5,
    window_px: int = 11,
    data_range: float = 1.0,
    padding: SsimPadding = "none",
) -> Tensor:
    """Structural similarity of each image of a batch, ``[B]``, 1 for equal images; differentiable.

    ``SSIM = (2 m_a m_b + c1)(2 s_ab + c2) / ((m_a^2 + m_b^2 + c1)(s_a^2 + s_b^2 + c2))`` with means ``m``, variances
    and covariance ``s`` under a Gaussian window, ``c1 = (.01 R)^2``, ``c2 = (.03 R)^2``, R the data range; averaged
    over positions and channels. Equal to ``skimage.metrics.structural_similarity(gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, data_range=1, channel_axis=...)``.

    Parameters
    ----------
    a, b
        Images ``[B, C, H, W]``; half precision is computed in float32.
    sigma
        Standard deviation of the Gaussian window, in px.
    window_px
        Side of the window, odd; the Gaussian is truncated there and normalized.
    data_range
        Difference of the largest and the smallest possible value.
    padding
        Treatment of the border.

    Raises
    ------
    InvalidValueError
        Shapes differ, the window is even, or images are smaller than the window.

    Source: Z. Wang, A. Bovik, H. Sheikh, E. Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", IEEE TIP 2004 (with gray images and a prior reduction to about 256 px, which is omitted here as in all
    deblurring papers).
    """
    return ssim_map(a, b, sigma=sigma, window_px=window_px, data_range=data_range, padding=padding).mean(dim=(1, 2, 3))


def ssim_map(
    a: Tensor,
    b: Tensor,
    *,
    sigma: float = 1.5,
    window_px: int = 11,
    data_range: float = 1.0,
    padding: SsimPadding = "none",
) -> Tensor:
    """What :func:`ssim` is the mean of: the similarity at every position of a window, ``[B, C, H', W']``.

    Without padding, ``H' = H - window_px + 1``, and row 0 belongs to row ``window_px // 2`` of the images.
    """
    a, b = _comparable(a, b, sigma, window_px, data_range, padding)
    if min(a.shape[-2:]) < (window_px if padding == "none" else window_px // 2 + 1):
        raise InvalidValueError(
            f"SSIM with a window of {window_px} px needs sides of at least "
            f"{window_px if padding == 'none' else window_px // 2 + 1} px, got {a.shape[-2]} x {a.shape[-1]}.",
            fix="Compare larger images, or choose a smaller window_px and sigma.",
        )
    with torch.autocast(a.device.type, enabled=False):
        luminance, structure = _terms(a, b, sigma, window_px, data_range, padding)
        return luminance * structure


def ms_ssim(
    a: Tensor,
    b: Tensor,
    *,
    sigma: float = 1.5,
    window_px: int = 11,
    data_range: float = 1.0,
    padding: SsimPadding = "none",
    weights: tuple[float, ...] = MS_SSIM_WEIGHTS,
) -> Tensor:
    """Structural similarity over several scales of each image of a batch, ``[B]``; differentiable.

    ``MS-SSIM = l_M^w_M prod_j cs_j^w_j``: the contrast and structure term ``cs`` of every scale, the luminance term
    ``l`` only of the coarsest (as the mean of ``l cs`` there). Scales are halved by averaging 2 x 2 pixels; an odd last
    row or column is dropped. Each term is averaged over positions and channels before its power. Terms below 1e-6
    (structure inverted on average) are set to 1e-6, so that powers and their derivatives exist.

    Parameters
    ----------
    a, b, sigma, window_px, data_range, padding
        As in :func:`ssim`.
    weights
        Exponents of the scales, finest first; their number is the number of scales. Patches smaller than
        :func:`smallest_side_px` need fewer scales or a smaller window, which gives values that are not comparable.

    Raises
    ------
    InvalidValueError
        As in :func:`ssim`, or the coarsest scale is smaller than the window.

    Source: Z. Wang, E. Simoncelli, A. Bovik, "Multi-scale structural similarity for image quality assessment",
    Asilomar 2003.
    """
    a, b = _comparable(a, b, sigma, window_px, data_range, padding)
    if not weights or not all(math.isfinite(w) and w > 0 for w in weights):
        raise InvalidValueError(f"MS-SSIM needs positive weights, one per scale, got {weights}.")
    smallest = smallest_side_px(window_px=window_px, scales=len(weights), padding=padding)
    if min(a.shape[-2:]) < smallest:
        raise InvalidValueError(
            f"MS-SSIM over {len(weights)} scales with a window of {window_px} px needs sides of at least "
            f"{smallest} px, got {a.shape[-2]} x {a.shape[-1]}.",
            why="The window must fit into the coarsest scale.",
            fix="Compare larger images, or choose fewer weights or a smaller window_px (which changes the values).",
        )
    with torch.autocast(a.device.type, enabled=False):
        result = torch.ones(len(a), dtype=a.dtype, device=a.device)
        for scale, weight in enumerate(weights):
            luminance, structure = _terms(a, b, sigma, window_px, data_range, padding)
            last = scale == len(weights) - 1
            term = (luminance * structure if last else structure).mean(dim=(1, 2, 3))
            result = result * term.clamp(min=_FLOOR) ** weight
            if not last:
                a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        return result


def smallest_side_px(*, window_px: int = 11, scales: int = len(MS_SSIM_WEIGHTS), padding: SsimPadding = "none") -> int:
    """The smallest side of an image that :func:`ms_ssim` accepts.

    >>> smallest_side_px()
    176
    """
    return (window_px if padding == "none" else window_px // 2 + 1) << (scales - 1)


def _terms(
    a: Tensor, b: Tensor, sigma: float, window_px: int, data_range: float, padding: SsimPadding
) -> tuple[Tensor, Tensor]:
    """The luminance term and the contrast and structure term at every position."""
    count = len(a)
    window = _gaussian(sigma, window_px, a)
    moments = torch.cat([a, b, a * a, b * b, a * b])
    if padding == "reflect":
        moments = F.pad(moments, (window_px // 2,) * 4, mode="reflect")
    channels = moments.shape[1]
    moments = F.conv2d(moments, window.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    moments = F.conv2d(moments, window.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    mean_a, mean_b, square_a, square_b, product = moments.view(5, count, *moments.shape[1:])
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    variances = square_a - mean_a * mean_a + square_b - mean_b * mean_b
    covariance = product - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a * mean_a + mean_b * mean_b + c1)
    return luminance, (2 * covariance + c2) / (variances + c2)


def _gaussian(sigma: float, window_px: int, like: Tensor) -> Tensor:
    places = torch.arange(window_px, dtype=torch.float64) - window_px // 2
    window = torch.exp(-0.5 * (places / sigma) ** 2)
    return (window / window.sum()).to(like)


def _comparable(
    a: Tensor, b: Tensor, sigma: float, window_px: int, data_range: float, padding: str
) -> tuple[Tensor, Tensor]:
    if a.shape != b.shape or a.ndim != 4 or not a.is_floating_point() or not b.is_floating_point():
        raise InvalidValueError(
            f"SSIM compares two floating-point batches [B, C, H, W] of one shape, got {a.dtype} {list(a.shape)} and "
            f"{b.dtype} {list(b.shape)}.",
            fix="Convert 8-bit codes with x / 255; add a batch dimension to single images.",
        )
    if window_px < 1 or window_px % 2 == 0:
        raise InvalidValueError(f"window_px must be odd and positive, got {window_px}.")
    for name, value in (("sigma", sigma), ("data_range", data_range)):
        if not (math.isfinite(value) and value > 0):
            raise InvalidValueError(f"{name} must be positive and finite, got {value}.")
    if padding not in ("none", "reflect"):
        raise InvalidValueError(
            f"There is no padding {padding!r}.", fix=did_you_mean(str(padding), ("none", "reflect"))
        )
    dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    return a.to(dtype), b.to(dtype)
