"""DeblurGAN's generator, also used by CycleGAN: downsampling, residual blocks, upsampling.

Source: O. Kupyn, V. Budzan, M. Mykhailych, D. Mishkin and J. Matas, "DeblurGAN: Blind Motion Deblurring Using
Conditional Adversarial Networks", CVPR 2018; the generator is that of J. Johnson, A. Alahi and L. Fei-Fei, "Perceptual
Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016, and of J.-Y. Zhu, T. Park, P. Isola and A. Efros,
"Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", ICCV 2017.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from deblur_models.networks.layers import Dropout, MirrorPad, Norm2d, draw_normal_weights
from deblur_models.networks.network import (
    Network,
    NetworkConfig,
    NormPolicy,
    ValueRange,
    renamed,
    unused_statistics,
)

__all__ = ["DeblurGan", "DeblurGanConfig"]


class DeblurGanConfig(NetworkConfig):
    """``published`` is DeblurGAN of 2018, ``cyclegan`` is CycleGAN's generator with nine blocks.

    The output is added to the blurred image, ``clamp(x + tanh(...), -1, 1)``; CycleGAN's output is the image itself.
    Normalization has no weights under any policy.

    The current state of the published repository differs: in 2019 its blocks lost their second convolution by mistake
    (6,067,459 weights instead of 11,378,179).
    """

    kind: ClassVar[str] = "deblurgan"
    multiple_px: ClassVar[int] = 4
    sizes: ClassVar = {
        "published": {},
        "cyclegan": {"residual": False, "dropout": 0.0},
        "tiny": {"width": 16, "blocks": 3},
    }
    value_range: ClassVar[ValueRange] = "symmetric"

    width: int = Field(default=64, ge=4, le=512, description="channels at full size; four times as many in the blocks")
    blocks: int = Field(default=9, ge=0, le=100, description="residual blocks at a quarter of the sides")
    residual: bool = Field(default=True, description="whether the blurred image is added to the output")
    norm: NormPolicy = Field(default="instance", description="statistics used by normalization")
    dropout: float = Field(default=0.5, ge=0, lt=1, description="probability of dropping a value inside a block")
    dropout_in_use: bool = Field(
        default=False,
        description="whether dropout is also active at inference, as in the published code, where each call gives a "
        "different image",
    )

    def build(self) -> DeblurGan:
        return DeblurGan(self)

    def from_original(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Checkpoints of DeblurGAN and CycleGAN; blocks of the latter without dropout number their layers differently.

        Running statistics are dropped if the policy has none: torch before 0.4 stored them without using them.
        """
        kept = {name: tensor for name, tensor in state.items() if not name.endswith(unused_statistics(self.norm))}
        if any(".conv_block.5." in name for name in kept):  # without dropout, the second convolution is layer 5, not 6
            kept = renamed(kept, (r"\.conv_block\.6\.", ".conv_block.7."), (r"\.conv_block\.5\.", ".conv_block.6."))
        return kept


class DeblurGan(Network):
    """See :class:`DeblurGanConfig`. Names of weights are the published code's."""

    config: DeblurGanConfig

    def __init__(self, config: DeblurGanConfig) -> None:
        super().__init__(config)
        width = config.width

        def normalized(convolution: nn.Module, channels: int) -> tuple[nn.Module, ...]:
            return convolution, Norm2d(channels, config.norm), nn.ReLU(inplace=True)

        def down(channels: int) -> tuple[nn.Module, ...]:
            return normalized(nn.Conv2d(channels // 2, channels, 3, stride=2, padding=1), channels)

        def up(channels: int) -> tuple[nn.Module, ...]:
            larger = nn.ConvTranspose2d(2 * channels, channels, 3, stride=2, padding=1, output_padding=1)
            return normalized(larger, channels)

        self.model = nn.Sequential(
            MirrorPad(3),
            *normalized(nn.Conv2d(3, width, 7), width),
            *down(2 * width),
            *down(4 * width),
            *(ResBlock(4 * width, config) for _ in range(config.blocks)),
            *up(2 * width),
            *up(width),
            MirrorPad(3),
            nn.Conv2d(width, 3, 7),
            nn.Tanh(),
        )
        draw_normal_weights(self)

    def restore(self, blurred: Tensor) -> tuple[Tensor, ...]:
        output = self.model(blurred)
        return (torch.clamp(blurred + output, -1, 1) if self.config.residual else output,)


class ResBlock(nn.Module):
    """``x + y``: y is two normalized 3x3 convolutions with dropout between them."""

    def __init__(self, channels: int, config: DeblurGanConfig) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            MirrorPad(1),
            nn.Conv2d(channels, channels, 3),
            Norm2d(channels, config.norm),
            nn.ReLU(inplace=True),
            Dropout(config.dropout, in_use=config.dropout_in_use),
            MirrorPad(1),
            nn.Conv2d(channels, channels, 3),
            Norm2d(channels, config.norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.conv_block(x)
        return result
