"""A network from whatever holds one: a checkpoint, a run, the name of one that ships, or an exported file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from blursynth.errors import InvalidValueError
from blursynth.io.folders import expanded
from deblur_models.checkpoints.checkpoint import load_network
from deblur_models.networks import Network
from deblur_models.restore.onnx_network import OnnxNetwork, available_providers

__all__ = ["open_network"]

_LOG = logging.getLogger(__name__)


def open_network(
    path: str | Path, *, device: torch.device | str = "cpu", providers: Sequence[str] = ()
) -> Network | OnnxNetwork:
    """The network of :func:`~deblur_models.load_network`, or that of an ``.onnx`` file.

    Parameters
    ----------
    path
        A checkpoint, a run directory, the name of a network that ships, or an ``.onnx`` file of ``deblur export``.
    device
        Where an ``.onnx`` file runs; other networks are on the CPU until they are moved.
    providers
        Execution providers of ONNX Runtime, instead of those of the device.

    Raises
    ------
    DatasetError
        As in :func:`~deblur_models.load_network` and :class:`~deblur_models.restore.onnx_network.OnnxNetwork`.
    InvalidValueError
        Providers are given for another kind of file, or are not in this installation; or the format is one that other
        programs read.
    """
    file = expanded(path)
    if file.suffix == ".onnx":
        return OnnxNetwork(file, providers=providers or _providers_for(torch.device(device)))
    if file.suffix in (".pt2", ".xml"):
        raise InvalidValueError(
            f"{file}: only ONNX files are used in the place of networks.",
            fix="Export the network with --format onnx; docs/export.md shows how others are run.",
        )
    if providers:
        raise InvalidValueError(
            f"{file}: execution providers are those of ONNX Runtime, for .onnx files, got {', '.join(providers)}.",
            fix="Choose the device instead (--device), or export the network.",
        )
    return load_network(path)


def _providers_for(device: torch.device) -> tuple[str, ...]:
    cpu, cuda = "CPUExecutionProvider", "CUDAExecutionProvider"
    if device.type != "cuda":
        return (cpu,)
    if cuda in available_providers():
        return (cuda, cpu)
    _LOG.warning("ONNX Runtime has no %s in this installation (onnxruntime-gpu has): running on the CPU.", cuda)
    return (cpu,)
