"""The noise and the fine detail of pictures, for the tests of this folder and for benchmarks/recipe_noise.py.

Noise is what differs between shots of one scene: the blurred picture of a draw is shot several times with other seeds of
the sensor, developed and compressed each time, and their mean is taken off, as it was done with the real cameras. What
belongs to the sensor alone (PRNU) is in all of them, and no part of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import blursynth as bs

Codes = NDArray[np.float64]  # [..., H, W, 3], red, green, blue, 0..255

LEVELS = ((10, 40), (40, 80), (80, 120), (120, 170), (170, 235))
FEWEST_PX = 500  # of a level, for a standard deviation
SHOTS = 8
SIZE_PX = 256
LUMA = np.array([0.299, 0.587, 0.114])
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


@dataclass(frozen=True)
class Noise:
    """Numbers of the noise of one picture; of luma and Cb as JPEG has them."""

    levels: tuple[float, ...]  # standard deviation of luma in codes by the mean luma; NaN where there is no such level
    shadows: float  # the first of these over the second
    luma_lag_1: float  # autocorrelation, mean of rows and columns
    luma_lag_2: float
    cb_lag_1: float
    cb_lag_4: float
    red_green: float  # correlation
    green_blue: float
    red_blue: float
    chroma: float  # standard deviation of Cb over that of luma


# Nam, Hwang, Matsushita and Kim, "A Holistic Approach to Cross-Channel Image Noise Modeling", CVPR 2016: JPEGs of a
# Canon 5D Mark III and a Nikon D600 and D800 at ISO 1600 to 6400, and means of 500 of them; the 15 crops of 512 x 512 px
# that Xu et al. published with "Multi-channel Weighted Nuclear Norm Minimization", ICCV 2017. Medians, by --pairs.
REAL = Noise((2.8, 4.2, 4.7, 3.2, 3.2), 0.68, 0.60, 0.11, 0.86, 0.34, 0.43, 0.39, 0.44, 0.65)


def noise_of(shots: Codes, mean: Codes) -> Noise:
    """Of shots ``[K, H, W, 3]`` of one scene and what it is without noise."""
    residual = shots - mean
    residual = residual - residual.mean(axis=(0, 1, 2))
    luma = residual @ LUMA
    cb = 0.564 * (residual[..., 2] - luma)
    bright = mean @ LUMA
    levels = []
    for low, high in LEVELS:
        there = (bright >= low) & (bright < high)
        levels.append(float(luma[:, there].std()) if there.sum() >= FEWEST_PX else float("nan"))
    colors = np.corrcoef(residual.reshape(-1, 3).T)
    return Noise(
        tuple(levels),
        levels[0] / levels[1],
        correlation(luma, 1),
        correlation(luma, 2),
        correlation(cb, 1),
        correlation(cb, 4),
        float(colors[0, 1]),
        float(colors[1, 2]),
        float(colors[0, 2]),
        float(cb.std() / luma.std()),
    )


def correlation(noise: Codes, lag: int) -> float:
    """Autocorrelation of ``[K, H, W]``, mean of rows and columns."""
    across = (noise[:, :, lag:] * noise[:, :, :-lag]).mean()
    down = (noise[:, lag:] * noise[:, :-lag]).mean()
    return float((across + down) / 2 / (noise**2).mean())


def median(noises: Sequence[Noise]) -> Noise:
    """Of each number over several pictures."""
    flat = np.array([[*noise.levels, *astuple(noise)[1:]] for noise in noises])
    usual = [
        float(np.median(column[np.isfinite(column)])) if np.isfinite(column).any() else float("nan")
        for column in flat.T
    ]
    return Noise(tuple(usual[: len(LEVELS)]), *usual[len(LEVELS) :])


def scenes(count: int) -> Iterable[bs.Frame]:
    """Windows of the bundled photographs, each at another place."""
    import skimage.data

    rng = np.random.default_rng(0)
    for index in range(count):
        picture = getattr(skimage.data, PHOTOGRAPHS[index % len(PHOTOGRAPHS)])()
        top, left = (int(rng.integers(0, size - SIZE_PX + 1)) for size in picture.shape[:2])
        window = picture[top : top + SIZE_PX, left : left + SIZE_PX]
        yield bs.Frame((np.moveaxis(window, -1, 0)[None] / 255).astype(np.float32), bs.Encoding.DISPLAY)


def shots_of(draw: bs.Draw, frame: bs.Frame, count: int) -> Codes:
    """``[count, H, W, 3]`` codes of one blurred scene, each with other noise."""
    at = next(i for i, (_, step) in enumerate(draw.steps) if step.kind == "sensor")
    light = bs.Draw(draw.steps[:at])(frame)
    found = []
    for seed in range(count):
        steps = [(name, step.replace(seed=seed) if name in noisy(draw) else step) for name, step in draw.steps[at:]]
        found.append(np.moveaxis(np.asarray(bs.Draw(tuple(steps))(light).image[0], np.float64), 0, -1) * 255)
    return np.stack(found)


def noisy(draw: bs.Draw) -> set[str]:
    """The steps that add noise."""
    return {name for name, step in draw.steps if step.kind in ("sensor", "gaussian_noise", "poisson_noise")}


def has_sensor(recipe: bs.Recipe) -> bool:
    return any(kind.kind == "sensor" for _, sampler in recipe.steps for kind in sampler.kinds())


def noise_of_recipe(name: str, draws: int, *, count: int = SHOTS) -> Noise:
    """The median over draws, each of another scene."""
    recipe, found = bs.load_recipe(name), []
    for index, frame in enumerate(scenes(draws)):
        shots = shots_of(recipe.sample(frame, seed=1, index=index), frame, count)
        mean = shots.mean(axis=0)
        # The mean of the shots has a part of their noise, which is missing in what is left.
        found.append(noise_of(mean + np.sqrt(count / (count - 1)) * (shots - mean), mean))
    return median(found)


def read(path: Path) -> Codes:
    codes = cv2.imread(str(path))
    assert codes is not None, path
    return np.asarray(codes[..., ::-1], np.float64)


def noise_of_pairs(folder: Path) -> Noise:
    """The median over pairs NAME_real.png and NAME_mean.png."""
    pairs = [(path, path.with_name(path.name.replace("_real", "_mean"))) for path in sorted(folder.glob("*_real.png"))]
    return median([noise_of(read(real)[None], read(mean)) for real, mean in pairs])


def detail_db(picture: Codes, *, window: bool = False) -> float:
    """Luma's power at .25 to .5 cycles per px as a share of all but the mean's, in dB: the mean over tiles of 256 px.

    Without a window the jump from one border of a tile to the other adds about -25 dB; a Hann window takes it away.
    """
    luma = picture @ LUMA
    size = min(SIZE_PX, *luma.shape)
    frequency = np.fft.fftfreq(size)
    radius = np.hypot(frequency[:, None], frequency)
    fine = (radius >= 0.25) & (radius <= 0.5)
    weight = np.outer(np.hanning(size), np.hanning(size)) if window else np.ones((size, size))
    shares = []
    for top in range(0, luma.shape[0] - size + 1, size):
        for left in range(0, luma.shape[1] - size + 1, size):
            tile = luma[top : top + size, left : left + size]
            power = np.abs(np.fft.fft2(weight * (tile - (weight * tile).sum() / weight.sum()))) ** 2
            shares.append(power[fine].sum() / power.sum())
    return float(np.mean(10 * np.log10(shares)))


def picture_of(frame: bs.Frame) -> Codes:
    """``[H, W, 3]`` codes of one frame."""
    return np.moveaxis(np.asarray(frame.image[0], np.float64), 0, -1) * 255
