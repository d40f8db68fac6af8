"""Motion-blur kernels per second on one core, against other people's generators.

Run with ``python benchmarks/trajectory_kernels.py``; peers that are not installed are named as missing. Everything
runs on one thread. Ours is the random walk of 2000 samples and its exact rasterization, with a new seed for every
kernel. The published algorithm in plain Python (our reference and the sample-wise splat) stands for the ports of it
that people copy around, which are on no package index. deepinv draws a Gaussian process instead and counts its
samples per pixel; of its ``n_steps`` it uses one in 2 pi, so it is timed with its default and with as many as give
2000 positions. kornia and albumentations draw straight lines only.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
from measure import best_of_each, machine, table, version

from blursynth.backends import cpu, oracle
from blursynth.physics.point_spread import PointSpreads, rasterize_samples
from blursynth.physics.trajectory import WalkParameters, gaussian_process, published_placement

PEERS = ("deepinv", "kornia", "albumentations", "torch")
SAMPLES = 2000
CANVAS_PX = 64


def parameters(batch: int) -> WalkParameters:
    """Walks drawn from the published ranges, at the anxiety of the published demo."""
    rng = np.random.default_rng(0)
    return WalkParameters(
        length_px=np.full(batch, 60.0),
        anxiety=np.full(batch, 0.005),
        centripetal=rng.uniform(0, 0.7, batch),
        big_shake=rng.uniform(0, 0.2, batch),
        gaussian=rng.uniform(0, 10, batch),
        heading_rad=rng.uniform(0, 2 * np.pi, batch),
        samples=SAMPLES,
    )


def ours(batch: int, seeds: Iterator[int]) -> Callable[[], PointSpreads]:
    walks = parameters(batch)

    def make() -> PointSpreads:
        seed = np.arange(batch, dtype=np.uint64) + np.uint64(next(seeds) * batch)
        return cpu.rasterize(cpu.random_walk(walks, seed))

    return make


def published(seeds: Iterator[int]) -> Callable[[], PointSpreads]:
    walk = parameters(1)

    def make() -> PointSpreads:
        path = oracle.random_walk(walk, next(seeds))
        return rasterize_samples(published_placement(path), canvas_px=CANVAS_PX)

    return make


def peers(seeds: Iterator[int]) -> dict[str, tuple[int, Callable[[], Any]]]:
    """Name -> kernels per call and the call."""
    found: dict[str, tuple[int, Callable[[], Any]]] = {}
    try:
        import torch

        torch.set_num_threads(1)
        from deepinv.physics.generator import MotionBlurGenerator

        matched = int(np.ceil(SAMPLES * 2 * np.pi))
        for steps, what in ((1000, "default, 159 positions"), (matched, f"{SAMPLES} positions")):
            generator = MotionBlurGenerator((CANVAS_PX, CANVAS_PX), n_steps=steps)
            for batch in (1, 64):
                found[f"deepinv MotionBlurGenerator, {what}, batch {batch}"] = (
                    batch,
                    lambda generator=generator, batch=batch: generator.step(batch_size=batch, seed=next(seeds)),
                )
    except ImportError:
        pass
    try:
        from kornia.filters import get_motion_kernel2d

        found["kornia get_motion_kernel2d, straight line, 31 px"] = (
            1,
            lambda: get_motion_kernel2d(31, float(next(seeds) % 360)),
        )
    except ImportError:
        pass
    try:
        import albumentations

        blur = albumentations.MotionBlur(blur_limit=(31, 31), p=1)
        found["albumentations MotionBlur, straight line, 31 px"] = (1, blur.get_params)
    except ImportError:
        pass
    return found


def differences() -> str:
    """How far our kernels are from the slow exact ones, and the published ones from exact."""
    walks = parameters(8)
    seed = np.arange(8, dtype=np.uint64)
    path = cpu.random_walk(walks, seed)
    fast, slow = cpu.rasterize(path), oracle.rasterize(oracle.random_walk(walks, seed))
    exact = max(np.abs(_dense(fast[b]) - _dense(slow[b])).max() for b in range(8))
    placed = published_placement(path)
    splat = rasterize_samples(placed, canvas_px=CANVAS_PX, counted_from=1)
    here = cpu.rasterize(placed - 1 - (CANVAS_PX - 1) // 2, center=False)
    sampled = max(np.abs(_dense(splat[b]) - _dense(here[b])).sum() for b in range(8))
    away = rasterize_samples(placed, canvas_px=CANVAS_PX).centroids()
    centered = np.abs(fast.centroids()).max()
    off = float(np.hypot(*away.T).mean())
    return (
        f"Largest difference of a tap from the float64 reference: {exact:.1e}. The published splat of {SAMPLES} "
        f"samples differs from the exact kernel of the same path by up to {sampled:.1e} of the light, and DeblurGAN's "
        f"placement leaves its centroid {off:.1f} px off on average (ours {centered:.0e} px)."
    )


def _dense(psf: PointSpreads) -> np.ndarray:
    return psf.to_dense(size_px=4 * CANVAS_PX + 1)


def main() -> str:
    warnings.simplefilter("ignore")
    seeds = count(1)
    calls = {f"blursynth, random walk and exact PSF, batch {b}": (b, ours(b, seeds)) for b in (1, 16, 64)}

    def process() -> PointSpreads:
        return cpu.rasterize(gaussian_process(8.0, 0.3, seed=next(seeds), samples=501))

    calls["blursynth, Gaussian process of 501 positions, batch 1"] = (1, process)
    calls |= peers(seeds)
    calls["the published algorithm in plain Python"] = (1, published(seeds))
    times = best_of_each({name: call for name, (_, call) in calls.items()}, repeat=10, seconds=0.5)
    rate = {name: batch / times[name] for name, (batch, _) in calls.items()}
    best = max(rate[name] for name in rate if "random walk" in name)
    rows = [(name, f"{value:,.0f}", f"{best / value:,.1f}") for name, value in rate.items()]
    head = ("generator", "kernels/s, one core", "ours is faster by")
    missing = [name for name in map(version, PEERS) if "missing" in name]
    footer = f"{machine()}; {', '.join(map(version, PEERS))}."
    text = "\n\n".join(["## Trajectory kernels", table(head, rows), differences(), footer])
    return text + (f" Not measured: {', '.join(missing)}." if missing else "")


if __name__ == "__main__":
    print(main())
