"""HINet: two consecutive U-Nets whose encoders normalize half of their channels.

Source: L. Chen, X. Lu, J. Zhang, X. Chu and C. Chen, "HINet: Half Instance Normalization Network for Image
Restoration", CVPR Workshops 2021; supervised attention and fusion across stages: S. W. Zamir et al., "Multi-Stage
Progressive Image Restoration", CVPR 2021; test-time local conversion: X. Chu, L. Chen, C. Chen and X. Lu, "Improving
Image Restoration by Revisiting Global Information Aggregation", ECCV 2022.
"""

from __future__ import annotations

from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from deblur_models.networks.layers import LocalPx, check_local_px, window_mean
from deblur_models.networks.network import Network, NetworkConfig

__all__ = ["HINet", "HINetConfig"]

SLOPE = 0.2
"""Slope of the leaky rectifiers for negative values."""


class HINetConfig(NetworkConfig):
    """HINet; ``64`` is published for GoPro and REDS, ``32`` ("0.5x") for the noise of SIDD.

    The two outputs are those of the second and of the first U-Net, both at full size; the published loss is the sum
    over both. Published results on GoPro were measured on tiles of 256 px, since the statistics of instance
    normalization depend on the image size; ``local_px = 384`` is the published remedy.
    """

    scales: ClassVar[tuple[float, ...]] = (1.0, 1.0)
    sizes: ClassVar = {
        "64": {"width": 64},
        "32": {"width": 32, "normalized_levels": (0, 1, 2, 3, 4)},
        "tiny": {"width": 8, "levels": 4, "normalized_levels": (2, 3)},
    }

    width: int = Field(ge=2, le=512, multiple_of=2, description="channels at full size; doubled at every level")
    levels: int = Field(default=5, ge=2, le=7, description="number of levels of each U-Net, including full size")
    normalized_levels: tuple[int, ...] = Field(
        default=(3, 4), description="levels of the encoders, 0 at full size, that normalize half of their channels"
    )
    local_px: LocalPx = 0

    @model_validator(mode="after")
    def _check_levels(self) -> Self:
        wrong = [level for level in self.normalized_levels if not 0 <= level < self.levels]
        if wrong:
            raise ValueError(
                f"normalized_levels must be within 0..{self.levels - 1}, got {wrong}. "
                f"There are {self.levels} levels; 0 is full size."
            )
        check_local_px(self.local_px, self.multiple_px)
        return self

    @property
    def multiple_px(self) -> int:
        return int(2 ** (self.levels - 1))

    def build(self) -> HINet:
        return HINet(self)


class HINet(Network):
    """See :class:`HINetConfig`. Names of weights are those of the published code, so its checkpoints fit unchanged."""

    config: HINetConfig

    def __init__(self, config: HINetConfig) -> None:
        super().__init__(config)
        width = config.width
        widths = [width * 2**level for level in range(config.levels)]

        def encoder(*, fuses: bool) -> nn.ModuleList:
            return nn.ModuleList(
                Block(
                    widths[max(level - 1, 0)],
                    channels,
                    normalized=level in config.normalized_levels,
                    local_px=config.local_px // 2**level,
                    fuses=fuses and level + 1 < config.levels,
                    shrinks=level + 1 < config.levels,
                )
                for level, channels in enumerate(widths)
            )

        def decoder() -> nn.ModuleList:
            return nn.ModuleList(UpBlock(2 * channels, channels) for channels in reversed(widths[:-1]))

        def skips() -> nn.ModuleList:
            return nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for channels in reversed(widths[:-1]))

        self.conv_01 = nn.Conv2d(3, width, 3, padding=1)
        self.down_path_1, self.skip_conv_1, self.up_path_1 = encoder(fuses=False), skips(), decoder()
        self.sam12 = SupervisedAttention(width)
        self.conv_02 = nn.Conv2d(3, width, 3, padding=1)
        self.cat12 = nn.Conv2d(2 * width, width, 1)
        self.down_path_2, self.skip_conv_2, self.up_path_2 = encoder(fuses=True), skips(), decoder()
        self.last = nn.Conv2d(width, 3, 3, padding=1)

    def restore(self, blurred: Tensor) -> tuple[Tensor, ...]:
        x = self.conv_01(blurred)
        encoded: list[Tensor] = []  # from full size down
        for block in self.down_path_1[:-1]:
            x, seen = block(x)
            encoded.append(seen)
        x, _ = self.down_path_1[-1](x)
        decoded: list[Tensor] = []  # from the smallest up
        for up, skip, seen in zip(self.up_path_1, self.skip_conv_1, reversed(encoded), strict=True):
            x = up(x, skip(seen))
            decoded.append(x)
        attended, first = self.sam12(x, blurred)

        x = self.cat12(torch.cat((self.conv_02(blurred), attended), dim=1))
        seen_again: list[Tensor] = []
        for block, *earlier in zip(self.down_path_2[:-1], encoded, reversed(decoded), strict=True):
            x, seen = block(x, *earlier)
            seen_again.append(seen)
        x, _ = self.down_path_2[-1](x)
        for up, skip, seen in zip(self.up_path_2, self.skip_conv_2, reversed(seen_again), strict=True):
            x = up(x, skip(seen))
        return self.last(x) + blurred, first


