"""DBGAN: the deblurring network of Deblurring by Realistic Blurring, dense residual blocks at full size.

Source: K. Zhang, W. Luo, Y. Zhong, L. Ma, B. Stenger, W. Liu and H. Li, "Deblurring by Realistic Blurring", CVPR 2020;
blocks: X. Wang et al., "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks", ECCV Workshops 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from deblur_models.networks.network import Network, NetworkConfig, renamed

__all__ = ["DBGAN", "DBGANConfig", "DenseBlock", "conv"]


class DBGANConfig(NetworkConfig):
    """DBGAN's generator, the part that restores images; ``published`` is the size of the released weights.

    The output is clipped to 0..1 in training as well, as published, so pixels outside have no gradient. All layers work
    at full size, so memory and time are several times those of networks that downsample.

    Not modeled: its discriminator (a VGG with spectral norm for 128 px) and the learned blur of its training (see
    :mod:`~deblur_models.networks.bgan`).
    """

    multiple_px: ClassVar[int] = 1
    sizes: ClassVar = {"published": {}, "tiny": {"width": 16, "blocks": 2, "growth": 16}}

    width: int = Field(default=64, ge=2, le=512, description="channels between blocks")
    blocks: int = Field(default=16, ge=1, le=100, description="residual-in-residual blocks, each of three dense blocks")
    growth: int = Field(default=32, ge=1, le=256, description="channels that each layer of a dense block adds")

    def build(self) -> DBGAN:
        return DBGAN(self)

    def from_original(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """From the names of the released code, which counts layers: ``model.1.sub1.0.RDB1.conv1.0.weight``."""
        return renamed(
            state,
            (r"^model\.0\.", "intro."),
            (
                r"^model\.1\.sub1\.(\d+)\.RDB([123])\.conv([1-5])\.0\.",
                lambda m: f"blocks.{m[1]}.dense.{int(m[2]) - 1}.convs.{int(m[3]) - 1}.",
            ),
            (r"^model\.1\.sub2\.(0\.)?", "trunk."),
            (r"^model\.2\.", "last."),
            (r"^model\.4\.", "ending."),
        )


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
    """Residual in residual dense block: ``x + 0.2 y``, where y is the output of three dense blocks."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.dense = nn.Sequential(*(DenseBlock(width, growth) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.dense(x)
        return x + 0.2 * residual


class DenseBlock(nn.Module):
    """``x + 0.2 y``: y is the last of five convolutions, each of which gets all previous outputs; no normalization."""

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
