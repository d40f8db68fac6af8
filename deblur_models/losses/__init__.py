"""Losses: records with a weight, called with pictures in 0..1.

>>> import torch
>>> bool(Charbonnier()(torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)) > 0.99)
True
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blursynth.errors import InvalidValueError, did_you_mean
from deblur_models.losses.loss import Loss
from deblur_models.losses.pixel import Charbonnier

__all__ = ["ALL", "Charbonnier", "Loss", "make_loss"]

ALL: tuple[type[Loss], ...] = (Charbonnier,)
"""Every loss between a restored and a sharp picture."""


def make_loss(values: Mapping[str, Any]) -> Loss:
    """A loss from ``{"kind": "charbonnier", "weight": 1.0, ...}``.

    Raises
    ------
    InvalidValueError
        There is no such kind, or a field is unknown or out of range.
    """
    fields = dict(values)
    kinds = {loss.kind: loss for loss in ALL}
    kind = fields.pop("kind", None)
    if kind not in kinds:
        raise InvalidValueError(f"There is no loss {kind!r}.", fix=did_you_mean(str(kind), kinds))
    return kinds[kind](**fields)
