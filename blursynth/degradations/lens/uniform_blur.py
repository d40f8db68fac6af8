"""Base of all blurs with one point spread per picture."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar, Self

from blursynth.backends import for_array
from blursynth.backends.borders import margins_px
from blursynth.core import BorderName, Degradation, cropped, in_groups
from blursynth.frame import Border, Frame, Window
from blursynth.physics.point_spread import PointSpreads

__all__ = ["UniformBlur"]


class UniformBlur(Degradation):
    """Convolution with one point spread per picture, in linear light: ``y(p) = sum_t k(t) x(p - t)``.

    Not modeled: any change of the blur across the picture.
    """

    blurs: ClassVar[bool] = True
    in_one_call: ClassVar[bool] = True

    border: BorderName = "reflect"

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
        def blurred(alike: Sequence[Self], part: Frame) -> Frame:
            psf = PointSpreads.concatenate([step.point_spread() for step in alike])
            return part.with_image(for_array(part.image).convolve(part.image, psf, border=Border(alike[0].border)))

        return in_groups(steps, frame, lambda step: step.border, blurred)

    @classmethod
    def apply_within(cls, steps: Sequence[Self], frame: Frame, window: Window) -> Frame:
        psf = PointSpreads.concatenate([step.point_spread() for step in steps])
        above, below, before, behind = margins_px(psf.dy, psf.dx)
        (top, left, height, width), (rows, columns) = window, frame.size_px
        top, left, height, width = top - above, left - before, height + above + below, width + before + behind
        if top < 0 or left < 0 or top + height > rows or left + width > columns:
            return super().apply_within(steps, frame, window)
        # No border is seen, and the result is contiguous: the next step need not copy it.
        part = frame.image[..., top : top + height, left : left + width]
        image = for_array(part).convolve(part, psf, border=Border.VALID)
        return cropped(frame, window).with_image(image)


@lru_cache(maxsize=512)
def _remembered(blur: UniformBlur) -> PointSpreads:
    return blur.make_point_spread()
