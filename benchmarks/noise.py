"""Noise and light: nanoseconds per value against numpy, scikit-image and torch, and the whole sensor beside the blur.

Run with ``python benchmarks/noise.py``; peers that are not installed are named as missing. One thread, float32 pictures
of 3x256x256, unless a table says otherwise. Peers draw from one stream and cannot reproduce a tile; their results are
other random numbers, so what is compared is the mean and the variance of the noise, in standard errors (below 5 is
right).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measure import best_of_each, cores, machine, table, version
from numpy.typing import NDArray
from uniform_blur import trajectory

from blursynth.backends import cpu
from blursynth.frame import Border
from blursynth.physics import color
from blursynth.physics.development import DevelopParameters, camera_from_srgb
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.radiometry import SensorParameters

PEERS = ("numpy", "scikit-image", "torch", "scipy", "deepinv", "albumentations")
SHAPE = (1, 3, 256, 256)
VALUES = int(np.prod(SHAPE))
SEED = np.array([2024], np.uint64)
ORIGIN = np.zeros((1, 2), np.int64)
Contender = Callable[[], NDArray[np.floating]]


def poisson_contenders(mean: NDArray[np.float32]) -> dict[str, Contender]:
    """Ours and every peer that is installed, for pictures of means."""
    rng = np.random.default_rng(1)
    result: dict[str, Contender] = {
        "blursynth": lambda: cpu.poisson(mean, SEED, origin_px=ORIGIN),
        "numpy Generator.poisson": lambda: rng.poisson(mean),
    }
    try:
        from skimage.util import random_noise

        # Its scale is the number of gray levels in the picture: it makes the same kind of noise, not the same amount.
        picture = mean[0] / max(float(mean.max()), 1.0)
        result["skimage random_noise"] = lambda: random_noise(picture, mode="poisson", rng=rng)
    except ImportError:
        pass
    try:
        import torch

        torch.set_num_threads(1)
        tensor = torch.from_numpy(mean)
        result["torch.poisson"] = lambda: torch.poisson(tensor).numpy()
    except ImportError:
        pass
    return result


def normal_contenders(image: NDArray[np.float32]) -> dict[str, Contender]:
    """Ours and every peer that is installed: a picture plus normal noise."""
    rng = np.random.default_rng(2)
    sigma = np.array([0.05])
    result: dict[str, Contender] = {
        "blursynth": lambda: cpu.gaussian_noise(image, sigma, SEED, origin_px=ORIGIN),
        "numpy standard_normal float32": lambda: (
            image + np.float32(0.05) * rng.standard_normal(image.shape, dtype=np.float32)
        ),
    }
    try:
        from skimage.util import random_noise

        result["skimage random_noise"] = lambda: random_noise(
            image[0], mode="gaussian", var=0.0025, clip=False, rng=rng
        )
    except ImportError:
        pass
    try:
        import torch

        tensor = torch.from_numpy(image)
        result["torch.randn"] = lambda: (tensor + 0.05 * torch.randn(tensor.shape)).numpy()
    except ImportError:
        pass
    return result


def errors(noisy: NDArray[np.floating], mean: NDArray[np.floating], variance: NDArray[np.floating]) -> str:
    """How many standard errors the mean and the variance of the standardised noise lie off."""
    if noisy.shape != mean.shape:
        return "-"
    standard = (noisy.astype(np.float64) - mean) / np.sqrt(variance)
    spread = np.sqrt((2 + (1 / variance).mean()) / standard.size) if variance.size > 1 else np.sqrt(2 / standard.size)
    return f"{standard.mean() * np.sqrt(standard.size):+.1f}, {(standard.var() - 1) / spread:+.1f}"


def noise_rows(seconds: float) -> list[list[str]]:
    """One row per picture and contender."""
    rows, columns = np.mgrid[:256, :256] / 256.0
    scene = np.stack([rows * columns, 0.3 + 0.5 * columns, rows**2])[None]
    rng = np.random.default_rng(0)
    pictures = {
        "Poisson, means 0..20000, every pixel another": rng.uniform(0, 20000, SHAPE),
        "Poisson, smooth picture, white 3000 e-": 3000 * scene,
        "Poisson, smooth picture, white 250 e-": 250 * scene,
        "Poisson, means 0..10": rng.uniform(0, 10, SHAPE),
    }
    result = []
    for name, values in pictures.items():
        mean = values.astype(np.float32)
        contenders = poisson_contenders(mean)
        times = best_of_each(contenders, seconds=seconds)
        wide = mean.astype(np.float64)
        bright = wide > 1  # at smaller means a single count is far off in units of its standard deviation
        for contender, run in contenders.items():
            found = run()
            same = found.shape == mean.shape
            check = errors(found[bright], wide[bright], wide[bright]) if same else "other amount"
            result.append(row(name, contender, times, check))
    image = scene.astype(np.float32)
    contenders = normal_contenders(image)
    times = best_of_each(contenders, seconds=seconds)
    for contender, run in contenders.items():
        check = errors(run().reshape(SHAPE), image.astype(np.float64), np.array(0.0025))
        result.append(row("image + normal noise", contender, times, check))
    return result


def row(name: str, contender: str, times: dict[str, float], check: str) -> list[str]:
    """Nanoseconds per value, milliseconds per picture, and the ratio to ours."""
    own, seconds = times["blursynth"], times[contender]
    ratio = "" if contender == "blursynth" else f"{seconds / own:.1f}"
    return [name, contender, f"{seconds / VALUES * 1e9:.2f}", f"{seconds * 1e3:.2f}", ratio, check]


def light_rows(seconds: float) -> list[list[str]]:
    """sRGB both ways against numpy, with the largest difference, and the sensor against the parts in numpy."""
    image = np.random.default_rng(3).uniform(0, 1, SHAPE).astype(np.float32)
    codes = (np.rint(image * 255) / 255).astype(np.float32)

    def numpy_decode() -> NDArray[np.float32]:
        return np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4).astype(np.float32)

    def numpy_encode() -> NDArray[np.float32]:
        encoded = np.where(image <= 0.0031308, 12.92 * image, 1.055 * image ** (1 / 2.4) - 0.055)
        return (np.rint(255 * encoded) / 255).astype(np.float32)

    rng = np.random.default_rng(4)
    white, full, read, gain, black = (np.float32(x) for x in (3000, 2800, 3, 1.3, 64))

    def numpy_sensor() -> NDArray[np.float32]:
        count = np.minimum(rng.poisson(image * white).astype(np.float32), full)
        volt = count + read * rng.standard_normal(SHAPE, dtype=np.float32)
        volt += np.float32(0.5) * rng.standard_normal((*SHAPE[:3], 1), dtype=np.float32)
        return np.clip(np.rint(gain * volt + black), 0, 4095)

    parameters = SensorParameters(
        white_level_e=3000.0,
        full_well_e=2800.0,
        read_noise_e=3.0,
        row_noise_e=0.5,
        gain_dn_per_e=1.3,
        black_level_dn=64.0,
        bit_depth=12,
    )
    raw, levels = cpu.sensor(image, parameters, SEED, origin_px=ORIGIN), DevelopParameters(64.0, 3964.0)
    groups: dict[str, tuple[dict[str, Contender], str]] = {
        "sRGB to linear": (
            {"blursynth": lambda: cpu.srgb_decode(codes), "numpy float32": numpy_decode},
            f"{np.abs(numpy_decode() - color.srgb_to_linear(codes)).max():.0e} (ours exact on codes)",
        ),
        "linear to sRGB, 8 bit": (
            {"blursynth": lambda: cpu.srgb_encode(image, levels=[255]), "numpy float32": numpy_encode},
            f"{np.count_nonzero(numpy_encode() != cpu.srgb_encode(image, levels=[255]))} codes differ (ours exact)",
        ),
        "sensor: shot, full well, read, row, gain, black, 12 bit": (
            {"blursynth": lambda: cpu.sensor(image, parameters, SEED, origin_px=ORIGIN), "numpy": numpy_sensor},
            "",
        ),
        "develop": (
            {
                "blursynth": lambda: cpu.develop(raw, levels, origin_px=ORIGIN),
                "numpy": lambda: np.minimum((raw - np.float32(64)) / np.float32(3900), np.float32(1)),
            },
            "",
        ),
    }
    result = []
    for name, (contenders, check) in groups.items():
        times = best_of_each(contenders, seconds=seconds)
        for contender in contenders:
            result.append(row(name, contender, times, "" if contender == "blursynth" else check))
    return result


FRAME = (720, 1280)
_CAMERA = camera_from_srgb([2.0, 1.0, 1.6], [[1.6, -0.5, -0.1], [-0.2, 1.6, -0.4], [0.0, -0.5, 1.5]])

SENSORS: dict[str, dict[str, object]] = {
    "Bayer, no noise": {"shot_noise": False, "read_noise_e": 0.0},
    "Bayer, read noise": {"shot_noise": False},
    "Bayer, shot noise": {"read_noise_e": 0.0},
    "Bayer, shot and read noise": {},
    "Bayer, shot and Tukey-lambda read noise": {"read_noise_shape": -0.1},
    "Bayer, shot and read noise, PRNU": {"prnu": 0.006},
    "Bayer, shot, Tukey-lambda, PRNU, DSNU, dark, rows, columns": {
        "read_noise_shape": -0.1,
        "prnu": 0.006,
        "dsnu_e": 0.5,
        "dark_e": 2.0,
        "row_noise_e": 0.3,
        "column_noise_e": 0.2,
    },
    "three channels, shot and read noise": {"mosaic": 0, "from_light": np.eye(3)},
}


def frame_of_light() -> NDArray[np.float32]:
    """``[1, 3, 720, 1280]`` a smooth picture with dark corners."""
    rows, columns = np.mgrid[: FRAME[0], : FRAME[1]] / np.array(FRAME, np.float64)[:, None, None]
    return np.stack([rows * columns, 0.1 + 0.7 * columns, 0.9 * rows**2])[None].astype(np.float32)


def bayer(white_level_e: float, **fields: object) -> SensorParameters:
    """A phone's sensor: two electrons of read noise, twelve bits."""
    given: dict[str, object] = {
        "white_level_e": white_level_e,
        "full_well_e": white_level_e,
        "read_noise_e": 2.0,
        "gain_dn_per_e": 4031.0 / white_level_e,
        "black_level_dn": 64.0,
        "bit_depth": 12,
        "mosaic": 1,
        "from_light": _CAMERA,
    }
    return SensorParameters(**{**given, **fields})  # type: ignore[arg-type]


