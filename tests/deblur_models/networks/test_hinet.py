"""HINet: names of weights, figures of the published code, half instance normalization and its windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from blursynth.errors import InvalidValueError
from deblur_models.networks.hinet import HalfInstanceNorm, HINetConfig

TINY = HINetConfig.of_size("tiny")


def published_names(width: int, levels: int, normalized: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a checkpoint, from the description of the published code."""
    names: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, before: int, after: int, side: int, *, bias: bool = True) -> None:
        names[f"{name}.weight"] = (after, before, side, side)
        if bias:
            names[f"{name}.bias"] = (after,)

    def block(name: str, before: int, after: int) -> None:
        convolution(f"{name}.identity", before, after, 1)
        convolution(f"{name}.conv_1", before, after, 3)
        convolution(f"{name}.conv_2", after, after, 3)

    for unet in (1, 2):
        convolution(f"conv_0{unet}", 3, width, 3)
        for level in range(levels):
            name, after = f"down_path_{unet}.{level}", width * 2**level
            block(name, width * 2 ** max(level - 1, 0), after)
            if level in normalized:
                names[f"{name}.norm.weight"] = names[f"{name}.norm.bias"] = (after // 2,)
            if level < levels - 1:
                convolution(f"{name}.downsample", after, after, 4, bias=False)
                if unet == 2:
                    convolution(f"{name}.csff_enc", after, after, 3)
                    convolution(f"{name}.csff_dec", after, after, 3)
        for place, level in enumerate(reversed(range(levels - 1))):
            after = width * 2**level
            names[f"up_path_{unet}.{place}.up.weight"] = (2 * after, after, 2, 2)
            names[f"up_path_{unet}.{place}.up.bias"] = (after,)
            block(f"up_path_{unet}.{place}.conv_block", 2 * after, after)
            convolution(f"skip_conv_{unet}.{place}", after, after, 3)
    convolution("sam12.conv1", width, width, 3)
    convolution("sam12.conv2", width, 3, 3)
    convolution("sam12.conv3", 3, width, 3)
    convolution("cat12", 2 * width, width, 1)
    convolution("last", width, 3, 3)
    return names


@pytest.mark.parametrize(("size", "width", "normalized"), [("64", 64, (3, 4)), ("32", 32, (0, 1, 2, 3, 4))])
def test_checkpoints_of_the_published_code_fit(size: str, width: int, normalized: tuple[int, ...]) -> None:
    with torch.device("meta"):
        network = HINetConfig.of_size(size).build()
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes == published_names(width, 5, normalized)
    assert network.config.from_original(network.state_dict()).keys() == shapes.keys()


# Of the published code (megvii-model/HINet, and HINetLocal of megvii-research/TLC) with the same weights and picture:
# mean, standard deviation and three values of the final output and of the first one.
PUBLISHED: dict[int, tuple[list[float], list[float]]] = {
    0: ([0.997794, 1.981868, 0.29217, 3.13501, 1.38607], [0.280424, 0.948644, -0.0657, -0.46917, 1.17205]),
    24: ([0.997646, 1.982388, 0.29522, 3.11817, 1.36927], [0.280367, 0.948396, -0.06162, -0.44928, 1.17258]),
}


@pytest.mark.parametrize("local_px", PUBLISHED)
def test_outputs_are_those_of_the_published_code(
    local_px: int,
    known_weights: Callable[[nn.Module], nn.Module],
    known_picture: Callable[[int, int], Tensor],
    figures: Callable[[Tensor], list[float]],
) -> None:
    network = known_weights(TINY.replace(local_px=local_px).build()).eval()
    with torch.inference_mode():
        outputs = network(known_picture(48, 64), every_scale=True)
    for output, expected in zip(outputs, PUBLISHED[local_px], strict=True):
        assert figures(output) == pytest.approx(expected, abs=5e-5)


def test_both_outputs_start_from_the_picture() -> None:
    network = TINY.build()
    for layer in (network.last, network.sam12.conv2):
        for weight in layer.parameters():
            nn.init.zeros_(weight)
    picture = torch.rand(1, 3, 16, 24)
    for output in network(picture, every_scale=True):
        assert torch.equal(output, picture)


def test_the_second_network_sees_the_first() -> None:
    """Through its features at every level (CSFF), which leave the first output alone."""
    torch.manual_seed(0)
    network = TINY.build()
    picture = torch.rand(1, 3, 16, 24)
    final, first = network(picture, every_scale=True)
    for level in range(TINY.levels - 1):
        for branch in ("csff_enc", "csff_dec"):
            weight = getattr(network.down_path_2[level], branch).weight
            kept = weight.detach().clone()
            nn.init.zeros_(weight)
            without, first_again = network(picture, every_scale=True)
            assert torch.equal(first, first_again)
            assert not torch.allclose(final, without, atol=1e-6), (level, branch)
            with torch.no_grad():
                weight.copy_(kept)


def test_half_of_the_channels_is_normalized() -> None:
    torch.manual_seed(0)
    norm = HalfInstanceNorm(6, 0)
    x = 3 * torch.randn(2, 6, 9, 7) + 5
    y = norm(x)
    assert torch.equal(y[:, 3:], x[:, 3:])
    assert torch.allclose(y[:, :3].mean((2, 3)), torch.zeros(2, 3), atol=1e-5)
    assert torch.allclose(y[:, :3].var((2, 3), correction=0), torch.ones(2, 3), atol=1e-4)
    assert torch.allclose(y[:, :3], torch.nn.functional.instance_norm(x[:, :3]), atol=1e-5)


def test_a_plane_of_one_pixel_becomes_the_bias() -> None:
    norm = HalfInstanceNorm(4, 0)
    nn.init.constant_(norm.bias, 0.25)
    x = torch.rand(3, 4, 1, 1)
    for mode in (True, False):
        assert torch.allclose(norm.train(mode)(x)[:, :2], torch.tensor(0.25), atol=1e-4)


@given(height=st.integers(1, 9), width=st.integers(1, 9), window=st.integers(1, 10), seed=st.integers(0, 99))
def test_local_statistics_against_a_naive_loop(height: int, width: int, window: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, 2, height, width, generator=generator, dtype=torch.float64)
    norm = HalfInstanceNorm(2, window).double().eval()
    got = norm(x)
    rows, columns = min(window, height), min(window, width)
    for i in range(height):
        for j in range(width):
            top = min(max(i - (rows - 1) // 2, 0), height - rows)
            left = min(max(j - (columns - 1) // 2, 0), width - columns)
            seen = x[0, 0, top : top + rows, left : left + columns]
            expected = (x[0, 0, i, j] - seen.mean()) / (seen.var(correction=0) + 1e-5).sqrt()
            assert got[0, 0, i, j].item() == pytest.approx(expected.item(), rel=1e-6, abs=1e-6)


def test_local_statistics_are_for_use_and_for_large_pictures() -> None:
    torch.manual_seed(0)
    whole = TINY.build()
    local = TINY.replace(local_px=32).build()
    local.load_state_dict(whole.state_dict())
    large, small = torch.rand(1, 3, 48, 64), torch.rand(1, 3, 32, 24)
    with torch.no_grad():
        assert torch.equal(local.train()(large), whole.train()(large))
        assert not torch.allclose(local.eval()(large), whole.eval()(large), atol=1e-6)
        assert torch.allclose(local.eval()(small), whole.eval()(small), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalized_levels": (2, 4)}, r"normalized_levels must be within 0\.\.3, got \[4\]"),
        ({"local_px": 7}, "local_px must be 0 or >= 8, got 7"),
        ({"width": 7}, "width"),
    ],
)
def test_impossible_numbers_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        HINetConfig.of_size("tiny", **changes)
