"""Common parts of classical methods: validation of kernels, linear light, borders, and noise estimation."""

from __future__ import annotations

import math
from abc import abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy import fft
from torch import Tensor

from blursynth.errors import InvalidValueError
from blursynth.physics.color import srgb_from_linear, srgb_to_linear
from blursynth.records.kind import Kind

__all__ = ["Array", "Deconvolution", "check_kernels", "estimate_noise", "tapered", "transfer_function"]

Array = NDArray[np.float64]


class Deconvolution(Kind):
    """Restores images whose blur is a known convolution ``y = k * x + noise``, as a baseline without learning.

    The codes of an image are decoded to linear light, where blur is a convolution; each channel is restored, and the
    result is encoded and clipped to 0..1. A kernel with a single nonzero point leaves the image unchanged: there is no
    blur to invert, and these methods are not meant for denoising. Everything runs on the CPU in float64, one image at a
    time. Subclasses implement :meth:`deconvolve`.

    Not modeled: blur that varies across the image, light beyond white (saturated lamps cause ringing), noise that
    depends on the signal, effects of sharpening and compression.
    """

    linear_light: bool = Field(
        default=True, description="whether to decode sRGB first; false for sets whose codes were blurred directly"
    )
    noise: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="standard deviation of the noise in the working space (light or codes); default: estimated",
    )

    @property
    def name(self) -> str:
        return self.kind

    @property
    def needs_kernel(self) -> bool:
        return True

    @abstractmethod
    def deconvolve(self, picture: Array, kernel: Array, noise: float) -> Array:
        """Restore one image ``[C, H, W]``, in light or codes; ``kernel`` is ``[K, K]`` with sum 1."""

    def check_ready(self) -> None:
        """Raise an error if a library that the method needs is missing, before any work starts."""

    def restore(self, blurred: Tensor, kernels: NDArray[np.floating] | None = None) -> Tensor:
        """Restore images; shape, dtype and device stay the same.

        Parameters
        ----------
        blurred
            ``[B, C, H, W]``, encoded, 0..1, of any size.
        kernels
            ``[B, K, K]``, K odd, nonnegative, sum 1: the image of a point of light at the center is the kernel.

        Raises
        ------
        InvalidValueError
            Images or kernels have another format, or there are no kernels.
        """
        if blurred.ndim != 4 or 0 in blurred.shape or not blurred.is_floating_point():
            raise InvalidValueError(
                f"{self.name} takes floating-point tensors [B, C, H, W] with values 0..1, got {blurred.dtype} of shape "
                f"{list(blurred.shape)}.",
                fix="Convert 8-bit codes with x / 255.",
            )
        if not bool(torch.isfinite(blurred).all()):
            raise InvalidValueError(f"{self.name} needs finite images, got NaN or infinite values.")
        known = check_kernels(kernels, len(blurred), self.name)
        self.check_ready()
        out = []
        for codes, kernel in zip(blurred.detach().cpu().double().numpy(), known, strict=True):
            if kernel[len(kernel) // 2, len(kernel) // 2] == 1.0:
                out.append(codes.clip(0.0, 1.0))
                continue
            picture = srgb_to_linear(codes) if self.linear_light else codes
            noise = estimate_noise(picture) if self.noise is None else self.noise
            restored = self.deconvolve(picture, kernel, noise)
            out.append(srgb_from_linear(restored) if self.linear_light else restored.clip(0.0, 1.0))
        return torch.from_numpy(np.stack(out)).to(blurred)


def check_kernels(kernels: NDArray[np.floating] | None, count: int, name: str) -> Array:
    """Kernels ``[B, K, K]`` with a sum of exactly 1; their sum may differ from 1 by up to .1 %."""
    if kernels is None:
        raise InvalidValueError(
            f"{name} needs the kernel of each image, got none.",
            why="It is not blind, but inverts a known blur.",
            fix="Get them from the draws of the pairs (deblur_models.classical.kernels), or from a file.",
        )
    array = np.asarray(kernels, np.float64)
    if array.ndim != 3 or len(array) != count or array.shape[1] != array.shape[2] or array.shape[1] % 2 == 0:
        raise InvalidValueError(
            f"{name} takes kernels [{count}, K, K] with K odd, got the shape {list(array.shape)}.",
            why="Zero shift is at the center, which an even kernel does not have.",
        )
    if not np.isfinite(array).all() or array.min() < 0:
        raise InvalidValueError(
            f"{name} takes kernels with finite, nonnegative values, got a minimum of {np.nanmin(array):.3g}"
            f"{'' if np.isfinite(array).all() else ' and nonfinite values'}."
        )
    sums = array.sum(axis=(1, 2))
    if (np.abs(sums - 1) > 1e-3).any():
        raise InvalidValueError(
            f"{name} takes kernels with a sum of 1, got {sums[np.abs(sums - 1).argmax()]:.6g}.",
            fix="Divide a kernel by its sum.",
        )
    return np.asarray(array / sums[:, None, None])


def estimate_noise(picture: Array) -> float:
    """Standard deviation of white noise in ``[C, H, W]``: the median absolute 2 x 2 diagonal difference over .6745.

    The median over channels and positions is hardly affected by edges, and a blurred image contains little else at that
    scale. Smoothed noise (demosaicked, denoised, compressed) is underestimated. 0 for images below 2 x 2 px.

    Source: D. Donoho, I. Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 1994, with the Haar
    wavelet.
    """
    if min(picture.shape[-2:]) < 2:
        return 0.0
    diagonal = (picture[:, 1:, 1:] - picture[:, 1:, :-1] - picture[:, :-1, 1:] + picture[:, :-1, :-1]) / 2
    return float(np.median(np.abs(diagonal)) / 0.6744897501960817)


def transfer_function(kernel: Array, shape: tuple[int, int]) -> NDArray[np.complex128]:
    """``[H, W // 2 + 1]``: the transform of a kernel whose center is at the origin of a periodic image."""
    size = len(kernel)
    canvas = np.zeros(shape)
    canvas[:size, :size] = kernel
    return np.asarray(fft.rfft2(np.roll(canvas, (-(size // 2), -(size // 2)), axis=(0, 1))))


def tapered(picture: Array, kernel: Array) -> tuple[Array, tuple[slice, slice]]:
    """An image ``[C, H, W]`` with a margin that makes it periodic, and the position of the image in it.

    A Fourier method treats the left edge as the neighbor of the right one, and discontinuities there cause ringing
    across the image. The edge pixels are repeated over a margin of the kernel's width (mirroring would correspond to
    the mirrored kernel; measured .4 to 2 dB worse). Towards the outside, the margin fades into a version blurred across
    the wrap, so that both ends match. The pixels of the image itself are unchanged.
    """
    reach = len(kernel) // 2
    if reach == 0:
        return picture, (slice(None), slice(None))
    height, width = picture.shape[-2:]
    low = 2 * reach
    shape = (fft.next_fast_len(height + 2 * low, real=True), fft.next_fast_len(width + 2 * low, real=True))
    margins = [(low, total - size - low) for total, size in zip(shape, (height, width), strict=True)]
    padded = np.pad(picture, [(0, 0), *margins], mode="edge")
    blurred = fft.irfft2(fft.rfft2(padded) * transfer_function(kernel, shape), s=shape)
    own = np.outer(*(_fade(size, *margin) for size, margin in zip((height, width), margins, strict=True)))
    inside = (slice(margins[0][0], margins[0][0] + height), slice(margins[1][0], margins[1][0] + width))
    return np.asarray(own * padded + (1 - own) * blurred), inside


def _fade(size: int, before: int, after: int) -> Array:
    """1 inside, with a half-cosine decay to 0 on both sides."""
    rise = [0.5 - 0.5 * math.cos(math.pi * (k + 0.5) / before) for k in range(before)]
    fall = [0.5 + 0.5 * math.cos(math.pi * (k + 0.5) / after) for k in range(after)]
    return np.array(rise + [1.0] * size + fall)
