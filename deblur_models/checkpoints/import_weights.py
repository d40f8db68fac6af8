"""Networks with weights of published checkpoints: names are mapped and compared strictly, mismatches listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from blursynth.errors import InvalidValueError
from blursynth.io.folders import expanded
from blursynth.records.text import printable
from deblur_models.checkpoints.weights_file import CONTAINERS, DISCRIMINATOR_CONTAINERS, read_weights, shape_of, some_of
from deblur_models.networks import ALL, DISCRIMINATORS, Architecture, Network, NetworkConfig

__all__ = ["import_discriminator", "import_original"]

LINES = 12
"""Maximum number of lines of each table of mismatches."""
FEW_LINES = 3
"""The same if the network of the weights is known, and the tables say little."""


def import_original(path: str | Path, config: NetworkConfig) -> Network:
    """A network with the weights of a published checkpoint, on the CPU, ready for use (``eval()``).

    Weights in half or double precision are converted to float32.

    Parameters
    ----------
    path
        As in :func:`~deblur_models.checkpoints.weights_file.read_weights`.
    config
        The architecture; its ``from_original`` maps names and axis orders from the published code. A ``state_dict()``
        of this implementation fits as well.

    Raises
    ------
    DatasetError
        As in :func:`~deblur_models.checkpoints.weights_file.read_weights`.
    InvalidValueError
        The weights do not match the network (with tables of missing, unexpected and differently shaped weights, and a
        guess which network they belong to), or some are not finite.
    """
    network: Network = _imported(expanded(path), config, CONTAINERS)
    return network


def import_discriminator(path: str | Path, config: Architecture) -> nn.Module:
    """A discriminator with the weights of a published checkpoint; see :func:`import_original`."""
    discriminator: nn.Module = _imported(expanded(path), config, DISCRIMINATOR_CONTAINERS)
    return discriminator


def _imported(path: Path, config: Architecture, containers: Sequence[str]) -> Any:
    found = read_weights(path, containers)
    if path.with_suffix(".json").exists() and any(name.startswith("network.") for name in found):
        raise InvalidValueError(
            f"{path}: is a checkpoint of deblur_models, not of published code.",
            fix="Read it with deblur_models.checkpoints.checkpoint.load_network.",
        )
    try:
        state = config.from_original(found)
    except RuntimeError as error:  # raised by torch if a tensor lacks the axes to reorder
        raise InvalidValueError(
            f"{path}: does not contain the weights of {_named(config)}.",
            why=f"They do not have the axes of the published code ({error}).",
        ) from None
    expected = shapes_of(config)
    if not fits(expected, state):
        raise InvalidValueError(_misfit(path, config, found, state))
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise InvalidValueError(
            f"{path}: {len(broken)} of {len(state)} weights contain NaN or infinity: {some_of(broken)}.",
            why="Every output of such a network is NaN.",
            fix="Training had diverged when it was written. Use an earlier checkpoint.",
        )
    with torch.random.fork_rng(devices=[]):  # the initial weights are overwritten; the caller's random state is kept
        network = config.build()
    network.load_state_dict(state, strict=True)
    return network.eval()


@cache
def shapes_of(config: Architecture) -> Mapping[str, Tensor]:
    """The state of a network without values."""
    with torch.device("meta"):
        return config.build().state_dict()


def fits(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> bool:
    return expected.keys() == state.keys() and all(_same(tensor, state[name]) for name, tensor in expected.items())


def _same(expected: Tensor, got: Tensor) -> bool:
    return expected.shape == got.shape and expected.is_floating_point() == got.is_floating_point()


def _misfit(path: Path, config: Architecture, found: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """Tables of missing, unexpected and differently shaped weights, and a guess which network they belong to."""
    expected = shapes_of(config)
    missing = [(name, shape_of(tensor)) for name, tensor in expected.items() if name not in state]
    unknown = [(name, shape_of(tensor)) for name, tensor in state.items() if name not in expected]
    wrong = [
        (name, f"{shape_of(state[name])} in the file,", f"{shape_of(tensor)} in the network")
        for name, tensor in expected.items()
        if name in state and not _same(tensor, state[name])
    ]
    right = len(expected) - len(missing) - len(wrong)
    guess, certain = _guess(config, found, right / max(len(expected), len(state)))
    lines = FEW_LINES if certain else LINES
    parts = [
        f"{printable(path)}: does not contain the weights of {_named(config)}: {right} of its {len(expected)} match.",
        *([guess] if guess else []),
        *_table("In the network but not in the file", missing, lines),
        *_table("In the file but not in the network", unknown, lines),
        *_table("With another shape", wrong, lines),
    ]
    if not certain and _size_of(config) is not None:
        parts.append(f"Widths and block counts that no size of {config.kind} has are set with: --set FIELD=VALUE")
    return "\n".join(parts)


def _guess(config: Architecture, found: Mapping[str, Tensor], share: float) -> tuple[str, bool]:
    """The network that the weights belong to ("" if none is closer), and whether all of them match.

    The other sizes of the kind are tried first, then the other kinds.
    """
    shells = {name: tensor.to("meta") for name, tensor in found.items()}
    best: Architecture | None = None
    known: tuple[type[Architecture], ...] = (*ALL, *DISCRIMINATORS)
    for kind in sorted(known, key=lambda other: other is not type(config)):
        for size in kind.sizes:
            other = kind.of_size(size)
            try:
                state = other.from_original(shells)
            except Exception:  # unexpected names; a guess must not hide the table
                continue
            expected = shapes_of(other)
            alike = sum(name in state and _same(tensor, state[name]) for name, tensor in expected.items())
            if fits(expected, state):
                flags = f"--network {other.kind} --size {size}"
                return f"These are the weights of {_named(other)}; import them with {flags}.", True
            if alike / max(len(expected), len(state)) > share:
                best, share = other, alike / max(len(expected), len(state))
    if best is None or share < 0.5:
        return "", False
    return f"They are closer to {_named(best)}, of which {share:.0%} match.", False


def _named(config: Architecture) -> str:
    size = _size_of(config)
    return f"{config.kind}, size {size!r}" if size is not None else repr(config)


def _size_of(config: Architecture) -> str | None:
    return next((size for size in config.sizes if config == type(config).of_size(size)), None)


def _table(title: str, rows: Sequence[tuple[str, ...]], most: int) -> list[str]:
    if not rows:
        return []
    shown = [tuple(printable(cell) for cell in row) for row in rows[:most]]  # names in a file can contain anything
    widths = [max(len(row[column]) for row in shown) for column in range(len(shown[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown]
    more = [f"  and {len(rows) - most} more"] if len(rows) > most else []
    return [f"{title} ({len(rows)}):", *(f"  {line}" for line in lines), *more]
