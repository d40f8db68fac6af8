"""Camera shake as a mean of warps: against one uniform blur, against other people's warps, and against more poses.

Run with ``python benchmarks/warp.py``; peers that are not installed are left out. Peers warp the picture once per pose
and add up; cv2 gets channels last, which it likes best. cv2 rounds places to 1/32 px, which is its difference; kornia's
border is replicated, so differences are taken where no border reaches.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measure import best_of_each, cores, machine, table, version
from numpy.typing import NDArray
from uniform_blur import Contender, trajectory

import blursynth as bs
from blursynth.backends import cpu
from blursynth.frame import Border
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.poses import rotation_matrix
from blursynth.physics.warps import Warps, homography, intrinsic_matrix

PEERS = ("opencv-python-headless", "kornia", "torch")


def shutter(matrix: NDArray[np.float64], shift: NDArray[np.float64] | None = None) -> Warps:
    """One exposure of equal weights."""
    times = len(matrix)
    shift = np.zeros((times, 3)) if shift is None else shift
    return Warps(matrix[None], shift[None], np.zeros((1, 1), np.int64), np.full((1, 1, times), 1.0 / times))


def moments(length_px: float, poses: int) -> NDArray[np.float64]:
    """Middles of equal parts of a path centered at 0."""
    return np.asarray(((np.arange(poses) + 0.5) / poses - 0.5) * length_px)


def roll(size: tuple[int, int], length_px: float, poses: int) -> Warps:
    """A roll about the middle with which the corners draw arcs of ``length_px``."""
    intrinsics = intrinsic_matrix(bs.Intrinsics(4.2, 4.2), size)
    angle = moments(length_px, poses) / math.hypot((size[0] - 1) / 2, (size[1] - 1) / 2)
    matrix = homography(intrinsics, rotation_matrix(np.stack([0 * angle, 0 * angle, angle], axis=1)))
    matrix[:, 2] = (0, 0, 1)
    return shutter(matrix)


def turn(size: tuple[int, int], length_px: float, poses: int) -> Warps:
    """Pitch, yaw and roll together; the corners move by at most ``length_px``."""
    intrinsics = intrinsic_matrix(bs.Intrinsics(4.2, 4.2), size)
    part = moments(length_px, poses) / 1000.0
    return shutter(homography(intrinsics, rotation_matrix(np.stack([0.4 * part, 0.6 * part, 0.5 * part], axis=1))))


def parallax(size: tuple[int, int], length_px: float, poses: int) -> Warps:
    """A step aside that moves what is 1 m away by ``length_px``."""
    part = moments(length_px, poses)
    shift = np.stack([0.9 * part, math.sqrt(1 - 0.81) * part, 0 * part], axis=1)
    return shutter(np.tile(np.eye(3), (poses, 1, 1)), shift)


def depths(size: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    """Inverse depth in 1/m: a slanted ground, and a chessboard of jumps before it."""
    y, x = np.mgrid[: size[0], : size[1]]
    ground = (0.5 + 0.5 * y / size[0]).astype(np.float32)
    return {
        "smooth depth": ground[None],
        "depth with edges": np.where((x // 160 + y // 120) % 2, ground, 0.3)[None].astype(np.float32),
    }


def peers(
    image: NDArray[np.float32], warps: Warps, threads: int
) -> dict[str, tuple[Callable[[], object], Callable[[], NDArray[np.floating]]]]:
    """Other people's way: warp once per pose, and add up."""
    result: dict[str, Contender] = {}
    matrices, weights = warps.matrix[0], warps.weight[0, 0].tolist()
    height, width = image.shape[2:]
    try:
        import cv2

        cv2.setNumThreads(threads)
        interleaved = np.ascontiguousarray(np.moveaxis(image[0], 0, -1))

        def opencv() -> NDArray[np.floating]:
            total = np.zeros_like(interleaved)
            for matrix, weight in zip(matrices, weights, strict=True):
                warped = cv2.warpPerspective(
                    interleaved, matrix, (width, height),
                    flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT_101,
                )  # fmt: skip
                cv2.scaleAdd(warped, weight, total, total)
            return total

        result["cv2.warpPerspective"] = (opencv, lambda: np.moveaxis(opencv(), -1, 0)[None])
    except (ImportError, RuntimeError):
        pass
    try:
        import torch
        from kornia.geometry.transform import warp_perspective

        torch.set_num_threads(threads)
        tensor = torch.from_numpy(image)
        forward = torch.from_numpy(np.linalg.inv(matrices).astype(np.float32))

        def kornia() -> torch.Tensor:
            total = torch.zeros_like(tensor)
            for matrix, weight in zip(forward, weights, strict=True):
                warped = warp_perspective(tensor, matrix[None], (height, width), padding_mode="border")
                total.add_(warped, alpha=weight)
            return total

        result["kornia warp_perspective"] = (kornia, lambda: kornia().numpy())
    except (ImportError, RuntimeError):
        pass
    return result


