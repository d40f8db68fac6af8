"""Counts that can be done with a pencil, and times that are at least in order."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from blursynth.errors import InvalidValueError
from deblur_models.evaluate import speed
from deblur_models.evaluate.speed import count_macs, count_used_weights, measure_speed, network_cost, peak_bytes
from deblur_models.networks import Network, NetworkConfig, count_weights, create_network


class TwoConvolutionsConfig(NetworkConfig):
    """3 -> 8 -> 3 channels with 3x3 and 1x1 convolutions, and a head that the picture does not depend on."""

    sizes: ClassVar = {"tiny": {}}
    multiple_px: ClassVar[int] = 8  # type: ignore[misc]

    def build(self) -> Network:
        return TwoConvolutions(self)


class TwoConvolutions(Network):
    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 3, 1)
        self.head = nn.Linear(8, 10)

    def restore(self, blurred: Tensor) -> tuple[Tensor, ...]:
        return (self.second(self.first(blurred)),)


def two_convolutions() -> Network:
    return TwoConvolutionsConfig().build()


def test_weights_that_nothing_depends_on_are_stored_and_not_used() -> None:
    cost = network_cost(two_convolutions(), 16, 24)
    assert cost.stored_weights == (27 * 8 + 8) + (8 * 3 + 3) + (8 * 10 + 10)
    assert cost.used_weights == (27 * 8 + 8) + (8 * 3 + 3)


def test_macs_are_those_of_the_pencil_at_the_padded_size() -> None:
    assert count_macs(two_convolutions(), 16, 24) == 16 * 24 * (27 * 8 + 8 * 3)
    assert count_macs(two_convolutions(), 9, 17) == 16 * 24 * (27 * 8 + 8 * 3)


def test_memory_is_weights_input_and_the_widest_step() -> None:
    weights = count_weights(two_convolutions())
    pixels = 16 * 24
    # At the second convolution its input of 8 channels, the picture, and its result live together.
    assert peak_bytes(two_convolutions(), 16, 24) == 4 * (weights + pixels * (3 + 8 + 3))


# 10^9 at 256 x 256 px, measured on the published code.
PUBLISHED = {
    ("nafnet", "32"): 15.96, ("nafnet", "64"): 63.05, ("hinet", "64"): 157.6, ("mimo_unet", "base"): 63.7,
    ("deepdeblur", "published"): 335.9, ("dbgan", "published"): 758.8, ("deblurgan", "published"): 49.55,
    ("restormer", "motion"): 154.9,
}  # fmt: skip


@pytest.mark.parametrize(("kind", "size"), PUBLISHED)
def test_known_networks_have_their_published_macs(kind: str, size: str) -> None:
    with torch.device("meta"):
        network = create_network(kind, size)
    digits = len(str(PUBLISHED[kind, size]).partition(".")[2])
    assert round(count_macs(network, 256, 256) / 1e9, digits) == PUBLISHED[kind, size]


def test_of_mimo_unet_the_heads_of_coarser_outputs_are_stored_and_not_used() -> None:
    with torch.device("meta"):
        network = create_network("mimo_unet", "tiny")
    unused = count_weights(network) - count_used_weights(network)
    assert 0 < unused < 0.02 * count_weights(network)
    assert unused % 3 == 0  # convolutions to pictures of three channels


def test_counting_leaves_the_network_as_it_is() -> None:
    network = two_convolutions().train()
    network_cost(network, 8, 8)
    assert network.training
    assert all(w.device.type == "cpu" and w.grad is None for w in network.parameters())


def test_time_is_the_median_with_the_clock_read_after_synchronizing(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    ticks = iter([0.0, 9.0, 10.0, 11.0, 20.0, 24.0, 30.0, 32.0])

    def clock() -> float:
        events.append("clock")
        return next(ticks)

    monkeypatch.setattr(speed.time, "perf_counter", clock)
    monkeypatch.setattr(speed, "_synchronize", lambda device: events.append("synchronize"))
    network = two_convolutions()
    network.register_forward_hook(lambda *_: events.append("forward"))
    found = measure_speed(network, 8, 8, warm_up=1, repeats=3)
    assert events == ["synchronize", "clock", "forward", "synchronize", "clock"] * 4
    assert (found.seconds, found.fastest_s, found.slowest_s) == (2.0, 1.0, 4.0)
    assert found.pictures_per_second == 0.5
    assert found.to_dict()["pictures_per_second"] == 0.5


def test_speed_says_what_it_was_taken_on() -> None:
    found = measure_speed(two_convolutions(), 16, 16, autocast=torch.bfloat16, channels_last=True, warm_up=0, repeats=1)
    assert (found.device, found.precision, found.memory_bytes) == ("cpu", "bfloat16", None)
    assert found.seconds > 0


@pytest.mark.parametrize("options", [{"repeats": 0}, {"warm_up": -1}])
def test_bad_numbers_are_reported(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match="repeats must be >= 1"):
        measure_speed(two_convolutions(), 8, 8, **options)
    with pytest.raises(InvalidValueError, match="sides of an image"):
        count_macs(two_convolutions(), 0, 8)
