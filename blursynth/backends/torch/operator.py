"""How an operation on arrays becomes an operator of torch: once, for all of them.

An operation is a custom operator ``blursynth::NAME`` of torch, which ``torch.compile`` keeps whole. It takes a picture,
and what describes the operation packed into tensors and numbers, since operators take no records. It has

- an implementation for the CPU, the function on arrays of the same name, on shared memory (:func:`on_arrays`);
- one for CUDA devices, in Triton (:func:`in_triton`, loaded on first use) or in operations of torch;
- the shape of its result without the data, for compilers;
- derivatives by some of its inputs. Those of a linear operation are its transpose (:func:`linear_operator`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import torch

from blursynth.backends import cpu as backend_of_arrays
from blursynth.backends.torch.tensors import as_array, as_tensor

__all__ = ["ON_DEVICE", "in_triton", "linear_operator", "on_arrays", "operator", "same_shape"]

Tensor = torch.Tensor
Kernel = Callable[..., Tensor]
Unpack = Callable[..., Mapping[str, Any]]

ON_DEVICE: dict[str, Kernel] = {}
"""What runs on CUDA devices, by the operator's name: tests run it in Triton's interpreter, where there is no device."""


def on_arrays(name: str, unpack: Unpack = dict) -> Kernel:
    """The operation of the CPU's backend; ``unpack`` converts the inputs after the picture to its keyword arguments."""

    def run(image: Tensor, *rest: Any) -> Tensor:
        return as_tensor(getattr(backend_of_arrays, name)(as_array(image), **unpack(*rest)), image)

    return run


def in_triton(module: str, name: str) -> Kernel:
    """A function of one of the Triton files in this folder, which is loaded on the first call."""

    def run(*inputs: Any) -> Tensor:
        return getattr(import_module(f"{__package__}.{module}"), name)(*inputs)

    return run


def same_shape(image: Tensor, *rest: Any) -> Tensor:
    """A new picture as large as the first input."""
    return image.new_empty(image.shape)


def operator(
    name: str,
    inputs: str,
    cpu: Kernel,
    cuda: Kernel | None = None,
    *,
    shape: Kernel = same_shape,
    derivatives: Mapping[str, Kernel] | None = None,
    linear: bool = False,
) -> Callable[..., Tensor]:
    """Register ``blursynth::name``.

    Parameters
    ----------
    name
        Of the operator.
    inputs
        Their types and names in the language of torch's schemas; the first one is the picture.
    cpu, cuda
        What computes it on which device; without ``cuda`` the first one everywhere.
    shape
        Makes an empty result, of inputs that may have no data.
    derivatives
        By an input's name, the gradient of that input: a function of the result's ``gradient`` and all inputs, built of
        operators where it has derivatives itself. None: a backward pass stops with torch's
        error. Inputs without an entry get none.
    linear
        The derivative by the picture does not depend on the picture, which is then kept for other derivatives only.
    """
    device = None if cuda is None else "cpu"
    made = torch.library.custom_op(
        f"blursynth::{name}", cpu, mutates_args=(), device_types=device, schema=f"({inputs}) -> Tensor"
    )
    made.register_fake(shape)
    if cuda is not None:
        made.register_kernel("cuda")(cuda)
        ON_DEVICE[name] = cuda
    if derivatives is not None:
        _register_derivatives(made, [part.split()[-1] for part in inputs.split(",")], derivatives, linear)
    return made


def _register_derivatives(made: Any, names: list[str], derivatives: Mapping[str, Kernel], linear: bool) -> None:
    by_place = [derivatives.get(name) for name in names]

    def keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.others = [None if isinstance(value, Tensor) else value for value in inputs]
        kept = [value if isinstance(value, Tensor) else None for value in inputs]
        needed = ctx.needs_input_grad[1 : len(inputs)]  # torch's own last input is among them here
        if linear and not any(d and wanted for d, wanted in zip(by_place[1:], needed, strict=True)):
            kept[0] = None
        ctx.save_for_backward(*kept)

    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        kept = zip(ctx.saved_tensors, ctx.others, strict=True)
        inputs = [other if tensor is None else tensor for tensor, other in kept]
        wanted = zip(by_place, ctx.needs_input_grad, strict=True)
        return tuple(d(gradient, *inputs) if d and needed else None for d, needed in wanted)

    made.register_autograd(backward, setup_context=keep)


