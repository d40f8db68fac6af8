"""MIMO-UNet: names of weights, figures of the published code, its three sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from blursynth.errors import InvalidValueError
from deblur_models.networks.mimo_unet import MimoUNetConfig

TINY = MimoUNetConfig.of_size("tiny")


def published_names(width: int, blocks: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a checkpoint, from the description of the published code."""
    names: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, before: int, after: int, side: int) -> None:
        names[f"{name}.main.0.weight"] = (after, before, side, side)
        names[f"{name}.main.0.bias"] = (after,)

    full, half, quarter = width, 2 * width, 4 * width
    for path, order in (("Encoder", (full, half, quarter)), ("Decoder", (quarter, half, full))):
        for place, channels in enumerate(order):
            for number in range(blocks):
                for convolution_number in (0, 1):
                    name = f"{path}.{place}.layers.{number}.main.{convolution_number}"
                    convolution(name, channels, channels, 3)
    convolution("feat_extract.0", 3, full, 3)
    convolution("feat_extract.1", full, half, 3)
    convolution("feat_extract.2", half, quarter, 3)
    for place, before, after in ((3, quarter, half), (4, half, full)):  # transposed: inputs come first
        names[f"feat_extract.{place}.main.0.weight"] = (before, after, 4, 4)
        names[f"feat_extract.{place}.main.0.bias"] = (after,)
    convolution("feat_extract.5", full, 3, 3)
    for place, (before, after) in enumerate(((quarter, half), (half, full))):
        convolution(f"Convs.{place}", before, after, 1)
        convolution(f"ConvsOut.{place}", before, 3, 3)
    for place, channels in enumerate((full, half)):
        convolution(f"AFFs.{place}.conv.0", 7 * width, channels, 1)
        convolution(f"AFFs.{place}.conv.1", channels, channels, 3)
    for number, channels in ((1, quarter), (2, half)):
        convolution(f"FAM{number}.merge", channels, channels, 3)
        for place, (before, after, side) in enumerate(
            (
                (3, channels // 4, 3),
                (channels // 4, channels // 2, 1),
                (channels // 2, channels // 2, 3),
                (channels // 2, channels - 3, 1),
            )
        ):
            convolution(f"SCM{number}.main.{place}", before, after, side)
        convolution(f"SCM{number}.conv", channels, channels, 1)
    return names


@pytest.mark.parametrize(("size", "blocks"), [("base", 8), ("plus", 20)])
def test_checkpoints_of_the_published_code_fit(size: str, blocks: int) -> None:
    with torch.device("meta"):
        network = MimoUNetConfig.of_size(size).build()
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes == published_names(32, blocks)
    assert network.config.from_original(network.state_dict()).keys() == shapes.keys()


# Of the published code (chosj95/MIMO-UNet, with 12 channels and 2 blocks) with the same weights and picture: mean,
# standard deviation and three values of each output, finest first.
PUBLISHED = (
    [-0.319113, 0.926052, -0.40929, -0.82192, 0.72104],
    [0.021286, 1.661007, -0.06954, -2.11626, 0.50749],
    [0.030523, 1.082135, -0.2853, 1.36822, 0.32951],
)


def test_outputs_are_those_of_the_published_code(
    known_weights: Callable[[nn.Module], nn.Module],
    known_picture: Callable[[int, int], Tensor],
    figures: Callable[[Tensor], list[float]],
) -> None:
    network = known_weights(MimoUNetConfig(width=12, residual_blocks=2).build()).eval()
    with torch.inference_mode():
        outputs = network(known_picture(48, 64), every_scale=True)
    for output, expected in zip(outputs, PUBLISHED, strict=True):
        assert figures(output) == pytest.approx(expected, abs=5e-5)


def test_outputs_start_from_the_picture_at_three_sizes() -> None:
    network = TINY.build()
    for layer in (network.feat_extract[5], *network.ConvsOut):
        for weight in layer.parameters():
            nn.init.zeros_(weight)
    picture = torch.rand(2, 3, 16, 24)
    full, half, quarter = network(picture, every_scale=True)
    assert torch.equal(full, picture)
    assert torch.equal(half, picture[..., ::2, ::2])
    assert torch.equal(quarter, picture[..., ::4, ::4])


@given(height=st.integers(1, 21), width=st.integers(1, 21), seed=st.integers(0, 99))
def test_targets_are_means_of_neighbors(height: int, width: int, seed: int) -> None:
    sharp = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    full, half, quarter = TINY.build().targets(sharp)
    assert full is sharp
    assert half.shape[-2:] == (-(-height // 2), -(-width // 2))
    assert quarter.shape[-2:] == (-(-height // 4), -(-width // 4))
    # Wherever what a pixel covers lies within the picture:
    for i in range(height // 2):
        for j in range(width // 2):
            expected = sharp[..., 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean((2, 3))
            assert torch.allclose(half[..., i, j], expected, atol=1e-6)
    for i in range(height // 4):
        for j in range(width // 4):
            expected = sharp[..., 4 * i + 1 : 4 * i + 3, 4 * j + 1 : 4 * j + 3].mean((2, 3))
            assert torch.allclose(quarter[..., i, j], expected, atol=1e-6)


def test_channels_are_left_out_in_training_of_the_larger_one_only() -> None:
    assert MimoUNetConfig.of_size("base").dropout == 0
    assert MimoUNetConfig.of_size("plus").dropout == 0.1
    torch.manual_seed(0)
    network = TINY.replace(dropout=0.5).build()
    picture = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert not torch.equal(network.train()(picture), network(picture))
        assert torch.equal(network.eval()(picture), network(picture))
        plain = TINY.build()
        plain.load_state_dict(network.state_dict())
        assert torch.equal(plain.train()(picture), network.eval()(picture))


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"width": 6}, "width"), ({"residual_blocks": 0}, "residual_blocks must be >= 1"), ({"dropout": 1.0}, "dropout")],
)
def test_impossible_numbers_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        MimoUNetConfig.of_size("tiny", **changes)
