"""Whether anything has become slower: ratios of processor times against those in ``guard.toml``.

``python benchmarks/run.py guard`` measures a handful of ratios, each of ours over something of other people's or the
floor of a data set, timed in turn in one process of one thread, and exits with 1 if one is more than ``WORSE`` times
the one in the file, twice. Ratios of processor times hold on busy machines, but vectors of another width change them,
so the file has a table for each kind of processor; on one that it does not know, nothing is compared. With ``--update``
it writes the table of this one, also after a change of a peer's version.
"""

from __future__ import annotations

import shutil
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import defocus
import development
import noise
import numpy as np
import tomli_w
import uniform_blur
import warp
from measure import in_worker, processor, processor_time_of_each, table
from pipeline import FLOOR, rendered
from reading import readers

import blursynth as bs
from blursynth.backends import cpu
from blursynth.frame import Border

FILE = Path(__file__).with_name("guard.toml")
WORSE = 1.5
SIZE = 256
FLOOR_PAIRS = 64
PAIRS = {"default": 16, "mixed": 6, "street": 4}  # of these recipes
Work = Callable[[], object]
HEAD = """# Least processor time of ours over that of the reference, in one thread, by processor.
# Written by `python benchmarks/run.py guard --update`.
"""


def kernels() -> dict[str, tuple[Work, Work]]:
    """Ours and the reference, by what is measured."""
    found: dict[str, tuple[Work, Work]] = {}
    image = np.random.default_rng(0).random((3, SIZE, SIZE), dtype=np.float32)
    for size in (15, 63):
        both = uniform_blur.contenders(image, uniform_blur.trajectory(size), 1)
        found[f"blur along a path of {size} px / cv2.filter2D"] = both["blursynth"][0], both["cv2.filter2D"][0]
    warps = warp.roll((SIZE, SIZE), 31.0, 32)
    peer = warp.peers(image[None], warps, 1)["cv2.warpPerspective"][0]
    found["roll of 32 poses / cv2.warpPerspective"] = (
        lambda: cpu.warp_mean(image[None], warps, border=Border.REFLECT, threads=1),
        peer,
    )
    lens = defocus.contenders(*defocus.scene(SIZE, SIZE), 8.0, 1)
    found["defocus of 8 px / cv2.filter2D of 16 layers"] = lens["blursynth"], lens["cv2.filter2D, 16 layers"]
    poisson = noise.poisson_contenders(np.full(noise.SHAPE, 100.0, np.float32))["numpy Generator.poisson"]
    light = noise.frame_of_light()[:, :, :SIZE, :SIZE]
    phone = noise.bayer(3000.0)
    found["sensor / numpy Generator.poisson"] = (
        lambda: cpu.sensor(light, phone, noise.SEED, origin_px=noise.ORIGIN, threads=1),
        poisson,
    )
    photograph = np.ascontiguousarray(development.photograph()[:, :SIZE, :SIZE])
    raw = development.demosaic_contenders(development.mosaic_of(photograph), 1)
    found["develop, malvar / OpenCV's demosaic of codes"] = (
        raw["blursynth develop, malvar"],
        raw["OpenCV edge-aware, 16 bit, demosaic alone"],
    )
    steps = development.display_contenders(bs.Frame(photograph, bs.Encoding.DISPLAY))
    bilateral = steps["noise reduction"]["OpenCV bilateralFilter, sigma 2 px, float32"]
    found["denoise / cv2.bilateralFilter"] = steps["noise reduction"]["blursynth"], bilateral
    interleaved = np.ascontiguousarray(np.moveaxis(photograph, 0, -1))
    found["sharpen / cv2.GaussianBlur"] = (
        steps["sharpening"]["blursynth"],
        lambda: cv2.GaussianBlur(interleaved, (9, 9), 1.0),
    )
    codes = np.rint(interleaved * 255).astype(np.uint8)
    found["JPEG / OpenCV's"] = (
        steps["JPEG"]["blursynth"],
        lambda: cv2.imdecode(cv2.imencode(".jpg", codes, [cv2.IMWRITE_JPEG_QUALITY, 90])[1], cv2.IMREAD_COLOR),
    )
    linear = bs.Frame(photograph, bs.Encoding.LINEAR)
    found["sRGB curve / numpy power"] = (lambda: bs.kinds.Encode()(linear), lambda: photograph ** np.float32(1 / 2.4))
    return found


def measured() -> dict[str, float]:
    """Every ratio, by name."""
    cv2.setNumThreads(1)
    found = kernels()
    folder = Path(tempfile.mkdtemp())
    try:
        for codec in ("lz4", "none"):
            reading = readers(folder / codec, codec, 64)
            found[f"reading, {codec} / numpy memmap"] = reading.ours, reading.memmap
        ratios = {}
        for name, (ours, reference) in found.items():
            times = processor_time_of_each({"ours": ours, "reference": reference})
            ratios[name] = times["ours"] / times["reference"]
        pairs = {FLOOR.name: rendered(FLOOR, FLOOR_PAIRS)}
        pairs |= {name: rendered(bs.load_recipe(name), count) for name, count in PAIRS.items()}
        times = processor_time_of_each(pairs, rounds=3)
        floor = times[FLOOR.name] / FLOOR_PAIRS
        return {**ratios, **{f"a pair of {name} / of the floor": times[name] / n / floor for name, n in PAIRS.items()}}
    finally:
        shutil.rmtree(folder)


def main(*, update: bool = False) -> int:
    """Exit status: 1 if something is more than ``WORSE`` times slower than it was."""
    now = in_worker(measured)
    known = tomllib.loads(FILE.read_text("utf-8"))
    if update:
        again = in_worker(measured)
        known[processor()] = {name: float(f"{min(ratio, again[name]):.3g}") for name, ratio in now.items()}
        FILE.write_text(HEAD + tomli_w.dumps(known), "utf-8")
        print(FILE.read_text("utf-8"))
        return 0
    before = known.get(processor())
    if before is None:
        print(table(["processor time of ours / of the reference", "now"], [[n, f"{r:.3g}"] for n, r in now.items()]))
        print(f"{FILE.name} has no ratios of {processor()}: run python benchmarks/run.py guard --update here first.")
        return 0
    if slower(now, before):  # a busy machine, perhaps: once more, and what counts is the better of the two
        again = in_worker(measured)
        now = {name: min(ratio, again[name]) for name, ratio in now.items()}
    rows = [
        [name, f"{before[name]:.3g}" if name in before else "", f"{ratio:.3g}",
         f"{ratio / before[name]:.2f}" if name in before else "new"]
        for name, ratio in now.items()
    ]  # fmt: skip
    print(table(["processor time of ours / of the reference", "then", "now", "now / then"], rows))
    worse = slower(now, before)
    for name in worse:
        print(f"{name}: more than {WORSE} times what it was, or not in {FILE.name}.")
    if worse:
        print("If it is meant: python benchmarks/run.py guard --update.")
    return int(bool(worse))


def slower(now: Mapping[str, float], before: Mapping[str, float]) -> list[str]:
    """Names of the ratios that are much worse than before, or that only one of the two has."""
    both = [name for name in now if name in before]
    return [name for name in both if now[name] > WORSE * before[name]] + sorted(now.keys() ^ before.keys())
