"""Consistency losses: over a cycle of two mappings, or with the known blur."""

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
    """No image of a batch can be re-blurred."""


class ConsistencyLoss(Kind):
    """Base class of losses that do not compare a restored with a sharp image."""

    weight: float = Field(default=1.0, gt=0, le=1e6, description="weight of this loss in the sum")
    form: Literal["l1", "charbonnier"] = Field(default="l1", description="how differences of pixels are measured")
    epsilon: float = Field(
        default=1e-3, gt=0, le=1, description="epsilon of charbonnier, in units of the image values; not used by l1"
    )

    def between(self, one: Tensor, other: Tensor) -> Tensor:
        """The mean distance of two images."""
        difference = one - other
        if self.form == "l1":
            return difference.abs().mean()
        return (difference * difference + self.epsilon**2).sqrt().mean()


class CycleConsistency(ConsistencyLoss):
    """Cycle consistency of two mappings: ``|F(G(x)) - x| + |G(F(y)) - y|``, means over pixels.

    CycleGAN weights it by 10. It compares images with themselves, so x and y do not need to be pairs.

    Source: J.-Y. Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks",
    ICCV 2017.
    """

    weight: float = Field(default=10.0, gt=0, le=1e6, description="weight of this loss in the sum, lambda")

    def __call__(self, sharp: Tensor, sharp_again: Tensor, blurred: Tensor, blurred_again: Tensor) -> Tensor:
        """The sum of both distances, without ``weight``.

        The arguments are sharp images ``[B, 3, H, W]`` and their reconstructions through both mappings, and the same
        for blurred images.
        """
        parts = []
        for name, start, end in (("sharp", sharp, sharp_again), ("blurred", blurred, blurred_again)):
            if start.shape != end.shape:
                raise InvalidValueError(
                    f"The {name} images were reconstructed with shape {list(end.shape)} instead of {list(start.shape)}."
                )
            end = _precise(end)
            parts.append(self.between(end, start.to(end.dtype)))
        return parts[0] + parts[1]


class ReBlur(ConsistencyLoss):
    """Re-blur consistency: the restored image, blurred again with its draw, must equal the blurred image.

    ``mean |encode(blur(decode(restored))) - blurred|`` over the pixels whose light comes entirely from the image: a
    border as wide as the reach of the blur is excluded on every side. Blur acts on light, so the restored image is
    decoded with the inverse of the draw's encoding curve, blurred by the blur steps of the draw in their order and at
    their position in the full image, and encoded again, without rounding to codes. Gradients flow through blursynth's
    operators.

    It needs no sharp image. It only requires consistency and does not determine which of the many consistent images is
    right, so combine it with another loss.

    Only blur is repeated. All other steps of the draw are assumed to commute with blur or to be small. This is exact
    for recipes such as ``clean``, and otherwise an approximation:

    - sensor noise, mosaic, denoising, sharpening and JPEG stay as a difference, also for a perfect restoration;
    - gains (exposure, white balance, color matrices) commute with blur except for clipping: light beyond white affects
      the blurred image but is missing in the sharp one, so that the surroundings of lamps differ;
    - of several curves (decode, encode, decode, encode) only the last one counts; the others are assumed to cancel;
    - if blur depends on depth, the reach is that of the visible content, not of closer objects outside the image.

    Images without a draw (real pairs) are ignored, as are images whose blur covers the whole image, has no bounded
    reach, or acts on both codes and light.
    """

    def __call__(self, restored: Tensor, batch: Batch) -> Tensor:
        """The mean over the images that can be re-blurred, without ``weight``.

        Parameters
        ----------
        restored
            ``[B, 3, H, W]`` restored from ``batch.blurred``.
        batch
            The blurred images with their draws, and the geometry they need.

        Raises
        ------
        InvalidValueError
            Shapes differ.
        NothingToReblur
            No image of the batch can be re-blurred.
        """
        if restored.shape != batch.blurred.shape:
            raise InvalidValueError(
                f"Re-blurring compares with the blurred images {list(batch.blurred.shape)}, got restored ones "
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
                f"No image of the batch of {len(batch)} can be re-blurred: {'; '.join(sorted(reasons))}.",
                fix="Use larger patches or a recipe with less blur, add other pairs, or leave out the re_blur loss.",
            )
        return torch.stack(distances).mean()


