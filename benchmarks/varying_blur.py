"""Blur that varies across the picture: time against one uniform blur of the same path, error against brute force,
slopes, and deepinv's eigen-PSFs.

Run with ``python benchmarks/varying_blur.py``; peers that are not installed are named as missing. Brute force is the
sum over every pixel's own point spread. It is taken on pictures of 256 x 256, and the errors are those of the same
field there. Errors are in codes of 8 bit after sRGB, and in standard deviations of the noise of a sensor indoors (1870
electrons at white, 3 of read noise).

deepinv gets the eigenvectors of the exact point spreads of 4096 pixels, and the exact coefficients of every pixel, both
made beforehand: the best that any ten filters can do. Ours makes what it needs from its field on every call; the field
itself (rasterized paths) is made beforehand.
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from measure import best_of_each, cores, machine, table, version
from numpy.typing import NDArray

from blursynth.backends import cpu
from blursynth.frame import Border
from blursynth.physics.point_spread import PointSpreads, disk
from blursynth.physics.point_spread_field import PointSpreadField

PEERS = ("deepinv", "torch")
EIGEN = 10
# Root mean square error of the place of any light that is blended from two nodes, at most; see `evenly`.
TOLERANCE_PX = 0.1
# Where the areas of the pixels of small disks bend as functions of the radius in px, and how much denser nodes lie up
# to there; below .5 px a disk is a single pixel.
BENDS_PX = ((0.5, 0.0), (0.75, 8.0), (1.5, 2.0), (2.5, 2.0), (3.5, 2.0), (math.inf, 1.0))
Varying = tuple[PointSpreadField, NDArray[np.float32] | None]


def path_px(length_px: float, seed: int = 0) -> NDArray[np.float64]:
    """``[N, 2]`` a crooked line that fills a square of ``length_px``, around zero; that of ``uniform_blur``, with fewer
    corners."""
    rng = np.random.default_rng(seed)
    heading = np.cumsum(rng.normal(0, 0.03, 2000))
    path = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0)[::8]
    path *= (length_px - 1.0) / np.ptp(path, axis=0).max()
    return np.asarray(path - path.mean(axis=0))


def inverse_depth(height: int, width: int) -> NDArray[np.float64]:
    """``[H, W]`` .2 to 1: a slanted ground, far away above the horizon, with rounded objects that stand on it."""
    y, x = np.mgrid[0:height, 0:width]
    scale = 0.2 + 0.6 * np.clip((y / height - 0.25) / 0.75, 0, 1) + 0.02 * x / width
    rng = np.random.default_rng(1)
    for _ in range(7):
        middle = rng.uniform(0.2, 0.9) * height, rng.uniform(0, 1) * width
        size = rng.uniform(0.08, 0.3) * height, rng.uniform(0.03, 0.15) * width
        inside = 1 - ((y - middle[0]) / size[0]) ** 2 - ((x - middle[1]) / size[1]) ** 2
        scale = np.where(inside > 0, rng.uniform(0.3, 0.95) + 0.05 * np.sqrt(np.maximum(inside, 0)), scale)
    return np.clip(scale, 0.2, 1)


def leaves(height: int, width: int, channels: int = 3) -> NDArray[np.float32]:
    """``[1, C, H, W]`` linear light: random discs that hide each other, sizes of a power law, integrated over pixels,
    behind a lens with a blur of half a pixel."""
    rng = np.random.default_rng(2)
    fine = 3
    image = np.full((channels, height * fine, width * fine), 0.5, np.float32)
    for _ in range(height * width // 60):
        radius = fine / math.sqrt(rng.uniform(60.0**-2, 1.5**-2))
        row, column = rng.uniform(0, height * fine), rng.uniform(0, width * fine)
        top, left = max(0, int(row - radius)), max(0, int(column - radius))
        window = image[:, top : int(row + radius) + 2, left : int(column + radius) + 2]
        y, x = np.mgrid[top : top + window.shape[1], left : left + window.shape[2]]
        window[:, (y - row) ** 2 + (x - column) ** 2 < radius**2] = rng.uniform(0, 1, (channels, 1))
    light = np.asarray(cpu.srgb_decode(image[None])).reshape(1, channels, height, fine, width, fine).mean(axis=(3, 5))
    line = np.array([0.107, 0.786, 0.107])
    lens = PointSpreads.from_dense([np.outer(line, line) / line.sum() ** 2])
    return np.asarray(cpu.convolve(light, lens, border=Border.REFLECT), np.float32)


def evenly(low: float, high: float, step: float) -> NDArray[np.float64]:
    """Nodes in equal steps of at most ``step``. Light that moves by d from node to node is off by d / 2 at most."""
    return np.linspace(low, high, max(1, math.ceil((high - low) / step - 1e-9)) + 1)


def level_of(quantity: NDArray[np.float64], nodes: NDArray[np.float64]) -> NDArray[np.float32]:
    """``[1, H, W]`` where values lie on the scale of the nodes."""
    return np.interp(quantity, nodes, np.arange(nodes.size)).astype(np.float32)[None]


def parallax(height: int, width: int, length_px: float, tolerance_px: float = TOLERANCE_PX) -> Varying:
    """One path, seen in proportion to inverse depth."""
    path, scale = path_px(length_px), inverse_depth(height, width)
    nodes = evenly(0.2, 1.0, 2 * tolerance_px / float(np.hypot(*path.T).max()))
    psf = cpu.rasterize(path * nodes[:, None, None], center=False)
    return PointSpreadField(psf, levels=nodes.size), level_of(scale, nodes)


def defocus(height: int, width: int, radius_px: float, tolerance_px: float = TOLERANCE_PX) -> Varying:
    """Disks of up to ``radius_px``, linear in inverse depth, in focus far away."""
    radius = (inverse_depth(height, width) - 0.2) / 0.8 * radius_px
    nodes = np.zeros(1)
    for bend, denser in BENDS_PX:
        if (end := min(bend, radius_px)) > nodes[-1]:
            step = 2 * tolerance_px / denser if denser else math.inf
            nodes = np.concatenate([nodes, evenly(nodes[-1], end, step)[1:]])
    psf = PointSpreads.concatenate([disk(float(r)) for r in nodes])
    return PointSpreadField(psf, levels=nodes.size), level_of(radius, nodes)


def roll_paths(y: NDArray[np.float64], x: NDArray[np.float64], angle_rad: float) -> NDArray[np.float64]:
    """``[y x, 9, 2]`` arcs of pixels at these places around the center of a roll by +- ``angle_rad``."""
    angles = np.linspace(-angle_rad, angle_rad, 9)
    dy, dx = (place.reshape(-1, 1) for place in np.meshgrid(y, x, indexing="ij"))
    return np.stack(
        [dx * np.cos(angles) - dy * np.sin(angles) - dx, dx * np.sin(angles) + dy * np.cos(angles) - dy], axis=2
    )


def roll(height: int, width: int, length_px: float, tolerance_px: float = TOLERANCE_PX) -> Varying:
    """A roll around the middle with arcs of ``length_px`` in the corners, on a grid."""
    middle = (height - 1) / 2, (width - 1) / 2
    angle = 0.5 * length_px / math.hypot(*middle)
    # Both axes blend, and their errors add in squares. A node lies on the center, where the picture is sharp.
    step = math.sqrt(2) * tolerance_px / (2 * math.sin(angle / 2))
    y, x = (m + step * np.arange(-(n := math.ceil(m / step - 1e-9)), n + 1) for m in middle)
    psf = cpu.rasterize(roll_paths(y - middle[0], x - middle[1], angle), center=False)
    first = np.array([[y[0], x[0]]])
    return PointSpreadField(psf, rows=y.size, columns=x.size, first_px=first, step_px=(step, step)), None


def every_pixel(kind: str, size: int, length_px: float) -> PointSpreads:
    """Each pixel's own point spread, of a picture of ``size`` by ``size``."""
    if kind == "roll":
        place = np.arange(size) - (size - 1) / 2
        return cpu.rasterize(roll_paths(place, place, 0.5 * length_px / math.hypot(place[0], place[0])), center=False)
    scale = inverse_depth(size, size).ravel()
    if kind == "parallax":
        return cpu.rasterize(path_px(length_px) * scale[:, None, None], center=False)
    # Disks to a hundredth of the tolerance: every pixel its own would take minutes.
    radius = np.round((scale - 0.2) / 0.8 * length_px, 3)
    different, which = np.unique(radius, return_inverse=True)
    made = [disk(float(r)) for r in different]
    return PointSpreads.concatenate([made[i] for i in which])


