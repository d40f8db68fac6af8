"""``blursynth repair``: make damaged parts of a data set again."""

from __future__ import annotations

import typer

from blursynth.cli import arguments, console
from blursynth.cli.generate import interruptible

EPILOG = """\b
Examples:
  blursynth repair dataset/
  blursynth repair dataset/ --sources /new/place/of/photos

Everything is checked as by `verify --deep`. The exit code is 1 if something could not be mended.
"""


def command(
    out: arguments.Dataset,
    workers: arguments.Workers = None,
    sources: arguments.SourceRoot = None,
    depth: arguments.DepthRoot = None,
    labels: arguments.LabelsRoot = None,
    engine: arguments.Engine = "local",
    scheduler: arguments.Scheduler = None,
    any_environment: arguments.AnyEnvironment = False,
    quiet: arguments.Quiet = False,
) -> None:
    """Make again what verify --deep finds damaged.

    Damaged shards are made from their sources, other files from copies and from
    what is whole, and nothing else is touched. Shards that were never made are
    not made: see resume.
    """
    from blursynth import dataset

    where = arguments.engine_of(engine, scheduler)
    with interruptible(out), console.progress_bar("samples", out, quiet=quiet) as show, arguments.shipped_kinds():
        found = dataset.repair(
            out, workers=workers, source_root=sources, depth_root=depth, labels_root=labels, engine=where,
            any_environment=any_environment, on_progress=show,
        )  # fmt: skip
    for note in found.notes:
        console.echo(f"Note: {note}")
    mended = [console.plural(len(found.shards), "shard")] if found.shards else []
    mended += [console.plural(len(found.files), "other file")] if found.files else []
    if not quiet:
        console.echo(f"{out}: {' and '.join(mended)} made again" if mended else f"{out}: nothing was damaged")
        if found.digest:
            console.echo(f"digest of pixels {found.digest['pixels'][:16]}, of draws {found.digest['draws'][:16]}")
    for problem in found.problems:
        console.echo(f"  - {problem.what}", err=True)
    if not found.ok:
        raise typer.Exit(1)
