"""Losses: records with a weight, called with images in 0..1.

There are three groups: losses between a restored and a sharp image (:data:`ALL`), adversarial losses between the
outputs of a discriminator (:data:`ADVERSARIAL`), and consistency losses, which need neither (:data:`CONSISTENCY`).

>>> import torch
>>> bool(Charbonnier()(torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)) > 0.99)
True
>>> make_loss({"kind": "fft_l1", "weight": 0.1})
FftL1(weight=0.1, norm='backward')
>>> make_adversarial({"kind": "wgan_gp"}).penalty_weight
10.0
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blursynth.records.kind import make
from deblur_models.losses.adversarial import (
    LSGAN,
    AdversarialLoss,
    AnswerPool,
    Logits,
    RaganLS,
    RelativisticBlur,
    VanillaGAN,
    WganGP,
    gradient_penalty,
)
from deblur_models.losses.consistency import ConsistencyLoss, CycleConsistency, ReBlur
from deblur_models.losses.loss import Loss
from deblur_models.losses.perceptual import Perceptual
from deblur_models.losses.pixel import L1, L2, PSNR, Charbonnier
from deblur_models.losses.structure import SSIM, Edge, FftL1, MsSSIM, TotalVariation

__all__ = [
    "ADVERSARIAL",
    "ALL",
    "CONSISTENCY",
    "L1",
    "L2",
    "LSGAN",
    "PSNR",
    "SSIM",
    "AdversarialLoss",
    "AnswerPool",
    "Charbonnier",
    "ConsistencyLoss",
    "CycleConsistency",
    "Edge",
    "FftL1",
    "Logits",
    "Loss",
    "MsSSIM",
    "Perceptual",
    "RaganLS",
    "ReBlur",
    "RelativisticBlur",
    "TotalVariation",
    "VanillaGAN",
    "WganGP",
    "gradient_penalty",
    "make_adversarial",
    "make_consistency",
    "make_loss",
]

ALL: tuple[type[Loss], ...] = (L1, L2, Charbonnier, PSNR, SSIM, MsSSIM, Edge, TotalVariation, FftL1, Perceptual)
"""All losses between a restored and a sharp image."""

ADVERSARIAL: tuple[type[AdversarialLoss], ...] = (WganGP, LSGAN, VanillaGAN, RaganLS, RelativisticBlur)
"""All losses between the outputs of a discriminator for real and for generated images."""

CONSISTENCY: tuple[type[ConsistencyLoss], ...] = (CycleConsistency, ReBlur)
"""Consistency losses; each has its own call signature."""


def make_loss(values: Mapping[str, Any]) -> Loss:
    """A loss from ``{"kind": "charbonnier", "weight": 1.0, ...}``.

    Raises
    ------
    InvalidValueError
        The kind does not exist, or a field is unknown or out of range.
    """
    return make(values, ALL, noun="loss")


def make_adversarial(values: Mapping[str, Any]) -> AdversarialLoss:
    """An adversarial loss from ``{"kind": "ragan_ls", "weight": 0.01, ...}``; raises as :func:`make_loss`."""
    return make(values, ADVERSARIAL, noun="adversarial loss")


def make_consistency(values: Mapping[str, Any]) -> ConsistencyLoss:
    """A consistency loss from ``{"kind": "re_blur", "weight": 0.1, ...}``; raises as :func:`make_loss`."""
    return make(values, CONSISTENCY, noun="consistency loss")
