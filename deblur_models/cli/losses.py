"""``deblur losses``: the losses and their fields."""

from __future__ import annotations

from typing import Annotated

import typer

from blursynth.cli import console
from blursynth.records.kind import find_kind
from blursynth.records.schema import summary
from deblur_models.cli.record_listing import show_fields

EPILOG = """\b
Examples:
  deblur losses
  deblur losses charbonnier
"""


def command(
    kind: Annotated[str | None, typer.Argument(help="Show the fields of this loss.", show_default=False)] = None,
) -> None:
    """List the losses, or one loss's fields."""
    from deblur_models.losses import ADVERSARIAL, ALL, CONSISTENCY, AdversarialLoss, ConsistencyLoss, Loss

    sorts: dict[type[object], str] = {
        **dict.fromkeys(ADVERSARIAL, "adversarial"),
        **dict.fromkeys(CONSISTENCY, "consistency"),
    }
    listed: tuple[type[Loss | AdversarialLoss | ConsistencyLoss], ...] = (*ALL, *ADVERSARIAL, *CONSISTENCY)
    if kind is not None:
        show_fields(find_kind(kind, listed, noun="loss"))
        return
    console.table(("loss", "", "description"), [(loss.kind, sorts.get(loss, ""), summary(loss)) for loss in listed])
