"""The oracle: slow, obvious and float64. Every other backend is held against it."""

from blursynth.backends.reference.composite import composite, composite_adjoint, hidden_surface
from blursynth.backends.reference.convolve import convolve, convolve_adjoint, valid_margins_px
from blursynth.backends.reference.convolve_varying import convolve_varying, convolve_varying_adjoint
from blursynth.backends.reference.develop import develop
from blursynth.backends.reference.noise import gaussian_noise, poisson
from blursynth.backends.reference.random_walk import random_walk
from blursynth.backends.reference.rasterise import rasterise
from blursynth.backends.reference.resample import resample, resample_adjoint
from blursynth.backends.reference.response import response_decode, response_encode
from blursynth.backends.reference.self_guided import self_guided
from blursynth.backends.reference.sensor import sensor
from blursynth.backends.reference.smooth_depth import smooth_depth
from blursynth.backends.reference.srgb import srgb_decode, srgb_encode
from blursynth.backends.reference.warp_mean import warp_mean, warp_mean_adjoint

__all__ = [
    "composite",
    "composite_adjoint",
    "convolve",
    "convolve_adjoint",
    "convolve_varying",
    "convolve_varying_adjoint",
    "develop",
    "gaussian_noise",
    "hidden_surface",
    "poisson",
    "random_walk",
    "rasterise",
    "resample",
    "resample_adjoint",
    "response_decode",
    "response_encode",
    "self_guided",
    "sensor",
    "smooth_depth",
    "srgb_decode",
    "srgb_encode",
    "valid_margins_px",
    "warp_mean",
    "warp_mean_adjoint",
]
