"""The oracle: slow, obvious and float64. Every other backend is held against it."""

from blursynth.backends.oracle.composite import composite, composite_adjoint
from blursynth.backends.oracle.convolve import convolve, convolve_adjoint, valid_margins_px
from blursynth.backends.oracle.convolve_varying import convolve_varying, convolve_varying_adjoint
from blursynth.backends.oracle.develop import develop
from blursynth.backends.oracle.noise import gaussian_noise, poisson
from blursynth.backends.oracle.random_walk import random_walk
from blursynth.backends.oracle.rasterize import rasterize
from blursynth.backends.oracle.resample import resample, resample_adjoint
from blursynth.backends.oracle.response import response_decode, response_encode
from blursynth.backends.oracle.self_guided import self_guided
from blursynth.backends.oracle.sensor import sensor
from blursynth.backends.oracle.smooth_depth import smooth_depth
from blursynth.backends.oracle.srgb import srgb_decode, srgb_encode
from blursynth.backends.oracle.surface_edges import hidden_behind, surface_edges, surface_slope
from blursynth.backends.oracle.warp_mean import warp_mean, warp_mean_adjoint

__all__ = [
    "composite",
    "composite_adjoint",
    "convolve",
    "convolve_adjoint",
    "convolve_varying",
    "convolve_varying_adjoint",
    "develop",
    "gaussian_noise",
    "hidden_behind",
    "poisson",
    "random_walk",
    "rasterize",
    "resample",
    "resample_adjoint",
    "response_decode",
    "response_encode",
    "self_guided",
    "sensor",
    "smooth_depth",
    "srgb_decode",
    "srgb_encode",
    "surface_edges",
    "surface_slope",
    "valid_margins_px",
    "warp_mean",
    "warp_mean_adjoint",
]
