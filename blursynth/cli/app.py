"""The command's frame: subcommands, options that all share, and errors as messages instead of traces."""

from __future__ import annotations

import errno
import logging
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from blursynth.cli import (
    arguments,
    camera,
    depth,
    generate,
    inspect,
    kinds,
    preview,
    recipes,
    replay,
    resume,
    schema,
    verify,
)
from blursynth.cli.console import RichLogs
from blursynth.errors import BlursynthError

__all__ = ["app"]

_EPILOG = """\b
Examples:
  blursynth preview photo.jpg --output sheet.png
  blursynth generate photos/ dataset/ --count 1000
  blursynth verify dataset/ --deep

Exit codes: 0 all is well, 1 verify or replay found a problem, 2 bad input, 130 stopped by Ctrl-C.
"""


_SETTINGS = {"help_option_names": ["--help", "-h"], "max_content_width": 110}


class _Commands(TyperGroup):
    """Shows errors as one message, in whichever subcommand they arise."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        # People add --debug where the error arose: at the end of the line.
        if "--debug" in args:
            args = ["--debug", *(a for a in args if a != "--debug")]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)  # in the order of work, not of the alphabet

    def invoke(self, ctx: Any) -> Any:
        debug = bool(ctx.params.get("debug"))
        logger, handler = logging.getLogger("blursynth"), RichLogs()
        before = (logger.level, warnings.showwarning)
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG if debug else logging.WARNING)
        warnings.showwarning = _log_warning
        try:
            return super().invoke(ctx)
        except BlursynthError as error:
            if debug:
                raise
            _complain(arguments.in_options(str(error), ctx.invoked_subcommand))
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            if debug:
                raise
            _complain("stopped by Ctrl-C.")
            raise typer.Exit(130) from None
        except MemoryError:
            if debug:
                raise
            _complain("there is not enough memory. Use fewer workers, smaller pictures or shorter shards.")
            raise typer.Exit(2) from None
        except OSError as error:
            if debug or error.errno == errno.EPIPE:  # typer lets a closed pipe, as of `| head`, pass in silence
                raise
            place = f"{error.filename}: " if error.filename else ""
            _complain(f"{place}{error.strerror or error}.")
            raise typer.Exit(2) from None
        except RuntimeError as error:
            if debug or type(error) is not RuntimeError:  # typer's Exit and Abort are RuntimeErrors too
                raise
            _bug(error)
        except Exception as error:
            if debug or type(error).__module__.startswith(("typer.", "click.")):
                raise
            _bug(error)
        finally:
            logger.removeHandler(handler)
            logger.setLevel(before[0])
            warnings.showwarning = before[1]


def _complain(message: str) -> None:
    typer.secho("Error: ", err=True, nl=False, fg="red", bold=True)
    typer.echo(message, err=True)


def _bug(error: Exception) -> None:
    _complain(
        f"{type(error).__name__}: {error}. This is a fault of blursynth, not of your input; "
        "--debug shows where it happened."
    )
    raise typer.Exit(70) from None


def _log_warning(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
    logging.getLogger("blursynth.warnings").warning("%s: %s", category.__name__, message)


def _version(wanted: bool) -> None:
    if wanted:
        from blursynth import __version__

        typer.echo(f"blursynth {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: it starts twice as fast, and is as readable in a pipe
    context_settings=_SETTINGS,
    epilog=_EPILOG,
)


@app.callback()
def blursynth(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show traces of errors, and all logs.")] = False,
) -> None:
    """A camera, written as code: makes aligned pairs of sharp and realistically blurred pictures."""


for module in (preview, generate, resume, verify, inspect, replay, depth, kinds, recipes, schema):
    app.command(module.__name__.rpartition(".")[2], epilog=module.EPILOG, context_settings=_SETTINGS)(module.command)

app.add_typer(camera.app, name="camera")
