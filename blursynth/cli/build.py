"""``blursynth build``: a data set that comes with the library."""

from __future__ import annotations

from typing import Annotated

import typer

from blursynth.cli import arguments, console
from blursynth.cli.generate import interruptible, show_plans, show_report
from blursynth.errors import InvalidValueError

EPILOG = """\b
Examples:
  blursynth datasets
  blursynth build quickstart pairs/
  blursynth photographs photographs/       # those of which the others are made
  blursynth build handheld-10k pairs/ --sources photographs/
  blursynth build handheld-10k some/ --sources photographs/ --first 64
  blursynth build mixed-100k s3://bucket/mixed --sources photographs/ --only train --engine dask

The draws are compared with the expected digest, which is the same on every machine. Different pixels are reported.
"""


def command(
    name: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="A name listed by blursynth datasets, or a request file.")
    ],
    out: arguments.Out,
    sources: Annotated[
        str | None,
        typer.Option("--sources", metavar="FOLDER", help="Folder of the source pictures, if they do not come with it."),
    ] = None,
    first: Annotated[
        int | None, typer.Option("--first", metavar="N", min=1, help="Make only the first N pairs of each split.")
    ] = None,
    only: Annotated[str | None, typer.Option("--only", metavar="SPLIT", help="Make only this split.")] = None,
    workers: arguments.Workers = None,
    dry_run: arguments.DryRun = False,
    shards: arguments.Shards = None,
    engine: arguments.Engine = "local",
    scheduler: arguments.Scheduler = None,
    any_environment: arguments.AnyEnvironment = False,
    quiet: arguments.Quiet = False,
) -> None:
    """Make a data set that comes with the library and check it."""
    from blursynth import dataset

    part, where = arguments.parse_range(shards), arguments.engine_of(engine, scheduler)
    request = dataset.load_request(name)
    if sources is not None:
        if request.source_list is None:
            what = f"--sources was given, but {name} names its own sources."
            raise InvalidValueError(what, fix="Leave it out, or write a request file of your own.")
        request = request.replace(sources=sources)
    if first is not None:
        request = request.beginning(first)
    if dry_run:
        show_plans(request, out, only=only, workers=workers, quiet=quiet)
        return
    with interruptible(out, request), console.progress_bar("samples", out, quiet=quiet) as show:
        report = dataset.generate(
            request, out, workers=workers, shards=part, only=only, engine=where, any_environment=any_environment,
            on_progress=show,
        )  # fmt: skip
    show_report(report, quiet=quiet)
    if report.checked and not quiet:
        console.echo(f"The draws match the expected digest, which is of {console.plural(report.checked, 'pair')}.")
