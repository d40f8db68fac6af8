"""The command line, ``blursynth``: one file per subcommand. This is the only package that prints.

The library logs to loggers below ``blursynth``; the command line shows them on standard error.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit the process with code 0, 1 (problems found) or 2 (bad input)."""
    from blursynth.cli.app import app

    app(prog_name="blursynth")
