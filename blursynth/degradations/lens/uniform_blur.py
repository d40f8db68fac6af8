"""Base of all blurs with one point spread per picture."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar, Self

import numpy as np
from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import BorderName, Degradation
from blursynth.frame import Border, Frame
from blursynth.physics.point_spread import PointSpreads

__all__ = ["UniformBlur"]


class UniformBlur(Degradation):
    """Convolution with one point spread per picture, in linear light: ``y(p) = sum_t k(t) x(p - t)``.

    Not modeled: any change of the blur across the picture.
    """

    blurs: ClassVar[bool] = True

    border: BorderName = Field(
        default="reflect", description="continuation of the picture beyond its edge; data sets crop such pixels"
    )

    @abstractmethod
    def make_point_spread(self) -> PointSpreads:
        """The point spread of this record, a batch of one."""

    def point_spread(self) -> PointSpreads:
        """The point spread of this record, a batch of one; remembered, since margin and blur both need it."""
        return _remembered(self)

    def reach_px(self, frame: Frame) -> int | None:
        return int(self.point_spread().reach_px()[0])

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        # One call per border; the pictures then go back to their places.
        order, blurred = [], []
        for border in sorted({step.border for step in steps}):
            chosen = [b for b, step in enumerate(steps) if step.border == border]
            psf = PointSpreads.concatenate([steps[b].point_spread() for b in chosen])
            part = frame if len(chosen) == len(steps) else frame[chosen]
            image = for_array(part.image).convolve(part.image, psf, border=Border(border))
            order.extend(chosen)
            blurred.append(part.with_image(image))
        if len(blurred) == 1:
            return blurred[0]
        return frame.with_image(Frame.stack(blurred)[np.argsort(order).tolist()].image)


@lru_cache(maxsize=512)
def _remembered(blur: UniformBlur) -> PointSpreads:
    return blur.make_point_spread()
