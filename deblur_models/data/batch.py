"""The batch of a training step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from blursynth.core import Draw
from blursynth.frame import Frame

__all__ = ["Batch"]


@dataclass(frozen=True, eq=False)
class Batch:
    """Pairs ``[B, 3, H, W]``, encoded, 0..1, with the known properties of their blur.

    ``draws[b]`` is None for real pairs and for images blurred by a network. ``geometry`` is a frame per sample whose
    pixels have no meaning: it carries position in the full image, camera, depth and labels, so that a draw can be
    applied again; None if augmentation moved or corrupted pixels.
    """

    sharp: Tensor
    blurred: Tensor
    draws: tuple[Draw | None, ...]
    geometry: tuple[Frame | None, ...]
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return int(self.sharp.shape[0])

    def channels_last(self) -> Self:
        """The same images in channels-last memory format."""
        layout = torch.channels_last
        return replace(
            self,
            sharp=self.sharp.contiguous(memory_format=layout),
            blurred=self.blurred.contiguous(memory_format=layout),
        )

    def to(self, device: torch.device | str) -> Self:
        return replace(self, sharp=self.sharp.to(device), blurred=self.blurred.to(device))
