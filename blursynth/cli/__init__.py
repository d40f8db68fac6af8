"""The command line, ``blursynth``: one file per subcommand; the only place that prints.

The library logs to loggers below ``blursynth``; here they are shown on the standard error output.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line and leave the process with its exit code: 0, 1 (problems found) or 2 (bad input)."""
    from blursynth.cli.app import app

    app(prog_name="blursynth")
