"""Recipes: named samplers in the order of light through a camera, and the distributions they draw from."""

from blursynth.recipe.recipe import Recipe, load_recipe, recipe_names

__all__ = ["Recipe", "load_recipe", "recipe_names"]
