"""Which channels of a network's weights belong together, found by running it on names instead of numbers.

Removing a channel of one layer concerns every weight that produces it, reads it or scales it: behind a residual sum, a
concatenation, a gate or a pixel shuffle these are many. Each channel of each weight gets a name; the network runs once
on maps of names, operations that only move values (concatenate, split, shuffle) move names, and wherever two names meet
(in a sum, at the input of a convolution) they become one.

The idea is that of dependency graphs: G. Fang et al., "DepGraph: Towards Any Structural Pruning", CVPR 2023. Their
library follows autograd's graph, which does not say where the channels of a pixel shuffle or of a chunk go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.overrides import TorchFunctionMode

from blursynth.errors import InvalidValueError
from deblur_models.networks import Network

__all__ = ["Dimension", "channels_of"]

Dimension = tuple[str, int]
"""A weight by its name, and one of its dimensions."""

# Operations by what they do to names; any other one is refused.
_QUESTIONS = {"__get__", "dim", "element_size", "is_floating_point"}
_MOVES = {
    "__getitem__", "cat", "chunk", "detach", "index_select", "narrow", "pixel_shuffle", "pixel_unshuffle", "reshape",
    "stack", "to", "unbind",
}  # fmt: skip
_ELEMENTWISE = {
    "add", "clamp", "div", "dropout", "dropout2d", "hardtanh", "leaky_relu", "mul", "relu", "rsqrt", "sigmoid", "sub",
    "tanh",
}  # fmt: skip
_OVER_PIXELS = {"avg_pool2d", "interpolate", "max_pool2d", "pad"}
_NORMALIZATIONS = {"batch_norm", "instance_norm"}
_REDUCTIONS = {"amax", "mean", "sum", "var", "var_mean"}


class _Names(Tensor):
    """A map whose values are names; 0 is none. Other tensors are constants."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]


def channels_of(network: Network) -> dict[Dimension, NDArray[np.int64]]:
    """The class of each channel, along each dimension of each weight; channels of one class belong together.

    Raises
    ------
    InvalidValueError
        An operation of the network mixes channels in a way that is not followed, such as attention by matrix products.
    """
    config = network.config
    if "local_px" in type(config).model_fields:  # means over windows are computed with running sums
        config = config.replace(local_px=0)
    with torch.device("meta"):
        twin = config.build().eval()
    run = _NamedRun({name: weight.shape for name, weight in twin.state_dict().items()})
    side = max(config.multiple_px, 16)
    picture = torch.zeros(1, 3, side, side, dtype=torch.float64)
    picture += run.new_names(3).view(1, 3, 1, 1)
    with torch.no_grad(), run:
        torch.func.functional_call(twin, run.weights, (picture.as_subclass(_Names),), {"every_scale": True})
    return run.classes()


