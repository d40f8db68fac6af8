"""Layers that more than one architecture uses."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["LayerNorm2d"]


class LayerNorm2d(nn.Module):
    """Normalises the channels of every pixel: ``(x - mean) / sqrt(variance + epsilon) * weight + bias``.

    Statistics are taken in float32 whatever autocast chose, since the variance of small numbers underflows in half
    precision.
    """

    def __init__(self, channels: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        variance, mean = torch.var_mean(y, dim=1, keepdim=True, correction=0)
        y = (y - mean) * torch.rsqrt(variance + self.epsilon)
        return (y.to(x.dtype)) * self.weight[:, None, None] + self.bias[:, None, None]
