"""``deblur methods``: the classical methods and their fields."""

from __future__ import annotations

from typing import Annotated

import typer

from blursynth.cli import console
from blursynth.errors import InvalidValueError, did_you_mean
from deblur_models.cli.record_listing import show_fields, summary

EPILOG = """\b
Examples:
  deblur methods
  deblur methods wiener
"""


def command(
    kind: Annotated[str | None, typer.Argument(help="Show the fields of this one.", show_default=False)] = None,
) -> None:
    """List the classical methods, or one method's fields."""
    from deblur_models.classical import ALL

    everything = {method.kind: method for method in ALL}
    if kind is None:
        console.table(("method", "what it does"), [(name, summary(method)) for name, method in everything.items()])
        return
    if kind not in everything:
        raise InvalidValueError(f"There is no classical method {kind!r}.", fix=did_you_mean(kind, everything))
    show_fields(everything[kind])
