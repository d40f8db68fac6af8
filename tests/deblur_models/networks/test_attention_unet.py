"""The U-Net with channel and spatial attention: its parts against their formulas, and what they are there for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from blursynth.errors import InvalidValueError
from deblur_models.networks import count_weights
from deblur_models.networks.attention_unet import (
    AttentionUNetConfig,
    ConvolutionalBlockAttention,
    SqueezeExcitation,
)

TINY = AttentionUNetConfig.of_size("tiny")


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def perceptron(layers: nn.Sequential, x: np.ndarray) -> np.ndarray:
    """``W2 relu(W1 x + b1) + b2`` for ``[B, C]``."""
    first, _, second = layers
    (w1, b1), (w2, b2) = ([p.detach().numpy() for p in layer.parameters()] for layer in (first, second))
    hidden = np.maximum(x @ w1[:, :, 0, 0].T + b1, 0)
    return hidden @ w2[:, :, 0, 0].T + b2


def test_squeeze_excitation_is_its_formula() -> None:
    torch.manual_seed(0)
    layer = SqueezeExcitation(32, 16).double()
    x = torch.randn(2, 32, 5, 7, dtype=torch.float64)
    scale = sigmoid(perceptron(layer.weigh, x.numpy().mean((2, 3))))
    assert np.allclose(layer(x).detach().numpy(), x.numpy() * scale[:, :, None, None], atol=1e-12)


def test_cbam_is_its_formula() -> None:
    torch.manual_seed(0)
    layer = ConvolutionalBlockAttention(32, 16, 7).double()
    x = torch.randn(2, 32, 9, 11, dtype=torch.float64)
    planes = x.numpy()
    channels = sigmoid(
        perceptron(layer.weigh_channels, planes.mean((2, 3))) + perceptron(layer.weigh_channels, planes.max((2, 3)))
    )
    planes = planes * channels[:, :, None, None]
    seen = np.stack((planes.mean(1), planes.max(1)), axis=1)
    seen = np.pad(seen, ((0, 0), (0, 0), (3, 3), (3, 3)))
    weight, bias = (p.detach().numpy() for p in layer.weigh_pixels.parameters())
    pixels = np.empty((2, 9, 11))
    for i in range(9):
        for j in range(11):
            pixels[:, i, j] = (seen[:, :, i : i + 7, j : j + 7] * weight).sum((1, 2, 3)) + bias
    expected = planes * sigmoid(pixels)[:, None]
    assert np.allclose(layer(x).detach().numpy(), expected, atol=1e-12)


def test_hidden_numbers_are_a_sixteenth() -> None:
    with torch.device("meta"):
        network = AttentionUNetConfig.of_size("base").build()
    widths = [48, 96, 192, 384]
    assert [skip.weigh[0].out_channels for skip in network.skips] == [w // 16 for w in reversed(widths[:-1])]
    assert [skip.weigh[0].in_channels for skip in network.skips] == list(reversed(widths[:-1]))
    assert network.bottom[0].attention.weigh_channels[0].out_channels == 384 // 16
    assert network.bottom[0].attention.weigh_pixels.kernel_size == (7, 7)
    # 4 levels of 2 blocks down and 3 of 2 up: the count by hand.
    total = 3 * 9 * 48 + 48 + 48 * 9 * 3 + 3
    for level, w in enumerate(widths):
        block = 2 * (9 * w * w + w) + (2 * w * (w // 16) + w // 16 + w) + (2 * 49 + 1)
        total += (2 if level == 3 else 4) * block
        if level < 3:
            down, up, join = 4 * w * 2 * w + 2 * w, 2 * w * 4 * w + 4 * w, 2 * w * w + w
            total += down + up + join + (2 * w * (w // 16) + w // 16 + w)
    assert count_weights(network) == total == 9_743_286


def test_the_output_is_a_difference_from_the_picture() -> None:
    network = TINY.build()
    for weight in network.last.parameters():
        nn.init.zeros_(weight)
    picture = torch.rand(2, 3, 12, 20)
    assert torch.equal(network(picture), picture)


def test_skips_carry_what_the_lowest_level_cannot() -> None:
    """With the way down cut, pixels still reach the output through each skip connection; without skips, none does."""
    torch.manual_seed(0)
    network = TINY.build().eval()
    nn.init.normal_(network.last.weight, std=0.1)  # it begins at zero
    for down in network.downs:
        for weight in down.parameters():
            nn.init.zeros_(weight)
    one, other = torch.rand(2, 1, 3, 16, 16)

    def difference(x: Tensor, y: Tensor) -> float:
        with torch.no_grad():
            return float(((network(x) - x) - (network(y) - y)).abs().max())

    assert difference(one, other) > 1e-4
    for join in network.joins:
        with torch.no_grad():
            join.weight[:, join.out_channels :] = 0  # the second half of its inputs is the skip connection
    assert difference(one, other) < 1e-6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 8}, "reduction must be at most width, got reduction 16 and width 8"),
        ({"window_px": 6}, "window_px must be odd, got 6"),
        ({"levels": 1}, "levels must be >= 2"),
    ],
)
def test_impossible_numbers_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        AttentionUNetConfig.of_size("tiny", **changes)
