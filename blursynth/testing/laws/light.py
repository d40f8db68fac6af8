"""Laws of light: blur acts on light, before it is clipped."""

from __future__ import annotations

import numpy as np

from blursynth.testing.adapter import Array, Blur
from blursynth.testing.laws.cases import inner, scenes, seen_at
from blursynth.testing.laws.law import Fault, Measurement, after, law
from blursynth.testing.laws.linear import LINEAR
from blursynth.testing.laws.needs import all_of
from blursynth.testing.strategies import st

__all__ = ["linear_light", "saturation"]


@law(
    statement="Stripes of black and white blur to half the light, which in sRGB is .7354 of white (code 188), not .5.",
    looks_like="Lights that fade into gray when they move, edges that are too dark: encoded values were averaged.",
    tolerance="1 error of a call",
    reference="IEC 61966-2-1; encode(0.5) = 0.7354",
    cases=lambda blur: st.fixed_dictionaries({"width_px": st.integers(1, 4), "axis": st.sampled_from((1, 2))}),
    fault=Fault(
        "light lost in the mean",
        "of the light",
        after(lambda out, size: out - size * out * (1 - out)),
    ),
    needs=all_of(LINEAR, lambda adapter: "Adapter.light is 'values'" if adapter.light == "values" else None),
)
def linear_light(blur: Blur, width_px: int, axis: int) -> Measurement:
    """The mean light of whole periods, far from the border."""
    periods = 2 + blur.reach_px // width_px
    side = 2 * width_px * periods
    lit = (np.arange(side + 2 * blur.reach_px) // width_px) % 2 == 1
    stripes = np.broadcast_to(lit[:, None] if axis == 1 else lit, (blur.adapter.channels, lit.size, lit.size))
    image = stripes.astype(np.float64)
    rest = seen_at(2.0 if blur.adapter.depth else None, image.shape[1:])
    out = inner(blur(image, **rest), blur.reach_px)
    mean = float(out.mean())
    return Measurement(abs(mean - 0.5), blur.accuracy, "of the light", out, inner(image, blur.reach_px))


@law(
    statement="min(A(x), 1) >= A(min(x, 1)), and A(x) for x above white is as bright as light adds up: bright "
    "lights are blurred before they are clipped.",
    looks_like="Moving lamps that leave gray streaks in place of white ones.",
    tolerance="2 errors of a call for each unit of the brightest light",
    reference="Jensen's inequality for the concave min(., 1); Whyte et al., Deblurring shaken and partially "
    "saturated images, 2014",
    cases=lambda blur: scenes(blur, kinds=("points", "edge", "constant")),
    fault=Fault(
        "clipped light",
        "of what lies above white",
        lambda blur, size: blur.changed(
            lambda inner, image, **rest: (
                (1 - size) * inner(image, **rest) + size * inner(np.minimum(image, 1.0), **rest)
            )
        ),
    ),
    needs=all_of(LINEAR, lambda adapter: "Adapter.largest is 1" if adapter.largest <= 1 else None),
)
def saturation(blur: Blur, x: Array, depth_m: Array | None = None) -> Measurement:
    """A picture made brighter than white, against itself made brighter after the blur."""
    rest = seen_at(depth_m)
    bright = blur.adapter.largest
    got = np.minimum(blur(bright * x, **rest), 1.0)
    expected = np.minimum(bright * blur(x, **rest), 1.0)
    clipped = blur(np.minimum(bright * x, 1.0), **rest)
    below = float(np.maximum(clipped - got, 0.0).max(initial=0.0))
    off = float(np.abs(got - expected).max(initial=0.0))
    return Measurement(max(below, off), 2 * bright * blur.accuracy, "of white", got, expected)
