"""Richardson-Lucy deconvolution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import fft

from deblur_models.classical.deconvolution import Array, Deconvolution, transfer_function

__all__ = ["RichardsonLucy"]


class RichardsonLucy(Deconvolution):
    """``x <- x k^T(M y / (k * x)) / k^T(M)``: converges to maximum likelihood under photon noise; light stays positive.

    Few iterations leave blur, many amplify noise and ringing: their number is the regularization. ``M`` is 1 inside the
    photograph; pixels beyond its border, from which light came in, are unknowns as well. (scikit-image's implementation
    assumes darkness there. It is equal away from the border, and several times slower.)

    Parameters
    ----------
    iterations
        None: ``0.08 / (noise + 0.003)``, 4 to 30, close to optimal for photographs blurred by the recipe ``default``.

    Source: W. Richardson, JOSA 1972; L. Lucy, Astronomical Journal 1974; the border after M. Bertero, P. Boccacci,
    Astronomy and Astrophysics 2005.
    """

    iterations: int | None = Field(
        default=None, ge=1, le=10_000, description="iterations; default: derived from the noise"
    )

    def deconvolve(self, picture: Array, kernel: Array, noise: float) -> Array:
        iterations = round(min(max(0.08 / (noise + 0.003), 4), 30)) if self.iterations is None else self.iterations
        height, width = picture.shape[-2:]
        reach = len(kernel) // 2
        shape = (
            fft.next_fast_len(height + 2 * reach, real=True),
            fft.next_fast_len(width + 2 * reach, real=True),
        )
        inside = (slice(None), slice(reach, reach + height), slice(reach, reach + width))
        blur = transfer_function(kernel, shape)

        def convolved(x: Array, transfer: NDArray[np.complex128]) -> Array:
            return np.asarray(fft.irfft2(fft.rfft2(x) * transfer, s=shape))

        shown = np.zeros((1, *shape))
        shown[inside] = 1.0
        # Pixels of which hardly any light arrived inside cannot be estimated; they stay unchanged.
        arrived = convolved(shown, np.conj(blur))
        known = arrived > 0.01
        # Start from a flat image: the blurred one is closer, but contains noise from the start.
        mean = picture.mean(axis=(1, 2), keepdims=True).clip(min=_DARK)
        x = np.broadcast_to(mean, (len(picture), *shape)).copy()
        ratio = np.zeros_like(x)
        for _ in range(iterations):
            ratio[inside] = picture.clip(min=0.0) / convolved(x, blur)[inside].clip(min=_DARK)
            x *= np.where(known, convolved(ratio, np.conj(blur)) / arrived.clip(min=0.01), 1.0)
            np.clip(x, _DARK, None, out=x)  # the transforms have rounding errors
        return np.asarray(x[inside])


_DARK = 1e-9
"""Lower limit of light, which prevents division by zero."""
