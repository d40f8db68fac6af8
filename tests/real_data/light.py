"""Measured response curves, HDR panoramas and a linear photograph: what light is.

For the tests and for benchmarks/scene_light.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

import blursynth as bs
from blursynth.physics.response import MIDTONE_LIGHT, Sigmoid

Array = NDArray[np.float64]

# --- the 201 measured curves of the DoRF data base -------------------------------------------------------------------


def curves(folder: Path) -> tuple[Array, Array]:
    """Light ``[1024]`` and the value of each curve ``[201, 1024]``.

    The file's two arrays have each other's names: the one called brightness is the regular grid on which all curves
    were resampled and lies below the other, so it is the light (responses of film and cameras are concave).
    """
    with np.load(folder / "noise" / "dorf_crf.npz") as file:
        light, value = file["brightness"].astype(np.float64), file["irradiance"].astype(np.float64)
    assert (light == light[0]).all()
    return light[0] / light[0, -1], value / value[:, -1:]


def _logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


Curve = Callable[[Array], Sigmoid]


def sigmoid(numbers: Array) -> Sigmoid:
    """Of the logarithm of the exponent, the logit of the midtone, and the contrast."""
    return Sigmoid.from_midtone(float(np.exp(numbers[0])), float(1 / (1 + np.exp(-numbers[1]))), float(numbers[2]))


FAMILIES: dict[str, tuple[Curve, int]] = {
    "gamma": (lambda p: Sigmoid(float(np.exp(p[0]))), 1),
    "gamma and contrast": (lambda p: Sigmoid(float(np.exp(p[0])), contrast=float(p[2])), 2),
    "sigmoid": (lambda p: sigmoid(np.array([p[0], p[1], 0.0])), 2),
    "sigmoid and contrast": (sigmoid, 3),
}
"""Families of curves, and how many free numbers they have."""

_LOW = np.array([np.log(0.1), _logit(0.001), -1.0])
_HIGH = np.array([np.log(4.0), _logit(0.999), 1.0])


def fit(light: Array, value: Array, family: str = "sigmoid and contrast") -> tuple[Array, float]:
    """The numbers (log exponent, logit midtone, contrast) with the least RMS error over the light, and that error."""
    curve = FAMILIES[family][0]
    midtone = _logit(float(np.clip(np.interp(MIDTONE_LIGHT, light, value), 0.02, 0.98)))
    found = min(
        (
            least_squares(lambda p: curve(p).value(light) - value, [start, midtone, 0.0], bounds=(_LOW, _HIGH))
            for start in (-0.7, 0.4)
        ),
        key=lambda result: float(result.cost),
    )
    return found.x, float(np.sqrt(2 * found.cost / light.size))


# --- what the saturation of a source costs, with the true light as the judge ----------------------------------------

PANORAMAS = ("city", "night", "studio", "workshop")
METHODS: dict[str, bs.Degradation] = {
    "clipped": bs.kinds.Identity(),
    "offset .25": bs.kinds.HighlightOffset(offset=0.25),
    "offset 1": bs.kinds.HighlightOffset(offset=1.0),
    "offset 1.75": bs.kinds.HighlightOffset(offset=1.75),
    "expansion to 2": bs.kinds.HighlightExpansion(peak=2.0),
    "to 3": bs.kinds.HighlightExpansion(peak=3.0),
    "to 10": bs.kinds.HighlightExpansion(peak=10.0),
    "to 3 from .5": bs.kinds.HighlightExpansion(peak=3.0, threshold=0.5),
    "to 3 by largest": bs.kinds.HighlightExpansion(peak=3.0, measure="largest"),
    "to 3 by channel": bs.kinds.HighlightExpansion(peak=3.0, measure="channel"),
}


@dataclass(frozen=True)
class Saturation:
    """PSNR in dB of blurred pictures against the blurred true light; both after clipping and 8 bits.

    ``clipped`` is the share of pixels that the source has at white, ``peak`` the brightest light, 1 = white. The PSNR
    is over the pixels that light from a clipped one reaches.
    """

    clipped: float
    peak: float
    psnr_db: dict[str, float]


def saturation(folder: Path, name: str, *, clipped: float = 0.02, seed: int = 5) -> Saturation:
    """A panorama exposed such that a share of its pixels is beyond white, saved with 8 bits, and blurred.

    The two thirds around the horizon are taken; towards the poles of a panorama there is no detail.
    """
    frame = bs.read_frame(folder / "hdr" / "polyhaven_cc0_1k" / f"{name}.hdr")
    height, width = frame.size_px
    frame = frame.crop(height // 6, 0, height * 2 // 3, width)
    white = float(np.quantile(frame.image.max(axis=1), 1 - clipped))
    truth = bs.kinds.Exposure(exposure_s=1.0, metered_s=white)(frame)
    source = bs.kinds.Encode()(truth)
    blur = bs.kinds.RandomWalkMotion(length_px=30.0, anxiety=0.005, seed=seed)
    expected = bs.kinds.Encode()(blur(truth)).image
    at_white = (source.image == 1).any(axis=1, keepdims=True)
    reached = blur(truth.with_image(np.repeat(at_white, 3, axis=1).astype(np.float32))).image > 1e-4
    found = {}
    for method, extend in METHODS.items():
        made = bs.kinds.Encode()(blur(extend(bs.kinds.Decode()(source)))).image
        found[method] = float(-10 * np.log10(np.square(made - expected)[reached].mean()))
    return Saturation(float(at_white.mean()), float(truth.image.max()), found)


# --- a photograph whose light is known ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Decoding:
    """How the decoded picture and the linear one of the same scene go together.

    ``correlation`` of the two, and the ``residual``: the RMS difference of the decoded light from the true one times a
    gain plus an offset, both fitted, in shares of white.
    """

    correlation: float
    residual: float


def decoding(folder: Path, decode: bs.Degradation) -> Decoding:
    """Luminance of the 8-bit flower by a decode step, against the 16-bit linear gray one, at a quarter of the size.

    The gray file keeps the sensor's black offset and another exposure; the color one has seen the tone curve of its
    raw converter, which is unknown.
    """
    place = folder / "photos" / "imagecompression_info"
    codes = bs.read_frame(place / "flower_foveon.png", dtype=np.float64)
    gray = bs.read_frame(place / "flower_foveon_gray16_linear.png", encoding="linear", dtype=np.float64)
    window = (0, 0, 1512, 2264)
    light = bs.downscale(decode(codes.crop(*window)), 4).image[0]
    true = bs.downscale(gray.crop(*window), 4).image[0, 0]
    ours = np.tensordot([0.2126, 0.7152, 0.0722], light, 1)
    gain, offset = np.polyfit(true.ravel(), ours.ravel(), 1)
    residual = float(np.sqrt(np.square(gain * true + offset - ours).mean()))
    return Decoding(float(np.corrcoef(ours.ravel(), true.ravel())[0, 1]), residual)
