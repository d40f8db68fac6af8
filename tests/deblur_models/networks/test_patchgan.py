"""Discriminators: weights, sizes of maps, figures of the published code, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from blursynth.errors import InvalidValueError
from deblur_models.networks import DISCRIMINATORS, Architecture, count_weights, discriminator_config
from deblur_models.networks.patchgan import DoublePatchGanConfig, PatchGanConfig

EVERY = [(config, size) for config in DISCRIMINATORS for size in config.sizes]


@pytest.mark.parametrize(
    ("config", "size", "weights", "sides"),
    [
        (PatchGanConfig, "local", 2_764_737, [35]),
        (PatchGanConfig, "global", 11_154_369, [11]),
        (PatchGanConfig, "cyclegan", 2_764_737, [30]),
        (DoublePatchGanConfig, "published", 2_764_737 + 11_154_369, [35, 11]),
    ],
)
def test_weights_and_maps_of_a_picture_of_256_px(
    config: type[Architecture], size: str, weights: int, sides: list[int]
) -> None:
    with torch.device("meta"):
        discriminator = config.of_size(size).build()
        maps = discriminator(torch.rand(2, 3, 256, 256))
    assert count_weights(discriminator) == weights
    assert [m.shape for m in maps] == [(2, 1, side, side) for side in sides]


@pytest.mark.parametrize(
    ("layers", "padding_px", "expected"),
    # Of the published code, run with these weights in double precision: mean, deviation, first and last logit.
    [
        (3, 2, [-0.404791, 0.606922, -0.23142, -0.319353]),
        (3, 1, [-0.295532, 0.482019, -0.777029, -0.437414]),
        (5, 2, [0.366464, 0.406995, 0.685617, -0.156618]),
    ],
)
def test_figures_of_the_published_code(
    layers: int,
    padding_px: int,
    expected: list[float],
    known_weights: Callable[[nn.Module], nn.Module],
    known_picture: Callable[[int, int], Tensor],
) -> None:
    config = PatchGanConfig(width=8, layers=layers, padding_px=padding_px)
    discriminator = known_weights(config.build()).double()
    with torch.no_grad():
        (logits,) = discriminator(known_picture(48, 40).double())
    values = [logits.mean(), logits.std(correction=0), logits[0, 0, 0, 0], logits[0, 0, -1, -1]]
    assert [float(v) for v in values] == pytest.approx(expected, abs=2e-6)


def test_names_of_weights_are_the_published_ones() -> None:
    config = PatchGanConfig.of_size("tiny")
    discriminator = config.build()
    names = [f"model.{place}.{part}" for place in (0, 2, 5, 8) for part in ("weight", "bias")]
    assert list(discriminator.state_dict()) == names
    statistics = {f"model.3.{name}": torch.ones(32) for name in ("running_mean", "running_var", "num_batches_tracked")}
    assert list(config.from_original({**discriminator.state_dict(), **statistics})) == names
    running = config.replace(norm="running")
    assert {"model.3.running_mean", "model.3.running_var"} < set(
        running.from_original(statistics) | running.build().state_dict()
    )
    assert "model.3.num_batches_tracked" not in running.from_original(statistics)


def test_the_double_discriminator_shows_whole_pictures_to_both() -> None:
    torch.manual_seed(0)
    double = DoublePatchGanConfig.of_size("tiny").build()
    pictures = torch.rand(2, 3, 40, 48)
    local, whole = double(pictures)
    assert torch.equal(local, double.patch(pictures)[0])
    assert torch.equal(whole, double.full(pictures)[0])


def test_a_logit_of_the_local_map_sees_70_pixels() -> None:
    """Without normalization, which sees everything."""
    discriminator = PatchGanConfig(width=4).build().double()
    for place, layer in enumerate(discriminator.model):
        if type(layer).__name__ == "Norm2d":
            discriminator.model[place] = nn.Identity()
    picture = torch.rand(1, 3, 128, 128, dtype=torch.float64, requires_grad=True)
    discriminator(picture)[0][0, 0, 9, 9].backward()
    seen = (picture.grad != 0).any(1)[0].nonzero()
    assert (seen.max(0).values - seen.min(0).values + 1).tolist() == [70, 70]


@pytest.mark.parametrize(("config", "size"), EVERY, ids=str)
def test_too_small_pictures_are_refused_and_the_smallest_are_judged(config: type[Architecture], size: str) -> None:
    made = config.of_size(size, width=4)
    discriminator = made.build()
    layers = made.global_layers if isinstance(made, DoublePatchGanConfig) else made.layers
    smallest = 2**layers * (3 if getattr(made, "padding_px", 2) == 1 else 1)
    with pytest.raises(InvalidValueError, match=f"at least {smallest} x {smallest} px, got {smallest - 1} x 64 px"):
        discriminator(torch.rand(1, 3, smallest - 1, 64))
    torch.manual_seed(0)
    pictures = torch.rand(2, 3, smallest, smallest)
    for logits in discriminator(pictures):
        assert logits.shape[:2] == (2, 1)
        assert logits.numel() >= 2
        assert not torch.equal(logits[0], logits[1])  # it sees the picture, not the padding alone


@pytest.mark.parametrize("config", DISCRIMINATORS, ids=str)
def test_wrong_shapes_are_refused(config: type[Architecture]) -> None:
    discriminator = config.of_size("tiny").build()
    for wrong in (torch.rand(3, 64, 64), torch.rand(1, 1, 64, 64)):
        with pytest.raises(InvalidValueError, match=r"\[B, 3, H, W\]"):
            discriminator(wrong)


@pytest.mark.parametrize(("config", "size"), EVERY, ids=str)
def test_configurations_survive_json(config: type[Architecture], size: str) -> None:
    made = config.of_size(size)
    assert discriminator_config(made.to_dict()) == made
    assert "tiny" in config.sizes


def test_fresh_weights_are_drawn_as_published() -> None:
    torch.manual_seed(0)
    single, double = PatchGanConfig(width=16).build(), DoublePatchGanConfig(width=16).build()
    weights = single.model[2].weight.detach()
    assert abs(float(weights.std()) - 0.02) < 5 * 0.02 / (2 * weights.numel()) ** 0.5  # 5 sigma
    assert float(single.model[2].bias.detach().abs().max()) == 0
    assert float(double.patch.model[2].bias.detach().abs().max()) > 0  # torch's own drawing


@pytest.mark.parametrize("config", DISCRIMINATORS, ids=str)
def test_a_gradient_penalty_can_be_learned_from(config: type[Architecture]) -> None:
    """The derivative of the squared excess of the gradient's norm, against finite differences."""
    torch.manual_seed(0)
    discriminator = config.of_size("tiny").build().double()
    pictures = torch.rand(2, 3, 24, 24, dtype=torch.float64)

    def penalty(create_graph: bool) -> Tensor:
        x = pictures.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(sum(m.sum() for m in discriminator(x)), x, create_graph=create_graph)
        return (gradient.flatten(1).norm(dim=1) - 1).square().mean()

    penalty(create_graph=True).backward()
    weight = next(p for name, p in discriminator.named_parameters() if name.endswith("model.2.weight"))
    step = 1e-6
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[0, 0, 1, 1] += sign * step
        values.append(float(penalty(create_graph=False)))
        with torch.no_grad():
            weight[0, 0, 1, 1] -= sign * step
    slope = (values[0] - values[1]) / (2 * step)
    assert abs(slope) > 1e-9
    assert float(weight.grad[0, 0, 1, 1]) == pytest.approx(slope, rel=1e-3)