def sensor_peers(mean: NDArray[np.float32], white_level_e: float, threads: int) -> dict[str, Contender]:
    """Shot noise, read noise, gain and rounding by others, of a mosaicked picture of electrons ``[720, 1280]``."""
    rng = np.random.default_rng(1)
    gain = np.float32(4031.0 / white_level_e)
    result: dict[str, Contender] = {}
    if threads == 1:

        def by_numpy() -> NDArray[np.float32]:
            volt = rng.poisson(mean).astype(np.float32)
            volt += np.float32(2) * rng.standard_normal(mean.shape, dtype=np.float32)
            return np.clip(np.rint(volt * gain + np.float32(64)), 0, 4095)

        result["numpy Generator.poisson + standard_normal"] = by_numpy
        try:
            import albumentations

            noise = albumentations.Compose(
                [
                    albumentations.ShotNoise(scale_range=(0.01, 0.01), p=1),
                    albumentations.GaussNoise(std_range=(0.002, 0.002), p=1),
                ]
            )
            picture = (mean / white_level_e)[..., None]
            result["albumentations ShotNoise + GaussNoise (another amount)"] = lambda: noise(image=picture)["image"]
        except ImportError:
            pass
    try:
        import torch

        tensor = torch.from_numpy(mean)

        def by_torch() -> NDArray[np.float32]:
            torch.set_num_threads(threads)
            volt = torch.poisson(tensor) + 2 * torch.randn(tensor.shape)
            return torch.clamp(torch.round(volt * float(gain) + 64), 0, 4095).numpy()

        result["torch.poisson + randn"] = by_torch
        import deepinv

        model = deepinv.physics.PoissonGaussianNoise(gain=1.0 / white_level_e, sigma=2.0 / white_level_e)
        light = tensor[None, None] / white_level_e

        def by_deepinv() -> NDArray[np.float32]:
            torch.set_num_threads(threads)
            return model(light).numpy()

        result["deepinv PoissonGaussianNoise"] = by_deepinv
    except ImportError:
        pass
    return result


