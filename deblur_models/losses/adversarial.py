"""Adversarial losses: what discriminator and generator are told about each other's answers.

A discriminator gives a tuple of maps of logits, one per scale or part (a double discriminator: two); every loss is the
mean over each map and over the maps.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor

from blursynth.core import Record

__all__ = ["AdversarialLoss", "Logits"]

Logits = tuple[Tensor, ...]


class AdversarialLoss(Record):
    """What a discriminator and a generator minimise.

    ``penalty_weight`` > 0 adds a gradient penalty to the discriminator's loss, in float32 whatever autocast chose.
    """

    kind: ClassVar[str]

    weight: float = Field(default=1.0, gt=0, le=1e6, description="factor of the generator's part in its sum of losses")
    penalty_weight: float = Field(default=0.0, ge=0, le=1e6, description="factor of the gradient penalty")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.kind = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    @abstractmethod
    def discriminator_loss(self, real: Logits, fake: Logits) -> Tensor:
        """What the discriminator minimises, from its answers to real and (detached) generated pictures."""

    @abstractmethod
    def generator_loss(self, real: Logits, fake: Logits) -> Tensor:
        """What the generator minimises; a relativistic loss compares with ``real``."""
