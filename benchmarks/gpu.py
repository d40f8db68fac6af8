"""The operators on a GPU, against its measured bandwidth and rate: ``.venv/bin/python benchmarks/gpu.py``.

Blurs, noise and the sensor are Triton kernels, development and JPEG torch's operations. Then the kernels are held
against their definitions on the device itself; and batches of the recipe ``mixed`` are blurred, and a network trained
on them, as ``deblur train nafnet-32`` does. It takes about five minutes, most of them to compile kernels.

Not among the parts of ``make bench``, which need no GPU. With ``--device cpu`` the operators' kernels for the CPU run
instead, on tiny pictures, which only shows that this script does.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measure import cores, machine, table, version

import blursynth as bs
from blursynth.backends import for_array, oracle
from blursynth.backends.torch.jpeg_codes import jpeg_values
from blursynth.dataset import DatasetRequest, OnlineDataset
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
from deblur_models.config.configuration import DataTable, Stage, load_configuration
from deblur_models.data.collate import Augmented, collate, make_batch
from deblur_models.data.training_set import OnTheFly
from deblur_models.train.loop import Progress, train

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
        ("JPEG, 4:2:0", lambda: jpeg_values(image, [90], "420", [(0, 0)]), 24 * pixels, 0.0),
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


def held_against_the_oracle(device: str) -> str:
    """The largest differences of kernels on the device from the definitions in float64, on small pictures."""
    rng = np.random.default_rng(3)
    image = rng.random((2, 3, 40, 44))
    disks = PointSpreads.concatenate([point_spread.disk(3.0), point_spread.disk(5.0)])
    level = rng.uniform(0, 1, (2, 40, 44))
    field = PointSpreadField(disks, levels=2)
    matrix = np.tile(np.eye(3), (2, 3, 1, 1))
    matrix[:, :, :2, 2] += rng.uniform(-3, 3, (2, 3, 2))
    warps = Warps(matrix, np.zeros((2, 3, 3)), np.zeros((2, 1), np.int64), np.full((2, 1, 3), 1 / 3))
    order = np.zeros((2, 40, 44), np.int32)
    order[:, 10:30, 12:25] = 1
    scene = Scene(order, order, np.full(order.shape, -1, np.int32), disks)
    rows = []
    for dtype, allowed in ((torch.float32, 2e-5), (torch.float64, 1e-12)):
        there, levels = (torch.from_numpy(a).to(device, dtype) for a in (image, level))
        seen, places = (a.cpu().numpy().astype(np.float64) for a in (there, levels))
        ops = for_array(there)
        for name, inputs in (
            ("convolve", (disks,)),
            ("convolve_adjoint", (disks,)),
            ("convolve_varying", (field, levels)),
            ("warp_mean", (warps,)),
            ("composite", (scene,)),
        ):
            known = (field, places) if name == "convolve_varying" else inputs
            worst = 0.0
            for border in (Border.REFLECT, Border.CONSTANT):
                got = getattr(ops, name)(there, *inputs, border=border).cpu().numpy()
                worst = max(worst, float(np.abs(got - getattr(oracle, name)(seen, *known, border=border)).max()))
            verdict = "held" if worst <= allowed else "**VIOLATED**"
            rows.append((name, str(dtype).removeprefix("torch."), f"{worst:.1e}", f"{allowed:.0e}", verdict))
    return "### Against the definitions\n\n" + table(("operator", "type", "difference", "allowed", ""), rows)


def photographs(folder: Path, side: int) -> Path:
    """Pictures of blobs, as large as patches with their margins need."""
    rng = np.random.default_rng(4)
    for number in range(8):
        coarse = rng.random((3, 2 + side // 16, 2 + side // 16), dtype=np.float32)
        fine = torch.nn.functional.interpolate(torch.from_numpy(coarse)[None], size=(side, side), mode="bicubic")
        bs.write_picture(folder / f"{number}.png", fine[0].clamp(0, 1).numpy())
    return folder


def recipe_on_the_way_to_a_step(photos: Path, device: str, side: int, batch: int, repeat: int) -> str:
    """A batch of ``mixed`` as training makes it: time of worker, program and device; launches, copies and waits."""
    request = DatasetRequest(sources=str(photos), recipe="mixed", size_px=side, seed=1)
    source = OnTheFly(OnlineDataset(request), "photos", seed=1, on_device=True)
    start = time.process_time()
    batches = [collate([Augmented(source.sample(n * batch + i), 0) for i in range(batch)]) for n in range(repeat + 1)]
    worker_ms = 1e3 * (time.process_time() - start) / (batch * (repeat + 1))
    if device == "cuda":
        batches = [one.pin_memory() for one in batches]
    make_batch(batches[0], device)  # compiles kernels
    times, programs = [], []
    for one in batches[1:]:
        begin, cpu = time.perf_counter(), time.process_time()
        make_batch(one, device)
        programs.append(1e3 * (time.process_time() - cpu))
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - begin))
    rows = [
        ("worker, ms of processor per patch", f"{worker_ms:.2f}"),
        (f"batch of {batch}, ms", f"{np.median(times):.1f}"),
        ("of which the program's processor time", f"{np.median(programs):.1f}"),
        ("patches per s", f"{1e3 * batch / np.median(times):.0f}"),
    ]
    if device == "cuda":
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            make_batch(batches[1], device)
            torch.cuda.synchronize()
        kernels = sum(event.count for event in profile.key_averages() if "Mem" not in event.key)
        copies = sum(event.count for event in profile.key_averages() if "Memcpy" in event.key)
        torch.cuda.set_sync_debug_mode("warn")
        with warnings.catch_warnings(record=True) as waits:
            warnings.simplefilter("always")
            make_batch(batches[1], device)
        torch.cuda.set_sync_debug_mode("default")
        rows += [("launches", f"{kernels}"), ("copies", f"{copies}"), ("waits", f"{len(waits)}")]
    head = f"### The recipe mixed, {batch} x 3 x {side} x {side}\n\n"
    return head + table(("", ""), rows)


def training(photos: Path, device: str, side: int, batch: int, steps: int) -> str:
    """Patches per second of a run, and what its steps wait for."""
    name = "nafnet-32" if device == "cuda" else "small"
    made = load_configuration(name)
    workers = min(8, cores()) if device == "cuda" else 0
    reports: list[Progress] = []
    with tempfile.TemporaryDirectory() as folder:
        for recipe in ("sharp", "mixed"):
            configuration = made.replace(
                data={"photos": DataTable(photos=str(photos), recipe=recipe, on_device=True)},
                stage=(Stage(steps=steps, patch_px=side, batch=batch),),
                validation=None,
                run=made.run.replace(
                    device=device, workers=workers, compile=False, tensorboard=False, log_every=steps // 2,
                    checkpoint_every=steps,
                ),
            )  # fmt: skip
            train(configuration, Path(folder, recipe), on_progress=reports.append)
    rows = []
    for recipe, report in zip(("sharp", "mixed"), (reports[1], reports[3]), strict=True):
        seconds = report.seconds
        parts = (f"{1e3 * seconds.get(part, 0.0):.1f}" for part in ("data", "blur", "network"))
        rows.append((recipe, f"{report.images_per_s:.1f}", *parts))
    head = (
        f"### deblur train {name}\n\nBatches of {batch} patches of {side} px, {workers} workers; the second half of "
        f"{steps} steps, without compilation of the network. On a GPU data and blur run beside the network: they cost "
        "time where the patches per second of `mixed` are below those of `sharp`.\n\n"
    )
    return head + table(("recipe", "patches/s", "data, ms a step", "blur, ms", "network, ms"), rows)


def main(
    device: str = "cuda", height: int = 1080, width: int = 1920, repeat: int = 20, side: int = 256, steps: int = 60
) -> str:
    """The section of BENCHMARKS.md."""
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
    sections = [head + table(("operator", "ms", "floor, ms", "ratio"), rows), held_against_the_oracle(device)]
    batch = 16 if device == "cuda" else 2
    with tempfile.TemporaryDirectory() as folder:
        photos = photographs(Path(folder), side + 768)
        sections.append(recipe_on_the_way_to_a_step(photos, device, side, batch, min(repeat, 8)))
        sections.append(training(photos, device, side, batch, steps))
    return "\n\n".join(sections)


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options.add_argument("--height", type=int, default=1080)
    options.add_argument("--width", type=int, default=1920)
    options.add_argument("--repeat", type=int, default=20)
    options.add_argument("--side", type=int, default=256, help="of the pictures of the batch")
    options.add_argument("--steps", type=int, default=60, help="of training, at least 2")
    chosen = options.parse_args(arguments)
    if chosen.device == "cuda" and not torch.cuda.is_available():
        options.error("torch sees no CUDA device here. --device cpu shows that this script runs, on tiny pictures.")
    return chosen


if __name__ == "__main__":
    chosen = parsed()
    print(main(chosen.device, chosen.height, chosen.width, chosen.repeat, chosen.side, chosen.steps))
