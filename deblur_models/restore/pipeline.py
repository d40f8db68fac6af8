"""Restorers one after the other, such as a classical method before a network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from blursynth.errors import InvalidValueError
from deblur_models.restore.restorer import Restorer

__all__ = ["Pipeline"]


class Pipeline:
    """Restorers one after the other; each gets the picture of the one before it, clipped to 0..1.

    Every step that needs a kernel gets that of the blurred picture. So a method that needs one belongs at the start:
    after another restoration, the kernel is no longer that of the picture.

    Parameters
    ----------
    steps
        At least two restorers.
    name
        By default those of the steps: ``wiener + photographs``.

    Raises
    ------
    InvalidValueError
        There are fewer than two steps.

    Notes
    -----
    A network that was not trained on the output of the method before it meets noise and ringing that it has not seen,
    and may amplify them: measure a pipeline against each step alone.
    """

    def __init__(self, steps: Sequence[Restorer], name: str | None = None) -> None:
        if len(steps) < 2:
            raise InvalidValueError(f"A pipeline needs at least two restorers, got {len(steps)}.")
        self.steps = tuple(steps)
        self.name = name if name is not None else " + ".join(step.name for step in steps)

    @property
    def needs_kernel(self) -> bool:
        return any(step.needs_kernel for step in self.steps)

    def restore(self, blurred: Tensor, kernels: NDArray[np.floating] | None = None) -> Tensor:
        picture = blurred
        for number, step in enumerate(self.steps):
            given = picture.clamp(0.0, 1.0) if number else picture
            picture = step.restore(given, kernels if step.needs_kernel else None)
        return picture