def frame_rows(seconds: float) -> list[list[str]]:
    """The sensor of a frame of 1280x720 with one thread and with all, beside the blur of its three channels."""
    image = frame_of_light()
    blur = PointSpreads.from_dense([trajectory(31)])
    counts = (1, cores()) if cores() > 1 else (1,)
    times: dict[str, dict[int, float]] = {}
    for threads in counts:
        functions: dict[str, Callable[[], object]] = {
            "blursynth: blur, trajectory of 31 px, three channels": lambda n=threads: cpu.convolve(
                image, blur, border=Border.REFLECT, threads=n
            )
        }
        for white in (3000.0, 250.0):
            for name, fields in SENSORS.items():
                if white == 3000.0 or name in ("Bayer, shot and read noise", "Bayer, shot and read noise, PRNU"):
                    parameters = bayer(white, **fields)
                    functions[f"blursynth: sensor, white {white:.0f} e-: {name}"] = lambda p=parameters, n=threads: (
                        cpu.sensor(image, p, SEED, origin_px=ORIGIN, threads=n)
                    )
        quiet = bayer(3000.0, shot_noise=False, read_noise_e=0.0, rounding=False)
        dn = cpu.sensor(image, quiet, SEED, origin_px=ORIGIN)[0, 0]
        mean = np.maximum((dn - np.float32(64)) * np.float32(3000 / 4031), 0)
        functions |= sensor_peers(mean, 3000.0, threads)
        for name, best in best_of_each(functions, seconds=seconds).items():
            times.setdefault(name, {})[threads] = best
    first = next(iter(times.values()))
    return [
        [
            name,
            *(f"{best[n] * 1e3:.2f}" if n in best else "" for n in counts),
            *(f"{best[n] / first[n]:.2f}" if n in best else "" for n in counts),
            f"{best[1] * 1e9 / np.prod(FRAME):.2f}",
        ]
        for name, best in times.items()
    ]


