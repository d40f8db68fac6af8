"""What networks learn from the blur of each recipe: the configuration that ships, and recipes against real photographs.

Takes long on few cores, so that ``make bench`` leaves it out: ``python benchmarks/run.py training``. Runs
lie in ``benchmarks/output/training`` and go on where they were stopped. Real photographs are used where
``BLURSYNTH_REAL_DATA`` names their folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import cores, machine, table, version
from torch import Tensor

from blursynth.dataset.bundled import bundled_photographs
from blursynth.io.pictures import read_pixels
from deblur_models.checkpoints.checkpoint import load_checkpoint, load_network
from deblur_models.config.configuration import load_configuration
from deblur_models.metrics import align, metric, no_harm
from deblur_models.restore.network_restorer import NetworkRestorer

OUT = Path(__file__).parent / "output" / "training"
SEEDS = (1, 2, 3)
RECIPES = ("clean", "motion-only", "default", "mixed", "deblurgan", "rsblur")
REUSE = {"mixed": 16}  # its blur takes ten times as long as that of the others
STEPS = 1000  # of the comparison of recipes; the configuration has more
ALIGN_PX, BORDER_PX = 8, 30


@dataclass(frozen=True)
class RealPair:
    """A photograph with real blur, and the sharp one."""

    group: str
    blurred: Tensor  # [1, 3, H, W]
    sharp: Tensor
    shifted: bool  # whether the two are moved against each other


def main() -> str:
    """The section of BENCHMARKS.md."""
    folder = os.environ.get("BLURSYNTH_REAL_DATA")
    pairs = list(real_pairs(Path(folder))) if folder else []
    head = f"## Training\n\n{machine()}; {version('torch')}."
    return "\n\n".join((head, shipped(pairs), recipes(pairs) if pairs else "Real photographs: not at hand."))


def shipped(pairs: list[RealPair]) -> str:
    """The configuration ``small``, three seeds one after the other, each with all cores."""
    rows, splits = [], []
    for seed in SEEDS:
        run = OUT / f"small-{seed}"
        trained(run, {"seed": seed}, threads=cores())
        lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        looks = [line for line in lines if line["kind"] == "validation"]
        steps = [line for line in lines if line["kind"] == "training"]
        best = load_checkpoint(run).manifest["validation"]
        pace = [sum(v for k, v in line.items() if k.startswith("seconds_")) for line in steps]
        seconds = load_configuration("small").steps * np.mean(pace) + sum(line["seconds"] for line in looks)
        splits.append({k: np.mean([line[f"seconds_{k}"] for line in steps]) for k in ("data", "blur", "network")})
        harm = [f"{value:.1f}" for value in unharmed(run)]
        real = [f"{np.mean([gain(run, p) for p in pairs if p.group == g]):+.2f}" for g in groups(pairs)]
        rows.append(
            [
                f"seed {seed}",
                f"{seconds / 60:.1f}",
                f"{best['psnr_blurred']:.2f}",
                f"{best['psnr']:.2f}",
                f"**{best['gain_db']:+.2f}**",
                f"{best['ssim_blurred']:.3f}",
                f"{best['ssim']:.3f}",
                " / ".join(harm),
                *real,
            ]
        )
    data, network = (np.mean([split[k] for split in splits]) for k in ("data", "network"))
    header = ["`small`", "min", "blurred dB", "restored dB", "gain", "SSIM blurred", "restored", "no harm dB"]
    return (
        f"### The configuration that ships\n\n`deblur train small --out run/ --seed N`, {cores()} cores; held-out "
        "photographs with blur of the recipe `steady-hand`; no harm: PSNR of what the network makes of the two sharp "
        f"held-out photographs against themselves; real pairs: gain in dB. {_protocol(pairs)}\n\n"
        f"{table([*header, *groups(pairs)], rows)}\n\nOf a step, {100 * data / (data + network):.0f} % went into "
        f"reading and blurring (each patch is shown {_reuse()} times), the rest into the network."
    )


def recipes(pairs: list[RealPair]) -> str:
    """The same small network and budget, trained on the blur of each recipe, on real photographs."""
    jobs = [(recipe, seed) for seed in SEEDS for recipe in RECIPES]
    with ThreadPoolExecutor(max_workers=cores()) as pool:  # each a process of one thread
        list(pool.map(lambda job: trained(OUT / f"{job[0]}-{job[1]}", _changes(*job), threads=1), jobs))
    rows = []
    for recipe in RECIPES:
        row = [f"`{recipe}`"]
        for group in groups(pairs):
            gains = [np.mean([gain(OUT / f"{recipe}-{s}", p) for p in pairs if p.group == group]) for s in SEEDS]
            row.append(f"{np.mean(gains):+.2f} ({min(gains):+.2f} .. {max(gains):+.2f})")
        harms = [np.mean(unharmed(OUT / f"{recipe}-{s}")) for s in SEEDS]
        rows.append([*row, f"{np.mean(harms):.1f}"])
    before = [f"{np.mean([score(p.blurred, p) for p in pairs if p.group == g]):.2f}" for g in groups(pairs)]
    rows.append(["blurred, dB", *before, ""])
    return (
        f"### The value of the blur\n\nThe network of `small`, {STEPS} steps of 8 patches of 64 px from the bundled "
        "photographs (in the last quarter one in eight is shown without blur), with the blur of each recipe. Gain in "
        "dB on real pairs, mean of three "
        f"seeds (least .. greatest). {_protocol(pairs)}\n\n"
        f"{table(['trained on', *groups(pairs), 'no harm dB'], rows)}"
    )


def trained(run: Path, changes: Mapping[str, Any], *, threads: int) -> None:
    """A finished run; in a process of its own, since the number of threads belongs to a process."""
    settings = [f"{key}={value}" for key, value in changes.items() if key != "seed"]
    words = ["train", "small", "--out", str(run), "--seed", str(changes["seed"]), "--set", f"run.threads={threads}"]
    for setting in settings:
        words += ["--set", setting]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    print(f"{run.name} ...", flush=True)
    subprocess.run([sys.executable, "-m", "deblur_models", *words], check=True, env=environment)


def _changes(recipe: str, seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "stage.0.steps": 3 * STEPS // 4,
        "stage.1.steps": STEPS // 4,
        "data.blurred.recipe": recipe,
        "data.blurred.reuse": REUSE.get(recipe, _reuse()),
        "validation.every": STEPS,
    }


def _reuse() -> int:
    return load_configuration("small").data["blurred"].reuse


def unharmed(run: Path) -> list[float]:
    """PSNR of the network's output for sharp held-out photographs against them."""
    restorer = NetworkRestorer(load_network(run))
    return [float(no_harm(restorer, picture(path))) for path in bundled_photographs("held-out")]


