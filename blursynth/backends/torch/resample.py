"""Separable resampling of tensors, and its transpose, each the other's derivative.

On the CPU the numbers of numba's kernels; on CUDA devices gathers of PyTorch, tap by tap, since a change of grid is
bound by memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from blursynth.backends import cpu
from blursynth.backends.oracle.resample import check_bands
from blursynth.backends.torch.tensors import as_array, as_tensor, checked_image
from blursynth.errors import InvalidValueError
from blursynth.physics.resampling import Bands

__all__ = ["resample", "resample_adjoint"]

Tensor = torch.Tensor


def _bands(source: Tensor, weight: Tensor) -> Bands:
    return Bands(as_array(source), as_array(weight))


def _resample_cpu(
    image: Tensor, rows: Tensor, row_weight: Tensor, columns: Tensor, column_weight: Tensor, height: int, width: int
) -> Tensor:
    return as_tensor(cpu.resample(as_array(image), _bands(rows, row_weight), _bands(columns, column_weight)), image)


def _adjoint_cpu(
    image: Tensor, rows: Tensor, row_weight: Tensor, columns: Tensor, column_weight: Tensor, height: int, width: int
) -> Tensor:
    size = (height, width)
    array = cpu.resample_adjoint(as_array(image), _bands(rows, row_weight), _bands(columns, column_weight), size)
    return as_tensor(array, image)


def _along(image: Tensor, source: Tensor, weight: Tensor, axis: int) -> Tensor:
    """The map along one axis, tap by tap."""
    shape = (-1, 1) if axis == 2 else (-1,)
    source, weight = source.to(image.device), weight.to(image.device, image.dtype)
    parts = (image.index_select(axis, source[:, k]) * weight[:, k].reshape(shape) for k in range(source.shape[1]))
    total = next(parts)
    for part in parts:
        total += part
    return total


def _along_back(image: Tensor, source: Tensor, weight: Tensor, axis: int, size: int) -> Tensor:
    shape = (-1, 1) if axis == 2 else (-1,)
    source, weight = source.to(image.device), weight.to(image.device, image.dtype)
    total = image.new_zeros([size if i == axis else length for i, length in enumerate(image.shape)])
    for k in range(source.shape[1]):
        total.index_add_(axis, source[:, k], image * weight[:, k].reshape(shape))
    return total


def _resample_cuda(
    image: Tensor, rows: Tensor, row_weight: Tensor, columns: Tensor, column_weight: Tensor, height: int, width: int
) -> Tensor:
    return _along(_along(image, rows, row_weight, 2), columns, column_weight, 3)


def _adjoint_cuda(
    image: Tensor, rows: Tensor, row_weight: Tensor, columns: Tensor, column_weight: Tensor, height: int, width: int
) -> Tensor:
    return _along_back(_along_back(image, columns, column_weight, 3, width), rows, row_weight, 2, height)


_BANDS = "Tensor rows, Tensor row_weight, Tensor columns, Tensor column_weight, int height, int width"
_resample = torch.library.custom_op(
    "blursynth::resample",
    _resample_cpu,
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor image, {_BANDS}) -> Tensor",
)
_adjoint = torch.library.custom_op(
    "blursynth::resample_adjoint",
    _adjoint_cpu,
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor image, {_BANDS}) -> Tensor",
)
_resample.register_kernel("cuda")(_resample_cuda)
_adjoint.register_kernel("cuda")(_adjoint_cuda)


@_resample.register_fake
def _resample_shape(
    image: Tensor, rows: Tensor, row_weight: Tensor, columns: Tensor, column_weight: Tensor, height: int, width: int
) -> Tensor:
    return image.new_empty((*image.shape[:2], rows.shape[0], columns.shape[0]))


@_adjoint.register_fake
def _adjoint_shape(
    image: Tensor, rows: Tensor, row_weight: Tensor, columns: Tensor, column_weight: Tensor, height: int, width: int
) -> Tensor:
    return image.new_empty((*image.shape[:2], height, width))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, *bands, ctx.height, ctx.width = inputs
    ctx.save_for_backward(*bands)


def _resample_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    return _adjoint(gradient, *ctx.saved_tensors, ctx.height, ctx.width), None, None, None, None, None, None


def _adjoint_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    return _resample(gradient, *ctx.saved_tensors, ctx.height, ctx.width), None, None, None, None, None, None


_resample.register_autograd(_resample_backward, setup_context=_keep)
_adjoint.register_autograd(_adjoint_backward, setup_context=_keep)


def _arguments(rows: Bands, columns: Bands) -> tuple[Tensor, ...]:
    arrays = (rows.source, rows.weight, columns.source, columns.weight)
    return tuple(torch.from_numpy(np.ascontiguousarray(a)) for a in arrays)


def resample(image: Tensor, rows: Bands, columns: Bands) -> Tensor:
    """A picture on another grid; see :func:`blursynth.backends.cpu.resample.resample`. Differentiable by the image."""
    height, width = checked_image(image).shape[2:]
    check_bands((height, width), rows, columns)
    return _resample(image, *_arguments(rows, columns), height, width)


def resample_adjoint(image: Tensor, rows: Bands, columns: Bands, size_px: tuple[int, int]) -> Tensor:
    """The exact transpose of :func:`resample`; differentiable by the image."""
    checked_image(image)
    check_bands(size_px, rows, columns)
    if tuple(image.shape[2:]) != (len(rows), len(columns)):
        raise InvalidValueError(
            f"The image must have the size that the bands give, {len(rows)} x {len(columns)}, "
            f"got {image.shape[2]} x {image.shape[3]}."
        )
    return _adjoint(image, *_arguments(rows, columns), *size_px)
