"""``blursynth realism``: how well synthetic pictures can be told from photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blursynth.cli import arguments, console
from blursynth.errors import InvalidValueError

EPILOG = """\b
Examples:
  blursynth realism dataset/ photos/
  blursynth realism photos/ --recipe mine.toml --sharp sharp/
"""


def command(
    places: Annotated[
        list[Path],
        typer.Argument(
            metavar="[DATASET] PHOTOS...", help="A data set, and photographs; with --recipe photographs alone."
        ),
    ],
    recipe: Annotated[
        str | None, typer.Option("--recipe", "-r", metavar="NAME|FILE", help="Compare pictures of this recipe instead.")
    ] = None,
    sharp: Annotated[
        list[Path] | None,
        typer.Option("--sharp", metavar="FOLDER|FILE", help="With --recipe: sharp photographs that it blurs."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", "-s", help="Seed of folds, weights and draws, 0 to 2^32 - 1.")] = 0,
    quiet: arguments.Quiet = False,
) -> None:
    """Say how well pictures can be told from photographs.

    A small network learns to tell a data set's blurred pictures from photographs by statistics of tiles, cross-
    validated over whole pictures: 50 % means that it cannot. The table says what it looked at: the accuracy lost
    when these statistics are shuffled.
    """
    if not 0 <= seed < 2**32:
        raise InvalidValueError(f"--seed must be 0 to 2^32 - 1, got {seed}.")
    if recipe is None and (sharp or len(places) < 2):
        raise InvalidValueError(
            "--sharp needs --recipe." if sharp else "A data set and photographs are needed, got one folder.",
            fix="For example: blursynth realism dataset/ photos/, or photos/ --recipe mine.toml.",
        )

    from blursynth.dataset import Progress
    from blursynth.errors import require
    from blursynth.fit.fitting import default_scenes, simulated_photographs
    from blursynth.fit.photographs import read_photographs, read_sharp
    from blursynth.fit.realism import LEAST_PICTURES, pictures_of_dataset, two_sample_test
    from blursynth.frame import Encoding
    from blursynth.recipe.recipe import load_recipe

    require("torch", extra="torch", purpose="Comparing pictures")
    chosen = None if recipe is None else load_recipe(recipe)
    if chosen is not None and (chosen.takes, chosen.gives) != (Encoding.DISPLAY, Encoding.DISPLAY):
        raise InvalidValueError(
            f"Recipe {chosen.name!r} takes {chosen.takes} and gives {chosen.gives}, not codes.",
            why="Photographs are compared with codes.",
        )
    with console.progress_bar("steps", quiet=quiet) as progress:
        photographs, _ = read_photographs(
            places if chosen is not None else places[1:], fewest=LEAST_PICTURES, on_progress=progress
        )
        if chosen is None:
            made = pictures_of_dataset(places[0])
        else:
            scenes = read_sharp(sharp, on_progress=progress) if sharp else default_scenes(photographs, seed)
            made = simulated_photographs(chosen, scenes, max(8, min(40, len(photographs))), seed, progress)
        found = two_sample_test(
            [one.codes for one in photographs], made, seed=seed,
            on_fold=lambda done, total: progress(Progress("compare", done, total)),
        )  # fmt: skip
    if not quiet:
        lost = [(name, f"{100 * value:.1f}") for name, value in found.looked_at]
        console.table(("what it looked at", "accuracy lost without it, in points"), lost)
        console.echo(
            f"{found.real} real and {found.synthetic} synthetic pictures; by picture {100 * found.by_picture:.0f} %"
        )
    console.echo(str(found))