def brute_force(image: NDArray[np.floating], psf: PointSpreads) -> NDArray[np.float64]:
    """The sum over every pixel's own taps, float64, reflected border."""
    _, channels, height, width = image.shape
    margin = int(psf.reach_px().max())
    padded = np.pad(image[0].astype(np.float64), ((0, 0), (margin, margin), (margin, margin)), mode="reflect")
    result = np.empty((channels, height * width))
    for first in range(0, height * width, 8192):  # a part of the pixels at a time, for memory
        last = min(first + 8192, height * width)
        taps = slice(psf.start[first], psf.start[last])
        pixel = np.repeat(np.arange(last - first), np.diff(psf.start[first : last + 1]))
        row = (pixel + first) // width + margin - psf.dy[taps]
        column = (pixel + first) % width + margin - psf.dx[taps]
        for c in range(channels):
            result[c, first:last] = np.bincount(pixel, psf.weight[taps] * padded[c, row, column], last - first)
    return result.reshape(image.shape)


def errors(result: NDArray[np.floating], exact: NDArray[np.float64]) -> list[str]:
    """Largest error and that of 99.9 % of the pixels in codes, and the latter in standard deviations of the noise."""
    codes = 255 * np.abs(cpu.srgb_encode(result.astype(np.float64)) - cpu.srgb_encode(exact))
    noise = np.sqrt(np.maximum(exact, 0) / 1870 + (3 / 1870) ** 2)
    sigmas = np.quantile(np.abs(result - exact) / noise, 0.999)
    return [f"{codes.max():.2f}", f"{np.quantile(codes, 0.999):.2f}", f"{sigmas:.2f}"]