LIMITS = """What bounds it, per pixel of a mosaic: 12 bytes of light are read and 4 written. A Philox block is 20
multiplications of 32 by 32 bits and as many shifts, of which a 64-byte vector does 8: five of either for each pixel,
about .8 ns; PRNU or DSNU need a second block. A normal number is 45 float operations with a root and a quotient, about
.5 ns; a count of mean 7 and more a normal number and 55 more with a root and a quotient, about 1.1 ns, and about 2 in
10,000 pixels are settled by the distribution function in float64 at .1 to .6 us each; below 7, 24 terms of the
distribution are summed, 1.6 ns. Peers are given the mosaicked picture of electrons beforehand."""


def main(out: Path | None = None, *, seconds: float = 0.5) -> str:
    """The report in Markdown; also written to the file ``out``, if given."""
    noise_header = ("noise", "by", "ns / value", "ms / 3x256x256", "of ours", "mean, variance off by (s.e.)")
    light_header = ("step", "by", "ns / value", "ms / 3x256x256", "of ours", "difference")
    several = (1, cores()) if cores() > 1 else (1,)
    frame_header = (
        "step",
        *(f"ms, {n} thread{'s' if n > 1 else ''}" for n in several),
        *(f"of the blur, {n}" for n in several),
        "ns / pixel, 1 thread",
    )
    parts = [
        "## Noise and light",
        f"{machine()}; one thread. {', '.join(version(name) for name in ('numba', *PEERS))}.\n"
        "float32, pictures 3x256x256; the shortest of many calls, taken in turn. `of ours`: how many times as long as "
        "blursynth. Ours is keyed per pixel: a tile equals the whole, and the bytes do not depend on threads, batch or "
        "vector width. Its counts are the exact inverse of the distribution function.",
        table(noise_header, noise_rows(seconds)),
        table(light_header, light_rows(seconds)),
        "### The sensor beside the blur, 1280 x 720",
        f"float32; with 1 and with {cores()} threads. `of the blur`: with equal threads.\n\n"
        + " ".join(LIMITS.split()),
        table(frame_header, frame_rows(seconds)),
    ]
    report = "\n\n".join(parts) + "\n"
    if out is not None:
        out.write_text(report)
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="file for the report")
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each contender")
    arguments = parser.parse_args()
    print(main(arguments.out, seconds=arguments.seconds))
