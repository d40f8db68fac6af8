"""``deblur import``: a checkpoint of published code becomes one of deblur_models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blursynth.cli import console
from blursynth.errors import InvalidValueError

EPILOG = """\b
Examples:
  deblur import NAFNet-GoPro-width32.pth --network nafnet --size 32 --out nafnet-gopro
  deblur import net_g_latest.pth --network hinet --out hinet

Files are read without running anything in them. Mind the licence of the weights: it stays with them.
"""


def command(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="FILE", help=".pth, .pt, .safetensors or .npz.", show_default=False)
    ],
    network: Annotated[str, typer.Option("--network", metavar="KIND", help="As `deblur networks` lists them.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="NAME", help="Writes NAME.safetensors and NAME.json.")],
    size: Annotated[
        str | None, typer.Option("--size", help="Of the network; by default the published one.", show_default=False)
    ] = None,
    licence: Annotated[
        str, typer.Option("--licence", help="Of the weights, kept in NAME.json.", show_default=False)
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Overwrite NAME.")] = False,
) -> None:
    """Take over the weights of a published checkpoint.

    Every weight must fit by name and shape; otherwise it says which do not, and whose they look like.
    """
    from deblur_models.checkpoint import save_network
    from deblur_models.import_weights import import_original
    from deblur_models.networks import count_weights, network_config

    target = out.with_suffix("") if out.suffix in (".safetensors", ".json") else out
    written = target.with_name(f"{target.name}.safetensors")
    if written.exists() and not force:
        raise InvalidValueError(
            f"{written}: is there already.", fix="Choose another --out, or overwrite it with --force."
        )
    config = network_config({"kind": network, **({"size": size} if size else {})})
    made = import_original(checkpoint, config)
    save_network(made, target, imported_from=checkpoint.name, licence=licence)
    console.echo(f"{written}: {config.kind}, {count_weights(made):,} weights")
