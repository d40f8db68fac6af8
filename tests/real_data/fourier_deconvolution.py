"""The Fourier deconvolution network, run with its published weights: a judge of our blur that others trained.

Kruse, Rother, Schmidt: Learning to Push the Limits of Efficient FFT-based Image Deconvolution, ICCV 2017. Ten stages;
each solves, by FFT,

    x <- F^-1[ (l conj(K) F y + F c(x)) / (l |K|^2 + sum_i |F_i|^2) ]

with c a small network of 3x3 convolutions, F_i linear filters and l a function of the noise, all trained. From the
second stage on, what lies beyond the blurred picture is taken from the last estimate, blurred (unknown borders).
Our own code after the description in the paper and its published implementation (BSD-2); inference only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy import fft
from scipy.signal import fftconvolve

WEIGHTS = "weights/fdn/models__sigma_1.0-3.0__stages_01-10_finetuned.hdf5"
SIGMA_RANGE = (1.0, 3.0)  # of the noise that these weights were trained for, in codes of 255


class FourierDeconvolution:
    """The ten stages with their weights; call it with a blurred picture, its kernel and its noise."""

    def __init__(self, folder: Path) -> None:
        with h5py.File(folder / WEIGHTS) as file:
            self.stages = [_stage(file[f"model_{i + 1}"], i) for i in range(1, 11)]

    def __call__(self, blurred: Any, kernel: Any, sigma: float) -> np.ndarray:
        """Restore ``blurred`` ``[h, w]`` (0..1), which may be smaller than the picture by the kernel's borders.

        ``kernel`` ``[n, n]``, n odd, its origin in the middle, sums to 1; ``sigma`` is the noise in codes of 255. The
        result is larger than the input by n - 1: it includes the unknown border.
        """
        kernel = np.asarray(kernel, np.float32)
        border = kernel.shape[0] // 2
        padded = np.pad(np.asarray(blurred, np.float32), border, "edge")
        inside = np.pad(np.ones(np.shape(blurred), bool), border)
        observed = _taper(padded, kernel)
        otf = _transfer(kernel, padded.shape)
        estimate = observed
        for number, stage in enumerate(self.stages):
            trade_off = _trade_off(stage["dense"], sigma)
            data = observed
            if number:
                data = np.where(inside, observed, fft.irfft2(fft.rfft2(estimate) * otf, padded.shape))
            above = trade_off * np.conj(otf) * fft.rfft2(data) + fft.rfft2(_network(stage["conv"], estimate))
            below = trade_off * np.abs(otf) ** 2 + _transfer(stage["filters"], padded.shape).real
            estimate = fft.irfft2(above / below, padded.shape).astype(np.float32)
        return estimate


def _stage(group: h5py.Group, number: int) -> dict[str, Any]:
    def layer(name: str) -> tuple[np.ndarray, np.ndarray]:
        values = group[f"{name}_{number}"]
        return values["kernel:0"][()], values["bias:0"][()]

    mixing = group[f"x_out_{number}"]["filter_weights:0"][()]
    spectra = fft.fft2((_cosines() @ mixing).T.reshape(-1, 5, 5), (9, 9))
    # sum |F_i|^2 is the spectrum of the summed autocorrelations, which span 9x9: one transform instead of 24.
    filters = fft.fftshift(fft.ifft2((np.abs(spectra) ** 2).sum(axis=0)).real)
    dense = [layer(f"dense{i}") for i in (1, 2, 3)] + [layer("lambda")]
    return {"dense": dense, "conv": [layer(f"conv{i}") for i in range(1, 7)], "filters": filters}


def _cosines() -> np.ndarray:
    """The 24 non-constant cosine patterns of 5x5, one per column; the network mixes them."""
    unit = np.eye(25).reshape(25, 5, 5)[1:]
    return fft.idctn(unit, axes=(1, 2), norm="ortho").transpose(0, 2, 1).reshape(24, 25).T


def _transfer(kernel: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    canvas = np.zeros(shape, np.float32)
    rows, columns = kernel.shape
    canvas[:rows, :columns] = kernel
    return fft.rfft2(np.roll(canvas, (-(rows // 2), -(columns // 2)), (0, 1)))


def _trade_off(layers: list[tuple[np.ndarray, np.ndarray]], sigma: float) -> float:
    value = np.array([1.0 / sigma**2])
    for weight, bias in layers[:-1]:
        value = _elu(value @ weight + bias)
    weight, bias = layers[-1]
    return float(np.logaddexp(0.0, value @ weight + bias)[0])


def _network(layers: list[tuple[np.ndarray, np.ndarray]], picture: np.ndarray) -> np.ndarray:
    """The six convolutions, each one pixel narrower on every side than its input: padded by six pixels first."""
    planes = np.pad(picture, len(layers), "edge")[None]
    for number, (weight, bias) in enumerate(layers):
        planes = _convolve(planes, weight, bias)
        if number < len(layers) - 1:
            planes = _elu(planes)
    return planes[0]


def _convolve(planes: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Cross-correlation of ``[c, h, w]`` with ``[3, 3, c, d]``, as trained; 64 rows at a time, to bound the memory."""
    channels, height, width = planes.shape
    matrix = weight.reshape(9 * channels, -1).T
    out = np.empty((matrix.shape[0], height - 2, width - 2), np.float32)
    rows = 64
    patches = np.empty((9, channels, rows, width - 2), np.float32)
    for top in range(0, height - 2, rows):
        some = min(rows, height - 2 - top)
        for tap in range(9):
            dy, dx = divmod(tap, 3)
            patches[tap, :, :some] = planes[:, top + dy : top + dy + some, dx : dx + width - 2]
        flat = patches[:, :, :some].reshape(9 * channels, -1)
        out[:, top : top + some] = (matrix @ flat + bias[:, None]).reshape(-1, some, width - 2)
    return out


def _elu(value: np.ndarray) -> np.ndarray:
    return np.maximum(value, 0) + np.expm1(np.minimum(value, 0))


def _taper(picture: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Blur the edge gradually into the opposite one, three times, so that the FFT sees no seam."""
    profile = []
    for axis in (0, 1):
        length = picture.shape[axis]
        spectrum = np.abs(fft.fft(kernel.sum(axis=1 - axis), length - 1)) ** 2
        correlation = np.real(fft.ifft(spectrum))
        correlation = np.append(correlation, correlation[0])
        profile.append(1.0 - correlation / correlation.max())
    inner = np.outer(*profile)
    border = kernel.shape[0] // 2
    for _ in range(3):
        blurred = fftconvolve(np.pad(picture, border, "wrap"), kernel, "valid")
        picture = inner * picture + (1.0 - inner) * blurred
    return picture.astype(np.float32)
