"""Blur with occlusion, for tensors: linear in the picture, and differentiable by it.

There is no derivative by the scene: which surface covers which is a matter of order, and the shares of light are cut
off (``min``) where nearer surfaces left no room. For a derivative through depth use the gather form,
:func:`~blursynth.backends.torch.convolve_varying.convolve_varying`, which has no occlusion.
"""

from __future__ import annotations

from typing import Any

import torch

from blursynth.backends.checks import check_scene
from blursynth.backends.torch.operator import linear_operator
from blursynth.backends.torch.tensors import as_array, checked_image, packed, point_spreads, taps_of
from blursynth.frame import Border
from blursynth.physics.scene import Scene

__all__ = ["composite", "composite_adjoint"]

Tensor = torch.Tensor


def _unpack(order: Tensor, kernel: Tensor, hidden: Tensor, *rest: Any) -> Any:
    *taps, part_weight, front, share, pure, missing, slope, part_center, connected, border = rest
    optional = (front, share, pure, missing, slope, part_center)
    planes: Any = [None if plane is None else as_array(plane) for plane in optional]
    psf = point_spreads(*taps)
    make: Any = Scene  # of which mypy does not see how many planes there are
    scene = make(as_array(order), as_array(kernel), as_array(hidden), psf, as_array(part_weight), *planes, connected)
    return {"scene": scene, "border": Border(border)}


_composite, _adjoint = linear_operator(
    "composite",
    "Tensor order, Tensor kernel, Tensor hidden, Tensor start, Tensor dy, Tensor dx, Tensor weight, "
    "Tensor part_weight, Tensor? front, Tensor? share, Tensor? pure, Tensor? missing, Tensor? slope, "
    "Tensor? part_center, bool connected, str border",
    _unpack,
    "composite_triton",
    adds_atomically=True,
)


def _arguments(image: Tensor, scene: Scene, border: Border | str) -> tuple[Any, ...]:
    border = check_scene(checked_image(image).shape, scene, border)
    return (
        *packed(scene.order, scene.kernel, scene.hidden),
        *taps_of(scene.psf),
        *packed(scene.part_weight, scene.front, scene.share, scene.pure, scene.missing, scene.slope, scene.part_center),
        scene.connected,
        border.value,
    )


def composite(image: Tensor, scene: Scene, *, border: Border | str) -> Tensor:
    """Spread the light of every patch of the scene and let nearer slices cover farther ones.

    See :func:`blursynth.backends.cpu.composite.composite` for the equation.

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
