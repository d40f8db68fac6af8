"""Hypothesis strategies for pictures, depth, point spreads, cameras and all else that a test of blur needs.

Every strategy shrinks to what is easy to read: few pixels, few lit ones, round numbers. Pictures come in the sizes that
break programs: one pixel, one row, odd, and higher than wide. It needs the extra ``testing`` (Hypothesis).

>>> from hypothesis import given
>>> from blursynth.testing import strategies
>>> @given(strategies.images(channels=1))
... def test(image):
...     assert 0 <= image.min() and image.max() <= 1
>>> test()
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from blursynth.core import Degradation, Draw
from blursynth.degradations import ALL
from blursynth.errors import require
from blursynth.frame import Encoding, Frame, Intrinsics
from blursynth.physics import point_spread
from blursynth.physics.point_spread import PointSpreads
from blursynth.recipe.recipe import Recipe, load_recipe, recipe_names

require("hypothesis", extra="testing", purpose="Testing with strategies")

from hypothesis import strategies as st  # noqa: E402
from hypothesis.extra import numpy as hnp  # noqa: E402

__all__ = [
    "apertures",
    "cameras",
    "degradations",
    "depth_maps",
    "draws",
    "frames",
    "images",
    "point_spreads",
    "recipes",
    "sizes",
    "st",
    "trajectories",
]

Strategy = st.SearchStrategy
BATCHES, CHANNELS, EITHER = st.integers(1, 3), st.sampled_from((3, 1)), st.booleans()


def sizes(smallest_px: int = 1, largest_px: int = 12) -> Strategy[tuple[int, int]]:
    """Height and width in px, independent of each other."""
    side = st.integers(smallest_px, max(smallest_px, largest_px))
    return st.tuples(side, side)


IMAGES = ("points", "constant", "edge", "ramp", "texture", "noise")


@st.composite
def images(
    draw: st.DrawFn,
    *,
    channels: int = 3,
    size_px: tuple[int, int] | Strategy[tuple[int, int]] | None = None,
    dtype: DTypeLike = np.float64,
    levels: int = 255,
    kinds: Sequence[str] = IMAGES,
) -> NDArray[Any]:
    """Pictures ``[C, H, W]`` with values from 0 to 1, all multiples of 1 / ``levels``.

    Parameters
    ----------
    channels
        Number of channels. They differ from each other.
    size_px
        Height and width, or a strategy for them; by default 1 to 12 px each.
    dtype
        Of the values. Integers come from 0 to ``levels``.
    levels
        Number of steps from black to white; 255 gives what 8-bit pictures hold exactly.
    kinds
        Which ones: ``points`` of light on black, ``constant``, an ``edge`` in any direction, a ``ramp``, ``texture``
        with the power-law spectrum of natural pictures, and white ``noise``.
    """
    height, width = draw(sizes() if size_px is None else size_px if isinstance(size_px, Strategy) else st.just(size_px))
    kind = draw(st.sampled_from(tuple(kinds)))
    shape = (channels, height, width)
    level = st.integers(0, levels)
    if kind == "points":
        codes = draw(hnp.arrays(np.int64, shape, elements=level, fill=st.just(0)))
    elif kind == "constant":
        codes = np.broadcast_to(draw(hnp.arrays(np.int64, (channels, 1, 1), elements=level)), shape)
    elif kind == "noise":
        codes = _rng(draw).integers(0, levels, shape, endpoint=True)
    else:
        if kind == "texture":
            values = _texture(_rng(draw), shape, draw(st.sampled_from((1.0, 2.0))))
        else:
            rows, columns = np.mgrid[:height, :width]
            slope = draw(st.tuples(st.integers(-3, 3), st.integers(-3, 3)))
            along = slope[0] * rows + slope[1] * columns
            start, span = along.min(), max(1, np.ptp(along))
            values = (along - start) / span if kind == "ramp" else along - start >= draw(st.integers(0, int(span)))
            ends = draw(hnp.arrays(np.int64, (2, channels, 1, 1), elements=level)) / levels
            values = ends[0] + (ends[1] - ends[0]) * values
        codes = np.rint(np.broadcast_to(values, shape) * levels)
    if np.dtype(dtype).kind in "iu":
        return codes.astype(dtype)
    return (codes / levels).astype(dtype)


def _rng(draw: st.DrawFn) -> np.random.Generator:
    return np.random.default_rng(draw(st.integers(0, 2**16)))


def _texture(rng: np.random.Generator, shape: tuple[int, ...], slope: float) -> NDArray[np.float64]:
    """Noise whose amplitude falls with frequency^slope / 2 ... between 0 and 1."""
    frequency = np.hypot(np.fft.fftfreq(shape[-2])[:, None], np.fft.fftfreq(shape[-1]))
    frequency[0, 0] = np.inf
    values = np.fft.ifft2(np.fft.fft2(rng.normal(size=shape)) / np.maximum(frequency, 1e-9) ** slope).real
    low, high = values.min(axis=(-2, -1), keepdims=True), values.max(axis=(-2, -1), keepdims=True)
    return np.asarray((values - low) / np.maximum(high - low, 1e-12))


DEPTHS = ("constant", "plane", "step", "staircase", "holes")


@st.composite
def depth_maps(
    draw: st.DrawFn,
    *,
    size_px: tuple[int, int] | Strategy[tuple[int, int]] | None = None,
    near_m: float = 0.5,
    far_m: float = 20.0,
    dtype: DTypeLike = np.float64,
    kinds: Sequence[str] = DEPTHS,
) -> NDArray[Any]:
    """Distances ``[H, W]`` in m along the optical axis, between ``near_m`` and ``far_m``.

    Their kinds: ``constant``; a ``plane``, linear in inverse distance; a ``step`` between two distances along a line;
    a ``staircase`` of a plane, as depth in whole steps of disparity has; ``holes``, a wall with near pixels before it.
    """
    height, width = draw(sizes() if size_px is None else size_px if isinstance(size_px, Strategy) else st.just(size_px))
    kind = draw(st.sampled_from(tuple(kinds)))
    # Tenths of the range of inverse distance: 0 is far.
    tenth = st.integers(0, 10)
    first, second = (np.array(draw(tenth)) / 10.0 for _ in range(2))
    rows, columns = np.mgrid[:height, :width]
    slope = draw(st.tuples(st.integers(-3, 3), st.integers(-3, 3)))
    along = slope[0] * rows + slope[1] * columns
    share = (along - along.min()) / max(1, np.ptp(along))
    if kind == "constant":
        share = np.zeros((height, width))
    elif kind == "step":
        share = share >= draw(tenth) / 10.0
    elif kind == "staircase":
        steps = draw(st.integers(2, 8))
        share = np.minimum(np.floor(share * steps), steps - 1) / (steps - 1)
    elif kind == "holes":
        share = draw(hnp.arrays(np.bool_, (height, width), fill=st.just(False)))
    near = first + (second - first) * share
    return np.asarray(1.0 / (1.0 / far_m + (1.0 / near_m - 1.0 / far_m) * near)).astype(dtype)


@st.composite
def trajectories(
    draw: st.DrawFn, *, samples: Strategy[int] | int | None = None, largest_px: float = 12.0
) -> NDArray[np.float64]:
    """Paths ``[N, 2]`` of (row, column) in px at equal times: lines, hooks, rest, random walks."""
    samples = st.integers(2, 40) if samples is None else samples
    count = draw(samples) if isinstance(samples, Strategy) else samples
    corners = draw(st.integers(2, 4))
    half = st.integers(-2 * int(largest_px), 2 * int(largest_px))
    at = draw(hnp.arrays(np.int64, (corners, 2), elements=half, fill=st.just(0))) / 2.0
    time = np.linspace(0, corners - 1, count)
    path = np.stack([np.interp(time, np.arange(corners), at[:, axis]) for axis in range(2)], axis=1)
    if draw(st.booleans()):
        path = path + np.cumsum(_rng(draw).normal(scale=largest_px / (4 * count), size=(count, 2)), axis=0)
    return path


@st.composite
def point_spreads(draw: st.DrawFn, *, largest_px: int = 11, centered: bool = False, batch: int = 1) -> PointSpreads:
    """Point spreads of sum 1 with non-negative taps, in a box of odd height and width: single taps, sparse, dense.

    ``centered`` ones have their centroid at 0, since each is its own half turn.
    """
    kernels = []
    for _ in range(batch):
        half = st.integers(0, largest_px // 2)
        shape = (2 * draw(half) + 1, 2 * draw(half) + 1)
        kernel = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 8), fill=st.just(0))).astype(np.float64)
        if draw(st.booleans()):
            kernel += _rng(draw).random(shape)
        if kernel.sum() == 0:
            kernel[shape[0] // 2, shape[1] // 2] = 1.0
        if centered:
            kernel = kernel + kernel[::-1, ::-1]
        kernels.append(kernel / kernel.sum())
    return PointSpreads.from_dense(kernels)


def apertures(*, largest_px: float = 15.0) -> Strategy[PointSpreads]:
    """Point spreads of a lens out of focus: disks and polygons of 5 to 9 blades, up to ``largest_px`` wide."""
    diameter = st.integers(0, int(4 * largest_px)).map(lambda quarters: quarters / 4.0)
    round_ones = diameter.map(lambda width: point_spread.disk(width / 2))
    polygons = st.builds(
        point_spread.polygon,
        diameter.map(lambda width: width / 2),
        st.integers(5, 9),
        st.integers(-180, 180).map(np.radians).map(float),
    )
    return st.one_of(round_ones, polygons)


def cameras() -> Strategy[Intrinsics]:
    """Intrinsics of phones to large formats: focal lengths of 2 to 200 mm, pixels of 0.8 to 12 um."""
    return st.builds(
        Intrinsics,
        focal_length_mm=st.integers(2, 200).map(float),
        pixel_pitch_um=st.integers(8, 120).map(lambda tenths: tenths / 10.0),
        principal_point_px=st.one_of(
            st.none(), st.tuples(st.integers(0, 20).map(float), st.integers(0, 20).map(float))
        ),
    )


@st.composite
def frames(
    draw: st.DrawFn,
    *,
    encoding: Encoding | Strategy[Encoding] = Encoding.LINEAR,
    batch: int | Strategy[int] = BATCHES,
    channels: int | Strategy[int] = CHANNELS,
    size_px: tuple[int, int] | Strategy[tuple[int, int]] | None = None,
    dtype: DTypeLike = np.float32,
    depth: bool | Strategy[bool] = EITHER,
    camera: bool | Strategy[bool] = EITHER,
) -> Frame:
    """Frames ``[B, C, H, W]``, with and without depth and camera."""

    def drawn(value: Any) -> Any:
        return draw(value) if isinstance(value, Strategy) else value

    size = drawn(sizes() if size_px is None else size_px)
    count, planes = drawn(batch), drawn(channels)
    image = np.stack([draw(images(channels=planes, size_px=size, dtype=dtype)) for _ in range(count)])
    has_depth = drawn(depth)
    depth_m = np.stack([draw(depth_maps(size_px=size, dtype=dtype)) for _ in range(count)]) if has_depth else None
    camera_of_all = (draw(cameras()),) * count if drawn(camera) else ()
    return Frame(image, drawn(encoding), depth_m=depth_m, camera=camera_of_all)


def degradations(kind: type[Degradation] | None = None) -> Strategy[Degradation]:
    """Examples of a kind, or of any kind that ships, each with up to two fields changed within their ranges."""
    kinds = ALL if kind is None else (kind,)
    return st.sampled_from(kinds).flatmap(_varied)


@st.composite
def _varied(draw: st.DrawFn, kind: type[Degradation]) -> Degradation:
    from blursynth.errors import InvalidValueError
    from blursynth.testing.conformance import other_values

    record = kind.example()
    names = sorted(kind.model_fields)
    for name in draw(st.lists(st.sampled_from(names), max_size=2, unique=True)) if names else ():
        values = list(other_values(record, name))
        if not values:
            continue
        try:
            record = record.replace(**{name: draw(st.sampled_from(values))})
        except InvalidValueError:
            continue  # not every trial value lies in the field's range
    return record


def recipes() -> Strategy[Recipe]:
    """The recipes that ship."""
    return st.sampled_from(recipe_names()).map(load_recipe)


def draws(
    recipe: Recipe | str | Strategy[Recipe] | None = None, *, frame: Frame | Callable[[], Frame] | None = None
) -> Strategy[Draw]:
    """Draws of a recipe (by default of any that ships) for a frame (by default one of 64 x 48 px with depth)."""
    from blursynth.testing.conformance import pictures

    if frame is None:
        frame = pictures(Encoding.DISPLAY, batch=1, size_px=(64, 48))
    elif callable(frame):
        frame = frame()
    if recipe is None:
        recipe = recipes()
    elif isinstance(recipe, str):
        recipe = st.just(load_recipe(recipe))
    elif isinstance(recipe, Recipe):
        recipe = st.just(recipe)
    return st.builds(
        lambda made, seed, index: made.sample(frame, seed=seed, index=index),
        recipe,
        st.integers(0, 2**32),
        st.integers(0, 2**20),
    )
