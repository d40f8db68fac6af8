"""How well a blur can be undone by those who know its kernel: the judge of a kernel's orientation and position.

The protocol of the publications on deconvolution: a sharp picture is convolved with a measured kernel, the border
whose surroundings are unknown is cut off, noise of 1 % of white is added, the result is stored with 8 bits; the
restored picture is compared with the sharp one on the same pixels. Here it is carried out twice, by SciPy and NumPy
alone and by this library.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.signal import fftconvolve

import blursynth as bs
from blursynth.backends import for_array
from blursynth.backends.borders import margins_px
from blursynth.physics.point_spread import PointSpreads

SIGMA = 2.55  # codes of 255: 1 % of white
EDGE = 6  # pixels along the border of the blurred picture that are not scored

Restore = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


@dataclass(frozen=True)
class Trial:
    """A blurred picture, the sharp one on the same pixels, and the kernel that blurred it, its origin in the middle."""

    blurred: np.ndarray
    sharp: np.ndarray
    kernel: np.ndarray

    def score(self, restore: Restore, kernel: np.ndarray | None = None) -> float:
        """PSNR in dB of the restoration with the kernel of this trial, or with another one."""
        return psnr(restore(self.blurred, self.kernel if kernel is None else kernel, SIGMA), self.sharp)


def by_blursynth(sharp: np.ndarray, psf: PointSpreads, seed: int) -> Trial:
    """The protocol with our convolution and our noise."""
    backend = for_array(sharp)
    clean = backend.convolve(sharp[None, None], psf, border=bs.Border.VALID)
    origin = np.zeros((1, 2), np.int64)
    noisy = backend.gaussian_noise(clean, np.array([SIGMA / 255]), np.array([seed], np.uint64), origin_px=origin)
    top, bottom, left, right = margins_px(psf.dy, psf.dx)
    seen = sharp[top : sharp.shape[0] - bottom, left : sharp.shape[1] - right]
    return Trial(_stored(noisy[0, 0]), seen, psf.to_dense())


def by_scipy(sharp: np.ndarray, psf: PointSpreads, seed: int) -> Trial:
    """The protocol with nothing of this library but the numbers of the kernel."""
    kernel = psf.to_dense()
    clean = fftconvolve(sharp, kernel, "valid")
    noisy = clean + SIGMA / 255 * np.random.default_rng(seed).standard_normal(clean.shape)
    border = len(kernel) // 2
    return Trial(_stored(noisy), sharp[border:-border, border:-border], kernel)


def _stored(picture: np.ndarray) -> np.ndarray:
    return np.asarray(np.rint(255 * np.clip(picture, 0, 1)) / 255)


def moved(kernel: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """A kernel shifted by whole pixels."""
    return np.roll(np.pad(kernel, max(abs(dy), abs(dx))), (dy, dx), (0, 1))


def richardson_lucy(blurred: np.ndarray, kernel: np.ndarray, sigma: float) -> np.ndarray:
    """scikit-image's Richardson-Lucy, 20 steps (more would bring up the noise), over a mirrored border."""
    from skimage import restoration

    border = len(kernel)
    padded = np.pad(blurred, border, "symmetric")
    restored = restoration.richardson_lucy(padded, kernel, num_iter=20, clip=True)
    return np.asarray(restored[border:-border, border:-border])


def psnr(restored: np.ndarray, sharp: np.ndarray) -> float:
    """In dB, white = 1, without the outermost pixels. A result with the unknown border is cut to what was seen."""
    extra = (restored.shape[0] - sharp.shape[0]) // 2
    rows, columns = sharp.shape
    seen = np.clip(restored[extra : extra + rows, extra : extra + columns], 0, 1)
    inside = (slice(EDGE, -EDGE), slice(EDGE, -EDGE))
    return float(-10 * np.log10(np.mean((seen - sharp)[inside] ** 2)))
