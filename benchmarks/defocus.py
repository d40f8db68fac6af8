"""Defocus with occlusion against other ways to make it: time, slopes, and the error against pinhole pictures.

Run with ``python benchmarks/defocus.py``. The peers: a plain gather in numba (every pixel looks at all that its
largest neighbor could send, and takes what is not hidden: a pixel in front counts as far as its own blur reaches, one
behind as far as the smaller of both does); 16 layers blurred by scipy's FFT and put over each other; the same with
cv2.filter2D. The layers are the ones that people use: opaque to the back, so that no hole is left behind a nearer one.
Depth, slices and kernels of all peers are made beforehand; ours makes its slices and hidden surfaces within the time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np
from measure import best_of_each, cores, machine, table, version
from numpy.typing import NDArray

from blursynth import Frame, Intrinsics
from blursynth.backends import cpu
from blursynth.backends.oracle.surface_edges import hidden_behind
from blursynth.degradations import Defocus
from blursynth.frame import Border
from blursynth.physics.aperture import Aperture
from blursynth.physics.point_spread import PointSpreads, disk
from blursynth.physics.scene import JUMP_PX, SLACK_PX, Scene
from blursynth.physics.thin_lens import blur_per_dioptre_px

PEERS = ("scipy", "opencv-python-headless")
CAMERA = Intrinsics(focal_length_mm=50.0, pixel_pitch_um=20.0)
FOCUS_PER_M = 0.6
LAYERS = 16


def scene(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """A picture ``[1, 3, H, W]`` and its inverse depth: a floor, and two dozen slanted disks before it."""
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[:height, :width]
    nearness = 0.2 + 0.8 * rows / height
    for _ in range(25):
        y, x, radius = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(0.03, 0.16) * height
        inside = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
        slanted = rng.uniform(0.3, 1.5) + 0.1 * (columns - x) / radius
        nearness = np.where(inside, np.maximum(nearness, slanted), nearness)
    return rng.random((1, 3, height, width), dtype=np.float32), nearness


def step_of(nearness: NDArray[np.float64], radius_px: float, **more: Any) -> Defocus:
    """The lens with which the largest blur has this radius."""
    growth = blur_per_dioptre_px(CAMERA.focal_length_mm, 1.0, 1 / FOCUS_PER_M, CAMERA.pixel_pitch_um)
    f_number = 0.5 * growth * float(np.abs(FOCUS_PER_M - nearness).max()) / radius_px
    return Defocus(f_number=f_number, focus_distance_m=1 / FOCUS_PER_M, **more)


@numba.njit(nogil=True, parallel=True, fastmath=True)
def gather(image, radius, nearness, reach, out):  # type: ignore[no-untyped-def]
    """The peer: one thread per row, no tables, disks with soft rims, occlusion by comparing depths."""
    _, height, width = image.shape
    for y in numba.prange(height):
        for x in range(width):
            red, green, blue, total = 0.0, 0.0, 0.0, 0.0
            own, depth = radius[y, x], nearness[y, x]
            for i in range(max(0, y - reach), min(height, y + reach + 1)):
                for j in range(max(0, x - reach), min(width, x + reach + 1)):
                    size = radius[i, j]
                    if nearness[i, j] < depth:  # farther: what it sends is hidden beyond our own blur
                        size = min(size, own)
                    apart2 = (i - y) * (i - y) + (j - x) * (j - x)
                    if apart2 > (size + 0.5) * (size + 0.5):
                        continue
                    share = min(1.0, size + 0.5 - np.sqrt(apart2)) / (np.pi * size * size + 1.0)
                    red += share * image[0, i, j]
                    green += share * image[1, i, j]
                    blue += share * image[2, i, j]
                    total += share
            out[0, y, x], out[1, y, x], out[2, y, x] = red / total, green / total, blue / total


def layered(
    image: NDArray[np.float32],
    radius: NDArray[np.float64],
    nearness: NDArray[np.float64],
    blur: Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]],
) -> Callable[[], NDArray[np.floating]]:
    """The peer: layers of equal steps in inverse depth, from far to near, each blurred and put over the rest."""
    edges = np.linspace(nearness.min(), nearness.max() + 1e-9, LAYERS + 1)
    number = np.digitize(nearness, edges) - 1
    masks, kernels = [], []
    for n in range(LAYERS):
        if (number == n).any():
            masks.append((number == n).astype(np.float32))
            kernels.append(disk(float(np.abs(radius[number == n]).mean())).to_dense().astype(np.float32))

    def run() -> NDArray[np.floating]:
        result = np.zeros_like(image)
        covered = np.zeros(image.shape[1:], np.float32)
        for mask, kernel in zip(masks, kernels, strict=True):
            alpha = blur(mask[None], kernel)[0]
            light = blur(image * mask, kernel)
            result = light + (1 - alpha) * result
            covered = alpha + (1 - alpha) * covered
        return result / np.maximum(covered, 1e-6)

    return run


def contenders(
    image: NDArray[np.float32], nearness: NDArray[np.float64], radius_px: float, threads: int
) -> dict[str, Callable[[], NDArray[np.floating]]]:
    """Ours and every peer that is installed; each gives ``[3, H, W]``."""
    step = step_of(nearness, radius_px)
    frame = Frame(image, "linear", depth_m=(1 / nearness).astype(np.float32)[None], camera=CAMERA)
    radius = np.abs(step.layers(frame).radius_px)
    numba.set_num_threads(threads)
    result: dict[str, Callable[[], NDArray[np.floating]]] = {"blursynth": lambda: step(frame).image[0]}
    single, sizes, depths = image[0], radius.astype(np.float32), nearness.astype(np.float32)
    out = np.empty_like(single)

    def plain() -> NDArray[np.floating]:
        gather(single, sizes, depths, int(np.ceil(radius_px)), out)
        return out

    result["numba gather"] = plain
    try:
        from scipy import fft

        def fourier(planes: NDArray[np.float32], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
            reach = kernel.shape[0] // 2
            size = [fft.next_fast_len(n + 2 * reach, real=True) for n in planes.shape[1:]]
            padded = np.pad(planes, ((0, 0), (reach, reach), (reach, reach)), mode="reflect")
            product = fft.rfft2(padded, size, workers=threads) * fft.rfft2(kernel, size, workers=threads)
            whole = fft.irfft2(product, size, workers=threads)
            height, width = planes.shape[1:]
            return np.asarray(whole[:, 2 * reach : 2 * reach + height, 2 * reach : 2 * reach + width])

        result[f"scipy FFT, {LAYERS} layers"] = layered(single, radius, nearness, fourier)
    except ImportError:
        pass
    try:
        import cv2

        cv2.setNumThreads(threads)

        def direct(planes: NDArray[np.float32], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
            together = np.ascontiguousarray(np.moveaxis(planes, 0, -1))
            blurred = cv2.filter2D(together, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
            return np.moveaxis(blurred.reshape(together.shape), -1, 0)

        result[f"cv2.filter2D, {LAYERS} layers"] = layered(single, radius, nearness, direct)
    except ImportError:
        pass
    return result


def two_planes(near_px: float, far_px: float, points: int = 400) -> tuple[NDArray[np.float32], ...]:
    """Two planes whose blurs have these signed radii: picture, depths, and the mean of pinhole pictures.

    A smooth but lively texture on both, the far one constant along rows, so that what is hidden is known.
    """
    size = 128
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:size, :size]
    far = 0.5 + 0.4 * np.sin(rows / 2.3) * np.ones((size, size))
    near = np.clip(0.5 + 0.5 * np.sin(rows / 3.1 + columns / 2.2) + rng.normal(0, 0.1, (size, size)), 0, 1)
    mask = (np.abs(columns - 64) < 24).astype(np.float64)
    truth = np.zeros((size, size))
    index = np.arange(points) + 0.5
    distance, angle = np.sqrt(index / points), index * np.pi * (1 + 5**0.5)
    for x, y in zip(distance * np.cos(angle), distance * np.sin(angle), strict=True):
        shifted = [
            _moved(plane, y * radius, x * radius)
            for plane, radius in ((far, far_px), (mask, near_px), (mask * near, near_px))
        ]
        truth += (shifted[2] + (1 - shifted[1]) * shifted[0]) / points
    image = np.where(mask > 0, near, far).astype(np.float32)
    return np.repeat(image[None, None], 3, 1), mask.astype(np.float32), truth.astype(np.float32)


def _moved(plane: NDArray[np.float64], y: float, x: float) -> NDArray[np.float64]:
    """Displaced by a fraction of pixels: each pixel's light falls on the four that it then covers."""
    whole_y, whole_x = int(np.floor(y)), int(np.floor(x))
    down, right = y - whole_y, x - whole_x
    out = np.zeros_like(plane)
    for dy, share_y in ((0, 1 - down), (1, down)):
        for dx, share_x in ((0, 1 - right), (1, right)):
            rows = np.clip(np.arange(plane.shape[0]) - whole_y - dy, 0, plane.shape[0] - 1)
            columns = np.clip(np.arange(plane.shape[1]) - whole_x - dx, 0, plane.shape[1] - 1)
            out += share_y * share_x * plane[np.ix_(rows, columns)]
    return out


