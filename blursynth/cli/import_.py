"""``blursynth import``: cut a public set of real pairs into a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blursynth.cli import arguments, console
from blursynth.cli.generate import interruptible, show_report

EPILOG = """\b
Examples:
  blursynth import gopro GOPRO_Large/ gopro-train/
  blursynth import reds REDS/ reds-val/ --split val
  blursynth import realblur-j RealBlur/ realblur/ --size 384

\b
Sets: gopro, gopro-gamma (blur_gamma), hide, reds, reds-jpeg, realblur-j,
realblur-r, rsblur, dvd.
"""


def command(
    name: Annotated[str, typer.Argument(metavar="SET", help="Name of the public set, such as gopro.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder into which it was unpacked.")],
    out: arguments.Out,
    split: Annotated[str, typer.Option("--split", help="train, test or val.")] = "train",
    size: Annotated[int, typer.Option("--size", help="Side of the square windows in px.")] = 256,
    workers: arguments.Workers = None,
    shard_length: Annotated[
        int | None, typer.Option("--shard-length", help="Samples per shard; by default about 128 MB per array.")
    ] = None,
    codec: Annotated[
        str, typer.Option("--codec", help="How pixels are stored: lz4, smaller, or none, faster to read.")
    ] = "lz4",
    shards: arguments.Shards = None,
    engine: arguments.Engine = "local",
    scheduler: arguments.Scheduler = None,
    any_environment: arguments.AnyEnvironment = False,
    quiet: arguments.Quiet = False,
) -> None:
    """Cut a public set of real pairs into a data set.

    Windows cover each pair; their pixels are those of the files.
    """
    from blursynth import dataset

    part, where = arguments.parse_range(shards), arguments.engine_of(engine, scheduler)
    with interruptible(out), console.progress_bar("samples", out, quiet=quiet) as show:
        report = dataset.import_pairs(
            name, folder, out, split=split, size_px=size, shard_length=shard_length,
            codec=codec,  # type: ignore[arg-type]
            workers=workers, shards=part, engine=where, any_environment=any_environment, on_progress=show,
        )  # fmt: skip
    show_report(report, quiet=quiet)
