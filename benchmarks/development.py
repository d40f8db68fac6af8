"""Development and what follows it in a camera: milliseconds and decibels against OpenCV, kornia and others.

Run with ``python benchmarks/development.py``; peers that are not installed are named as missing. Pictures of 1280x720.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data
from measure import best_of_each, machine, table, version
from numpy.typing import NDArray

import blursynth as bs
from blursynth.backends import cpu
from blursynth.physics.development import DevelopParameters
from blursynth.physics.mosaic import DEMOSAICS, color_sites

PEERS = ("opencv-python-headless", "kornia", "color-demosaicing", "torch")
HEIGHT, WIDTH = 720, 1280
ORIGIN = np.zeros((1, 2), np.int64)
BLACK, WHITE = 64.0, 964.0
MATRIX = np.array([[1.5, -0.4, -0.1], [-0.2, 1.5, -0.3], [0.0, -0.5, 1.5]])
Contender = Callable[[], Any]


def photograph() -> NDArray[np.float32]:
    """``[3, 720, 1280]`` values 0..1."""
    wide = cv2.resize(skimage.data.astronaut(), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(np.moveaxis(wide, -1, 0)).astype(np.float32) / np.float32(255)


def mosaic_of(picture: NDArray[Any]) -> NDArray[Any]:
    """What an RGGB sensor sees of ``[3, H, W]``."""
    return np.take_along_axis(picture, color_sites(1, (0, 0), picture.shape[1:])[None], axis=0)[0]


def demosaic_contenders(seen: NDArray[np.float32], threads: int) -> dict[str, Contender]:
    """Demosaic alone by the peers; ours with levels, balance, clip, matrix and gain in the same pass."""
    cv2.setNumThreads(threads)
    dn = (BLACK + (WHITE - BLACK) * seen)[None, None]
    codes = np.rint(seen * 65535).astype(np.uint16)
    result: dict[str, Contender] = {}
    for index, method in enumerate(DEMOSAICS):
        chosen = DevelopParameters(
            BLACK, WHITE, mosaic=1, demosaic=index, white_balance=[2.0, 1.0, 1.6], color_matrix=MATRIX
        )
        result[f"blursynth develop, {method}"] = lambda p=chosen: cpu.develop(dn, p, origin_px=ORIGIN, threads=threads)
    result["OpenCV bilinear, 16 bit, demosaic alone"] = lambda: cv2.demosaicing(codes, cv2.COLOR_BayerRGGB2RGB)
    result["OpenCV edge-aware, 16 bit, demosaic alone"] = lambda: cv2.demosaicing(codes, cv2.COLOR_BayerRGGB2RGB_EA)
    try:
        import torch
        from kornia.color import CFA, raw_to_rgb

        torch.set_num_threads(threads)
        tensor = torch.from_numpy(seen)[None, None]
        result["kornia raw_to_rgb (bilinear), demosaic alone"] = lambda: raw_to_rgb(tensor, CFA.BG)
    except ImportError:
        pass
    try:
        from colour_demosaicing import demosaicing_CFA_Bayer_Malvar2004, demosaicing_CFA_Bayer_Menon2007

        if threads == 1:
            result["color-demosaicing Malvar, demosaic alone"] = lambda: demosaicing_CFA_Bayer_Malvar2004(seen, "RGGB")
            result["color-demosaicing Menon, demosaic alone"] = lambda: demosaicing_CFA_Bayer_Menon2007(seen, "RGGB")
    except ImportError:
        pass
    return result


def traffic(seconds: float) -> tuple[float, str]:
    """The time to read one plane and to write three, in seconds: what memory alone takes."""
    source = np.ones((HEIGHT, WIDTH), np.float32)
    into = np.empty((3, HEIGHT, WIDTH), np.float32)
    taken = best_of_each({"copy": lambda: np.copyto(into, source)}, seconds=seconds)["copy"]
    return taken, f"{source.nbytes * 4 / taken / 1e9:.0f} GB/s"


def demosaic_rows(seconds: float) -> list[list[str]]:
    seen = np.ascontiguousarray(mosaic_of(photograph()))
    times = {threads: best_of_each(demosaic_contenders(seen, threads), seconds=seconds) for threads in (1, 2)}
    own = {threads: taken["blursynth develop, malvar"] for threads, taken in times.items()}
    rows = []
    for name, one in times[1].items():
        two = times[2].get(name)
        ratio = "" if name.startswith("blursynth") else f"{one / own[1]:.1f}"
        rows.append([name, f"{one * 1e3:.2f}", "-" if two is None else f"{two * 1e3:.2f}", ratio])
    limit, bandwidth = traffic(seconds)
    rows.append([f"memory alone: 4 bytes read, 12 written per pixel, {bandwidth}", f"{limit * 1e3:.2f}", "", ""])
    return rows


def quality_rows() -> list[list[str]]:
    """PSNR of pictures whose codes were mosaicked, away from the border, as papers give it."""
    names = ("astronaut", "chelsea", "coffee")
    methods: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {}
    for index, method in enumerate(DEMOSAICS):
        chosen = DevelopParameters(0.0, 1.0, mosaic=1, demosaic=index)
        methods[f"blursynth {method}"] = lambda seen, p=chosen: cpu.develop(seen[None, None], p, origin_px=ORIGIN)[0]
    for name, code in (("bilinear", cv2.COLOR_BayerRGGB2RGB), ("edge-aware", cv2.COLOR_BayerRGGB2RGB_EA)):
        methods[f"OpenCV {name}, 16 bit"] = lambda seen, c=code: (
            np.moveaxis(cv2.demosaicing(np.rint(seen * 65535).astype(np.uint16), c), -1, 0) / 65535
        )
    try:
        from colour_demosaicing import demosaicing_CFA_Bayer_Malvar2004, demosaicing_CFA_Bayer_Menon2007

        for name, function in (
            ("color-demosaicing Malvar", demosaicing_CFA_Bayer_Malvar2004),
            ("color-demosaicing Menon", demosaicing_CFA_Bayer_Menon2007),
        ):
            methods[name] = lambda seen, f=function: np.moveaxis(f(seen, "RGGB"), -1, 0)
    except ImportError:
        pass
    rows = []
    for name, function in methods.items():
        row = [name]
        for picture in names:
            whole = np.moveaxis(getattr(skimage.data, picture)(), -1, 0) / 255
            error = (function(mosaic_of(whole)) - whole)[:, 8:-8, 8:-8]
            row.append(f"{-10 * np.log10((error**2).mean()):.2f}")
        rows.append(row)
    return rows


def display_contenders(frame: bs.Frame) -> dict[str, dict[str, Contender]]:
    """By step: ours and what could stand in its place."""
    interleaved = np.ascontiguousarray(np.moveaxis(frame.image[0], 0, -1))
    codes = np.rint(interleaved * 255).astype(np.uint8)
    steps = {
        "noise reduction": bs.kinds.Denoise(luma_codes=6.0, chroma_codes=15.0),
        "sharpening": bs.kinds.Sharpen(sigma_px=1.0, amount=0.8, threshold_codes=1.0, limit_codes=30.0),
        "JPEG": bs.kinds.Jpeg(quality=90),
        "WebP": bs.kinds.Webp(quality=80),
        "WebP, least effort": bs.kinds.Webp(quality=80, effort=0),
    }
    result: dict[str, dict[str, Contender]] = {
        name: {"blursynth": lambda s=step: s(frame)} for name, step in steps.items()
    }
    result["noise reduction"]["OpenCV bilateralFilter, sigma 2 px, float32"] = lambda: cv2.bilateralFilter(
        interleaved, 0, 0.05, 2
    )
    result["noise reduction"]["OpenCV fastNlMeansDenoisingColored, 7/21, 8 bit"] = lambda: (
        cv2.fastNlMeansDenoisingColored(codes, None, 5, 10, 7, 21)
    )
    try:
        import torch
        from kornia.filters import unsharp_mask

        tensor = torch.from_numpy(frame.image)
        result["sharpening"]["kornia unsharp_mask"] = lambda: unsharp_mask(tensor, (9, 9), (1.0, 1.0))
    except ImportError:
        pass
    return result


def display_rows(seconds: float) -> list[list[str]]:
    noisy = photograph() + np.random.default_rng(0).normal(0, 5 / 255, (3, HEIGHT, WIDTH)).astype(np.float32)
    frame = bs.Frame(noisy.clip(0, 1)[None], bs.Encoding.DISPLAY)
    cv2.setNumThreads(2)
    rows = []
    for step, contenders in display_contenders(frame).items():
        times = best_of_each(contenders, repeat=3, seconds=seconds)
        for name, taken in times.items():
            ratio = "" if name == "blursynth" else f"{taken / times['blursynth']:.1f}"
            rows.append([step, name, f"{taken * 1e3:.1f}", ratio])
    return rows


def main(out: Path | None = None, *, seconds: float = 0.5) -> str:
    """The report in Markdown; also written to the file ``out``, if given."""
    parts = [
        "## Development",
        f"{machine()}. {', '.join(version(name) for name in ('numba', *PEERS))}.\n"
        f"A mosaic of {WIDTH}x{HEIGHT}, float32; the shortest of many calls, taken in turn. `of ours`: how many times "
        "as long as blursynth with malvar and one thread. Ours takes off the black level, balances, clips, fills in "
        "colors, applies the matrix and writes planes in one pass; the peers fill in colors alone.",
        table(("mosaic to light", "ms, 1 thread", "2 threads", "of ours"), demosaic_rows(seconds)),
        "PSNR in dB of photographs whose codes were mosaicked (RGGB), 8 px of the border left out. OpenCV's edge-aware "
        "way chooses the direction for green alone.",
        table(("way to fill in colors", "astronaut", "chelsea", "coffee"), quality_rows()),
        f"Steps on a noisy display picture of 3x{HEIGHT}x{WIDTH}, 2 threads. The peers' filters are others than ours: "
        "what is compared is the time.",
        table(("step", "by", "ms", "of ours"), display_rows(seconds)),
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
