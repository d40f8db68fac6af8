"""Wiener deconvolution, with a given weight of smoothness or an estimated one, by scikit-image."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from blursynth.errors import require
from deblur_models.classical.deconvolution import Array, Deconvolution, tapered

__all__ = ["UnsupervisedWiener", "Wiener"]


def _scikit_image() -> Any:
    return require("skimage.restoration", extra="train", purpose="Wiener deconvolution")


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
        _scikit_image()

    def deconvolve(self, picture: Array, kernel: Array, noise: float) -> Array:
        balance = 10 * (noise + 0.003) if self.balance is None else self.balance
        padded, inside = tapered(picture, kernel)
        return np.stack([_scikit_image().wiener(channel, kernel, balance, clip=False)[inside] for channel in padded])


class UnsupervisedWiener(Deconvolution):
    """The mean of samples from the posterior, with sampled precisions of noise and smoothness (Gibbs sampling).

    ``noise`` is not used, since it is estimated. Computed by scikit-image, separately for each channel.

    It assumes white noise. Demosaicked and compressed images have little noise in the finest detail, which it therefore
    trusts too much: on draws of the recipe ``default`` it loses 2.7 dB compared with the blurred image, where
    :class:`Wiener` gains .4. With white noise it performs better: on Levin's 16 real
    photographs both reach a mean of 29.6 dB, aligned, although on two of them, both of the eighth shake, it is worse
    than no restoration.

    Source: F. Orieux, J. Giovannelli, T. Rodet, "Bayesian estimation of regularization and point spread function
    parameters for Wiener-Hunt deconvolution", JOSA A 2010.
    """

    iterations: int = Field(
        default=60, ge=32, le=10_000, description="maximum number of samples; the first 15 are discarded"
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="seed of the samples, the same for every image")

    def check_ready(self) -> None:
        _scikit_image()

    def deconvolve(self, picture: Array, kernel: Array, noise: float) -> Array:
        padded, inside = tapered(picture, kernel)
        out = []
        for channel in padded:
            restored, _ = _scikit_image().unsupervised_wiener(
                channel, kernel, user_params={"max_num_iter": self.iterations}, clip=False, rng=self.seed
            )
            out.append(restored[inside])
        return np.stack(out)
