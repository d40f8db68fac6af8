"""SwinIR: attention within small windows that are shifted by half their side in every second block.

Source: J. Liang, J. Cao, G. Sun, K. Zhang, L. Van Gool and R. Timofte, "SwinIR: Image Restoration Using Swin
Transformer", ICCV Workshops 2021; windows: Z. Liu et al., "Swin Transformer: Hierarchical Vision Transformer using
Shifted Windows", ICCV 2021.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from blursynth.errors import InvalidValueError
from deblur_models.networks.layers import gelu
from deblur_models.networks.network import Network, NetworkConfig, renamed
from deblur_models.networks.padding import PublishedPadding

__all__ = ["SwinIR", "SwinIRConfig"]

MEAN_COLOUR = (0.4488, 0.4371, 0.4040)
"""Mean color of DIV2K, which the published networks subtract."""

UNRELATED = -100.0
"""Added to the score of two pixels that are neighbors only because the image was rolled: their weight becomes 0."""


class SwinIRConfig(NetworkConfig):
    """SwinIR without upsampling, as published for noise and JPEG artifacts; no weights for motion blur are published.

    ``base`` is the published network for noise, ``light`` has the width and depth of the lightweight one (published
    with an upsampler). The output is added to the image. The published tests add a mirrored strip even if the sides are
    multiples of the window; here, such images are not padded.

    Not modeled: upsampling, absolute positions, the ``3conv`` form of the residual groups.
    """

    kind: ClassVar[str] = "swinir"
    sizes: ClassVar = {
        "base": {"width": 180, "depths": (6, 6, 6, 6, 6, 6)},
        "light": {"width": 60, "depths": (6, 6, 6, 6)},
        "tiny": {"width": 24, "depths": (2, 2), "heads": 3},
    }

    width: int = Field(ge=4, le=1024, description="channels of every layer, a multiple of the heads")
    depths: tuple[int, ...] = Field(min_length=1, description="blocks of each residual group; odd ones are shifted")
    heads: int = Field(default=6, ge=1, le=64, description="number of attention heads")
    window_px: int = Field(default=8, ge=2, le=64, description="side of the attention windows in px")
    mlp_ratio: float = Field(default=2.0, gt=0, le=16, description="hidden channels per channel of the perceptron")
    drop_path: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="fraction of images that skip the last block in training; it rises linearly from 0 at the first",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.width % self.heads:
            raise InvalidValueError(
                f"width must be a multiple of heads, got {self.width} and {self.heads}.",
                why="Every head processes its own part of the channels.",
            )
        if min(self.depths) < 1:
            raise InvalidValueError(f"depths must be at least 1 each, got {self.depths}.")
        return self

    @property
    def multiple_px(self) -> int:
        return self.window_px

    @property
    def published_padding(self) -> PublishedPadding:
        return PublishedPadding("symmetric", self.window_px, another=True)  # main_test_swinir.py

    def build(self) -> SwinIR:
        return SwinIR(self)

    def from_original(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Masks and the table of positions, which the configuration determines, are dropped."""
        derived = (".attn_mask", ".attn.relative_position_index")
        return renamed(
            {name: tensor for name, tensor in state.items() if not name.endswith(derived)},
            (r"\.residual_group\.blocks\.", ".blocks."),
            (r"patch_embed\.norm\.", "norm_first."),
            (r"\.mlp\.fc([12])\.", r".fc\1."),
        )


