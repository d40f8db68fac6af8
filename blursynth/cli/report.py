"""``blursynth report``: a page about a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blursynth.cli import arguments, console

EPILOG = """\b
Examples:
  blursynth report pairs/                 # writes pairs.html
  blursynth report pairs/ --out page.html
"""


def command(
    dataset_: arguments.Dataset,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="The page, .html; by default beside the data set."),
    ] = None,
    quiet: arguments.Quiet = False,
) -> None:
    """Write a page about a data set.

    Pairs to compare, what was drawn, sharpness and noise, sources, and how to
    make it again, in one HTML file that refers to nothing outside.
    """
    from blursynth import dataset

    with console.progress_bar("samples", quiet=quiet) as show, arguments.shipped_kinds():
        path = dataset.report(dataset_, out, on_progress=show)
    if not quiet:
        console.echo(f"written: {path}")