def reblurred(picture: Tensor, draw: Draw | None, geometry: Frame | None) -> tuple[Tensor, int] | str:
    """Re-blur one image ``[1, 3, H, W]``. Return it and the width of the border without full light, or the obstacle."""
    if draw is None:
        return "it has no draw"
    blur = blur_of(draw)
    if blur is None:
        return (
            "its blur acts on codes and on light, or their curve is unknown, or a kind does not declare what it does, "
            "or its sharp image has a part of the blur"
        )
    frame = _framed(picture, geometry)
    band = blur.reach_px(frame)
    if band is None:
        return "its blur has no bounded reach"
    if 2 * band >= min(picture.shape[-2:]):
        return f"its blur reaches {band} px, which leaves no pixel of {picture.shape[-2]} x {picture.shape[-1]} px"
    return blur(frame).image, band


def blur_of(draw: Draw) -> Draw | None:
    """The part of a draw that re-blurs encoded images: decode, the blur steps, encode; None if that is ambiguous.

    It is ambiguous if some blur acts on codes and some on light, if a curve has no known inverse, or if a kind has a
    reach on light but does not declare that it ``blurs`` (custom kinds), or if the sharp image of the pair has a part
    of a blur (a short exposure that is not a moment).

    The steps that blur (``Degradation.blurs``) and those that set geometry are kept, without the blurs that the sharp
    image has, too (the lens, in a short exposure). If the sharp image of the pair is the source itself
    (``target="source"``), it was decoded by the draw's own curve, and steps that act equally on light and on the target
    (gains, highlights) are kept as well, since they were not applied to the sharp image.
    """
    source = draw.target.kind == "source"
    kept: list[tuple[str, Degradation]] = []
    for name, step in draw.steps:
        on_light = step.takes == step.gives == Encoding.LINEAR
        sharp = draw.target.step(name, step)
        if step.blurs and sharp == step:
            continue
        if step.blurs and sharp.blurs:
            return None
        if step.blurs or step.sets_geometry or (source and on_light and step.target() == step):
            kept.append((name, step))
        elif on_light and sharp != step and type(step).reach_px is not Degradation.reach_px:
            return None  # it spreads light over pixels, but does not declare that it blurs
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
    """The inverse of an encoding curve, with the same parameters; None for kinds without a known inverse."""
    kind = _INVERSES.get(type(encode))
    return None if kind is None else kind(**{k: v for k, v in encode.fields().items() if k in kind.model_fields})


def _finest(encode: Degradation) -> Degradation:
    """The same curve with so many codes that rounding is negligible."""
    return encode.replace(bit_depth=16) if "bit_depth" in type(encode).model_fields else encode


def _framed(picture: Tensor, geometry: Frame | None) -> Frame:
    """The image as a frame at its position; without a geometry it counts as a full image.

    The outputs of a network can be anything during training, so the values are not validated.
    """
    if geometry is None:
        return Frame.unchecked(picture, Encoding.DISPLAY)
    if geometry.size_px != tuple(picture.shape[-2:]):
        raise InvalidValueError(
            f"The geometry of an image must have its size, got {geometry.size_px} for {tuple(picture.shape[-2:])}."
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
    """A copy as a tensor: arrays of a data set may be read-only, but tensors that share memory cannot."""
    return plane if isinstance(plane, Tensor) else torch.from_numpy(np.array(plane))


def _precise(pictures: Tensor) -> Tensor:
    return pictures.float() if pictures.element_size() < 4 else pictures
