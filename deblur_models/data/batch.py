"""What one step of training sees."""

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
    """Pairs ``[B, 3, H, W]``, encoded, 0..1, with what is known of their blur.

    ``draws[b]`` is None for real pairs and for what a network blurred. ``geometry`` is a frame without meaning in its
    pixels, one picture per sample: it carries place in the full picture, camera, depth and labels, so that a draw can
    blur again; None where augmentation moved or corrupted pixels.
    """

    sharp: Tensor
    blurred: Tensor
    draws: tuple[Draw | None, ...]
    geometry: tuple[Frame | None, ...]
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return int(self.sharp.shape[0])

    def channels_last(self) -> Self:
        """The same pictures with their channels last in memory."""
        layout = torch.channels_last
        return replace(
            self,
            sharp=self.sharp.contiguous(memory_format=layout),
            blurred=self.blurred.contiguous(memory_format=layout),
        )

    def to(self, device: torch.device | str) -> Self:
        return replace(self, sharp=self.sharp.to(device), blurred=self.blurred.to(device))
