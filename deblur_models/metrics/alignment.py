"""Scores that are invariant to a shift of the whole image.

A blind method may shift its kernel, and with it the restored image, by a few pixels; sets of real photographs (Levin,
Lai, Köhler) are registered only to about a pixel. The best shift is searched, and borders, where a shifted image has no
content and deconvolution is least reliable, are cropped.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from blursynth.errors import InvalidValueError
from deblur_models.metrics.metric import Better, Metric
from deblur_models.metrics.psnr import PSNR

__all__ = ["Aligned", "AlignedPictures", "Interpolation", "align"]

Interpolation = Literal["linear", "cubic"]


class AlignedPictures(NamedTuple):
    """Images without borders, the restored ones shifted; ``restored(p + shift_px)`` is close to ``sharp(p)``."""

    restored: Tensor
    sharp: Tensor
    shift_px: Tensor


def align(
    restored: Tensor,
    sharp: Tensor,
    *,
    max_shift_px: int = 5,
    step_px: float = 0.25,
    border_px: int = 15,
    interpolation: Interpolation = "cubic",
) -> AlignedPictures:
    """Move each restored image by the shift with the smallest squared error, and crop the borders of both.

    All integer shifts up to ``max_shift_px`` in rows and columns are evaluated (exactly, by correlation), then all
    multiples of ``step_px`` within a pixel of the best one.

    Parameters
    ----------
    restored, sharp
        ``[B, C, H, W]``.
    max_shift_px
        The maximum shift, in px, in rows and in columns.
    step_px
        1, .5, .25 or .125; 1 for integer shifts.
    border_px
        Width of the cropped border on each side, at least ``max_shift_px + 2``.
    interpolation
        Between pixels: ``linear`` (Levin's script; smooths, so that noise counts less at half pixels) or ``cubic``
        (Catmull-Rom).

    Returns
    -------
    AlignedPictures
        ``[B, C, H - 2 border, W - 2 border]`` twice, and ``[B, 2]`` shifts (rows, columns) in px.

    Raises
    ------
    InvalidValueError
        Shapes differ, the step is invalid, the border is too narrow, or nothing remains of the images.
    """
    if restored.shape != sharp.shape or restored.ndim != 4:
        raise InvalidValueError(
            f"Alignment takes two batches [B, C, H, W] of the same shape, got {list(restored.shape)} and "
            f"{list(sharp.shape)}."
        )
    _check_limits(max_shift_px, step_px, border_px)
    if min(restored.shape[-2:]) <= 2 * border_px:
        raise InvalidValueError(
            f"Nothing remains of images of {restored.shape[-2]} x {restored.shape[-1]} px with border_px={border_px}.",
            fix="Compare larger images, or use a narrower border.",
        )
    moved, shifts = [], []
    for picture, target in zip(restored, sharp, strict=True):
        inner = target[:, border_px:-border_px, border_px:-border_px]
        best, shift = _aligned(picture, inner, max_shift_px, step_px, border_px, interpolation)
        moved.append(best)
        shifts.append(shift)
    return AlignedPictures(
        torch.stack(moved), sharp[..., border_px:-border_px, border_px:-border_px], torch.tensor(shifts)
    )


def _check_limits(max_shift_px: int, step_px: float, border_px: int) -> None:
    if max_shift_px < 0 or border_px < max_shift_px + 2:
        raise InvalidValueError(
            f"border_px must be at least max_shift_px + 2 = {max_shift_px + 2}, and max_shift_px nonnegative, got "
            f"{border_px} and {max_shift_px}.",
            why="A shifted image has no content beyond its border, and interpolation needs two more pixels.",
        )
    if step_px not in (1.0, 0.5, 0.25, 0.125):
        raise InvalidValueError(f"step_px must be 1, 0.5, 0.25 or 0.125, got {step_px}.")


def _aligned(
    picture: Tensor, inner: Tensor, max_shift: int, step: float, border: int, interpolation: Interpolation
) -> tuple[Tensor, tuple[float, float]]:
    wide = picture[:, border - max_shift : picture.shape[1] - border + max_shift]
    wide = wide[..., border - max_shift : picture.shape[2] - border + max_shift]
    # sum |R - S|^2 = sum R^2 - 2 sum R S + sum S^2: a box sum and a correlation for all shifts at once.
    ours, theirs = wide.double(), inner.double()
    size = wide.shape[-2:]
    spectrum = torch.fft.rfft2(ours) * torch.fft.rfft2(theirs, s=size).conj()
    product = torch.fft.irfft2(spectrum, s=size).sum(dim=0)[: 2 * max_shift + 1, : 2 * max_shift + 1]
    squares = F.avg_pool2d(ours.square().sum(dim=0)[None, None], inner.shape[-2:], stride=1)[0, 0]
    error = squares * inner[0].numel() - 2 * product
    row, column = divmod(int(error.argmin()), 2 * max_shift + 1)
    if step == 1.0:
        height, width = inner.shape[-2:]
        return wide[:, row : row + height, column : column + width], (float(row - max_shift), float(column - max_shift))
    steps = round(1 / step)
    fine = [k * step for k in range(-steps + 1, steps)]
    best: tuple[float, Tensor, tuple[float, float]] | None = None
    for dy in fine:
        y = row - max_shift + dy
        if abs(y) > max_shift:
            continue
        lines = _moved(picture, y, border, interpolation, dim=1)
        for dx in fine:
            x = column - max_shift + dx
            if abs(x) > max_shift:
                continue
            candidate = _moved(lines, x, border, interpolation, dim=2)
            loss = float((candidate.double() - theirs).square().sum())
            if best is None or loss < best[0]:
                best = (loss, candidate, (y, x))
    assert best is not None  # an integer shift is always within the limits
    return best[1], best[2]


def _moved(picture: Tensor, shift: float, border: int, interpolation: Interpolation, dim: int) -> Tensor:
    """``picture(p + shift)`` along one axis, without its border there."""
    whole = int(shift // 1)
    f = shift - whole
    if f == 0:
        taps = {0: 1.0}
    elif interpolation == "linear":
        taps = {0: 1 - f, 1: f}
    else:  # Catmull-Rom
        taps = {
            -1: ((-0.5 * f + 1) * f - 0.5) * f,
            0: (1.5 * f - 2.5) * f * f + 1,
            1: ((-1.5 * f + 2) * f + 0.5) * f,
            2: (0.5 * f - 0.5) * f * f,
        }
    length = picture.shape[dim] - 2 * border
    out = torch.zeros_like(picture.narrow(dim, 0, length))
    for offset, weight in taps.items():
        out += weight * picture.narrow(dim, border + whole + offset, length)
    return out


class Aligned(Metric):
    """Another metric after alignment: see :func:`align`.

    Levin's script is ``max_shift_px=5, step_px=0.25, border_px=15, interpolation="linear"``.

    Source: A. Levin, Y. Weiss, F. Durand, W. Freeman, "Understanding and evaluating blind deconvolution algorithms",
    CVPR 2009.
    """

    of: Metric = Field(default_factory=PSNR, description="metric of the aligned images")
    max_shift_px: int = Field(default=5, ge=0, le=1000, description="maximum shift in rows and columns, in px")
    step_px: float = Field(default=0.25, description="step of the shifts, 1, 0.5, 0.25 or 0.125 px")
    border_px: int = Field(default=15, ge=2, le=10000, description="width of the cropped border, in px")
    interpolation: Interpolation = Field(default="cubic", description="interpolation between pixels")

    @model_validator(mode="after")
    def _check_border(self) -> Aligned:
        _check_limits(self.max_shift_px, self.step_px, self.border_px)
        if not self.of.needs_sharp:
            raise InvalidValueError(f"{self.of.name} does not use a sharp image, so there is nothing to align with.")
        return self

    @property
    def name(self) -> str:
        return f"{self.of.name}_aligned"

    @property
    def better(self) -> Better:
        return self.of.better

    @property
    def protocol(self) -> str:
        return (
            f"{self.of.protocol}; at the best shift up to {self.max_shift_px} px in steps of {self.step_px} px "
            f"({self.interpolation}), {self.border_px} px cut on each side"
        )

    def check_ready(self) -> None:
        self.of.check_ready()

    def measure(self, restored: Tensor, sharp: Tensor) -> Tensor:
        aligned = align(
            restored,
            sharp,
            max_shift_px=self.max_shift_px,
            step_px=self.step_px,
            border_px=self.border_px,
            interpolation=self.interpolation,
        )
        return self.of(aligned.restored, aligned.sharp)
