"""Separable resampling of tensors, and its transpose, each the other's derivative.

On the CPU the numbers of numba's kernels; on CUDA devices gathers of PyTorch, tap by tap, since a change of grid is
bound by memory.
"""

from __future__ import annotations

from typing import Any

import torch

from blursynth.backends.checks import check_bands
from blursynth.backends.torch.operator import linear_operator
from blursynth.backends.torch.tensors import as_array, checked_image, packed
from blursynth.physics.resampling import Bands

__all__ = ["resample", "resample_adjoint"]

Tensor = torch.Tensor


def _unpack(rows: Tensor, row_weight: Tensor, columns: Tensor, column_weight: Tensor, height: int, width: int) -> Any:
    return {
        "rows": Bands(as_array(rows), as_array(row_weight)),
        "columns": Bands(as_array(columns), as_array(column_weight)),
    }


def _unpack_adjoint(*rest: Any) -> Any:
    return {**_unpack(*rest), "size_px": rest[-2:]}


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


def _on_device(image: Tensor, rows: Tensor, row_weight: Tensor, columns: Tensor, weight: Tensor, *size: int) -> Tensor:
    return _along(_along(image, rows, row_weight, 2), columns, weight, 3)


def _adjoint_on_device(
    image: Tensor, rows: Tensor, row_weight: Tensor, columns: Tensor, weight: Tensor, height: int, width: int
) -> Tensor:
    return _along_back(_along_back(image, columns, weight, 3, width), rows, row_weight, 2, height)


_resample, _adjoint = linear_operator(
    "resample",
    "Tensor rows, Tensor row_weight, Tensor columns, Tensor column_weight, int height, int width",
    _unpack,
    (_on_device, _adjoint_on_device),
    unpack_adjoint=_unpack_adjoint,
    shapes=(
        lambda image, rows, _, columns, *rest: image.new_empty((*image.shape[:2], rows.shape[0], columns.shape[0])),
        lambda image, *rest: image.new_empty((*image.shape[:2], *rest[-2:])),
    ),
)


def resample(image: Tensor, rows: Bands, columns: Bands) -> Tensor:
    """A picture on another grid."""
    checked_image(image)
    if not torch.compiler.is_compiling():  # it looks at values
        check_bands(image.shape, rows, columns)
    return _resample(image, *packed(rows.source, rows.weight, columns.source, columns.weight), *image.shape[2:])


def resample_adjoint(image: Tensor, rows: Bands, columns: Bands, size_px: tuple[int, int]) -> Tensor:
    """The exact transpose of :func:`resample`."""
    checked_image(image)
    if not torch.compiler.is_compiling():
        check_bands(image.shape, rows, columns, size_px)
    return _adjoint(image, *packed(rows.source, rows.weight, columns.source, columns.weight), *size_px)
