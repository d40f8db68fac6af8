"""The backend of torch tensors: numba on shared memory on the CPU, Triton on CUDA devices; one file per operation.

Every operation on pictures is a custom operator of torch with its own derivative, so ``torch.compile`` keeps it whole.
"""

from blursynth.backends.cpu import random_walk, rasterize
from blursynth.backends.torch.codes import from_codes, to_codes
from blursynth.backends.torch.composite import composite, composite_adjoint
from blursynth.backends.torch.convolve import convolve, convolve_adjoint
from blursynth.backends.torch.convolve_varying import convolve_varying, convolve_varying_adjoint
from blursynth.backends.torch.develop import develop
from blursynth.backends.torch.resample import resample, resample_adjoint
from blursynth.backends.torch.response import response_decode, response_encode
from blursynth.backends.torch.self_guided import self_guided
from blursynth.backends.torch.sensor import gaussian_noise, poisson, sensor
from blursynth.backends.torch.smooth_depth import smooth_depth
from blursynth.backends.torch.srgb import srgb_decode, srgb_encode
from blursynth.backends.torch.surface_edges import surface_edges, surface_slope
from blursynth.backends.torch.warp_mean import warp_mean, warp_mean_adjoint

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
