"""Wiener deconvolution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.errors import require
from deblur_models.classical.deconvolution import Deconvolution, tapered

__all__ = ["Wiener"]


class Wiener(Deconvolution):
    """``X = conj(K) Y / (|K|^2 + balance |L|^2)`` in the Fourier domain, with the Laplacian L as smoothness prior.

    It is fast and linear, but causes ringing at strong edges. Computed by scikit-image.

    Parameters
    ----------
    balance
        Weight of smoothness. None: ``10 (noise + 0.003)``, close to optimal for light of photographs blurred by the
        recipe ``default`` and restored with the kernels of their draws; the .003 accounts for errors other than white
        noise (demosaicking and compression).

    Source: N. Wiener 1949; B. Hunt 1973.
    """

    balance: float | None = Field(
        default=None, gt=0, le=1e6, description="weight of smoothness; default: derived from the noise"
    )

    def check_ready(self) -> None:
        require("skimage.restoration", extra="train", purpose="Wiener deconvolution")

    def deconvolve(
        self, picture: NDArray[np.float64], kernel: NDArray[np.float64], noise: float
    ) -> NDArray[np.float64]:
        balance = 10 * (noise + 0.003) if self.balance is None else self.balance
        restoration = require("skimage.restoration", extra="train", purpose="Wiener deconvolution")
        padded, inside = tapered(picture, kernel)
        return np.stack([restoration.wiener(channel, kernel, balance, clip=False)[inside] for channel in padded])
