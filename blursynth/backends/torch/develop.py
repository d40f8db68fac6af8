"""The development of raw tensors: the numbers of the CPU's kernels, torch's own operations on other devices.

Levels, white balance, demosaic by ``bilinear`` and ``malvar``, colors and gain are linear but for the white clip, so
the derivative is the exact transpose, with 0 where the picture is clipped. ``edge_aware`` decides by the values along
which edge to interpolate; it has no derivative, and a backward pass that reaches it stops with an error.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blursynth.backends.borders import continued_index
from blursynth.backends.checks import check_development, check_origin
from blursynth.backends.torch.operator import on_arrays, operator
from blursynth.backends.torch.sensor import colors_of_pixels, of_phases
from blursynth.backends.torch.tensors import as_array, checked_image, sent
from blursynth.errors import InvalidValueError
from blursynth.frame import MOSAICS, Border
from blursynth.physics.development import DevelopParameters
from blursynth.physics.mosaic import (
    BILINEAR,
    BLUE,
    DEMOSAIC_REACH_PX,
    DEMOSAICS,
    EDGE_FLOOR,
    GREEN,
    MALVAR,
    RED,
    pattern_colors,
)

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
        there = sent(numbers, image.device, image.dtype)
        self.black, white, self.gain, self.clip = (there[:, i, None, None, None] for i in range(4))
        self.scale = 1.0 / (white - self.black)
        self.matrix = there[:, 7:16].reshape(batch, 3, 3)
        balance = there[:, 4:7, None, None]
        self.balance = balance if image.shape[1] == 3 else balance[:, :1]
        self.mosaicked = bool((whole[:, 0] > 0).any())
        if self.mosaicked:
            self.code, self.origin = whole[:, 0], origin
            sites = colors_of_pixels(self.code, origin, (height, width), image.device)
            self.balance = balance.expand(-1, -1, height, width).gather(1, sites)
        if self.mosaicked and not _needs_edges(whole):
            self.fill = of_phases(_FILL[self.code - 1], origin, (height, width), image.device)  # [B, 3, H, W]
            self.kernels = sent(_KERNELS[whole[:, 1]], image.device, image.dtype)  # [B, 4, 5, 5]
            self.rows, self.columns = (_reflected(size, 2, image.device) for size in (height, width))

    def balanced(self, image: Tensor) -> Tensor:
        return (image - self.black) * self.scale * self.balance

    def demosaicked(self, light: Tensor) -> Tensor:
        wide = light[:, 0].index_select(1, self.rows).index_select(2, self.columns)[:, None]  # [B, 1, H + 4, W + 4]
        # Kernels are correlated: they are symmetric. Not by cuDNN, whose settings belong to whoever trains beside this.
        filled = light.new_zeros((len(light), 4, self.height, self.width))
        for i, j in np.ndindex(5, 5):
            part = wide[:, :, i : i + self.height, j : j + self.width]
            filled = torch.addcmul(filled, self.kernels[:, :, i, j, None, None], part)
        planes = torch.cat([light, filled], dim=1)
        return planes.gather(1, self.fill)

    def along_edges(self, light: Tensor) -> Tensor:
        """As the definition in ``backends/oracle/develop.py``, on pictures grown by more than what is read."""
        margin = DEMOSAIC_REACH_PX["edge_aware"] + 2  # what rolls in at the other side is cut off
        rows, columns = (_reflected(size, margin, light.device) for size in (self.height, self.width))
        wide = light[:, 0].index_select(1, rows).index_select(2, columns)
        sites = colors_of_pixels(self.code, self.origin - margin, (wide.shape[1], wide.shape[2]), light.device)[:, 0]
        green = sites == GREEN
        differences, weights = [], []
        for axis in (2, 1):
            ends = torch.roll(wide, 2, axis) + torch.roll(wide, -2, axis)
            unseen = (torch.roll(wide, 1, axis) + torch.roll(wide, -1, axis)) / 2 + (2 * wide - ends) / 4
            difference = torch.where(green, unseen - wide, wide - unseen)
            change = (torch.roll(difference, -1, axis) - torch.roll(difference, 1, axis)).abs()
            near = 25 * torch.nn.functional.avg_pool2d(change[:, None], 5, stride=1, padding=2)[:, 0]
            differences.append(difference)
            weights.append(1 / (near * near + EDGE_FLOOR))
        along, down = differences
        share = weights[0] / (weights[0] + weights[1])
        difference = share * along + (1 - share) * down
        seen_green = torch.where(green, wide, wide - difference)
        planes = {GREEN: seen_green}
        for color in (RED, BLUE):
            seen = torch.where(sites == color, difference, 0.0)
            beside = torch.roll(seen, 1, 2) + 2 * seen + torch.roll(seen, -1, 2)
            around = (torch.roll(beside, 1, 1) + 2 * beside + torch.roll(beside, -1, 1)) / 4
            planes[color] = torch.where(sites == color, wide, seen_green + around)
        out = torch.stack([planes[color] for color in sorted(planes)], dim=1)
        return out[:, :, margin : margin + self.height, margin : margin + self.width]

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


def _reflected(size: int, margin: int, device: torch.device) -> Tensor:
    """The pixels of a row and of a margin on both sides."""
    return sent(torch.from_numpy(continued_index(np.arange(-margin, size + margin), size, Border.REFLECT)), device)


def _needs_edges(whole: Tensor) -> bool:
    return bool(((whole[:, 0] > 0) & (whole[:, 1] == _EDGE_AWARE)).any())


def _on_device(image: Tensor, numbers: Tensor, whole: Tensor, origin: Tensor, colored: bool) -> Tensor:
    along_edges = (whole[:, 0] > 0) & (whole[:, 1] == _EDGE_AWARE)
    if along_edges.any() and not along_edges.all():
        out = _shape(image, numbers, whole, origin, colored)
        for chosen in (torch.nonzero(along_edges)[:, 0], torch.nonzero(~along_edges)[:, 0]):
            there = sent(chosen, image.device)
            out[there] = _on_device(image[there], numbers[chosen], whole[chosen], origin[chosen], colored)
        return out
    steps = _Development(image, numbers, whole, origin)
    light = torch.minimum(steps.balanced(image), steps.clip)
    if steps.mosaicked:
        light = steps.along_edges(light) if along_edges.any() else steps.demosaicked(light)
    if colored:
        light = _mixed(steps.matrix, light)
    return light * steps.gain


def _mixed(matrix: Tensor, light: Tensor) -> Tensor:
    """The colors that matrices ``[B, 3, 3]`` make of others, in full precision whatever products of matrices are in."""
    parts = matrix[:, :, :, None, None] * light[:, None]
    return parts[:, :, 0] + parts[:, :, 1] + parts[:, :, 2]


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
        back = _mixed(steps.matrix.mT, back)
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
