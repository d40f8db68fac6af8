"""Pruning of whole channels: a network of the same architecture with a smaller width, and the weights that matter most.

The pruned network is an ordinary one, described by its configuration, so that everything that takes a checkpoint takes
it: apply, evaluate, export, train. Every layer keeps the same share of its channels.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blursynth.errors import InvalidValueError
from deblur_models.compress.channels import Dimension, channels_of
from deblur_models.networks import Network, NetworkConfig

__all__ = ["kept_channels", "prune", "pruned_config"]

WIDTHS = ("width", "growth")
"""Fields of configurations that are numbers of channels, to which those of all layers are proportional."""


def prune(network: Network, keep: float) -> Network:
    """A network with a share of the channels, and those weights of the given one that belong to them.

    Channels that belong together (see :func:`~deblur_models.compress.channels.channels_of`) are removed together: those
    whose weights are the smallest, by the sum over all weights of the group of ``|w|^2``, relative to the mean over the
    channels of the same layer. No weight is changed, so the result is worse than before; training from it
    (``start_from``) brings back most of it.

    Parameters
    ----------
    network
        A network that restores. It is not changed.
    keep
        Share of the channels of every layer, between 0 and 1; the number of weights falls with its square. Widths are
        rounded to even numbers, or to the multiples that the architecture needs.

    Returns
    -------
    Network
        The pruned network, on the CPU, ready for use (``eval()``).

    Raises
    ------
    InvalidValueError
        ``keep`` is out of range or changes nothing, or the architecture cannot be pruned.

    Not modeled: shares that differ between layers (they need architectures that no configuration describes);
    the backbone of DeblurGAN-v2, whose widths are fixed.

    Source: H. Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017; groups and relative norms as in
    G. Fang et al., "DepGraph: Towards Any Structural Pruning", CVPR 2023.
    """
    state = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    for (name, dim), kept in kept_channels(network, keep).items():
        state[name] = state[name].index_select(dim, torch.from_numpy(np.flatnonzero(kept)))
    pruned = pruned_config(network.config, keep).build()
    pruned.load_state_dict(state, strict=True)
    return pruned.eval()


def kept_channels(network: Network, keep: float) -> dict[Dimension, NDArray[np.bool_]]:
    """Which channels stay, along each dimension of each weight; parameters and errors are those of :func:`prune`."""
    try:
        classes = channels_of(network)
    except InvalidValueError as error:
        raise InvalidValueError(
            f"{network.config.kind} cannot be pruned: {error.what}",
            why=error.why,
            fix="Train a smaller one, with this network as its [teacher].",
        ) from None
    with torch.device("meta"):
        smaller = pruned_config(network.config, keep).build()
    wanted = {name: tuple(tensor.shape) for name, tensor in smaller.state_dict().items()}
    kept = _chosen(classes, wanted, _importance(classes, network.state_dict()))
    return {place: kept[channels] for place, channels in classes.items()}


def pruned_config(config: NetworkConfig, keep: float) -> NetworkConfig:
    """The configuration with a share of the channels; see :func:`prune`."""
    if not 0 < keep < 1:
        raise InvalidValueError(
            f"keep must be between 0 and 1, got {keep}. It is the share of the channels that stay.",
            field="keep",
            value=keep,
        )
    fields = type(config).model_fields
    widths = {name: getattr(config, name) for name in WIDTHS if name in fields}
    steps = {name: max((getattr(m, "multiple_of", 2) for m in fields[name].metadata), default=2) for name in widths}
    fewer = {name: max(1, round(keep * width / steps[name])) * steps[name] for name, width in widths.items()}
    if fewer == widths:
        raise InvalidValueError(
            f"keep = {keep:g} leaves all channels: "
            f"{', '.join(f'{name} = {width} changes in steps of {steps[name]}' for name, width in widths.items())}.",
            field="keep",
            value=keep,
        )
    return config.replace(**fewer)


def _importance(classes: Mapping[Dimension, NDArray[np.int64]], state: Mapping[str, Tensor]) -> NDArray[np.float64]:
    """The importance of each class of channels."""
    total = np.zeros(max(int(channels.max()) for channels in classes.values()) + 1)
    for (name, dim), channels in classes.items():
        if name.endswith(("running_mean", "running_var")):
            continue  # statistics of the data
        norms = state[name].detach().cpu().double().movedim(dim, 0).reshape(len(channels), -1).square().sum(1).numpy()
        if norms.mean() > 0:
            np.add.at(total, channels, norms / norms.mean())
    return total


def _chosen(
    classes: Mapping[Dimension, NDArray[np.int64]],
    wanted: Mapping[str, tuple[int, ...]],
    importance: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """The classes that stay: along each dimension as many channels as wanted, the most important ones.

    Small dimensions choose first, since they are parts of larger ones: the half that is normalized, for example.
    """
    kept = np.zeros(len(importance), bool)
    decided = np.zeros(len(importance), bool)

    def order(entry: tuple[Dimension, NDArray[np.int64]]) -> tuple[bool, int]:
        (name, dim), channels = entry
        return wanted[name][dim] < len(channels), len(set(channels.tolist()))

    for (name, dim), channels in sorted(classes.items(), key=order):
        missing = wanted[name][dim] - int(kept[channels].sum())
        found, counts = np.unique(channels[~decided[channels]], return_counts=True)
        for number in np.argsort(-importance[found], kind="stable"):
            if counts[number] <= missing:
                kept[found[number]] = True
                missing -= int(counts[number])
        decided[channels] = True
        if missing:
            raise InvalidValueError(
                f"the channels of {name} cannot be reduced to {wanted[name][dim]} of {len(channels)}.",
                why="Some of them belong to channels of other layers, of which another share stays.",
            )
    return kept
