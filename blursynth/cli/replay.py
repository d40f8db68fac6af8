"""``blursynth replay``: render one sample again from its record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blursynth.cli import arguments, console
from blursynth.errors import InvalidValueError

EPILOG = """\b
Examples:
  blursynth replay dataset/ 12
  blursynth replay dataset/ 12 --output sample.png

The exit code is 1 if the bytes differ.
"""


def command(
    out: arguments.Dataset,
    index: Annotated[int, typer.Argument(metavar="I", help="Number of the sample, from 0.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the pair, its kernel and its parameters to this picture."),
    ] = None,
    sources: arguments.SourceRoot = None,
    depth: arguments.DepthRoot = None,
    labels: arguments.LabelsRoot = None,
) -> None:
    """Render a sample again and compare its bytes.

    It is made only from its record and its source picture, and compared with the stored sample.
    """
    if index < 0:
        raise InvalidValueError(f"I must be >= 0, got {index}.", why="Samples are counted from 0.")

    from blursynth import dataset

    with arguments.shipped_kinds():
        again = dataset.replay(out, index, source_root=sources, depth_root=depth, labels_root=labels)
    if output is not None:  # before printing, since the reader of a pipe may stop early, as `| head` does
        from blursynth.dataset.contact_sheet import Row, write_contact_sheet

        row = Row(again.arrays["sharp"], again.arrays["blurred"], again.draw)
        write_contact_sheet(output, [row], title=f"Sample {again.index}", subtitle=f"of {out}, rendered again")
    if again.equal:
        console.echo(f"Sample {again.index}: rendered again, all bytes are the same.")
    else:
        listed = ", ".join(f"{name} by up to {difference:g}" for name, difference in again.differences.items())
        console.echo(f"Sample {again.index}: rendered again, it differs: {listed}.")
    if output is not None:
        console.echo(f"written: {output}")
    if not again.equal:
        raise typer.Exit(1)
