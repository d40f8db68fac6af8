"""NAFNet: names of weights, figures of the published code, and its local channel attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from blursynth.errors import InvalidValueError
from deblur_models.networks import create_network
from deblur_models.networks.layers import window_mean
from deblur_models.networks.nafnet import NAFNet, NAFNetConfig

TINY = NAFNetConfig.of_size("tiny")


def published_names(
    width: int, encoder: tuple[int, ...], middle: int, decoder: tuple[int, ...]
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a checkpoint, from the description of the published code."""
    names: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, before: int, after: int, side: int, *, bias: bool = True) -> None:
        names[f"{name}.weight"] = (after, before, side, side)
        if bias:
            names[f"{name}.bias"] = (after,)

    def blocks(name: str, number: int, c: int) -> None:
        for place in (f"{name}.{i}" for i in range(number)):
            names[f"{place}.beta"] = names[f"{place}.gamma"] = (1, c, 1, 1)
            for norm in ("norm1", "norm2"):
                names[f"{place}.{norm}.weight"] = names[f"{place}.{norm}.bias"] = (c,)
            convolution(f"{place}.conv1", c, 2 * c, 1)
            convolution(f"{place}.conv2", 1, 2 * c, 3)  # depthwise
            convolution(f"{place}.conv3", c, c, 1)
            convolution(f"{place}.sca.1", c, c, 1)
            convolution(f"{place}.conv4", c, 2 * c, 1)
            convolution(f"{place}.conv5", c, c, 1)

    convolution("intro", 3, width, 3)
    convolution("ending", width, 3, 3)
    for level, number in enumerate(encoder):
        c = width * 2**level
        blocks(f"encoders.{level}", number, c)
        convolution(f"downs.{level}", c, 2 * c, 2)
    blocks("middle_blks", middle, width * 2 ** len(encoder))
    for place, number in enumerate(decoder):
        c = width * 2 ** (len(encoder) - 1 - place)
        convolution(f"ups.{place}.0", 2 * c, 4 * c, 1, bias=False)
        blocks(f"decoders.{place}", number, c)
    return names


@pytest.mark.parametrize(("size", "width"), [("32", 32), ("64", 64)])
def test_checkpoints_of_the_published_code_fit(size: str, width: int) -> None:
    with torch.device("meta"):
        network = NAFNetConfig.of_size(size).build()
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes == published_names(width, (1, 1, 1, 28), 1, (1, 1, 1, 1))
    assert network.config.from_original(network.state_dict()).keys() == shapes.keys()


# Of the published code (megvii-research/NAFNet, NAFNet and NAFNetLocal) with the same weights and picture: mean,
# standard deviation and three values.
PUBLISHED = {
    0: [0.569037, 1.201572, 0.11942, 0.43569, 0.63419],
    24: [0.569074, 1.201566, 0.11932, 0.43697, 0.63416],
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
        assert figures(network(known_picture(48, 64))) == pytest.approx(PUBLISHED[local_px], abs=2e-5)


def test_it_begins_as_the_picture_and_its_first_layers() -> None:
    """Scales of residual branches are 0 at first, so that blocks do nothing."""
    network = TINY.build()
    x = torch.rand(1, TINY.width, 8, 8)
    with torch.no_grad():
        assert torch.equal(network.encoders[0](x), x)
        for weight in network.ending.parameters():
            weight.zero_()
        picture = torch.rand(1, 3, 16, 8)
        assert torch.equal(network(picture), picture)


@given(height=st.integers(1, 12), width=st.integers(1, 12), window=st.integers(1, 14), seed=st.integers(0, 99))
def test_window_mean_against_a_naive_loop(height: int, width: int, window: int, seed: int) -> None:
    """The window around a pixel, an even one with its longer part behind the pixel, pushed back inside."""
    x = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rows, columns = min(window, height), min(window, width)
    expected = torch.empty_like(x)
    for i in range(height):
        for j in range(width):
            top = min(max(i - (rows - 1) // 2, 0), height - rows)
            left = min(max(j - (columns - 1) // 2, 0), width - columns)
            expected[..., i, j] = x[..., top : top + rows, left : left + columns].mean((2, 3))
    got = window_mean(x, window)
    assert torch.allclose(got.expand_as(x), expected, atol=1e-12)


@given(height=st.integers(1, 12), width=st.integers(1, 12), more=st.integers(0, 5))
def test_a_window_that_covers_the_picture_is_the_mean(height: int, width: int, more: int) -> None:
    x = torch.rand(1, 2, height, width)
    got = window_mean(x, max(height, width) + more)
    assert torch.equal(got, x.mean((2, 3), keepdim=True))


def test_window_mean_keeps_its_precision_on_large_pictures() -> None:
    """Running sums of float32 would be off by far more than the mean of a small window is."""
    x = 100 + torch.rand(1, 1, 700, 900, generator=torch.Generator().manual_seed(0))
    got = window_mean(x, 8)
    assert got.dtype == torch.float32
    corner = x[..., -8:, -8:].double().mean()
    assert got[..., -1, -1].item() == pytest.approx(corner.item(), abs=2e-5)


def awake(**changes: Any) -> NAFNet:
    """A tiny network whose blocks do something."""
    torch.manual_seed(0)
    network = TINY.replace(**changes).build()
    for name, weight in network.named_parameters():
        if name.endswith(("beta", "gamma")):
            nn.init.normal_(weight)
    return network


def test_windows_change_results_in_use_and_for_large_pictures_only() -> None:
    whole, local = awake(), awake(local_px=32)
    large, small = torch.rand(1, 3, 48, 64), torch.rand(1, 3, 32, 24)
    with torch.no_grad():
        assert torch.equal(local.train()(large), whole.train()(large))
        assert not torch.allclose(local.eval()(large), whole.eval()(large), atol=1e-5)
        assert torch.equal(local.eval()(small), whole.eval()(small))


def test_with_windows_what_is_far_does_not_matter() -> None:
    picture = torch.rand(1, 3, 16, 512, generator=torch.Generator().manual_seed(1))
    other = picture.clone()
    other[..., 384:] = 0
    with torch.no_grad():
        for local_px, same in ((16, True), (0, False)):
            network = awake(local_px=local_px).eval()
            assert torch.allclose(network(picture)[..., :64], network(other)[..., :64], atol=1e-6) is same


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoder_blocks": (1, 1)}, r"one number per level each, got \(1, 1, 2\) and \(1, 1\)"),
        ({"encoder_blocks": (), "decoder_blocks": ()}, "one number per level"),
        ({"encoder_blocks": (1, -1, 1)}, "must be >= 0"),
        ({"local_px": 7}, "local_px must be 0 or >= 8, got 7"),
        ({"width": 5}, "width"),
    ],
)
def test_impossible_numbers_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        NAFNetConfig.of_size("tiny", **changes)


def test_a_size_may_be_written_as_a_number() -> None:
    assert NAFNetConfig.of_size(32) == NAFNetConfig.of_size("32")
    with torch.device("meta"):
        assert create_network("nafnet", 32).config == NAFNetConfig.of_size("32")
    for wrong in (16, 0, True, 3.5):
        with pytest.raises(InvalidValueError, match=r"nafnet has no size .*Known: '32', '64', 'tiny'"):
            create_network("nafnet", wrong)  # type: ignore[arg-type]