def errors() -> str:
    """The error of everybody against the mean of pinhole pictures."""
    rows: list[list[object]] = []
    for name, near_px, far_px in (
        ("sharp before blurred", 0.0, 8.0),
        ("blurred before sharp", 8.0, 0.0),
        ("both blurred, focus behind", 8.0, 4.0),
        ("both blurred, focus between", 6.0, -6.0),
    ):
        image, mask, truth = two_planes(near_px, far_px)
        inner = (slice(24, -24), slice(24, -24))
        order = (mask * 40).astype(np.int32)[None]
        hidden = hidden_behind(order, gap=2, reach_px=20)
        made: dict[str, NDArray[np.floating]] = {}
        for parts in (1, 4, 16, 64):
            psf = [Aperture().point_spreads(radius, parts) for radius in (far_px, near_px)]
            taps = PointSpreads.concatenate([one[g] for g in range(parts) for one in psf])
            layers = Scene(order, mask.astype(np.int32)[None], hidden, taps, np.full(parts, 1 / parts))
            made[f"blursynth, {parts} part{'s' if parts > 1 else ''}"] = cpu.composite(
                image, layers, border=Border.REPLICATE
            )[0, 0]
        radius = np.where(mask > 0, abs(near_px), abs(far_px))
        for peer, run in _peers_of(image, radius, mask).items():
            made[peer] = run()[0]
        for peer, result in made.items():
            difference = np.abs(result - truth)[inner]
            rows.append(
                [name, peer, f"{difference.max():.3f}", f"{np.sqrt(np.mean(difference.astype(np.float64) ** 2)):.4f}"]
            )
            name = ""
    return "### Error against 400 pinhole pictures of two planes, white = 1\n\n" + table(
        ["planes", "by", "largest", "root mean square"], rows
    )


