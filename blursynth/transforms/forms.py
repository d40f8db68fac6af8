"""Conversion of tensors, arrays and Pillow images to planes with values in 0..1 and back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.degradations.tone.luma import luma_of
from blursynth.errors import InvalidValueError
from blursynth.frame import Encoding, array_library, check_values

__all__ = ["depth_like", "opened"]

Back = Callable[[Any], Any]
"""Converts planes ``[B, C, H, W]`` back to the form of the picture."""


def opened(picture: Any) -> tuple[Any, Back]:
    """``[B, 3, H, W]`` in float32 (float64 is kept), and the conversion back to the picture's type, dtype and layout.

    A gray picture gets three equal channels, as when read from a file, and is returned as their luma, since a camera
    adds colored noise to it.

    CPU tensors become arrays, so that they are blurred like pictures from files. Tensors on another device, and those
    that require gradients, stay tensors.

    Raises
    ------
    InvalidValueError
        It is not a picture, has an unsupported shape or dtype, or has values outside 0..1.
    """
    image, back = _opened(picture)
    if image.shape[1] == 3:
        return image, back
    library: Any = array_library(image)
    return library.concatenate([image] * 3, 1), lambda planes: back(luma_of(planes))


def _opened(picture: Any) -> tuple[Any, Back]:
    if any(kind.__module__.startswith("PIL.") for kind in type(picture).__mro__):
        return _of_pillow(picture)
    library: Any = array_library(picture)
    if library is None:
        raise InvalidValueError(
            f"A transform takes a tensor, an array or a Pillow image, got {type(picture).__name__}.",
            fix="To blur a Frame, use a draw: recipe.sample(frame, seed=7, index=0)(frame).",
        )
    return _of_array(picture) if library is np else _of_tensor(library, picture)


def depth_like(image: Any, depth: Any) -> Any:
    """Depth in the library and on the device of the planes that it belongs to."""
    if array_library(depth) is None:
        depth = np.asarray(depth, np.float32)
    if isinstance(image, np.ndarray):
        return np.asarray(depth.detach().cpu() if array_library(depth) is not np else depth)
    return image.new_tensor(depth) if isinstance(depth, np.ndarray) else depth.to(image.device)


def _of_pillow(picture: Any) -> tuple[Any, Back]:
    from PIL import Image

    if picture.mode not in ("L", "RGB"):
        raise InvalidValueError(
            f"A transform takes Pillow images of mode L or RGB, got {picture.mode}.",
            why="The result has the mode of the input, and other modes are not opaque pictures.",
            fix='Use picture.convert("RGB"); images with more bits can be given as arrays.',
        )
    image, back = _of_array(np.asarray(picture))

    def back_to_pillow(planes: Any) -> Any:
        made = Image.fromarray(back(planes))
        made.info.update(picture.info)  # orientation and color profile among them
        return made

    return image, back_to_pillow


def _of_array(picture: NDArray[Any]) -> tuple[NDArray[Any], Back]:
    dtype, shape = picture.dtype, picture.shape
    if dtype not in (np.uint8, np.uint16, np.float16, np.float32, np.float64):
        raise _wrong_dtype(str(dtype))
    if picture.ndim not in (2, 3, 4) or (picture.ndim > 2 and shape[-1] not in (1, 3)) or picture.size == 0:
        raise InvalidValueError(
            f"A picture array must have shape [H, W], [H, W, C] or [B, H, W, C] with 1 or 3 channels, got {shape}.",
            fix="Move channels last: np.moveaxis(picture, -3, -1)." if _is_other(shape, -3) else "",
        )
    planar = picture[..., None] if picture.ndim == 2 else picture
    planar = np.moveaxis(planar if planar.ndim == 4 else planar[None], -1, 1)
    image: NDArray[Any] = np.ascontiguousarray(planar, np.float64 if dtype == np.float64 else np.float32)
    white = np.iinfo(dtype).max if dtype.kind == "u" else 1
    if white == 1:
        check_values(image, Encoding.DISPLAY, name="The picture")
    else:
        image = image / np.float32(white)

    def back(planes: Any) -> NDArray[Any]:
        values = np.asarray(planes)
        values = np.rint(np.clip(values, 0, 1) * white) if dtype.kind == "u" else values
        return np.array(np.moveaxis(values, 1, -1).reshape(shape), dtype, order="C")  # a copy, never the picture itself

    return image, back


def _of_tensor(torch: Any, picture: Any) -> tuple[Any, Back]:
    dtype, shape = picture.dtype, tuple(picture.shape)
    if dtype is not torch.uint8 and not dtype.is_floating_point:
        raise _wrong_dtype(str(dtype))
    if picture.ndim not in (3, 4) or shape[-3] not in (1, 3) or 0 in shape:
        raise InvalidValueError(
            f"A picture tensor must have shape [C, H, W] or [B, C, H, W] with 1 or 3 channels, got {shape}.",
            fix="Move channels first: picture.movedim(-1, -3)." if _is_other(shape, -1) else "",
        )
    plain = picture.as_subclass(torch.Tensor)
    planar = plain.reshape(-1, *shape[-3:])
    image = planar.to(torch.float64 if dtype is torch.float64 else torch.float32)
    if dtype is torch.uint8:
        image = image / 255
    else:
        check_values(image, Encoding.DISPLAY, name="The picture")
    follows = image.requires_grad and torch.is_grad_enabled()
    on_cpu = image.device.type == "cpu" and not follows
    if on_cpu:
        image = image.detach().contiguous().numpy()

    def back(planes: Any) -> Any:
        tensor = torch.from_numpy(np.array(planes)) if on_cpu else planes
        tensor = (tensor.clamp(0, 1) * 255).round() if dtype is torch.uint8 else tensor
        made = tensor.to(dtype, copy=not on_cpu).reshape(shape)
        return made if type(picture) is torch.Tensor else _wrapped(made, picture)

    return image, back


def _wrapped(made: Any, like: Any) -> Any:
    """A tensor wrapped in torchvision's class of images, if the input was one."""
    tv_tensors: Any = sys.modules.get("torchvision.tv_tensors")
    return tv_tensors.wrap(made, like=like) if tv_tensors and isinstance(like, tv_tensors.TVTensor) else made


def _is_other(shape: tuple[int, ...], axis: int) -> bool:
    return len(shape) in (3, 4) and shape[axis] in (1, 3)


def _wrong_dtype(dtype: str) -> InvalidValueError:
    return InvalidValueError(
        f"A transform takes pictures of uint8 or floating-point values in 0..1, got {dtype}.",
        why="The white level is not known.",
        fix="Divide by it: picture / white.",
    )
