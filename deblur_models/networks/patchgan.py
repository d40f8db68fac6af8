"""Patch discriminators: PatchGAN, and DeblurGAN-v2's pair of a local and a global one.

Source: P. Isola, J.-Y. Zhu, T. Zhou and A. Efros, "Image-to-Image Translation with Conditional Adversarial Networks",
CVPR 2017; the pair: O. Kupyn, T. Martyniuk, J. Wu and Z. Wang, "DeblurGAN-v2: Deblurring (Orders-of-Magnitude) Faster
and Better", ICCV 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from blursynth.errors import InvalidValueError
from deblur_models.networks.layers import Norm2d, draw_normal_weights
from deblur_models.networks.network import Architecture, NormPolicy, renamed, unused_statistics

__all__ = ["DoublePatchGan", "DoublePatchGanConfig", "PatchGan", "PatchGanConfig"]


class PatchGanConfig(Architecture):
    """``local`` is DeblurGAN's (three strided layers, a patch of 70 px), ``global`` has five of them.

    ``cyclegan`` pads one pixel where DeblurGAN pads two: maps of 30x30 instead of 35x35 at 256 px.

    A gradient penalty per image requires ``instance``, since the other policies mix the images of a batch.
    """

    kind: ClassVar[str] = "patchgan"
    sizes: ClassVar = {
        "local": {},
        "global": {"layers": 5},
        "cyclegan": {"padding_px": 1},
        "tiny": {"width": 16, "layers": 2},
    }

    width: int = Field(default=64, ge=4, le=512, description="channels of the first layer; doubled up to eight times")
    layers: int = Field(default=3, ge=1, le=8, description="layers that halve the sides")
    padding_px: int = Field(default=2, ge=1, le=2, description="zeros around the input of every layer, in px")
    norm: NormPolicy = Field(default="instance", description="statistics used by normalization")
    initial_deviation: float = Field(
        default=0.02, ge=0, le=1, description="standard deviation of initial weights; 0: torch's initialization"
    )

    @property
    def smallest_px(self) -> int:
        """The smallest side of an image: the total stride of all layers, or the smallest side with any output."""
        return int(2**self.layers * (1 if self.padding_px == 2 else 3))

    def build(self) -> PatchGan:
        return PatchGan(self)

    def from_original(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Checkpoints of DeblurGAN, DeblurGAN-v2 and CycleGAN; unused running statistics are dropped."""
        return {name: tensor for name, tensor in state.items() if not name.endswith(unused_statistics(self.norm))}


class PatchGan(nn.Module):
    """Maps images ``[B, 3, H, W]``, 0..1, to a tuple of one map of logits ``[B, 1, h, w]``.

    Convolutions of 4x4 with LeakyReLU 0.2: ``layers`` with stride 2 (at 64 channels the first, without normalization),
    one with stride 1, and one to the logits. Names of weights are those of the published code. Sides must be at least
    ``config.smallest_px``.
    """

    def __init__(self, config: PatchGanConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.width * min(2**layer, 8) for layer in range(config.layers + 1)]
        parts: list[nn.Module] = [
            nn.Conv2d(3, widths[0], 4, stride=2, padding=config.padding_px),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        for layer in range(1, config.layers + 1):
            stride = 2 if layer < config.layers else 1
            parts += [
                nn.Conv2d(widths[layer - 1], widths[layer], 4, stride=stride, padding=config.padding_px),
                Norm2d(widths[layer], config.norm),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.model = nn.Sequential(*parts, nn.Conv2d(widths[-1], 1, 4, padding=config.padding_px))
        if config.initial_deviation:
            draw_normal_weights(self, config.initial_deviation)

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        if pictures.ndim != 4 or pictures.shape[1] != 3:
            raise InvalidValueError(
                f"A discriminator takes images [B, 3, H, W] with values 0..1, got shape {list(pictures.shape)}."
            )
        height, width = pictures.shape[-2:]
        if min(height, width) < self.config.smallest_px:
            raise InvalidValueError(
                f"A PatchGAN with {self.config.layers} strided layers needs images of at least "
                f"{self.config.smallest_px} x {self.config.smallest_px} px, got {height} x {width} px.",
                why="Its outputs would depend only on padding.",
                fix="Use larger patches or fewer layers.",
            )
        return (self.model(2 * pictures - 1),)


class DoublePatchGanConfig(Architecture):
    """DeblurGAN-v2's two discriminators: logits see 70 px in one and 286 px in the other, more than a training patch.

    Both get the same whole images, as in the published code; one of them is local because of its receptive field.
    Losses are averaged over the two maps, which is half of the published sum.
    """

    kind: ClassVar[str] = "double_patchgan"
    sizes: ClassVar = {
        "published": {},
        "tiny": {"width": 8, "local_layers": 2, "global_layers": 3},
    }

    width: int = Field(default=64, ge=4, le=512, description="channels of the first layer; doubled up to eight times")
    local_layers: int = Field(default=3, ge=1, le=8, description="layers of the local one that halve the sides")
    global_layers: int = Field(default=5, ge=1, le=8, description="layers of the global one that halve the sides")
    norm: NormPolicy = Field(default="instance", description="statistics used by normalization")
    initial_deviation: float = Field(
        default=0.0, ge=0, le=1, description="standard deviation of initial weights; 0: torch's, as published"
    )

    def build(self) -> DoublePatchGan:
        return DoublePatchGan(self)

    def from_original(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Both in one state, ``patch.*`` and ``full.*`` as named in DeblurGAN-v2's code, each with its wrapper."""
        both = PatchGanConfig(norm=self.norm).from_original(state)
        return renamed(both, (r"^(patch|full)\.module\.", r"\1."))


class DoublePatchGan(nn.Module):
    """Maps images ``[B, 3, H, W]``, 0..1, to the local and the global map of logits.

    Sides must be large enough for the global discriminator (32 px with five layers).
    """

    def __init__(self, config: DoublePatchGanConfig) -> None:
        super().__init__()
        self.config = config
        self.patch, self.full = (
            PatchGanConfig(
                width=config.width, layers=layers, norm=config.norm, initial_deviation=config.initial_deviation
            ).build()
            for layers in (config.local_layers, config.global_layers)
        )

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        return self.patch(pictures) + self.full(pictures)  # type: ignore[no-any-return]
