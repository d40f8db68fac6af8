"""Restoration networks and discriminators, one file per architecture, which begins with its configuration.

>>> network = create_network("nafnet", size="tiny")
>>> network.config.width
16
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blursynth.records.kind import make
from deblur_models.networks.attention_unet import AttentionUNetConfig
from deblur_models.networks.bgan import BGANConfig
from deblur_models.networks.blur_generator import BlurGenerator, BlurGeneratorConfig
from deblur_models.networks.dbgan import DBGANConfig
from deblur_models.networks.deblurgan import DeblurGanConfig
from deblur_models.networks.deblurgan_v2 import DeblurGanV2Config
from deblur_models.networks.deepdeblur import DeepDeblurConfig
from deblur_models.networks.drunet import DRUNetConfig
from deblur_models.networks.hinet import HINetConfig
from deblur_models.networks.mimo_unet import MimoUNetConfig
from deblur_models.networks.nafnet import NAFNetConfig
from deblur_models.networks.network import (
    Architecture,
    Network,
    NetworkConfig,
    NormPolicy,
    count_weights,
)
from deblur_models.networks.patchgan import DoublePatchGanConfig, PatchGanConfig
from deblur_models.networks.restormer import RestormerConfig
from deblur_models.networks.srn import SRNConfig
from deblur_models.networks.swinir import SwinIRConfig

__all__ = [
    "ALL",
    "BLUR_GENERATORS",
    "DISCRIMINATORS",
    "TRAINABLE",
    "Architecture",
    "BlurGenerator",
    "BlurGeneratorConfig",
    "Network",
    "NetworkConfig",
    "NormPolicy",
    "count_weights",
    "create_network",
    "discriminator_config",
    "list_networks",
    "network_config",
    "trainable_config",
]

ALL: tuple[type[NetworkConfig], ...] = (
    NAFNetConfig,
    AttentionUNetConfig,
    HINetConfig,
    MimoUNetConfig,
    DRUNetConfig,
    SRNConfig,
    DeepDeblurConfig,
    DBGANConfig,
    DeblurGanConfig,
    DeblurGanV2Config,
    RestormerConfig,
    SwinIRConfig,
)
"""All restoration networks."""

DISCRIMINATORS: tuple[type[Architecture], ...] = (PatchGanConfig, DoublePatchGanConfig)
"""All discriminators."""

BLUR_GENERATORS: tuple[type[BlurGeneratorConfig], ...] = (BGANConfig,)
"""All networks that blur; their modules take sharp images ``[B, 3, H, W]`` and noise ``[B, N]``."""

TRAINABLE: tuple[type[NetworkConfig | BlurGeneratorConfig], ...] = (*ALL, *BLUR_GENERATORS)
"""Everything that can be trained on pairs."""


def network_config(values: Mapping[str, Any]) -> NetworkConfig:
    """The configuration for ``{"kind": "nafnet", "size": "tiny", "width": 24}``; without a size, the published one.

    Raises
    ------
    InvalidValueError
        The kind or size does not exist, or a field is unknown or out of range.
    """
    return make(values, ALL, noun="network")


def trainable_config(values: Mapping[str, Any]) -> NetworkConfig | BlurGeneratorConfig:
    """The configuration of a network that can be trained on pairs and either restores or blurs."""
    return make(values, TRAINABLE, noun="network")


def discriminator_config(values: Mapping[str, Any]) -> Architecture:
    """The configuration of a discriminator; see :func:`network_config`."""
    return make(values, DISCRIMINATORS, noun="discriminator")


def list_networks() -> dict[str, tuple[str, ...]]:
    """All restoration networks with the names of their sizes, the published one first.

    >>> list_networks()["nafnet"]
    ('32', '64', 'tiny')
    """
    return {kind.kind: tuple(kind.sizes) for kind in ALL}


def create_network(kind: str, size: str | int | None = None, **fields: Any) -> Network:
    """Create a restoration network with random weights from torch's global generator.

    Parameters
    ----------
    kind
        Architecture, one of :func:`list_networks`.
    size
        One of its named sizes; by default the published one.
    **fields
        Fields of its configuration that differ from that size: ``width``, ``local_px`` ...

    Returns
    -------
    Network
        A torch module that maps blurred images ``[B, 3, H, W]`` of any size, 0..1, to restored ones.

    Raises
    ------
    InvalidValueError
        The kind or size does not exist, or a field is unknown or out of range.

    Examples
    --------
    >>> network = create_network("nafnet", size="tiny", width=8)
    >>> network.config.width
    8
    """
    return network_config({"kind": kind, **({} if size is None else {"size": size}), **fields}).build()
