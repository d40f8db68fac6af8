"""``blursynth verify``: check the integrity of a data set."""

from __future__ import annotations

from typing import Annotated

import typer

from blursynth.cli import arguments, console
from blursynth.errors import InvalidValueError

EPILOG = """\b
Examples:
  blursynth verify dataset/
  blursynth verify dataset/ --deep --replay 20
  blursynth verify dataset/ --deep --shards 0:8      # one job of an array

The exit code is 1 if there are problems, whatever file they are in.
"""

_MOST_NOTES = 20


def command(
    out: arguments.Dataset,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also decode every picture and compare it with its checksum.")
    ] = False,
    replay: Annotated[
        int, typer.Option("--replay", metavar="K", help="Render K random samples again and compare their bytes.")
    ] = 0,
    replay_seed: Annotated[
        int | None, typer.Option("--replay-seed", metavar="N", help="Choose the same samples as an earlier --replay.")
    ] = None,
    shards: Annotated[
        str | None, typer.Option("--shards", metavar="A:B", help="Check only shards s with A <= s < B, for job arrays.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", "-w", min=1, help="Number of threads; by default one per core.")
    ] = None,
    sources: arguments.SourceRoot = None,
    depth: arguments.DepthRoot = None,
    labels: arguments.LabelsRoot = None,
) -> None:
    """Check a data set and list every problem.

    Every file is checked, by its size and sha256 or for consistency with the other files. Without --replay, nothing
    outside the folder is read.
    """
    if replay < 0:
        raise InvalidValueError(f"--replay must be >= 0, got {replay}.")
    if replay_seed is not None and not 0 <= replay_seed < 2**63:
        raise InvalidValueError(f"--replay-seed must be >= 0 and below 2^63, got {replay_seed}.")

    from blursynth import dataset
    from blursynth.dataset.verify import UNFINISHED

    with console.progress_bar("shards") as show:
        found = dataset.verify(
            out, deep=deep, replay=replay, replay_seed=replay_seed, shards=arguments.parse_range(shards),
            workers=workers, source_root=sources, depth_root=depth, labels_root=labels, on_progress=show,
        )  # fmt: skip
    looked = "every file and every picture" if deep else "every file"
    replayed = f"{console.plural(len(found.replayed), 'sample')} rendered again (--replay-seed {found.replay_seed})"
    again = f", {replayed}" if found.replayed else ""
    for note in found.notes[:_MOST_NOTES]:
        console.echo(f"Note: {note}")
    if len(found.notes) > _MOST_NOTES:
        console.echo(f"Note: {len(found.notes) - _MOST_NOTES:,} more files are not part of the data set")
    if found.ok:
        held = f"{console.plural(found.samples, 'pair')} in {console.plural(found.shards, 'shard')}"
        part = "" if shards is None else f" in shards {shards}"
        console.echo(f"{out} is sound{part}: {held}, {looked} checked{again}.")
        if found.digest:
            console.echo(f"digest of pixels {found.digest['pixels'][:16]}, of draws {found.digest['draws'][:16]}")
        return
    console.echo(f"{out} has {console.plural(len(found.problems), 'problem')}{again}:")
    for problem in found.problems:
        console.echo(f"  - {arguments.own_kind_text(problem.value) if problem.field == 'kind' else problem.what}")
    unfinished = [problem for problem in found.problems if problem.what.startswith(UNFINISHED)]
    if any(problem not in unfinished and "blursynth repair" not in problem.what for problem in found.problems):
        console.echo(f"Make what is damaged again with: blursynth repair {out}")
    if unfinished:
        console.echo(f"Finish it with: blursynth resume {out}")
    raise typer.Exit(1)
