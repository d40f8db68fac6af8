"""The oracle: slow, obvious and float64. Every other backend is held against it."""

from blursynth.backends.reference.convolve import convolve, convolve_adjoint, valid_margins_px
from blursynth.backends.reference.noise import gaussian_noise, poisson
from blursynth.backends.reference.random_walk import random_walk
from blursynth.backends.reference.rasterise import rasterise
from blursynth.backends.reference.sensor import develop, sensor
from blursynth.backends.reference.srgb import srgb_decode, srgb_encode

__all__ = [
    "convolve",
    "convolve_adjoint",
    "develop",
    "gaussian_noise",
    "poisson",
    "random_walk",
    "rasterise",
    "sensor",
    "srgb_decode",
    "srgb_encode",
    "valid_margins_px",
]
