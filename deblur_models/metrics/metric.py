"""What all metrics share."""

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
    """How good restored pictures are: called with ``[B, 3, H, W]`` in 0..1, gives one float64 number per picture.

    Values outside 0..1 are cut first, as they are where pictures are written; nothing is rounded unless
    ``protocol`` says so. For training, where derivatives are wanted, see the losses. Subclasses write :meth:`measure`.
    """

    higher_is_better: ClassVar[bool] = True
    needs_sharp: ClassVar[bool] = True
    """Whether a sharp picture is compared with (a full-reference metric)."""

    @property
    def name(self) -> str:
        """What stands in reports; metrics of one kind whose numbers do not compare have different names."""
        return self.kind

    @property
    def better(self) -> Better:
        return "higher" if self.higher_is_better else "lower"

    @property
    @abstractmethod
    def protocol(self) -> str:
        """One line that says exactly what is computed, to stand beside the numbers."""

    @abstractmethod
    def measure(self, restored: Tensor, sharp: Tensor) -> Tensor:
        """``[B]`` of checked pictures in 0..1; ``sharp`` is ``restored`` where the metric needs none."""

    def check_ready(self) -> None:
        """Raises an error where something that the metric needs (a weights file) is missing, before any work starts."""

    def __call__(self, restored: Tensor, sharp: Tensor | None = None) -> Tensor:
        """The value of each picture, ``[B]`` float64 on the device of ``restored``.

        Raises
        ------
        InvalidValueError
            Not floating ``[B, 3, H, W]`` pictures of one shape with finite values, sharp ones far outside 0..1, or no
            sharp pictures where the metric needs them.
        """
        _check("restored", restored)
        if not self.needs_sharp:
            sharp = restored
        elif sharp is None:
            raise InvalidValueError(f"{self.name} compares with sharp pictures, got none.")
        else:
            _check("sharp", sharp)
            # What is restored may be anything and is cut to 0..1; the truth of 0..255 would be cut to white.
            check_values(sharp, Encoding.DISPLAY, name=f"{self.name}: the sharp picture")
            if sharp.shape != restored.shape:
                raise InvalidValueError(
                    f"{self.name} compares pictures of one shape, got {list(restored.shape)} and {list(sharp.shape)}."
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
            f"A metric takes floating tensors [B, 3, H, W] with values 0..1, got {picture.dtype} of shape "
            f"{list(picture.shape)} as {what}.",
            fix="Turn codes into numbers with x / 255; repeat a gray picture over three channels.",
        )
    if not bool(torch.isfinite(picture).all()):
        raise InvalidValueError(
            f"The {what} pictures hold values that are not finite.",
            why="Their score would mean nothing.",
            fix="Look at the pictures; a network that gives NaN has diverged in training.",
        )
