"""U-Net with squeeze-and-excitation on its skip connections and CBAM in its blocks.

Source of the parts: O. Ronneberger, P. Fischer and T. Brox, "U-Net", MICCAI 2015; J. Hu, L. Shen and G. Sun,
"Squeeze-and-Excitation Networks", CVPR 2018; S. Woo, J. Park, J.-Y. Lee and I. S. Kweon, "CBAM: Convolutional Block
Attention Module", ECCV 2018. The combination is specific to this library; there are no published weights.
"""

from __future__ import annotations

from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from deblur_models.networks.network import Network, NetworkConfig

__all__ = ["AttentionUNet", "AttentionUNetConfig"]


class AttentionUNetConfig(NetworkConfig):
    """A U-Net of residual blocks, each ``x + CBAM(conv(relu(conv x)))``, with channel attention on skip connections.

    It predicts the difference from the blurred image. There is no normalization, which would make the result depend on
    the statistics of the image, but attention averages over the whole image, so results depend slightly on its size.

    Not to be confused with "Attention U-Net" (Oktay et al., 2018), which gates skip connections by the level below;
    here each one is weighted by its own features only.

    Not modeled: attention over windows, batch normalization in CBAM.
    """

    sees_everything: ClassVar[bool] = True
    sizes: ClassVar = {
        "base": {"width": 48, "blocks": 2},
        "tiny": {"width": 16, "blocks": 1, "levels": 3},
    }

    width: int = Field(ge=4, le=512, multiple_of=2, description="channels at full size; doubled at every level")
    levels: int = Field(default=4, ge=2, le=7, description="number of levels, including full size")
    blocks: int = Field(default=2, ge=1, le=100, description="residual blocks of each level, going down and going up")
    reduction: int = Field(default=16, ge=1, le=512, description="channels per hidden unit of channel attention")
    window_px: int = Field(default=7, ge=1, le=31, description="side of spatial attention's convolution, odd")

    @model_validator(mode="after")
    def _check_attention(self) -> Self:
        if self.reduction > self.width:
            raise ValueError(
                f"reduction must be at most width, got reduction {self.reduction} and width {self.width}. "
                "Channel attention would have no hidden unit at full size."
            )
        if self.window_px % 2 == 0:
            raise ValueError(f"window_px must be odd, got {self.window_px}. An even window has no center pixel.")
        return self

    @property
    def multiple_px(self) -> int:
        return int(2 ** (self.levels - 1))

    def build(self) -> AttentionUNet:
        return AttentionUNet(self)


class AttentionUNet(Network):
    """See :class:`AttentionUNetConfig`."""

    config: AttentionUNetConfig

    def __init__(self, config: AttentionUNetConfig) -> None:
        super().__init__(config)
        widths = [config.width * 2**level for level in range(config.levels)]

        def blocks(channels: int) -> nn.Sequential:
            return nn.Sequential(*(Block(channels, config.reduction, config.window_px) for _ in range(config.blocks)))

        self.first = nn.Conv2d(3, config.width, 3, padding=1)
        self.encoders = nn.ModuleList(blocks(w) for w in widths[:-1])
        self.downs = nn.ModuleList(nn.Conv2d(w, 2 * w, 2, stride=2) for w in widths[:-1])
        self.bottom = blocks(widths[-1])
        self.skips = nn.ModuleList(SqueezeExcitation(w, config.reduction) for w in reversed(widths[:-1]))
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * w, 4 * w, 1), nn.PixelShuffle(2)) for w in reversed(widths[:-1])
        )
        self.joins = nn.ModuleList(nn.Conv2d(2 * w, w, 1) for w in reversed(widths[:-1]))
        self.decoders = nn.ModuleList(blocks(w) for w in reversed(widths[:-1]))
        self.last = nn.Conv2d(config.width, 3, 3, padding=1)
        for parameter in self.last.parameters():  # training starts from the identity
            nn.init.zeros_(parameter)

    def restore(self, blurred: Tensor) -> tuple[Tensor, ...]:
        x = self.first(blurred)
        encoded = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            encoded.append(x)
            x = down(x)
        x = self.bottom(x)
        levels = zip(self.ups, self.skips, self.joins, self.decoders, reversed(encoded), strict=True)
        for up, skip, join, decoder, features in levels:
            x = decoder(join(torch.cat((up(x), skip(features)), dim=1)))
        return (blurred + self.last(x),)


class Block(nn.Module):
    """``x + CBAM(conv(relu(conv x)))``"""

    def __init__(self, channels: int, reduction: int, window_px: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.attention = ConvolutionalBlockAttention(channels, reduction, window_px)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.attention(self.conv2(torch.relu(self.conv1(x))))
        return y


class SqueezeExcitation(nn.Module):
    """Scales each channel by ``sigmoid(W2 relu(W1 m))``, where ``m`` are the means of the channels over the image."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.weigh = two_layers(channels, reduction)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x * torch.sigmoid(self.weigh(x.mean((2, 3), keepdim=True)))
        return y


class ConvolutionalBlockAttention(nn.Module):
    """CBAM: channel attention, then spatial attention.

    Channels are scaled by ``sigmoid(mlp(means) + mlp(maxima))``, with means and maxima over the image and a shared
    ``mlp``; then pixels by ``sigmoid(conv([mean, maximum]))``, with mean and maximum over the channels.
    """

    def __init__(self, channels: int, reduction: int, window_px: int) -> None:
        super().__init__()
        self.weigh_channels = two_layers(channels, reduction)
        self.weigh_pixels = nn.Conv2d(2, 1, window_px, padding=window_px // 2)

    def forward(self, x: Tensor) -> Tensor:
        # Side by side through the same perceptron, [B, C, 1, 2]
        statistics = torch.cat((x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)), -1)
        x = x * torch.sigmoid(self.weigh_channels(statistics).sum(-1, keepdim=True))
        seen = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), dim=1)
        y: Tensor = x * torch.sigmoid(self.weigh_pixels(seen))
        return y


def two_layers(channels: int, reduction: int) -> nn.Sequential:
    """The perceptron of channel attention, as 1x1 convolutions on ``[B, C, 1, 1]``."""
    hidden = channels // reduction
    return nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))
