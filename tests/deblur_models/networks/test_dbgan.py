"""DBGAN: its dense blocks written out, the cut to 0..1, the names of the published weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from blursynth.errors import InvalidValueError
from deblur_models.networks.dbgan import DBGANConfig, DenseBlock


def original_names(config: DBGANConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the released weights, as its classes nest and count them."""
    w, g, shapes = config.width, config.growth, {}

    def layer(name: str, before: int, after: int) -> None:
        shapes[f"{name}.weight"] = (after, before, 3, 3)
        shapes[f"{name}.bias"] = (after,)

    layer("model.0", 3, w)
    for block in range(config.blocks):
        for dense in (1, 2, 3):
            for place in (1, 2, 3, 4, 5):
                name = f"model.1.sub1.{block}.RDB{dense}.conv{place}.0"
                layer(name, w + (place - 1) * g, g if place < 5 else w)
    layer("model.1.sub2.0", w, w)
    layer("model.2", w, w)  # 3 is its rectifier
    layer("model.4", w, 3)
    return shapes


def test_the_published_forward() -> None:
    """Written out with the weights under their published names."""
    torch.manual_seed(0)
    config = DBGANConfig.of_size("tiny")
    state = {name: 0.1 * torch.randn(shape) for name, shape in original_names(config).items()}
    network = config.build()
    network.load_state_dict(config.from_original(state))
    blurred = torch.rand(2, 3, 9, 12)

    def layer(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)

    features = layer(blurred, "model.0")
    x = features
    for block in range(config.blocks):
        before = x
        for dense in (1, 2, 3):
            name = f"model.1.sub1.{block}.RDB{dense}"
            seen = [x]
            for place in (1, 2, 3, 4):
                seen.append(F.leaky_relu(layer(torch.cat(seen, 1), f"{name}.conv{place}.0"), 0.2))
            x = x + 0.2 * layer(torch.cat(seen, 1), f"{name}.conv5.0")
        x = before + 0.2 * x
    x = features + layer(x, "model.1.sub2.0")
    uncut = blurred + layer(F.leaky_relu(layer(x, "model.2"), 0.2), "model.4")
    assert uncut.min() < 0
    assert uncut.max() > 1
    with torch.no_grad():
        torch.testing.assert_close(network(blurred), uncut.clamp(0, 1), atol=1e-5, rtol=1e-5)


def test_names_of_the_published_weights_all_fit() -> None:
    config = DBGANConfig.of_size("published")
    with torch.device("meta"):
        network = config.build()
        state = {name: torch.empty(shape) for name, shape in original_names(config).items()}
    mapped = config.from_original(state)
    assert {k: v.shape for k, v in mapped.items()} == {k: v.shape for k, v in network.state_dict().items()}
    assert set(config.from_original({"model.9.weight": torch.zeros(1)})) == {"model.9.weight"}


def test_a_dense_block_without_weights_changes_nothing() -> None:
    block = DenseBlock(4, 2)
    for weight in block.parameters():
        torch.nn.init.zeros_(weight)
    x = torch.randn(1, 4, 5, 5)
    assert torch.equal(block(x), x)


def test_no_pixel_is_padded() -> None:
    """It works at full size, so that a picture and the same picture with an edge beside it agree far from the edge."""
    config = DBGANConfig(width=4, blocks=1, growth=2)
    torch.manual_seed(0)
    network = config.build()
    assert config.multiple_px == 1
    picture = torch.rand(1, 3, 45, 45)
    with torch.no_grad():
        cut = network(picture[..., :41, :41])
        assert torch.allclose(network(picture)[..., :21, :21], cut[..., :21, :21], atol=1e-6)


@pytest.mark.parametrize("wrong", ["width", "blocks", "growth"])
def test_numbers_out_of_range_are_refused(wrong: str) -> None:
    with pytest.raises(InvalidValueError, match=wrong):
        DBGANConfig(**{wrong: 0})
