"""Laws of blur as a linear operator: sums, points of light, constants, borders."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import correlate1d
from scipy.signal import fftconvolve

from blursynth.testing.adapter import BORDERS, KEEPS_CONSTANTS, Array, Blur
from blursynth.testing.laws.cases import inner, ramp, scenes, seen_at
from blursynth.testing.laws.law import Fault, Measurement, after, law
from blursynth.testing.laws.needs import all_of, claim, convolves, linear, same_size_of_channels
from blursynth.testing.strategies import st

__all__ = [
    "adjoint",
    "border",
    "centroid",
    "channels",
    "commutation",
    "constants",
    "flux",
    "impulse_response",
    "linearity",
    "no_wrap_around",
    "positivity",
    "translation",
    "value_range",
]

QUARTERS = ((1.0, 0.0), (0.5, 0.5), (0.25, 0.75), (0.75, 0.25), (0.5, 0.25))
LINEAR = all_of(linear, same_size_of_channels)


SPILL = Fault(
    "light that is one pixel off",
    "of the light",
    after(lambda out, size: out + size * (np.roll(out, 1, axis=-1) - out)),
)
GAIN = Fault("a gain", "of the value", after(lambda out, size: (1 + size) * out))
SLOPE = Fault(
    "a gain that rises over the columns",
    "of the value",
    after(lambda out, size: out * (1 + size * np.linspace(0, 1, out.shape[-1]))),
)


@law(
    statement="A(a x + b y) = a A(x) + b A(y): light adds, so blur is linear.",
    looks_like="Blurred edges whose color or brightness depends on what else is in the picture; bright lights that "
    "spread less or more than dim ones; often gamma-encoded values, clipping or stretching to the full range.",
    tolerance="1 + |a| + |b| errors of a call",
    reference="Hansen, Nagy, O'Leary, Deblurring Images, 2006, ch. 3",
    cases=lambda blur: scenes(blur, ("x", "y"), others={"weights": st.sampled_from(QUARTERS)}),
    fault=Fault(
        "a part that goes with the square of the light",
        "of white",
        after(lambda out, size: out + size * out * (out - 1.0)),
    ),
    needs=LINEAR,
)
def linearity(
    blur: Blur, x: Array, y: Array, weights: tuple[float, float], depth_m: Array | None = None
) -> Measurement:
    """Both sides of the equation, on values whose sums are 8-bit codes too."""
    a, b = weights
    rest = seen_at(depth_m)
    return Measurement.between(
        blur(a * x + b * y, **rest), a * blur(x, **rest) + b * blur(y, **rest), (1 + a + b) * blur.accuracy
    )


@law(
    statement="A(x)_c depends on x_c alone: what is in one channel does not get into another.",
    looks_like="Color fringes and wrong hues: swapped RGB and BGR, a blur along the axis of channels, HWC taken "
    "for CHW.",
    tolerance="2 errors of a call",
    reference="a lens or a motion has one point spread for each channel",
    cases=lambda blur: scenes(blur),
    fault=Fault(
        "light of the next channel",
        "of its light",
        after(lambda out, size: out + size * (np.roll(out, 1, axis=0) - out)),
    ),
    needs=all_of(LINEAR, lambda adapter: "there is one channel" if adapter.channels == 1 else None),
)
def channels(blur: Blur, x: Array, depth_m: Array | None = None) -> Measurement:
    """Each channel alone, the others black."""
    rest = seen_at(depth_m)
    alone = np.empty_like(x)
    for c in range(len(x)):
        only = np.zeros_like(x)
        only[c] = x[c]
        alone[c] = blur(only, **rest)[c]
    return Measurement.between(blur(x, **rest), alone, 2 * blur.accuracy)


@law(
    statement="A(x) = k * x for the kernel k that the blur claims: not flipped, not shifted.",
    looks_like="Motion in the opposite direction, a picture displaced against its sharp one, polygonal highlights "
    "upside down: correlation in place of convolution, or an anchor that is off by one.",
    tolerance="1 error of a call, and 1e-13 for the transform that it is held against",
    reference="k * x by scipy.signal",
    cases=lambda blur: scenes(blur, inside=True, depth="constant"),
    fault=SPILL,
    needs=all_of(convolves, claim("kernel")),
)
def impulse_response(blur: Blur, x: Array, depth_m: Array | None = None) -> Measurement:
    """Against the claimed kernel, far from every border."""
    claimed: Any = blur.adapter.kernel
    if callable(claimed):
        claimed = claimed(float(depth_m.flat[0])) if depth_m is not None else claimed()
    kernel = np.asarray(claimed, np.float64)
    expected = fftconvolve(x, kernel[None], mode="same", axes=(1, 2)) if x.size else x
    # "same" is centered on the first input, whatever is larger
    height, width = x.shape[1:]
    if kernel.shape[0] > height or kernel.shape[1] > width:
        full = fftconvolve(x, kernel[None], mode="full", axes=(1, 2))
        top, left = kernel.shape[0] // 2, kernel.shape[1] // 2
        expected = full[:, top : top + height, left : left + width]
    return Measurement.between(blur(x, **seen_at(depth_m)), expected, blur.accuracy + 1e-13)


def _displacement_px(blur: Blur, axis: int, depth_m: float | None) -> tuple[float, float, Array, Array]:
    """How far light moves along an axis, the error of this, and the pixels that say so.

    A ramp of slope s is displaced by d where its value falls by s d. Light that is gained or lost is no displacement:
    the ramp's value is divided by what a constant becomes.
    """
    image, slope = ramp(blur, axis)
    rest = seen_at(depth_m, image.shape[1:])
    # One pixel more than the reach: where each pixel sends its light out, a border that reflects adds some there.
    margin = blur.reach_px + 1
    got = inner(blur(image, **rest), margin)
    expected = inner(image, margin)
    # A blur that gains light and clips at white shows its gain on gray alone, and moves where it does not clip.
    for level in (250 / 255, 224 / 255, 160 / 255, 96 / 255):
        gain = inner(blur(np.full_like(image, level), **rest), margin) / level
        if float(gain.max()) * level < 1.0 - blur.accuracy:
            break
    moved = np.where(expected * gain <= 1.0, expected - got / np.where(gain > 0.1, gain, 1.0), 0.0)
    worst = moved.flat[np.abs(moved).argmax()]
    return float(worst / slope), (1 + 1 / level) * blur.accuracy / slope, got, expected


@law(
    statement="A ramp stays where it is: the centroid of the point spread is at the point of light.",
    looks_like="Every blurred picture is displaced against its sharp one by the same half or whole pixel: a "
    "network trained on such pairs learns to move pictures.",
    tolerance="2 errors of a call, divided by the ramp's slope",
    reference="sum k(p) p = 0; imagecorruptions' motion blur misses it by up to 11 px",
    cases=lambda blur: scenes(
        blur.claiming(depth=None), (), others={"axis": st.sampled_from((0, 1)), **_one_depth(blur)}
    ),
    fault=Fault("a displacement", "px", SPILL.make),
    needs=all_of(convolves, lambda adapter: None if adapter.centered else "Adapter.centered is False"),
)
def centroid(blur: Blur, axis: int, distance_m: float | None = None) -> Measurement:
    """By a ramp along the rows or the columns."""
    found, allowed, got, expected = _displacement_px(blur, axis, distance_m)
    return Measurement(abs(found), allowed, "px", got, expected)


def _one_depth(blur: Blur) -> dict[str, Any]:
    return {"distance_m": st.sampled_from((0.5, 1.0, 2.0, 5.0, 20.0))} if blur.adapter.depth else {}


@law(
    statement="sum A(x) = sum x where no light reaches the border: blur moves light, and makes or loses none.",
    looks_like="Blurred pictures that are darker or brighter than their sharp ones: kernels that are not "
    "normalized, or cut off.",
    tolerance="1 error of a call in every pixel that light reaches, as a share of the light",
    reference="conservation of energy",
    cases=lambda blur: scenes(blur, inside=True, depth="constant"),
    fault=GAIN,
    needs=LINEAR,
)
def flux(blur: Blur, x: Array, depth_m: Array | None = None) -> Measurement:
    """The light of every channel."""
    out = blur(x, **seen_at(depth_m))
    light = x.sum(axis=(1, 2))
    reached = out.shape[1] * out.shape[2]
    change = np.abs(out.sum(axis=(1, 2)) - light)
    brightest = max(float(light.max(initial=0.0)), 1e-3)
    return Measurement(
        float(change.max(initial=0.0)) / brightest, blur.accuracy * reached / brightest, "of the light", out, x
    )


@law(
    statement="A(c) = c: a picture of one color stays as it is.",
    looks_like="Dark or bright frames along the borders, a change of exposure with the strength of the blur, or "
    "codes that are one too low everywhere (truncation in place of rounding).",
    tolerance="1 error of a call",
    reference="sum k = 1",
    cases=lambda blur: scenes(
        blur,
        kinds=("constant",),
        smallest_px=2 * blur.reach_px + 1 if _keeps_no_border(blur) else 1,
        largest_px=2 * blur.reach_px + 4 if _keeps_no_border(blur) else 12,
    ),
    fault=GAIN,
    needs=LINEAR,
)
def constants(blur: Blur, x: Array, depth_m: Array | None = None) -> Measurement:
    """Everywhere, or far from the borders where these are black or unknown."""
    margin = blur.reach_px if _keeps_no_border(blur) else 0
    got = inner(blur(x, **seen_at(depth_m)), margin)
    return Measurement.between(got, inner(x, margin), blur.accuracy)


def _keeps_no_border(blur: Blur) -> bool:
    return blur.adapter.border not in KEEPS_CONSTANTS


@law(
    statement="x >= 0 makes A(x) >= 0: there is no negative light.",
    looks_like="Dark rings next to bright edges, NaN after a later power or logarithm: sharpening kernels, cubic "
    "interpolation, transforms without clipping.",
    tolerance="1 error of a call",
    reference="k >= 0",
    cases=lambda blur: scenes(blur),
    fault=Fault(
        "a black level that is too low",
        "of white",
        after(lambda out, size: out - size),
    ),
    needs=all_of(linear),
)
def positivity(blur: Blur, x: Array, depth_m: Array | None = None) -> Measurement:
    """The smallest value."""
    out = blur(x, **seen_at(depth_m))
    lowest = float(out.min(initial=0.0))
    return Measurement(max(0.0, -lowest), blur.accuracy, "of white below black", out, np.maximum(out, 0.0))


@law(
    statement="min x <= A(x) <= max x: a mean lies between what it is a mean of.",
    looks_like="Halos along edges, clipped highlights in an evenly lit picture, overflow of integers (white that "
    "becomes black).",
    tolerance="1 error of a call",
    reference="k >= 0 and sum k = 1",
    cases=lambda blur: scenes(blur),
    fault=GAIN,
    needs=LINEAR,
)
def value_range(blur: Blur, x: Array, depth_m: Array | None = None) -> Measurement:
    """How far values leave the range of their channel; black borders count as part of it."""
    out = blur(x, **seen_at(depth_m))
    low, high = (getattr(x, end)(axis=(1, 2), keepdims=True) for end in ("min", "max"))
    if _keeps_no_border(blur):
        low = np.minimum(low, 0.0)
    within = np.clip(out, low, high)
    return Measurement(float(np.abs(out - within).max(initial=0.0)), blur.accuracy, "of white", out, within)


@law(
    statement="<A x, y> = <x, A' y>: the adjoint is the transposed operator, at the borders too.",
    looks_like="Iterative deconvolution that diverges or leaves seams along borders, gradients that are slightly "
    "wrong: a kernel that is not flipped, another border rule on the way back.",
    tolerance="1 error of a call in every pixel, weighted by the other picture",
    reference="Claerbout, Earth Soundings Analysis, 1992: the dot-product test",
    cases=lambda blur: scenes(blur, ("x", "y"), largest_px=16),
    fault=SPILL,
    needs=all_of(LINEAR, claim("adjoint")),
)
def adjoint(blur: Blur, x: Array, y: Array, depth_m: Array | None = None) -> Measurement:
    """Both inner products."""
    rest = seen_at(depth_m)
    back = blur.other(blur.adapter.adjoint)  # type: ignore[arg-type]
    forth = float((blur(x, **rest) * y).sum())
    other = float((x * back(y, **rest)).sum())
    allowed = blur.accuracy * float(x.sum() + y.sum()) + 1e-15
    return Measurement(abs(forth - other), allowed, "of the inner product")


@law(
    statement="A(x shifted by whole pixels) = A(x) shifted: every place is blurred alike.",
    looks_like="Seams, a blur that changes towards a border or with the size of the picture, tiles that do not fit.",
    tolerance="2 errors of a call",
    reference="a convolution commutes with translations",
    cases=lambda blur: scenes(
        blur,
        inside=True,
        extra_px=3,
        depth="constant",
        others={"shift_px": st.tuples(st.integers(-3, 3), st.integers(-3, 3)).filter(any)},
    ),
    fault=SLOPE,
    needs=convolves,
)
def translation(blur: Blur, x: Array, shift_px: tuple[int, int], depth_m: Array | None = None) -> Measurement:
    """Light far enough from every border, before and after."""
    rest = seen_at(depth_m)
    got = blur(np.roll(x, shift_px, axis=(1, 2)), **rest)
    return Measurement.between(got, np.roll(blur(x, **rest), shift_px, axis=(1, 2)), 2 * blur.accuracy)


@law(
    statement="A(B x) = B(A x) for a convolution B: convolutions commute.",
    looks_like="A result that depends on what was blurred first, lens or motion: an operator that is no "
    "convolution (a median, a blur of codes, interpolation that depends on the place).",
    tolerance="2 errors of a call",
    reference="k * b = b * k, with the asymmetric b = (1/2, 1/4, 1/4) along rows or columns",
    cases=lambda blur: scenes(
        blur, inside=True, extra_px=2, depth="constant", others={"axis": st.sampled_from((1, 2))}
    ),
    fault=SLOPE,
    needs=convolves,
)
def commutation(blur: Blur, x: Array, axis: int, depth_m: Array | None = None) -> Measurement:
    """With a kernel whose weights are quarters, so that 8-bit codes stay codes."""
    rest = seen_at(depth_m)

    def b(picture: Array) -> Array:
        return np.asarray(correlate1d(picture, [0.25, 0.25, 0.5], axis=axis, mode="constant", origin=0))

    return Measurement.between(blur(b(x), **rest), b(blur(x, **rest)), 2 * blur.accuracy)


def _dark_edge(out: Array, size: float) -> Array:
    out = out.copy()
    out[..., 0] *= 1 - size
    return out


@law(
    statement="A(x) = A(x continued beyond its edges), cut out: the border follows the rule that the blur claims.",
    looks_like="Dark, doubled or foreign stripes along the borders.",
    tolerance="2 errors of a call",
    reference="numpy.pad with the modes reflect, symmetric, edge, wrap and constant",
    cases=lambda blur: scenes(blur, depth="constant"),
    fault=Fault(
        "a border that is too dark",
        "of the value",
        after(_dark_edge),
    ),
    needs=all_of(convolves, claim("border")),
)
def border(blur: Blur, x: Array, depth_m: Array | None = None) -> Measurement:
    """The picture is continued by as much as the blur reaches."""
    reach = blur.reach_px
    mode: Any = BORDERS[str(blur.adapter.border)]
    grown = np.pad(x, ((0, 0), (reach, reach), (reach, reach)), mode=mode)
    deeper = {} if depth_m is None else seen_at(float(depth_m.flat[0]), grown.shape[1:])
    expected = inner(blur(grown, **deeper), reach)
    return Measurement.between(blur(x, **seen_at(depth_m)), expected, 2 * blur.accuracy)


@law(
    statement="Light at one edge does not come back at the opposite one.",
    looks_like="A ghost of a lamp at the left edge in the sky at the right: a Fourier transform without padding, "
    "numpy.roll.",
    tolerance="1 error of a call",
    reference="pictures are no tori",
    cases=lambda blur: scenes(
        blur,
        others={"axis": st.sampled_from((1, 2)), "back": st.booleans()},
        largest_px=4,
    ),
    fault=Fault(
        "light that comes back at the other edge",
        "of the light",
        after(lambda out, size: out + size * (out[..., ::-1, ::-1] - out)),
    ),
    needs=all_of(LINEAR, lambda adapter: "Adapter.border is 'circular'" if adapter.border == "circular" else None),
)
def no_wrap_around(blur: Blur, x: Array, axis: int, back: bool, depth_m: Array | None = None) -> Measurement:
    """A picture with light at one end only, longer than the blur reaches."""
    pad = [(0, 0), (0, 0), (0, 0)]
    pad[axis] = (0, 2 * blur.reach_px + 2)
    long = np.pad(x, pad)
    far: list[slice] = [slice(None)] * 3
    far[axis] = slice(x.shape[axis] + blur.reach_px, None)
    deep = {} if depth_m is None else seen_at(float(depth_m.flat[0]), long.shape[1:])
    out = np.flip(blur(np.flip(long, axis), **deep), axis) if back else blur(long, **deep)
    seen, expected = out[tuple(far)], out.copy()
    expected[tuple(far)] = 0.0
    return Measurement(float(np.abs(seen).max(initial=0.0)), blur.accuracy, "of white", out, expected)
