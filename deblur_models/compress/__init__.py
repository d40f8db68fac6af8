"""Smaller networks from trained ones."""

from deblur_models.compress.pruning import kept_channels, prune, pruned_config

__all__ = ["kept_channels", "prune", "pruned_config"]
