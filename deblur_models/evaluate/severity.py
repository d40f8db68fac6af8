"""Known properties of a pair's blur, independent of any restoration: its kinds and its width."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from blursynth.core import Degradation, Draw
from blursynth.errors import BlursynthError
from blursynth.frame import Encoding, Frame
from deblur_models.data.pair_set import PairSample

__all__ = ["PairFacts", "pair_facts", "severity_px"]

_LOG = logging.getLogger(__name__)

_LEAST_WIDTH_PX = 0.05  # a blur narrower than this changes no code of a picture


@dataclass(frozen=True)
class PairFacts:
    """Known properties of a pair's blur, independent of any restoration.

    ``severity_px`` is the root mean square width of the combined kernel (PSF) of the draw's blurs, in px; at the image
    center if it ``varies``; None if there is no draw, or if a varying blur cannot be reproduced without its depth map.
    ``kinds`` are the kinds of blur in the draw, except those that are too narrow to be visible.
    """

    index: int
    name: str
    source: str
    severity_px: float | None
    varies: bool
    known: bool
    kinds: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "kinds": list(self.kinds)}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> PairFacts:
        return PairFacts(**{**values, "kinds": tuple(values["kinds"])})


def pair_facts(index: int, sample: PairSample) -> PairFacts:
    """See :class:`PairFacts`."""
    draw = sample.draw
    if draw is None:
        return PairFacts(index, sample.name, sample.source, None, False, False, ())
    blurs = [step for _, step in draw.steps if type(step).blurs]
    kinds = {s.kind for s in blurs if (v := _variance(s)) is None or v > _LEAST_WIDTH_PX**2}
    varies = any(type(step).varies for _, step in draw.steps)
    return PairFacts(
        index, sample.name, sample.source, severity_px(draw, sample.geometry), varies, True, tuple(sorted(kinds))
    )


def severity_px(draw: Draw, geometry: Frame | None = None) -> float | None:
    """``sqrt(E|x - E x|^2)`` of the position x to which the draw's blurs send the light of a point, in px.

    Variances of consecutive blurs add up. A blur that varies over the picture is measured by the light of a point at
    the center of ``geometry``, a frame that gives the position of the picture; the result is None without it, or if
    such a blur needs depth or labels that are missing.

    Not counted: demosaicking, denoising and compression, which have no kernel of their own. Negative
    weights (sinc kernels) may lower the variance, at most to 0.
    """
    total = sum(v for v in (_variance(step) for _, step in draw.steps) if v is not None)
    if any(type(step).varies for _, step in draw.steps):
        varying = _varying_variance(draw, geometry)
        if varying is None:
            return None
        total += varying
    return math.sqrt(max(total, 0.0))


def _variance(step: Degradation) -> float | None:
    """The variance of a blur with a single kernel; None for anything else."""
    spread = step.point_spread()
    if spread is None:
        return None
    rows, columns, weight = spread.dy.astype(float), spread.dx.astype(float), spread.weight
    total = float(weight.sum())
    if not total:
        return 0.0
    center = float(weight @ rows) / total, float(weight @ columns) / total
    return float(weight @ ((rows - center[0]) ** 2 + (columns - center[1]) ** 2)) / total


def _varying_variance(draw: Draw, geometry: Frame | None) -> float | None:
    if geometry is None:
        return None
    height, width = geometry.size_px
    light = np.zeros((1, 3, height, width), np.float32)
    light[..., height // 2, width // 2] = 1.0
    frame = geometry.with_image(light, Encoding.LINEAR)
    try:
        for _, step in draw.steps:
            if type(step).varies or type(step).sets_geometry:
                frame = step(frame)
    except BlursynthError as error:
        _LOG.debug("the blur at the center of a picture is unknown: %s", error)
        return None
    arrived = np.asarray(frame.image[0].mean(axis=0), np.float64).clip(0.0, None)
    total = arrived.sum()
    if total <= 0:
        return None  # all of it left the picture
    rows, columns = np.arange(height, dtype=float), np.arange(width, dtype=float)
    by_row, by_column = arrived.sum(axis=1) / total, arrived.sum(axis=0) / total
    variance = by_row @ (rows - by_row @ rows) ** 2 + by_column @ (columns - by_column @ columns) ** 2
    return float(variance)
