"""DeblurGAN's generator, which is also CycleGAN's: strided convolutions, residual blocks, and back.

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
from deblur_models.networks.network import Network, NetworkConfig, NormPolicy, ValueRange

__all__ = ["DeblurGan", "DeblurGanConfig"]


class DeblurGanConfig(NetworkConfig):
    """``published`` is DeblurGAN of 2018, ``cyclegan`` CycleGAN's generator of nine blocks.

    The generator adds its answer to the blurred picture, ``clamp(x + tanh(...), -1, 1)``; CycleGAN's is the answer
    itself. Normalization has no weights of its own, whatever its policy.

    Easily confused with the published repository's present state, whose blocks lost their second convolution to a slip
    in 2019 (6,067,459 weights instead of 11,378,179).
    """

    kind: ClassVar[str] = "deblurgan"
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

    @property
    def multiple_px(self) -> int:
        return 4

    def build(self) -> DeblurGan:
        return DeblurGan(self)

    def from_original(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Checkpoints of DeblurGAN and CycleGAN; without dropout the latter count the places in a block differently.

        Running statistics go where the policy has none: torch before 0.4 kept them and never used them.
        """
        shifted = any(".conv_block.5." in name for name in state)  # the second convolution stands where a mirror stood
        names = {".conv_block.5.": ".conv_block.6.", ".conv_block.6.": ".conv_block.7."} if shifted else {}
        kept = {}
        for name, tensor in state.items():
            if name.endswith(".num_batches_tracked"):
                continue
            if self.norm != "running" and name.endswith((".running_mean", ".running_var")):
                continue
            place = next((place for place in names if place in name), None)
            kept[name if place is None else name.replace(place, names[place])] = tensor
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
            wider = nn.ConvTranspose2d(2 * channels, channels, 3, stride=2, padding=1, output_padding=1)
            return normalized(wider, channels)

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
        answer = self.model(blurred)
        return (torch.clamp(blurred + answer, -1, 1) if self.config.residual else answer,)


class ResBlock(nn.Module):
    """Two convolutions of 3x3 with normalization, dropout between them, and their input added."""

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
