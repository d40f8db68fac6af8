"""Layers used by several architectures."""

from __future__ import annotations

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from blursynth.errors import InvalidValueError
from deblur_models.networks.network import NormPolicy
from deblur_models.networks.padding import mirror_pad

__all__ = [
    "Dropout",
    "LayerNorm2d",
    "LocalPx",
    "MirrorPad",
    "Norm2d",
    "check_local_px",
    "draw_normal_weights",
    "gelu",
    "window_mean",
    "with_norm_policy",
]

LocalPx = Annotated[
    int,
    Field(
        ge=0,
        le=4096,
        description="side in px of the window over which averages are taken at inference (published 384: 1.5 times the "
        "training patches of 256); 0: the whole image, so that results depend on its size",
    ),
]


def check_local_px(local_px: int, multiple_px: int) -> None:
    if 0 < local_px < multiple_px:
        raise ValueError(
            f"local_px must be 0 or >= {multiple_px}, got {local_px}. "
            "The window would have no pixel at the lowest level."
        )


class LayerNorm2d(nn.Module):
    """Normalizes the channels of each pixel: ``(x - mean) / sqrt(variance + epsilon) * weight + bias``.

    Statistics are computed in float32 even under autocast, since the variance of small values underflows in half
    precision.
    """

    def __init__(self, channels: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        if torch.compiler.is_exporting():  # six operators instead of twenty
            y = y - y.mean(1, keepdim=True)
            y = y / torch.sqrt((y * y).mean(1, keepdim=True) + self.epsilon)
        else:
            variance, mean = torch.var_mean(y, dim=1, keepdim=True, correction=0)
            y = (y - mean) * torch.rsqrt(variance + self.epsilon)
        return (y.to(x.dtype)) * self.weight[:, None, None] + self.bias[:, None, None]


def gelu(x: Tensor) -> Tensor:
    """``x / 2 (1 + erf(x / sqrt(2)))``."""
    if torch.compiler.is_exporting():  # OpenCV 5.0 crashes where it finds the usual form of five operators
        half = 0.5 * x
        return half + half * torch.erf(math.sqrt(0.5) * x)
    return F.gelu(x)


def window_mean(x: Tensor, window_px: int) -> Tensor:
    """The mean over a square window around each pixel, ``[B, C, H, W]``, or ``[B, C, 1, 1]`` if it covers the image.

    Windows that would extend beyond the image are shifted inwards, as in the published conversion. Sums are computed in
    float64, since running sums in float32 are not precise enough for attention.
    """
    height, width = x.shape[-2:]
    if torch.compiler.is_exporting():
        return _window_mean_of_any_size(x, window_px)
    rows, columns = min(window_px, height), min(window_px, width)
    if (rows, columns) == (height, width):
        return x.mean((2, 3), keepdim=True)
    sums = F.pad(x.double().cumsum(-1).cumsum(-2), (1, 0, 1, 0))
    strips = sums[..., rows:, :] - sums[..., :-rows, :]
    means = (strips[..., columns:] - strips[..., :-columns]) / (rows * columns)
    above, before = (rows - 1) // 2, (columns - 1) // 2
    missing = (before, width - means.shape[-1] - before, above, height - means.shape[-2] - above)
    return F.pad(means.to(x.dtype), missing, mode="replicate")


def _window_mean_of_any_size(x: Tensor, window_px: int) -> Tensor:
    """:func:`window_mean` without branches on the size, for graphs that take every size; always ``[B, C, H, W]``."""
    sums = F.pad(x.double().cumsum(-1).cumsum(-2), (1, 0, 1, 0))
    for dim in (-2, -1):
        length = x.shape[dim]
        window = torch.sym_min(window_px, length)  # type: ignore[no-untyped-call]  # as torch has it
        first = (torch.arange(length, device=x.device) - (window - 1) // 2).clamp(min=0)
        first = torch.minimum(first, torch.full_like(first, length - window))
        sums = (sums.index_select(dim, first + window) - sums.index_select(dim, first)) / window
    return sums.to(x.dtype)


class Norm2d(nn.Module):
    """Normalizes each channel: ``(x - mean) / sqrt(variance + epsilon) * weight + bias``, then applies an activation.

    ``policy`` determines mean and variance (see :data:`~deblur_models.networks.network.NormPolicy`), and whether
    ``train()`` and ``eval()`` differ. Only ``running`` has buffers; it cannot be trained on a single value per channel.
    A channel of a single pixel has no variance: by its own statistics it becomes ``bias``.

    Not modeled: statistics over the processes of a distributed run (each process uses its part of the batch).
    """

    def __init__(
        self,
        channels: int,
        policy: NormPolicy,
        *,
        affine: bool = False,
        epsilon: float = 1e-5,
        momentum: float = 0.1,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.policy = policy
        self.epsilon = epsilon
        self.momentum = momentum
        self.act = nn.Identity() if activation is None else activation
        self.weight: Tensor | None
        self.bias: Tensor | None
        self.register_parameter("weight", nn.Parameter(torch.ones(channels)) if affine else None)
        self.register_parameter("bias", nn.Parameter(torch.zeros(channels)) if affine else None)
        if policy == "running":
            self.register_buffer("running_mean", torch.zeros(channels))
            self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        if self.policy == "running":
            if self.training and batch * height * width == 1:
                raise InvalidValueError(
                    f"Normalization with running statistics cannot be trained on one value per channel, got a map of "
                    f"shape {list(x.shape)}.",
                    why="A single value has no variance.",
                    fix="Use larger patches or batches, or norm = 'instance'.",
                )
            y = F.batch_norm(
                x,
                self.get_buffer("running_mean"),
                self.get_buffer("running_var"),
                self.weight,
                self.bias,
                training=self.training,
                momentum=self.momentum,
                eps=self.epsilon,
            )
        elif height * width * (batch if self.policy == "batch_stats" else 1) == 1:
            y = x - x if self.bias is None else x - x + self.bias[:, None, None].to(x.dtype)
        else:
            # In float32 even under autocast: without weights, torch would round the mean to half precision.
            z = x.float() if x.element_size() < 4 else x
            weight, bias = (None if w is None else w.to(z.dtype) for w in (self.weight, self.bias))
            if self.policy == "batch_stats":
                z = F.batch_norm(z, None, None, weight, bias, training=True, eps=self.epsilon)
            else:
                z = F.instance_norm(z, weight=weight, bias=bias, eps=self.epsilon)
            y = z.to(x.dtype)
        activated: Tensor = self.act(y)
        return activated

    def extra_repr(self) -> str:
        return f"policy={self.policy!r}, affine={self.weight is not None}, epsilon={self.epsilon}"


def with_norm_policy(module: nn.Module, policy: NormPolicy) -> None:
    """Replace every batch norm in a module by a :class:`Norm2d` with this policy and its weights and activation.

    Names of weights do not change.
    """
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d):
            norm = Norm2d(
                child.num_features,
                policy,
                affine=child.affine,
                epsilon=child.eps,
                momentum=0.1 if child.momentum is None else child.momentum,
                activation=getattr(child, "act", None),  # timm's batch norm includes its activation
            )
            norm.weight, norm.bias = child.weight, child.bias
            setattr(module, name, norm)
        else:
            with_norm_policy(child, policy)


class Dropout(nn.Module):
    """Sets values to zero with a probability and divides the others by ``1 - probability``.

    ``in_use``: also after ``eval()``, so that each call draws from torch's generator.
    """

    def __init__(self, probability: float, *, in_use: bool = False) -> None:
        super().__init__()
        self.probability = probability
        self.in_use = in_use

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.probability, training=self.training or self.in_use)

    def extra_repr(self) -> str:
        return f"probability={self.probability}, in_use={self.in_use}"


class MirrorPad(nn.Module):
    """:func:`mirror_pad` with the same width on all sides."""

    def __init__(self, width_px: int) -> None:
        super().__init__()
        self.width_px = width_px

    def forward(self, x: Tensor) -> Tensor:
        return mirror_pad(x, self.width_px, self.width_px, self.width_px, self.width_px)

    def extra_repr(self) -> str:
        return f"width_px={self.width_px}"


def draw_normal_weights(module: nn.Module, deviation: float = 0.02) -> None:
    """Draw the weights of convolutions from ``N(0, deviation**2)`` and set biases to 0, as in pix2pix."""
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(part.weight, 0.0, deviation)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
