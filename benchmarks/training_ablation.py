"""What of a recipe networks learn from: ``default`` with one factor changed, as measured by ``training_value.py``."""

from __future__ import annotations

import training_value as value


def main() -> str:
    """The section of BENCHMARKS.md."""
    names = [name for name in value.engines() if name.startswith(value.ABLATED)]
    return value.section("Training value, one factor at a time", value.run_all(names, value.SEEDS[:2]))
