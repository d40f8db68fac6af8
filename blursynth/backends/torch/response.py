"""Response curves of tensors by their tables: the numbers of the CPU's kernels, gather and interpolation elsewhere.

The derivative is the slope of the table between its nodes, 0 where the picture is clipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blursynth.backends import cpu
from blursynth.backends.cpu.srgb import checked_levels
from blursynth.backends.torch.tensors import as_array, as_tensor, checked_image
from blursynth.errors import InvalidValueError
from blursynth.physics.response import ROOT

__all__ = ["response_decode", "response_encode"]

Tensor = torch.Tensor


def _decode_cpu(image: Tensor, table: Tensor) -> Tensor:
    return as_tensor(cpu.response_decode(as_array(image), as_array(table)), image)


def _encode_cpu(image: Tensor, table: Tensor, levels: Sequence[int]) -> Tensor:
    wanted = [level or None for level in levels]
    return as_tensor(cpu.response_encode(as_array(image), as_array(table), levels=wanted), image)


def _cell(place: Tensor, table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Node on the left of each place 0..1 of ``[B, ...]``, how far beyond it, and what the table rises to the next."""
    rows = table.to(place.device).expand(len(place), -1)
    cells = rows.shape[1] - 1
    u = place.reshape(len(place), -1) * cells
    node = u.detach().nan_to_num().floor().clamp(0, cells - 1)
    left = rows.gather(1, node.long())
    rise = rows.gather(1, node.long() + 1) - left
    return left.reshape(place.shape), (u - node).reshape(place.shape), rise.reshape(place.shape)


# In float64, as the definition: codes are those of the CPU wherever a value is no tie to 1e-15.


def _decode_cuda(image: Tensor, table: Tensor) -> Tensor:
    left, beyond, rise = _cell(image.double().clamp(0, 1), table)
    return (left + beyond * rise).to(image.dtype)


def _encode_cuda(image: Tensor, table: Tensor, levels: Sequence[int]) -> Tensor:
    left, beyond, rise = _cell(image.double().clamp(0, 1).sqrt().sqrt(), table)
    value = left + beyond * rise
    top = torch.tensor([float(level) for level in levels], dtype=torch.float64).to(image.device)[:, None, None, None]
    rounded = torch.round(value * top) / top.clamp(min=1)
    return torch.where(top > 0, rounded, value).to(image.dtype)


_decode = torch.library.custom_op(
    "blursynth::response_decode",
    _decode_cpu,
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor image, Tensor table) -> Tensor",
)
_encode = torch.library.custom_op(
    "blursynth::response_encode",
    _encode_cpu,
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor image, Tensor table, int[] levels) -> Tensor",
)
_decode.register_kernel("cuda")(_decode_cuda)
_encode.register_kernel("cuda")(_encode_cuda)


@_decode.register_fake
def _decode_shape(image: Tensor, table: Tensor) -> Tensor:
    return image.new_empty(image.shape)


@_encode.register_fake
def _encode_shape(image: Tensor, table: Tensor, levels: Any) -> Tensor:
    return image.new_empty(image.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2])


def _decode_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
    image, table = ctx.saved_tensors
    _left, _beyond, rise = _cell(image.double().clamp(0, 1), table)
    inside = (image >= 0) & (image <= 1)
    return torch.where(inside, gradient * (rise * (table.shape[1] - 1)).to(gradient.dtype), 0.0), None


def _encode_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
    image, table = ctx.saved_tensors
    cells = table.shape[1] - 1
    light = image.double().clamp(0, 1)
    place = light.sqrt().sqrt()
    _left, _beyond, rise = _cell(place, table)
    # The root is infinitely steep at 0: in the first cell the slope is that of its chord.
    curve = rise * cells / ROOT * place.clamp(min=1 / cells) ** (1 - ROOT)
    chord = rise * float(cells) ** ROOT
    slope = torch.where(place < 1 / cells, chord, curve)
    inside = (image >= 0) & (image <= 1)
    return torch.where(inside, gradient * slope.to(gradient.dtype), 0.0), None, None


_decode.register_autograd(_decode_backward, setup_context=_keep)
_encode.register_autograd(_encode_backward, setup_context=_keep)


def _table(image: Tensor, table: NDArray[np.float64]) -> Tensor:
    if table.ndim != 2 or table.shape[0] not in (1, image.shape[0]) or table.shape[1] < 2:
        raise InvalidValueError(
            f"The table of a response must be [1, NODES] or [{image.shape[0]}, NODES], got {table.shape}.",
            fix="Pass one row per picture, or one for all.",
        )
    return torch.from_numpy(np.ascontiguousarray(table))


def response_decode(image: Tensor, table: NDArray[np.float64]) -> Tensor:
    """Light of display values by a table; see :func:`blursynth.backends.cpu.response.response_decode`.

    The derivative is the slope of the table, 0 where values are clipped to 0..1.

    Raises
    ------
    InvalidValueError
        Types or shapes that do not fit.
    """
    return _decode(checked_image(image), _table(image, table))


def response_encode(image: Tensor, table: NDArray[np.float64], *, levels: Sequence[int | None] | None = None) -> Tensor:
    """Display values of light by a table; see :func:`blursynth.backends.cpu.response.response_encode`.

    The derivative is that of the table over the root of the light, 0 where the light is clipped; between 0 and the
    first node, where a root is infinitely steep, that of the chord. Rounding is passed straight through.

    Raises
    ------
    InvalidValueError
        Types or shapes that do not fit; not one level per picture, or one outside 1 to 65535.
    """
    checked_image(image)
    wanted = checked_levels(levels, len(image))
    return _encode(image, _table(image, table), [level or 0 for level in wanted])
