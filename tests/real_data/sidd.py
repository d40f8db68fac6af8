"""The noise of a real phone: a noisy and a clean picture of the SIDD set, against noise that our camera makes.

Abdelhamed, Lin, Brown: A High-Quality Denoising Dataset for Smartphone Cameras, CVPR 2018. The pair is 256 x 256 px of
sRGB, 8 bits, rendered by the set's own simple pipeline from raw frames: levels (cut off at black), white balance,
demosaic, color matrix, gamma; no denoising. Which phone and which ISO is not told, nor are balance and matrix.

So a camera is fitted: its ISO (of the calibrated phone PMRID, which gives gain and read noise), electrons at white, what
the black level of each color is off by, white balance and matrix; the development is that of the pipeline. Blocks of a checkerboard are the two halves: what was
fitted to the one is held against the other. The measure is the Kullback-Leibler divergence of histograms of the
residual (bins of 8 codes) given the color and the clean intensity (six classes of equal numbers).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import blursynth as bs

BLOCK_PX = 16
CLASSES = 6
STEP_CODES = 8
LAGS = 3

Picture = NDArray[np.float64]  # [H, W, 3]
Mask = NDArray[np.bool_]  # [H, W]

CAMERA = "pmrid"
# Found by search() on one half.
FITTED = {
    "iso": 4621.5, "white_level_e": 38.164, "red_gain": 2.1274, "blue_gain": 1.689,
    "red_from_green": -0.50952, "red_from_blue": 0.076935, "green_from_red": -0.034786, "green_from_blue": 0.068071,
    "blue_from_red": -0.006635, "blue_from_green": -0.16509, "light": 1.0296,
    "red_offset_dn": -0.81861, "green_offset_dn": -0.99613, "blue_offset_dn": -0.90633,
}  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """The real pictures in codes, and the classes of the clean intensity."""

    noisy: Picture
    clean: Picture
    classes: NDArray[np.int64]  # [H, W, 3]

    @property
    def residual(self) -> Picture:
        return self.noisy - self.clean


def read(folder: Path) -> Pair:
    """The pair of the folder of real data."""
    pictures = []
    for name in ("danet_noisy", "danet_gt"):
        codes = cv2.imread(str(folder / "noise/sidd_pairs" / f"{name}.png"))
        assert codes is not None, name
        pictures.append(np.asarray(codes[..., ::-1], np.float64))
    noisy, clean = pictures
    shares = np.linspace(0, 1, CLASSES + 1)[1:-1]
    classes = np.stack([np.digitize(clean[..., c], np.quantile(clean[..., c], shares)) for c in range(3)], axis=-1)
    return Pair(noisy, clean, classes)


def halves(size_px: tuple[int, int]) -> tuple[Mask, Mask]:
    """The black and the white blocks of a checkerboard."""
    rows, columns = np.mgrid[: size_px[0], : size_px[1]] // BLOCK_PX
    black = (rows + columns) % 2 == 0
    return black, ~black


def histograms(residual: Picture, classes: NDArray[np.int64], mask: Mask) -> NDArray[np.float64]:
    """``[3 CLASSES, bins]`` counts of residuals."""
    bins = 512 // STEP_CODES + 1
    place = np.floor_divide(residual + 256 + STEP_CODES / 2, STEP_CODES).astype(np.int64)
    group = np.arange(3) * CLASSES + classes
    counts = np.bincount((group * bins + place)[mask].ravel(), minlength=3 * CLASSES * bins)
    return counts.reshape(3 * CLASSES, bins).astype(np.float64)


def divergence(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Mean over pixels of KL(one || other) in nats; half a count is added to every bin."""
    p, q = ((h + 0.5) / (h + 0.5).sum(axis=1, keepdims=True) for h in (one, other))
    weights = one.sum(axis=1)
    return float((weights * (p * np.log(p / q)).sum(axis=1)).sum() / weights.sum())


def correlations(residual: Picture, mask: Mask) -> NDArray[np.float64]:
    """``[3, 2, LAGS]`` autocorrelation of each color along rows and columns, between pixels of one half."""
    result = np.empty((3, 2, LAGS))
    inside = mask.astype(np.float64)
    for c in range(3):
        z = (residual[..., c] - residual[..., c][mask].mean()) * inside
        variance = (z**2).sum() / inside.sum()
        for axis, (a, m) in enumerate(((z, inside), (z.T, inside.T))):
            for lag in range(1, LAGS + 1):
                pairs = (m[:, lag:] * m[:, :-lag]).sum()
                result[c, axis, lag - 1] = (a[:, lag:] * a[:, :-lag]).sum() / pairs / variance
    return result


def colors(residual: Picture, mask: Mask) -> NDArray[np.float64]:
    """Correlations of red with green, red with blue, and green with blue."""
    matrix = np.corrcoef(residual[mask].T)
    return np.array([matrix[0, 1], matrix[0, 2], matrix[1, 2]])


