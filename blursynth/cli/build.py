"""``blursynth build``: a data set that comes with the library."""

from __future__ import annotations

from typing import Annotated

import typer

from blursynth.cli import arguments, console
from blursynth.cli.generate import interruptible, show_report

EPILOG = """\b
Examples:
  blursynth datasets
  blursynth build quickstart pairs/

The draws are compared with the expected digest, which is the same on every machine. Different pixels are reported.
"""


def command(
    name: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="A name listed by blursynth datasets, or a request file.")
    ],
    out: arguments.Out,
    workers: arguments.Workers = None,
    quiet: arguments.Quiet = False,
) -> None:
    """Make a data set that comes with the library, and check its digest."""
    from blursynth import dataset

    request = dataset.load_request(name)
    with interruptible(out), console.progress_bar("samples", out, quiet=quiet) as show:
        report = dataset.generate(request, out, workers=workers, on_progress=show)
    show_report(report, quiet=quiet)
    expected = [part.digest for part in request.parts().values()]
    if all(expected) and not quiet:
        console.echo("The draws match the expected digest.")
