"""Pruning: channels that nobody reads make no difference when they go, in every network; and what cannot be pruned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from blursynth.errors import InvalidValueError
from deblur_models.checkpoints.checkpoint import load_checkpoint, load_network, save_network
from deblur_models.cli import app as cli
from deblur_models.compress import kept_channels, prune, pruned_config, pruning
from deblur_models.compress.channels import channels_of
from deblur_models.networks import ALL, Network, count_weights, create_network
from deblur_models.networks.attention_unet import ConvolutionalBlockAttention
from deblur_models.networks.layers import LayerNorm2d

ATTENTION = ("restormer", "swinir")
SIZES: dict[str, dict[str, Any]] = {
    "attention_unet": {"reduction": 4, "levels": 2, "blocks": 1},
    "nafnet": {"width": 8, "encoder_blocks": (1, 1), "middle_blocks": 1, "decoder_blocks": (1, 1)},
    "hinet": {"levels": 3, "normalized_levels": (0, 2)},
    "mimo_unet": {"residual_blocks": 1},
    "srn": {"width": 8, "blocks": 1},
    "dbgan": {"width": 8, "growth": 4, "blocks": 1},
    "deepdeblur": {"blocks": 2},
}
"""Fields that differ from those of size tiny: fewer blocks."""
PRUNED = [config.kind for config in ALL if config.kind not in ATTENTION]


def random_network(kind: str, **fields: Any) -> Network:
    """All weights drawn, also those that begin as zeros or ones."""
    torch.manual_seed(7)
    network = create_network(kind, size="tiny", **(SIZES.get(kind, {}) | fields)).eval()
    for weight in network.parameters():
        nn.init.normal_(weight, 0.0, 0.3 / max(1.0, weight[0].numel() ** 0.5))
    return network


def reads(network: Network) -> Iterator[tuple[str, int]]:
    """The dimensions along which convolutions read channels."""
    for name, layer in network.named_modules():
        if isinstance(layer, nn.ConvTranspose2d):
            yield f"{name}.weight", 0
        elif isinstance(layer, nn.Conv2d) and layer.groups == 1:
            yield f"{name}.weight", 1


def without_means_over_channels(network: Network, kept: dict[tuple[str, int], np.ndarray]) -> None:
    """Means over channels depend on all of them: take those over the ones that stay, or switch them off."""
    for name, layer in network.named_modules():
        if isinstance(layer, LayerNorm2d):
            stay = torch.from_numpy(kept[f"{name}.weight", 0])

            def forward(x: Tensor, layer: LayerNorm2d = layer, stay: Tensor = stay) -> Tensor:
                variance, mean = torch.var_mean(x[:, stay], dim=1, keepdim=True, correction=0)
                y = (x - mean) / (variance + layer.epsilon).sqrt()
                return y * layer.weight[:, None, None] + layer.bias[:, None, None]

            layer.forward = forward  # type: ignore[method-assign]
        if isinstance(layer, ConvolutionalBlockAttention):
            nn.init.zeros_(layer.weigh_pixels.weight)


@pytest.mark.parametrize("kind", PRUNED)
def test_channels_that_nobody_reads_make_no_difference(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that read the channels to be removed become zero: the pruned network gives the same picture.

    The removed channels themselves, in sums, gates and norms, keep their weights.
    """
    network = random_network(kind)
    kept = kept_channels(network, 0.6)
    without_means_over_channels(network, kept)
    state = network.state_dict()
    count = 0
    for name, dim in reads(network):
        channels = torch.from_numpy(np.flatnonzero(~kept[name, dim]))
        state[name].index_fill_(dim, channels, 0.0)
        count += len(channels)
    assert count > 10
    picture = torch.rand(1, 3, 37, 45, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(pruning, "kept_channels", lambda *_: kept)  # those chosen before weights became zero
    pruned = prune(network, 0.6)
    with torch.no_grad():
        outputs, fewer = (n(picture, every_scale=True) for n in (network, pruned))
    assert count_weights(pruned) < count_weights(network)
    assert len(outputs) == len(fewer)
    for whole, part in zip(outputs, fewer, strict=True):
        assert (whole - whole.mean()).abs().max() > 1e-3, "a picture, not a constant"
        torch.testing.assert_close(part, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", PRUNED)
def test_a_pruned_network_is_an_ordinary_one(kind: str, tmp_path: Path) -> None:
    network = random_network(kind)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    pruned = prune(network, 0.5)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items()), "unchanged"
    save_network(pruned, tmp_path / "pruned")
    again = load_network(tmp_path / "pruned")
    assert again.config == pruned.config == pruned_config(network.config, 0.5)
    assert again.config.replace(**{n: getattr(network.config, n) for n in ("width", "growth") if hasattr(network.config, n)}) == network.config  # fmt: skip
    picture = torch.rand(1, 3, 33, 40)
    with torch.no_grad():
        assert torch.equal(again(picture), pruned(picture))
    for name, value in pruned.state_dict().items():  # nothing but values of the network
        assert set(value.flatten().tolist()) <= set(before[name].flatten().tolist())


@pytest.mark.parametrize("kind", ATTENTION)
def test_attention_by_products_is_refused(kind: str) -> None:
    with pytest.raises(InvalidValueError, match=rf"{kind} cannot be pruned: its operation .*\[teacher\]"):
        prune(create_network(kind, size="tiny"), 0.5)


def test_the_largest_weights_stay() -> None:
    """A hidden layer between two others: its channels are ranked by all that is theirs."""
    network = random_network("deepdeblur", blocks=1, width=8, levels=2)
    large = (1, 2, 4, 7)
    for body in network.get_submodule("bodies").children():
        first, second = body[1].body[0], body[1].body[2]  # type: ignore[index]
        with torch.no_grad():
            for channel in range(8):
                factor = 10.0 if channel in large else 0.1
                first.weight[channel] *= factor
                first.bias[channel] *= factor
                second.weight[:, channel] *= factor
    pruned = prune(network, 0.5)
    for whole, part in zip(network.get_submodule("bodies"), pruned.get_submodule("bodies"), strict=True):
        assert torch.equal(part[1].body[0].bias, whole[1].body[0].bias[list(large)])  # type: ignore[index]


def test_gates_keep_pairs_and_halves_keep_halves() -> None:
    """NAFNet multiplies channel k with k + C; HINet normalizes the first half of C."""
    kept = kept_channels(random_network("nafnet"), 0.5)
    first, second = np.split(kept["encoders.0.0.conv1.weight", 0], 2)
    assert np.array_equal(first, second)
    assert first.sum() == len(first) // 2
    kept = kept_channels(random_network("hinet"), 0.5)
    first, second = np.split(kept["down_path_1.2.conv_1.weight", 0], 2)
    assert first.sum() == second.sum() == len(first) // 2
    assert np.array_equal(first, kept["down_path_1.2.norm.weight", 0])


@pytest.mark.parametrize("kind", ["drunet", "deblurgan", "deepdeblur", "dbgan"])
def test_groups_are_those_of_torch_pruning(kind: str) -> None:
    """Layers whose channels belong together, as found from autograd's graph (DepGraph).

    It knows no channels of pictures, nor those behind a chunk of a repeated layer (SRN); it fails on HINet.
    """
    tp = pytest.importorskip("torch_pruning")
    network = random_network(kind)
    names = {layer: name for name, layer in network.named_modules()}
    graph = tp.DependencyGraph().build_dependency(network, example_inputs=torch.rand(1, 3, 32, 32))
    theirs = set()
    for group in graph.get_all_groups(root_module_types=[nn.Conv2d, nn.ConvTranspose2d]):
        places = set()
        for dependency, _ in group:
            layer = dependency.target.module
            if layer in names and isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                makes = graph.is_out_channel_pruning_fn(dependency.handler)
                places.add((f"{names[layer]}.weight", int(makes == isinstance(layer, nn.ConvTranspose2d))))
        theirs.add(frozenset(places))
    by_class: dict[int, set[tuple[str, int]]] = {}
    for (name, dim), channels in channels_of(network).items():
        if name.endswith("weight"):
            for channel in set(channels.tolist()):
                by_class.setdefault(channel, set()).add((name, dim))
    mine = {frozenset(places) for places in by_class.values()}
    assert len(theirs) > 2
    pictures = {group for group in theirs if len(group) == 1}  # the last layer, whose channels are the picture's
    assert theirs - pictures <= mine


@pytest.mark.parametrize("keep", [0.0, 1.0, 1.5, -0.5, float("nan")])
def test_shares_beyond_the_range_are_refused(keep: float) -> None:
    with pytest.raises(InvalidValueError, match=r"keep must be between 0 and 1"):
        pruned_config(create_network("drunet", size="tiny").config, keep)


def test_a_share_that_changes_nothing_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"keep = 0\.99 leaves all channels: width = 16 changes in steps of 2"):
        prune(create_network("drunet", size="tiny"), 0.99)
    assert prune(create_network("mimo_unet", size="tiny"), 0.6).config.fields()["width"] == 8  # steps of 4


