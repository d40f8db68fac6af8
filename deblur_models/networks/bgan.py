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
    """BGAN's generator: a sharp picture and a few random numbers to a blurred picture.

    No official code or weights of it were ever published, so that nothing here can be held against an original and
    ``paper`` is the paper's size, not a count of weights that somebody measured.

    From the paper: the random numbers are a 4-vector of N(0, 1), tiled to four planes beside the sharp picture; one
    convolution, nine residual blocks of five convolutions and four rectifiers, two convolutions, all 3 x 3 with 64
    channels; a shortcut from picture to picture.

    Reconstructed: the blocks are dense ones with a growth of 32 and the shortcut ends in a cut to 0..1, both as in the
    released code of DBGAN, whose generator is described as similar; rectifiers are leaky with .2; no normalization.

    Not modeled: anything physical. What it draws cannot be replayed as a record, and its blur has no known kernel.
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
