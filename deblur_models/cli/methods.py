"""``deblur methods``: the classical methods and their fields."""

from __future__ import annotations

from typing import Annotated

import typer

from blursynth.cli import console
from blursynth.records.kind import find_kind
from blursynth.records.schema import summary
from deblur_models.cli.record_listing import show_fields

EPILOG = """\b
Examples:
  deblur methods
  deblur methods wiener
"""


def command(
    kind: Annotated[str | None, typer.Argument(help="Show the fields of this method.", show_default=False)] = None,
) -> None:
    """List the classical methods, or one method's fields."""
    from deblur_models.classical import ALL

    if kind is not None:
        show_fields(find_kind(kind, ALL, noun="classical method"))
        return
    console.table(("method", "description"), [(method.kind, summary(method)) for method in ALL])
