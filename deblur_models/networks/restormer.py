"""Restormer: a U-Net whose attention compares channels, not pixels.

Source: S. W. Zamir, A. Arora, S. Khan, M. Hayat, F. S. Khan and M.-H. Yang, "Restormer: Efficient Transformer for
High-Resolution Image Restoration", CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from blursynth.errors import InvalidValueError
from deblur_models.networks.layers import LayerNorm2d, gelu
from deblur_models.networks.network import Network, NetworkConfig, renamed
from deblur_models.networks.padding import PublishedPadding

__all__ = ["Restormer", "RestormerConfig"]

LayerNormKind = Literal["with_bias", "bias_free"]


class RestormerConfig(NetworkConfig):
    """Restormer; ``motion`` is the published network for motion blur (and, with other weights, defocus and rain).

    Channels are compared over the whole image, so results depend on its size. The published tests apply a network
    trained on patches to whole images.

    Not modeled: dual-pixel input; test-time local conversion (published separately, later).
    """

    sees_everything: ClassVar[bool] = True
    sizes: ClassVar = {
        "motion": {"width": 48, "blocks": (4, 6, 6, 8), "heads": (1, 2, 4, 8), "refinement_blocks": 4},
        "tiny": {"width": 16, "blocks": (1, 1, 2), "heads": (1, 2, 4), "refinement_blocks": 1},
    }

    width: int = Field(ge=4, le=512, multiple_of=2, description="channels at full size; doubled at every level")
    blocks: tuple[int, ...] = Field(min_length=2, description="number of blocks of each level, the lowest last")
    heads: tuple[int, ...] = Field(description="heads of each level, which share its channels")
    refinement_blocks: int = Field(ge=0, le=100, description="number of blocks at full size after the decoder")
    ffn_expansion: float = Field(default=2.66, gt=0, le=16, description="hidden channels per channel, rounded down")
    layer_norm: LayerNormKind = Field(
        default="with_bias",
        description="with_bias as published for motion blur, bias_free (no mean, no bias) as for noise",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.heads) != len(self.blocks):
            raise InvalidValueError(f"heads must be one per level, got {self.heads} for blocks {self.blocks}.")
        if min(self.blocks) < 0 or min(self.heads) < 1:
            raise InvalidValueError(
                f"blocks must be at least 0 and heads at least 1 each, got {self.blocks} and {self.heads}."
            )
        for level, heads in enumerate(self.heads):
            if self.width * 2**level % heads:
                raise InvalidValueError(
                    f"heads of level {level} must divide its {self.width * 2**level} channels, got {heads}."
                )
        return self

    @property
    def multiple_px(self) -> int:
        return int(2 ** (len(self.blocks) - 1))

    @property
    def published_padding(self) -> PublishedPadding:
        return PublishedPadding("reflect", 8)  # Motion_Deblurring/test.py

    def build(self) -> Restormer:
        return Restormer(self)

    def from_original(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Levels are counted from 0 here, and names have no parts for wrappers."""
        return renamed(
            state,
            (r"^patch_embed\.proj\.", "intro."),
            (r"^(en|de)coder_level(\d+)\.", lambda m: f"{m[1]}coders.{int(m[2]) - 1}."),
            (r"^down(\d+)_\d+\.body\.", lambda m: f"downs.{int(m[1]) - 1}."),
            (r"^up\d+_(\d+)\.body\.", lambda m: f"ups.{int(m[1]) - 1}."),
            (r"^reduce_chan_level(\d+)\.", lambda m: f"merges.{int(m[1]) - 1}."),
            (r"\.norm([12])\.body\.", r".norm\1."),
        )


