"""DBGAN: the deblurring network of Deblurring by Realistic Blurring, dense residual blocks at full size.

Source: K. Zhang, W. Luo, Y. Zhong, L. Ma, B. Stenger, W. Liu and H. Li, "Deblurring by Realistic Blurring", CVPR 2020;
blocks: X. Wang et al., "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks", ECCV Workshops 2018.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from deblur_models.networks.network import Network, NetworkConfig

__all__ = ["DBGAN", "DBGANConfig", "DenseBlock", "conv"]


class DBGANConfig(NetworkConfig):
    """DBGAN's generator, which is what restores; ``published`` is the size of the released weights.

    The result is cut to 0..1 in training as well, as published, so that pixels outside give no gradient. It works at
    full size throughout: memory and time are several times those of networks that go down.

    Not modeled: its discriminator (a VGG with spectral norm for 128 px), the learned blur it was trained on (see
    :mod:`~deblur_models.networks.bgan`).
    """

    sizes: ClassVar = {"published": {}, "tiny": {"width": 16, "blocks": 2, "growth": 16}}

    width: int = Field(default=64, ge=2, le=512, description="channels between blocks")
    blocks: int = Field(default=16, ge=1, le=100, description="residual-in-residual blocks, each of three dense blocks")
    growth: int = Field(default=32, ge=1, le=256, description="channels that each layer of a dense block adds")

    @property
    def multiple_px(self) -> int:
        return 1

    def build(self) -> DBGAN:
        return DBGAN(self)

    def from_original(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """From the names of the released code, which counts layers: ``model.1.sub1.0.RDB1.conv1.0.weight``."""
        ours = {}
        for name, value in state.items():
            new = re.sub(r"^model\.0\.", "intro.", name)
            new = re.sub(r"^model\.1\.sub1\.(\d+)\.RDB([123])\.conv([1-5])\.0\.", number_blocks, new)
            new = re.sub(r"^model\.1\.sub2\.(0\.)?", "trunk.", new)
            new = re.sub(r"^model\.2\.", "last.", new)
            ours[re.sub(r"^model\.4\.", "ending.", new)] = value
        return ours


def number_blocks(known: re.Match[str]) -> str:
    return f"blocks.{known[1]}.dense.{int(known[2]) - 1}.convs.{int(known[3]) - 1}."


class DBGAN(Network):
    """See :class:`DBGANConfig`."""

    config: DBGANConfig

    def __init__(self, config: DBGANConfig) -> None:
        super().__init__(config)
        self.intro = conv(3, config.width)
        self.blocks = nn.Sequential(*(RRDB(config.width, config.growth) for _ in range(config.blocks)))
        self.trunk = conv(config.width, config.width)
        self.last = conv(config.width, config.width)
        self.ending = conv(config.width, 3)

    def restore(self, blurred: Tensor) -> tuple[Tensor, ...]:
        x = self.intro(blurred)
        x = x + self.trunk(self.blocks(x))
        return ((blurred + self.ending(F.leaky_relu(self.last(x), 0.2))).clamp(0.0, 1.0),)


class RRDB(nn.Module):
    """Residual in residual dense block: three dense blocks; a fifth of what they give is added."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.dense = nn.Sequential(*(DenseBlock(width, growth) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.dense(x)
        return x + 0.2 * residual


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees all before it; a fifth of the last one is added. No normalization."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(conv(width + i * growth, growth if i < 4 else width) for i in range(5))

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        for layer in self.convs[:-1]:
            seen = torch.cat((seen, F.leaky_relu(layer(seen), 0.2)), 1)
        residual: Tensor = self.convs[-1](seen)
        return x + 0.2 * residual


def conv(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1)
