"""Metrics of restored images: records that are called with images ``[B, 3, H, W]`` in 0..1.

Every metric states its protocol, since many exist under the same name:

>>> import torch
>>> psnr = metric("psnr")
>>> psnr(torch.full((1, 3, 8, 8), 0.5), torch.full((1, 3, 8, 8), 0.6)).round(decimals=3)
tensor([20.], dtype=torch.float64)
>>> metric("aligned", of="ssim", max_shift_px=3).name
'ssim_aligned'
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blursynth.records.kind import make
from deblur_models.metrics.alignment import Aligned, align
from deblur_models.metrics.gmsd import Gmsd
from deblur_models.metrics.lpips import Lpips
from deblur_models.metrics.metric import Better, Metric
from deblur_models.metrics.niqe import Niqe, fit_niqe
from deblur_models.metrics.psnr import PSNR, no_harm
from deblur_models.metrics.registration import Registered, Registration, register
from deblur_models.metrics.ssim import MsSsim, Ssim, ms_ssim, ssim
from deblur_models.metrics.trajectory import TrajectoryScore, best_over_trajectory

__all__ = [
    "ALL",
    "PSNR",
    "Aligned",
    "Better",
    "Gmsd",
    "Lpips",
    "Metric",
    "MsSsim",
    "Niqe",
    "Registered",
    "Registration",
    "Ssim",
    "TrajectoryScore",
    "align",
    "best_over_trajectory",
    "fit_niqe",
    "metric",
    "ms_ssim",
    "no_harm",
    "register",
    "ssim",
]

ALL: tuple[type[Metric], ...] = (PSNR, Ssim, MsSsim, Gmsd, Niqe, Lpips, Aligned, Registered)
"""All metrics; ``Aligned`` and ``Registered`` compute another one after alignment."""


def metric(name: str, **options: Any) -> Metric:
    """Create a metric by kind, with options; ``of`` in ``aligned`` is a kind or ``{"kind": ..., option: value}``.

    Raises
    ------
    InvalidValueError
        The metric does not exist, or an option is unknown or out of range.
    """
    inner = options.get("of")
    if isinstance(inner, str | Mapping):
        options["of"] = make({"kind": inner} if isinstance(inner, str) else inner, ALL, noun="metric")
    return make({"kind": name, **options}, ALL, noun="metric")
