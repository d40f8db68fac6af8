"""The base classes of networks that learn to blur, from sharp images and noise to blurred images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from blursynth.errors import InvalidValueError
from deblur_models.networks.network import Architecture

__all__ = ["BlurGenerator", "BlurGeneratorConfig"]


class BlurGeneratorConfig(Architecture):
    """The parameters of a network that blurs; it computes with values 0..1 and accepts images of any size."""

    noise_numbers: int = Field(default=4, ge=1, le=256, description="number of random values that select the blur")

    @abstractmethod
    def build(self) -> BlurGenerator: ...


class BlurGenerator(nn.Module, ABC):
    """A network that blurs: maps sharp images ``[B, 3, H, W]``, encoded, 0..1, and noise to blurred ones.

    Subclasses implement :meth:`blur`. Its blur cannot be replayed from a record and has no known kernel.
    """

    def __init__(self, config: BlurGeneratorConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def blur(self, sharp: Tensor, noise: Tensor) -> Tensor:
        """Blurred images with the shape of ``sharp``; noise ``[B, noise_numbers]`` from N(0, 1)."""

    def forward(self, sharp: Tensor, noise: Tensor, *, every_scale: bool = False) -> Any:
        """The blurred image; with ``every_scale`` as a tuple, like the outputs of multi-scale networks.

        Raises
        ------
        InvalidValueError
            The inputs are not ``[B, 3, H, W]`` and ``[B, noise_numbers]``, or not floating-point.
        """
        kind = self.config.kind
        if sharp.ndim != 4 or sharp.shape[1] != 3 or not sharp.is_floating_point():
            raise InvalidValueError(
                f"{kind} blurs floating-point tensors [B, 3, H, W] with values 0..1, got {sharp.dtype} "
                f"of shape {list(sharp.shape)}.",
                fix="Convert 8-bit codes with x / 255; repeat a gray image over three channels.",
            )
        expected = (len(sharp), self.config.noise_numbers)
        if tuple(noise.shape) != expected or not noise.is_floating_point():
            raise InvalidValueError(
                f"{kind} takes floating-point noise of shape {list(expected)}, got {noise.dtype} of shape "
                f"{list(noise.shape)}.",
                why="Each image has its own random values, which apply to all its pixels.",
                fix="Draw them with network.noise(len(sharp), generator).",
            )
        blurred = self.blur(sharp, noise)
        return (blurred,) if every_scale else blurred

    def noise(self, pictures: int, generator: torch.Generator | None = None) -> Tensor:
        """Values from N(0, 1) for this many images, by default from torch's generator.

        They are drawn on the CPU, so that they do not depend on the device of the network.
        """
        return torch.randn(pictures, self.config.noise_numbers, generator=generator, device="cpu")

    @torch.no_grad()
    def blur_by_seed(self, sharp: Tensor, seeds: Sequence[int]) -> Tensor:
        """Blurred images, each with noise that is a function of its seed, without gradients."""
        noise = torch.cat([self.noise(1, torch.Generator().manual_seed(seed)) for seed in seeds])
        blurred: Tensor = self(sharp, noise.to(sharp))
        return blurred

    def input_and_target(
        self, sharp: Tensor, blurred: Tensor, generator: torch.Generator | None = None
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """The network's input and target for a pair; noise is drawn from ``generator``."""
        return (sharp, self.noise(len(sharp), generator).to(sharp)), blurred

    def targets(self, blurred: Tensor) -> tuple[Tensor, ...]:
        """The target of each output."""
        return (blurred,)
