"""NAFNet: a U-Net of blocks without nonlinear activations.

Source: L. Chen, X. Chu, X. Zhang and J. Sun, "Simple Baselines for Image Restoration", ECCV 2022; test-time
local conversion: X. Chu, L. Chen, C. Chen and X. Lu, "Improving Image Restoration by Revisiting Global Information
Aggregation", ECCV 2022.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from deblur_models.networks.layers import LayerNorm2d
from deblur_models.networks.network import Network, NetworkConfig

__all__ = ["NAFNet", "NAFNetConfig"]


class NAFNetConfig(NetworkConfig):
    """NAFNet; ``32`` and ``64`` are the published widths for GoPro.

    Not modelled: dropout (published as 0).
    """

    sizes: ClassVar = {
        "32": {"width": 32},
        "64": {"width": 64},
        "tiny": {"width": 16, "encoder_blocks": (1, 1, 2), "middle_blocks": 2, "decoder_blocks": (1, 1, 1)},
    }

    width: int = Field(ge=4, le=512, multiple_of=2, description="channels at full size; doubled at every level")
    encoder_blocks: tuple[int, ...] = Field(default=(1, 1, 1, 28), description="blocks of each level going down")
    middle_blocks: int = Field(default=1, ge=0, le=100, description="blocks of the lowest level")
    decoder_blocks: tuple[int, ...] = Field(default=(1, 1, 1, 1), description="blocks of each level going up")
    local_px: int = Field(
        default=0,
        ge=0,
        le=4096,
        description="side in px of the window that channel attention averages over in use (published 384: training "
        "patches of 256 times 1.5); 0 averages over the whole picture, so that results depend on its size",
    )

    @property
    def multiple_px(self) -> int:
        return int(2 ** len(self.encoder_blocks))

    def build(self) -> NAFNet:
        return NAFNet(self)


class NAFNet(Network):
    """See :class:`NAFNetConfig`. Names of weights are the published code's, so its checkpoints fit as they are."""

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
    """Depthwise convolution with channel attention, then a gated 1x1 pair; both residual and scaled.

    ``SimpleGate``: the product of the two halves of the channels stands in for every nonlinearity.
    """

    def __init__(self, width: int, local_px: int) -> None:
        super().__init__()
        self.local_px = local_px
        self.conv1 = nn.Conv2d(width, 2 * width, 1)
        self.conv2 = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.conv3 = nn.Conv2d(width, width, 1)
        self.sca = nn.Sequential(nn.Identity(), nn.Conv2d(width, width, 1))  # place 0 was the average pooling
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


def window_mean(x: Tensor, window_px: int) -> Tensor:
    """The mean over a square window around every pixel, ``[B, C, H, W]`` or ``[B, C, 1, 1]`` where it covers all.

    Windows that would leave the picture are shifted inwards (their mean is that of the nearest window inside), as in
    the published conversion. Sums run in float64: running sums in float32 lose what attention needs.
    """
    height, width = x.shape[-2:]
    rows, columns = min(window_px, height), min(window_px, width)
    if (rows, columns) == (height, width):
        return x.mean((2, 3), keepdim=True)
    sums = F.pad(x.double().cumsum(-1).cumsum(-2), (1, 0, 1, 0))
    strips = sums[..., rows:, :] - sums[..., :-rows, :]
    means = (strips[..., columns:] - strips[..., :-columns]) / (rows * columns)
    above, before = (rows - 1) // 2, (columns - 1) // 2
    missing = (before, width - means.shape[-1] - before, above, height - means.shape[-2] - above)
    return F.pad(means.to(x.dtype), missing, mode="replicate")
