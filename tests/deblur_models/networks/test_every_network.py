"""What holds for every restoration network: counts, shapes, gradient flow, odd sizes, and that it can learn."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from blursynth.errors import InvalidValueError
from deblur_models.networks import ALL, NetworkConfig, count_weights, create_network, network_config

EVERY = [(config, size) for config in ALL for size in config.sizes]
FULL = [(config, size) for config, size in EVERY if size != "tiny"]
TINY = list(ALL)

# (kind, size) -> number of weights of the published code, measured; every one of them stands in the network's own test too
# where something is to be said about it.
WEIGHTS: dict[tuple[str, str], int] = {
    ("nafnet", "32"): 17_111_907,
    ("nafnet", "64"): 67_888_835,
    ("hinet", "64"): 88_668_806,
    ("hinet", "32"): 22_176_518,
    ("mimo_unet", "base"): 6_807_171,
    ("mimo_unet", "plus"): 16_107_651,
    ("srn", "lstm"): 8_056_609,
    ("deepdeblur", "published"): 11_721_321,
    ("dbgan", "published"): 11_588_163,
    ("deblurgan", "published"): 11_378_179,
    ("deblurgan", "cyclegan"): 11_378_179,
    ("deblurgan_v2", "inception"): 35_840_099,  # those used; its own test has those stored
    ("deblurgan_v2", "mobile"): 2_106_627,
    ("swinir", "base"): 11_504_163,
    ("swinir", "light"): 905_283,
    ("restormer", "motion"): 26_126_644,
}

# (kind) -> prefixes of weights that the architecture stores and does not use.
UNUSED: dict[str, tuple[str, ...]] = {}

# Changes to a tiny network for learning one batch, where its defaults are for long training.
LEARNING: dict[str, dict[str, Any]] = {
    "mimo_unet": {"steps": 90},  # its loss is of three sizes
    "deblurgan": {"changes": {"dropout": 0.0}},
    "deblurgan_v2": {"steps": 120},  # 32 px are one pixel of its deepest map
    "swinir": {"changes": {"drop_path": 0.0}, "steps": 130},  # its weights start near 0
    "dbgan": {"lr": 3e-3, "steps": 110},  # its residuals are scaled down to a 25th
    "srn": {"changes": {"levels": 2}, "steps": 190},  # no shortcut from picture to picture: it learns to copy first
}


def name(case: Any) -> str:
    return case.kind if isinstance(case, type) else str(case)


def test_every_network_has_a_tiny_size_and_published_ones() -> None:
    for config in ALL:
        assert "tiny" in config.sizes, config.kind
        assert next(iter(config.sizes)) != "tiny", config.kind


def test_the_table_names_real_sizes() -> None:
    known = {(config.kind, size) for config, size in EVERY}
    assert set(WEIGHTS) <= known


@pytest.mark.parametrize(("kind", "size"), WEIGHTS, ids=name)
def test_weights_are_as_many_as_published(kind: str, size: str) -> None:
    with torch.device("meta"):
        assert count_weights(create_network(kind, size)) == WEIGHTS[kind, size]


@pytest.mark.parametrize(("config", "size"), FULL, ids=name)
def test_shapes_and_gradient_flow_at_full_size(config: type[NetworkConfig], size: str) -> None:
    """Without numbers: every weight that is used has a gradient of its shape, and outputs have the shapes of targets."""
    with torch.device("meta"):
        network = config.of_size(size).build()
        blurred = torch.rand(1, 3, 2 * max(64, network.config.multiple_px), 2 * max(64, network.config.multiple_px))
        outputs = network(blurred, every_scale=True)
        targets = network.targets(blurred)
        assert [o.shape for o in outputs] == [t.shape for t in targets]
        sum(o.square().mean() for o in outputs).backward()
    unused = UNUSED.get(config.kind, ())
    for weight, parameter in network.named_parameters():
        if not weight.startswith(unused) if unused else True:
            assert parameter.grad is not None, f"{weight} is not used"


@pytest.mark.parametrize("config", TINY, ids=name)
@pytest.mark.parametrize("size_px", [(64, 64), (37, 51), (1, 1), (130, 5)])
def test_any_size_goes(config: type[NetworkConfig], size_px: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = config.of_size("tiny").build().eval()
    picture = torch.rand(2, 3, *size_px)
    with torch.inference_mode():
        restored = network(picture)
        outputs = network(picture, every_scale=True)
    assert restored.shape == picture.shape
    assert torch.isfinite(restored).all()
    assert torch.equal(outputs[0], restored)
    assert [o.shape for o in outputs] == [t.shape for t in network.targets(picture)]


@pytest.mark.parametrize("config", TINY, ids=name)
def test_pictures_of_a_batch_do_not_see_each_other(config: type[NetworkConfig]) -> None:
    """In use the result for a picture does not depend on what else is in the batch (statistics of batches apart)."""
    network = config.of_size("tiny").build().eval()
    if getattr(network.config, "norm", "instance") == "batch_stats":
        pytest.skip("batch statistics are what it is published with")
    pictures = torch.rand(3, 3, 64, 64)
    with torch.inference_mode():
        together, alone = network(pictures), network(pictures[1:2])
    assert torch.allclose(together[1:2], alone, atol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(c, marks=pytest.mark.slow) if c.kind in ("srn", "swinir", "dbgan") else c for c in TINY
    ],  # half a minute each
    ids=name,
)
def test_one_batch_is_learned(config: type[NetworkConfig]) -> None:
    """Adam takes the error on one pair well below that of doing nothing."""
    torch.manual_seed(0)
    network = config.of_size("tiny", **LEARNING.get(config.kind, {}).get("changes", {})).build().train()
    sharp = torch.nn.functional.interpolate(torch.rand(2, 3, 8, 8), size=(32, 32), mode="nearest")
    blurred = torch.nn.functional.avg_pool2d(sharp, 5, 1, 2)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING.get(config.kind, {}).get("lr", 2e-3))
    for _ in range(LEARNING.get(config.kind, {}).get("steps", 60)):
        optimizer.zero_grad()
        outputs = network(blurred, every_scale=True)
        loss = sum((o - t).abs().mean() for o, t in zip(outputs, network.targets(sharp), strict=True))
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        # In training mode: with statistics that run, use follows only after many more steps.
        learned = (network(blurred) - sharp).abs().mean()
    assert learned < 0.5 * (blurred - sharp).abs().mean()


@pytest.mark.parametrize(("config", "size"), EVERY, ids=name)
def test_configurations_survive_json(config: type[NetworkConfig], size: str) -> None:
    made = config.of_size(size)
    assert network_config(made.to_dict()) == made


@pytest.mark.parametrize("config", TINY, ids=name)
def test_wrong_input_is_refused(config: type[NetworkConfig]) -> None:
    network = config.of_size("tiny").build()
    for wrong in (torch.rand(3, 8, 8), torch.rand(1, 1, 8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8)):
        with pytest.raises(InvalidValueError, match="floating-point tensors"):
            network(wrong)
