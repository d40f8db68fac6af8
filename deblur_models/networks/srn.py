"""SRN-DeblurNet: one encoder-decoder, applied at every scale from coarse to fine, with a memory between scales.

Source: X. Tao, H. Gao, X. Shen, J. Wang and J. Jia, "Scale-recurrent Network for Deep Image Deblurring", CVPR 2018.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from deblur_models.networks.network import Network, NetworkConfig
from deblur_models.networks.padding import PublishedPadding

__all__ = ["SRN", "SRNConfig"]

FORGET_BIAS = 1.0
"""Added to the forget gate, so that an untrained cell remembers: part of the equations, not of the weights."""


class SRNConfig(NetworkConfig):
    """SRN-DeblurNet; ``lstm`` is the published network, ``gray`` and ``color`` are its variants without memory.

    The published weights with memory take one channel: red, green and blue are restored separately, as three gray
    images. Only ``color`` processes them together.

    Not modeled: the clipping of the memory's gradient (norm 3), which is part of the training.
    """

    sizes: ClassVar = {
        "lstm": {},
        "gray": {"lstm": False},
        "color": {"channels": 3, "lstm": False},
        "tiny": {"channels": 3, "width": 12, "blocks": 1},
    }

    channels: Literal[1, 3] = Field(
        default=1, description="channels restored together; 1 treats red, green and blue as three images"
    )
    width: int = Field(default=32, ge=2, le=256, description="channels at full size; doubled at both lower levels")
    blocks: int = Field(default=3, ge=0, le=50, description="residual blocks of each encoder and decoder level")
    lstm: bool = Field(default=True, description="whether a convolutional LSTM carries a state from scale to scale")
    levels: int = Field(default=3, ge=1, le=5, description="number of scales, each half the size of the previous one")

    @property
    def multiple_px(self) -> int:
        return int(4 * 2 ** (self.levels - 1))

    @property
    def scales(self) -> tuple[float, ...]:
        return tuple(0.5**level for level in range(self.levels))

    @property
    def published_padding(self) -> PublishedPadding:
        """That of ``test`` in models/model.py with the sides in run_model.py; larger images keep their size,
        although they are downscaled there."""
        return PublishedPadding("edge", self.multiple_px, landscape=True, least_px=(720, 1280))

    def build(self) -> SRN:
        return SRN(self)

    def from_original(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The variables of a TensorFlow 1 checkpoint that was exported as arrays, renamed.

        Kernels change from height, width, in, out to out, in, height, width (of a transposed convolution: from height,
        width, out, in to in, out, height, width, the same permutation). State of the optimizer (``Adam`` slots,
        ``beta1_power``, ``beta2_power``, the step ``Variable``) is dropped; other unknown names are kept.
        """
        ours = {}
        for name, value in state.items():
            original = name.removesuffix(":0")
            if original in ("beta1_power", "beta2_power", "Variable") or re.search(r"/Adam(_\d+)?$", original):
                continue
            known = re.fullmatch(r"g_net/(.+)/(weights|biases)", original)
            layer = self._layer(known[1]) if known else None
            if known is None or layer is None:
                ours[name] = value
            elif known[2] == "weights":
                ours[f"{layer}.weight"] = value.permute(3, 2, 0, 1).contiguous()
            else:
                ours[f"{layer}.bias"] = value
        return ours

    def _layer(self, scope: str) -> str | None:
        """The name here of a layer of the published code, for example encoders.1.3.conv1 for ``enc2_3/conv1``."""
        if scope == "convLSTM/LSTM_conv":
            return "lstm.gates"
        if scope == "dec1_0":
            return "ending"
        known = re.fullmatch(r"(enc|dec)([123])_(\d+)((?:/conv[12])?)", scope)
        if known is None:
            return None
        way, level, place, inside = known[1], int(known[2]), int(known[3]), known[4].replace("/", ".")
        if way == "enc" and place == 1 and not inside:
            return f"encoders.{level - 1}.0"  # entry 1 is its ReLU
        if way == "enc" and 2 <= place <= self.blocks + 1 and inside:
            return f"encoders.{level - 1}.{place}{inside}"
        if way == "dec" and place == self.blocks + 1 and level < 3 and not inside:
            return f"ups.{2 - level}"
        if way == "dec" and 1 <= place <= self.blocks and inside:
            return f"decoders.{3 - level}.{self.blocks - place}{inside}"  # the original counts down
        return None


