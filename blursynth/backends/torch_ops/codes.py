"""Values 0..1 of display pictures to 8-bit codes and back, for tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blursynth.backends import cpu
from blursynth.backends.torch_ops.tensors import as_array

__all__ = ["from_codes", "to_codes"]


def to_codes(image: torch.Tensor) -> NDArray[np.uint8]:
    """Codes ``round(255 x)``, clipped to 0..255, of the same shape: an array, since codecs and files are on the CPU."""
    return cpu.to_codes(as_array(image))


def from_codes(codes: NDArray[np.uint8], dtype: Any = torch.float32, device: Any = "cpu") -> torch.Tensor:
    """Values ``k / 255`` of codes as a tensor."""
    kind = np.float64 if dtype == torch.float64 else np.float32
    return torch.from_numpy(cpu.from_codes(codes, kind)).to(device)