class Restormer(Network):
    """See :class:`RestormerConfig`. Lists of modules begin at full size, regardless of the order of their use."""

    config: RestormerConfig

    def __init__(self, config: RestormerConfig) -> None:
        super().__init__(config)
        widths = [config.width * 2**level for level in range(len(config.blocks))]

        def blocks(number: int, width: int, heads: int) -> nn.Sequential:
            return nn.Sequential(*(TransformerBlock(width, heads, config) for _ in range(number)))

        levels = list(zip(config.blocks, widths, config.heads, strict=True))
        self.intro = nn.Conv2d(3, config.width, 3, padding=1, bias=False)
        self.encoders = nn.ModuleList(blocks(*level) for level in levels[:-1])
        self.downs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(fine, fine // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2))
            for fine, _ in pairwise(widths)
        )
        self.latent = blocks(*levels[-1])
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(coarse, 2 * coarse, 3, padding=1, bias=False), nn.PixelShuffle(2))
            for _, coarse in pairwise(widths)
        )
        # At full size, skip connection and upsampled features stay concatenated: twice the channels.
        self.merges = nn.ModuleList(
            nn.Conv2d(2 * width, width, 1, bias=False) if level else nn.Identity()
            for level, width in enumerate(widths[:-1])
        )
        self.decoders = nn.ModuleList(
            blocks(number, width if level else 2 * width, heads)
            for level, (number, width, heads) in enumerate(levels[:-1])
        )
        self.refinement = blocks(config.refinement_blocks, 2 * config.width, config.heads[0])
        self.output = nn.Conv2d(2 * config.width, 3, 3, padding=1, bias=False)

    def restore(self, blurred: Tensor) -> tuple[Tensor, ...]:
        x = self.intro(blurred)
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.latent(x)
        levels = list(zip(self.ups, self.merges, self.decoders, skips, strict=True))
        for up, merge, decoder, skip in reversed(levels):
            x = decoder(merge(torch.cat([up(x), skip], dim=1)))
        return (self.output(self.refinement(x)) + blurred,)


class TransformerBlock(nn.Module):
    """``x + attention(norm(x))``, then ``x + ffn(norm(x))``."""

    def __init__(self, width: int, heads: int, config: RestormerConfig) -> None:
        super().__init__()
        norm = BiasFreeLayerNorm2d if config.layer_norm == "bias_free" else LayerNorm2d
        self.norm1 = norm(width, 1e-5)
        self.attn = ChannelAttention(width, heads)
        self.norm2 = norm(width, 1e-5)
        self.ffn = GatedFeedForward(width, int(width * config.ffn_expansion))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        y: Tensor = x + self.ffn(self.norm2(x))
        return y


class ChannelAttention(nn.Module):
    """MDTA: ``softmax(temperature * Q K^T) V`` for each head; rows of Q and K are channels, normalized over all pixels.

    Q, K and V each are the output of a 1x1 and a depthwise 3x3 convolution. The matrix is channels x channels, so its
    cost is linear in the number of pixels. ``scaled_dot_product_attention``, which avoids storing the matrix, is no
    faster, since the matrix is small and its rows are as long as the image.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(width, 3 * width, 1, bias=False)
        self.qkv_dwconv = nn.Conv2d(3 * width, 3 * width, 3, padding=1, groups=3 * width, bias=False)
        self.project_out = nn.Conv2d(width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv_dwconv(self.qkv(x)).flatten(2).unflatten(1, (3, self.heads, -1))
        query, key, value = qkv.unbind(1)  # [B, heads, C / heads, H W]
        scores = F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).transpose(-2, -1)
        y = (scores * self.temperature).softmax(dim=-1) @ value
        attended: Tensor = self.project_out(y.reshape(x.shape))
        return attended


class GatedFeedForward(nn.Module):
    """GDFN: a 1x1 and a depthwise 3x3 convolution; one half of the channels, after GELU, gates the other."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.project_in = nn.Conv2d(width, 2 * hidden, 1, bias=False)
        self.dwconv = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.project_out = nn.Conv2d(hidden, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, gated = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        y: Tensor = self.project_out(gelu(gate) * gated)
        return y


class BiasFreeLayerNorm2d(nn.Module):
    """``x / sqrt(variance + epsilon) * weight`` over the channels of each pixel; their mean is not subtracted."""

    def __init__(self, channels: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x  # as in LayerNorm2d
        if torch.compiler.is_exporting():  # as in LayerNorm2d
            centered = y - y.mean(1, keepdim=True)
            y = y / torch.sqrt((centered * centered).mean(1, keepdim=True) + self.epsilon)
        else:
            y = y * torch.rsqrt(y.var(dim=1, keepdim=True, correction=0) + self.epsilon)
        return y.to(x.dtype) * self.weight[:, None, None]
