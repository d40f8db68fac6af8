"""The backend of numpy arrays: numba, one file per operation."""

from blursynth.backends.cpu.codes import from_codes, to_codes
from blursynth.backends.cpu.composite import composite, composite_adjoint
from blursynth.backends.cpu.convolve import convolve, convolve_adjoint
from blursynth.backends.cpu.convolve_varying import convolve_varying, convolve_varying_adjoint
from blursynth.backends.cpu.develop import develop
from blursynth.backends.cpu.noise import gaussian_noise, poisson
from blursynth.backends.cpu.random_walk import random_walk
from blursynth.backends.cpu.rasterize import rasterize
from blursynth.backends.cpu.resample import resample, resample_adjoint
from blursynth.backends.cpu.response import response_decode, response_encode
from blursynth.backends.cpu.self_guided import self_guided
from blursynth.backends.cpu.sensor import sensor
from blursynth.backends.cpu.smooth_depth import smooth_depth
from blursynth.backends.cpu.srgb import srgb_decode, srgb_encode
from blursynth.backends.cpu.surface_edges import surface_edges, surface_slope
from blursynth.backends.cpu.warp_mean import warp_mean, warp_mean_adjoint

__all__ = [
    "composite",
    "composite_adjoint",
    "convolve",
    "convolve_adjoint",
    "convolve_varying",
    "convolve_varying_adjoint",
    "develop",
    "from_codes",
    "gaussian_noise",
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
    "to_codes",
    "warp_mean",
    "warp_mean_adjoint",
]
