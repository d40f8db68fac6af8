"""The oracle: slow, obvious and float64. Every other backend is held against it."""

from blursynth.backends.reference.convolve import convolve, convolve_adjoint, valid_margins_px
from blursynth.backends.reference.random_walk import random_walk
from blursynth.backends.reference.rasterise import rasterise

__all__ = ["convolve", "convolve_adjoint", "random_walk", "rasterise", "valid_margins_px"]
