"""DRUNet: a U-Net of residual blocks without normalization, and a small form of it that is fast on a CPU.

Source: K. Zhang, Y. Li, W. Zuo, L. Zhang, L. Van Gool and R. Timofte, "Plug-and-Play Image Restoration with Deep
Denoiser Prior", IEEE TPAMI 44(10), 2022. Pixel unshuffling: K. Zhang, W. Zuo and L. Zhang, "FFDNet: Toward a Fast and
Flexible Solution for CNN based Image Denoising", IEEE TIP 27(9), 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar, Self

import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from deblur_models.networks.network import Network, NetworkConfig
from deblur_models.networks.padding import PublishedPadding

__all__ = ["DRUNet", "DRUNetConfig"]


class DRUNetConfig(NetworkConfig):
    """DRUNet without its noise map; ``color`` has the published blocks and widths.

    ``small`` works at half size: every 2 x 2 pixels are 12 channels of one (pixel unshuffling), and it adds what it
    finds to its input, so that little blur needs little work. Of the networks here it learns most in a given time on a
    CPU, since all of its operations are plain 3 x 3 convolutions.

    Not modeled: the noise map, a fourth input channel of the published network, which takes the level of white noise.
    """

    sizes: ClassVar = {
        "color": {},
        "small": {"width": 32, "blocks": (1, 1, 2), "unshuffle": 2, "bias": True, "residual": True},
        "tiny": {"width": 16, "blocks": (1, 1), "unshuffle": 2, "bias": True, "residual": True},
    }

    width: int = Field(default=64, ge=4, le=512, description="channels of the first level; doubled at every level")
    blocks: tuple[int, ...] = Field(
        default=(4, 4, 4, 4), description="residual blocks of each level; the last one is passed once, the others twice"
    )
    unshuffle: int = Field(default=1, ge=1, le=4, description="side of the squares of pixels that become channels")
    bias: bool = Field(default=False, description="whether convolutions have a bias")
    residual: bool = Field(default=False, description="whether the output is added to the input")

    @model_validator(mode="after")
    def _check_blocks(self) -> Self:
        if len(self.blocks) < 2 or min(self.blocks) < 0:
            raise ValueError(f"blocks must be at least two numbers >= 0, one per level, got {self.blocks}.")
        return self

    @property
    def multiple_px(self) -> int:
        return int(self.unshuffle * 2 ** (len(self.blocks) - 1))

    @property
    def published_padding(self) -> PublishedPadding:
        return PublishedPadding("edge", self.multiple_px)  # forward in models/network_unet.py

    def build(self) -> DRUNet:
        return DRUNet(self)

    def from_original(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Without the weights of the noise map, which is the same as a level of 0."""
        head = state.get("m_head.weight")
        given = 3 * self.unshuffle**2
        return {**state, "m_head.weight": head[:, :given]} if head is not None and head.ndim == 4 else dict(state)


class DRUNet(Network):
    """See :class:`DRUNetConfig`. Names of weights are those of the published code."""

    config: DRUNetConfig

    def __init__(self, config: DRUNetConfig) -> None:
        super().__init__(config)
        widths = [config.width * 2**level for level in range(len(config.blocks))]
        channels = 3 * config.unshuffle**2
        bias = config.bias

        def blocks(level: int) -> list[nn.Module]:
            return [ResidualBlock(widths[level], bias=bias) for _ in range(config.blocks[level])]

        self.m_head = nn.Conv2d(channels, widths[0], 3, padding=1, bias=bias)
        for level, (fine, coarse) in enumerate(pairwise(widths)):
            down = nn.Conv2d(fine, coarse, 2, stride=2, bias=bias)
            up = nn.ConvTranspose2d(coarse, fine, 2, stride=2, bias=bias)
            self.add_module(f"m_down{level + 1}", nn.Sequential(*blocks(level), down))
            self.add_module(f"m_up{level + 1}", nn.Sequential(up, *blocks(level)))
        self.m_body = nn.Sequential(*blocks(len(widths) - 1))
        self.m_tail = nn.Conv2d(widths[0], channels, 3, padding=1, bias=bias)

    def restore(self, blurred: Tensor) -> tuple[Tensor, ...]:
        last = len(self.config.blocks) - 1
        features = [self.m_head(F.pixel_unshuffle(blurred, self.config.unshuffle))]
        for level in range(1, last + 1):
            features.append(self.get_submodule(f"m_down{level}")(features[-1]))
        inner = self.m_body(features[-1])
        for level in range(last, 0, -1):
            inner = self.get_submodule(f"m_up{level}")(inner + features[level])
        restored = F.pixel_shuffle(self.m_tail(inner + features[0]), self.config.unshuffle)
        return (blurred + restored if self.config.residual else restored,)


class ResidualBlock(nn.Module):
    """Two convolutions of 3 x 3 with a ReLU between them, added to the input."""

    def __init__(self, width: int, *, bias: bool) -> None:
        super().__init__()
        self.res = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=bias),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=bias),
        )

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = features + self.res(features)
        return result
