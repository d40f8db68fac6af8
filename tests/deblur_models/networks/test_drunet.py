"""DRUNet: its weights by name, shape and number, its structure by arithmetic, the noise map, and its errors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from blursynth.errors import InvalidValueError
from deblur_models.networks.drunet import DRUNet, DRUNetConfig
from deblur_models.networks.network import count_weights


def original_names(width: int = 64, blocks: int = 4, channels: int = 3) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights of ``UNetRes`` in the authors' network_unet.py, without the noise map."""
    widths = [width * 2**level for level in range(4)]
    shapes: dict[str, tuple[int, ...]] = {"m_head.weight": (width, channels, 3, 3)}

    def residual(name: str, wide: int) -> None:
        shapes.update({f"{name}.res.{place}.weight": (wide, wide, 3, 3) for place in (0, 2)})

    for level in range(3):
        for block in range(blocks):
            residual(f"m_down{level + 1}.{block}", widths[level])
            residual(f"m_up{level + 1}.{block + 1}", widths[level])
        shapes[f"m_down{level + 1}.{blocks}.weight"] = (widths[level + 1], widths[level], 2, 2)
        shapes[f"m_up{level + 1}.0.weight"] = (widths[level + 1], widths[level], 2, 2)
    for block in range(blocks):
        residual(f"m_body.{block}", widths[3])
    shapes["m_tail.weight"] = (channels, width, 3, 3)
    return shapes


def test_the_published_weights_fit() -> None:
    with torch.device("meta"):
        network = DRUNetConfig.of_size("color").build()
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == original_names()
    # The authors' network has 32,640,960, of which its fourth input channel has 64 x 3 x 3.
    assert count_weights(network) == 32_640_960 - 64 * 9


def test_the_noise_map_is_left_out() -> None:
    """A convolution is linear in its channels, so a level of 0 is the same as no such channel."""
    config = DRUNetConfig(width=4, blocks=(1, 1))
    head = torch.randn(4, 4, 3, 3)
    original = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    original.weight = nn.Parameter(head)
    ours = nn.Conv2d(3, 4, 3, padding=1, bias=False)
    ours.weight = nn.Parameter(config.from_original({"m_head.weight": head})["m_head.weight"])
    picture = torch.rand(1, 3, 9, 7)
    silent = torch.cat([picture, torch.zeros(1, 1, 9, 7)], 1)
    assert torch.allclose(original(silent), ours(picture), atol=1e-6)
    assert config.from_original({"other": head}).keys() == {"other"}


def with_weights(config: DRUNetConfig, **values: float) -> DRUNet:
    """A network of zeros, but for the middle taps of the named layers, which pass channel c on to channel c."""
    network = config.build()
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    for name, value in values.items():
        layer = network.get_submodule(name)
        assert isinstance(layer, nn.Conv2d)
        for channel in range(min(layer.weight.shape[:2])):
            layer.weight.data[channel, channel, 1, 1] = value
    return network


@pytest.mark.parametrize("unshuffle", [1, 2])
@pytest.mark.parametrize("residual", [False, True])
def test_the_outer_connection(unshuffle: int, residual: bool) -> None:
    """With silent inner levels, the output is the tail of the head: 3 x 2 = 6 times the picture, or 7 with it."""
    config = DRUNetConfig(width=3 * 4, blocks=(1, 1), unshuffle=unshuffle, residual=residual)
    network = with_weights(config, m_head=3.0, m_tail=2.0)
    picture = torch.rand(2, 3, 10, 6)
    assert torch.allclose(network(picture), picture * (6.0 + residual), atol=1e-5)


def test_a_residual_block_rectifies_between_its_convolutions() -> None:
    block = with_weights(DRUNetConfig(width=4, blocks=(1, 1)), **{"m_body.0.res.0": 1.0, "m_body.0.res.2": 5.0})
    features = torch.tensor([-2.0, 3.0]).reshape(1, 1, 1, 2).expand(1, 8, 1, 2)
    assert block.get_submodule("m_body")(features)[0, 0, 0].tolist() == [-2.0, 18.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blocks": (1,)}, "blocks must be at least two numbers"),
        ({"blocks": (1, -1)}, "blocks must be at least two numbers"),
        ({"unshuffle": 0}, "unshuffle"),
        ({"width": 3}, "width"),
    ],
)
def test_errors(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        DRUNetConfig.of_size("tiny", **changes)
