"""The development of raw tensors: the numbers of the CPU's kernels, torch's own operations on other devices.

Levels, white balance, demosaic by ``bilinear`` and ``malvar``, colors and gain are linear but for the white clip, so
the derivative is the exact transpose, with 0 where the picture is clipped. ``edge_aware`` decides by the values along
which edge to interpolate; it has no derivative, and a backward pass that reaches it stops with an error. It
runs on the CPU wherever the picture is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blursynth.backends.borders import continued_index
from blursynth.backends.checks import check_development, check_origin
from blursynth.backends.torch.operator import on_arrays, operator
from blursynth.backends.torch.sensor import colors_of_pixels
from blursynth.backends.torch.tensors import as_array, checked_image
from blursynth.errors import InvalidValueError
from blursynth.frame import MOSAICS, Border
from blursynth.physics.development import DevelopParameters
from blursynth.physics.mosaic import BILINEAR, DEMOSAICS, GREEN, MALVAR, pattern_colors

__all__ = ["develop"]

Tensor = torch.Tensor

# Columns of the tensors that carry the parameters of a batch through an operator.
_NUMBERS = ("black_dn", "white_dn", "gain", "clip")
_WHOLE = ("mosaic", "demosaic")
_EDGE_AWARE = DEMOSAICS.index("edge_aware")

# What fills in a color: the pixel's own value, or one of four kernels.
_FILLS = ("green", "same_row", "other_row", "opposite")


def _fill_of(colors: NDArray[np.int64]) -> NDArray[np.int64]:
    """``[3, 2, 2]`` what fills in each channel at each phase of a pattern: 0 the own value, else 1 + a kernel."""
    out = np.zeros((3, 2, 2), np.int64)
    for row in range(2):
        for column in range(2):
            here = colors[row, column]
            if here == GREEN:
                out[colors[row, 1 - column], row, column] = 1 + _FILLS.index("same_row")
                out[colors[1 - row, column], row, column] = 1 + _FILLS.index("other_row")
            else:
                out[GREEN, row, column] = 1 + _FILLS.index("green")
                out[2 - here, row, column] = 1 + _FILLS.index("opposite")
    return out


_FILL = torch.from_numpy(np.stack([_fill_of(pattern_colors(code)) for code in range(1, 1 + len(MOSAICS))]))
_KERNELS = torch.from_numpy(
    np.stack([[kernels[name] for name in _FILLS] for kernels in (BILINEAR, MALVAR)])
)  # [linear demosaic, fill, 5, 5]


class _Development:
    """The steps of a batch as tensors on the picture's device, each with its transpose."""

    def __init__(self, image: Tensor, numbers: Tensor, whole: Tensor, origin: Tensor) -> None:
        batch, _, height, width = image.shape
        self.height, self.width = height, width
        self.black, white, self.gain, self.clip = (numbers[:, i, None, None, None].to(image) for i in range(4))
        self.scale = 1.0 / (white - self.black)
        self.matrix = numbers[:, 7:16].reshape(batch, 3, 3).to(image)
        balance = numbers[:, 4:7].to(image)[:, :, None, None]
        self.balance = balance if image.shape[1] == 3 else balance[:, :1]
        self.mosaicked = bool((whole[:, 0] > 0).any())
        if self.mosaicked:
            code = whole[:, 0]
            sites = colors_of_pixels(code, origin, (height, width))
            self.balance = balance.expand(-1, -1, height, width).gather(1, sites.to(image.device))
            phase = torch.arange(batch)[:, None, None], slice(None)
            rows = (origin[:, :1] + torch.arange(height)) % 2
            columns = (origin[:, 1:] + torch.arange(width)) % 2
            fill = _FILL[code - 1].movedim(1, 3)[phase[0], rows[:, :, None], columns[:, None, :]]
            self.fill = fill.movedim(3, 1).to(image.device)  # [B, 3, H, W]
            self.kernels = _KERNELS[whole[:, 1]].to(image)  # [B, 4, 5, 5]
            self.rows, self.columns = (
                torch.from_numpy(continued_index(np.arange(-2, size + 2), size, Border.REFLECT)).to(image.device)
                for size in (height, width)
            )

    def balanced(self, image: Tensor) -> Tensor:
        return (image - self.black) * self.scale * self.balance

    def demosaicked(self, light: Tensor) -> Tensor:
        wide = light[:, 0].index_select(1, self.rows).index_select(2, self.columns)[None]  # [1, B, H + 4, W + 4]
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            # Kernels are correlated: they are symmetric.
            filled = torch.nn.functional.conv2d(wide, self.kernels.reshape(-1, 1, 5, 5), groups=len(light))
        planes = torch.cat([light, filled.reshape(len(light), 4, self.height, self.width)], dim=1)
        return planes.gather(1, self.fill)

    def mosaicked_back(self, colors: Tensor) -> Tensor:
        """The transpose of :meth:`demosaicked`."""
        batch = len(colors)
        planes = colors.new_zeros((batch, 5, self.height, self.width)).scatter_(1, self.fill, colors)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            wide = torch.nn.functional.conv_transpose2d(
                planes[:, 1:].reshape(1, -1, self.height, self.width), self.kernels.reshape(-1, 1, 5, 5), groups=batch
            )[0]
        folded = wide.new_zeros((batch, self.height, wide.shape[2])).index_add_(1, self.rows, wide)
        folded = wide.new_zeros((batch, self.height, self.width)).index_add_(2, self.columns, folded)
        return planes[:, :1] + folded[:, None]


