"""Uniform blur against other people's: time, ratio, and the largest difference of the results.

Run with ``python benchmarks/uniform_blur.py``; peers that are not installed are named as missing. Every peer gets the
layout that it likes best, made beforehand, and its kernel flipped where it correlates. BlurFFT gets its kernel
transformed beforehand too, which ours never does. Borders are reflected where a peer can (cv2, kornia, albumentations);
BlurFFT's are circular and oaconvolve's zero, which is less work; differences are taken where the border does not reach.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measure import best_of_each, cores, machine, table, version
from numpy.typing import NDArray

from blursynth.backends import cpu
from blursynth.frame import Border
from blursynth.physics.point_spread import PointSpreads

PEERS = ("opencv-python-headless", "scipy", "kornia", "deepinv", "albumentations", "torch")
# What is timed, and its result as [C, H, W].
Contender = tuple[Callable[[], object], Callable[[], NDArray[np.floating]]]


def trajectory(size: int, seed: int = 0) -> NDArray[np.float64]:
    """A crooked line that fills ``size`` px, splatted bilinearly."""
    rng = np.random.default_rng(seed)
    heading = np.cumsum(rng.normal(0, 0.03, 2000))
    path = np.cumsum(np.stack([np.sin(heading), np.cos(heading)], axis=1), axis=0)
    path -= path.min(axis=0)
    path *= (size - 1.001) / path.max()
    path += (size - 1.001 - path.max(axis=0)) / 2
    kernel = np.zeros((size, size))
    whole = path.astype(int)
    part = path - whole
    for dy, dx in itertools.product((0, 1), repeat=2):
        share = np.abs(1 - dy - part[:, 0]) * np.abs(1 - dx - part[:, 1])
        np.add.at(kernel, (whole[:, 0] + dy, whole[:, 1] + dx), share)
    return kernel / kernel.sum()


def gaussian(size: int) -> NDArray[np.float64]:
    """A Gaussian cut off at three standard deviations."""
    x = np.arange(size) - size // 2
    line = np.exp(-(x**2) / (2 * (size / 6) ** 2))
    return np.outer(line, line) / line.sum() ** 2


def disk(size: int) -> NDArray[np.float64]:
    """A disk that fills ``size`` px, its edge softened over a pixel."""
    x = np.arange(size) - size // 2
    kernel = np.clip(size / 2 - np.hypot(x[:, None], x[None, :]) + 0.5, 0, 1)
    return np.asarray(kernel / kernel.sum())


def contenders(image: NDArray[np.float32], kernel: NDArray[np.float64], threads: int) -> dict[str, Contender]:
    """Ours and every peer that is installed, for a picture ``[C, H, W]``."""
    psf = PointSpreads.from_dense([kernel])
    batch = image[None]
    result: dict[str, Contender] = {}

    def ours() -> NDArray[np.floating]:
        return cpu.convolve(batch, psf, border=Border.REFLECT, threads=threads)

    result["blursynth"] = (ours, lambda: ours()[0])

    flipped = np.ascontiguousarray(kernel[::-1, ::-1].astype(np.float32))
    interleaved = np.ascontiguousarray(np.moveaxis(image, 0, -1))
    try:
        import cv2

        cv2.setNumThreads(threads)

        def opencv() -> NDArray[np.floating]:
            return cv2.filter2D(interleaved, -1, flipped, borderType=cv2.BORDER_REFLECT_101)

        result["cv2.filter2D"] = (opencv, lambda: np.moveaxis(opencv(), -1, 0))
    except (ImportError, RuntimeError):
        pass
    try:
        from albumentations.augmentations.blur.functional import convolve as albumentations_convolve

        def albumentations() -> NDArray[np.floating]:
            return np.asarray(albumentations_convolve(interleaved, flipped))

        result["albumentations convolve"] = (albumentations, lambda: np.moveaxis(albumentations(), -1, 0))
    except (ImportError, RuntimeError):
        pass
    try:
        from scipy.signal import oaconvolve

        single = kernel.astype(np.float32)[None]

        def overlap_add() -> NDArray[np.floating]:
            return np.asarray(oaconvolve(image, single, mode="same", axes=(1, 2)))

        result["scipy oaconvolve"] = (overlap_add, overlap_add)
    except (ImportError, RuntimeError):
        pass
    try:
        import torch
        from kornia.filters import filter2d

        torch.set_num_threads(threads)
        tensor, tensor_kernel = torch.from_numpy(batch), torch.from_numpy(flipped)[None]

        def kornia() -> torch.Tensor:
            return filter2d(tensor, tensor_kernel, border_type="reflect")

        # Above some size it takes seconds a call, and there is nothing to learn from waiting.
        if kernel.shape[0] <= 31 or image.size < 10**6:
            result["kornia filter2d"] = (kornia, lambda: kornia()[0].numpy())
    except (ImportError, RuntimeError):
        pass
    try:
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from deepinv.physics import BlurFFT
        torch.set_num_threads(threads)
        if kernel.shape[0] <= image.shape[1]:
            physics = BlurFFT(img_size=image.shape, filter=torch.from_numpy(kernel.astype(np.float32))[None, None])
            tensor = torch.from_numpy(batch)

            def fourier() -> torch.Tensor:
                with torch.no_grad():
                    return physics.A(tensor)

            result["deepinv BlurFFT"] = (fourier, lambda: fourier()[0].numpy())
    except (ImportError, RuntimeError):
        pass
    return result


def compare(
    title: str,
    shape: tuple[int, int],
    kernels: dict[str, NDArray[np.float64]],
    threads: int,
    seconds: float,
) -> str:
    """One table: a row per kernel and contender."""
    image = np.random.default_rng(0).random((3, *shape), dtype=np.float32)
    rows: list[list[object]] = []
    for name, kernel in kernels.items():
        both = contenders(image, kernel, threads)
        times = best_of_each({key: timed for key, (timed, _) in both.items()}, 5, seconds)
        reach = kernel.shape[0] // 2 + 1
        inner = (slice(None), slice(reach, shape[0] - reach), slice(reach, shape[1] - reach))
        mine = both["blursynth"][1]()[inner]
        label = f"{name}, {np.count_nonzero(kernel)} taps"
        for peer, (_, result) in both.items():
            ratio = times[peer] / times["blursynth"]
            theirs = result()[inner]
            difference = "" if peer == "blursynth" or mine.size == 0 else f"{np.abs(theirs - mine).max():.1e}"
            rows.append([label, peer, f"{1e3 * times[peer]:.2f}", f"{ratio:.2f}x", difference])
            label = ""
    return f"### {title}\n\n" + table(["kernel", "by", "ms", "of ours", "largest difference"], rows)


def main(out: Path | None = None, *, seconds: float = 0.5) -> str:
    """The report in Markdown; also written to the file ``out``, if given."""
    threads = cores()
    dense = {f"{kind.__name__} {size} px": kind(size) for kind in (gaussian, disk) for size in (15, 31, 63, 127)}
    thin = {f"trajectory {size} px": trajectory(size) for size in (15, 31, 63, 127)}
    small = {"trajectory 15 px": trajectory(15), "trajectory 31 px": trajectory(31), "disk 15 px": disk(15)}
    parts = [
        "## Uniform blur",
        f"{machine()}. numba {version('numba').split()[-1]}; {', '.join(version(peer) for peer in PEERS)}.\n"
        "float32, three channels, pictures of uniform noise in 0..1; the shortest of many calls, taken in turn. "
        "`of ours`: how many times as long as blursynth. BlurFFT: kernel transformed beforehand, circular border.",
        compare(f"1280 x 720, trajectories, {threads} threads", (720, 1280), thin, threads, seconds),
        compare(f"1280 x 720, dense kernels, {threads} threads", (720, 1280), dense, threads, seconds),
        compare("256 x 256, 1 thread", (256, 256), small, 1, seconds / 2),
    ]
    report = "\n\n".join(parts) + "\n"
    if out is not None:
        out.write_text(report)
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="file for the report")
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each contender and kernel")
    arguments = parser.parse_args()
    print(main(arguments.out, seconds=arguments.seconds))
