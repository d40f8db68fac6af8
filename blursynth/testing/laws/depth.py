"""Laws of blur that depends on the distance: focus, infinity, occlusion, smooth depth."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.testing.adapter import Array, Blur
from blursynth.testing.laws.cases import LEVELS, scenes
from blursynth.testing.laws.law import Fault, Measurement, law
from blursynth.testing.laws.linear import SPILL
from blursynth.testing.laws.needs import all_of, claim, linear
from blursynth.testing.strategies import images, sizes, st

__all__ = ["depth_order", "far_limit", "in_focus", "no_glow", "occlusion", "staircase"]

FOCUS = all_of(linear, claim("depth"), claim("focus_distance_m"))


@law(
    statement="A(x) = x where everything lies at the distance in focus.",
    looks_like="Depth data sets without a single sharp surface: a focus distance in other units, disparity taken "
    "for distance.",
    tolerance="1 error of a call",
    reference="thin lens: the circle of confusion is A f / (d - f) |1 - d / z|, and 0 at z = d",
    cases=lambda blur: scenes(blur, depth="none"),
    fault=SPILL,
    needs=FOCUS,
)
def in_focus(blur: Blur, x: Array) -> Measurement:
    """A wall at the distance in focus."""
    depth_m = np.full(x.shape[1:], float(blur.adapter.focus_distance_m or 1.0))
    return Measurement.between(blur(x, depth_m=depth_m), x, blur.accuracy)


@law(
    statement="What is very far is blurred as what is infinitely far: the blur has a limit, and no NaN.",
    looks_like="Black or exploding skies: 1 / 0, an overflow, a far plane that ends the scene.",
    tolerance="2 errors of a call, and the change of 1 / z",
    reference="thin lens: blur is linear in 1 / z",
    cases=lambda blur: scenes(blur, depth="none", others={"far_m": st.sampled_from((1e6, 1e8, 1e12))}),
    fault=Fault(
        "a blur that depends on the distance of the sky",
        "of the light, each tenfold",
        lambda blur, size: blur.changed(
            lambda inner, image, **rest: inner(image, **rest) * (1 + size * np.log10(rest["depth_m"].max()))
        ),
    ),
    needs=all_of(linear, claim("depth")),
)
def far_limit(blur: Blur, x: Array, far_m: float) -> Measurement:
    """A wall that is 100 km away, and one that is farther."""
    near = np.full(x.shape[1:], 1e5)
    far = np.full(x.shape[1:], far_m)
    return Measurement.between(blur(x, depth_m=far), blur(x, depth_m=near), 2 * blur.accuracy + 1e-4)


def _swapped(blur: Blur, size: float) -> Blur:
    """Distances are taken for their inverse, in part."""
    focus = float(blur.adapter.focus_distance_m or 1.0)

    def change(inner: Blur, image: Array, **rest: Any) -> Array:
        inverse = 1.0 / rest["depth_m"]
        # At size 1 the side of the focus is kept, and what is twice as far out of focus is half as far.
        off = inverse - 1.0 / focus
        pulled = off * (1 - size) + size * np.sign(off) * (0.5 / focus - np.minimum(np.abs(off), 0.49 / focus))
        return inner(image, **{**rest, "depth_m": 1.0 / np.maximum(1.0 / focus + pulled, 1e-6)})

    return blur.changed(change)


@law(
    statement="On either side of the focus, what lies farther from it (in 1 / z) is blurred more.",
    looks_like="Sharp backgrounds behind blurred middles; a near and a far side that are exchanged.",
    tolerance="1 error of a call in every pixel, weighted by the squared distance",
    reference="thin lens: the diameter is proportional to |1/z - 1/d|",
    cases=lambda blur: st.fixed_dictionaries(
        {
            "side": st.sampled_from((-1, 1)),
            "share": st.sampled_from((0.25, 0.5, 0.75)),
            "more": st.sampled_from((0.2, 0.1)),
        }
    ),
    fault=Fault("distances that are pulled to the wrong end", "of 1 / z", _swapped),
    needs=FOCUS,
)
def depth_order(blur: Blur, side: int, share: float, more: float) -> Measurement:
    """Two walls on one side of the focus, by the second moment of a point of light."""
    focus = float(blur.adapter.focus_distance_m or 1.0)
    reach = blur.reach_px + 2
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    squared = rows**2 + columns**2

    def spread(part: float) -> tuple[float, float, Array]:
        depth_m = np.full(squared.shape, focus / (1 - side * part * 0.9))
        lit = np.zeros((blur.adapter.channels, *squared.shape))
        lit[:, reach, reach] = 1.0
        out = blur(lit, depth_m=depth_m) - blur(0 * lit, depth_m=depth_m)
        total = max(float(out.sum()), 1e-6)
        return (
            float((out * squared).sum()) / total,
            blur.accuracy * float((squared * (np.abs(out) > 0)).sum()) / total,
            out,
        )

    less, less_error, first = spread(share)
    farther, more_error, second = spread(share + more)
    return Measurement(less - farther, less_error + more_error, "px^2 less than nearer to the focus", second, first)


@st.composite
def _occlusions(draw: st.DrawFn, blur: Blur) -> dict[str, Any]:
    """A patch in focus before a wall that is not, and two colors of what must not matter."""
    size = draw(sizes(4, 10))
    levels: dict[str, Any] = {"channels": blur.adapter.channels, "size_px": size, "levels": LEVELS}
    case: dict[str, Any] = {name: draw(images(**levels)) * (4 * LEVELS / 255) for name in ("x", "y")}
    top, left = draw(st.integers(0, size[0] - 2)), draw(st.integers(0, size[1] - 2))
    bottom, right = draw(st.integers(top + 1, size[0] - 1)), draw(st.integers(left + 1, size[1] - 1))
    case["patch"] = (top, bottom, left, right)
    case["times_farther"] = draw(st.sampled_from((1.5, 3.0, 100.0)))
    return case


@law(
    statement="A surface in focus is unchanged, whatever lies behind it.",
    looks_like="Halos of the background's color around sharp people: each pixel was blurred with its own kernel, "
    "whatever lies in it.",
    tolerance="1 error of a call",
    reference="visibility: Potmesil and Chakravarty, 1981; Lee et al., 2010",
    cases=_occlusions,
    fault=SPILL,
    needs=FOCUS,
)
def occlusion(blur: Blur, x: Array, y: Array, patch: tuple[int, int, int, int], times_farther: float) -> Measurement:
    """A patch of one picture before a wall of another one."""
    near, depth_m = _before_a_wall(blur, x, patch, times_farther)
    got = np.where(near, blur(np.where(near, x, y), depth_m=depth_m), x)
    return Measurement.between(got, x, blur.accuracy)


@law(
    statement="What lies behind a surface in focus does not depend on the surface's color.",
    looks_like="A glow of the color of sharp people in the blurred background around them, or a dark fringe there.",
    tolerance="2 errors of a call",
    reference="light that the surface sends to the lens is focused on the surface's own picture",
    cases=_occlusions,
    fault=SPILL,
    needs=FOCUS,
)
def no_glow(blur: Blur, x: Array, y: Array, patch: tuple[int, int, int, int], times_farther: float) -> Measurement:
    """Two patches before one wall."""
    near, depth_m = _before_a_wall(blur, x, patch, times_farther)
    one, other = (np.where(near, 0.0, blur(image, depth_m=depth_m)) for image in (x, np.where(near, y, x)))
    return Measurement.between(one, other, 2 * blur.accuracy)


def _before_a_wall(
    blur: Blur, x: Array, patch: tuple[int, int, int, int], times_farther: float
) -> tuple[NDArray[np.bool_], Array]:
    """Where the patch is, and the distances."""
    focus = float(blur.adapter.focus_distance_m or 1.0)
    near = np.zeros(x.shape[1:], bool)
    near[patch[0] : patch[1], patch[2] : patch[3]] = True
    return near, np.where(near, focus, times_farther * focus)


@law(
    statement="A slope in fine steps looks like the slope: depth in whole steps changes a picture by less than one "
    "step does.",
    looks_like="Contour lines, dark or bright, along slopes whose depth comes from 8-bit or whole disparities.",
    tolerance="twice what one step changes in a wall, and 3 errors of a call",
    reference="continuity of the blur in depth",
    cases=lambda blur: scenes(
        blur, depth="none", smallest_px=6, largest_px=20, others={"steps": st.integers(3, 12), "near": st.booleans()}
    ),
    fault=Fault(
        "light that is lost at each step",
        "of the light",
        lambda blur, size: blur.changed(lambda inner, image, **rest: _leaking(inner, image, size, rest)),
    ),
    needs=FOCUS,
)
def staircase(blur: Blur, x: Array, steps: int, near: bool) -> Measurement:
    """From the focus to half or twice its distance, along the columns."""
    focus = float(blur.adapter.focus_distance_m or 1.0)
    share = np.linspace(0, 1, x.shape[2])
    stairs = np.minimum(np.floor(share * steps), steps - 1) / (steps - 1)

    def at(part: Any) -> Any:
        return focus / (1 + part * (1.0 if near else -0.5))

    got, expected = (blur(x, depth_m=np.broadcast_to(at(part), x.shape[1:]).copy()) for part in (stairs, share))
    walls = [blur(x, depth_m=np.full(x.shape[1:], at(k / (steps - 1)))) for k in range(steps)]
    step = max(float(np.abs(a - b).max()) for a, b in itertools.pairwise(walls))
    return Measurement.between(got, expected, 2 * step + 3 * blur.accuracy)


def _leaking(blur: Blur, image: Array, size: float, rest: dict[str, Any]) -> Array:
    depth_m = rest["depth_m"]
    edges = np.diff(depth_m, axis=1, prepend=depth_m[:, :1]) != 0
    smooth = np.ptp(np.diff(1 / depth_m, axis=1)) < 1e-9 if depth_m.shape[1] > 1 else True
    return np.asarray(blur(image, **rest) * (1 - size * edges * (not smooth)))
