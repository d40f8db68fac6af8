"""What a teacher adds: the configuration ``distilled`` with its teacher and without, everything else equal.

``python benchmarks/run.py distillation``: two runs per seed, of one and two minutes of one core that multiplies
bfloat16; they lie in ``benchmarks/output/distillation`` and are not repeated. ``BLURSYNTH_REAL_DATA`` names the folder
of the pictures that are measured. Weights of losses were chosen on the held-out photographs of scikit-image, with
another seed; Kodak's photographs and the real pairs were not looked at for it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from measure import machine, processor_time_of_each, table, version
from real_pairs import protocol, real_pairs
from training import groups
from training_value import bfloat16, measured, real_data

from deblur_models import load_network
from deblur_models.checkpoints.shipped import DEFAULT
from deblur_models.config.configuration import Validation, load_configuration
from deblur_models.data import Batch
from deblur_models.networks import count_weights
from deblur_models.train import train
from deblur_models.train.learner import Learner
from deblur_models.train.processes import Processes
from deblur_models.train.validation import HeldOut

OUT = Path(__file__).parent / "output" / "distillation"
SEEDS = (1, 2, 3)
PAIRS = 96
SETTINGS = {"run.threads": 1, "run.precision": "bf16" if bfloat16() else "float32"}
ALONE = Processes(0, 1, torch.device("cpu"))


def trained(seed: int, *, taught: bool) -> Path:
    """The last checkpoint of a finished run."""
    run = OUT / f"{'with' if taught else 'without'}-{seed}"
    settings = {"seed": seed, **SETTINGS, **({} if taught else {"teacher": None})}
    print(f"{run.name} ...", flush=True)
    if not train(load_configuration("distilled", settings), run).finished:
        raise KeyboardInterrupt
    return run / "last"


def kodak_pairs() -> HeldOut:
    """Pairs that the recipe ``default`` draws of Kodak's photographs."""
    kodak = str(real_data() / "photos" / "kodak24")
    return HeldOut(Validation(photos=kodak, recipe="default", count=PAIRS, size_px=192, seed=20))


class Measure:
    """Gains in dB of a network: on drawn pairs of Kodak's photographs, on real pairs; and how it leaves sharp ones."""

    def __init__(self) -> None:
        self.drawn, self.pairs = kodak_pairs(), list(real_pairs(real_data()))

    def __call__(self, network: str | Path) -> dict[str, float]:
        model = load_network(network)
        pooled = self.drawn.validate(model, ALONE).pooled_gain_db
        assert pooled is not None
        real = measured(model, None)
        by_group = {
            group: float(np.mean([real["gain_db"][pair.name] for pair in self.pairs if pair.group == group]))
            for group in groups(self.pairs)
        }
        left_alone = float(np.mean(real["unharmed_db"]["sharp photographs"]))
        return {"Kodak, `default`": pooled, **by_group, "left alone, PSNR": left_alone}


def main() -> str:
    """The section of BENCHMARKS.md."""
    measure = Measure()
    runs = [[trained(seed, taught=taught) for taught in (False, True)] for seed in SEEDS]
    without, taught = ([measure(run) for run in column] for column in zip(*runs, strict=True))
    teacher = measure(DEFAULT)
    rows = []
    for name in teacher:
        one, other = (np.array([scores[name] for scores in many]) for many in (without, taught))
        difference = other - one
        form = "{:.1f}" if name.startswith("left alone") else "{:+.2f}"
        rows.append(
            [
                name,
                *(form.format(values.mean()) for values in (one, other)),
                f"**{difference.mean():+.2f}** ({difference.min():+.2f} .. {difference.max():+.2f})",
                form.format(teacher[name]),
            ]
        )
    configuration = load_configuration("distilled")
    sizes = [count_weights(load_network(path)) for path in (runs[0][1], DEFAULT)]
    return (
        f"## Distillation\n\n{machine()}; {version('torch')}{', bfloat16' if bfloat16() else ''}.\n"
        f"`deblur train distilled`: a `drunet` of {sizes[0]:,} weights with {sizes[1]:,} of its teacher, the network "
        f"that ships, {configuration.steps} steps, three seeds; without: the same run without `[teacher]`. Gain in dB: "
        f"of the mean squared error over {PAIRS} pairs that `default` drew of Kodak's photographs; of real pairs, "
        f"{protocol()} Left alone: PSNR of what becomes of sharp photographs. The last network of each run, not its "
        f"best. Difference: mean of the seeds (least .. greatest). A step with a teacher takes "
        f"{step_cost():.1f} times as long.\n\n"
        f"{table(['gain in dB', 'without a teacher', 'with', 'difference', 'the teacher'], rows)}"
    )


def step_cost() -> float:
    """How many times as long a training step takes with the teacher."""
    sharp = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    batch = Batch(sharp, sharp, (None,) * 8, (None,) * 8, ("",) * 8)
    steps = {}
    for name, changes in (("with", {}), ("without", {"teacher": None})):
        learner = Learner(load_configuration("distilled", {**SETTINGS, **changes}), ALONE)
        steps[name] = partial(learner.update, [batch], 0, 1.0)
    times = processor_time_of_each(steps)
    return times["with"] / times["without"]


if __name__ == "__main__":
    print(main())
