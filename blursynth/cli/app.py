"""The main command: subcommands, shared options, and errors shown as messages instead of tracebacks."""

from __future__ import annotations

from typing import Annotated

import typer

from blursynth.cli import (
    apply,
    build,
    camera,
    console,
    datasets,
    depth,
    export,
    fit,
    generate,
    import_,
    inspect,
    kinds,
    laws,
    photographs,
    preview,
    realism,
    recipes,
    repair,
    replay,
    report,
    resume,
    schema,
    verify,
    warm,
)
from blursynth.cli.command_group import SETTINGS, Commands

__all__ = ["app"]

_EPILOG = """\b
Examples:
  blursynth preview photo.jpg --output sheet.png
  blursynth generate photos/ dataset/ --count 1000
  blursynth verify dataset/ --deep

Exit codes: 0 success, 1 verify, replay or laws found a problem, 2 bad input, 130 interrupted by Ctrl-C.
"""


def _version(wanted: bool) -> None:
    if wanted:
        from blursynth import __version__

        console.echo(f"blursynth {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help starts twice as fast and is just as readable in a pipe
    context_settings=SETTINGS,
    epilog=_EPILOG,
)


@app.callback()
def blursynth(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show error tracebacks and all logs.")] = False,
) -> None:
    """A camera, written as code: make aligned pairs of sharp and realistically blurred pictures."""


for module in (
    preview, generate, apply, fit, build, datasets, photographs, import_, resume, verify, repair, export, report,
    inspect, replay, realism, depth, kinds, recipes, schema, laws, warm,
):  # fmt: skip
    name = module.__name__.rpartition(".")[2].rstrip("_")
    app.command(name, epilog=module.EPILOG, context_settings=SETTINGS)(module.command)

app.add_typer(camera.app, name="camera")