class SwinIR(Network):
    """See :class:`SwinIRConfig`."""

    config: SwinIRConfig
    mean: Tensor

    def __init__(self, config: SwinIRConfig) -> None:
        super().__init__(config)
        width = config.width
        rates = torch.linspace(0, config.drop_path, sum(config.depths), device="cpu").tolist()
        self.register_buffer("mean", torch.tensor(MEAN_COLOUR)[:, None, None], persistent=False)
        self.conv_first = nn.Conv2d(3, width, 3, padding=1)
        self.norm_first = nn.LayerNorm(width)
        self.layers = nn.ModuleList()
        for depth in config.depths:
            self.layers.append(ResidualGroup(config, rates[:depth]))
            rates = rates[depth:]
        self.norm = nn.LayerNorm(width)
        self.conv_after_body = nn.Conv2d(width, width, 3, padding=1)
        self.conv_last = nn.Conv2d(width, 3, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def restore(self, blurred: Tensor) -> tuple[Tensor, ...]:
        shallow = self.conv_first(blurred - self.mean)
        deep = self.norm_first(shallow.permute(0, 2, 3, 1))  # [B, H, W, C] from here
        for layer in self.layers:
            deep = layer(deep)
        deep = self.conv_after_body(self.norm(deep).permute(0, 3, 1, 2)) + shallow
        return (blurred + self.conv_last(deep),)


class ResidualGroup(nn.Module):
    """``x + y`` of ``[B, H, W, C]``: y is blocks with alternately unshifted and shifted windows, then a convolution."""

    def __init__(self, config: SwinIRConfig, drop_paths: list[float]) -> None:
        super().__init__()
        shifts = (0, config.window_px // 2)
        self.blocks = nn.Sequential(
            *(SwinBlock(config, shifts[i % 2], drop_path) for i, drop_path in enumerate(drop_paths))
        )
        self.conv = nn.Conv2d(config.width, config.width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.conv(self.blocks(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x + residual


class SwinBlock(nn.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))``; in training, a fraction of the images skips each."""

    def __init__(self, config: SwinIRConfig, shift_px: int, drop_path: float) -> None:
        super().__init__()
        hidden = int(config.width * config.mlp_ratio)
        self.drop_path = drop_path
        self.norm1 = nn.LayerNorm(config.width)
        self.attn = WindowAttention(config.width, config.heads, config.window_px, shift_px)
        self.norm2 = nn.LayerNorm(config.width)
        self.fc1 = nn.Linear(config.width, hidden)
        self.fc2 = nn.Linear(hidden, config.width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.skip(self.attn(self.norm1(x)))
        return x + self.skip(self.fc2(gelu(self.fc1(self.norm2(x)))))

    def skip(self, x: Tensor) -> Tensor:
        """In training, set a fraction ``drop_path`` of the images to zero, and scale the others to keep the mean."""
        if not self.training or self.drop_path == 0:
            return x
        kept = torch.rand(x.shape[0], 1, 1, 1, device=x.device) >= self.drop_path
        return x * (kept / (1 - self.drop_path)).to(x.dtype)


class WindowAttention(nn.Module):
    """``softmax(Q K^T / sqrt(d) + B) V`` within each window of ``N = window_px^2`` pixels; ``B`` depends on the offset.

    With a shift, the image is rolled to the upper left before and back afterwards. The last row and column of windows
    then contain pixels from both ends of the image, which must not attend to each other: one mask for each of the four
    kinds of windows (inside, right, below, corner) suffices for all image sizes.
    """

    positions: Tensor
    masks: Tensor

    def __init__(self, width: int, heads: int, window_px: int, shift_px: int) -> None:
        super().__init__()
        self.heads = heads
        self.window_px = window_px
        self.shift_px = shift_px
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * window_px - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer("positions", relative_positions(window_px), persistent=False)  # [N, N]
        self.register_buffer("masks", seam_masks(window_px, shift_px), persistent=False)  # [4, N, N]

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        side = self.window_px
        rows, columns = height // side, width // side
        if self.shift_px:
            x = x.roll((-self.shift_px, -self.shift_px), (1, 2))
        qkv: Tensor = self.qkv(x)
        # [3, B, rows, columns, heads, N, d]
        qkv = qkv.view(batch, rows, side, columns, side, 3, self.heads, channels // self.heads)
        qkv = qkv.permute(5, 0, 1, 3, 6, 2, 4, 7).flatten(5, 6)
        bias = self.relative_position_bias_table[self.positions].permute(2, 0, 1).to(qkv.dtype)  # [heads, N, N]
        if self.shift_px:
            inside, right, below, corner = (bias + mask for mask in self.masks.to(qkv.dtype))
            upper = torch.cat([attend(qkv[:, :, :-1, :-1], inside), attend(qkv[:, :, :-1, -1:], right)], dim=2)
            lower = torch.cat([attend(qkv[:, :, -1:, :-1], below), attend(qkv[:, :, -1:, -1:], corner)], dim=2)
            y = torch.cat([upper, lower], dim=1)
        else:
            y = attend(qkv, bias)
        # [B, rows, columns, heads, N, d] to [B, H, W, C]
        y = y.view(batch, rows, columns, self.heads, side, side, channels // self.heads)
        y = y.permute(0, 1, 4, 2, 5, 3, 6).reshape(batch, height, width, channels)
        projected: Tensor = self.proj(y)
        return projected.roll((self.shift_px, self.shift_px), (1, 2)) if self.shift_px else projected


def attend(qkv: Tensor, bias: Tensor) -> Tensor:
    """Attention of windows ``[3, B, rows, columns, heads, N, d]`` with a bias ``[heads, N, N]`` of their scores."""
    if torch.compiler.is_exporting():  # whether it can be flattened without a copy depends on the batch
        qkv = qkv.clone(memory_format=torch.contiguous_format)
    query, key, value = qkv.flatten(1, 3).unbind()
    y = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.expand(query.shape[0], -1, -1, -1))
    return y.reshape(qkv.shape[1:])


def relative_positions(window_px: int) -> Tensor:
    """Index into the table for each pair of pixels, ``[N, N]``: how far the first is below and right of the second."""
    rows, columns = torch.arange(window_px).repeat_interleave(window_px), torch.arange(window_px).repeat(window_px)
    below = rows[:, None] - rows + window_px - 1
    right = columns[:, None] - columns + window_px - 1
    return below * (2 * window_px - 1) + right


def seam_masks(window_px: int, shift_px: int) -> Tensor:
    """Values added to the scores in windows inside, at the right, below and in the corner, ``[4, N, N]``."""
    wrapped = torch.arange(window_px) >= window_px - shift_px
    below, right = wrapped.repeat_interleave(window_px), wrapped.repeat(window_px)
    apart = (right[:, None] != right, below[:, None] != below)
    kinds = torch.stack([torch.zeros_like(apart[0]), apart[0], apart[1], apart[0] | apart[1]])
    return kinds * UNRELATED
