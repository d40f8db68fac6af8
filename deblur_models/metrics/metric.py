"""The base class of metrics."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor

from blursynth.errors import InvalidValueError
from blursynth.frame import Encoding, check_values
from blursynth.records.kind import Kind

__all__ = ["Better", "Metric", "luma"]

Better = Literal["higher", "lower"]


class Metric(Kind):
    """Quality of restored images: called with ``[B, 3, H, W]`` in 0..1, returns one float64 value per image.

    Values outside 0..1 are clipped first, as when images are written; nothing is rounded unless ``protocol`` says so.
    For training, which needs derivatives, use the losses. Subclasses implement :meth:`measure`.
    """

    higher_is_better: ClassVar[bool] = True
    needs_sharp: ClassVar[bool] = True
    """Whether it compares with a sharp image (a full-reference metric)."""

    @property
    def name(self) -> str:
        """The name in reports; metrics of one kind whose values are not comparable have different names."""
        return self.kind

    @property
    def better(self) -> Better:
        return "higher" if self.higher_is_better else "lower"

    @property
    @abstractmethod
    def protocol(self) -> str:
        """One line that specifies exactly what is computed, to accompany the values."""

    @abstractmethod
    def measure(self, restored: Tensor, sharp: Tensor) -> Tensor:
        """Values ``[B]`` of validated images in 0..1; ``sharp`` is ``restored`` if the metric needs none."""

    def check_ready(self) -> None:
        """Raise an error if something that the metric needs (a weights file) is missing, before any work starts."""

    def __call__(self, restored: Tensor, sharp: Tensor | None = None) -> Tensor:
        """The value of each image, ``[B]`` float64 on the device of ``restored``.

        Raises
        ------
        InvalidValueError
            Images are not floating-point ``[B, 3, H, W]`` of the same shape with finite values, sharp images are far
            outside 0..1, or they are missing although the metric needs them.
        """
        _check("restored", restored)
        if not self.needs_sharp:
            sharp = restored
        elif sharp is None:
            raise InvalidValueError(f"{self.name} needs sharp images, got none.")
        else:
            _check("sharp", sharp)
            # Restored values can be anything and are clipped; ground truth in 0..255 would be clipped to white.
            check_values(sharp, Encoding.DISPLAY, name=f"{self.name}: the sharp picture")
            if sharp.shape != restored.shape:
                raise InvalidValueError(
                    f"{self.name} compares images of one shape, got {list(restored.shape)} and {list(sharp.shape)}."
                )
        dtype = torch.promote_types(torch.promote_types(restored.dtype, sharp.dtype), torch.float32)
        with torch.no_grad(), torch.autocast(restored.device.type, enabled=False):
            values = self.measure(
                restored.to(dtype).clamp(0.0, 1.0), sharp.to(restored.device, dtype=dtype).clamp(0.0, 1.0)
            )
            return values.to(torch.float64)


def luma(picture: Tensor) -> Tensor:
    """``.299 R + .587 G + .114 B`` of encoded values (ITU-R BT.601), ``[B, 1, H, W]``."""
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=picture.dtype, device=picture.device)
    return (picture * weights.view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def _check(what: str, picture: Tensor) -> None:
    if picture.ndim != 4 or picture.shape[1] != 3 or not picture.is_floating_point():
        raise InvalidValueError(
            f"A metric takes floating-point tensors [B, 3, H, W] with values 0..1, got {picture.dtype} of shape "
            f"{list(picture.shape)} as {what}.",
            fix="Convert 8-bit codes with x / 255; repeat a gray image over three channels.",
        )
    if not bool(torch.isfinite(picture).all()):
        raise InvalidValueError(
            f"The {what} images contain NaN or infinite values.",
            why="Their score would be meaningless.",
            fix="Inspect the images; a network that produces NaN has diverged in training.",
        )
