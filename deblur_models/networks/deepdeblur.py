"""DeepDeblur: plain residual networks, one for each scale, from coarse to fine.

Source: S. Nah, T. H. Kim and K. M. Lee, "Deep Multi-scale Convolutional Neural Network for Dynamic Scene Deblurring",
CVPR 2017, in the form of the authors' later PyTorch release.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from deblur_models.networks.network import Network, NetworkConfig, ValueRange, renamed
from deblur_models.networks.padding import PublishedPadding

__all__ = ["DeepDeblur", "DeepDeblurConfig"]


class DeepDeblurConfig(NetworkConfig):
    """DeepDeblur; ``published`` is the PyTorch release (without ReLU after each block, which the paper removed, too).

    Not modeled: the adversarial loss of the first release (Torch 7), which has different weights.
    """

    kind: ClassVar[str] = "deepdeblur"
    sizes: ClassVar = {"published": {}, "tiny": {"width": 16, "blocks": 3}}
    value_range: ClassVar[ValueRange] = "centered_bytes"

    width: int = Field(default=64, ge=2, le=512, description="channels of every layer")
    blocks: int = Field(default=19, ge=0, le=200, description="residual blocks of each scale")
    levels: int = Field(default=3, ge=1, le=5, description="number of scales, each half the size of the previous one")

    @property
    def multiple_px(self) -> int:
        return int(2 ** (self.levels - 1))

    @property
    def scales(self) -> tuple[float, ...]:
        return tuple(0.5**level for level in range(self.levels))

    @property
    def published_padding(self) -> PublishedPadding:
        return PublishedPadding("edge", self.multiple_px)  # data/common.py of DeepDeblur-PyTorch

    def build(self) -> DeepDeblur:
        return DeepDeblur(self)

    def from_original(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """From the names of the PyTorch release (under ``G`` in its files): ``body_models.0.body.1.body.0``."""
        return renamed(
            state,
            (r"^body_models\.(\d+)\.body\.(\d+)", r"bodies.\1.\2"),
            (r"^conv_end_models\.(\d+)\.uppath\.0", lambda m: f"ups.{int(m[1]) - 1}.0"),
        )


class DeepDeblur(Network):
    """See :class:`DeepDeblurConfig`; ``bodies[0]`` works at full size."""

    config: DeepDeblurConfig

    def __init__(self, config: DeepDeblurConfig) -> None:
        super().__init__(config)

        def body(channels: int) -> nn.Sequential:
            return nn.Sequential(
                conv(channels, config.width),
                *(ResBlock(config.width) for _ in range(config.blocks)),
                conv(config.width, 3),
            )

        # The coarsest gets only the image; the others also get the coarser result.
        self.bodies = nn.ModuleList(body(3 if level == config.levels - 1 else 6) for level in range(config.levels))
        self.ups = nn.ModuleList(nn.Sequential(conv(3, 12), nn.PixelShuffle(2)) for _ in range(config.levels - 1))

    def restore(self, blurred: Tensor) -> tuple[Tensor, ...]:
        pictures = pyramid(blurred, self.config.levels)
        outputs: list[Tensor] = []
        for level in reversed(range(self.config.levels)):
            seen = pictures[level]
            if outputs:
                seen = torch.cat((seen, self.ups[level](outputs[-1])), 1)
            outputs.append(self.bodies[level](seen))
        return tuple(reversed(outputs))

    def targets(self, sharp: Tensor) -> tuple[Tensor, ...]:
        """The Gaussian pyramid of the sharp image, computed like that of the blurred one."""
        return pyramid(sharp, self.config.levels)


class ResBlock(nn.Module):
    """``x + conv(relu(conv(x)))``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(width, width), nn.ReLU(), conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.body(x)
        return x + residual


def conv(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 5, padding=2)


def pyramid(picture: Tensor, levels: int) -> tuple[Tensor, ...]:
    """The image at full size, half size and so on, smoothed before each subsampling."""
    pictures = [picture]
    for _ in range(levels - 1):
        pictures.append(halve(pictures[-1]))
    return tuple(pictures)


def halving_weights() -> Tensor:
    """A Gaussian with a standard deviation of 2/3 px, cut at 3 px, convolved with a mean of two: 8 weights, sum 1."""
    gaussian = np.exp(-0.5 * (np.arange(-3, 4) / (2 / 3)) ** 2)
    return torch.from_numpy(np.convolve(gaussian / gaussian.sum(), [0.5, 0.5]).astype(np.float32))


def halve(picture: Tensor) -> Tensor:
    """One step of a Gaussian pyramid, ``[..., H, W]`` to ``[..., ceil(H / 2), ceil(W / 2)]``; the edge is mirrored.

    Equal to ``skimage.transform.pyramid_reduce`` for even sides. Odd sides are first extended by a mirrored row or
    column (that function stretches instead). Implemented as sums, since a convolution would use half precision under
    autocast.
    """
    weights = halving_weights().to(picture)
    for dim in (-2, -1):
        side = picture.shape[dim]
        center = torch.arange(side + side % 2 + 6, device=picture.device).float() - 2.5
        for _ in range(2):  # twice for sides below 4 px; without a modulo, which graphs of any size do not have
            center = side - (side - center.abs()).abs()
        mirrored = picture.index_select(dim, center.long())
        phases = [mirrored[..., k::2, :] if dim == -2 else mirrored[..., k::2] for k in (0, 1)]
        length = phases[0].shape[dim] - 3
        taps = [phases[k % 2].narrow(dim, k // 2, length) * weight for k, weight in enumerate(weights)]
        picture = torch.stack(taps).sum(0)
    return picture
