"""Laws of shape: mirrors, strength, time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.ndimage import shift
from scipy.special import erfc

from blursynth.testing.adapter import Array, Blur
from blursynth.testing.laws.cases import inner, ramp, scenes, seen_at
from blursynth.testing.laws.law import Fault, Measurement, after, law
from blursynth.testing.laws.linear import GAIN, SPILL
from blursynth.testing.laws.needs import all_of, claim, convolves, exact, linear
from blursynth.testing.strategies import st

__all__ = ["exposure_sum", "identity_limit", "mirrors", "monotonicity", "path_order", "row_time", "semigroup"]

MIRRORS: dict[str, Callable[[Array], Array]] = {
    "left-right": lambda a: a[..., ::-1],
    "up-down": lambda a: a[..., ::-1, :],
    "transposed": lambda a: np.swapaxes(a, -1, -2),
}


@law(
    statement="mirror(A(x)) = A_mirrored(mirror(x)): a world seen in a mirror is blurred as in the mirror. No "
    "direction of the grid is privileged; quarter turns follow, as two mirrors.",
    looks_like="A blur that is right in one direction only: exchanged rows and columns, angles that turn the wrong "
    "way, an even kernel, interpolation that rounds to one side.",
    tolerance="2 errors of a call",
    reference="equivariance under the symmetries of the square",
    cases=lambda blur: scenes(blur, others={"mirror": st.sampled_from(tuple(MIRRORS))}),
    fault=SPILL,
    needs=all_of(exact, claim("mirrored")),
)
def mirrors(blur: Blur, x: Array, mirror: str, depth_m: Array | None = None) -> Measurement:
    """The blur of the mirrored world, as the adapter makes it, on the mirrored picture."""
    flip = MIRRORS[mirror]
    rest = seen_at(depth_m)
    flipped = seen_at(None if depth_m is None else np.ascontiguousarray(flip(depth_m)))
    other = blur.other(blur.adapter.mirrored(mirror))  # type: ignore[misc]
    expected = flip(other(np.ascontiguousarray(flip(x)), **flipped))
    return Measurement.between(blur(x, **rest), expected, 2 * blur.accuracy)


def _family(blur: Blur, strength: float) -> Blur:
    return blur.other(blur.adapter.strength(strength))  # type: ignore[misc]


def _spilled_family(blur: Blur, size: float) -> Blur:
    """Each member of the family sends a share of its light one pixel further."""
    made = blur.adapter.strength

    def strength(s: float) -> Callable[..., Any]:
        one = blur.other(made(s))  # type: ignore[misc]
        return SPILL.make(one, size).as_function()

    return blur.claiming(strength=strength)


@law(
    statement="G(s) G(t) = G(sqrt(s^2 + t^2)): two Gaussians in a row are one, whose variances add.",
    looks_like="Two-step pipelines that blur more or less than one step of the same total: a sigma that is a "
    "radius or a width, kernels that are cut off too early.",
    tolerance="3 errors of a call, the light beyond the cut-off, and aliasing of sampled Gaussians",
    reference="Lindeberg, Scale-Space Theory, 1994",
    cases=lambda blur: scenes(
        _wide(blur), inside=True, kinds=("points",), others={"strengths": st.tuples(_sigmas(blur), _sigmas(blur))}
    ),
    fault=Fault("light that is one pixel off", "of the light", _spilled_family),
    needs=all_of(convolves, claim("strength"), claim("gaussian")),
)
def semigroup(blur: Blur, x: Array, strengths: tuple[float, float], depth_m: Array | None = None) -> Measurement:
    """Pictures of points, dark as far from the border as both blurs reach."""
    s, t = strengths
    rest = seen_at(depth_m)
    got = _family(blur, t)(_family(blur, s)(x, **rest), **rest)
    expected = _family(blur, math.hypot(s, t))(x, **rest)
    cut_off = 6 * float(erfc(blur.adapter.truncate / math.sqrt(2)))
    # The spectrum of a sampled Gaussian repeats: the largest product of one's middle with the other's first repetition.
    aliases = 4 * math.exp(-2 * (math.pi * s * t / math.hypot(s, t)) ** 2)
    return Measurement.between(got, expected, 3 * blur.accuracy + (cut_off + aliases) * float(x.max(initial=0.0)))


def _sigmas(blur: Blur) -> Any:
    return st.sampled_from([s for s in blur.adapter.strengths if s >= 1] or [2.0])


def _wide(blur: Blur) -> Blur:
    """The blur, with the reach of two of its strongest members in a row."""
    strongest = max([s for s in blur.adapter.strengths if s >= 1] or [2.0])
    return blur.claiming(reach_px=math.ceil(2 * strongest * blur.adapter.truncate) + 2)


@law(
    statement="A_0(x) = x: a blur of strength 0 is no blur.",
    looks_like="Training pairs that are never sharp; half a pixel of softness from interpolation, a kernel of one "
    "even width.",
    tolerance="1 error of a call",
    reference="the limit of every point spread is the point",
    cases=lambda blur: scenes(blur),
    fault=Fault("light that is one pixel off", "of the light", _spilled_family),
    needs=all_of(linear, claim("strength")),
)
def identity_limit(blur: Blur, x: Array, depth_m: Array | None = None) -> Measurement:
    """The member of strength 0."""
    rest = seen_at(depth_m)
    return Measurement.between(_family(blur, 0.0)(x, **rest), x, blur.accuracy)


def _reversed_family(blur: Blur, size: float) -> Blur:
    """Strengths are pulled towards the opposite end: at size 1 the family is reversed."""
    made, strengths = blur.adapter.strength, blur.adapter.strengths

    def strength(s: float) -> Callable[..., Any]:
        return made(s + size * (max(strengths) + min(strengths) - 2 * s))  # type: ignore[misc]

    return blur.claiming(strength=strength)


@law(
    statement="The second moment of the point spread rises with the strength.",
    looks_like="A severity scale whose levels are out of order, or do nothing from some level on.",
    tolerance="1 error of a call in every pixel, weighted by the squared distance",
    reference="the variance of a convolution is the sum of the variances",
    cases=lambda blur: st.fixed_dictionaries({"step": st.integers(0, max(0, len(blur.adapter.strengths) - 2))}),
    fault=Fault("strengths that are pulled towards the opposite end", "of their distance", _reversed_family),
    needs=all_of(linear, claim("strength")),
)
def monotonicity(blur: Blur, step: int) -> Measurement:
    """Two neighbors among the strengths to try, by a point of light."""
    weaker, stronger = sorted(blur.adapter.strengths)[step : step + 2]
    wide = _family(blur, max(blur.adapter.strengths))
    side = 2 * wide.reach_px + 3
    rows, columns = np.mgrid[:side, :side] - side // 2
    squared = rows**2 + columns**2

    def spread(strength: float) -> tuple[float, float, Array]:
        out = _family(blur, strength).point_spread(side)
        total = max(float(out.sum()), 1e-6)
        lit = np.abs(out) > 0
        return float((out * squared).sum()) / total, blur.accuracy * float((squared * lit).sum()) / total, out

    less, less_error, first = spread(weaker)
    more, more_error, second = spread(stronger)
    return Measurement(less - more, less_error + more_error, "px^2 less than the weaker blur", second, first)


@law(
    statement="A[0, 1] = t A[0, t] + (1 - t) A[t, 1]: a long exposure is the sum of short ones.",
    looks_like="Frames averaged to a long exposure that do not match a long exposure; a path that is sampled "
    "differently by its length; light lost between two frames.",
    tolerance="3 errors of a call",
    reference="the integral over time is additive",
    cases=lambda blur: scenes(blur, others={"split": st.sampled_from((0.5, 0.25, 0.75))}),
    fault=GAIN,
    needs=all_of(linear, claim("exposure")),
)
def exposure_sum(blur: Blur, x: Array, split: float, depth_m: Array | None = None) -> Measurement:
    """The blur itself against its two parts."""
    rest = seen_at(depth_m)
    first, second = (blur.other(blur.adapter.exposure(*part)) for part in ((0.0, split), (split, 1.0)))  # type: ignore[misc]
    expected = split * first(x, **rest) + (1 - split) * second(x, **rest)
    return Measurement.between(blur(x, **rest), expected, 3 * blur.accuracy)


def _late(blur: Blur, size: float) -> Blur:
    """Each part of the exposure is taken later by a share of the rest of the time."""
    made = blur.adapter.exposure

    def exposure(start: float, end: float) -> Callable[..., Any]:
        return made(start + size * (1 - end), end + size * (1 - end))  # type: ignore[misc]

    return blur.claiming(exposure=exposure)


@law(
    statement="The centroid of an exposure from a to b is the mean of the path from a to b: time runs forward "
    "along it.",
    looks_like="Motion reversed in time: the wrong frame is the sharp one, events and rows come in the wrong order.",
    tolerance="2 errors of a call divided by the ramp's slope, and 1e-3 px for the mean of the path",
    reference="the first moment of the time spent at each place",
    cases=lambda blur: st.fixed_dictionaries(
        {"axis": st.sampled_from((0, 1)), "part": st.sampled_from(((0.0, 0.25), (0.75, 1.0), (0.0, 1.0), (0.25, 0.5)))}
    ),
    fault=Fault("a part of the exposure that is taken too late", "of the time that is left", _late),
    needs=all_of(convolves, claim("exposure"), claim("path_px")),
)
def path_order(blur: Blur, axis: int, part: tuple[float, float]) -> Measurement:
    """By a ramp along the rows or the columns, whose fall is its displacement."""
    image, slope = ramp(blur, axis, extra_px=_path_reach(blur))
    rest = seen_at(2.0 if blur.adapter.depth else None, image.shape[1:])
    margin = blur.reach_px + _path_reach(blur)
    got = inner(blur.other(blur.adapter.exposure(*part))(image, **rest), margin)  # type: ignore[misc]
    times = part[0] + (part[1] - part[0]) * (np.arange(200) + 0.5) / 200
    mean = float(np.mean([blur.adapter.path_px(float(t))[axis] for t in times]))  # type: ignore[misc]
    expected = inner(image, margin) - mean * slope
    off = float(np.abs(got - expected).max()) / slope
    return Measurement(off, 2 * blur.accuracy / slope + 1e-3, "px", got, expected)


def _path_reach(blur: Blur) -> int:
    path = blur.adapter.path_px
    reaches = [math.ceil(abs(part)) for t in np.linspace(0, 1, 33) for part in path(float(t))]  # type: ignore[misc]
    return 2 + int(max(reaches))


def _leaning(out: Array, size: float) -> Array:
    rows = np.arange(out.shape[1]) - (out.shape[1] - 1) / 2
    return np.stack([shift(out[:, r], (0, size * at), order=1, mode="nearest") for r, at in enumerate(rows)], axis=1)


@law(
    statement="Each row is displaced against the one above by what the camera moves in the time between two rows.",
    looks_like="Verticals that lean the wrong way in pans with a rolling shutter; rows read from the bottom.",
    tolerance="2 errors of a call divided by the ramp's slope, over the number of rows",
    reference="Liang et al., Analysis and compensation of rolling shutter effect, 2008",
    cases=lambda blur: st.fixed_dictionaries({"rows": st.sampled_from((32, 24, 48))}),
    fault=Fault(
        "rows that come too late",
        "px a row",
        after(_leaning),
    ),
    needs=all_of(linear, claim("row_shift_px")),
)
def row_time(blur: Blur, rows: int) -> Measurement:
    """A ramp along the columns: the fall of its values tells how far every row was moved."""
    claimed = float(blur.adapter.row_shift_px or 0.0)
    side = math.ceil(2 * abs(claimed) * rows) + 2 * blur.reach_px + 8
    slope = max(1, 255 // side) / 255.0
    image = np.broadcast_to(np.arange(side) * slope, (blur.adapter.channels, rows, side)).copy()
    rest = seen_at(2.0 if blur.adapter.depth else None, image.shape[1:])
    out = blur(np.minimum(image, 1.0), **rest)
    middle = slice(side // 2 - 1, side // 2 + 2)
    moved = (image - out)[..., middle].mean(axis=(0, 2)) / slope
    found = float(np.polyfit(np.arange(rows), moved, 1)[0])
    return Measurement(abs(found - claimed), 4 * blur.accuracy / slope / math.sqrt(rows) + 1e-6, "px a row", out, image)
