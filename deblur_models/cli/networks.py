"""``deblur networks``: the architectures, their sizes and their numbers of weights."""

from __future__ import annotations

from typing import Annotated

import typer

from blursynth.cli import console
from blursynth.errors import InvalidValueError, did_you_mean

EPILOG = """\b
Examples:
  deblur networks
  deblur networks nafnet
"""


def command(
    kind: Annotated[str | None, typer.Argument(help="Show the fields of this one.", show_default=False)] = None,
) -> None:
    """List the networks, or one network's fields."""
    import torch

    from deblur_models.networks import ALL, BLUR_GENERATORS, DISCRIMINATORS, count_weights

    roles = dict.fromkeys(DISCRIMINATORS, "discriminator") | dict.fromkeys(BLUR_GENERATORS, "blurs")
    everything = {config.kind: config for config in (*ALL, *roles)}
    if kind is None:
        rows = []
        for config in everything.values():
            for size in config.sizes:
                with torch.device("meta"):
                    weights = count_weights(config.of_size(size).build())
                rows.append((config.kind, size, f"{weights:,}", roles.get(config, "")))
        console.table(("network", "size", "weights", ""), rows, right=("weights",))
        return
    if kind not in everything:
        raise InvalidValueError(f"There is no network {kind!r}.", fix=did_you_mean(kind, everything))
    config = everything[kind]
    console.echo((config.__doc__ or "").strip().splitlines()[0])
    defaults = config.of_size()
    console.table(
        ("field", f"value of size {next(iter(config.sizes))!r}", "what it is"),
        [(name, getattr(defaults, name), field.description or "") for name, field in config.model_fields.items()],
    )
    console.echo("\nSizes: " + ", ".join(config.sizes))
