"""Training with rounded values makes the results of integers nearer to those of the network."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import deblur_models as dm
from blursynth.errors import InvalidValueError
from deblur_models.export import export_network
from deblur_models.export.fine_tune import fine_tuned
from deblur_models.export.int8 import Quantizer
from deblur_models.networks import Network, create_network

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
needs_torchao = pytest.mark.skipif(find_spec("torchao") is None, reason="torchao is not installed")

pytestmark = [needs_torchao, pytest.mark.slow]  # torchao and the exports take their time


def blurred(step: int) -> Tensor:
    coarse = torch.rand(4, 3, 7, 9, generator=torch.Generator().manual_seed(step % 5))
    return torch.nn.functional.interpolate(coarse, (34, 46), mode="bicubic").clamp(0, 1)


def test_integers_come_nearer_to_the_network(tmp_path: Path, capfd: Any) -> None:
    torch.manual_seed(1)
    network = create_network("drunet", size="tiny").eval()
    with torch.no_grad():  # channels of very different size, for which steps are coarse
        for name, weights in network.named_parameters():
            if name.startswith("m_body.0.res.0."):
                weights[3] /= 60
            elif name == "m_body.0.res.2.weight":
                weights[:, 3] *= 60
    before = {name: weights.clone() for name, weights in network.state_dict().items()}
    levels = {name: logging.getLogger(name).level for name in ("torchao", "torch.utils._pytree")}
    done: list[int] = []
    tuned = fine_tuned(network, blurred, 60, learning_rate=3e-4, on_step=done.append)
    assert "".join(capfd.readouterr()) == ""
    assert {name: logging.getLogger(name).level for name in levels} == levels
    assert done == list(range(1, 61))
    assert all(torch.equal(network.state_dict()[name], weights) for name, weights in before.items())
    assert not any(torch.equal(tuned.state_dict()[name], weights) for name, weights in before.items())

    given = torch.cat([blurred(step) for step in range(5)])

    def error(one: Network, name: str) -> float:
        """Of integers against the network before the training."""
        model = onnx.load(export_network(one, tmp_path / f"{name}.onnx", runtimes=["onnxruntime"]).path)
        made = Quantizer(model, [x[None].numpy() for x in given], "minmax").quantized()
        (tmp_path / "int8.onnx").write_bytes(made.SerializeToString())
        with torch.no_grad():
            return float((dm.OnnxNetwork(tmp_path / "int8.onnx")(given) - network(given)).square().mean())

    assert error(tuned, "tuned") < 0.8 * error(network, "network")


def test_networks_that_torch_cannot_trace_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def untraceable(*_: Any, **__: Any) -> None:
        raise RuntimeError("first line\n\nData-dependent control flow\n")

    monkeypatch.setattr(torch.export, "export", untraceable)
    network = create_network("drunet", size="tiny")
    with pytest.raises(InvalidValueError, match=r"drunet cannot be traced: Data-dependent control flow. Quantize it"):
        fine_tuned(network, blurred, 1)