def blur(image: NDArray[np.float32], varying: Varying, threads: int) -> NDArray[np.floating]:
    return cpu.convolve_varying(image, *varying, border=Border.REFLECT, threads=threads)


KINDS: dict[str, tuple[str, Callable[..., Varying], float]] = {
    "depth parallax, path of 31 px, scales .2 to 1": ("parallax", parallax, 31.0),
    "roll, arcs of 31 px in the corners": ("roll", roll, 31.0),
    "defocus, disks of 0 to 15 px": ("defocus", defocus, 15.0),
}


def uniform(kind: str, size: float) -> PointSpreads:
    """The largest point spread of a field, for the picture as a whole."""
    return disk(size) if kind == "defocus" else cpu.rasterize(path_px(size)[None], center=False)


def against_uniform(threads: int, seconds: float) -> str:
    height, width = 720, 1280
    image = np.random.default_rng(0).random((1, 3, height, width), np.float32)
    small = leaves(256, 256)
    rows: list[list[object]] = []
    for name, (kind, make, size) in KINDS.items():
        exact = brute_force(small, every_pixel(kind, 256, size))
        fields = {tolerance: make(height, width, size, tolerance) for tolerance in (TOLERANCE_PX, 0.25)}
        calls: dict[str, Callable[[], object]] = {
            str(tolerance): partial(blur, image, field, threads) for tolerance, field in fields.items()
        }
        psf = uniform(kind, size)
        calls["uniform"] = partial(cpu.convolve, image, psf, border=Border.REFLECT, threads=threads)
        times = best_of_each(calls, 5, seconds)
        rows.append(
            [name, f"one uniform blur, {psf.dy.size} taps", f"{1e3 * times['uniform']:.2f}", "1.00x", "", "", ""]
        )
        for tolerance, (field, _) in fields.items():
            taken = times[str(tolerance)]
            error = errors(blur(small, make(256, 256, size, tolerance), threads), exact)
            nodes = f"{field.nodes} levels" if field.levels > 1 else f"{field.rows} x {field.columns} nodes"
            label = f"tolerance {tolerance} px, {nodes}"
            rows.append(["", label, f"{1e3 * taken:.2f}", f"{taken / times['uniform']:.2f}x", *error])
    header = ["field", "by", "ms", "of uniform", "codes, largest", "codes, 99.9 %", "sigma, 99.9 %"]
    return f"### 1280 x 720, {threads} threads; errors against brute force\n\n" + table(header, rows)


def slopes(threads: int, seconds: float) -> str:
    """Time against the length of the path, the radius, the levels and the size of the picture, with exponents."""
    image = np.random.default_rng(0).random((1, 3, 720, 1280), np.float32)
    sweeps: dict[str, tuple[list[float], Callable[[float], tuple[NDArray[np.float32], Varying]]]] = {
        "parallax, length of the path in px": ([15, 31, 63, 127], lambda v: (image, parallax(720, 1280, v))),
        "roll, length of the arcs in px": ([8, 15, 31, 63], lambda v: (image, roll(720, 1280, v))),
        "defocus, radius in px": ([7.5, 15, 30, 60], lambda v: (image, defocus(720, 1280, v))),
        "parallax of 31 px, levels": (
            [10, 20, 40, 80, 160],
            lambda v: (image, parallax(720, 1280, 31, 8.03 / (v - 1))),
        ),
        "parallax of 31 px, side of the picture in px": (
            [128, 256, 512, 1024],
            lambda v: (noise(int(v)), parallax(int(v), int(v), 31)),
        ),
    }
    rows: list[list[object]] = []
    for name, (values, make) in sweeps.items():
        calls: dict[str, Callable[[], object]] = {}
        for value in values:
            calls[f"{value:g}"] = partial(blur, *make(value), threads)
        times = best_of_each(calls, 3, seconds / 2)
        exponent = np.polyfit(np.log(values), np.log(list(times.values())), 1)[0]
        cells = ", ".join(f"{value}: {1e3 * taken:.2f}" for value, taken in times.items())
        rows.append([name, cells, f"{exponent:.2f}"])
    return f"### Slopes, 1280 x 720, {threads} threads\n\n" + table(["against", "ms", "exponent"], rows)


