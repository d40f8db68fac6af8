"""The network that ships in fewer bits: size, time, and what restored photographs lose.

Takes long on few cores, so that ``make bench`` leaves it out: ``python benchmarks/run.py quantization``. Real
photographs are used where ``BLURSYNTH_REAL_DATA`` names their folder.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import best_of_each, machine, processor_time_of_each, table, version
from real_pairs import protocol, real_pairs, score, sharp_photographs
from torch import Tensor

from deblur_models import NetworkRestorer, OnnxNetwork, export_network, load_network
from deblur_models.checkpoints.shipped import shipped_network
from deblur_models.export import Quantized, quantize_network
from deblur_models.metrics import metric

NAME = "photographs"
ANY_DB = 100.0
TIGHT_DB = 0.05
FINE_TUNING_STEPS = 300


@dataclass(frozen=True)
class Variant:
    """A form of the network: with a number of threads it becomes a restorer."""

    bytes: int
    restorer: Callable[[int], NetworkRestorer]
    quantized: Quantized | None = None


def main() -> str:
    """The section of BENCHMARKS.md."""
    with tempfile.TemporaryDirectory() as folder:
        variants = made(Path(folder))
        tile = torch.rand(1, 3, 512, 512)
        pixels = tile[0, 0].numel() / 1e6
        one = timed(variants, tile, threads=1)
        two = timed(variants, tile, threads=2)
        found = photographs(variants)
    head = [
        "", "MB", "1 thread, s / Mpx", "times torch", "2 threads, s / Mpx", "times torch", "float32 layers",
        "held-out: lost dB", "pooled", "worst", "no harm dB", *next(iter(found.values())),
    ]  # fmt: skip
    base = next(iter(variants))
    rows = []
    for name, variant in variants.items():
        seconds = [f"{one[name] / pixels:.2f}", f"{one[base] / one[name]:.2f}", f"{two[name] / pixels:.2f}",
                   f"{two[base] / two[name]:.2f}"]  # fmt: skip
        losses = [""] * 5
        if (done := variant.quantized) is not None:
            loss = done.loss
            losses = [f"{len(done.float32_layers)} of {done.layers}", f"{loss.mean_db:.3f}", f"{loss.pooled_db:.3f}",
                      f"{loss.worst_db:.3f}", f"{loss.no_harm_int8 - loss.no_harm_float32:+.2f}"]  # fmt: skip
        rows.append([name, f"{variant.bytes / 1e6:.2f}", *seconds, *losses, *found[name].values()])
    real = (
        f" Real pairs: PSNR lost against torch in float32, mean and worst of 19; {protocol()} No harm: PSNR of what "
        "becomes of sharp pictures against themselves, mean."
    )
    versions = ", ".join(map(version, ("torch", "onnxruntime", "torchao")))
    return f"""## Quantization

{machine()}; {versions}. `deblur quantize {NAME}`: a `drunet` of 1.0 million weights, on a tile of 512 x 512 px.
Times are the least of runs in turn, since others used the machine: of one thread the processor's, of two, which is
rougher, on the wall.
Held-out: PSNR of restored against sharp, float32 minus int8, of 32 pictures of scikit-image that the calibration does
not see; pooled: of the mean squared error; no harm: PSNR of what becomes of sharp pictures against themselves, int8
minus float32. At most: `--max-loss-db`; else all layers are integers.{real if any(found.values()) else ""}

{table(head, rows)}"""


def made(folder: Path) -> dict[str, Variant]:
    """All forms, the network in torch first."""
    network = load_network(NAME)
    weights = shipped_network(NAME).stat().st_size

    def torch_restorer(autocast: torch.dtype | None) -> Callable[[int], NetworkRestorer]:
        return lambda threads: NetworkRestorer(network, autocast=autocast)

    def file_restorer(path: Path) -> Callable[[int], NetworkRestorer]:
        return lambda threads: NetworkRestorer(OnnxNetwork(path, threads=threads))

    variants = {
        "torch, float32": Variant(weights, torch_restorer(None)),
        "torch, bfloat16 (autocast)": Variant(weights, torch_restorer(torch.bfloat16)),
    }
    for precision in ("float32", "float16"):
        done = export_network(NAME, folder / f"{precision}.onnx", precision=precision, runtimes=["onnxruntime"])
        variants[f"ONNX Runtime, {precision}"] = Variant(done.bytes, file_restorer(done.path))
    settings: dict[str, dict[str, Any]] = {}
    for how in ("percentile", "minmax", "entropy"):
        settings[how] = {"calibration": how, "max_loss_db": ANY_DB}
        settings[f"{how}, at most {TIGHT_DB:g} dB"] = {"calibration": how, "max_loss_db": TIGHT_DB}
    settings[f"percentile, fine-tuned for {FINE_TUNING_STEPS} steps"] = {
        "max_loss_db": ANY_DB, "fine_tuning_steps": FINE_TUNING_STEPS,
    }  # fmt: skip
    for number, (name, setting) in enumerate(settings.items()):
        print(f"{name} ...", flush=True)
        done = quantize_network(NAME, folder / f"{number}.onnx", **setting)
        variants[f"ONNX Runtime, int8, {name}"] = Variant(done.bytes, file_restorer(done.path), done)
    return variants


def timed(variants: Mapping[str, Variant], blurred: Tensor, threads: int) -> dict[str, float]:
    """Least seconds of each variant, called in turn."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    restorers = {name: variant.restorer(threads) for name, variant in variants.items()}
    calls = {name: (lambda restorer=restorer: restorer.restore(blurred)) for name, restorer in restorers.items()}
    try:
        return processor_time_of_each(calls, 15) if threads == 1 else best_of_each(calls, 80, seconds=0)
    finally:
        torch.set_num_threads(before)


def photographs(variants: Mapping[str, Variant]) -> dict[str, dict[str, str]]:
    """What each variant makes of real photographs; empty where there are none."""
    place = os.environ.get("BLURSYNTH_REAL_DATA")
    if not place:
        return {name: {} for name in variants}
    pairs, sharp = list(real_pairs(Path(place))), sharp_photographs(Path(place))
    psnr = metric("psnr")
    base: list[float] = []
    found = {}
    for name, variant in variants.items():
        print(f"{name}: photographs ...", flush=True)
        restorer = variant.restorer(torch.get_num_threads())

        def shown(given: Tensor, restorer: NetworkRestorer = restorer) -> Tensor:
            return (restorer.restore(given).clamp(0, 1) * 255).round() / 255

        values = [score(shown(pair.blurred), pair) for pair in pairs]
        base = base or values
        lost = np.subtract(base, values)
        kept = {f"{group}: no harm dB": f"{np.mean([float(psnr(shown(x), x)) for x in pictures]):.2f}"
                for group, pictures in sharp.items()}  # fmt: skip
        found[name] = {"real pairs: lost dB": f"{lost.mean():.3f}", "real: worst": f"{lost.max():.3f}", **kept}
    return found


if __name__ == "__main__":
    print(main())
