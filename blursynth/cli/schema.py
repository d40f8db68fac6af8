"""``blursynth schema``: the JSON Schema of recipe files, for editors."""

from __future__ import annotations

from blursynth.cli import console

EPILOG = """\b
Examples:
  blursynth schema > blursynth-recipe.schema.json

\b
With this first line in a recipe, editors complete and check it (VS Code with Even Better TOML, others with taplo):
  #:schema ./blursynth-recipe.schema.json
"""


def command() -> None:
    """Print the JSON Schema (2020-12) of recipe files."""
    import json

    from blursynth.recipe.schema import recipe_schema

    console.echo(json.dumps(recipe_schema(), indent=2, ensure_ascii=False, allow_nan=False))