def _peers_of(
    image: NDArray[np.float32], radius: NDArray[np.float64], mask: NDArray[np.float32]
) -> dict[str, Callable[[], NDArray[np.floating]]]:
    out = np.empty_like(image[0])

    def plain() -> NDArray[np.floating]:
        gather(image[0], radius.astype(np.float32), mask, int(np.ceil(radius.max())), out)
        return out

    result: dict[str, Callable[[], NDArray[np.floating]]] = {"numba gather": plain}
    try:
        import cv2

        def direct(planes: NDArray[np.float32], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
            together = np.ascontiguousarray(np.moveaxis(planes, 0, -1))
            blurred = cv2.filter2D(together, -1, kernel, borderType=cv2.BORDER_REPLICATE)
            return np.moveaxis(blurred.reshape(together.shape), -1, 0)

        result["layers, over"] = layered(image[0], radius, mask.astype(np.float64), direct)
    except ImportError:
        pass
    return result


def compare(title: str, cases: list[tuple[str, tuple[int, int], float]], threads: int, seconds: float) -> str:
    """One table: a row per case and contender."""
    rows: list[list[object]] = []
    for name, shape, radius_px in cases:
        both = contenders(*scene(*shape), radius_px, threads)
        times = best_of_each(both, 3, seconds)
        for peer in both:
            ratio = times[peer] / times["blursynth"]
            rows.append([name, peer, f"{1e3 * times[peer]:.1f}", f"{ratio:.1f}x"])
            name = ""
    return f"### {title}\n\n" + table(["largest radius", "by", "ms", "of ours"], rows)


def slopes(threads: int, seconds: float) -> str:
    """What ours costs against radius, slices, parts, picture size, and its steps alone."""
    rows: list[list[object]] = []
    image, nearness = scene(720, 1280)
    frame = Frame(image, "linear", depth_m=(1 / nearness).astype(np.float32)[None], camera=CAMERA)
    runs: dict[str, Callable[[], object]] = {}
    for radius_px in (2.0, 4.0, 8.0, 15.0, 30.0):
        runs[f"radius {radius_px:g} px"] = partial(step_of(nearness, radius_px), frame)
    for tolerance_px in (0.01, 0.16):
        step = step_of(nearness, 15.0, tolerance_px=tolerance_px)
        runs[f"radius 15 px, tolerance {tolerance_px:g} px"] = partial(step, frame)
    for parts in (4, 16):
        runs[f"radius 15 px, {parts} parts"] = partial(step_of(nearness, 15.0, parts=parts), frame)
    for height, width in ((360, 640), (1440, 2560)):
        other, far = scene(height, width)
        larger = Frame(other, "linear", depth_m=(1 / far).astype(np.float32)[None], camera=CAMERA)
        runs[f"radius 15 px, {width} x {height}"] = partial(step_of(far, 15.0), larger)
    step = step_of(nearness, 15.0)
    layers = step.layers(frame)
    near, wide = layers.nearness_px[None], 2.0 * np.abs(layers.radius_px)[None]
    runs["of it surface_edges, 1 thread"] = lambda: cpu.surface_edges(
        image, near, None, wide, jump=JUMP_PX, slack_px=SLACK_PX, threads=1
    )
    flat, zeros = np.zeros((1, 720, 1280), np.int32), np.full((1, 720, 1280), -1, np.int32)
    for radius_px in (0.0, 2.0, 4.0, 8.0, 15.0, 30.0):
        one = Scene(flat, flat, zeros, disk(radius_px))
        runs[f"one disk of {radius_px:g} px all over"] = partial(
            cpu.composite, image, one, border=Border.REFLECT, threads=threads
        )
    times = best_of_each(runs, 3, seconds)
    rows = [[name, f"{1e3 * taken:.1f}"] for name, taken in times.items()]
    return f"### What the cost depends on, 1280 x 720, {threads} threads\n\n" + table(["", "ms"], rows)


def main(out: Path | None = None, *, seconds: float = 0.5) -> str:
    """The report in Markdown; also written to the file ``out``, if given."""
    threads = cores()
    cases = [(f"{radius:g} px", (720, 1280), radius) for radius in (2.0, 4.0, 8.0, 15.0, 30.0)]
    parts = [
        "## Defocus",
        f"{machine()}. numba {version('numba').split()[-1]}; {', '.join(version(peer) for peer in PEERS)}.\n"
        "float32, three channels; a floor and 25 slanted disks before it; the shortest of several calls, taken in "
        "turn. `of ours`: how many times as long as blursynth, whose time holds slices, hidden surfaces and all.",
        compare(f"1280 x 720, {threads} threads", cases, threads, seconds),
        errors(),
        slopes(threads, seconds),
    ]
    report = "\n\n".join(parts) + "\n"
    if out is not None:
        out.write_text(report)
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="file for the report")
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each contender and case")
    arguments = parser.parse_args()
    print(main(arguments.out, seconds=arguments.seconds))