class SRN(Network):
    """See :class:`SRNConfig`. Padding and resizing are those of the published TensorFlow code."""

    config: SRNConfig

    def __init__(self, config: SRNConfig) -> None:
        super().__init__(config)
        widths = [config.width, 2 * config.width, 4 * config.width]

        def blocks(width: int) -> list[nn.Module]:
            return [ResBlock(width) for _ in range(config.blocks)]

        self.encoders = nn.ModuleList(
            nn.Sequential(SameConv2d(before, width, 5, stride), nn.ReLU(), *blocks(width))
            for before, width, stride in zip([2 * config.channels, *widths], widths, (1, 2, 2), strict=False)
        )
        self.lstm = ConvLSTM(widths[-1]) if config.lstm else None
        self.decoders = nn.ModuleList(nn.Sequential(*blocks(width)) for width in reversed(widths))
        self.ups = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 4, stride=2, padding=1) for w in reversed(widths[:-1]))
        self.ending = SameConv2d(config.width, config.channels, 5)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # every layer here has one
        if self.lstm is not None:
            nn.init.trunc_normal_(self.lstm.gates.weight, std=1e-3, a=-2e-3, b=2e-3)

    def restore(self, blurred: Tensor) -> tuple[Tensor, ...]:
        batch, channels, height, width = blurred.shape
        blurred = blurred.reshape(-1, self.config.channels, height, width)
        outputs: list[Tensor] = []
        state: tuple[Tensor, Tensor] | None = None
        for level in reversed(range(self.config.levels)):
            seen = every_nth(blurred, 2**level)
            # No gradient flows back through the coarser result.
            guess = double(outputs[-1].detach()) if outputs else seen
            if state is not None:
                state = double(state[0]), double(state[1])
            restored, state = self.one_scale(torch.cat((seen, guess), 1), state)
            outputs.append(restored)
        return tuple(x.reshape(batch, channels, *x.shape[-2:]) for x in reversed(outputs))

    def one_scale(self, x: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        """Map blurred image and guess ``[B, 2 C, H, W]`` to the restored image and the new state."""
        skips = []
        for encoder in self.encoders:
            x = encoder(x)
            skips.append(x)
        if self.lstm is not None:
            state = self.lstm(x, state)
            x = state[1]
        x = self.decoders[0](x)
        for up, decoder, skip in zip(self.ups, self.decoders[1:], reversed(skips[:-1]), strict=True):
            x = decoder(F.relu(up(x)) + skip)
        return self.ending(x), state

    def targets(self, sharp: Tensor) -> tuple[Tensor, ...]:
        """The sharp image at every scale, subsampled without smoothing, as the published code does with both images.

        A mean over 2 x 2 pixels would be shifted by half a pixel with respect to the network's input.
        """
        return tuple(every_nth(sharp, 2**level) for level in range(self.config.levels))


class ResBlock(nn.Module):
    """``x + conv(relu(conv(x)))``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = SameConv2d(width, width, 5)
        self.conv2 = SameConv2d(width, width, 5)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.conv2(F.relu(self.conv1(x)))
        return x + residual


class ConvLSTM(nn.Module):
    """A long short-term memory whose weights are 3 x 3 convolutions; the state is cell and output.

    ``i, j, f, o = conv([x, h])``, in this order;
    ``c' = sigmoid(f + 1) c + sigmoid(i) tanh(j)`` and ``h' = sigmoid(o) tanh(c')``.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gates = SameConv2d(2 * width, 4 * width, 3)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        cell, output = (torch.zeros_like(x), torch.zeros_like(x)) if state is None else state
        i, j, f, o = self.gates(torch.cat((x, output), 1)).chunk(4, 1)
        cell = torch.sigmoid(f + FORGET_BIAS) * cell + torch.sigmoid(i) * torch.tanh(j)
        return cell, torch.sigmoid(o) * torch.tanh(cell)


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's ``SAME`` padding: ``ceil(n / stride)`` output pixels, the odd zero at the end.

    5 x 5 with stride 2 on an even side: one zero before, two after; PyTorch's ``padding=2`` is shifted by a pixel.
    """

    def __init__(self, before: int, after: int, kernel_px: int, stride: int = 1) -> None:
        super().__init__(before, after, kernel_px, stride)

    def forward(self, x: Tensor) -> Tensor:
        padding = []
        for side, kernel, stride in zip(x.shape[:-3:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            missing = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            padding += [missing // 2, missing - missing // 2]
        if all(zeros == padding[0] for zeros in padding):  # the same everywhere: no copy is needed
            return F.conv2d(x, self.weight, self.bias, self.stride, padding[0])
        return F.conv2d(F.pad(x, padding), self.weight, self.bias, self.stride)


def every_nth(x: Tensor, n: int) -> Tensor:
    """TensorFlow 1's bilinear resize to 1/n: output pixel i is at ``n i``, exactly at an input pixel."""
    return x if n == 1 else x[..., ::n, ::n]


def double(x: Tensor) -> Tensor:
    """TensorFlow 1's bilinear resize to twice the size: output pixel i is at ``i / 2``; the last row is repeated.

    This equals resizing with aligned corners after repeating the edge once.
    """
    height, width = x.shape[-2:]
    wider = F.pad(x, (0, 1, 0, 1), mode="replicate")
    return F.interpolate(wider, size=(2 * height + 1, 2 * width + 1), mode="bilinear", align_corners=True)[
        ..., :-1, :-1
    ]