def linear_operator(
    name: str,
    inputs: str,
    unpack: Unpack,
    cuda: str | tuple[Kernel, Kernel],
    *,
    unpack_adjoint: Unpack | None = None,
    shapes: tuple[Kernel, Kernel] = (same_shape, same_shape),
    derivatives: Mapping[str, Kernel] | None = None,
    adds_atomically: bool = False,
) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """Register a linear operation ``A`` as ``blursynth::name`` and its transpose as ``blursynth::name_adjoint``.

    Each is the derivative of the other by the picture.

    An operation that takes nothing but the picture, whose functions ``box_mean`` and ``box_mean_adjoint`` are in the
    CPU's backend and in ``box_mean_triton.py``::

        _box_mean, _box_mean_adjoint = linear_operator("box_mean", "", dict, "box_mean_triton")

    ``resample.py`` is an example with inputs, and with functions of torch in place of a Triton file.

    Parameters
    ----------
    name
        Name of the operation. The CPU's backend must have functions ``name`` and ``name_adjoint``.
    inputs
        Types and names of the inputs after the picture, in the language of torch's schemas, such as
        ``"Tensor rows, int height"``; empty if there are none. Both operators take the same inputs.
    unpack
        Function that converts those inputs to the keyword arguments of the CPU's function, as a mapping; ``dict`` if
        there are none.
    unpack_adjoint
        The same for ``name_adjoint``, if its keyword arguments differ; by default ``unpack``.
    cuda
        Name of the Triton file (without ``.py``) in this folder that has functions ``name`` and ``name_adjoint``; or a
        pair of functions, for the operation and its transpose.
    shapes
        A pair of functions, for the operation and its transpose, that make an empty result from the inputs. By default
        the result is as large as the picture.
    derivatives
        By an input's name, the derivative of ``<gradient, A image>`` by that input: a function of ``image``,
        ``gradient`` and the inputs after the picture. It serves both operators, since
        ``<gradient, A' image> = <image, A gradient>``.
    adds_atomically
        Whether the transpose adds in no fixed order on CUDA devices. If so, the CPU computes it under
        ``torch.use_deterministic_algorithms(True)``.

    Returns
    -------
    tuple
        The operator and its transpose, functions of the picture and ``inputs``.
    """
    forth, back = name, f"{name}_adjoint"
    on_cuda, back_on_cuda = (in_triton(cuda, forth), in_triton(cuda, back)) if isinstance(cuda, str) else cuda
    on_cpu, back_on_cpu = on_arrays(forth, unpack), on_arrays(back, unpack_adjoint or unpack)

    def in_fixed_order(*given: Any) -> Tensor:
        fixed = torch.are_deterministic_algorithms_enabled()
        return (back_on_cpu if fixed else back_on_cuda)(*given)

    forward = operator(
        forth,
        ", ".join(filter(None, ("Tensor image", inputs))),
        on_cpu,
        on_cuda,
        shape=shapes[0],
        derivatives={
            "image": lambda gradient, image, *rest: adjoint(gradient, *rest),
            **{
                of: lambda gradient, image, *rest, slope=slope: slope(image, gradient, *rest)
                for of, slope in (derivatives or {}).items()
            },
        },
        linear=True,
    )
    adjoint = operator(
        back,
        ", ".join(filter(None, ("Tensor image", inputs))),
        back_on_cpu,
        in_fixed_order if adds_atomically else back_on_cuda,
        shape=shapes[1],
        derivatives={
            "image": lambda gradient, image, *rest: forward(gradient, *rest),
            **(derivatives or {}),
        },
        linear=True,
    )
    return forward, adjoint