def against_uniform(threads: int, seconds: float) -> str:
    """Every form of motion against one uniform blur of the same path length."""
    size, length = (720, 1280), 31.0
    image = np.random.default_rng(0).random((1, 3, *size), dtype=np.float32)
    psf = PointSpreads.from_dense([trajectory(31)])
    maps = depths(size)
    poses = 40  # so many keep GoPro frames within one code of 512 poses
    jobs: dict[str, Callable[[], object]] = {
        "one uniform blur": lambda: cpu.convolve(image, psf, border=Border.REFLECT, threads=threads)
    }
    for name, warps, depth in (
        ("roll", roll(size, length, poses), None),
        ("pitch, yaw and roll", turn(size, length, poses), None),
        ("step aside, smooth depth", parallax(size, length, poses), maps["smooth depth"]),
        ("step aside, depth with edges", parallax(size, length, poses), maps["depth with edges"]),
    ):
        jobs[name] = lambda w=warps, q=depth: cpu.warp_mean(image, w, q, border=Border.REFLECT, threads=threads)
        jobs[f"{name}, adjoint"] = lambda w=warps, q=depth: cpu.warp_mean_adjoint(
            image, w, q, border=Border.REFLECT, threads=threads
        )
    times = best_of_each(jobs, 5, seconds)
    base = times["one uniform blur"]
    rows = [[name, f"{1e3 * taken:.1f}", f"{taken / base:.1f}x"] for name, taken in times.items()]
    return f"### 1280 x 720, a path of 31 px, {poses} poses, {threads} threads\n\n" + table(
        ["motion", "ms", "of one uniform blur"], rows
    )


def against_peers(threads: int, seconds: float) -> str:
    """The same warps by others."""
    rows = []
    for size in ((256, 256), (720, 1280)):
        image = np.random.default_rng(0).random((1, 3, *size), dtype=np.float32)
        for name, warps in (("roll", roll(size, 31.0, 32)), ("pitch, yaw and roll", turn(size, 31.0, 32))):
            mine = cpu.warp_mean(image, warps, border=Border.REFLECT, threads=threads)
            others = peers(image, warps, threads)
            jobs = {"blursynth": lambda i=image, w=warps: cpu.warp_mean(i, w, border=Border.REFLECT, threads=threads)}
            times = best_of_each({**jobs, **{peer: timed for peer, (timed, _) in others.items()}}, 3, seconds)
            label = f"{name}, {size[1]} x {size[0]}"
            for peer, taken in times.items():
                difference = ""
                if peer in others:
                    inner = (..., slice(20, -20), slice(20, -20))
                    difference = f"{np.abs(others[peer][1]()[inner] - mine[inner]).max():.1e}"
                rows.append([label, peer, f"{1e3 * taken:.1f}", f"{taken / times['blursynth']:.1f}x", difference])
                label = ""
    return f"### Against one warp per pose, 32 poses, {threads} threads\n\n" + table(
        ["motion", "by", "ms", "of ours", "largest difference"], rows
    )


