"""BGAN: a network that learns to blur, from the same paper as DBGAN. A reconstruction: there is no official code.

Source: K. Zhang, W. Luo, Y. Zhong, L. Ma, B. Stenger, W. Liu and H. Li, "Deblurring by Realistic Blurring", CVPR 2020.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from deblur_models.networks.blur_generator import BlurGenerator, BlurGeneratorConfig
from deblur_models.networks.dbgan import DenseBlock, conv

__all__ = ["BGAN", "BGANConfig"]


class BGANConfig(BlurGeneratorConfig):
    """BGAN's generator: maps a sharp image and a few random numbers to a blurred image.

    No official code or weights were published, so this cannot be compared with an original, and ``paper`` is the size
    stated in the paper, not a measured number of weights.

    From the paper: the random numbers are a 4-vector of N(0, 1), tiled to four planes that are concatenated with the
    sharp image; one convolution, nine residual blocks of five convolutions and four rectifiers, two convolutions, all
    3 x 3 with 64 channels; a shortcut from input to output image.

    Reconstructed: the blocks are dense with a growth of 32, and the output is clipped to 0..1, both as in the released
    code of DBGAN, whose generator is described as similar; rectifiers are leaky with slope .2; no normalization.

    Not modeled: anything physical. Its blur cannot be replayed from a record and has no known kernel.
    """

    sizes: ClassVar = {"paper": {}, "tiny": {"width": 16, "blocks": 2, "growth": 8}}

    width: int = Field(default=64, ge=2, le=512, description="channels between blocks")
    blocks: int = Field(default=9, ge=1, le=100, description="residual blocks")
    growth: int = Field(default=32, ge=1, le=256, description="channels that each layer of a block adds")

    def build(self) -> BGAN:
        return BGAN(self)


class BGAN(BlurGenerator):
    """See :class:`BGANConfig`."""

    def __init__(self, config: BGANConfig) -> None:
        super().__init__(config)
        self.intro = conv(3 + config.noise_numbers, config.width)
        self.blocks = nn.Sequential(*(DenseBlock(config.width, config.growth) for _ in range(config.blocks)))
        self.last = conv(config.width, config.width)
        self.ending = conv(config.width, 3)

    def blur(self, sharp: Tensor, noise: Tensor) -> Tensor:
        planes = noise[:, :, None, None].expand(-1, -1, *sharp.shape[-2:])
        x = self.blocks(self.intro(torch.cat((sharp, planes.to(sharp)), 1)))
        blurred: Tensor = sharp + self.ending(F.leaky_relu(self.last(x), 0.2))
        return blurred.clamp(0.0, 1.0)
