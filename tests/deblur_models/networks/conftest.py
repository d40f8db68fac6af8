"""Weights and pictures that need no generator, so that figures of other implementations can stand in a test."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn


def scattered(count: int, stream: int) -> np.ndarray:
    """Numbers in 0..1 without visible order, from the far digits of sines."""
    return np.sin(np.arange(count) * 12.9898 + stream * 78.233) * 43758.5453 % 1


@pytest.fixture
def known_weights() -> Callable[[nn.Module], nn.Module]:
    """Gives every weight numbers that follow from its name's place in the alphabet and its shape alone.

    With n inputs per output they have variance 1 / n, so that numbers keep their size through the layers.
    """

    def fill(network: nn.Module) -> nn.Module:
        state = {}
        for stream, (weight, tensor) in enumerate(sorted(network.state_dict().items())):
            inputs = tensor.numel() / tensor.shape[0] if tensor.ndim > 1 else 36
            numbers = (scattered(tensor.numel(), stream) - 0.5) * np.sqrt(12 / inputs)
            state[weight] = torch.from_numpy(numbers.astype(np.float32)).reshape(tensor.shape)
        network.load_state_dict(state)
        return network

    return fill


@pytest.fixture
def known_picture() -> Callable[[int, int], Tensor]:
    def make(height: int, width: int) -> Tensor:
        return torch.from_numpy(scattered(3 * height * width, 0).astype(np.float32)).reshape(1, 3, height, width)

    return make


@pytest.fixture
def figures() -> Callable[[Tensor], list[float]]:
    """Mean, standard deviation, the first and last value, and one from the middle."""

    def measure(picture: Tensor) -> list[float]:
        some = (picture[0, 0, 0, 0], picture[0, 1, picture.shape[2] // 2, picture.shape[3] // 3], picture[0, 2, -1, -1])
        return [float(v) for v in (picture.mean(), picture.std(correction=0), *some)]

    return measure
