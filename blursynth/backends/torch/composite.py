"""Blur with occlusion, for tensors: linear in the picture, and differentiable by it.

There is no derivative by the scene; see :meth:`blursynth.backends.Backend.composite`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from blursynth.backends.checks import check_one_each, check_scene, window_within
from blursynth.backends.torch.operator import linear_operator
from blursynth.backends.torch.tensors import as_array, checked_image, packed, point_spreads, taps_of
from blursynth.frame import Border, Window
from blursynth.physics.scene import Scene
from blursynth.physics.surface_edges import Means

__all__ = ["composite", "composite_adjoint"]

Tensor = torch.Tensor


def _unpack(order: Tensor, kernel: Tensor, hidden: Tensor, *rest: Any) -> Any:
    *taps, part_weight, front, share, pure, missing, slope, part_center, farthest, at, of, mean, connected, border = (
        rest
    )
    optional = (front, share, pure, missing, slope, part_center)
    planes: Any = [None if plane is None else as_array(plane) for plane in optional]
    psf = point_spreads(*taps)
    make: Any = Scene  # mypy does not see how many planes there are
    scene = make(
        as_array(order),
        as_array(kernel),
        as_array(hidden),
        psf,
        as_array(part_weight),
        *planes,
        connected,
        None if farthest is None else as_array(farthest),
        Means(as_array(at), as_array(of), as_array(mean)),
    )
    return {"scene": scene, "border": Border(border)}


_composite, _adjoint = linear_operator(
    "composite",
    "Tensor order, Tensor kernel, Tensor hidden, Tensor start, Tensor dy, Tensor dx, Tensor weight, "
    "Tensor part_weight, Tensor? front, Tensor? share, Tensor? pure, Tensor? missing, Tensor? slope, "
    "Tensor? part_center, Tensor? farthest, Tensor mean_at, Tensor mean_of, Tensor mean_weight, bool connected, "
    "str border",
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
        *packed(scene.farthest, scene.means.at, scene.means.of, scene.means.weight),
        scene.connected,
        border.value,
    )


def composite(
    image: Tensor, scene: Scene | Sequence[Scene], *, border: Border | str, window: Window | None = None
) -> Tensor:
    """Spread the light of every patch of a scene, which is made on the CPU wherever the picture is."""
    if not isinstance(scene, Scene):
        check_one_each("scenes", len(scene), len(checked_image(image)))
        if image.device.type == "cpu":
            alike: Any = {"border": border, "window": window}
            return torch.cat([composite(image[b : b + 1], one, **alike) for b, one in enumerate(scene)])
        scene = Scene.concatenate(scene)
    top, left, height, width = window_within(checked_image(image).shape, window)
    whole = _composite(image, *_arguments(image, scene, border))
    return whole[..., top : top + height, left : left + width]


def composite_adjoint(image: Tensor, scene: Scene, *, border: Border | str) -> Tensor:
    """The exact transpose of :func:`composite` as a map of images."""
    return _adjoint(image, *_arguments(image, scene, border))
