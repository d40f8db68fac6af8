"""``blursynth fit``: a recipe from photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blursynth.cli import arguments, console
from blursynth.errors import InvalidValueError, PictureError

EPILOG = """\b
Examples:
  blursynth fit blurred/ --out mine.toml
  blursynth fit blurred/ --out mine.toml --sharp sharp/ --report mine.html
  blursynth generate sharp/ dataset/ --recipe mine.toml --count 1000

Every number of the recipe has a comment that says whether it was read from the files, measured, inferred or is a prior.
"""


def command(
    photos: Annotated[
        list[Path], typer.Argument(metavar="PHOTOS", help="Blurred photographs of one camera, as it stores them.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The recipe to write, a .toml file.")],
    sharp: Annotated[
        list[Path] | None,
        typer.Option(
            "--sharp",
            metavar="FOLDER|FILE",
            help="Sharp photographs to simulate with, best of the same kind of scenes; may be repeated. By default "
            "those that scikit-image brings along, and drawn ones.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="The page to write, .html; by default beside the recipe."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", "-s", help="Seed of everything random, 0 to 2^32 - 1.")] = 0,
    windows: Annotated[
        int,
        typer.Option("--windows", help="Simulated windows that the reader of blur learns from; more are more exact."),
    ] = 3600,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the files of --out and --report.")] = False,
    quiet: arguments.Quiet = False,
) -> None:
    """Make a recipe from blurred photographs.

    No sharp pictures of the same scenes are needed. Reads JPEG tables and EXIF from the files, measures noise,
    smoothing and sharpening, infers the distribution of blur with a small network that learns on simulated
    pictures, and writes a page that compares what it makes with the photographs.
    """
    page = out.with_suffix(".html") if report is None else report
    for option, path, ending in (("--out", out, ".toml"), ("--report", page, ".html")):
        check_new_file(option, path, ending, force)
    if not 0 <= seed < 2**32:
        raise InvalidValueError(f"--seed must be 0 to 2^32 - 1, got {seed}.")
    if windows < 200:
        raise InvalidValueError(f"--windows must be >= 200, got {windows}.", why="A network learns nothing from fewer.")

    from blursynth.fit.fitting import fit_recipe
    from blursynth.fit.report import to_html

    with console.progress_bar("steps", quiet=quiet) as progress:
        found = fit_recipe(photos, sharp=sharp, name=out.stem, seed=seed, windows=windows, on_progress=progress)
        html = to_html(found)
    for path, text in ((out, found.recipe_text), (page, html)):
        try:
            path.write_text(text, "utf-8")
        except OSError as error:
            raise PictureError(f"{path}: cannot be written ({error.strerror}).", fix="Choose another place.") from None
    if quiet:
        return
    console.table(("parameter", "value", "how"), found.rows())
    for note in found.notes:
        console.echo(f"note: {note}")
    console.echo(f"told apart from the photographs: {found.realism}")
    console.echo(f"written: {out} and {page}")


def check_new_file(option: str, path: Path, ending: str, force: bool) -> None:
    """Refuse, before any work, a file that cannot be written or exists."""
    if path.suffix.lower() != ending:
        raise InvalidValueError(f"{option} must be a {ending} file, got {path.name}.")
    if path.is_dir() or not path.parent.is_dir():
        raise InvalidValueError(
            f"{option} {path}: is a folder, or its folder does not exist.", fix="Make the folder first."
        )
    if path.exists() and not force:
        raise InvalidValueError(
            f"{option} {path}: already exists.",
            why="Existing files are not overwritten.",
            fix="Choose a new name, or give --force to overwrite it.",
        )
