"""MIMO-UNet: one U-Net with inputs and outputs at three sizes.

Source: S.-J. Cho, S.-W. Ji, J.-P. Hong, S.-W. Jung and S.-J. Ko, "Rethinking Coarse-to-Fine Approach in Single Image
Deblurring", ICCV 2021.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from deblur_models.networks.network import Network, NetworkConfig, pad_to_multiple

__all__ = ["MimoUNet", "MimoUNetConfig"]


class MimoUNetConfig(NetworkConfig):
    """MIMO-UNet (``base``) and MIMO-UNet+ (``plus``) as published.

    The network computes its inputs at half and quarter size by taking every second pixel, while the sharp images of the
    training are means of neighbors, half a pixel off that grid: as published, and kept so that weights fit. The
    published loss is L1 plus 0.1 times L1 of the spectra, summed over the three sizes.
    """

    multiple_px: ClassVar[int] = 4
    scales: ClassVar[tuple[float, ...]] = (1.0, 0.5, 0.25)
    sizes: ClassVar = {
        "base": {"residual_blocks": 8},
        "plus": {"residual_blocks": 20, "dropout": 0.1},
        "tiny": {"width": 12, "residual_blocks": 2},
    }

    width: int = Field(default=32, ge=4, le=512, multiple_of=4, description="channels at full size; doubled twice")
    residual_blocks: int = Field(ge=1, le=100, description="residual blocks of each encoder and decoder")
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="fraction of skip-connection channels dropped in training"
    )

    def build(self) -> MimoUNet:
        return MimoUNet(self)


class MimoUNet(Network):
    """See :class:`MimoUNetConfig`. Names of weights are those of the published code, so its checkpoints fit unchanged.

    Abbreviations are those of the paper: asymmetric feature fusion (AFF), feature attention (FAM) and shallow
    convolutional module (SCM). In the names of the last two, 1 stands for quarter size and 2 for half size.
    """

    config: MimoUNetConfig

    def __init__(self, config: MimoUNetConfig) -> None:
        super().__init__(config)
        full, half, quarter = (config.width * factor for factor in (1, 2, 4))
        number = config.residual_blocks
        self.Encoder = nn.ModuleList(Stage(channels, number) for channels in (full, half, quarter))
        self.Decoder = nn.ModuleList(Stage(channels, number) for channels in (quarter, half, full))
        self.feat_extract = nn.ModuleList(
            (
                Convolution(3, full, 3),
                Convolution(full, half, 3, stride=2),
                Convolution(half, quarter, 3, stride=2),
                Convolution(quarter, half, 4, stride=2, transposed=True),
                Convolution(half, full, 4, stride=2, transposed=True),
                Convolution(full, 3, 3, rectified=False),
            )
        )
        self.Convs = nn.ModuleList((Convolution(quarter, half, 1), Convolution(half, full, 1)))
        self.ConvsOut = nn.ModuleList(
            (Convolution(quarter, 3, 3, rectified=False), Convolution(half, 3, 3, rectified=False))
        )
        self.AFFs = nn.ModuleList(FeatureFusion(full + half + quarter, channels) for channels in (full, half))
        self.FAM1, self.SCM1 = FeatureAttention(quarter), ShallowModule(quarter)
        self.FAM2, self.SCM2 = FeatureAttention(half), ShallowModule(half)
        self.drop = nn.Dropout2d(config.dropout)

    def restore(self, blurred: Tensor) -> tuple[Tensor, ...]:
        blurred_half = every_second(blurred)
        blurred_quarter = every_second(blurred_half)

        full = self.Encoder[0](self.feat_extract[0](blurred))
        half = self.Encoder[1](self.FAM2(self.feat_extract[1](full), self.SCM2(blurred_half)))
        quarter = self.Encoder[2](self.FAM1(self.feat_extract[2](half), self.SCM1(blurred_quarter)))

        # Each skip connection gets the features of all three sizes.
        skip_half = self.drop(self.AFFs[1](every_second(full), half, doubled(quarter)))
        skip_full = self.drop(self.AFFs[0](full, doubled(half), doubled(doubled(quarter))))

        x = self.Decoder[0](quarter)
        restored_quarter = self.ConvsOut[0](x) + blurred_quarter
        x = self.Decoder[1](self.Convs[0](torch.cat((self.feat_extract[3](x), skip_half), dim=1)))
        restored_half = self.ConvsOut[1](x) + blurred_half
        x = self.Decoder[2](self.Convs[1](torch.cat((self.feat_extract[4](x), skip_full), dim=1)))
        return self.feat_extract[5](x) + blurred, restored_half, restored_quarter

    def targets(self, sharp: Tensor) -> tuple[Tensor, ...]:
        """The sharp image, downscaled as in the published training: bilinear, not antialiased.

        At half size, a pixel is the mean of 2x2 pixels; at quarter size, that of the inner 2x2 of 4x4.
        """
        height, width = sharp.shape[-2:]
        padded = pad_to_multiple(sharp, self.config.multiple_px)
        smaller = (
            F.interpolate(padded, scale_factor=1 / n, mode="bilinear")[..., : -(-height // n), : -(-width // n)]
            for n in (2, 4)
        )
        return sharp, *smaller


def every_second(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=0.5, mode="nearest")


def doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class Convolution(nn.Module):
    """A convolution that divides the size by its stride (multiplies it if ``transposed``), then ReLU."""

    def __init__(
        self,
        before: int,
        channels: int,
        side: int,
        *,
        stride: int = 1,
        rectified: bool = True,
        transposed: bool = False,
    ) -> None:
        super().__init__()
        layer: nn.Module
        if transposed:
            layer = nn.ConvTranspose2d(before, channels, side, stride=stride, padding=side // 2 - 1)
        else:
            layer = nn.Conv2d(before, channels, side, stride=stride, padding=side // 2)
        self.main = nn.Sequential(layer, nn.ReLU()) if rectified else nn.Sequential(layer)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.main(x)
        return y


class Stage(nn.Module):
    """A sequence of residual blocks."""

    def __init__(self, channels: int, number: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(ResidualBlock(channels) for _ in range(number)))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


class ResidualBlock(nn.Module):
    """``x + conv(relu(conv x))``"""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            Convolution(channels, channels, 3), Convolution(channels, channels, 3, rectified=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.main(x) + x
        return y


class FeatureFusion(nn.Module):
    """Combines features of all three sizes, resized to one of them (AFF)."""

    def __init__(self, before: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(Convolution(before, channels, 1), Convolution(channels, channels, 3, rectified=False))

    def forward(self, full: Tensor, half: Tensor, quarter: Tensor) -> Tensor:
        y: Tensor = self.conv(torch.cat((full, half, quarter), dim=1))
        return y


class ShallowModule(nn.Module):
    """Features of a smaller image, concatenated with the image itself (SCM)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            Convolution(3, channels // 4, 3),
            Convolution(channels // 4, channels // 2, 1),
            Convolution(channels // 2, channels // 2, 3),
            Convolution(channels // 2, channels - 3, 1),
        )
        self.conv = Convolution(channels, channels, 1, rectified=False)

    def forward(self, picture: Tensor) -> Tensor:
        y: Tensor = self.conv(torch.cat((picture, self.main(picture)), dim=1))
        return y


class FeatureAttention(nn.Module):
    """Features of the level above, weighted by those of the smaller image: ``x + conv(x * seen)`` (FAM)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.merge = Convolution(channels, channels, 3, rectified=False)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        y: Tensor = x + self.merge(x * seen)
        return y