# The command


def deblur(*words: str) -> Any:
    return CliRunner().invoke(cli.app, list(words))


def test_the_command_writes_a_checkpoint_and_says_what_to_do(tmp_path: Path) -> None:
    save_network(random_network("drunet"), tmp_path / "whole", license="MIT")
    result = deblur("prune", str(tmp_path / "whole"), "--drop", "0.5", "--out", str(tmp_path / "half.safetensors"))
    assert result.exit_code == 0, result.output
    assert f"--set start_from={tmp_path / 'half'} --set network.width=8" in result.output.replace("\n", "")
    checkpoint = load_checkpoint(tmp_path / "half")
    assert checkpoint.manifest["pruned_from"] == load_checkpoint(tmp_path / "whole").manifest["sha256"]
    assert checkpoint.manifest["license"] == "MIT"
    kept = deblur("prune", str(tmp_path / "whole"), "--keep", "0.5", "--out", str(tmp_path / "kept"))
    assert kept.exit_code == 0
    assert load_checkpoint(tmp_path / "kept").manifest["sha256"] == checkpoint.manifest["sha256"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--out", "x"), "either --keep or --drop"),
        (("--out", "x", "--keep", "0.5", "--drop", "0.5"), "either --keep or --drop"),
        (("--out", "there", "--keep", "0.5"), "already exists"),
    ],
)
def test_mistakes_are_reported(
    words: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_network(create_network("drunet", size="tiny"), "there")
    result = deblur("prune", "there", *words)
    assert result.exit_code == 2
    assert message in str(result.exception or "") + result.output
