"""``blursynth apply``: whole photographs in, pairs of files out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blursynth.cli import arguments, console

EPILOG = """\b
Examples:
  blursynth apply photos/ --out pairs/
  blursynth apply photos/ --out pairs/ --recipe phone-night --seed 3
  blursynth apply photo.jpg --out pair/ --recipe motion-only --set shake.length_px=40
  blursynth apply photos/ --out pairs/ --recipe portrait --depth depth/

OUT receives sharp/ and blurred/ (PNG files with the same names) and draws.jsonl (all parameters of each pair). deblur
train and deblur evaluate can read it. Running the same command again resumes where it stopped and adds new pictures.
"""


def command(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="PICTURES", help="Folders, globs, pictures, or .txt lists with one path per line."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the pairs: new, empty, or unfinished.")],
    recipe: arguments.RecipeName = "default",
    seed: Annotated[int, typer.Option("--seed", "-s", help="Seed of the draws, 0 to 2^63 - 1.")] = 0,
    set_: arguments.Set = None,
    workers: Annotated[
        int | None, typer.Option("--workers", "-w", help="Pictures in parallel; by default one per core.")
    ] = None,
    tile: Annotated[
        int, typer.Option("--tile", metavar="PX", help="Side of the tiles to process; 0 for the whole picture.")
    ] = 1024,
    depth: arguments.Depth = None,
    depth_format: arguments.DepthFormatText = None,
    labels: arguments.Labels = None,
    linear: arguments.Linear = False,
    downscale: arguments.Downscale = 1,
) -> None:
    """Blur whole photographs.

    Each picture gets its own draw, determined by the seed and the picture's content.
    """
    from blursynth import dataset

    request = dataset.DatasetRequest(
        sources=sources, recipe=recipe, changes=arguments.parse_changes(set_), seed=seed, depth=depth,
        depth_format=arguments.parse_depth_format(depth_format), labels=labels, linear=linear, downscale=downscale,
    )  # fmt: skip
    try:
        with console.progress_bar("pictures") as show:
            report = dataset.blur_pictures(request, out, tile_px=tile, workers=workers, on_progress=show)
    except KeyboardInterrupt:
        console.echo("\nStopped. Finished pairs are kept; run the same command to resume.", err=True)
        raise typer.Exit(130) from None
    if report.kept and not report.made:
        console.echo(f"Nothing to do: {console.plural(len(report.kept), 'pair')} in {report.out} already exist.")
    else:
        kept = f"; {console.plural(len(report.kept), 'pair')} kept from before" if report.kept else ""
        made, time = console.plural(len(report.made), "pair"), console.seconds_text(report.seconds)
        console.echo(f"{report.out}: made {made} in {time}{kept}")
        for note in report.notes:
            console.echo(f"note: {note}", err=True)
    used = len(report.made) + len(report.kept)
    console.show_used(used, (*report.skipped, *report.duplicates), report.ignored)
    if not used:
        raise typer.Exit(1)
