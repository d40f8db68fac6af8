"""DeblurGAN's generator: the published weights' names and numbers, and its options."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from deblur_models.networks import create_network, network_config
from deblur_models.networks.deblurgan import DeblurGanConfig

Fill = Callable[[nn.Module], nn.Module]


def tiny(**changes: object) -> DeblurGanConfig:
    return DeblurGanConfig.of_size("tiny", width=8, blocks=2, **changes)


def test_the_published_generator_has_48_tensors_under_the_published_names() -> None:
    with torch.device("meta"):
        weights = create_network("deblurgan").state_dict()
    assert len(weights) == 48
    convolutions = ["1", "4", "7", *(f"{b}.conv_block.{c}" for b in range(10, 19) for c in (1, 6)), "19", "22", "26"]
    assert list(weights) == [f"model.{c}.{part}" for c in convolutions for part in ("weight", "bias")]


@pytest.mark.parametrize(
    ("residual", "expected"),
    # Of the published code, run with these weights in double precision: mean, deviation and three values.
    [
        (True, [0.566092, 0.321201, 0.301715, 0.936387, 0.928781]),
        (False, [0.571755, 0.244571, 0.801715, 0.663975, 0.48234]),
    ],
)
def test_figures_of_the_published_code(
    residual: bool,
    expected: list[float],
    known_weights: Fill,
    known_picture: Callable[[int, int], Tensor],
    figures: Callable[[Tensor], list[float]],
) -> None:
    network = known_weights(tiny(residual=residual).build()).double().eval()
    with torch.no_grad():
        assert figures(network(known_picture(20, 24).double())) == pytest.approx(expected, abs=2e-6)


def test_checkpoints_without_dropout_and_with_statistics_fit() -> None:
    """CycleGAN's blocks have their second convolution one place earlier; old torch stored statistics with it."""
    config = tiny(residual=False, dropout=0.0)
    network = config.build()
    published: dict[str, Tensor] = {}
    for name, tensor in network.state_dict().items():
        published[name.replace("conv_block.6.", "conv_block.5.")] = tensor
    for block in (10, 11):
        for statistic in ("running_mean", "running_var", "num_batches_tracked"):
            published[f"model.{block}.conv_block.2.{statistic}"] = torch.ones(32)
            published[f"model.{block}.conv_block.6.{statistic}"] = torch.ones(32)
    read = config.from_original(published)
    assert set(read) == set(network.state_dict())
    network.load_state_dict(read)


def test_running_statistics_are_read_where_the_policy_has_them() -> None:
    config = tiny(norm="running")
    state = config.build().state_dict()
    assert "model.10.conv_block.7.running_mean" in state
    shifted = {
        name.replace("conv_block.6.", "conv_block.5.").replace("conv_block.7.", "conv_block.6."): tensor
        for name, tensor in state.items()
    }
    assert set(config.from_original(shifted)) == set(state)
    assert config.from_original(state).keys() == state.keys()


def test_unknown_names_are_kept_for_a_comparison() -> None:
    assert "model.99.weight" in tiny().from_original({"model.99.weight": torch.ones(1)})


def test_weights_begin_as_published() -> None:
    torch.manual_seed(0)
    network = DeblurGanConfig.of_size("tiny").build()
    assert all(tensor.abs().max() == 0 for name, tensor in network.named_parameters() if name.endswith(".bias"))
    weights = torch.cat([p.detach().flatten() for name, p in network.named_parameters() if name.endswith(".weight")])
    assert abs(float(weights.std()) - 0.02) < 5 * 0.02 / (2 * len(weights)) ** 0.5  # 5 sigma


def test_the_answer_is_cut_to_the_range_with_the_picture_and_within_it_without() -> None:
    torch.manual_seed(0)
    white = torch.ones(1, 3, 16, 16)
    for residual in (True, False):
        network = tiny(residual=residual).build().eval()
        nn.init.constant_(network.model[-2].bias, 2.0)
        restored = network(white).detach()
        assert 0 <= float(restored.min()) <= float(restored.max()) <= 1
        assert (float(restored.min()) == 1) is residual  # tanh alone never arrives


def test_dropout_is_off_in_use_unless_the_published_way_is_asked_for() -> None:
    torch.manual_seed(0)
    picture = torch.rand(1, 3, 32, 32)
    ours, published = tiny().build().eval(), tiny(dropout_in_use=True).build().eval()
    published.load_state_dict(ours.state_dict())
    with torch.no_grad():
        assert torch.equal(ours(picture), ours(picture))
        first, second = published(picture), published(picture)
        assert not torch.equal(first, second)
        assert not torch.equal(ours.train()(picture), ours(picture))


def test_cyclegan_is_a_size() -> None:
    config = network_config({"kind": "deblurgan", "size": "cyclegan"})
    assert isinstance(config, DeblurGanConfig)
    assert (config.residual, config.dropout, config.blocks) == (False, 0.0, 9)


def test_policies_differ_in_use() -> None:
    torch.manual_seed(0)
    pictures = torch.rand(2, 3, 32, 32)
    pictures[1] *= 0.1
    weights = tiny().build().state_dict()
    restored = {}
    for norm in ("instance", "batch_stats", "running"):
        network = tiny(norm=norm).build().eval()
        network.load_state_dict(weights, strict=norm != "running")
        with torch.no_grad():
            restored[norm] = network(pictures)
            alone = network(pictures[:1])
        assert torch.allclose(alone, restored[norm][:1], atol=1e-5) is (norm != "batch_stats")
    assert not torch.allclose(restored["instance"], restored["running"], atol=1e-3)
