"""``blursynth photographs``: openly licensed photographs, of which data sets of the library are made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blursynth.cli import arguments, console

EPILOG = """\b
Examples:
  blursynth photographs photographs/
  blursynth build handheld-10k pairs/ --sources photographs/

They come in packages of Debian 12, which apt-get fetches (160 MB) and nothing installs. On other systems, put the
.deb files into photographs/packages/ first.
"""


def command(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the photographs.")],
    quiet: arguments.Quiet = False,
) -> None:
    """Fetch openly licensed photographs for blursynth build."""
    from blursynth.dataset.photographs import fetch_photographs, photographs_list

    with console.progress_bar("packages", quiet=quiet) as show:
        number = fetch_photographs(out, on_progress=show)
    if not quiet:
        listed = photographs_list()
        console.echo(f"{out}: {number} photographs, as {listed} lists them with their licenses and authors")
