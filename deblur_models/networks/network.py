"""The base classes of restoration networks: a typed configuration, and images of any size in 0..1."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn

from blursynth.errors import InvalidValueError, did_you_mean
from blursynth.records.kind import Kind
from deblur_models.networks.padding import PublishedPadding, mirror_pad

__all__ = [
    "RANGES",
    "Architecture",
    "Network",
    "NetworkConfig",
    "NormPolicy",
    "ValueRange",
    "renamed",
    "unused_statistics",
]

ValueRange = Literal["unit", "symmetric", "centered_bytes"]
"""The value range of a network: 0..1, -1..1, or codes 0..255 minus 127.5 (DeepDeblur)."""

RANGES: Mapping[ValueRange, tuple[float, float]] = {
    "unit": (1.0, 0.0),
    "symmetric": (2.0, -1.0),
    "centered_bytes": (255.0, -127.5),
}
"""``inside = scale * picture + offset`` for each range."""

NormPolicy = Literal["instance", "batch_stats", "running"]
"""The statistics of a normalization in training and inference, so that ``eval()`` has a well-defined meaning:

``instance`` uses the statistics of each image; ``batch_stats`` those of the current batch, also at inference (as
"inference in train mode" does); ``running`` those of the batch in training and their running mean at inference (the
usual batch norm).
"""

MOST_LEVELS, MOST_BLOCKS = 16, 512
"""Limits for lists of numbers per level or group; known networks are far below them."""


class Architecture(Kind):
    """The parameters of an architecture, restoration network or discriminator; :meth:`build` creates the module.

    ``sizes`` names presets: the published one first, and ``tiny`` for tests and for training on a CPU.
    """

    suffix: ClassVar[str] = "Config"
    sizes: ClassVar[Mapping[str, Mapping[str, Any]]]

    @model_validator(mode="after")
    def _check_lists(self) -> Self:
        # Checkpoints are untrusted, and a network is built before it is compared.
        for name, value in self.fields().items():
            if isinstance(value, tuple) and (len(value) > MOST_LEVELS or max(value, default=0) > MOST_BLOCKS):
                raise InvalidValueError(
                    f"{name} must be at most {MOST_LEVELS} numbers up to {MOST_BLOCKS}, got {len(value)} up to "
                    f"{max(value, default=0)}.",
                    field=name,
                    value=value,
                )
        return self

    @classmethod
    def from_fields(cls, **fields: Any) -> Self:
        """The configuration with the given fields, among them optionally ``size``."""
        size = fields.pop("size", None)
        return (
            cls(**fields) if size is None and fields.keys() >= cls.model_fields.keys() else cls.of_size(size, **fields)
        )

    @classmethod
    def of_size(cls, size: str | int | None = None, **changes: Any) -> Self:
        """The configuration of a named size (the published one by default), with some fields changed.

        An integer is converted to a string, since sizes are often named after their width.
        """
        name = next(iter(cls.sizes)) if size is None else size
        if isinstance(name, int) and not isinstance(name, bool):
            name = str(name)
        if not isinstance(name, str) or name not in cls.sizes:
            raise InvalidValueError(f"{cls.kind} has no size {size!r}.", fix=did_you_mean(str(size), cls.sizes))
        return cls(**{**cls.sizes[name], **changes})

    @abstractmethod
    def build(self) -> nn.Module:
        """Create the module with random weights from torch's generator."""

    def from_original(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state of a checkpoint of the published code, renamed for this implementation.

        Names unknown to the mapping are kept, so that a comparison can show them.
        """
        return dict(state)


class NetworkConfig(Architecture):
    """The parameters of a restoration network.

    ``value_range`` is its internal value range; the sides of its input must be multiples of ``multiple_px`` (it pads
    automatically); ``scales`` are the sides of its outputs as fractions of the image's, finest first.
    """

    value_range: ClassVar[ValueRange] = "unit"
    sees_everything: ClassVar[bool] = False
    """Whether every pixel of the result depends on the whole image (global averages or attention)."""

    @property
    @abstractmethod
    def multiple_px(self) -> int: ...

    @property
    def scales(self) -> tuple[float, ...]:
        return (1.0,)

    @property
    def published_padding(self) -> PublishedPadding | None:
        """How the published code pads images in its tests; None if it has no rule for other sides."""
        return None

    @abstractmethod
    def build(self) -> Network: ...


class Network(nn.Module, ABC):
    """A restoration network, which maps blurred images ``[B, 3, H, W]`` of any size, 0..1, to restored ones.

    Subclasses implement :meth:`restore`, which gets sides that are multiples of ``config.multiple_px`` and values in
    ``config.value_range``. Outputs may be outside 0..1; they are clipped when images are written.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def restore(self, blurred: Tensor) -> tuple[Tensor, ...]:
        """Restored images, in the order of ``config.scales``."""

    def forward(self, blurred: Tensor, *, every_scale: bool = False) -> Any:
        """The restored image, or with ``every_scale`` a tuple with the outputs of coarser scales and stages, too.

        Raises
        ------
        InvalidValueError
            The input is not a floating-point ``[B, 3, H, W]`` tensor.
        """
        if blurred.ndim != 4 or blurred.shape[1] != 3 or not blurred.is_floating_point():
            raise InvalidValueError(
                f"A network takes floating-point tensors [B, 3, H, W] with values 0..1, got {blurred.dtype} "
                f"of shape {list(blurred.shape)}.",
                fix="Convert 8-bit codes with x / 255; repeat a gray image over three channels.",
            )
        height, width = blurred.shape[-2:]
        scale, offset = RANGES[self.config.value_range]
        padded = pad_to_multiple(blurred, self.config.multiple_px)
        outputs = self.restore(padded if scale == 1.0 else padded * scale + offset)
        if not every_scale:
            outputs = outputs[:1]
        pictures = tuple(
            (output if scale == 1.0 else (output - offset) / scale)[
                ..., : -(-height // round(1 / side)), : -(-width // round(1 / side))
            ]
            for output, side in zip(outputs, self.config.scales, strict=False)
        )
        return pictures if every_scale else pictures[0]

    def input_and_target(
        self, sharp: Tensor, blurred: Tensor, generator: torch.Generator | None = None
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """The network's input and target for a pair; nothing is random."""
        return (blurred,), sharp

    def targets(self, sharp: Tensor) -> tuple[Tensor, ...]:
        """The target of each output: the sharp image at the scales of the outputs (antialiased bilinear)."""
        return tuple(
            sharp
            if side == 1.0
            else F.interpolate(
                sharp,
                size=tuple(-(-n // round(1 / side)) for n in sharp.shape[-2:]),
                mode="bilinear",
                antialias=True,
                align_corners=False,
            )
            for side in self.config.scales
        )


def pad_to_multiple(picture: Tensor, multiple_px: int) -> Tensor:
    """Pad the image at the lower right until its sides are multiples; see :func:`mirror_pad`."""
    height, width = picture.shape[-2:]
    return mirror_pad(picture, 0, -width % multiple_px, 0, -height % multiple_px)


def renamed(state: Mapping[str, Tensor], *rules: tuple[str, str | Callable[[re.Match[str]], str]]) -> dict[str, Tensor]:
    """A state whose names were changed by each rule ``(pattern, replacement)`` in turn."""
    found = {}
    for name, tensor in state.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        found[name] = tensor
    return found


def unused_statistics(policy: NormPolicy) -> tuple[str, ...]:
    """Endings of the names of running statistics in published checkpoints that a policy does not use."""
    return (".num_batches_tracked", *(() if policy == "running" else (".running_mean", ".running_var")))


def count_weights(module: nn.Module) -> int:
    """Number of trainable and frozen weights; buffers are not counted."""
    return sum(p.numel() for p in module.parameters())


def device_of(module: nn.Module) -> torch.device:
    return next(module.parameters()).device
