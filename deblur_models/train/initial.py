"""Initial networks, with random weights or with weights from files, and the teacher."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from blursynth.errors import DatasetError, InvalidValueError
from blursynth.records.streams import Stream
from deblur_models.checkpoints.checkpoint import load_checkpoint, load_discriminator, network_of
from deblur_models.config.configuration import Adversary, Configuration
from deblur_models.losses.pretrained import check_digits
from deblur_models.networks import BlurGenerator, Network
from deblur_models.networks.deblurgan_v2 import DeblurGanV2
from deblur_models.train.distillation import Distillation, load_distillation

__all__ = ["InitialNetworks", "initial_discriminator", "initial_network", "initial_networks"]


@dataclass(frozen=True)
class InitialNetworks:
    """The networks of a run before its first step, on the CPU: those that it trains, and the teacher."""

    network: Network | BlurGenerator
    discriminator: nn.Module | None
    distillation: Distillation | None


def initial_networks(configuration: Configuration) -> InitialNetworks:
    """Network, discriminator and teacher of a run; random weights are determined by its seed."""
    with torch.random.fork_rng(devices=[]):  # no devices, since processes do not know theirs yet
        torch.default_generator.manual_seed(Stream(configuration.seed, 0, "torch.weights").seed63())
        network = initial_network(configuration)
        adversary = configuration.adversarial
        discriminator = None if adversary is None else initial_discriminator(adversary)
        distillation = load_distillation(configuration, network) if isinstance(network, Network) else None
        return InitialNetworks(network, discriminator, distillation)


def initial_network(configuration: Configuration) -> Network | BlurGenerator:
    """The network before the first step: with random weights, with a pretrained encoder, or from a checkpoint."""
    if configuration.start_from is not None:
        return _network_of_checkpoint(configuration.start_from, configuration)
    network = configuration.network.build()
    given = configuration.run.encoder_weights
    if not given:
        return network
    assert isinstance(network, DeblurGanV2)  # configurations with encoder weights for other networks are rejected
    path = Path(given).expanduser()
    if not path.exists():
        backbone = network.config.encoder
        raise InvalidValueError(
            f"[run] encoder_weights: file {str(path)!r} does not exist.",
            why=f"The run starts from a {backbone} trained on ImageNet; with random weights it would not be "
            f"{configuration.network.kind} as published.",
            fix=f"On a machine with internet access, save timm's weights to a file: import timm, safetensors.torch; "
            f"safetensors.torch.save_file(timm.create_model({backbone!r}, pretrained=True).state_dict(), "
            f"'{backbone}.safetensors'). Then: --set run.encoder_weights={backbone}.safetensors",
        )
    check_digits(path)
    network.load_encoder(path)
    return network


def initial_discriminator(adversary: Adversary) -> nn.Module:
    """The discriminator before the first step: with random weights, or from a checkpoint."""
    wanted = adversary.discriminator
    if adversary.start_from is None:
        return wanted.build()
    discriminator = load_discriminator(adversary.start_from)
    if discriminator.config != wanted:
        raise DatasetError(
            f"[adversarial] start_from = {adversary.start_from}: contains {discriminator.config!r}, but the "
            f"configuration has {wanted!r}.",
            fix="Use the same discriminator in both, or leave it out.",
        )
    return discriminator


def _network_of_checkpoint(path: str, configuration: Configuration) -> Network | BlurGenerator:
    network = network_of(load_checkpoint(path))
    if network.config != configuration.network:
        theirs, mine = network.config.to_dict(), configuration.network.to_dict()
        if theirs["kind"] != mine["kind"]:
            what = f"contains the network {theirs['kind']}, but [network] is {mine['kind']}"
        else:
            fields = (k for k in theirs if k != "size" and theirs[k] != mine[k])
            differences = "; ".join(f"{k} {theirs[k]} (in [network] {mine[k]})" for k in fields)
            what = f"contains a different {theirs['kind']} than [network]: {differences}"
        raise DatasetError(f"start_from = {path}: {what}.", fix="Use the same network in both, or leave it out.")
    return network
