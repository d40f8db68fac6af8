"""``blursynth recipes``: the recipes that come with the library."""

from __future__ import annotations

from typing import Annotated

import typer

from blursynth.cli import arguments, console

EPILOG = """\b
Examples:
  blursynth recipes
  blursynth recipes default > mine.toml            # a file of your own to begin with
  blursynth recipes mine.toml --set shake.length_px=20    # checks it, and shows it with the change
"""


def command(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME|FILE]", help="Show this recipe as TOML.", show_default=False),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Show it with all that it extends put in.")] = False,
    set_: arguments.Set = None,
) -> None:
    """List the recipes, or show one as TOML."""
    from importlib import resources

    from blursynth.recipe import load_recipe, recipe_names

    if name is None:
        rows = [(known, load_recipe(known).summary) for known in recipe_names()]
        console.table(("recipe", "what it is"), rows)
        return
    recipe = arguments.load_changed_recipe(name, set_)
    if name in recipe_names() and not full and not set_:
        text = (resources.files("blursynth") / "recipes" / f"{name}.toml").read_text("utf-8")
    else:
        text = recipe.to_toml()
    typer.echo(text.rstrip("\n"))
