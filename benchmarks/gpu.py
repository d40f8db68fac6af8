"""The operators on a GPU, against its measured bandwidth and rate: ``.venv/bin/python benchmarks/gpu.py``.

Blurs, noise and the sensor are Triton kernels, development and JPEG torch's operations (JPEG by kornia); at the end
stands a whole batch of the default recipe.

Not among the parts of ``make bench``, which need no GPU. With ``--device cpu`` the operators' kernels for the CPU run
instead, which only shows that this script does.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from measure import machine, table, version

import blursynth as bs
from blursynth.backends import for_array
from blursynth.backends.torch.jpeg import jpeg
from blursynth.frame import Border
from blursynth.physics import point_spread
from blursynth.physics.development import DevelopParameters, camera_from_srgb
from blursynth.physics.mosaic import DEMOSAICS, mosaic_code
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.point_spread_field import PointSpreadField
from blursynth.physics.radiometry import SensorParameters
from blursynth.physics.response import encode_table
from blursynth.physics.scene import Scene
from blursynth.physics.warps import Warps

RADII_PX = (0.0, 2.0, 4.0, 8.0)


def best_ms(work: Callable[[], object], device: str, repeat: int) -> float:
    """Shortest time of a call in ms, the device's work included."""
    best = float("inf")
    for _ in range(repeat + 1):
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 1e3 * best


def measured_rates(device: str, repeat: int) -> tuple[float, float]:
    """Bytes per ms of a copy, and float32 operations per ms of a product of matrices in full precision."""
    torch.backends.cuda.matmul.allow_tf32 = False
    size = 2**26 if device == "cuda" else 2**20
    source = torch.zeros(size, device=device)
    target = torch.empty_like(source)
    copy_ms = best_ms(lambda: target.copy_(source), device, repeat)
    side = 4096 if device == "cuda" else 256
    matrix = torch.zeros(side, side, device=device)
    product_ms = best_ms(lambda: matrix @ matrix, device, repeat)
    return 8.0 * size / copy_ms, 2.0 * side**3 / product_ms


