"""Noise, sensor and development of tensors: the numbers of the CPU's kernels on shared memory.

Tensors on a CUDA device pass through the memory of the CPU and come back, so that the same seed gives the same bytes
everywhere. Noise has no derivative: a backward pass that reaches it stops with an error, rather than with a gradient of
zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from blursynth.backends import cpu
from blursynth.backends.torch_ops.tensors import as_array, as_tensor, checked_image
from blursynth.errors import InvalidValueError
from blursynth.physics.radiometry import SensorParameters

__all__ = ["develop", "gaussian_noise", "poisson", "sensor"]

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


def _develop_any(image: Tensor, black_dn: Tensor, white_dn: Tensor) -> Tensor:
    return as_tensor(cpu.develop(as_array(image), as_array(black_dn), as_array(white_dn)), image)


_develop = torch.library.custom_op(
    "blursynth::develop",
    _develop_any,
    mutates_args=(),
    schema="(Tensor image, Tensor black_dn, Tensor white_dn) -> Tensor",
)


@_develop.register_fake
def _develop_shape(image: Tensor, black_dn: Any, white_dn: Any) -> Tensor:
    return image.new_empty(image.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _develop_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
    image, black, white = ctx.saved_tensors
    span = (white - black)[:, None, None, None].to(gradient)
    below = image < white[:, None, None, None].to(image)
    return torch.where(below, gradient / span, 0.0), None, None


_develop.register_autograd(_develop_backward, setup_context=_keep)


def develop(image: Tensor, black_dn: ArrayLike, white_dn: ArrayLike) -> Tensor:
    """``min((DN - black[b]) / (white[b] - black[b]), 1)``; differentiable, 0 where it clips.

    Raises
    ------
    InvalidValueError
        White does not lie above black.
    """
    checked_image(image)
    black, white = (
        torch.from_numpy(np.array(np.broadcast_to(np.asarray(v, np.float64), (len(image),))))
        for v in (black_dn, white_dn)
    )
    return _develop(image, black, white)
