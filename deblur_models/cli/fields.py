"""``deblur fields``: what a training configuration can contain."""

from __future__ import annotations

from typing import Annotated

import typer

from blursynth.cli import console
from blursynth.errors import InvalidValueError, did_you_mean
from blursynth.records.schema import summary
from deblur_models.cli.record_listing import show_fields

EPILOG = """\b
Examples:
  deblur fields
  deblur fields optimizer
"""

_OF_A_KIND = {
    "network": ("the network to train", "deblur networks"),
    "loss": ("the loss to minimize; [[loss]] may appear several times", "deblur losses"),
    "adversarial.loss": ("the adversarial loss", "deblur losses"),
    "adversarial.discriminator": ("the discriminator", "deblur networks"),
}
"""Tables with a field ``kind``: their purpose, and the command that lists the kinds and the fields of each."""


def command(
    table: Annotated[str | None, typer.Argument(help="Show the fields of this table.", show_default=False)] = None,
) -> None:
    """List the tables of a training configuration, or one table's fields."""
    from deblur_models.config.configuration import TABLES, Configuration

    alone = {name: Configuration.model_fields[name].description or "" for name in ("summary", "seed", "start_from")}
    alone = {"extends": "name or path of a configuration that this one changes", **alone}
    if table is None:
        console.table(
            ("table or field", "description"),
            [
                *alone.items(),
                *((name, f"{text}: {lists}") for name, (text, lists) in _OF_A_KIND.items()),
                *((name, summary(record).partition("]: ")[2] or summary(record)) for name, record in TABLES.items()),
            ],
        )
        return
    name = table.strip("[]")
    name = "data.NAME" if name.split(".")[0] == "data" else name
    if name in _OF_A_KIND:
        text, lists = _OF_A_KIND[name]
        console.echo(f"{text}; `{lists}` lists its kinds, `{lists} KIND` the fields of a kind.")
        return
    if name in alone:
        console.echo(f"{name} = ...: {alone[name]}; at the top of the file, before the tables.")
        return
    if name not in TABLES:
        known = (*alone, *_OF_A_KIND, *TABLES)
        raise InvalidValueError(f"A configuration has no table {table!r}.", fix=did_you_mean(name, known))
    show_fields(TABLES[name])
