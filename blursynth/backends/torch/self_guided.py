"""The guided filter of tensors with itself as the guide: numba on shared memory on the CPU, window means elsewhere."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blursynth.backends.checks import check_guided
from blursynth.backends.torch.convolve import convolve, convolve_adjoint
from blursynth.backends.torch.operator import on_arrays, operator
from blursynth.backends.torch.tensors import as_array, checked_image, sent
from blursynth.frame import Border
from blursynth.physics.point_spread import PointSpreads

__all__ = ["self_guided"]

Tensor = torch.Tensor


@lru_cache(maxsize=64)
def _window(radius_px: int) -> PointSpreads:
    width = 2 * radius_px + 1
    return PointSpreads.from_dense([np.full((width, width), 1.0 / width**2)])


class _Steps:
    """The intermediate results of the filter, for its derivative."""

    def __init__(self, image: Tensor, strength: Tensor, radius: Tensor) -> None:
        self.window = PointSpreads.concatenate([_window(int(r)) for r in radius.ravel()])
        squared = sent(strength**2, image.device, image.dtype)[..., None, None]
        self.mean = self.windows_mean(image)
        self.rest = image - self.mean
        whole = squared + self.windows_mean(self.rest * self.rest)
        self.off = squared == 0
        self.whole = torch.where(self.off, 1.0, whole)
        self.part = torch.where(self.off, 0.0, squared / self.whole)

    def windows_mean(self, values: Tensor) -> Tensor:
        planes = values.flatten(0, 1)[:, None]
        return convolve(planes, self.window, border=Border.REFLECT).reshape(values.shape)

    def spread(self, values: Tensor) -> Tensor:
        """The transpose of :meth:`windows_mean`."""
        planes = values.flatten(0, 1)[:, None].contiguous()
        return convolve_adjoint(planes, self.window, border=Border.REFLECT).reshape(values.shape)


def _on_device(image: Tensor, strength: Tensor, radius: Tensor) -> Tensor:
    steps = _Steps(image, strength, radius)
    return steps.windows_mean(steps.part * steps.mean) - steps.windows_mean(steps.part) * image


def _adjoint(image: Tensor, gradient: Tensor, strength: Tensor, radius: Tensor) -> Tensor:
    """The gradient of the picture from that of the result."""
    steps = _Steps(image, strength, radius)
    by_product = steps.spread(gradient)
    by_part = by_product * steps.mean - steps.spread(gradient * image)
    by_square = steps.spread(-by_part * steps.part / steps.whole)
    by_rest = 2.0 * steps.rest * by_square
    by_mean = by_product * steps.part - by_rest
    return by_rest - steps.windows_mean(steps.part) * gradient + steps.spread(by_mean)


def _contiguous(image: Tensor, *rest: Any) -> Tensor:
    return torch.empty_like(image, memory_format=torch.contiguous_format)


_NUMBERS = "Tensor strength, Tensor radius"
_self_guided_adjoint = operator(
    "self_guided_adjoint", f"Tensor image, Tensor gradient, {_NUMBERS}", _adjoint, shape=_contiguous
)
_self_guided = operator(
    "self_guided",
    f"Tensor image, {_NUMBERS}",
    on_arrays(
        "self_guided", lambda *numbers: dict(zip(("strength", "radius_px"), map(as_array, numbers), strict=True))
    ),
    _on_device,
    shape=_contiguous,
    derivatives={"image": lambda gradient, image, *numbers: _self_guided_adjoint(image, gradient, *numbers)},
)


def self_guided(image: Tensor, strength: NDArray[np.float64], radius_px: NDArray[np.int64]) -> Tensor:
    """What edge-preserving smoothing adds."""
    batch, channels = checked_image(image).shape[:2]
    # Compilers trace shapes, not values.
    planes = batch, channels
    strength, radius_px = check_guided(strength, radius_px, planes, traced=torch.compiler.is_compiling())
    return _self_guided(image, torch.from_numpy(strength.copy()), torch.from_numpy(radius_px))
