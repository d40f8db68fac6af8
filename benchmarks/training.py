"""The training configuration ``small``: held-out photographs, and real ones.

Takes long on few cores, so that ``make bench`` leaves it out: ``python benchmarks/run.py training``. Runs
lie in ``benchmarks/output/training`` and go on where they were stopped. Real photographs are used where
``BLURSYNTH_REAL_DATA`` names their folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from measure import cores, machine, table, version
from real_pairs import RealPair, picture, protocol, real_pairs, score

from blursynth.dataset.bundled import bundled_photographs
from deblur_models.checkpoints.checkpoint import load_checkpoint, load_network
from deblur_models.config.configuration import load_configuration
from deblur_models.metrics import no_harm
from deblur_models.restore.network_restorer import NetworkRestorer

OUT = Path(__file__).parent / "output" / "training"
SEEDS = (1, 2, 3)


def main() -> str:
    """The section of BENCHMARKS.md."""
    folder = os.environ.get("BLURSYNTH_REAL_DATA")
    pairs = list(real_pairs(Path(folder))) if folder else []
    head = f"## Training\n\n{machine()}; {version('torch')}."
    return f"{head}\n\n{shipped(pairs)}"


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
        "photographs with blur of the recipe `default`; no harm: PSNR of what the network makes of the two sharp "
        f"held-out photographs against themselves; real pairs: gain in dB. {protocol() if pairs else ''}\n\n"
        f"{table([*header, *groups(pairs)], rows)}\n\nOf a step, {100 * data / (data + network):.0f} % went into "
        f"reading and blurring (each patch is shown {_reuse()} times), the rest into the network."
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


def groups(pairs: list[RealPair]) -> list[str]:
    return list(dict.fromkeys(pair.group for pair in pairs))


if __name__ == "__main__":
    print(main())
