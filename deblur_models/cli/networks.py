"""``deblur networks``: the architectures, their sizes and parameter counts."""

from __future__ import annotations

from typing import Annotated

import typer

from blursynth.cli import console
from blursynth.records.kind import find_kind
from blursynth.records.schema import summary

EPILOG = """\b
Examples:
  deblur networks
  deblur networks nafnet
"""


def command(
    kind: Annotated[str | None, typer.Argument(help="Show the fields of this network.", show_default=False)] = None,
) -> None:
    """List the networks, or one network's fields."""
    import torch

    from deblur_models.networks import ALL, BLUR_GENERATORS, DISCRIMINATORS, count_weights

    roles = dict.fromkeys(DISCRIMINATORS, "discriminator") | dict.fromkeys(BLUR_GENERATORS, "blurs")
    everything = (*ALL, *roles)
    if kind is None:
        rows = []
        for config in everything:
            for size in config.sizes:
                with torch.device("meta"):
                    weights = count_weights(config.of_size(size).build())
                rows.append((config.kind, size, f"{weights:,}", roles.get(config, "")))
        console.table(("network", "size", "weights", ""), rows, right=("weights",))
        return
    config = find_kind(kind, everything, noun="network")
    console.echo(summary(config))
    defaults = config.of_size()
    console.table(
        ("field", f"value of size {next(iter(config.sizes))!r}", "description"),
        [(name, getattr(defaults, name), field.description or "") for name, field in config.model_fields.items()],
    )
    console.echo("\nSizes: " + ", ".join(config.sizes))
