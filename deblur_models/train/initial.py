"""Networks as they are before the first step: with fresh weights, or with those of files."""

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

__all__ = ["InitialNetworks", "initial_discriminator", "initial_network", "initial_networks"]


@dataclass(frozen=True)
class InitialNetworks:
    """What a run trains, before its first step, on the CPU."""

    network: Network | BlurGenerator
    discriminator: nn.Module | None


def initial_networks(configuration: Configuration) -> InitialNetworks:
    """Network and discriminator of a run; fresh weights are those of its seed.

    Raises
    ------
    DatasetError, InvalidValueError
        As :func:`initial_network` and :func:`initial_discriminator`.
    """
    with torch.random.fork_rng(devices=[]):  # of no device, since processes do not know theirs yet
        torch.default_generator.manual_seed(Stream(configuration.seed, 0, "torch.weights").seed63())
        network = initial_network(configuration)
        adversary = configuration.adversarial
        return InitialNetworks(network, None if adversary is None else initial_discriminator(adversary))


def initial_network(configuration: Configuration) -> Network | BlurGenerator:
    """The network before the first step: with fresh weights, a pretrained encoder among them, or from a checkpoint.

    Raises
    ------
    DatasetError
        A file cannot be read, or holds another network.
    InvalidValueError
        The encoder's weights are not there, or are those of another backbone.
    """
    if configuration.start_from is not None:
        return _network_of_checkpoint(configuration.start_from, configuration)
    network = configuration.network.build()
    given = configuration.run.encoder_weights
    if not given:
        return network
    assert isinstance(network, DeblurGanV2)  # a configuration with weights for another network is refused
    path = Path(given).expanduser()
    if not path.exists():
        backbone = network.config.encoder
        raise InvalidValueError(
            f"[run] encoder_weights: there is no file {str(path)!r}.",
            why=f"The run begins with a {backbone} that was trained on ImageNet; random weights would be no "
            f"{configuration.network.kind} as published.",
            fix=f"Where there is a network, write timm's weights into a file: import timm, safetensors.torch; "
            f"safetensors.torch.save_file(timm.create_model({backbone!r}, pretrained=True).state_dict(), "
            f"'{backbone}.safetensors'). Then: --set run.encoder_weights={backbone}.safetensors",
        )
    check_digits(path)
    network.load_encoder(path)
    return network


def initial_discriminator(adversary: Adversary) -> nn.Module:
    """The discriminator before the first step: with fresh weights or those of a checkpoint.

    Raises
    ------
    DatasetError
        The checkpoint cannot be read, or holds another one than the configuration's.
    """
    wanted = adversary.discriminator
    if adversary.start_from is None:
        return wanted.build()
    discriminator = load_discriminator(adversary.start_from)
    if discriminator.config != wanted:
        raise DatasetError(
            f"[adversarial] start_from = {adversary.start_from}: holds {discriminator.config!r}, and the configuration "
            f"has {wanted!r}.",
            fix="Write the same discriminator in both, or leave it out.",
        )
    return discriminator


def _network_of_checkpoint(path: str, configuration: Configuration) -> Network | BlurGenerator:
    network = network_of(load_checkpoint(path))
    if network.config != configuration.network:
        theirs, mine = network.config.to_dict(), configuration.network.to_dict()
        if theirs["kind"] != mine["kind"]:
            what = f"holds the network {theirs['kind']}, and [network] is {mine['kind']}"
        else:
            fields = (k for k in theirs if k != "size" and theirs[k] != mine[k])
            differences = "; ".join(f"{k} {theirs[k]} (in [network] {mine[k]})" for k in fields)
            what = f"holds another {theirs['kind']} than [network]: {differences}"
        raise DatasetError(f"start_from = {path}: {what}.", fix="Write the same network in both, or leave it out.")
    return network