def cases(height: int, width: int, device: str) -> list[tuple[str, Callable[[], torch.Tensor], float, float]]:
    """Name, call, bytes that must move and operations that must be done."""
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.random((1, 3, height, width), dtype=np.float32)).to(device)
    ops = for_array(image)
    pixels = float(height * width)
    motion = for_array(np.zeros(1)).rasterize(np.cumsum(rng.normal(0, 1.2, (1, 40, 2)), axis=1))
    disks = PointSpreads.concatenate([point_spread.disk(2 * r) for r in RADII_PX])
    field = PointSpreadField(disks, levels=len(RADII_PX))
    ramp = np.linspace(0, len(RADII_PX) - 1, width, dtype=np.float32)
    level = torch.from_numpy(np.broadcast_to(ramp, (1, height, width)).copy()).to(device)
    taps = np.diff(disks.start)
    # Two levels at a pixel, on average the mean of their neighbors.
    both = float((taps[1:] + taps[:-1]).mean())
    times = 32
    angle = np.linspace(-0.01, 0.01, times)
    matrix = np.tile(np.eye(3), (1, times, 1, 1))
    matrix[0, :, 0, 1], matrix[0, :, 1, 0] = -angle, angle
    matrix[0, :, 0, 2], matrix[0, :, 1, 2] = angle * height / 2, -angle * width / 2
    warps = Warps(matrix, np.zeros((1, times, 3)), np.zeros((1, 1), np.int64), np.full((1, 1, times), 1 / times))
    order = np.zeros((1, height, width), np.int32)
    order[:, height // 4 : height // 2, width // 4 : width // 2] = 3
    scene = Scene(order, order, np.full(order.shape, -1, np.int32), disks)
    spread = float(taps[order].mean())
    border = Border.REFLECT
    return [
        ("sRGB decoding", lambda: ops.srgb_decode(image), 24 * pixels, 0.0),
        (
            "convolve, random walk",
            lambda: ops.convolve(image, motion, border=border),
            24 * pixels,
            6 * pixels * motion.dy.size,
        ),
        (
            "its transpose",
            lambda: ops.convolve_adjoint(image, motion, border=border),
            24 * pixels,
            6 * pixels * motion.dy.size,
        ),
        (
            "convolve_varying, disks",
            lambda: ops.convolve_varying(image, field, level, border=border),
            28 * pixels,
            6 * pixels * both,
        ),
        (
            "warp_mean, roll, 32 poses",
            lambda: ops.warp_mean(image, warps, border=border),
            24 * pixels,
            54 * pixels * times,
        ),
        ("composite, one object", lambda: ops.composite(image, scene, border=border), 36 * pixels, 8 * pixels * spread),
    ]


def camera_cases(height: int, width: int, device: str) -> list[tuple[str, Callable[[], torch.Tensor], float, float]]:
    """The same of what happens to the light behind the blur."""
    rng = np.random.default_rng(1)
    image = torch.from_numpy(rng.random((1, 3, height, width), dtype=np.float32)).to(device)
    ops = for_array(image)
    pixels = float(height * width)
    balance = np.array([2.0, 1.0, 1.6])
    matrix = np.array([[1.5, -0.4, -0.1], [-0.2, 1.5, -0.3], [0.0, -0.5, 1.5]])
    where = {"seed": np.array([7], np.uint64), "origin_px": np.zeros((1, 2), np.int64)}
    levels = {
        "white_level_e": 3000.0,
        "full_well_e": 3000.0,
        "gain_dn_per_e": 1.3,
        "black_level_dn": 64.0,
        "bit_depth": 12,
    }
    plain = SensorParameters(**levels, read_noise_e=2.0)
    bayer = {"mosaic": mosaic_code("RGGB"), "from_light": camera_from_srgb(balance, matrix)}
    single = SensorParameters(**levels, **bayer, read_noise_e=2.0)
    whole = SensorParameters(
        **levels, **bayer, read_noise_e=2.0, row_noise_e=0.5, column_noise_e=0.5, read_noise_shape=-0.1, prnu=0.01,
        dsnu_e=1.0,
    )  # fmt: skip
    raw = ops.sensor(image, single, **where)
    development = DevelopParameters(
        np.array([64.0]), np.array([3964.0]), np.array([mosaic_code("RGGB")]), np.array([DEMOSAICS.index("malvar")]),
        balance, matrix,
    )  # fmt: skip
    ramp = np.linspace(0.0, 1.0, 256)
    curve = encode_table(ramp, ramp ** (1 / 2.2))[None]
    return [
        ("poisson, mean 1500", lambda: ops.poisson(image * 3000, **where), 24 * pixels, 0.0),
        ("gaussian_noise", lambda: ops.gaussian_noise(image, np.array([0.01]), **where), 24 * pixels, 0.0),
        ("sensor, three channels", lambda: ops.sensor(image, plain, **where), 24 * pixels, 0.0),
        ("sensor, Bayer", lambda: ops.sensor(image, single, **where), 16 * pixels, 0.0),
        ("sensor, Bayer, all noise", lambda: ops.sensor(image, whole, **where), 16 * pixels, 0.0),
        ("develop, Malvar", lambda: ops.develop(raw, development, origin_px=where["origin_px"]), 16 * pixels, 0.0),
        ("response curve to 8 bit", lambda: ops.response_encode(image, curve, levels=[255]), 24 * pixels, 0.0),
        ("JPEG, kornia", lambda: jpeg(image, [90], [(0, 0)]), 24 * pixels, 0.0),
    ]


def batch_case(side: int, device: str) -> tuple[str, Callable[[], torch.Tensor], float, float]:
    """A batch of the default recipe, a draw for each picture; bytes if every step moves its pictures once."""
    batch = 16
    recipe = bs.load_recipe("default")
    light = np.random.default_rng(2).random((batch, 3, side, side), dtype=np.float32)
    frame = bs.Frame(np.rint(light * 255) / np.float32(255), "display")
    draws = [recipe.sample(frame[i], seed=3, index=i) for i in range(batch)]
    there = frame.with_image(torch.from_numpy(frame.image).to(device))
    moved = 24.0 * batch * side * side * len(draws[0].steps)
    return f"default recipe, {batch} of {side}x{side}", lambda: bs.apply(draws, there).image, moved, 0.0


def main(device: str = "cuda", height: int = 1080, width: int = 1920, repeat: int = 20, side: int = 256) -> str:
    """The table, or a line that says why there is none."""
    if device == "cuda" and not torch.cuda.is_available():
        return "## On a GPU\n\nNo CUDA device here: not measured."
    name = torch.cuda.get_device_name() if device == "cuda" else machine()
    bandwidth, rate = measured_rates(device, repeat)
    rows = []
    every = [*cases(height, width, device), *camera_cases(height, width, device), batch_case(side, device)]
    for label, work, moved, done in every:
        taken = best_ms(work, device, repeat)
        floor = max(moved / bandwidth, done / rate)
        rows.append((label, f"{taken:.3f}", f"{floor:.3f}", f"{taken / floor:.1f}"))
    head = (
        f"## On a GPU\n\n{name}, {version('torch')}, {version('triton')}; {height}x{width} RGB float32, best of "
        f"{repeat} calls, arguments' transfer included. A copy moves {bandwidth / 1e6:.0f} GB/s, a product of matrices "
        f"does {rate / 1e9:.1f} Tflop/s; the floor is the larger of bytes and operations over these.\n\n"
    )
    return head + table(("operator", "ms", "floor, ms", "ratio"), rows)


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options.add_argument("--height", type=int, default=1080)
    options.add_argument("--width", type=int, default=1920)
    options.add_argument("--repeat", type=int, default=20)
    options.add_argument("--side", type=int, default=256, help="of the pictures of the batch")
    return options.parse_args(arguments)


if __name__ == "__main__":
    chosen = parsed()
    print(main(chosen.device, chosen.height, chosen.width, chosen.repeat, chosen.side))
