"""Half precision, memory layout and compilation: none of them changes what a network computes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from deblur_models.networks import ALL, BLUR_GENERATORS, NetworkConfig
from deblur_models.networks.network import Architecture

EVERY: tuple[type[Architecture], ...] = (*ALL, *BLUR_GENERATORS)

# (kind) -> largest difference of a pixel and smallest cosine between gradients under bfloat16, where they are not .05 and .99.
ROUNDING: dict[str, tuple[float, float]] = {
    "deblurgan_v2": (0.1, 0.95),  # some fifty layers, the last of which take statistics over 2 x 2 pixels
}

QUICK = ("nafnet", "attention_unet", "bgan")
"""Kinds that are traced in every run; tracing the others takes ten seconds each."""


def name(case: Any) -> str:
    return case.kind if isinstance(case, type) else str(case)


def ready(config: type[Architecture]) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A tiny network in use; weights of zero, which switch parts off until training moves them, are moved."""
    torch.manual_seed(0)
    network = config.of_size("tiny").build().eval()
    with torch.no_grad():
        for weight in network.parameters():
            if not weight.any():
                weight.normal_(std=0.1)
    picture = torch.nn.functional.interpolate(torch.rand(2, 3, 16, 16), size=(64, 64), mode="bilinear")
    return network, (picture,) if issubclass(config, NetworkConfig) else (picture, torch.randn(2, 4))


@pytest.mark.parametrize(
    "config", [pytest.param(c, marks=pytest.mark.slow) if c.kind == "dbgan" else c for c in EVERY], ids=name
)
def test_half_precision_gives_the_same_picture(config: type[Architecture]) -> None:
    """Under autocast to bfloat16, whose numbers have 8 binary digits; gradients are finite and point the same way."""
    difference, cosine = ROUNDING.get(config.kind, (0.05, 0.99))
    network, inputs = ready(config)
    exact = network(*inputs)
    exact.square().mean().backward()
    wanted = {key: weight.grad.clone() for key, weight in network.named_parameters() if weight.grad is not None}
    network.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = network(*inputs)
        assert torch.isfinite(half).all()
        assert (half.float() - exact).abs().max() < difference
        assert not torch.equal(half.float(), exact), "autocast had nothing to do"
    half.float().square().mean().backward()
    found = {key: weight.grad for key, weight in network.named_parameters() if weight.grad is not None}
    assert found.keys() == wanted.keys()
    assert all(torch.isfinite(gradient).all() for gradient in found.values())
    ours, theirs = (torch.cat([g.flatten() for g in gradients.values()]) for gradients in (found, wanted))
    assert torch.cosine_similarity(ours, theirs, dim=0) > cosine


@pytest.mark.parametrize("config", EVERY, ids=name)
def test_channels_last_gives_the_same_picture(config: type[Architecture]) -> None:
    network, inputs = ready(config)
    with torch.no_grad():
        contiguous = network(*inputs)
        network.to(memory_format=torch.channels_last)
        last = network(inputs[0].contiguous(memory_format=torch.channels_last), *inputs[1:])
    torch.testing.assert_close(last, contiguous, atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    "config", [c if c.kind in QUICK else pytest.param(c, marks=pytest.mark.slow) for c in EVERY], ids=name
)
def test_compiles_as_one_graph(config: type[Architecture]) -> None:
    """Without a break: what torch.compile traces is the whole network, and it computes the same."""
    network, inputs = ready(config)
    torch.compiler.reset()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(*inputs), network(*inputs), atol=1e-6, rtol=0)
