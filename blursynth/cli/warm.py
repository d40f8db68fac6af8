"""``blursynth warm``: everything compiled before it is needed."""

from __future__ import annotations

from typing import Annotated

import typer

from blursynth.cli import arguments, console

EPILOG = """\b
Examples:
  blursynth warm                        # for all recipes that ship
  blursynth warm default street mine.toml

Running it again compiles only what is missing. In a container, run it while the image is built.
"""


def command(
    recipes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RECIPES]", help="Names or files of recipes; by default all that ship."),
    ] = None,
    workers: arguments.Workers = None,
    quiet: arguments.Quiet = False,
) -> None:
    """Compile what recipes need, before their first use.

    Kernels are compiled for the processor of this machine, on all cores, and kept.
    """
    from blursynth.dataset.warm import warm

    with console.progress_bar("parts", quiet=quiet) as show:
        done = warm(recipes or (), workers=workers, on_progress=show)
    if quiet:
        return
    kept = f"they are kept in {done.folder}" if done.folder else "there is no place to keep them: set NUMBA_CACHE_DIR"
    console.echo(f"{console.plural(done.kernels, 'kernel')} compiled in {console.seconds_text(done.seconds)}; {kept}")
