"""The ``deblur`` application: its subcommands and the options they share."""

from __future__ import annotations

from typing import Annotated, ClassVar

import typer

from blursynth.cli import console
from blursynth.cli.command_group import SETTINGS, Commands
from deblur_models.cli import (
    apply,
    evaluate,
    export,
    fields,
    import_,
    losses,
    methods,
    networks,
    protocols,
    prune,
    quantize,
    serve,
    study,
    train,
)

__all__ = ["app"]

_EPILOG = """\b
Examples:
  deblur train small --photos photos/ --out run/
  deblur evaluate pairs/ --network run/ --out report/
  deblur apply blurred.jpg --network run/ --out restored/
  deblur serve

Exit codes: 0 success, 1 some pictures failed, 2 bad input, 130 stopped by Ctrl-C.
"""


class _Commands(Commands):
    program: ClassVar[str] = "deblur_models"
    loggers: ClassVar[tuple[str, ...]] = ("deblur_models", "blursynth")
    extras: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("torch", "timm", "torchvision", "safetensors", "skimage"), "train"),
        **dict.fromkeys(("fastapi", "uvicorn", "prometheus_client"), "serve"),
    }


def _version(wanted: bool) -> None:
    if wanted:
        from blursynth import __version__

        console.echo(f"deblur {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=SETTINGS,
    epilog=_EPILOG,
)


@app.callback()
def deblur(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors, and all logs.")] = False,
) -> None:
    """Train deblurring networks from sharp pictures alone, evaluate them, and apply them."""


for module in (
    train, evaluate, apply, export, quantize, prune, serve, fields, networks, losses, methods, protocols, import_,
):  # fmt: skip
    app.command(module.__name__.rpartition(".")[2].rstrip("_"), epilog=module.EPILOG, context_settings=SETTINGS)(
        module.command
    )
app.add_typer(study.app, name="study")
