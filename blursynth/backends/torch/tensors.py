"""Tensors and arrays on shared memory, and what every operator on tensors requires of its picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError
from blursynth.physics.point_spread import PointSpreads

__all__ = [
    "as_array",
    "as_tensor",
    "checked_image",
    "checked_plane",
    "packed",
    "point_spreads",
    "sent",
    "taps_of",
]


def as_array(tensor: torch.Tensor) -> NDArray[Any]:
    """The tensor's values as an array; on shared memory if the tensor is on the CPU."""
    return np.asarray(tensor.detach().cpu().numpy())


def as_tensor(array: NDArray[Any], like: torch.Tensor) -> torch.Tensor:
    """The array as a tensor on the device of ``like``; on shared memory if that is the CPU."""
    return sent(torch.from_numpy(np.ascontiguousarray(array)), like.device)


def sent(tensor: torch.Tensor, device: torch.device, dtype: torch.dtype | None = None) -> torch.Tensor:
    """The tensor on a device, in another type if one is given.

    What lies in the CPU's memory goes there by way of pinned memory: other copies make the program wait until the
    device has done what it was asked for before.
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.to(dtype or tensor.dtype).pin_memory().to(device, non_blocking=True)
    return tensor.to(device, dtype or tensor.dtype)


def checked_image(image: object) -> torch.Tensor:
    """The picture, after a check of its type and shape.

    Raises
    ------
    InvalidValueError
        Not a float32 or float64 tensor ``[B, C, H, W]``, or empty.
    """
    if not isinstance(image, torch.Tensor) or image.dtype not in (torch.float32, torch.float64) or image.dim() != 4:
        got = f"{image.dtype} {tuple(image.shape)}" if isinstance(image, torch.Tensor) else type(image).__name__
        raise InvalidValueError(
            f"image must be a float32 or float64 tensor [B, C, H, W], got {got}.",
            why="Half precision has too few bits for light: 10 at white are steps of .1 %.",
            fix="Convert it, e.g. image.float(), and add the missing axes, e.g. image[None].",
        )
    if image.numel() == 0:
        raise InvalidValueError(f"image is empty: shape {tuple(image.shape)}.", fix="Leave such pictures out.")
    if image.device.type not in ("cpu", "cuda", "meta"):
        raise InvalidValueError(
            f"There are no kernels for tensors on {image.device}.", fix="Move the picture to 'cpu' or 'cuda'."
        )
    return image


def packed(*arrays: NDArray[Any] | None) -> tuple[torch.Tensor | None, ...]:
    """Arrays as tensors of the CPU, which carry what is not a picture through an operator; None stays None."""
    return tuple(None if a is None else torch.from_numpy(np.ascontiguousarray(a)) for a in arrays)


def taps_of(psf: PointSpreads, weight: torch.Tensor | None = None) -> tuple[torch.Tensor | None, ...]:
    """``start``, ``dy``, ``dx`` and the shares of the taps in float64: ``weight`` where it is given.

    Raises
    ------
    InvalidValueError
        Not one weight per tap.
    """
    if weight is not None and weight.shape != psf.weight.shape:
        raise InvalidValueError(
            f"weight must hold the share of each of the {psf.weight.size} taps, got shape {tuple(weight.shape)}.",
            fix="Start from torch.from_numpy(psf.weight).",
        )
    own = packed(psf.start, psf.dy, psf.dx, psf.weight)
    return own if weight is None else (*own[:3], weight.to(torch.float64))


def point_spreads(start: torch.Tensor, dy: torch.Tensor, dx: torch.Tensor, weight: torch.Tensor) -> PointSpreads:
    """The record that kernels on arrays take."""
    count = start.numel() - 1
    return PointSpreads(as_array(start), as_array(dy), as_array(dx), as_array(weight), np.zeros(count))


def checked_plane(plane: torch.Tensor | NDArray[np.floating], image: torch.Tensor, name: str) -> torch.Tensor:
    """A plane ``[B, H, W]``, after a check that it fits the picture. An array becomes a tensor on the picture's device.

    Raises
    ------
    InvalidValueError
        Another shape or device, or no floating-point tensor.
    """
    expected = (image.shape[0], *image.shape[2:])
    if isinstance(plane, np.ndarray):
        plane = as_tensor(plane, image)
    if not isinstance(plane, torch.Tensor) or not plane.is_floating_point() or tuple(plane.shape) != expected:
        got = f"{plane.dtype} {tuple(plane.shape)}" if isinstance(plane, torch.Tensor) else type(plane).__name__
        raise InvalidValueError(
            f"{name} must be a floating-point tensor of the shape {expected} of the pictures, got {got}."
        )
    if plane.device != image.device:
        raise InvalidValueError(
            f"{name} must lie where the picture does, on {image.device}, got {plane.device}.",
            fix=f"Pass {name}.to(image.device).",
        )
    return plane
