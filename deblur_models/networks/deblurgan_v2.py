"""DeblurGAN-v2: a feature pyramid on a backbone that was trained for classification.

Source: O. Kupyn, T. Martyniuk, J. Wu and Z. Wang, "DeblurGAN-v2: Deblurring (Orders-of-Magnitude) Faster and Better",
ICCV 2019.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from blursynth.errors import InvalidValueError
from deblur_models.checkpoints.weights_file import read_weights, some_of
from deblur_models.networks.layers import Norm2d
from deblur_models.networks.network import Network, NetworkConfig, NormPolicy, ValueRange, unused_statistics
from deblur_models.networks.padding import PublishedPadding, mirror_pad
from deblur_models.networks.timm_backbones import (
    BackboneName,
    InceptionResNetV2Encoder,
    MobileNetV2Encoder,
    build_encoder,
    encoder_type,
    load_backbone_weights,
)

__all__ = ["DeblurGanV2", "DeblurGanV2Config"]


class DeblurGanV2Config(NetworkConfig):
    """``inception`` and ``mobile`` are published with code; ``mobile_dsc`` follows one sentence of the paper.

    That sentence replaces every convolution by a depthwise separable one. Here the 3x3 convolutions outside the
    backbone (which already consists of them) become a depthwise 3x3 without bias and a pointwise 1x1, and the lateral
    1x1 convolutions stay. This takes 9.6 billion multiplications at 1280 x 720 px; the paper states 14.8, and which
    convolutions it kept dense is not known.

    The backbone starts with random weights; :meth:`DeblurGanV2.load_encoder` reads trained ones from a file. The file
    is not part of the configuration, since a checkpoint already contains the weights. Layers after the last tap of the
    backbone are not built, so there are fewer weights than the published code stores: 35,840,099 instead of 60,929,291
    (``inception``; 60,930,828 if its classifier has the original 1001 classes, of which 1000 were used) and 2,106,627
    instead of 3,312,707 (``mobile``).

    The published code normalizes by the statistics of the current batch in training and inference, in the backbone
    too. It processes one image at a time, for which that equals ``instance``: the default for both parts, since results
    then do not depend on the other images of a batch. They do depend on the size of the image or tile. ``tiny`` is for
    patches of 64 px, whose deepest map has four pixels, too few for statistics: its backbone uses running ones.
    """

    kind: ClassVar[str] = "deblurgan_v2"
    multiple_px: ClassVar[int] = 32
    sizes: ClassVar = {
        "inception": {"encoder": "inception_resnet_v2", "width": 128},
        "mobile": {"encoder": "mobilenetv2_100", "width": 64},
        "mobile_dsc": {"encoder": "mobilenetv2_100", "width": 64, "separable": True},
        "tiny": {"encoder": "mobilenetv2_035", "width": 16, "encoder_norm": "running"},
    }
    value_range: ClassVar[ValueRange] = "symmetric"

    encoder: BackboneName = Field(description="timm's name of the backbone")
    width: int = Field(ge=4, le=512, multiple_of=2, description="channels of the heads; the pyramid has twice as many")
    separable: bool = Field(default=False, description="whether 3x3 convolutions are depthwise separable")
    norm: NormPolicy = Field(default="instance", description="statistics used by normalization")
    encoder_norm: NormPolicy = Field(default="instance", description="statistics used by normalization of the backbone")

    @property
    def published_padding(self) -> PublishedPadding:
        """Gray: predict.py pads with zeros after normalization to -1..1."""
        return PublishedPadding("constant", self.multiple_px, value=0.5, another=True)

    def build(self) -> DeblurGanV2:
        return DeblurGanV2(self)

    def from_original(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The published checkpoints, which contain the complete backbone twice.

        The second copy, layers after the last tap, and running statistics that the policy does not use are dropped. If
        the copies differ, an error is raised: the published code has one backbone under both names and would load the
        second.
        """
        backbone = encoder_type(self.encoder)
        stored, kept = ("inception.", "") if self.encoder == "inception_resnet_v2" else ("features.", "features.")
        _compare_copies(state, backbone, f"fpn.{stored}")
        found = {}
        for original, tensor in state.items():
            name = original
            if _STEP.match(name):
                continue
            if name.startswith(f"fpn.{stored}"):
                name = backbone.timm_name(kept + name.removeprefix(f"fpn.{stored}"))
                if name.startswith(backbone.unused):
                    continue
                name = f"fpn.encoder.{name}"
            policy = self.encoder_norm if name.startswith("fpn.encoder.") else self.norm
            if not name.endswith(unused_statistics(policy)):
                found[name] = tensor
        return found


_STEP = re.compile(r"^fpn\.enc[0-4]\.")
"""Second names of the backbone's weights in the published checkpoints, by its five steps."""


