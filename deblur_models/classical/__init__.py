"""Classical methods, which invert a known blur without learning and serve as baselines in reports.

>>> import numpy as np, torch
>>> method = make_classical({"kind": "total_variation", "noise": 0.01})
>>> restored = method.restore(torch.rand(1, 3, 16, 16), np.full((1, 3, 3), 1 / 9))
>>> restored.shape
torch.Size([1, 3, 16, 16])
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blursynth.records.kind import make
from deblur_models.classical.deconvolution import Deconvolution, estimate_noise
from deblur_models.classical.hyper_laplacian import HyperLaplacian
from deblur_models.classical.kernels import read_kernel, stack_kernels, turned_fits_better
from deblur_models.classical.richardson_lucy import RichardsonLucy
from deblur_models.classical.total_variation import TotalVariation
from deblur_models.classical.wiener import UnsupervisedWiener, Wiener

__all__ = [
    "ALL",
    "Deconvolution",
    "HyperLaplacian",
    "RichardsonLucy",
    "TotalVariation",
    "UnsupervisedWiener",
    "Wiener",
    "estimate_noise",
    "make_classical",
    "read_kernel",
    "stack_kernels",
    "turned_fits_better",
]

ALL: tuple[type[Deconvolution], ...] = (Wiener, UnsupervisedWiener, RichardsonLucy, TotalVariation, HyperLaplacian)
"""All classical methods."""


def make_classical(values: Mapping[str, Any]) -> Deconvolution:
    """A method from ``{"kind": "wiener", field: value, ...}``.

    Raises
    ------
    InvalidValueError
        The kind does not exist, or a field is unknown or out of range.
    """
    return make(values, ALL, noun="classical method")
