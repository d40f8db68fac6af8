"""Layers: what a normalization divides by under each policy, padding by mirrors, dropout that may stay on."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from blursynth.errors import InvalidValueError
from deblur_models.networks import NormPolicy
from deblur_models.networks.layers import (
    Dropout,
    MirrorPad,
    Norm2d,
    draw_normal_weights,
    mirror_pad,
    with_norm_policy,
)

MAPS = torch.linspace(-3, 5, 3 * 4 * 6 * 5, dtype=torch.float64).sin().reshape(3, 4, 6, 5) * 7 + 2


def norm(policy: NormPolicy, **changes: object) -> Norm2d:
    layer = Norm2d(4, policy, **changes).double()  # type: ignore[arg-type]
    if layer.weight is not None and layer.bias is not None:
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([1.0, 2.0, -0.5, 3.0]))
            layer.bias.copy_(torch.tensor([0.5, 0.0, -1.0, 2.0]))
    return layer


@pytest.mark.parametrize("training", [True, False])
def test_instance_statistics_are_those_of_each_picture_and_channel(training: bool) -> None:
    layer = norm("instance", affine=True, epsilon=1e-3).train(training)
    mean = MAPS.mean((2, 3), keepdim=True)
    variance = (MAPS - mean).square().mean((2, 3), keepdim=True)
    expected = (MAPS - mean) / (variance + 1e-3).sqrt() * layer.weight[:, None, None] + layer.bias[:, None, None]
    assert torch.allclose(layer(MAPS), expected, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_batch_statistics_are_those_of_the_batch_in_use_as_well(training: bool) -> None:
    layer = norm("batch_stats").train(training)
    mean = MAPS.mean((0, 2, 3), keepdim=True)
    variance = (MAPS - mean).square().mean((0, 2, 3), keepdim=True)
    assert torch.allclose(layer(MAPS), (MAPS - mean) / (variance + 1e-5).sqrt(), atol=1e-12)


def test_running_statistics_are_learned_in_training_and_stand_still_in_use() -> None:
    layer, theirs = norm("running", affine=True), nn.BatchNorm2d(4).double()
    theirs.load_state_dict({**theirs.state_dict(), "weight": layer.weight, "bias": layer.bias})
    for maps in (MAPS, 2 * MAPS + 1):
        assert torch.equal(layer(maps), theirs(maps))
    layer.eval(), theirs.eval()
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    assert torch.equal(layer(MAPS), theirs(MAPS))
    assert torch.equal(layer(MAPS)[1:2], layer(MAPS[1:2]))
    assert all(torch.equal(before[name], tensor) for name, tensor in layer.state_dict().items())


def test_for_one_picture_the_batch_is_the_instance() -> None:
    assert torch.equal(norm("instance")(MAPS[:1]), norm("batch_stats")(MAPS[:1]))


@pytest.mark.parametrize("policy", get_args(NormPolicy))
def test_only_running_statistics_are_stored(policy: NormPolicy) -> None:
    stored = set(Norm2d(4, policy).state_dict())
    assert stored == ({"running_mean", "running_var"} if policy == "running" else set())
    assert set(Norm2d(4, policy, affine=True).state_dict()) == stored | {"weight", "bias"}


@pytest.mark.parametrize("policy", ["instance", "batch_stats"])
def test_a_single_value_becomes_the_bias(policy: NormPolicy) -> None:
    layer = norm(policy, affine=True)
    maps = MAPS[:1, :, :1, :1].requires_grad_()
    normalized = layer(maps)
    assert torch.equal(normalized.flatten(), layer.bias)
    normalized.sum().backward()
    assert torch.equal(maps.grad, torch.zeros_like(maps))
    assert torch.equal(norm(policy)(maps), torch.zeros_like(maps))


def test_instances_of_one_pixel_have_no_statistics_where_a_batch_of_them_has() -> None:
    pixels = MAPS[..., :1, :1]
    assert torch.equal(norm("instance")(pixels), torch.zeros_like(pixels))
    assert norm("batch_stats")(pixels).std() > 0.5


def test_running_statistics_of_a_single_value_are_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"one value per channel.*\[1, 4, 1, 1\]"):
        norm("running").train()(MAPS[:1, :, :1, :1])
    assert norm("running").eval()(MAPS[:1, :, :1, :1]).shape == (1, 4, 1, 1)


@pytest.mark.parametrize("policy", get_args(NormPolicy))
def test_the_activation_comes_last(policy: NormPolicy) -> None:
    plain, active = norm(policy), norm(policy, activation=nn.ReLU())
    assert torch.equal(active(MAPS), plain(MAPS).relu())


@pytest.mark.parametrize("policy", get_args(NormPolicy))
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_statistics_in_half_precision_are_those_of_single(policy: NormPolicy, affine: bool, half: torch.dtype) -> None:
    maps = (MAPS.float() + 40).to(half)  # a mean much larger than the deviation, which half precision cannot hold
    for training in (True, False):
        exact = norm(policy, affine=affine).float().train(training)(maps.float())
        found = norm(policy, affine=affine).float().train(training)(maps)
        assert found.dtype == half
        assert torch.allclose(found.float(), exact, rtol=torch.finfo(half).eps, atol=1e-3)


@pytest.mark.parametrize("policy", get_args(NormPolicy))
def test_batch_norms_are_replaced_with_their_weights_and_names(policy: NormPolicy) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.BatchNorm2d(4, eps=0.1), nn.ReLU()))
    nn.init.uniform_(network[1][0].weight)
    before = dict(network.named_parameters())
    x = torch.rand(1, 3, 8, 8)
    trained = network.train()(x)
    with_norm_policy(network, policy)
    assert dict(network.named_parameters()) == before
    assert isinstance(network[1][0], Norm2d)
    assert network[1][0].policy == policy
    assert torch.allclose(network(x), trained, atol=1e-6)  # one picture: all policies mean the same in training


@given(st.integers(1, 9), st.integers(1, 9), *(st.integers(0, 4) for _ in range(4)))
def test_mirrors_are_numpys_reflection_as_far_as_there_are_pixels(
    height: int, width: int, left: int, right: int, top: int, bottom: int
) -> None:
    maps = torch.arange(float(height * width)).reshape(1, 1, height, width)
    padded = mirror_pad(maps, left, right, top, bottom)
    assert padded.shape == (1, 1, height + top + bottom, width + left + right)
    assert torch.equal(padded[..., top : top + height, left : left + width], maps)
    if max(left, right) < width and max(top, bottom) < height:
        assert torch.equal(padded, F.pad(maps, (left, right, top, bottom), mode="reflect"))
    assert set(padded.unique().tolist()) <= set(maps.unique().tolist())


def test_what_a_small_map_cannot_mirror_repeats_its_edge() -> None:
    padded = MirrorPad(3)(torch.tensor([[[[1.0, 2.0]]]]))
    assert padded.shape == (1, 1, 7, 8)
    assert padded[0, 0, 0].tolist() == [2, 2, 2, 1, 2, 1, 1, 1]


def test_dropout_stays_on_where_it_is_asked_to() -> None:
    torch.manual_seed(0)
    ones = torch.ones(100_000)
    assert torch.equal(Dropout(0.5).eval()(ones), ones)
    for layer in (Dropout(0.25).train(), Dropout(0.25, in_use=True).eval()):
        dropped = layer(ones)
        assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.75])
        # 5 sigma of a binomial share
        assert abs(float((dropped == 0).double().mean()) - 0.25) < 5 * (0.25 * 0.75 / len(ones)) ** 0.5


def test_weights_are_drawn_from_a_normal_distribution() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(64, 64, 3), nn.ConvTranspose2d(64, 64, 3))
    draw_normal_weights(network, 0.02)
    for layer in network:
        assert layer.bias.abs().max() == 0
        weights = layer.weight.detach()
        count = weights.numel()
        assert abs(float(weights.mean())) < 5 * 0.02 / count**0.5
        assert abs(float(weights.std()) - 0.02) < 5 * 0.02 / (2 * count) ** 0.5
