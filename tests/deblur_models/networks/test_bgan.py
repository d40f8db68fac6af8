"""BGAN: what goes in and out, that the noise chooses the blur, and that it can learn one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from blursynth.errors import InvalidValueError
from deblur_models.networks import BLUR_GENERATORS, trainable_config
from deblur_models.networks.bgan import BGANConfig
from deblur_models.networks.network import count_weights


@pytest.mark.parametrize("config", BLUR_GENERATORS, ids=lambda config: config.kind)
def test_every_blur_generator_has_a_tiny_size_and_survives_json(config: type[BGANConfig]) -> None:
    assert "tiny" in config.sizes
    assert next(iter(config.sizes)) != "tiny"
    for size in config.sizes:
        made = config.of_size(size)
        assert trainable_config(made.to_dict()) == made


def test_parts_of_the_paper() -> None:
    """Three convolutions and nine blocks of five, and every weight is used."""
    with torch.device("meta"):
        network = BGANConfig.of_size("paper").build()
        convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
        assert len(convolutions) == 3 + 9 * 5
        assert {c.kernel_size for c in convolutions} == {(3, 3)}
        assert convolutions[0].in_channels == 3 + 4
        network(torch.rand(2, 3, 32, 32), torch.rand(2, 4)).mean().backward()
    assert all(p.grad is not None for p in network.parameters())
    assert count_weights(BGANConfig.of_size("tiny").build()) < 500_000


@pytest.mark.parametrize("size_px", [(32, 32), (17, 5), (1, 1)])
def test_any_size_goes(size_px: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = BGANConfig.of_size("tiny").build()
    sharp = torch.rand(2, 3, *size_px)
    with torch.no_grad():
        blurred = network(sharp, torch.randn(2, 4))
    assert blurred.shape == sharp.shape
    assert 0 <= blurred.min() <= blurred.max() <= 1


def test_the_noise_chooses_the_blur_of_its_own_picture() -> None:
    torch.manual_seed(0)
    network = BGANConfig.of_size("tiny").build()
    sharp, noise = 0.25 + 0.5 * torch.rand(2, 3, 16, 16), torch.randn(2, 4)
    with torch.no_grad():
        first, again = network(sharp, noise), network(sharp, noise)
        other = network(sharp, torch.stack((noise[0], -noise[1])))
    assert torch.equal(first, again)
    assert torch.equal(first[0], other[0])
    assert (first[1] - other[1]).abs().max() > 1e-4


def test_a_blur_for_each_noise_is_learned() -> None:
    """Across or down, as the first number says: the error sinks well below that of not blurring."""
    torch.manual_seed(0)
    network = BGANConfig.of_size("tiny").build()
    sharp = F.interpolate(torch.rand(2, 3, 8, 8), size=(32, 32), mode="nearest").repeat_interleave(2, 0)
    noise = torch.randn(4, 4)
    noise[:, 0] = torch.tensor([1.0, -1.0, 1.0, -1.0])
    across, down = F.avg_pool2d(sharp, (1, 5), 1, (0, 2)), F.avg_pool2d(sharp, (5, 1), 1, (2, 0))
    blurred = torch.where(noise[:, 0, None, None, None] > 0, across, down)
    optimizer = torch.optim.Adam(network.parameters(), lr=4e-3)
    for _ in range(100):
        optimizer.zero_grad()
        (network(sharp, noise) - blurred).abs().mean().backward()
        optimizer.step()
    with torch.no_grad():
        learned = (network(sharp, noise) - blurred).abs().mean()
    assert learned < 0.5 * (sharp - blurred).abs().mean()


def test_wrong_input_is_refused() -> None:
    network = BGANConfig.of_size("tiny").build()
    noise = torch.randn(1, 4)
    for wrong in (torch.rand(3, 8, 8), torch.rand(1, 1, 8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8)):
        with pytest.raises(InvalidValueError, match="floating-point tensors"):
            network(wrong, noise)
    sharp = torch.rand(2, 3, 8, 8)
    for wrong in (noise, torch.randn(2, 3), torch.randn(2, 4, 1, 1), torch.zeros(2, 4, dtype=torch.int64)):
        with pytest.raises(InvalidValueError, match=r"noise of shape \[2, 4\]"):
            network(sharp, wrong)