def noise(size: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((1, 3, size, size), np.float32)


def against_eigen(threads: int, seconds: float) -> str:
    """256 x 256 against deepinv's SpaceVaryingBlur."""
    size = 256
    image = leaves(size, size)
    rows: list[list[object]] = []
    for name, (kind, make, length) in KINDS.items():
        psf = every_pixel(kind, size, length)
        exact = brute_force(image, psf)
        field = make(size, size, length)
        calls: dict[str, Callable[[], object]] = {"blursynth": partial(blur, image, field, threads)}
        results: dict[str, NDArray[np.floating]] = {"blursynth": blur(image, field, threads)}
        try:
            for by, call in eigen_blurs(image, psf, threads).items():
                calls[by] = call
                results[by] = call()
        except ImportError:
            rows.append([name, "deepinv is not installed", "", "", "", "", ""])
        times = best_of_each(calls, 3, seconds)
        for by, result in results.items():
            ratio = times[by] / times["blursynth"]
            rows.append([name, by, f"{1e3 * times[by]:.2f}", f"{ratio:.1f}x", *errors(result, exact)])
            name = ""
    header = ["field", "by", "ms", "of ours", "codes, largest", "codes, 99.9 %", "sigma, 99.9 %"]
    return f"### 256 x 256, {threads} threads; errors against brute force\n\n" + table(header, rows)


def eigen_blurs(
    image: NDArray[np.float32], psf: PointSpreads, threads: int
) -> dict[str, Callable[[], NDArray[np.floating]]]:
    """deepinv's blur with the best ten filters, by its two methods."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from deepinv.physics import SpaceVaryingBlur
    torch.set_num_threads(threads)
    height, width = image.shape[2:]
    reach = int(psf.reach_px().max())
    side = 2 * reach + 1
    flat = (psf.dy.astype(np.int64) + reach) * side + psf.dx + reach
    pixel = np.repeat(np.arange(height * width), np.diff(psf.start))
    sampled = np.zeros((4096, side * side), np.float32)
    chosen = np.random.default_rng(3).permutation(height * width)[:4096]
    for i, p in enumerate(chosen):
        taps = slice(psf.start[p], psf.start[p + 1])
        sampled[i, flat[taps]] = psf.weight[taps]
    _, vectors = np.linalg.eigh((sampled.T @ sampled).astype(np.float64))
    filters = vectors[:, : -EIGEN - 1 : -1].T  # [EIGEN, side^2]
    weights = np.stack([np.bincount(pixel, psf.weight * f[flat], height * width) for f in filters])
    light = torch.from_numpy(image)
    blurs: dict[str, Callable[[], NDArray[np.floating]]] = {}
    for use_fft in (False, True):
        physics = SpaceVaryingBlur(
            filters=torch.from_numpy(filters.reshape(1, 1, EIGEN, side, side).astype(np.float32)),
            multipliers=torch.from_numpy(weights.reshape(1, 1, EIGEN, height, width).astype(np.float32)),
            padding="reflect",
            use_fft=use_fft,
            mask_first=False,
        )

        def call(physics: SpaceVaryingBlur = physics) -> NDArray[np.floating]:
            with torch.no_grad():
                return np.asarray(physics.A(light))

        blurs[f"deepinv SpaceVaryingBlur, {EIGEN} eigen-PSFs{', FFT' if use_fft else ''}"] = call
    return blurs


def main(out: Path | None = None, *, seconds: float = 0.5) -> str:
    """The report in Markdown; also written to the file ``out``, if given."""
    threads = cores()
    parts = [
        "## Varying blur",
        f"{machine()}. numba {version('numba').split()[-1]}; {', '.join(version(peer) for peer in PEERS)}.\n"
        "float32, three channels; the shortest of many calls, taken in turn. Depth: a slanted ground with seven "
        "objects. Errors on 256 x 256 px of random discs of any color, against the sum over every pixel's own point "
        "spread: codes after sRGB, and standard deviations of the noise of a sensor (1870 electrons at white). "
        "Eigen-PSFs: the best ten for the very field, with exact coefficients, made beforehand.",
        against_uniform(threads, seconds),
        slopes(threads, seconds),
        against_eigen(threads, seconds),
    ]
    report = "\n\n".join(parts) + "\n"
    if out is not None:
        out.write_text(report)
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="file for the report")
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each contender and field")
    arguments = parser.parse_args()
    print(main(arguments.out, seconds=arguments.seconds))