def _needs_edges(whole: Tensor) -> bool:
    return bool(((whole[:, 0] > 0) & (whole[:, 1] == _EDGE_AWARE)).any())


def _on_device(image: Tensor, numbers: Tensor, whole: Tensor, origin: Tensor, colored: bool) -> Tensor:
    if _needs_edges(whole):
        return _on_cpu(image, numbers, whole, origin, colored)
    steps = _Development(image, numbers, whole, origin)
    light = torch.minimum(steps.balanced(image), steps.clip)
    if steps.mosaicked:
        light = steps.demosaicked(light)
    if colored:
        light = torch.einsum("bij,bjhw->bihw", steps.matrix, light)
    return light * steps.gain


def _adjoint(image: Tensor, gradient: Tensor, numbers: Tensor, whole: Tensor, origin: Tensor, colored: bool) -> Tensor:
    """The gradient of the raw picture from that of the developed one."""
    if _needs_edges(whole):
        raise InvalidValueError(
            "develop with demosaic 'edge_aware' has no derivative.",
            why="It chooses by the values along which edge to interpolate.",
            fix="Use 'malvar' or 'bilinear', which are linear, or detach() the raw picture.",
        )
    steps = _Development(image, numbers, whole, origin)
    back = gradient * steps.gain
    if colored:
        back = torch.einsum("bij,bihw->bjhw", steps.matrix, back)
    if steps.mosaicked:
        back = steps.mosaicked_back(back)
    return torch.where(steps.balanced(image) <= steps.clip, back * (steps.scale * steps.balance), 0.0)


def _unpack(numbers: Tensor, whole: Tensor, origin: Tensor, colored: bool) -> Any:
    many, few = as_array(numbers), as_array(whole)
    values: dict[str, Any] = {name: many[:, i] for i, name in enumerate(_NUMBERS)}
    parameters = DevelopParameters(
        **values,
        mosaic=few[:, 0],
        demosaic=few[:, 1],
        white_balance=many[:, 4:7],
        color_matrix=many[:, 7:16].reshape(-1, 3, 3),
    )
    return {"parameters": parameters, "origin_px": as_array(origin)}


def _shape(image: Tensor, numbers: Tensor, whole: Tensor, origin: Tensor, colored: bool) -> Tensor:
    batch, channels, height, width = image.shape
    return image.new_empty((batch, 3 if colored else channels, height, width))


_on_cpu = on_arrays("develop", _unpack)
_PARAMETERS = "Tensor numbers, Tensor whole, Tensor origin, bool colored"
_develop_adjoint = operator("develop_adjoint", f"Tensor image, Tensor gradient, {_PARAMETERS}", _adjoint)
_develop = operator(
    "develop",
    f"Tensor image, {_PARAMETERS}",
    _on_cpu,
    _on_device,
    shape=_shape,
    derivatives={"image": lambda gradient, image, *rest: _develop_adjoint(image, gradient, *rest)},
)


def develop(image: Tensor, parameters: DevelopParameters, *, origin_px: NDArray[np.int64]) -> Tensor:
    """DN to linear light."""
    batch = checked_image(image).shape[0]
    check_development(image.shape, parameters)
    origin = check_origin(origin_px, batch, traced=torch.compiler.is_compiling())
    numbers = [getattr(parameters, name)[:, None] for name in _NUMBERS]
    numbers += [parameters.white_balance, parameters.color_matrix.reshape(-1, 9)]
    whole = [getattr(parameters, name)[:, None] for name in _WHOLE]
    many, few = np.concatenate(numbers, axis=1), np.concatenate(whole, axis=1)
    return _develop(
        image,
        torch.from_numpy(np.broadcast_to(many, (batch, many.shape[1])).copy()),
        torch.from_numpy(np.broadcast_to(few, (batch, few.shape[1])).copy()),
        torch.from_numpy(origin),
        parameters.has_colors,
    )
