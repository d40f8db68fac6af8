"""Values 0..1 of display pictures to 8-bit codes and back, for tensors.

Codecs and files are on the CPU. Codes are moved between it and a device, not values: a quarter of the bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blursynth.backends.cpu import codes as on_cpu
from blursynth.backends.torch.tensors import as_array

__all__ = ["codes_there", "from_codes", "to_codes", "values_there"]


def codes_there(image: torch.Tensor) -> torch.Tensor:
    """The codes on the picture's own device; 0 where a value is not finite."""
    return torch.round(image.detach() * 255).nan_to_num(0.0, 0.0, 0.0).clamp(0, 255).to(torch.uint8)


def values_there(codes: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return codes.to(dtype) / 255


def to_codes(image: torch.Tensor) -> NDArray[np.uint8]:
    """Codes ``round(255 x)``, clipped to 0..255: an array, since codecs and files are on the CPU."""
    if image.device.type == "cpu" or not bool(torch.isfinite(image).all()):  # the CPU's kernel raises the error
        return on_cpu.to_codes(as_array(image))
    return as_array(codes_there(image))


def from_codes(codes: NDArray[np.uint8], dtype: Any = torch.float32, device: Any = "cpu") -> torch.Tensor:
    """Values ``k / 255`` of codes as a tensor."""
    if torch.device(device).type == "cpu":
        return torch.from_numpy(on_cpu.from_codes(codes, np.float64 if dtype == torch.float64 else np.float32))
    return values_there(torch.from_numpy(np.ascontiguousarray(codes)).to(device), dtype)