def slopes(threads: int, seconds: float) -> str:
    """Time against the length of the path and the size of the picture."""
    rows = []
    for size in ((256, 256), (512, 512), (720, 1280), (1080, 1920)):
        image = np.random.default_rng(0).random((1, 3, *size), dtype=np.float32)
        jobs: dict[str, Callable[[], object]] = {}
        for length in (7, 15, 31, 63, 127):
            motion = roll(size, length, length + 1)
            jobs[str(length)] = lambda i=image, w=motion: cpu.warp_mean(i, w, border=Border.REFLECT, threads=threads)
        times = best_of_each(jobs, 3, seconds / 2)
        rows.append([f"{size[1]} x {size[0]}", *(f"{1e3 * taken:.2f}" for taken in times.values())])
    return f"### ms of a roll against path length and picture size, a pose per pixel, {threads} threads\n\n" + table(
        ["size", *(f"{length} px" for length in (7, 15, 31, 63, 127))], rows
    )


def photograph() -> bs.Frame:
    """A photograph in linear light; a pattern where scikit-image's are not installed."""
    try:
        from skimage import data

        codes = np.moveaxis(np.asarray(data.astronaut(), np.float64) / 255, -1, 0)[None]
    except ImportError:
        y, x = np.mgrid[:512, :512]
        codes = np.tile(0.5 + 0.5 * np.sign(np.sin(x / 9) + np.sin(y / 7 + x / 30)), (1, 3, 1, 1))
    return bs.kinds.Decode()(bs.Frame(codes, "display", camera=bs.Intrinsics(4.2, 4.2)))


def convergence(seconds: float) -> str:
    """Error after sRGB against sixteen times as many poses as the default."""
    frame = photograph()
    rows = []
    for name, shake in (
        ("roll", bs.kinds.CameraShake(exposure_s=0.1, roll_mrad=60.0, drift_hz=1.5, seed=2)),
        ("pitch and yaw", bs.kinds.CameraShake(exposure_s=0.1, pitch_mrad=8.0, yaw_mrad=8.0, drift_hz=1.5, seed=1)),
    ):
        codes = lambda step: np.rint(255 * bs.kinds.Encode()(step(frame)).image)  # noqa: E731
        exact = codes(shake.replace(step_px=0.03125))
        label = name
        for step_px in (4.0, 2.0, 1.0, 0.5, 0.25):
            step = shake.replace(step_px=step_px)
            error = np.abs(codes(step) - exact)
            taken = best_of_each({"": lambda s=step: s(frame)}, 3, seconds / 5)[""]
            poses = step.warps(frame).matrix.shape[1]
            rows.append(
                [
                    label,
                    f"{step_px:g}",
                    poses,
                    f"{1e3 * taken:.1f}",
                    f"{error.max():.0f}",
                    f"{100 * (error > 1).mean():.4f} %",
                ]
            )
            label = ""
    return "### Convergence: 8-bit sRGB codes against 16 times as many poses as the default step of 0.5 px\n\n" + table(
        ["motion", "step_px", "poses", "ms (float64)", "largest error", "pixels beyond one code"], rows
    )


def main(out: Path | None = None, *, seconds: float = 0.5) -> str:
    """The report in Markdown; also written to the file ``out``, if given."""
    threads = cores()
    report = "\n\n".join(
        [
            "## Camera shake",
            f"{machine()}. numba {version('numba').split()[-1]}; {', '.join(version(peer) for peer in PEERS)}.\n"
            "float32 RGB of uniform noise, reflected border; the shortest of many calls, taken in turn.",
            against_uniform(threads, seconds),
            against_peers(threads, seconds),
            slopes(threads, seconds),
            convergence(seconds),
        ]
    )
    if out is not None:
        out.write_text(report + "\n")
    return report + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="file for the report")
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each contender")
    arguments = parser.parse_args()
    print(main(arguments.out, seconds=arguments.seconds))
