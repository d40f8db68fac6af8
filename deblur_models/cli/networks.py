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
  deblur networks photographs
"""


def command(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="Show the fields of this network, or the model card of one that ships.", show_default=False
        ),
    ] = None,
) -> None:
    """List the networks and the trained ones that ship, or show one.

    Those that ship are used by name: deblur apply photo.jpg --network NAME.
    """
    import torch

    from deblur_models.checkpoints.shipped import model_card, shipped_names, shipped_network
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
        console.echo(
            "\nAll that restore can be exported (deblur export): at any size for ONNX Runtime, OpenCV 5, OpenVINO and "
            "torch.export, at a fixed size for OpenCV 4.12."
        )
        if shipped := shipped_names():
            console.echo("\nTrained, ready for --network")
            files = [(name, console.bytes_text(shipped_network(name).stat().st_size)) for name in shipped]
            console.table(("name", "file"), files, right=("file",))
        return
    if kind in shipped_names():
        console.echo(model_card(kind))
        return
    config = find_kind(kind, everything, noun="network")
    console.echo(summary(config))
    defaults = config.of_size()
    console.table(
        ("field", f"value of size {next(iter(config.sizes))!r}", "description"),
        [(name, getattr(defaults, name), field.description or "") for name, field in config.model_fields.items()],
    )
    console.echo("\nSizes: " + ", ".join(config.sizes))
