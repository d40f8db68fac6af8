"""Scores against every sharp picture along the camera's path, after Köhler et al. (2012).

A photograph blurred by camera motion has no single sharp counterpart. Their benchmark contains, for each of 48 blurred
photographs, about 199 sharp ones taken along the path, and the best score against them counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from blursynth.errors import InvalidValueError, did_you_mean
from deblur_models.metrics.metric import luma
from deblur_models.metrics.ssim import ms_ssim, ssim

__all__ = ["EmptyBorder", "Measure", "TrajectoryScore", "best_over_trajectory"]

Measure = Literal["psnr", "ssim", "ms_ssim"]

EmptyBorder = Literal["counted", "cut"]
"""Treatment of the border that a shift empties: set to 0 in both pictures and ``counted`` as equal (the published
script), or ``cut``."""


@dataclass(frozen=True)
class TrajectoryScore:
    """The best score, the sharp picture that gave it, and how the restored one was matched: its values multiplied by
    ``scale``, shifted by ``shift_px`` (rows, columns). ``values`` holds the scores against all."""

    value: float
    reference: int
    shift_px: tuple[int, int]
    scale: float
    values: tuple[float, ...]


def best_over_trajectory(
    restored: Tensor,
    references: Iterable[Tensor],
    *,
    measure: Measure = "psnr",
    empty_border: EmptyBorder = "counted",
) -> TrajectoryScore:
    """The best score of a restored picture ``[3, H, W]`` over sharp ones along the path of the camera.

    For each reference ``x``: the restored picture ``z`` is scaled by ``<x, z> / <z, z>`` over all pixels and channels;
    the integer shift with the highest circular cross-correlation of their channel means is found (of any size);
    ``z`` is shifted by it; both are converted to luma and compared.

    Parameters
    ----------
    restored
        ``[3, H, W]``, 0..1. The published script reads 8-bit files: round to k / 255 to compare with published values.
    references
        ``[3, H, W]`` each; may be a generator that reads them one by one.
    measure
        ``psnr`` with peak 1 (the paper), ``ssim`` or ``ms_ssim`` (our versions: the script's windows at the border
        differ).
    empty_border
        See :data:`EmptyBorder`.

    Raises
    ------
    InvalidValueError
        There are no references, or shapes differ.

    Notes
    -----
    Scaling by least squares makes the score independent of exposure; it also favors a picture that is too dark
    everywhere. The published list excludes one damaged reference (picture 1, path 3, reference 30); exclude it from
    ``references``.

    Source: R. Köhler, M. Hirsch, B. Mohler, B. Schölkopf, S. Harmeling, "Recording and playback of camera shake", ECCV
    2012, and the steps of its evaluation script.
    """
    scores: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "psnr": lambda a, b: -10.0 * torch.log10((a - b).square().mean(dim=(1, 2, 3))),
        "ssim": ssim,
        "ms_ssim": ms_ssim,
    }
    if measure not in scores:
        raise InvalidValueError(f"There is no measure {measure!r}.", fix=did_you_mean(str(measure), scores))
    if empty_border not in ("counted", "cut"):
        raise InvalidValueError(
            f"There is no empty_border {empty_border!r}.", fix=did_you_mean(str(empty_border), ("counted", "cut"))
        )
    if restored.ndim != 3 or restored.shape[0] != 3:
        raise InvalidValueError(f"Pictures [3, H, W] are scored one at a time, got shape {list(restored.shape)}.")
    z = restored.double().clamp(0.0, 1.0)
    spectrum = torch.fft.rfft2(z.mean(dim=0)).conj()
    energy = float((z * z).sum())
    if energy == 0:
        raise InvalidValueError("The restored picture is entirely black, so it cannot be scaled to a sharp one.")
    results = []
    for number, reference in enumerate(references):
        if reference.shape != restored.shape:
            raise InvalidValueError(
                f"Reference {number} has shape {list(reference.shape)}, but the picture has {list(restored.shape)}."
            )
        x = reference.to(z).clamp(0.0, 1.0)
        scale = float((x * z).sum()) / energy
        # The scale is positive, so it does not move the peak of the correlation.
        correlation = torch.fft.irfft2(torch.fft.rfft2(x.mean(dim=0)) * spectrum, s=z.shape[-2:])
        shift = _signed(int(correlation.argmax()), z.shape[-2], z.shape[-1])
        ours, theirs = _overlap(scale * z, x, shift, empty_border)
        value = float(scores[measure](luma(ours[None]), luma(theirs[None])))
        results.append((value, number, shift, scale))
    if not results:
        raise InvalidValueError("There are no references to compare with.")
    value, number, shift, scale = max(results, key=lambda r: -math.inf if math.isnan(r[0]) else r[0])
    return TrajectoryScore(value, number, shift, scale, tuple(r[0] for r in results))


def _signed(place: int, height: int, width: int) -> tuple[int, int]:
    row, column = divmod(place, width)
    return row - height if row > height // 2 else row, column - width if column > width // 2 else column


def _overlap(moving: Tensor, still: Tensor, shift: tuple[int, int], empty_border: EmptyBorder) -> tuple[Tensor, Tensor]:
    """The picture shifted by whole pixels and the other one, where both exist, or with zeros elsewhere."""
    (dy, dx), (height, width) = shift, still.shape[-2:]
    rows, columns = slice(max(dy, 0), height + min(dy, 0)), slice(max(dx, 0), width + min(dx, 0))
    part = moving[..., max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)]
    if empty_border == "cut":
        return part, still[..., rows, columns]
    a, b = torch.zeros_like(still), torch.zeros_like(still)
    a[..., rows, columns], b[..., rows, columns] = part, still[..., rows, columns]
    return a, b
