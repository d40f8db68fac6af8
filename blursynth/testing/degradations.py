"""Degradations and draws of this library, as functions that laws can be held against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from blursynth.core import Degradation, Draw, apply
from blursynth.errors import InvalidValueError
from blursynth.frame import Encoding, Frame, Intrinsics
from blursynth.testing.adapter import Adapter

__all__ = ["adapted"]

CAMERA = Intrinsics(focal_length_mm=4.2, pixel_pitch_um=1.4)


def adapted(
    step: Degradation | Draw,
    *,
    array: str = "numpy",
    dtype: str = "float64",
    device: str = "cpu",
    camera: Intrinsics = CAMERA,
    **claims: Any,
) -> tuple[Callable[..., Any], Adapter]:
    """A degradation or a draw as a function of ``[N, C, H, W]``, and the adapter that says what it claims of itself.

    Claimed are its border, its point spread, its derivative (tensors) and, for blurs of light, that light above white
    counts. A record says no more; what else holds is given as fields of :class:`Adapter`.

    Parameters
    ----------
    step
        Its first step takes light or, for steps on encoded pictures, those.
    array, dtype, device
        Arrays of ``numpy`` or tensors of ``torch``.
    camera
        Of the frames.
    claims
        Further fields of :class:`Adapter`. With ``depth="depth_m"`` the function takes depth; with ``seed="seed"`` it
        takes a seed, from which each picture of a batch gets its own for every field of this name.

    Examples
    --------
    >>> import blursynth as bs
    >>> from blursynth.testing import laws
    >>> blur, adapter = adapted(bs.kinds.GaussianBlur(sigma_px=1.5, aspect=0.5, angle_deg=20.0))
    >>> [r.status for r in laws.examine(blur, adapter, laws=[laws.impulse_response, laws.border], power=False)]
    ['kept', 'kept']
    """
    draw = step if isinstance(step, Draw) else Draw(((step.kind, step),))
    takes = next((one.takes for _, one in draw.steps if one.takes is not None), Encoding.LINEAR)
    if takes is Encoding.RAW:
        raise InvalidValueError("Laws are held on light or encoded pictures, and this takes RAW.", field="step")

    def blur(image: Any, depth_m: Any = None, seed: int | None = None) -> Any:
        frame = Frame(image, takes, depth_m=depth_m, camera=(camera,) * len(image), labels=None)
        if seed is None:
            return draw(frame).image
        # As in a data set, every picture of a batch has a draw with a seed of its own.
        return apply([_seeded(draw, seed + n * 2**32) for n in range(len(image))], frame).image

    blur.__qualname__ = "+".join(one.kind for _, one in draw.steps)
    known: dict[str, Any] = {"layout": "NCHW", "dtype": dtype, "array": array, "device": device}
    blurring = [one for _, one in draw.steps if one.blurs]
    known["linear"] = bool(blurring)
    if blurring and all(one.takes is one.gives is Encoding.LINEAR for _, one in draw.steps):
        known["largest"] = 4.0
    if any(one.varies for one in blurring):
        known["varies"] = True
    elif (kernel := draw.kernel(normalized=False)) is not None:
        known["kernel"] = np.asarray(kernel)
    borders = {one.border for one in blurring if hasattr(one, "border")}
    if len(borders) == 1 and (border := str(borders.pop())) in ("reflect", "replicate", "circular", "constant"):
        known["border"] = border
    if array == "torch" and blurring:
        known["derivative"] = True
    if dtype == "float64":
        known["other_dtypes"] = ("float32",)
        known["accuracy"] = 1e-12  # what transforms round by
    return blur, Adapter(**{**known, **claims})


def _seeded(draw: Draw, seed: int) -> Draw:
    return Draw(
        tuple(
            (name, step.replace(seed=seed) if "seed" in type(step).model_fields else step) for name, step in draw.steps
        ),
        draw.target,
    )
