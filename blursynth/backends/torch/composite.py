"""Blur with occlusion, for tensors: linear in the picture, and differentiable by it.

There is no derivative by the scene: which surface covers which is a matter of order, and the shares of light are cut
off (``min``) where nearer surfaces left no room. For a derivative through depth use the gather form,
:func:`~blursynth.backends.torch.convolve_varying.convolve_varying`, which has no occlusion.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blursynth.backends import cpu
from blursynth.backends.torch.tensors import (
    as_array,
    as_tensor,
    checked_border,
    checked_image,
    point_spreads,
    taps_of,
    weights_of,
)
from blursynth.errors import InvalidValueError
from blursynth.frame import Border
from blursynth.physics.scene import Scene

__all__ = ["composite", "composite_adjoint"]

Tensor = torch.Tensor


def _scene(
    order: Tensor,
    kernel: Tensor,
    hidden: Tensor,
    start: Tensor,
    dy: Tensor,
    dx: Tensor,
    weight: Tensor,
    part_weight: Tensor,
    front: Tensor | None,
    share: Tensor | None,
    pure: Tensor | None,
    missing: Tensor | None,
    slope: Tensor | None,
    part_center: Tensor | None,
    connected: bool,
) -> Scene:
    return Scene(
        as_array(order),
        as_array(kernel),
        as_array(hidden),
        point_spreads(start, dy, dx, weight),
        as_array(part_weight),
        front=None if front is None else as_array(front),
        share=None if share is None else as_array(share),
        pure=None if pure is None else as_array(pure),
        missing=None if missing is None else as_array(missing),
        slope=None if slope is None else as_array(slope),
        part_center=None if part_center is None else as_array(part_center),
        connected=connected,
    )


def _composite_cpu(image: Tensor, *arguments: Any) -> Tensor:
    *scene, border = arguments
    return as_tensor(cpu.composite(as_array(image), _scene(*scene), border=Border(border)), image)


def _adjoint_cpu(image: Tensor, *arguments: Any) -> Tensor:
    *scene, border = arguments
    return as_tensor(cpu.composite_adjoint(as_array(image), _scene(*scene), border=Border(border)), image)


def _composite_cuda(image: Tensor, *arguments: Any) -> Tensor:
    from blursynth.backends.torch.composite_triton import composite

    return composite(image, *arguments)


def _adjoint_cuda(image: Tensor, *arguments: Any) -> Tensor:
    if torch.are_deterministic_algorithms_enabled():
        return _adjoint_cpu(image, *arguments)
    from blursynth.backends.torch.composite_triton import composite_adjoint

    return composite_adjoint(image, *arguments)


_SCHEMA = (
    "(Tensor image, Tensor order, Tensor kernel, Tensor hidden, Tensor start, Tensor dy, Tensor dx, Tensor weight, "
    "Tensor part_weight, Tensor? front, Tensor? share, Tensor? pure, Tensor? missing, Tensor? slope, "
    "Tensor? part_center, bool connected, str border) -> Tensor"
)
_composite = torch.library.custom_op(
    "blursynth::composite", _composite_cpu, mutates_args=(), device_types="cpu", schema=_SCHEMA
)
_adjoint = torch.library.custom_op(
    "blursynth::composite_adjoint", _adjoint_cpu, mutates_args=(), device_types="cpu", schema=_SCHEMA
)
_composite.register_kernel("cuda")(_composite_cuda)
_adjoint.register_kernel("cuda")(_adjoint_cuda)


def _same_shape(image: Tensor, *rest: Any) -> Tensor:
    return image.new_empty(image.shape)


_composite.register_fake(_same_shape)
_adjoint.register_fake(_same_shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _image, *scene, ctx.connected, ctx.border = inputs
    ctx.save_for_backward(*scene)


def _composite_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    return _adjoint(gradient, *ctx.saved_tensors, ctx.connected, ctx.border), *(None,) * 16


def _adjoint_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    return _composite(gradient, *ctx.saved_tensors, ctx.connected, ctx.border), *(None,) * 16


_composite.register_autograd(_composite_backward, setup_context=_keep)
_adjoint.register_autograd(_adjoint_backward, setup_context=_keep)


def _arguments(image: Tensor, scene: Scene, border: Border | str) -> tuple[Any, ...]:
    checked_image(image)
    border = checked_border(border)
    if border == Border.VALID:
        raise InvalidValueError(
            "border='valid' has no meaning for a scene.", fix="Use another border and crop the result."
        )
    expected = (image.shape[0], *image.shape[2:])
    if tuple(scene.order.shape) != expected:
        raise InvalidValueError(
            f"The scene must have the shape {expected} of the pictures, got {tuple(scene.order.shape)}."
        )
    return (
        *(_plane(plane) for plane in (scene.order, scene.kernel, scene.hidden)),
        *taps_of(scene.psf),
        weights_of(scene.psf, None),
        _plane(scene.part_weight),
        *(_plane(plane) for plane in (scene.front, scene.share, scene.pure, scene.missing)),
        *(_plane(plane) for plane in (scene.slope, scene.part_center)),
        scene.connected,
        border.value,
    )


def _plane(array: NDArray[Any] | None) -> Tensor | None:
    return None if array is None else torch.from_numpy(np.ascontiguousarray(array))


def composite(image: Tensor, scene: Scene, *, border: Border | str) -> Tensor:
    """Spread the light of every patch of the scene and let nearer slices cover farther ones.

    See :func:`blursynth.backends.oracle.composite.composite` for the equation.

    Parameters
    ----------
    image
        ``[B, C, H, W]``, float32 or float64, on the CPU or a CUDA device.
    scene
        Slices, point spreads, and what is hidden; made on the CPU wherever the picture lies.
    border
        How pictures and scene go on beyond their edge; not ``VALID``.

    Returns
    -------
    Tensor
        ``[B, C, H, W]``; differentiable by ``image`` as often as wanted.

    Raises
    ------
    InvalidValueError
        Types or shapes that do not fit; border ``VALID``.
    """
    return _composite(image, *_arguments(image, scene, border))


def composite_adjoint(image: Tensor, scene: Scene, *, border: Border | str) -> Tensor:
    """The exact transpose of :func:`composite` as a map of images.

    On CUDA light is sent back by atomic additions, whose order, and with it the last bits, differ from run to run.
    Under ``torch.use_deterministic_algorithms(True)`` the CPU does it instead.
    """
    return _adjoint(image, *_arguments(image, scene, border))
