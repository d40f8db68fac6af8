"""Response curves of tensors by their tables: the numbers of the CPU's kernels, gather and interpolation elsewhere.

The derivative is the slope of the table between its nodes, 0 where the picture is clipped.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from blursynth.backends.checks import check_levels, check_table
from blursynth.backends.torch.operator import on_arrays, operator
from blursynth.backends.torch.tensors import as_array, checked_image, packed, sent
from blursynth.physics.response import ROOT

__all__ = ["response_decode", "response_encode"]

Tensor = torch.Tensor


def _cell(place: Tensor, table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Node on the left of each place 0..1 of ``[B, ...]``, how far beyond it, and what the table rises to the next."""
    rows = sent(table, place.device).expand(len(place), -1)
    cells = rows.shape[1] - 1
    u = place.reshape(len(place), -1) * cells
    node = u.detach().nan_to_num().floor().clamp(0, cells - 1)
    left = rows.gather(1, node.long())
    rise = rows.gather(1, node.long() + 1) - left
    return left.reshape(place.shape), (u - node).reshape(place.shape), rise.reshape(place.shape)


# In float64, as the definition: codes are those of the CPU wherever a value is not a tie to 1e-15.


def _decode_on_device(image: Tensor, table: Tensor) -> Tensor:
    left, beyond, rise = _cell(image.double().clamp(0, 1), table)
    return (left + beyond * rise).to(image.dtype)


def _encode_on_device(image: Tensor, table: Tensor, levels: Sequence[int]) -> Tensor:
    left, beyond, rise = _cell(image.double().clamp(0, 1).sqrt().sqrt(), table)
    value = left + beyond * rise
    codes = torch.tensor([float(level) for level in levels], dtype=torch.float64)
    top = sent(codes, image.device)[:, None, None, None]
    rounded = torch.round(value * top) / top.clamp(min=1)
    return torch.where(top > 0, rounded, value).to(image.dtype)


def _slope_of_decode(gradient: Tensor, image: Tensor, table: Tensor) -> Tensor:
    _left, _beyond, rise = _cell(image.double().clamp(0, 1), table)
    inside = (image >= 0) & (image <= 1)
    return torch.where(inside, gradient * (rise * (table.shape[1] - 1)).to(gradient.dtype), 0.0)


def _slope_of_encode(gradient: Tensor, image: Tensor, table: Tensor, levels: Sequence[int]) -> Tensor:
    cells = table.shape[1] - 1
    light = image.double().clamp(0, 1)
    place = light.sqrt().sqrt()
    _left, _beyond, rise = _cell(place, table)
    # The root is infinitely steep at 0: in the first cell the slope is that of its chord.
    curve = rise * cells / ROOT * place.clamp(min=1 / cells) ** (1 - ROOT)
    chord = rise * float(cells) ** ROOT
    slope = torch.where(place < 1 / cells, chord, curve)
    inside = (image >= 0) & (image <= 1)
    return torch.where(inside, gradient * slope.to(gradient.dtype), 0.0)


_decode = operator(
    "response_decode",
    "Tensor image, Tensor table",
    on_arrays("response_decode", lambda table: {"table": as_array(table)}),
    _decode_on_device,
    derivatives={"image": _slope_of_decode},
)
_encode = operator(
    "response_encode",
    "Tensor image, Tensor table, int[] levels",
    on_arrays(
        "response_encode",
        lambda table, levels: {"table": as_array(table), "levels": [level or None for level in levels]},
    ),
    _encode_on_device,
    derivatives={"image": _slope_of_encode},
)


def response_decode(image: Tensor, table: NDArray[np.float64]) -> Tensor:
    """Light of display values by a table."""
    check_table(table, len(checked_image(image)))
    return _decode(image, *packed(table))


def response_encode(image: Tensor, table: NDArray[np.float64], *, levels: Sequence[int | None] | None = None) -> Tensor:
    """Display values of light by a table, rounded to codes."""
    check_table(table, len(checked_image(image)))
    wanted = check_levels(levels, len(image))
    return _encode(image, *packed(table), [level or 0 for level in wanted])
