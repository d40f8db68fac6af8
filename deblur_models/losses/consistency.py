"""Losses of consistency: there and back again through two mappings, or through the known blur."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from blursynth.core import Degradation, Draw
from blursynth.degradations import (
    Decode,
    Encode,
    GammaDecode,
    GammaEncode,
    MeasuredDecode,
    MeasuredEncode,
    SigmoidDecode,
    SigmoidEncode,
)
from blursynth.errors import InvalidValueError
from blursynth.frame import Encoding, Frame
from blursynth.records.kind import Kind
from deblur_models.data.batch import Batch

__all__ = ["ConsistencyLoss", "CycleConsistency", "NothingToReblur", "ReBlur", "blur_of", "inverse_of"]

_INVERSES: dict[type[Degradation], type[Degradation]] = {
    Encode: Decode,
    GammaEncode: GammaDecode,
    SigmoidEncode: SigmoidDecode,
    MeasuredEncode: MeasuredDecode,
}


class NothingToReblur(InvalidValueError):
    """No picture of a batch can be blurred again."""


class ConsistencyLoss(Kind):
    """What losses share that compare other things than a restored and a sharp picture."""

    weight: float = Field(default=1.0, gt=0, le=1e6, description="factor of this loss in the sum")
    form: Literal["l1", "charbonnier"] = Field(default="l1", description="how differences of pixels are measured")
    epsilon: float = Field(
        default=1e-3, gt=0, le=1, description="width of the foot of charbonnier, in picture units; not used by l1"
    )

    def between(self, one: Tensor, other: Tensor) -> Tensor:
        """The mean distance of two pictures."""
        difference = one - other
        if self.form == "l1":
            return difference.abs().mean()
        return (difference * difference + self.epsilon**2).sqrt().mean()


class CycleConsistency(ConsistencyLoss):
    """Cycle consistency of two mappings: ``|F(G(x)) - x| + |G(F(y)) - y|``, means over pixels.

    CycleGAN weights it by 10. It compares pictures with themselves, so that x and y need be no pairs.

    Source: J.-Y. Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks",
    ICCV 2017.
    """

    weight: float = Field(default=10.0, gt=0, le=1e6, description="factor of this loss in the sum, lambda")

    def __call__(self, sharp: Tensor, sharp_again: Tensor, blurred: Tensor, blurred_again: Tensor) -> Tensor:
        """The sum of both distances, without ``weight``.

        Parameters
        ----------
        sharp, sharp_again
            Sharp pictures ``[B, 3, H, W]``, and what came back of them through both mappings.
        blurred, blurred_again
            The same of blurred pictures.

        Raises
        ------
        InvalidValueError
            A picture came back with another shape.
        """
        total = None
        for name, start, end in (("sharp", sharp, sharp_again), ("blurred", blurred, blurred_again)):
            if start.shape != end.shape:
                raise InvalidValueError(
                    f"The {name} pictures came back as {list(end.shape)}, they were {list(start.shape)}."
                )
            end = _precise(end)
            part = self.between(end, start.to(end.dtype))
            total = part if total is None else total + part
        assert total is not None
        return total


class ReBlur(ConsistencyLoss):
    """Re-blur consistency: the restored picture, blurred again as the draw says, must be the blurred picture.

    ``mean |encode(blur(decode(restored))) - blurred|`` over the pixels whose light all comes from inside the picture:
    a band as wide as the reach of the blur is left out on every side. Blur happens to light, so the restored picture is
    decoded by the inverse of the curve that the draw encodes with, blurred by the blur steps of the draw in their
    order and at their place in the full picture, and encoded again, without rounding to codes. Gradients flow through
    blursynth's operators.

    It needs no sharp picture, and says what a restored picture must be consistent with, not which of the many
    consistent ones is right: use it beside another loss.

    Only blur is done again. Whatever else the draw did is taken to commute with blur or to be small, which is exact for
    recipes such as ``clean`` and otherwise true within its effect:

    - sensor noise, mosaic, denoising, sharpening and JPEG stay as a difference, also for a perfect restoration;
    - gains (exposure, white balance, color matrices) commute with blur but for what is clipped: light beyond white is
      in the blurred picture and not in the sharp one, so that the surroundings of lamps differ;
    - of several curves on the way (decode, encode, decode, encode) the last one counts, the others are taken to undo
      each other;
    - where blur depends on depth, the reach is that of what the picture shows, not of nearer things beside it.

    Pictures without a draw (real pairs) do not count, nor those whose blur reaches so far that nothing is left inside,
    or without bound, or is mixed of codes and light.
    """

    def __call__(self, restored: Tensor, batch: Batch) -> Tensor:
        """The mean over the pictures that count, without ``weight``.

        Parameters
        ----------
        restored
            ``[B, 3, H, W]`` restored from ``batch.blurred``.
        batch
            The blurred pictures with their draws, and the geometry that they need.

        Raises
        ------
        InvalidValueError
            Shapes differ.
        NothingToReblur
            No picture of the batch counts.
        """
        if restored.shape != batch.blurred.shape:
            raise InvalidValueError(
                f"Re-blurring compares with the blurred pictures {list(batch.blurred.shape)}, got restored ones "
                f"{list(restored.shape)}."
            )
        restored = _precise(restored)
        blurred = batch.blurred.to(restored)
        distances, reasons = [], set()
        with torch.autocast(restored.device.type, enabled=False):
            for b, (draw, geometry) in enumerate(zip(batch.draws, batch.geometry, strict=True)):
                again = reblurred(restored[b : b + 1], draw, geometry)
                if isinstance(again, str):
                    reasons.add(again)
                    continue
                picture, band = again
                height, width = restored.shape[-2:]
                inside = (..., slice(band, height - band), slice(band, width - band))
                distances.append(self.between(picture[inside], blurred[b : b + 1][inside]))
        if not distances:
            raise NothingToReblur(
                f"No picture of the batch of {len(batch)} can be blurred again: {'; '.join(sorted(reasons))}.",
                fix="Use larger patches or a recipe with less blur, mix other pairs in, or leave the re_blur loss out.",
            )
        return torch.stack(distances).mean()


def reblurred(picture: Tensor, draw: Draw | None, geometry: Frame | None) -> tuple[Tensor, int] | str:
    """One picture ``[1, 3, H, W]`` blurred again, and the width of the band that lacks light; or why that cannot be."""
    if draw is None:
        return "it has no draw"
    blur = blur_of(draw)
    if blur is None:
        return "its blur acts on codes and on light, or no curve between them is known, or a kind says not what it does"
    frame = _framed(picture, geometry)
    band = blur.reach_px(frame)
    if band is None:
        return "its blur has no bounded reach"
    if 2 * band >= min(picture.shape[-2:]):
        return f"its blur reaches {band} px, which leaves nothing of {picture.shape[-2]} x {picture.shape[-1]} px"
    return blur(frame).image, band


def blur_of(draw: Draw) -> Draw | None:
    """The part of a draw that blurs encoded pictures again: decode, the blur steps, encode; None where that is unclear.

    It is unclear where some blur acts on codes and some on light, where a curve has no known inverse, and where a kind
    has a reach on light but does not say that it ``blurs`` (people's own kinds).

    Kept are the steps that blur (``Degradation.blurs``) and those that set geometry. Where the sharp picture of the
    pair is the source itself (``target="source"``), it has been decoded by the draw's own curve, and what acts on
    light and on the target alike (gains, highlights) is kept as well, since the sharp picture has not passed it.
    """
    source = draw.target == "source"
    kept: list[tuple[str, Degradation]] = []
    for name, step in draw.steps:
        on_light = step.takes == step.gives == Encoding.LINEAR
        if step.blurs or step.sets_geometry or (source and on_light and step.target() == step):
            kept.append((name, step))
        elif on_light and type(step).reach_px is not Degradation.reach_px:
            return None  # it spreads light over pixels and does not say that it blurs
    takes = {step.takes for _, step in kept if step.blurs}
    if not takes:
        return Draw(())
    if takes == {Encoding.DISPLAY}:
        return Draw(tuple(kept))
    encoders = [s for _, s in draw.steps if (s.takes, s.gives) == (Encoding.LINEAR, Encoding.DISPLAY)]
    decoders = [s for _, s in draw.steps if (s.takes, s.gives) == (Encoding.DISPLAY, Encoding.LINEAR)]
    if takes != {Encoding.LINEAR} or not encoders:
        return None
    decode = (decoders[0] if decoders else None) if source else inverse_of(encoders[-1])
    if decode is None:
        return None
    return Draw((("decode again", decode), *kept, ("encode again", _finest(encoders[-1]))))


def inverse_of(encode: Degradation) -> Degradation | None:
    """The curve that undoes an encoding, with the same numbers; None for kinds that have no known inverse."""
    kind = _INVERSES.get(type(encode))
    return None if kind is None else kind(**{k: v for k, v in encode.fields().items() if k in kind.model_fields})


def _finest(encode: Degradation) -> Degradation:
    """The same curve with so many codes that rounding to them is none."""
    return encode.replace(bit_depth=16) if "bit_depth" in type(encode).model_fields else encode


def _framed(picture: Tensor, geometry: Frame | None) -> Frame:
    """The picture as a frame at its place; without a geometry it is taken for a full picture.

    What a network makes may be anything while it learns, so its values are not looked at.
    """
    if geometry is None:
        return Frame.unchecked(picture, Encoding.DISPLAY)
    if geometry.size_px != tuple(picture.shape[-2:]):
        raise InvalidValueError(
            f"The geometry of a picture must have its size, got {geometry.size_px} for {tuple(picture.shape[-2:])}."
        )
    depth, labels = geometry.depth_m, geometry.labels
    return Frame.unchecked(
        picture,
        Encoding.DISPLAY,
        depth_m=None if depth is None else _tensor(depth).to(picture),
        labels=None if labels is None else _tensor(labels).to(picture.device),
        camera=geometry.camera,
        origin_px=geometry.origin_px,
        full_size_px=geometry.full_size_px,
    )


def _tensor(plane: Any) -> Tensor:
    """A tensor of its own: arrays of a data set may be read-only, which tensors on shared memory cannot be."""
    return plane if isinstance(plane, Tensor) else torch.from_numpy(np.array(plane))


def _precise(pictures: Tensor) -> Tensor:
    return pictures.float() if pictures.element_size() < 4 else pictures
