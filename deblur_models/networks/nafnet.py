"""NAFNet: a U-Net of blocks without nonlinear activations.

Source: L. Chen, X. Chu, X. Zhang and J. Sun, "Simple Baselines for Image Restoration", ECCV 2022; test-time
local conversion: X. Chu, L. Chen, C. Chen and X. Lu, "Improving Image Restoration by Revisiting Global Information
Aggregation", ECCV 2022.
"""

from __future__ import annotations

from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from deblur_models.networks.layers import LayerNorm2d, LocalPx, check_local_px, window_mean
from deblur_models.networks.network import Network, NetworkConfig
from deblur_models.networks.padding import PublishedPadding

__all__ = ["NAFNet", "NAFNetConfig"]


class NAFNetConfig(NetworkConfig):
    """NAFNet; ``32`` and ``64`` are the published widths for GoPro.

    Not modeled: dropout (published as 0).
    """

    sizes: ClassVar = {
        "32": {"width": 32},
        "64": {"width": 64},
        "tiny": {"width": 16, "encoder_blocks": (1, 1, 2), "middle_blocks": 2, "decoder_blocks": (1, 1, 1)},
    }

    width: int = Field(ge=4, le=512, multiple_of=2, description="channels at full size; doubled at every level")
    encoder_blocks: tuple[int, ...] = Field(default=(1, 1, 1, 28), description="blocks of each encoder level")
    middle_blocks: int = Field(default=1, ge=0, le=100, description="blocks of the lowest level")
    decoder_blocks: tuple[int, ...] = Field(default=(1, 1, 1, 1), description="blocks of each decoder level")
    local_px: LocalPx = 0

    @model_validator(mode="after")
    def _check_levels(self) -> Self:
        if len(self.encoder_blocks) != len(self.decoder_blocks) or not self.encoder_blocks:
            raise ValueError(
                "encoder_blocks and decoder_blocks must have one number per level each, got "
                f"{self.encoder_blocks} and {self.decoder_blocks}."
            )
        if min(*self.encoder_blocks, *self.decoder_blocks) < 0:
            raise ValueError(f"Block counts must be >= 0, got {self.encoder_blocks} and {self.decoder_blocks}.")
        check_local_px(self.local_px, self.multiple_px)
        return self

    @property
    def multiple_px(self) -> int:
        return int(2 ** len(self.encoder_blocks))

    @property
    def published_padding(self) -> PublishedPadding:
        return PublishedPadding("constant", self.multiple_px)  # check_image_size in NAFNet_arch.py

    def build(self) -> NAFNet:
        return NAFNet(self)


class NAFNet(Network):
    """See :class:`NAFNetConfig`. Names of weights are those of the published code, so its checkpoints fit unchanged."""

    config: NAFNetConfig

    def __init__(self, config: NAFNetConfig) -> None:
        super().__init__(config)
        levels = len(config.encoder_blocks)
        widths = [config.width * 2**level for level in range(levels + 1)]

        def blocks(number: int, level: int) -> nn.Sequential:
            local_px = config.local_px // 2**level
            return nn.Sequential(*(NAFBlock(widths[level], local_px) for _ in range(number)))

        self.intro = nn.Conv2d(3, config.width, 3, padding=1)
        self.ending = nn.Conv2d(config.width, 3, 3, padding=1)
        self.encoders = nn.ModuleList(blocks(n, level) for level, n in enumerate(config.encoder_blocks))
        self.downs = nn.ModuleList(nn.Conv2d(w, 2 * w, 2, stride=2) for w in widths[:-1])
        self.middle_blks = blocks(config.middle_blocks, levels)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(w, 2 * w, 1, bias=False), nn.PixelShuffle(2)) for w in reversed(widths[1:])
        )
        self.decoders = nn.ModuleList(blocks(n, levels - 1 - i) for i, n in enumerate(config.decoder_blocks))

    def restore(self, blurred: Tensor) -> tuple[Tensor, ...]:
        x = self.intro(blurred)
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.middle_blks(x)
        for up, decoder, skip in zip(self.ups, self.decoders, reversed(skips), strict=True):
            x = decoder(up(x) + skip)
        return (self.ending(x) + blurred,)


class NAFBlock(nn.Module):
    """A depthwise convolution with channel attention, then a gated pair of 1x1 convolutions; both residual and scaled.

    The product of the two halves of the channels (``SimpleGate``) replaces every nonlinearity.
    """

    def __init__(self, width: int, local_px: int) -> None:
        super().__init__()
        self.local_px = local_px
        self.conv1 = nn.Conv2d(width, 2 * width, 1)
        self.conv2 = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.conv3 = nn.Conv2d(width, width, 1)
        self.sca = nn.Sequential(
            nn.Identity(), nn.Conv2d(width, width, 1)
        )  # entry 0 is average pooling in the published code
        self.conv4 = nn.Conv2d(width, 2 * width, 1)
        self.conv5 = nn.Conv2d(width, width, 1)
        self.norm1 = LayerNorm2d(width)
        self.norm2 = LayerNorm2d(width)
        self.beta = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = gate(self.conv2(self.conv1(self.norm1(x))))
        average = window_mean(y, self.local_px) if self.local_px and not self.training else y.mean((2, 3), keepdim=True)
        x = x + self.beta * self.conv3(y * self.sca(average))
        scaled: Tensor = self.gamma * self.conv5(gate(self.conv4(self.norm2(x))))
        return x + scaled


def gate(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=1)
    return first * second
