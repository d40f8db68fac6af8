"""The backend of torch tensors: numba on shared memory on the CPU, Triton on CUDA devices; one file per operation.

Every operation on pictures is a custom operator of torch with its own derivative, so ``torch.compile`` keeps it whole.
"""

from blursynth.backends.cpu import random_walk, rasterise
from blursynth.backends.torch_ops.codes import from_codes, to_codes
from blursynth.backends.torch_ops.composite import composite, composite_adjoint, hidden_surface
from blursynth.backends.torch_ops.convolve import convolve, convolve_adjoint
from blursynth.backends.torch_ops.convolve_varying import convolve_varying, convolve_varying_adjoint
from blursynth.backends.torch_ops.develop import develop
from blursynth.backends.torch_ops.resample import resample, resample_adjoint
from blursynth.backends.torch_ops.response import response_decode, response_encode
from blursynth.backends.torch_ops.self_guided import self_guided
from blursynth.backends.torch_ops.sensor import gaussian_noise, poisson, sensor
from blursynth.backends.torch_ops.smooth_depth import smooth_depth
from blursynth.backends.torch_ops.srgb import srgb_decode, srgb_encode
from blursynth.backends.torch_ops.warp_mean import warp_mean, warp_mean_adjoint

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
    "to_codes",
    "warp_mean",
    "warp_mean_adjoint",
]
