"""``deblur import``: convert a checkpoint of published code to one of deblur_models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blursynth.cli import console
from blursynth.cli.arguments import parse_changes
from blursynth.errors import InvalidValueError

if TYPE_CHECKING:
    from torch import nn

EPILOG = """\b
Examples:
  deblur import NAFNet-GoPro-width32.pth --network nafnet --size 32 --out nafnet-gopro
  deblur import net_g_latest.pth --network hinet --out hinet
  deblur import NAFNet-SIDD-width32.pth --network nafnet --set width=32 --set encoder_blocks=[2,2,4,8] \\
    --set middle_blocks=12 --set decoder_blocks=[2,2,2,2] --out nafnet-sidd
  deblur import gaussian_color_denoising_blind.pth --network restormer --set layer_norm=bias_free --out restormer
  deblur import latest_net_D.pth --network patchgan --out critic     # for start_from in [adversarial]

Files are read without running any code in them. The license of the weights continues to apply.
"""


def command(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="FILE", help=".pth, .pt, .safetensors or .npz.", show_default=False)
    ],
    network: Annotated[str, typer.Option("--network", metavar="KIND", help="A network from `deblur networks`.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="NAME", help="Writes NAME.safetensors and NAME.json.")],
    size: Annotated[
        str | None, typer.Option("--size", help="Size of the network. Default: the published one.", show_default=False)
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="A field of the network that differs from that size (see `deblur networks KIND`); may be repeated.",
            show_default=False,
        ),
    ] = None,
    license: Annotated[
        str, typer.Option("--license", help="License of the weights, stored in NAME.json.", show_default=False)
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Overwrite NAME.")] = False,
) -> None:
    """Import the weights of a published checkpoint.

    Every weight must match by name and shape; otherwise the mismatches are listed, with the network they seem to fit.
    """
    from deblur_models.checkpoints.checkpoint import save_network
    from deblur_models.checkpoints.import_weights import import_discriminator, import_original
    from deblur_models.networks import DISCRIMINATORS, count_weights, discriminator_config, network_config

    target = out.with_suffix("") if out.suffix in (".safetensors", ".json") else out
    written = target.with_name(f"{target.name}.safetensors")
    if written.exists() and not force:
        raise InvalidValueError(
            f"{written}: already exists.", fix="Choose another --out, or overwrite it with --force."
        )
    wanted = {"kind": network, **({"size": size} if size else {}), **_fields(set_ or ())}
    made: nn.Module
    try:
        if network in {known.kind for known in DISCRIMINATORS}:
            made = import_discriminator(checkpoint, discriminator_config(wanted))
        else:
            made = import_original(checkpoint, network_config(wanted))
    except InvalidValueError as error:
        said, *tables = str(error).split("\n")
        if not tables:
            raise
        console.echo("\n".join(tables), err=True)  # an error is one line; it comes last, so that it stays visible
        raise InvalidValueError(said) from None
    save_network(made, target, imported_from=checkpoint.name, license=license)
    console.echo(f"{written}: {network}, {count_weights(made):,} weights")


def _fields(settings: Sequence[str]) -> dict[str, Any]:
    fields = parse_changes(settings, form="FIELD")
    for name, option in (("kind", "--network"), ("size", "--size")):
        if name in fields:
            raise InvalidValueError(f"--set {name}: is set with {option}.")
    return fields