class Block(nn.Module):
    """Two convolutions parallel to a 1x1 one: ``lrelu(conv(lrelu(half_norm(conv x)))) + conv1x1 x``.

    ``fuses``: adds the features of encoder and decoder of the first U-Net at its level (cross-stage feature fusion,
    CSFF). It returns the input of the next level, at half the size with ``shrinks``, and that of the skip connection.
    """

    def __init__(
        self,
        before: int,
        channels: int,
        *,
        normalized: bool = False,
        local_px: int = 0,
        fuses: bool = False,
        shrinks: bool = False,
    ) -> None:
        super().__init__()
        self.fuses = fuses
        self.identity = nn.Conv2d(before, channels, 1)
        self.conv_1 = nn.Conv2d(before, channels, 3, padding=1)
        self.norm = HalfInstanceNorm(channels, local_px) if normalized else nn.Identity()
        self.conv_2 = nn.Conv2d(channels, channels, 3, padding=1)
        if fuses:
            self.csff_enc = nn.Conv2d(channels, channels, 3, padding=1)
            self.csff_dec = nn.Conv2d(channels, channels, 3, padding=1)
        self.downsample = (
            nn.Conv2d(channels, channels, 4, stride=2, padding=1, bias=False) if shrinks else nn.Identity()
        )

    def forward(self, x: Tensor, encoded: Tensor | None = None, decoded: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y = F.leaky_relu(self.norm(self.conv_1(x)), SLOPE)
        y = F.leaky_relu(self.conv_2(y), SLOPE) + self.identity(x)
        if self.fuses:
            y = y + self.csff_enc(encoded) + self.csff_dec(decoded)
        return self.downsample(y), y


class HalfInstanceNorm(nn.Module):
    """Normalizes the first half of the channels by the mean and variance of each image, and keeps the other half.

    ``nn.InstanceNorm2d`` would reject a plane of one pixel, as the lowest level of a small image; here its variance is
    0 and the output is the bias. With ``local_px``, statistics at inference are those of the window around each pixel.
    """

    epsilon = 1e-5

    def __init__(self, channels: int, local_px: int) -> None:
        super().__init__()
        self.local_px = local_px
        self.weight = nn.Parameter(torch.ones(channels // 2))
        self.bias = nn.Parameter(torch.zeros(channels // 2))

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        if self.local_px and not self.training:
            # float64: the variance is a difference of large numbers.
            y = first.double()
            mean = window_mean(y, self.local_px)
            variance = window_mean(y * y, self.local_px) - mean * mean
            y = ((y - mean) * torch.rsqrt(variance + self.epsilon)).to(x.dtype)
            y = y * self.weight[:, None, None] + self.bias[:, None, None]
        else:
            y = torch.instance_norm(first, self.weight, self.bias, None, None, True, 0.0, self.epsilon, True)
        return torch.cat((y, second), dim=1)


class UpBlock(nn.Module):
    """Doubles the size, concatenates the skip connection, and applies one :class:`Block`."""

    def __init__(self, before: int, channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(before, channels, 2, stride=2)
        self.conv_block = Block(2 * channels, channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        y: Tensor = self.conv_block(torch.cat((self.up(x), skip), dim=1))[1]
        return y


class SupervisedAttention(nn.Module):
    """Returns features weighted by an image computed from them, and that image (SAM).

    ``picture = blurred + conv x``; ``features = x + conv x * sigmoid(conv picture)``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, 3, 3, padding=1)
        self.conv3 = nn.Conv2d(3, channels, 3, padding=1)

    def forward(self, x: Tensor, blurred: Tensor) -> tuple[Tensor, Tensor]:
        picture = self.conv2(x) + blurred
        return x + self.conv1(x) * torch.sigmoid(self.conv3(picture)), picture
