"""``blursynth resume``: finish an unfinished data set."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from blursynth.cli import arguments, console
from blursynth.cli.generate import interruptible, show_report
from blursynth.errors import InvalidValueError

EPILOG = """\b
Examples:
  blursynth resume dataset/
  blursynth resume dataset/ --redo 3,5          # these shards, whatever they hold
  blursynth resume dataset/ --sources /new/place/of/photos
"""


def command(
    out: arguments.Dataset,
    workers: arguments.Workers = None,
    redo: Annotated[
        str | None, typer.Option("--redo", metavar="NUMBERS", help="Shards to make again, separated by commas.")
    ] = None,
    sources: arguments.SourceRoot = None,
    depth: arguments.DepthRoot = None,
    labels: arguments.LabelsRoot = None,
    shards: arguments.Shards = None,
    engine: arguments.Engine = "local",
    scheduler: arguments.Scheduler = None,
    any_environment: arguments.AnyEnvironment = False,
    quiet: arguments.Quiet = False,
) -> None:
    """Make the missing shards of a data set.

    Existing shards are kept; those that are missing or truncated are made.
    """
    if redo is not None and not re.fullmatch(r"\s*\d+\s*(,\s*\d+\s*)*", redo):
        raise InvalidValueError(
            f"--redo must be integers separated by commas, got {redo!r}.", fix="For example --redo 3,5."
        )
    again = [int(part) for part in redo.split(",")] if redo is not None else []
    part = arguments.parse_range(shards)

    from blursynth import dataset

    where = arguments.engine_of(engine, scheduler)
    with interruptible(out), console.progress_bar("samples", out, quiet=quiet) as show, arguments.shipped_kinds():
        report = dataset.resume(
            out, workers=workers, shards=part, redo=again, source_root=sources, depth_root=depth, labels_root=labels,
            engine=where, any_environment=any_environment, on_progress=show,
        )  # fmt: skip
    show_report(report, quiet=quiet)