class _NamedRun(TorchFunctionMode):
    """A run of a network on names."""

    def __init__(self, shapes: Mapping[str, torch.Size]) -> None:
        super().__init__()
        self._one_name = [0]  # by name: an earlier one that it has become
        self._dimensions = {
            (name, dim): self.new_names(size)
            for name, shape in shapes.items()
            for dim, size in enumerate(shape)
            if dim < 2  # the others are those of kernels
        }
        self.weights: dict[str, Tensor] = {}
        self._name_of: dict[int, str] = {}
        for name, shape in shapes.items():
            content = torch.zeros(shape, dtype=torch.float64)
            wide = [dim for dim, size in enumerate(shape) if size > 1]
            if len(wide) == 1 and (name, wide[0]) in self._dimensions:  # a scale or a bias: one name per value
                form = [-1 if dim == wide[0] else 1 for dim in range(len(shape))]
                content = content + self._dimensions[name, wide[0]].view(form)
            self.weights[name] = content.as_subclass(_Names)
            self._name_of[id(self.weights[name])] = name

    def new_names(self, number: int) -> Tensor:
        first = len(self._one_name)
        self._one_name += range(first, first + number)
        return torch.arange(first, first + number, dtype=torch.float64)

    def classes(self) -> dict[Dimension, NDArray[np.int64]]:
        return {
            place: np.array([self._one(int(name)) for name in names.tolist()])
            for place, names in self._dimensions.items()
        }

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        named = [a for a in (*args, *kwargs.values()) if isinstance(a, _Names)]
        listed = args[0] if args and isinstance(args[0], list | tuple) else ()
        if not named and not any(isinstance(a, _Names) for a in listed):
            return func(*args, **kwargs)
        name = func.__name__
        if name in _QUESTIONS:
            return func(*args, **kwargs)
        if name == "zeros_like":
            return torch.zeros(named[0].shape)
        if name == "conv2d":
            return self._convolution(func, args, kwargs, transposed=False)
        if name == "conv_transpose2d":
            return self._convolution(func, args, kwargs, transposed=True)
        if name in _MOVES:
            moved = func(*[_unnamed(a) for a in args], **{k: _unnamed(v) for k, v in kwargs.items()})
            return _named(moved)
        if name in _ELEMENTWISE:
            return self._elementwise(named)
        if name in _OVER_PIXELS or name in _NORMALIZATIONS:
            per_channel = self._per_channel(named[0])
            for scale in named[1:]:
                self._join(per_channel, scale)
            shape = named[0].shape if name in _NORMALIZATIONS else _shape(func, args, kwargs)
            return self._map(per_channel, shape)
        if name in _REDUCTIONS:
            return self._reduced(func, args, kwargs)
        raise InvalidValueError(
            f"its operation {name!r} is not followed from channel to channel.",
            why="Attention heads, for example, cannot lose single channels.",
        )

    def _convolution(self, func: Any, args: Sequence[Any], kwargs: Any, *, transposed: bool) -> Any:
        values, weight, bias = (*args, None)[:3]
        bias = kwargs.get("bias", bias)
        groups = kwargs.get("groups", args[6] if len(args) > 6 else 1)
        name = self._name_of.get(id(weight))
        if name is None or groups not in (1, values.shape[1]) or (transposed and groups > 1):
            raise InvalidValueError(f"a convolution in {groups} groups, or with computed weights, is not followed.")
        given, made = ((name, dim) for dim in ((0, 1) if transposed else (1, 0)))
        if groups > 1:
            given = made
        self._join(self._per_channel(values), self._dimensions[given])
        if bias is not None:
            self._join(self._dimensions[made], bias)
        return self._map(self._dimensions[made], _shape(func, args, kwargs))

    def _elementwise(self, named: Sequence[Tensor]) -> Any:
        shape = np.broadcast_shapes(*(tuple(n.shape) for n in named))
        result = torch.zeros(shape, dtype=torch.float64)
        for one in named:
            one = _plain(one)
            one = one.reshape((1,) * (len(shape) - one.ndim) + tuple(one.shape))
            if len(shape) > 1 and one.shape[1] == 1 < shape[1]:
                continue  # one value for all channels: it belongs to none
            one = one.expand(shape)
            self._join(result, one)
            result = torch.where(result == 0, one, result)
        return _named(result)

    def _reduced(self, func: Any, args: Sequence[Any], kwargs: Any) -> Any:
        if func is torch.var_mean:
            reduced = self._reduced(torch.var, args, kwargs)
            return reduced, reduced
        shape = _shape(func, args, kwargs)
        values, dims = _plain(args[0]), kwargs.get("dim", args[1] if len(args) > 1 else tuple(range(args[0].ndim)))
        dims = {d % values.ndim for d in ([dims] if isinstance(dims, int) else dims)}
        if 1 in dims and values.ndim > 1:
            return torch.zeros(shape, dtype=torch.float64).as_subclass(_Names)
        kept = values.movedim(sorted(dims), list(range(-len(dims), 0))).flatten(-len(dims))
        return _named(self._one_per_row(kept).reshape(shape))

    def _per_channel(self, values: Tensor) -> Tensor:
        """One name for each channel of a map ``[B, C, H, W]``."""
        return self._one_per_row(_plain(values).transpose(0, 1).flatten(1))

    def _one_per_row(self, names: Tensor) -> Tensor:
        """All names of a row become one."""
        one = names.amax(-1)
        self._join(one[..., None].expand_as(names), names)
        return one

    def _map(self, per_channel: Tensor, shape: Sequence[int]) -> Any:
        return _named(_plain(per_channel).view(1, -1, 1, 1).expand(tuple(shape)).clone())

    def _join(self, some: Tensor, others: Tensor) -> None:
        """Names at the same place become one."""
        pairs = torch.stack((_plain(some).flatten(), _plain(others).flatten()))
        met = torch.unique(pairs[:, (pairs != 0).all(0) & (pairs[0] != pairs[1])], dim=1)
        for one, other in met.T.long().tolist():
            first, second = sorted((self._one(one), self._one(other)))
            self._one_name[second] = first

    def _one(self, name: int) -> int:
        while self._one_name[name] != name:
            self._one_name[name] = self._one_name[self._one_name[name]]
            name = self._one_name[name]
        return name


def _plain(names: Tensor) -> Tensor:
    return names.as_subclass(Tensor)


def _unnamed(value: Any) -> Any:
    """An argument of an operation that moves values, without names for what is constant, such as an empty state."""
    if isinstance(value, list | tuple):
        return type(value)(map(_unnamed, value))
    if isinstance(value, _Names):
        return _plain(value)
    if isinstance(value, Tensor) and value.is_floating_point():
        return torch.zeros(value.shape, dtype=torch.float64)
    return value


def _named(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(map(_named, value))
    return value.as_subclass(_Names) if isinstance(value, Tensor) else value


def _shape(func: Any, args: Sequence[Any], kwargs: Any) -> torch.Size:
    """The shape of a function's result."""

    def meta(value: Any) -> Any:
        return torch.empty(value.shape, device="meta") if isinstance(value, Tensor) else value

    shape: torch.Size = func(*map(meta, args), **{k: meta(v) for k, v in kwargs.items()}).shape
    return shape
