"""The command line, ``deblur``: one file per subcommand; the only place that prints."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its code: 0, 1 (problems found) or 2 (bad input)."""
    from deblur_models.cli.app import app

    app(prog_name="deblur")
