"""A group of subcommands that shows errors as messages instead of tracebacks, and logs on standard error.

``blursynth`` and its companion ``deblur`` share it.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
import traceback
import warnings
from types import TracebackType
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup

from blursynth.cli.arguments import option
from blursynth.cli.console import RichLogs, compiling_line, complain, echo
from blursynth.errors import BlursynthError
from blursynth.records.text import printable

__all__ = ["SETTINGS", "Commands"]

SETTINGS = {"help_option_names": ["--help", "-h"], "max_content_width": 110}

_CLOSED_PIPE = 128 + 13  # what shells report if SIGPIPE ended a program; 1 would mean that verify found damage


class Commands(TyperGroup):
    """Shows an error as one message, whichever subcommand raises it."""

    program: ClassVar[str] = "blursynth"
    """Name of the program that is to blame for a bug."""
    loggers: ClassVar[tuple[str, ...]] = ("blursynth",)
    """What is shown: warnings, or everything with ``--debug``."""

    extras: ClassVar[dict[str, str]] = {}
    """Packages that the commands need, and the extra of blursynth that installs them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        # People add --debug to the command that failed: at the end of the line.
        if "--debug" in args:
            args = ["--debug", *(a for a in args if a != "--debug")]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)  # in order of use, not alphabetically

    def invoke(self, ctx: Any) -> Any:
        debug = bool(ctx.params.get("debug"))
        loggers, handler = [logging.getLogger(name) for name in self.loggers], RichLogs()
        before = ([logger.level for logger in loggers], warnings.showwarning)
        for logger in loggers:
            logger.addHandler(handler)
            logger.setLevel(logging.DEBUG if debug else logging.WARNING)
        warnings.showwarning = _log_warning
        if debug:
            sys.excepthook = _show_trace  # for exceptions raised below that end the program
        try:
            with compiling_line():
                return super().invoke(ctx)
        except BlursynthError as error:
            if debug:
                raise
            command = self.commands.get(ctx.invoked_subcommand)
            options = _options(command) if command else set()
            complain(error.text(lambda argument: option(argument, options)))
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            if debug:
                raise
            complain("stopped by Ctrl-C.")
            raise typer.Exit(130) from None
        except MemoryError:
            if debug:
                raise
            complain("out of memory. Use fewer workers, smaller pictures or shorter shards.")
            raise typer.Exit(2) from None
        except OSError as error:
            if debug:
                raise
            if error.errno == errno.EPIPE:  # `| head` has seen enough
                _stop_writing()
                raise typer.Exit(_CLOSED_PIPE) from None
            place = f"{error.filename}: " if error.filename else ""
            complain(f"{place}{error.strerror or error}.")
            raise typer.Exit(2) from None
        except RuntimeError as error:
            if debug or type(error) is not RuntimeError:  # typer's Exit and Abort are RuntimeErrors too
                raise
            _bug(error, self.program)
        except ModuleNotFoundError as error:
            if debug:
                raise
            extra = self.extras.get(error.name or "")
            if extra is None:
                _bug(error, self.program)
            complain(
                f"{error.name} is not installed, and {self.program} needs it. "
                f"Install it with: pip install {error.name} (or blursynth with its extra {extra!r})."
            )
            raise typer.Exit(2) from None
        except Exception as error:
            if type(error).__module__.startswith(("typer.", "click.")):
                if isinstance(message := getattr(error, "message", None), str):
                    error.message = printable(message)  # type: ignore[attr-defined]  # it quotes file names as options
                raise
            if debug:
                raise
            _bug(error, self.program)
        finally:
            for logger, level in zip(loggers, before[0], strict=True):
                logger.removeHandler(handler)
                logger.setLevel(level)
            warnings.showwarning = before[1]


def _options(command: Any) -> set[str]:
    """The options of a command, or of all commands of a group."""
    inner = getattr(command, "commands", {}).values()
    return {name for parameter in command.params for name in parameter.opts}.union(*map(_options, inner))


def _stop_writing() -> None:
    """Discard what is still buffered for a closed pipe, so that no traceback follows when the interpreter exits."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _bug(error: Exception, program: str) -> None:
    complain(
        f"{type(error).__name__}: {error}. This is a bug in {program}, not a fault of your input; "
        "--debug shows where it happened."
    )
    raise typer.Exit(70) from None


def _show_trace(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Python's traceback, which quotes file names verbatim, without terminal control sequences."""
    echo("".join(traceback.format_exception(kind, error, trace)).rstrip("\n"), err=True)


def _log_warning(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
    logging.getLogger("blursynth.warnings").warning("%s: %s", category.__name__, message)
