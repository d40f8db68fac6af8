"""Noise, sensor and development of tensors: the numbers of the CPU's kernels on shared memory.

Tensors on a CUDA device pass through the memory of the CPU and come back, so that the same seed gives the same bytes
everywhere. Noise has no derivative: a backward pass that reaches it stops with an error, rather than with a gradient of
zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blursynth.backends import cpu
from blursynth.backends.torch_ops.tensors import as_array, as_tensor, checked_image
from blursynth.errors import InvalidValueError
from blursynth.physics.development import DevelopParameters
from blursynth.physics.radiometry import SensorParameters

__all__ = ["develop", "gaussian_noise", "poisson", "response_decode", "response_encode", "sensor"]

Tensor = torch.Tensor


class _Counted(torch.autograd.Function):
    """A function of arrays that has no derivative, and says so."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, name: str, work: Callable[[NDArray[Any]], NDArray[Any]]) -> Tensor:
        ctx.name = name
        return as_tensor(work(as_array(image)), image)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        raise InvalidValueError(
            f"{ctx.name} has no derivative.",
            why="Electrons are counted, so its output is a staircase.",
            fix="Take the loss before the sensor, or detach() the picture in front of it.",
        )


def _counted(image: Tensor, name: str, work: Callable[[NDArray[Any]], NDArray[Any]]) -> Tensor:
    result: Tensor = _Counted.apply(checked_image(image), name, work)  # type: ignore[no-untyped-call]
    return result


def poisson(mean: Tensor, seed: NDArray[np.uint64], *, origin_px: NDArray[np.int64]) -> Tensor:
    """Poisson counts of the given means; see :func:`blursynth.backends.cpu.noise.poisson`. No derivative."""
    return _counted(mean, "poisson", lambda array: cpu.poisson(array, seed, origin_px=origin_px))


def gaussian_noise(
    image: Tensor, sigma: NDArray[np.float64], seed: NDArray[np.uint64], *, origin_px: NDArray[np.int64]
) -> Tensor:
    """``image + sigma[b] n``; see :func:`blursynth.backends.cpu.noise.gaussian_noise`. The derivative is 1."""
    checked_image(image)
    array = cpu.gaussian_noise(as_array(image), sigma, seed, origin_px=origin_px)
    return as_tensor(array, image) + (image - image.detach()) if image.requires_grad else as_tensor(array, image)


def sensor(
    image: Tensor, parameters: SensorParameters, seed: NDArray[np.uint64], *, origin_px: NDArray[np.int64]
) -> Tensor:
    """Linear light to DN; see :func:`blursynth.backends.cpu.sensor.sensor`. No derivative."""
    return _counted(image, "sensor", lambda array: cpu.sensor(array, parameters, seed, origin_px=origin_px))


def develop(image: Tensor, parameters: DevelopParameters, *, origin_px: NDArray[np.int64]) -> Tensor:
    """DN to linear light; see :func:`blursynth.backends.cpu.develop.develop`."""
    return as_tensor(cpu.develop(as_array(checked_image(image)), parameters, origin_px=origin_px), image)


def response_decode(image: Tensor, table: NDArray[np.float64]) -> Tensor:
    """Light of display values by a table; see :func:`blursynth.backends.cpu.response.response_decode`."""
    return as_tensor(cpu.response_decode(as_array(checked_image(image)), table), image)


def response_encode(image: Tensor, table: NDArray[np.float64], *, levels: Sequence[int | None] | None = None) -> Tensor:
    """Display values of light by a table; see :func:`blursynth.backends.cpu.response.response_encode`."""
    return as_tensor(cpu.response_encode(as_array(checked_image(image)), table, levels=levels), image)
