"""Distances between the feature maps of a student and of its teacher."""

from __future__ import annotations

import torch
from torch import Tensor

from blursynth.errors import InvalidValueError

__all__ = ["attention_distance", "feature_distance"]

_TINY = 1e-12
"""Least divisor: a map of zeros is no direction and no scale."""


def feature_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """``mean_b |s_b - t_b|^2 / |t_b|^2``: the squared error of features ``[B, C, H, W]``, relative to the teacher's.

    1 is the error of a student whose features are all zero, whatever the layer and the network, so that weights carry
    over. FitNets takes half of ``|s - t|^2`` instead, whose scale is that of the layer. Maps of different shapes are
    an error.

    Source: A. Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015.
    """
    _check(student.shape, teacher.shape)
    student, teacher = _precise(student).flatten(1), _precise(teacher).flatten(1)
    return ((student - teacher).square().mean(1) / teacher.square().mean(1).clamp_min(_TINY)).mean()


def attention_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """``mean_b |a(s_b) / |a(s_b)| - a(t_b) / |a(t_b)||^2`` with ``a(f) = sum_c f_c^2``: where a layer is active.

    The maps ``a`` have one value per pixel, so the numbers of channels may differ. The distance is 0 for equal maps up
    to a factor, and at most 2. The authors' code divides it by the number of pixels, the paper takes its root.

    Source: S. Zagoruyko and N. Komodakis, "Paying More Attention to Attention", ICLR 2017, activation-based, p = 2.
    """
    _check(student.shape[-2:], teacher.shape[-2:])
    one, other = (
        torch.nn.functional.normalize(_precise(maps).square().sum(1).flatten(1), dim=1, eps=_TINY)
        for maps in (student, teacher)
    )
    return (one - other).square().sum(1).mean()


def _check(student: torch.Size, teacher: torch.Size) -> None:
    if student != teacher:
        raise InvalidValueError(
            f"Maps of student and teacher must have the same size, got {list(student)} and {list(teacher)}."
        )


def _precise(maps: Tensor) -> Tensor:
    return maps.float() if maps.element_size() < 4 else maps