def _compare_copies(
    state: Mapping[str, Tensor], backbone: type[InceptionResNetV2Encoder | MobileNetV2Encoder], front: str
) -> None:
    different = []
    for name, tensor in state.items():
        first = state.get(front + backbone.first_name(name.removeprefix("fpn."))) if _STEP.match(name) else None
        if first is None or tensor.is_meta or first.is_meta:  # meta tensors have no values to compare
            continue
        if first.shape != tensor.shape or not torch.equal(first, tensor):
            different.append(name)
    if different:
        raise InvalidValueError(
            f"The checkpoint contains its backbone twice, but {len(different)} weights of the two copies differ: "
            f"{some_of(different)}.",
            why="The published code has one backbone under both names, so one of the copies was changed or damaged.",
            fix="Use another checkpoint, or remove the copy under fpn.enc0 to fpn.enc4 if you know which is right.",
        )


class DeblurGanV2(Network):
    """See :class:`DeblurGanV2Config`. Names of weights are the published code's, those of the backbone timm's.

    ``restored = clamp(x + tanh(final(...)), -1, 1)``: heads bring the four coarser maps of the pyramid to a quarter of
    the image size; the finest map is added at half size.
    """

    config: DeblurGanV2Config

    def __init__(self, config: DeblurGanV2Config) -> None:
        super().__init__(config)
        width = config.width
        self.fpn = Pyramid(config)
        self.head1, self.head2, self.head3, self.head4 = (Head(config) for _ in range(4))
        self.smooth = smoothing(4 * width, width, config)
        self.smooth2 = smoothing(width, width // 2, config)
        self.final = convolution(width // 2, 3, separable=config.separable)

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """The weights of the backbone, which the published training freezes for its first three epochs.

        This does not freeze running statistics: those of ``encoder_norm = "running"`` are still updated in ``train()``.
        """
        return self.fpn.encoder.parameters()

    def load_encoder(self, path: str | Path) -> None:
        """Load the weights of the backbone from a file, with timm's names or those of the published code."""
        load_backbone_weights(self.fpn.encoder, read_weights(path))

    def restore(self, blurred: Tensor) -> tuple[Tensor, ...]:
        height, width = blurred.shape[-2:]
        least = self.fpn.encoder.smallest_px
        x = mirror_pad(blurred, 0, max(0, least - width), 0, max(0, least - height))
        half, quarter, eighth, sixteenth, deepest = self.fpn(x)
        joined = torch.cat(
            (
                enlarge(self.head4(deepest), 8),
                enlarge(self.head3(sixteenth), 4),
                enlarge(self.head2(eighth), 2),
                self.head1(quarter),
            ),
            dim=1,
        )
        smoothed = enlarge(self.smooth2(enlarge(self.smooth(joined), 2) + half), 2)
        restored = torch.clamp(torch.tanh(self.final(smoothed)) + x, -1, 1)
        return (restored[..., :height, :width],)


class Pyramid(nn.Module):
    """Maps of a backbone, combined with the coarser ones: ``map = td(lateral + enlarge(coarser map))``.

    The finest map is not combined and has as many channels as the heads, the others twice as many. Margins that maps of
    the backbone lack are filled with mirrored rows and columns.
    """

    def __init__(self, config: DeblurGanV2Config) -> None:
        super().__init__()
        self.encoder = build_encoder(config.encoder, config.encoder_norm)
        channels = self.encoder.channels
        self.lateral0 = nn.Conv2d(channels[0], config.width, 1, bias=False)
        self.lateral1, self.lateral2, self.lateral3, self.lateral4 = (
            nn.Conv2d(n, 2 * config.width, 1, bias=False) for n in channels[1:]
        )
        self.td1, self.td2, self.td3 = (smoothing(2 * config.width, 2 * config.width, config) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        laterals = (self.lateral0, self.lateral1, self.lateral2, self.lateral3, self.lateral4)
        half, quarter, eighth, sixteenth, map4 = (
            mirror_pad(lateral(found), before, after, before, after)
            for lateral, found, (before, after) in zip(laterals, self.encoder(x), self.encoder.margins_px, strict=True)
        )
        map3 = self.td1(sixteenth + enlarge(map4, 2))
        map2 = self.td2(eighth + enlarge(map3, 2))
        map1 = self.td3(quarter + enlarge(map2, 2))
        return half, map1, map2, map3, map4


class Head(nn.Module):
    """Two 3x3 convolutions without bias, each followed by ReLU."""

    def __init__(self, config: DeblurGanV2Config) -> None:
        super().__init__()
        self.block0 = convolution(2 * config.width, config.width, bias=False, separable=config.separable)
        self.block1 = convolution(config.width, config.width, bias=False, separable=config.separable)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.block1(F.relu(self.block0(x))))


def smoothing(inputs: int, outputs: int, config: DeblurGanV2Config) -> nn.Sequential:
    return nn.Sequential(
        convolution(inputs, outputs, separable=config.separable), Norm2d(outputs, config.norm), nn.ReLU(inplace=True)
    )


def convolution(inputs: int, outputs: int, *, bias: bool = True, separable: bool) -> nn.Module:
    """A 3x3 convolution, or a depthwise 3x3 convolution followed by a pointwise one."""
    if not separable:
        return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False), nn.Conv2d(inputs, outputs, 1, bias=bias)
    )


def enlarge(x: Tensor, factor: int) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="nearest")
