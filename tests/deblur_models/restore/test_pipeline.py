"""One restorer after the other: the order, the clipping between them, and who gets the kernel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from blursynth.errors import InvalidValueError
from deblur_models.classical import make_classical
from deblur_models.evaluate.store import describe_restorer
from deblur_models.metrics import no_harm
from deblur_models.networks import create_network
from deblur_models.restore import Identity, NetworkRestorer, Pipeline, Restorer


class Line:
    """``factor x + offset``."""

    def __init__(self, name: str, factor: float, offset: float, *, needs_kernel: bool = False) -> None:
        self.name, self.factor, self.offset, self.needs_kernel = name, factor, offset, needs_kernel
        self.kernels: list[NDArray[np.floating] | None] = []

    def restore(self, blurred: Tensor, kernels: NDArray[np.floating] | None = None) -> Tensor:
        self.kernels.append(kernels)
        return self.factor * blurred + self.offset


def test_the_second_gets_what_the_first_gives() -> None:
    first, second = Line("wiener", 2.0, 0.25, needs_kernel=True), Line("network", 0.5, -0.125)
    pipeline = Pipeline([first, second])
    assert isinstance(pipeline, Restorer)
    assert pipeline.name == "wiener + network"
    assert pipeline.needs_kernel
    assert not Pipeline([second, Identity()]).needs_kernel
    kernel = np.ones((1, 3, 3)) / 9
    blurred = torch.tensor([0.0, 0.25, 0.5]).view(1, 1, 1, 3).expand(1, 3, 2, 3)
    restored = pipeline.restore(blurred, kernel)
    # 2 x + .25 is .25, .75 and 1.25, of which 1 is left; half of it less .125. The result is not clipped.
    assert restored[0, 0, 0].tolist() == [0.0, 0.25, 0.375]
    assert Pipeline([second, first]).restore(blurred, kernel)[0, 0, 0].tolist() == [0.25, 0.25, 0.5]
    assert first.kernels == [kernel, kernel]
    assert second.kernels == [None, None]
    assert Pipeline([second, second]).restore(blurred).min() == -0.125, "of the last one"
    with pytest.raises(InvalidValueError, match="at least two restorers, got 1"):
        Pipeline([first])


def test_a_method_and_a_network() -> None:
    """Its results depend on every step, and sharp pictures are restored with the kernel of no blur."""
    torch.manual_seed(0)
    network = NetworkRestorer(create_network("nafnet", "tiny", width=4), name="tiny")
    wiener = make_classical({"kind": "wiener", "balance": 0.1})
    pipeline = Pipeline([wiener, network])
    picture = torch.rand(1, 3, 24, 40)
    kernel = np.ones((1, 1, 5)) / 5 * np.eye(5)[2][:, None]
    by_hand = network.restore(wiener.restore(picture, kernel))
    assert torch.equal(pipeline.restore(picture, kernel), by_hand)
    assert not torch.allclose(by_hand, network.restore(picture), atol=1e-2)
    assert no_harm(pipeline, picture) == no_harm(network, picture)
    about = describe_restorer(pipeline)
    assert about["name"] == "wiener + tiny"
    assert about["steps"] == [describe_restorer(wiener), describe_restorer(network)]
    assert about != describe_restorer(Pipeline([wiener.replace(balance=0.2), network]))
