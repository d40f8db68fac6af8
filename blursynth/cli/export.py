"""``blursynth export``: write a data set in the layouts that other code reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blursynth.cli import arguments, console
from blursynth.errors import InvalidValueError

EPILOG = """\b
Examples:
  blursynth export pairs/ folders/                                       # input/*.png, target/*.png
  blursynth export pairs/ GoPro/train/ --to lmdb --names blur_crops,sharp_crops     # for NAFNet
  blursynth export pairs/ tars/ --to webdataset

Formats: folders, lmdb, webdataset, parquet, hdf5. Running the same command
again continues; lmdb and hdf5 begin again.
"""


def command(
    dataset_: arguments.Dataset,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New or empty folder.")],
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="folders, lmdb, webdataset, parquet or hdf5.")] = (
        "folders"
    ),
    names: Annotated[
        str, typer.Option("--names", metavar="BLURRED,SHARP", help="Names of the two halves.")
    ] = "input,target",
    quiet: arguments.Quiet = False,
) -> None:
    """Write the pairs of a data set in layouts of other code."""
    halves = tuple(part.strip() for part in names.split(","))
    if len(halves) != 2:
        raise InvalidValueError(f"--names must be two names with a comma between them, got {names!r}.")
    from blursynth import dataset

    with console.progress_bar("pairs", quiet=quiet) as show, arguments.shipped_kinds():
        made = dataset.export(dataset_, out, to=to, names=(halves[0], halves[1]), on_progress=show)  # type: ignore[arg-type]
    if not quiet:
        kept = "" if made.written == made.pairs else f", {made.written:,} of them now"
        console.echo(f"{made.out}: {console.plural(made.pairs, 'pair')}{kept}")
