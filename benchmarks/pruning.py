"""What pruned networks lose and gain: the network that ships, before and after fine-tuning; others with random weights.

``python benchmarks/run.py pruning``: ten minutes of one core that multiplies bfloat16; fine-tuned networks lie in
``benchmarks/output/pruning`` and are not repeated. ``BLURSYNTH_REAL_DATA`` names the folder with Kodak's photographs.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from distillation import PAIRS, kodak_pairs
from measure import machine, processor_time_of_each, table, version
from safetensors.torch import load_file, save_file
from torch import nn
from training_value import bfloat16

from deblur_models import create_network, load_network
from deblur_models.checkpoints.shipped import DEFAULT
from deblur_models.compress import kept_channels, prune
from deblur_models.config.configuration import load_configuration
from deblur_models.data import batches, make_batch
from deblur_models.networks import Network, count_weights
from deblur_models.train.distillation import load_distillation
from deblur_models.train.initial import InitialNetworks
from deblur_models.train.learner import Learner
from deblur_models.train.prepare import training_sets
from deblur_models.train.processes import Processes

OUT = Path(__file__).parent / "output" / "pruning"
KEEPS = (0.7, 0.5)
STEPS, PATCH_PX, LEARNING_RATE = 600, 64, 1e-3
ALONE = Processes(0, 1, torch.device("cpu"))
PUBLISHED = (("deblurgan_v2", "inception"), ("deblurgan_v2", "mobile"), ("srn", "lstm"), ("nafnet", "32"))
SIDE_PX = 256


def main() -> str:
    """The section of BENCHMARKS.md."""
    torch.set_num_threads(1)
    return (
        f"## Pruning\n\n{machine()}; {version('torch')}{', bfloat16' if bfloat16() else ''}; "
        f"{version('torch-pruning')}. One thread.\n\n{shipped()}\n\n{published()}"
    )


def shipped() -> str:
    """The network that ships: what pruning costs it, and what fine-tuning brings back."""
    pairs, whole = kodak_pairs(), load_network(DEFAULT)

    def gain(network: nn.Module) -> str:
        scores = pairs.validate(network, ALONE)  # type: ignore[arg-type]
        return f"{scores.pooled_gain_db:+.2f}"

    rows = [["as it ships", f"{count_weights(whole):,}", "1.00x", gain(whole), "", ""]]
    for keep in KEEPS:
        pruned = prune(whole, keep)
        ranked = globally_ranked(whole, count_weights(pruned))
        times = paces({"whole": whole, "pruned": pruned, "ranked": ranked})
        name = f"{keep:.0%} of the channels"
        rows.append(
            [
                f"{name}: width {pruned.config.fields()['width']}",
                f"{count_weights(pruned):,}",
                f"{times['pruned'] / times['whole']:.2f}x",
                gain(pruned),
                gain(fine_tuned(f"pruned-{keep}", pruned)),
                gain(fine_tuned(f"taught-{keep}", pruned, taught=True)),
            ]
        )
        rows.append(
            [
                "as many weights by torch-pruning, ranked over all layers",
                f"{count_weights(ranked):,}",
                f"{times['ranked'] / times['whole']:.2f}x",
                gain(ranked),
                gain(fine_tuned(f"ranked-{keep}", ranked)),
                "",
            ]
        )
        torch.manual_seed(1)
        scratch = pruned.config.build()
        rows.append(
            ["the same width, trained from scratch", "", "", "", gain(fine_tuned(f"scratch-{keep}", scratch)), ""]
        )
    return (
        f"### The network that ships\n\nGain in dB of the mean squared error over {PAIRS} pairs that `default` drew of "
        f"Kodak's photographs. Fine-tuned: {STEPS} steps of the configuration `small` with eight patches of "
        f"{PATCH_PX} px, learning rate {LEARNING_RATE:g}; taught: with the whole network as `[teacher]`. One seed.\n\n"
        + table(["network", "weights", "time", "pruned", "fine-tuned", "fine-tuned and taught"], rows)
    )


def fine_tuned(name: str, network: Network, *, taught: bool = False) -> Network:
    """A copy of a network after some steps; networks of torch-pruning have channels that no configuration describes."""
    network, file = deepcopy(network).train(), OUT / f"{name}.safetensors"
    if file.exists():
        network.load_state_dict(load_file(file))
        return network.eval()
    print(f"{name} ...", flush=True)
    changes: dict[str, Any] = {
        "seed": 4,
        "network": network.config.to_dict(),
        "optimizer.learning_rate": LEARNING_RATE,
        "stage.0.patch_px": PATCH_PX,
        "run.precision": "bf16" if bfloat16() else "float32",
    }
    if taught:
        changes["teacher"] = {"network": DEFAULT, "loss": [{"kind": "l2", "weight": 20.0}]}
    configuration = load_configuration("small", changes).of_length(STEPS)
    distillation = load_distillation(configuration, network)
    learner = Learner(configuration, ALONE, InitialNetworks(network, None, distillation))
    (samples,) = training_sets(configuration, 1)
    parts = batches(
        samples, first=0, last=STEPS, batch=configuration.stage[0].batch, parts=1, offset=0,
        workers=0, rank=0, ranks=1, pin_memory=False,
    )  # fmt: skip
    for step, collated in enumerate(parts):
        factor = configuration.schedule.at(step, STEPS)
        learner.update([make_batch(one, ALONE.device, {}) for one in collated], step, factor)
    found = learner.best()
    OUT.mkdir(parents=True, exist_ok=True)
    save_file(found.state_dict(), file)
    return found.eval()  # type: ignore[return-value]


def globally_ranked(network: Network, weights: int) -> Network:
    """As few weights as wanted by torch-pruning, which ranks the channels of all layers against each other."""
    import torch_pruning as tp

    def pruned(ratio: float) -> Network:
        copy, picture = deepcopy(network), torch.rand(1, 3, 64, 64)
        last = copy.get_submodule("m_tail")
        importance = tp.importance.GroupMagnitudeImportance(p=2)
        pruner = tp.pruner.BasePruner(
            copy, picture, importance, global_pruning=True, pruning_ratio=ratio, ignored_layers=[last]
        )
        pruner.step()
        return copy

    low, high = 0.0, 1.0
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (middle, high) if count_weights(pruned(middle)) > weights else (low, middle)
    return pruned(high)


def published() -> str:
    """Published sizes with random weights: weights, time, and whether channels that nobody reads can go."""
    rows = []
    for kind, size in PUBLISHED:
        torch.manual_seed(0)
        whole = create_network(kind, size).eval()
        smaller = {keep: prune(whole, keep) for keep in KEEPS}
        times = paces({"whole": whole, **{str(keep): network for keep, network in smaller.items()}})
        rows.append([f"`{kind}`, {size}", f"{count_weights(whole) / 1e6:.2f}", "1.00x", ""])
        for keep, network in smaller.items():
            difference = "" if kind == "nafnet" else f"{unread(whole, keep):.1e}"
            count, time = f"{count_weights(network) / 1e6:.2f}", f"{times[str(keep)] / times['whole']:.2f}x"
            rows.append([f"{keep:.0%} of the channels", count, time, difference])
    return (
        "### Published sizes, random weights\n\nTheir trained weights are not here, so what they lose in quality was "
        f"not measured. Time of a picture of {SIDE_PX} x {SIDE_PX} px. Largest difference: of the pictures (0..1) of "
        "the pruned and the whole network, after weights that read the removed channels were set to zero in the whole "
        "one; NAFNet's normalization depends on all channels, so that it has none.\n\n"
        + table(["network", "million weights", "time", "largest difference"], rows)
    )


def unread(whole: Network, keep: float) -> float:
    """How much the picture changes when channels go that no convolution reads."""
    network, kept = deepcopy(whole), kept_channels(whole, keep)
    with torch.no_grad():
        for name, layer in network.named_modules():
            dim = 0 if isinstance(layer, nn.ConvTranspose2d) else 1
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.groups == 1:
                gone = torch.from_numpy(np.flatnonzero(~kept[f"{name}.weight", dim]))
                layer.weight.index_fill_(dim, gone, 0.0)
        picture = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
        smaller = prune(whole, keep)
        return float((network(picture) - smaller(picture)).abs().max())


def paces(networks: dict[str, nn.Module]) -> dict[str, float]:
    """Processor seconds for a picture."""
    picture = torch.rand(1, 3, SIDE_PX, SIDE_PX, generator=torch.Generator().manual_seed(0))

    def call(network: nn.Module) -> Any:
        def run() -> None:
            with torch.inference_mode():
                network(picture)

        return run

    return processor_time_of_each({name: call(network) for name, network in networks.items()})


if __name__ == "__main__":
    print(main())
