"""``deblur losses``: the losses and their fields."""

from __future__ import annotations

from typing import Annotated

import typer

from blursynth.cli import console
from blursynth.errors import InvalidValueError, did_you_mean
from deblur_models.cli.record_listing import show_fields, summary

EPILOG = """\b
Examples:
  deblur losses
  deblur losses charbonnier
"""


def command(
    kind: Annotated[str | None, typer.Argument(help="Show the fields of this one.", show_default=False)] = None,
) -> None:
    """List the losses, or one loss's fields."""
    from deblur_models.losses import ADVERSARIAL, ALL, CONSISTENCY, AdversarialLoss, ConsistencyLoss, Loss

    sorts: dict[type[object], str] = {
        **dict.fromkeys(ADVERSARIAL, "adversarial"),
        **dict.fromkeys(CONSISTENCY, "consistency"),
    }
    listed: tuple[type[Loss | AdversarialLoss | ConsistencyLoss], ...] = (*ALL, *ADVERSARIAL, *CONSISTENCY)
    everything = {loss.kind: loss for loss in listed}
    if kind is None:
        rows = [(name, sorts.get(loss, ""), summary(loss)) for name, loss in everything.items()]
        console.table(("loss", "", "what it is"), rows)
        return
    if kind not in everything:
        raise InvalidValueError(f"There is no loss {kind!r}.", fix=did_you_mean(kind, everything))
    show_fields(everything[kind])
