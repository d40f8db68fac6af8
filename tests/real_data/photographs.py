"""Real camera shakes: our blur of a sharp photograph against the photograph that really was blurred.

Levin, Weiss, Durand, Freeman: Understanding and evaluating blind deconvolution algorithms, CVPR 2009. Eight shakes were
photographed, each over several sharp pictures; the kernels of the file are the shakes as measured. Two facts of the
set, found here:

- The kernels are stored for correlation. A point of light becomes the kernel turned by 180 degrees.
- Sharp and blurred photographs are registered to a few pixels only. The shift is not whole (a whole one leaves up to
  3.3 times the error), differs between photographs of one shake, and comes with a roll of 0.2 to 1 mrad.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.linalg import solve
from scipy.ndimage import shift, spline_filter

import blursynth as bs
from blursynth.backends import for_array
from blursynth.physics import point_spread
from blursynth.physics.point_spread import PointSpreads

SHAKES = range(1, 9)
PICTURES = (1, 2)  # the sharp pictures of which the real photographs are at hand
MARGIN = 24  # more than the longest kernel (13 px) and the largest shift (6 px) reach
LEFT = (slice(MARGIN, 255 - MARGIN), slice(MARGIN, 127))
RIGHT = (slice(MARGIN, 255 - MARGIN), slice(128, 255 - MARGIN))


SIZES_PX = (19, 17, 15, 27, 13, 21, 23, 23)  # of the kernels in the file


def kernels(folder: Path) -> list[PointSpreads]:
    """The eight measured kernels, turned so that convolution with them repeats the shake, with their centroid at 0."""
    stored = bs.read_arrays(folder / "blur/kernels_kair/Levin09.mat")
    assert tuple(len(kernel) for kernel in stored) == SIZES_PX
    return [point_spread.measured(kernel[::-1, ::-1]) for kernel in stored]


def gray(path: Path) -> np.ndarray:
    """A picture ``[h, w]``, 0..1; color is averaged."""
    codes = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert codes is not None, path
    return np.asarray(codes.reshape(*codes.shape[:2], -1).mean(axis=2) / 255.0)


def sharp(folder: Path, picture: int) -> np.ndarray:
    return gray(folder / f"blur/levin09/gt/im{picture}.png")


def photograph(folder: Path, picture: int, shake: int) -> np.ndarray:
    return gray(folder / f"blur/levin09/im{picture}_kernel{shake}_img.png")


def convolved(picture: np.ndarray, psf: PointSpreads) -> np.ndarray:
    """Our blur of a picture ``[h, w]``; its border is of no account here."""
    return np.asarray(for_array(picture).convolve(picture[None, None], psf, border=bs.Border.REFLECT)[0, 0])


@dataclass(frozen=True)
class Registration:
    """Shift in px, gain and offset that take a blurred picture to the photograph, fitted on the left half."""

    shift_px: np.ndarray  # (rows, columns)
    gain: float
    offset: float
    left: float  # RMS of the left half, in codes
    right: float  # RMS of the right half, in codes


def register(blurred: np.ndarray, real: np.ndarray) -> Registration:
    """Fit the shift (any fraction of a pixel), the gain and the offset on the left half; score both halves."""
    spline = spline_filter(blurred, 5)

    def moved(dy: float, dx: float) -> np.ndarray:
        return np.asarray(shift(spline, (dy, dx), order=5, mode="nearest", prefilter=False))

    def fit(*columns: np.ndarray) -> np.ndarray:
        design = np.stack([c[LEFT].ravel() for c in columns] + [np.ones(real[LEFT].size)], axis=1)
        return np.asarray(np.linalg.solve(design.T @ design, design.T @ real[LEFT].ravel()))

    def error(picture: np.ndarray) -> tuple[np.ndarray, float, float]:
        gain, offset = fit(picture)
        return 255.0 * (gain * picture + offset - real), float(gain), float(offset)

    whole = [(dy, dx) for dy in range(-6, 7) for dx in range(-6, 7)]
    at = np.array(min(whole, key=lambda by: _rms(error(np.roll(blurred, by, (0, 1)))[0][LEFT])), float)
    step = np.ones(2)
    while np.abs(step).max() > 1e-4:  # Gauss and Newton: a small shift adds a multiple of the slope
        (dy, dx), d = at, 0.01
        slopes = [(moved(dy + d, dx) - moved(dy - d, dx)) / (2 * d), (moved(dy, dx + d) - moved(dy, dx - d)) / (2 * d)]
        gain, *rest = fit(moved(dy, dx), *slopes)
        step = np.array(rest[:2]) / gain
        at = at + step
    residual, gain, offset = error(moved(*at))
    return Registration(at, gain, offset, _rms(residual[LEFT]), _rms(residual[RIGHT]))


@dataclass(frozen=True)
class Match:
    """How well kernels explain a photograph: RMS of the right half, in codes of 255, fitted on the left half."""

    ours: Registration  # our blur with the measured kernel: only shift, gain and offset are fitted
    own: float  # the least-squares kernel of this photograph, of the same size: up to 729 numbers are fitted
    kernel: PointSpreads  # that kernel, relative to ours

    @property
    def ratio(self) -> float:
        return self.ours.right / self.own


def match(picture: np.ndarray, real: np.ndarray, psf: PointSpreads, size_px: int) -> Match:
    """Our blur, and the least-squares kernel of ``size_px`` squared (the file's size), both after our shift.

    Fitting only the taps that the measured kernel occupies raises the ratios by 0.00 to 0.03, since fewer numbers
    follow the noise.
    """
    ours = register(convolved(picture, psf), real)
    aligned = shift(picture, ours.shift_px, order=5, mode="nearest")
    top, start = (_first(offsets, size_px) for offsets in (psf.dy, psf.dx))
    box = [(dy, dx) for dy in range(top, top + size_px) for dx in range(start, start + size_px)]
    reach = max(max(abs(dy), abs(dx)) for dy, dx in box)
    windows = sliding_window_view(np.pad(aligned, reach, "edge"), (2 * reach + 1, 2 * reach + 1))
    taps = np.array([(reach - dy) * (2 * reach + 1) + reach - dx for dy, dx in box])

    def design(half: Any) -> np.ndarray:
        seen = windows[half].reshape(-1, (2 * reach + 1) ** 2)[:, taps]
        return np.concatenate([seen, np.ones((len(seen), 1))], axis=1)  # the last one is the offset

    left = design(LEFT)
    normal = left.T @ left
    # Just enough to make the system regular: a ten thousand times larger one changes no ratio by .001.
    normal += 1e-9 * np.trace(normal) / len(normal) * np.eye(len(normal))
    weights = solve(normal, left.T @ real[LEFT].ravel(), assume_a="pos")
    own = _rms(255.0 * (design(RIGHT) @ weights - real[RIGHT].ravel()))
    dense = np.zeros((2 * reach + 1, 2 * reach + 1))
    for (dy, dx), weight in zip(box, weights, strict=False):
        dense[reach + dy, reach + dx] = weight
    return Match(ours, own, PointSpreads.from_dense([dense]))


def _first(offsets: np.ndarray, size_px: int) -> int:
    """The first of ``size_px`` offsets that hold all of the given ones and lie about zero as evenly as they can."""
    return int(min(max(-(size_px // 2), offsets.max() - size_px + 1), offsets.min()))


def _rms(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(error**2)))
