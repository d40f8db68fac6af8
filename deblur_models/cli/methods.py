"""``deblur methods``: the classical methods and their fields."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from blursynth.cli import console
from blursynth.errors import InvalidValueError, did_you_mean

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
    chosen = everything[kind]
    typer.echo(summary(chosen))
    console.table(
        ("field", "default", "what it is"),
        [
            (name, "needed" if field.is_required() else field.default, field.description or "")
            for name, field in chosen.model_fields.items()
        ],
    )


def summary(record: type[object]) -> str:
    """The first sentence of a record's documentation, on one line and without marks of its formatting."""
    paragraph = " ".join((record.__doc__ or "").strip().partition("\n\n")[0].split())
    paragraph = re.sub(r":\w+:`~?([^`]+)`", r"\1", paragraph).replace("``", "")
    return re.sub(r"(?<!\S)\*(\w[^*]*)\*", r"\1", paragraph).rstrip(".")
