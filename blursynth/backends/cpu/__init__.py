"""The backend of numpy arrays: numba, one file per operation."""

from blursynth.backends.cpu.convolve import convolve, convolve_adjoint
from blursynth.backends.cpu.random_walk import random_walk
from blursynth.backends.cpu.rasterise import rasterise

__all__ = ["convolve", "convolve_adjoint", "random_walk", "rasterise"]