def recipe(numbers: dict[str, float]) -> bs.Recipe:
    """The pipeline of the set: raw numbers cut off at black, Malvar's demosaic (that of MATLAB), sRGB."""
    fields = {name: value for name, value in numbers.items() if name not in ("light", "green_offset_dn")}
    for green in ("green_red_offset_dn", "green_blue_offset_dn"):
        fields[green] = numbers["green_offset_dn"]
    sensor = bs.SensorFromProfile(CAMERA, black_level_dn=0, mosaic="RGGB", **fields)
    light = bs.kinds.Exposure(
        exposure_s=0.01 * numbers["light"], metered_s=0.01
    )  # the noisy frame's exposure differs a little
    return bs.Recipe(
        [
            ("decode", bs.kinds.Decode()),
            ("exposure", light),
            ("sensor", sensor),
            ("develop", bs.kinds.Develop()),
            ("encode", bs.kinds.Encode()),
        ]
    )


def made(pair: Pair, numbers: dict[str, float], seed: int) -> Picture:
    """The residual of noise made for a camera on the clean picture."""
    frame = bs.Frame(np.moveaxis(pair.clean / 255, -1, 0)[None].astype(np.float32), bs.Encoding.DISPLAY)
    draw = recipe(numbers).sample(frame, seed=seed, index=0)
    return np.asarray(np.moveaxis(draw(frame).image[0], 0, -1), np.float64) * 255 - pair.clean


NAMES = (
    "iso", "white_level_e", "red_gain", "blue_gain",
    "red_from_green", "red_from_blue", "green_from_red", "green_from_blue", "blue_from_red", "blue_from_green", "light",
    "red_offset_dn", "green_offset_dn", "blue_offset_dn",
)  # fmt: skip
START = (5000.0, 40.0, 2.0, 1.6, 0.1, 0.2, 0.1, 0.2, 0.2, 0.2, 0.99, -1.0, -1.0, -1.0)


def search(pair: Pair, mask: Mask, *, evaluations: int = 800) -> dict[str, float]:
    """Numbers whose noise is like that of one half: histograms, correlations and colors together. Takes minutes."""
    from scipy.optimize import minimize

    target = histograms(pair.residual, pair.classes, mask)
    rows, hues = correlations(pair.residual, mask), colors(pair.residual, mask)

    def numbers(x: NDArray[np.float64]) -> dict[str, float]:
        values = [*np.exp(x[:4]), *np.clip(x[4:10], -2.9, 2.9), *x[10:]]
        values[0] = min(max(values[0], 100.0), 6400.0)
        return {name: float(f"{value:.5g}") for name, value in zip(NAMES, values, strict=True)}

    def cost(x: NDArray[np.float64]) -> float:
        try:
            residual = made(pair, numbers(x), 1)
        except bs.BlursynthError:  # a matrix without an inverse, say
            return 10.0
        off = np.concatenate([(correlations(residual, mask) - rows).ravel(), colors(residual, mask) - hues])
        return divergence(target, histograms(residual, pair.classes, mask)) + 0.3 * float((off**2).mean())

    x = np.array([*np.log(START[:4]), *START[4:]])
    for turn in range(3):
        scale = np.array([0.2] * 10 + [0.03] + [1.0] * 3)
        steps = scale * 0.6**turn * np.random.default_rng(turn).choice([-1, 1], len(scale))
        simplex = np.vstack([x, x + np.diag(steps)])
        options = {"maxfev": evaluations, "adaptive": True, "initial_simplex": simplex}
        x = minimize(cost, x, method="Nelder-Mead", options=options).x
    return numbers(x)


@dataclass(frozen=True)
class Report:
    """How the noise that is made compares with the real one on a half that was not fitted."""

    divergence: float  # of the real half from the made one
    limit: float  # of the real half from the other real half
    correlations: tuple[NDArray[np.float64], NDArray[np.float64]]  # real, made
    colors: tuple[NDArray[np.float64], NDArray[np.float64]]
    deviations: tuple[NDArray[np.float64], NDArray[np.float64]]  # standard deviations by color
    means: tuple[NDArray[np.float64], NDArray[np.float64]]

    @property
    def ratio(self) -> float:
        return self.divergence / self.limit


def report(pair: Pair, numbers: dict[str, float], fitted: Mask, other: Mask, seeds: tuple[int, ...]) -> Report:
    """Held against the other half, mean of several seeds of the noise."""
    real = pair.residual
    there = histograms(real, pair.classes, other)
    residuals = [made(pair, numbers, seed) for seed in seeds]
    return Report(
        divergence=float(np.mean([divergence(there, histograms(r, pair.classes, other)) for r in residuals])),
        limit=divergence(there, histograms(real, pair.classes, fitted)),
        correlations=(correlations(real, other), np.mean([correlations(r, other) for r in residuals], axis=0)),
        colors=(colors(real, other), np.mean([colors(r, other) for r in residuals], axis=0)),
        deviations=(real[other].std(axis=0), np.mean([r[other].std(axis=0) for r in residuals], axis=0)),
        means=(real[other].mean(axis=0), np.mean([r[other].mean(axis=0) for r in residuals], axis=0)),
    )