def gain(run: Path, pair: RealPair) -> float:
    """How much nearer the restored photograph is to the sharp one than the blurred one, in dB."""
    restored = NetworkRestorer(load_network(run)).restore(pair.blurred).clamp(0, 1)
    return score(restored, pair) - score(pair.blurred, pair)


def score(shown: Tensor, pair: RealPair) -> float:
    """PSNR, after alignment where the two photographs are moved against each other."""
    if not pair.shifted:
        return float(metric("psnr")(shown, pair.sharp))
    moved = align(shown, pair.sharp, max_shift_px=ALIGN_PX, border_px=BORDER_PX)
    return float(metric("psnr")(moved.restored, moved.sharp))


def real_pairs(folder: Path) -> Iterator[RealPair]:
    gopro = folder / "blur" / "gopro_nah_examples"
    flower = picture(gopro / "Flower_sharp1.png")
    for name in ("blur_lin", "blur_gamma"):
        yield RealPair("GoPro Flower", picture(gopro / f"{name}__seq_id-4_frame-1_Input.png"), flower, False)
    istanbul = picture(gopro / "Istanbul_blur1.png"), picture(gopro / "Istanbul_sharp1.png")
    yield RealPair("GoPro Istanbul", *istanbul, False)
    levin = folder / "blur" / "levin09"
    for number in (1, 2):
        sharp = picture(levin / "gt" / f"im{number}.png")
        for kernel in range(1, 9):
            yield RealPair("Levin", picture(levin / f"im{number}_kernel{kernel}_img.png"), sharp, True)


def groups(pairs: list[RealPair]) -> list[str]:
    return list(dict.fromkeys(pair.group for pair in pairs))


def _protocol(pairs: list[RealPair]) -> str:
    if not pairs:
        return ""
    return (
        "GoPro Flower (two pairs: averaged in light and in gamma) and Istanbul as they are; Levin: 16 photographs of "
        f"real shakes, aligned by up to {ALIGN_PX} px with {BORDER_PX} px cut off."
    )


def picture(path: Path) -> Tensor:
    codes = read_pixels(path)
    values = codes.astype(np.float32) / np.iinfo(codes.dtype).max
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))[None]


if __name__ == "__main__":
    print(main())
