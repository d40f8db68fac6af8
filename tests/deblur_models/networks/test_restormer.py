"""Restormer: channel attention, gated feed-forward and normalization against formulas; names of the published code."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blursynth.errors import InvalidValueError
from deblur_models.networks import create_network
from deblur_models.networks.restormer import BiasFreeLayerNorm2d, ChannelAttention, GatedFeedForward, RestormerConfig


def depthwise(x: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    """Correlation of every channel ``[C, H, W]`` with its own 3x3 kernel, zeros outside."""
    height, width = x.shape[1:]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    return sum(
        kernels[:, 0, i, j, None, None] * padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)
    )


def pointwise(x: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return np.einsum("oc,chw->ohw", matrix[:, :, 0, 0], x)


def numbers(module: torch.nn.Module) -> dict[str, np.ndarray]:
    for weight in module.parameters():
        torch.nn.init.normal_(weight, std=0.7)
    return {name: value.detach().numpy() for name, value in module.double().state_dict().items()}


@settings(max_examples=15, deadline=None)
@given(heads=st.integers(1, 4), each=st.integers(1, 3), height=st.integers(1, 6), width=st.integers(2, 6))
def test_channel_attention_equals_its_formula(heads: int, each: int, height: int, width: int) -> None:
    torch.manual_seed(heads)
    layer = ChannelAttention(heads * each, heads)
    weights = numbers(layer)
    x = torch.randn(1, heads * each, height, width, dtype=torch.float64)
    qkv = depthwise(pointwise(x[0].numpy(), weights["qkv.weight"]), weights["qkv_dwconv.weight"])
    query, key, value = qkv.reshape(3, heads, each, -1)
    attended = np.empty_like(query)
    for head in range(heads):
        for channel in range(each):
            q = query[head, channel]
            cosines = [q @ k / (np.linalg.norm(q) * np.linalg.norm(k)) for k in key[head]]
            share = scipy.special.softmax(np.array(cosines) * weights["temperature"][head].item())
            attended[head, channel] = share @ value[head]
    expected = pointwise(attended.reshape(-1, height, width), weights["project_out.weight"])
    with torch.no_grad():
        np.testing.assert_allclose(layer(x)[0].numpy(), expected, atol=1e-9)


def test_feed_forward_equals_its_formula() -> None:
    torch.manual_seed(0)
    layer = GatedFeedForward(4, 5)
    weights = numbers(layer)
    x = torch.randn(1, 4, 6, 7, dtype=torch.float64)
    hidden = depthwise(pointwise(x[0].numpy(), weights["project_in.weight"]), weights["dwconv.weight"])
    gate, gated = hidden[:5], hidden[5:]
    gelu = gate * 0.5 * (1 + scipy.special.erf(gate / math.sqrt(2)))
    expected = pointwise(gelu * gated, weights["project_out.weight"])
    with torch.no_grad():
        np.testing.assert_allclose(layer(x)[0].numpy(), expected, atol=1e-10)


def test_normalization_without_bias_keeps_the_mean() -> None:
    norm = BiasFreeLayerNorm2d(3, 1e-5)
    torch.nn.init.uniform_(norm.weight, 0.5, 2)
    x = torch.rand(2, 3, 4, 5) + 3
    y = x.numpy()
    expected = y / np.sqrt(y.var(axis=1, keepdims=True) + 1e-5) * norm.weight.detach().numpy()[:, None, None]
    np.testing.assert_allclose(norm(x).detach().numpy(), expected, rtol=1e-4)
    assert norm(x.bfloat16()).dtype == torch.float32  # the weights' type, as in LayerNorm2d


def test_both_normalizations_build() -> None:
    biased, free = (create_network("restormer", "tiny", layer_norm=kind) for kind in ("with_bias", "bias_free"))
    lacking = set(biased.state_dict()) - set(free.state_dict())
    assert lacking
    assert all(".norm" in name and name.endswith(".bias") for name in lacking)
    assert free.eval()(torch.rand(1, 3, 10, 11)).shape == (1, 3, 10, 11)


def test_no_convolution_has_a_bias() -> None:
    with torch.device("meta"):
        network = create_network("restormer")
    assert all(".norm" in name for name in network.state_dict() if name.endswith(".bias"))


def test_hidden_channels_are_rounded_down() -> None:
    with torch.device("meta"):
        state = create_network("restormer").state_dict()
    assert [state[f"encoders.{level}.0.ffn.project_out.weight"].shape[1] for level in range(3)] == [127, 255, 510]
    assert state["latent.0.ffn.project_out.weight"].shape[1] == 1021


def published_names() -> list[str]:
    block = [
        "norm1.body.weight", "norm1.body.bias", "norm2.body.weight", "norm2.body.bias",
        "attn.temperature", "attn.qkv.weight", "attn.qkv_dwconv.weight", "attn.project_out.weight",
        "ffn.project_in.weight", "ffn.dwconv.weight", "ffn.project_out.weight",
    ]  # fmt: skip
    parts = {
        "encoder_level1": 4, "encoder_level2": 6, "encoder_level3": 6, "latent": 8,
        "decoder_level3": 6, "decoder_level2": 6, "decoder_level1": 4, "refinement": 4,
    }  # fmt: skip
    names = [f"{part}.{i}.{name}" for part, number in parts.items() for i in range(number) for name in block]
    single = (
        "patch_embed.proj", "down1_2.body.0", "down2_3.body.0", "down3_4.body.0", "up4_3.body.0", "up3_2.body.0",
        "up2_1.body.0", "reduce_chan_level3", "reduce_chan_level2", "output",
    )  # fmt: skip
    return names + [f"{name}.weight" for name in single]


def test_names_of_the_published_code() -> None:
    config = RestormerConfig.of_size("motion")
    with torch.device("meta"):
        own = config.build().state_dict()
    renamed = config.from_original({name: torch.zeros(0) for name in published_names()})
    assert set(renamed) == set(own)
    assert len(renamed) == len(published_names()) == 494
    assert set(config.from_original(own)) == set(own)


def test_levels_of_the_published_code_are_told_apart() -> None:
    """Names alone could be swapped between levels of one shape; the numbers in them say which is which."""
    config = RestormerConfig.of_size("motion")
    renamed = config.from_original({name: torch.tensor(float(i)) for i, name in enumerate(published_names())})
    place = {name: i for i, name in enumerate(published_names())}
    for ours, theirs in {
        "encoders.0.3.attn.temperature": "encoder_level1.3.attn.temperature",
        "decoders.2.5.norm2.bias": "decoder_level3.5.norm2.body.bias",
        "downs.2.0.weight": "down3_4.body.0.weight",
        "ups.2.0.weight": "up4_3.body.0.weight",
        "ups.0.0.weight": "up2_1.body.0.weight",
        "merges.1.weight": "reduce_chan_level2.weight",
        "intro.weight": "patch_embed.proj.weight",
    }.items():
        assert renamed[ours] == place[theirs]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"heads": (1, 2)}, "one per level"),
        ({"heads": (1, 2, 5)}, "heads of level 2 must divide its 64 channels, got 5"),
        ({"blocks": (1, -1, 1)}, "at least 0"),
        ({"layer_norm": "none"}, "layer_norm"),
    ],
)
def test_impossible_numbers_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        RestormerConfig.of_size("tiny", **fields)


def test_half_precision_stays_near() -> None:
    torch.manual_seed(0)
    network = create_network("restormer", "tiny").eval()
    picture = torch.rand(1, 3, 24, 24)
    with torch.no_grad():
        exact = network(picture)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(picture)
    assert (half - exact).abs().max() < 0.02
