"""Paths and their point spreads, which hold no picture: made on the CPU whatever the picture is."""

from blursynth.backends.cpu.random_walk import random_walk
from blursynth.backends.cpu.rasterize import rasterize

__all__ = ["random_walk", "rasterize"]
