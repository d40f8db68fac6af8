"""``blursynth recipes``: the recipes that come with the library."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from blursynth.cli import arguments, console

EPILOG = """\b
Examples:
  blursynth recipes
  blursynth recipes default > mine.toml            # a starting point for your own file
  blursynth recipes mine.toml --set shake.length_px=20    # check it, and show it with the change
"""


def command(
    name: Annotated[str | None, typer.Argument(metavar="[NAME|FILE]", help="Show this recipe as TOML.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Show it with everything it extends filled in.")] = False,
    set_: arguments.Set = None,
) -> None:
    """List the recipes, or show one as TOML."""
    from importlib import resources

    from blursynth.recipe.recipe import load_recipe, recipe_names

    if name is None:
        rows = [(known, load_recipe(known).summary) for known in recipe_names()]
        console.table(("recipe", "description"), rows)
        return
    recipe = load_recipe(name, changes=arguments.parse_changes(set_))
    if name in recipe_names() and not full and not set_:
        text = (resources.files("blursynth.recipe") / f"{name}.toml").read_text("utf-8")
    else:
        text = short_toml(recipe.to_toml())
    console.echo(text.rstrip("\n"))


def short_toml(text: str) -> str:
    """The same TOML with every distribution in one line, as people write it."""
    import tomllib

    values = tomllib.loads(text)
    lines = [f"{key} = {_inline(value)}" for key, value in values.items() if key != "step"]
    for step in values["step"]:
        lines += ["", "[[step]]", *(f"{key} = {_inline(value)}" for key, value in step.items())]
    short = "\n".join(lines).lstrip("\n") + "\n"
    return short if tomllib.loads(short) == values else text


def _inline(value: Any) -> str:
    import json

    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_inline(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False) if isinstance(value, str | bool) else repr(value)
