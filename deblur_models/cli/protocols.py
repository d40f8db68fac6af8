"""``deblur protocols``: the public test sets that evaluation knows by name."""

from __future__ import annotations

from typing import Annotated

import typer

from blursynth.cli import console

EPILOG = """\b
Examples:
  deblur protocols
  deblur protocols realblur-j
"""


def command(
    name: Annotated[str | None, typer.Argument(help="Show what this protocol looks for.", show_default=False)] = None,
) -> None:
    """List the public test sets for evaluate --protocol, or how one is found and measured."""
    from deblur_models.evaluate import PROTOCOLS, find_protocol

    if name is None:
        rows = [(one.name, f"{one.pairs:,}", one.scores) for one in PROTOCOLS]
        console.table(("protocol", "pairs", "scores"), rows, right=("pairs",))
        return
    protocol = find_protocol(name)
    console.echo(f"{protocol.name}: {protocol.scores}.\nSource: {protocol.source}.\n\nFound in DATA as one of:")
    for layout in protocol.layouts:
        console.echo(f"  {layout.text}")
    console.echo("")
    console.table(("metric", "protocol"), [(one.name, one.protocol) for one in protocol.metrics])
