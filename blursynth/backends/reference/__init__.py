"""The oracle: slow, obvious and float64. Every other backend is held against it."""

from blursynth.backends.reference.random_walk import random_walk
from blursynth.backends.reference.rasterise import rasterise

__all__ = ["random_walk", "rasterise"]
