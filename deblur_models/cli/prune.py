"""``deblur prune``: a smaller network from a trained one, by removing channels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blursynth.cli import console
from blursynth.errors import InvalidValueError

EPILOG = """\b
Examples:
  deblur prune run/ --keep 0.7 --out pruned
  deblur prune photographs --drop 0.5 --out half

The result is a checkpoint like any other. It restores worse than before; train from it:
  deblur train mine.toml --out run2/ --set start_from=pruned --set network.width=22
"""


def command(
    network: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="A run, a checkpoint or the name of a network that ships.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="NAME", help="Writes NAME.safetensors and NAME.json.")],
    keep: Annotated[
        float | None, typer.Option("--keep", metavar="SHARE", help="Share of channels that stay.", show_default=False)
    ] = None,
    drop: Annotated[
        float | None, typer.Option("--drop", metavar="SHARE", help="Share of channels removed.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite NAME.")] = False,
) -> None:
    """Remove the channels of a network whose weights are the smallest, the same share in every layer.

    The number of weights falls with the square of the share that stays. The network's own training is not repeated.
    """
    from deblur_models.checkpoints.checkpoint import load_checkpoint, restoration_network_of, save_network
    from deblur_models.compress import prune
    from deblur_models.networks import count_weights

    if (keep is None) == (drop is None):
        raise InvalidValueError("deblur prune needs either --keep or --drop.", fix="For example: --keep 0.7.")
    target = out.with_suffix("") if out.suffix in (".safetensors", ".json") else out
    written = target.with_name(f"{target.name}.safetensors")
    if written.exists() and not force:
        raise InvalidValueError(
            f"{written}: already exists.", fix="Choose another --out, or overwrite it with --force."
        )
    checkpoint = load_checkpoint(network)
    before = restoration_network_of(checkpoint, network)
    after = prune(before, keep if keep is not None else 1 - (drop or 0.0))
    kept = {name: checkpoint.manifest[name] for name in ("license",) if name in checkpoint.manifest}
    save_network(after, target, pruned_from=checkpoint.manifest["sha256"], **kept)
    old, new = before.config.fields(), after.config.fields()
    changed = {name: value for name, value in new.items() if value != old[name]}
    rows = [(name, f"{old[name]:,}", f"{value:,}") for name, value in changed.items()]
    console.table(
        (after.config.kind, "before", "after"),
        [*rows, ("weights", f"{count_weights(before):,}", f"{count_weights(after):,}")],
        right=("before", "after"),
    )
    settings = " ".join(f"--set network.{name}={value}" for name, value in changed.items())
    console.echo(f"{written}: train from it with  deblur train CONFIG --set start_from={target} {settings} --out RUN")
