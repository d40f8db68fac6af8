"""What every operation is tried with, on every backend: ``test_every_backend.py`` runs all of them.

Pictures are small and of unlike height and width, point spreads lopsided and off center, so that nothing can be
flipped, shifted or transposed unnoticed; they are small because Triton's interpreter takes its time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.frame import Border
from blursynth.physics.development import DevelopParameters, camera_from_srgb
from blursynth.physics.mosaic import DEMOSAICS
from blursynth.physics.object_layout import ObjectShape, random_layout
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.point_spread_field import PointSpreadField
from blursynth.physics.poses import Poses, rotation_matrix
from blursynth.physics.radiometry import SensorParameters
from blursynth.physics.resampling import Bands, rescaling
from blursynth.physics.response import decode_table, encode_table
from blursynth.physics.scene import Scene
from blursynth.physics.surface_edges import Means
from blursynth.physics.trajectory import WalkParameters
from blursynth.physics.warps import Warps

Array = NDArray[Any]

SAME_SIZE = [border for border in Border if border != Border.VALID]

# Errors relative to the largest number of the picture or of the result: sums of up to a hundred products, each rounded
# once in float32, and the same in float64 with some digits to spare.
ROUNDING = {np.float32: 2e-5, np.float64: 1e-12}
# Counts, codes and whole numbers: a normal number that differs by 1e-6 falls on the same side of every half here.
EXACT = {np.float32: 0.0, np.float64: 0.0}
# Normal numbers are computed in float32 whatever the picture is: 1.2e-6 standard deviations, here of up to 2.
NORMAL = {np.float32: 5e-6, np.float64: 5e-6}


@dataclass(frozen=True)
class Case:
    """Arguments of one operation.

    Parameters
    ----------
    label
        What is special about it.
    picture
        The first argument, in float64; None for operations that take no picture.
    given
        Other arguments, by name.
    planes
        Other arguments that are arrays or tensors as the picture is.
    error
        The largest difference from the oracle, by the type of the picture; types without an entry are not compared.
    keeps_dtype
        The result has the picture's type.
    smooth
        Its derivative by the picture is the limit of differences: nothing is rounded, drawn or clipped.
    of_adjoint
        Arguments that only the transpose takes.
    """

    label: str
    picture: Array | None
    given: dict[str, Any]
    planes: dict[str, Array] = field(default_factory=dict)
    error: Mapping[type, float] = field(default_factory=lambda: ROUNDING)
    keeps_dtype: bool = True
    smooth: bool = True
    of_adjoint: dict[str, Any] = field(default_factory=dict)

    def of_picture(self, b: int) -> Case:
        """The same for one picture of the batch."""
        assert self.picture is not None
        batch = len(self.picture)
        return replace(
            self,
            picture=self.picture[b : b + 1],
            given={name: _of_picture(value, b, batch) for name, value in self.given.items()},
            planes={name: plane[b : b + 1] for name, plane in self.planes.items()},
        )


def _of_picture(value: Any, b: int, batch: int) -> Any:
    """What belongs to one picture."""
    if isinstance(value, PointSpreads):
        return value if len(value) == 1 else value[b]
    if isinstance(value, PointSpreadField):
        if len(value) == 1:
            return value
        own = range(b * value.nodes, (b + 1) * value.nodes)
        psf = PointSpreads.concatenate([value.psf[n] for n in own])
        return replace(value, psf=psf, first_px=value.first_px[b : b + 1])
    if isinstance(value, Scene):
        planes = {f.name: getattr(value, f.name) for f in fields(value)}
        own = {
            n: a[b : b + 1] for n, a in planes.items() if isinstance(a, np.ndarray) and len(a) == batch and a.ndim > 2
        }
        own["means"] = value.means.of_picture(b, value.order[0].size)
        return replace(value, **own)
    if isinstance(value, Warps | SensorParameters | DevelopParameters):
        arrays = {f.name: getattr(value, f.name) for f in fields(value)}
        return type(value)(**{name: a if len(a) == 1 else a[b : b + 1] for name, a in arrays.items()})
    return value[b : b + 1] if isinstance(value, np.ndarray | list) and len(value) == batch else value


# -- what operations take ---------------------------------------------------------------------------------------------


def point_spreads(rng: np.random.Generator, count: int, *, size: tuple[int, int] = (3, 3)) -> PointSpreads:
    """Kernels of sum 1 with some taps left out and their origins not quite in the middle."""
    kernels, centers = [], []
    for _ in range(count):
        kernel = rng.random(size) * (rng.random(size) < 0.7)
        kernel[rng.integers(size[0]), rng.integers(size[1])] = 1
        kernels.append(kernel / kernel.sum())
        centers.append((int(rng.integers(0, size[0])), int(rng.integers(0, size[1]))))
    return PointSpreads.from_dense(kernels, centers)


def point_spread_field(
    rng: np.random.Generator, batch: int, *, levels: int = 3, rows: int = 2, columns: int = 2
) -> PointSpreadField:
    """A field of some levels, rows and columns of nodes, for all pictures or for each."""
    psf = point_spreads(rng, batch * levels * rows * columns)
    return PointSpreadField(psf, levels, rows, columns, rng.uniform(-1, 3, (batch, 2)), (3.5, 2.7))


def warps(
    rng: np.random.Generator, batch: int, *, times: int = 4, height: int | None = None, moves: bool = True
) -> Warps:
    """Small rotations, zoom and translations; a rolling shutter when ``height`` is given."""
    matrix = np.eye(3) + rng.normal(size=(batch, times, 3, 3)) * np.array(
        [[0.02, 0.02, 0.8], [0.02, 0.02, 0.8], [1e-3, 1e-3, 0.01]]
    )
    shift = rng.normal(size=(batch, times, 3)) * np.array([1.0, 1.0, 0.01]) * moves
    seen = times if height is None else 2
    first = np.zeros((batch, height or 1), np.int64)
    if height is not None:
        first[:] = np.linspace(0, times - seen, height).round()
    weight = rng.random((batch, height or 1, seen)) + 0.1
    return Warps(matrix, shift, first, weight / weight.sum(axis=-1, keepdims=True))


def random_means(
    rng: np.random.Generator, hidden: NDArray[np.int32], share: NDArray[np.float64] | None = None
) -> Means:
    """Of any four colors with any weights, behind most of the pixels that may have one."""
    may = (hidden >= 0) & (rng.random(hidden.shape) < 0.7)
    at = np.flatnonzero(may if share is None else may & (share == 1))
    of = rng.integers(0, max(1, hidden[0].size), (at.size, 4), dtype=np.int32)
    weight = rng.random((at.size, 4)) * (rng.random((at.size, 4)) < 0.7) + 1e-3
    return Means(at, of, weight / weight.sum(axis=1, keepdims=True))


def scene(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    *,
    kernels: int = 3,
    parts: int = 2,
    size: tuple[int, int] = (3, 3),
    slices: int = 3,
    mixed: bool = False,
    sloped: bool = False,
    connected: bool = False,
    limited: bool = False,
) -> Scene:
    """A few slices in random places with their own kernels, and what they hide.

    ``mixed`` scenes have mixtures, of any two colors in places that need not make sense, and any surface is
    missing in some places, more often that in front; ``sloped`` ones slopes, some of which are beyond the limits;
    in ``limited`` ones some pixels see none of the farther slices.
    """
    order = np.repeat(np.repeat(rng.integers(-1, slices - 1, shape), 2, axis=1), 3, axis=2)
    order = np.ascontiguousarray(order[:, : shape[1], : shape[2]].astype(np.int32))
    kernel = ((order + 1) % kernels).astype(np.int32)
    pixels = shape[1] * shape[2]
    some = rng.integers(0, pixels, shape, dtype=np.int32)
    farther = np.take_along_axis(order.reshape(-1, pixels), some.reshape(-1, pixels), axis=1).reshape(shape) < order
    hidden = np.where(farther, some, -1).astype(np.int32)
    weight = rng.random(parts) + 0.2
    more: dict[str, Any] = {"connected": connected}
    if mixed:
        there = rng.random(shape) < 0.4
        share = np.where(there, np.clip(rng.uniform(-0.3, 1.3, shape), 0, 1), 1.0)
        front, pure, behind = (rng.integers(0, pixels, shape, dtype=np.int32) for _ in range(3))
        hidden = np.where(there, behind, hidden)
        more["front"] = np.where(there, front, -1).astype(np.int32)
        more["share"], more["pure"] = share, np.where(there & (share > 0), pure, -1).astype(np.int32)
        missing = np.where(rng.random(shape) < 0.3, rng.integers(0, pixels, shape, dtype=np.int32), -1)
        in_front = there & (rng.random(shape) < 0.6)
        more["missing"] = np.where(in_front, front, missing).astype(np.int32)
    if sloped:
        more["slope"] = rng.normal(scale=0.5, size=(shape[0], 2, *shape[1:]))
        more["slope"][:, :, 0, :2] = ((2.0, -3.0), (3.0, -2.0))
        more["part_center"] = rng.uniform(-1, 1, (parts, 2))
    psf = point_spreads(rng, kernels * parts, size=size)
    if limited:
        more["farthest"] = np.where(rng.random(shape) < 0.6, rng.permuted(order, axis=2), -9).astype(np.int32)
    more["means"] = random_means(rng, hidden, more.get("share"))
    return Scene(order, kernel, hidden, psf, weight / weight.sum(), **more)


SEEDS = np.array([5, 2**62 + 9], np.uint64)
ORIGINS = np.array([[0, 3], [7, 2**20 + 1]])
KEYS = {"seed": SEEDS, "origin_px": ORIGINS}


def camera(**others: Any) -> SensorParameters:
    """Two sensors with all that there is, a mosaic apart."""
    matrix = [[1.5, -0.4, -0.1], [-0.2, 1.5, -0.3], [0.0, -0.5, 1.5]]
    values: dict[str, Any] = {
        "white_level_e": [1000.0, 400.0], "full_well_e": [900.0, 500.0], "read_noise_e": [3.0, 2.0],
        "row_noise_e": 1.0, "column_noise_e": 0.5, "read_noise_shape": [np.nan, -0.1], "gain_dn_per_e": [0.9, 2.0],
        "black_level_dn": [64.0, 20.0], "bit_depth": [12, 10], "dark_e": [0.0, 5.0], "prnu": [0.01, 0.05],
        "dsnu_e": [0.0, 1.0], "sensor_seed": np.array([3, 4], np.uint64),
        "from_light": camera_from_srgb([2.0, 1.0, 1.6], matrix), "offset_dn": [[0.5, 0.0, 0.3, -0.2]] * 2,
    }  # fmt: skip
    return SensorParameters(**{**values, **others})


def development(demosaic: str | None, batch: int = 4) -> DevelopParameters:
    """All four patterns, with colors and a clip that some pixels reach."""
    return DevelopParameters(
        black_dn=[64.0, 0.0, 64.0, 32.0][:batch],
        white_dn=[964.0, 800.0, 900.0, 1000.0][:batch],
        mosaic=[1, 2, 3, 4][:batch] if demosaic is not None else 0,
        demosaic=DEMOSAICS.index(demosaic) if demosaic is not None else 0,
        white_balance=np.array([2.0, 1.0, 1.6]),
        color_matrix=np.array([[1.5, -0.4, -0.1], [-0.2, 1.5, -0.3], [0.0, -0.5, 1.5]]),
        gain=[1.0, 2.0, 0.5, 1.0][:batch],
        clip=0.9,
    )


CORNERS = np.array([[0, 0], [1, 0], [0, 1], [3, 5]])


def tables() -> tuple[Array, Array]:
    """Encoding and decoding by a gamma of 2.2 and by a straight line."""
    light = np.linspace(0.0, 1.0, 60) ** 2
    curves = [light ** (1 / 2.2), light]
    return np.stack([encode_table(light, v) for v in curves]), np.stack([decode_table(light, v) for v in curves])


def bands(size: int, factor: float, down: str, up: str, border: Border = Border.REFLECT, first: int = 0) -> Bands:
    return rescaling(factor, down, up, first_px=first, size_px=size, border=border)[0]  # type: ignore[arg-type]


# -- the cases --------------------------------------------------------------------------------------------------------


def normal(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def between(seed: int, low: float, high: float, *shape: int) -> Array:
    return np.random.default_rng(seed).uniform(low, high, shape)


def _convolve() -> list[Case]:
    rng = np.random.default_rng(1)
    out = []
    for border in Border:
        # What VALID drops is the reach of all point spreads of a batch, so with two of them pictures are not their own.
        psf = point_spreads(rng, 1 if border == Border.VALID else 2, size=(2, 3))
        out.append(Case(border.value, normal(2, 2, 1, 6, 5), {"psf": psf, "border": border}))
    wide = {"psf": point_spreads(rng, 1, size=(2, 3)), "border": Border.REFLECT}
    out.append(Case("one point spread for all, wider than a tile", normal(3, 2, 1, 3, 131), wide))
    far = PointSpreads.from_dense([rng.random((9, 4)), rng.random((2, 7))], [(8, 0), (0, 6)])
    out.append(Case("smaller than the reach", normal(4, 2, 1, 4, 2), {"psf": far, "border": Border.CIRCULAR}))
    return out


def _convolve_adjoint() -> list[Case]:
    """For ``VALID`` the picture is the small one; it may be of any size."""
    return [replace(case, picture=normal(5, *np.shape(case.picture))) for case in _convolve()]


def _convolve_varying() -> list[Case]:
    rng = np.random.default_rng(6)
    picture, level = normal(8, 2, 1, 5, 6), between(7, -0.4, 2.4, 2, 5, 6)
    out = []
    for border in SAME_SIZE:
        one = {"field": point_spread_field(rng, 1, levels=2), "border": border}
        out.append(Case(border.value, picture[:1], one, {"level": level[:1]}))
    each, flat = point_spread_field(rng, 2), point_spread_field(rng, 1, levels=1)
    out.append(Case("a field for each picture", picture, {"field": each, "border": Border.REFLECT}, {"level": level}))
    out.append(Case("no level", picture, {"field": flat, "border": Border.CONSTANT}))
    return out


def _warp_mean() -> list[Case]:
    rng = np.random.default_rng(9)
    depth = {"inverse_depth": between(10, 0.2, 1.5, 2, 4, 9)}
    picture = normal(11, 2, 1, 4, 9)
    out = [Case(border.value, picture, {"warps": warps(rng, 1), "border": border}, depth) for border in SAME_SIZE]
    rolling, turns = warps(rng, 2, height=4), warps(rng, 1, moves=False)
    out.append(Case("rolling shutter", picture, {"warps": rolling, "border": Border.REFLECT}, depth))
    out.append(Case("rotation alone", picture, {"warps": turns, "border": Border.CIRCULAR}))
    return out


def _composite() -> list[Case]:
    rng = np.random.default_rng(12)
    kinds: dict[str, dict[str, Any]] = {border.value: {"parts": 1} for border in SAME_SIZE}
    kinds |= {
        "mixed and sloped, two parts": {"mixed": True, "sloped": True, "parts": 2},
        "connected": {"parts": 1, "connected": True, "slices": 4},
        "all of it": {"mixed": True, "sloped": True, "connected": True, "limited": True, "slices": 4, "parts": 1},
    }
    out = []
    for label, kind in kinds.items():
        border = Border(label) if label in list(Border) else Border.REFLECT
        batch = 2 if label == "all of it" else 1
        given = {"scene": scene(rng, (batch, 5, 6), size=(2, 2), **kind), "border": border}
        out.append(Case(label, normal(13, batch, 3, 5, 6), given))
    return out


def _resample() -> list[Case]:
    smaller = {"rows": bands(7, 0.4, "bicubic", "area"), "columns": bands(9, 0.5, "area", "bilinear")}
    larger = {"rows": bands(7, 2.3, "area", "bilinear", Border.CIRCULAR), "columns": bands(9, 1.7, "area", "bicubic")}
    return [
        Case(label, normal(14, 2, 2, 7, 9), given, of_adjoint={"size_px": (7, 9)})
        for label, given in (("smaller", smaller), ("larger", larger))
    ]


def _resample_adjoint() -> list[Case]:
    return [
        replace(
            case,
            picture=normal(15, 2, 2, len(case.given["rows"]), len(case.given["columns"])),
            given={**case.given, **case.of_adjoint},
        )
        for case in _resample()
    ]


def _sensor() -> list[Case]:
    light = between(16, -0.1, 1.3, 2, 3, 6, 11)
    # In float32 a mean differs from the oracle's by its rounding, and the counts with it: held to the CPU elsewhere.
    exact, close = {np.float64: 0.0}, {np.float64: 1e-5}
    plain = SensorParameters(np.array([1000.0, 30.0]), 2000.0, read_noise_e=2.0)
    sensors = {"colors": camera(), "mosaic": camera(mosaic=[2, 3]), "plain": plain}
    cases = [
        Case(label, light, {"parameters": parameters, **KEYS}, error=exact, smooth=False)
        for label, parameters in sensors.items()
    ]
    unrounded = {"parameters": camera(rounding=False), **KEYS}
    return [*cases, Case("not rounded", light, unrounded, error=close, smooth=False)]


def _develop() -> list[Case]:
    def raw(channels: int) -> Array:
        return between(17, 0, 1100, 4, channels, 6, 7)

    out = []
    for demosaic in (*DEMOSAICS, None):
        given = {"parameters": development(demosaic), "origin_px": CORNERS}
        out.append(Case(demosaic or "no mosaic", raw(1 if demosaic else 3), given, smooth=demosaic != "edge_aware"))
    gray = {"parameters": DevelopParameters([64.0], [964.0]), "origin_px": CORNERS[:1]}
    return [*out, Case("gray", raw(2), gray)]


def _curves() -> dict[str, list[Case]]:
    values = between(18, -0.2, 1.3, 2, 2, 5, 7)
    values[0, 0, 0, :4] = (0.0, 1.0, 0.5, 1e-16)
    smooth = values.copy()
    smooth[0, 0, 0, :4] = (0.1, 0.9, 0.5, 0.3)
    encode, decode = tables()
    rounded = {"levels": [255, 1023]}
    return {
        "srgb_decode": [Case("values", smooth, {})],
        "srgb_encode": [Case("values", smooth, {}), Case("codes", values, rounded, smooth=False)],
        "response_decode": [
            Case("values", values, {"table": decode}, smooth=False),  # steps of differences are wider than nodes
            Case("one table for all", values, {"table": decode[:1]}, smooth=False),
        ],
        "response_encode": [
            Case("values", values, {"table": encode}, smooth=False),
            Case("codes", values, {"table": encode, **rounded}, smooth=False),
        ],
    }


def _smooth_depth() -> list[Case]:
    rng = np.random.default_rng(19)
    edge = np.arange(12) + 0.4 * np.arange(9)[:, None]
    depth = np.stack([np.where(edge > 7, 2.0, 1.0), np.where(edge > 6, 1.0, 1.4)]) + 0.01 * rng.normal(size=(2, 9, 12))
    guide = np.stack([np.where(edge > 6, 0.3, 0.7)] * 2)[:, None].repeat(2, 1) + 0.02 * rng.normal(size=(2, 2, 9, 12))
    numbers = {
        "step": np.array([0.05, 0.1]), "radius_px": np.array([5, 3]), "contrast": np.array([0.05, 0.1]),
        "snap_px": np.array([2, 1]),
    }  # fmt: skip
    # Planes of least squares are solved in another order of sums; the result is float64 whatever the picture is.
    error = {np.float64: 1e-9}
    return [Case("a jump beside an edge", depth, numbers, {"guide": guide}, error, keeps_dtype=False, smooth=False)]


def _surface_edges() -> list[Case]:
    rng = np.random.default_rng(20)
    blocks = np.repeat(np.repeat(rng.integers(0, 4, (2, 4, 4)), 5, 1), 6, 2)[:, :16, :19]
    size = rng.uniform(0.0, 4.0, blocks.shape)
    limits = {"jump": 1.5, "slack_px": 2.0}
    # Slopes at which no comparison is a tie, which rounding would decide.
    layers = {"level": 3.0 * blocks + 0.103 * np.arange(19), "deep_px": None, "wide_px": 2.0 * size, **limits}
    objects = {"level": 3.0 * blocks, "deep_px": size, "wide_px": None, **limits}
    picture = between(21, 0, 1, 2, 3, 16, 19)
    error = {np.float32: 1e-9, np.float64: 1e-9}  # shares are computed in float64
    return [
        Case(label, picture, given, error=error, keeps_dtype=False, smooth=False)
        for label, given in (("layers", layers), ("objects", objects))
    ]


def _paths() -> dict[str, list[Case]]:
    walk = WalkParameters([9.0, 30.0], [0.05, 0.01], 0.3, 0.1, 5.0, [0.3, 2.0], samples=40)
    path = np.cumsum(normal(22, 2, 7, 2), axis=1)
    part = {"path": path, "duration": between(23, 0.1, 1, 2, 6), "center": False, "exposure": (0.2, 0.7)}
    radius = np.where(np.arange(13) < 6, 0.1 * np.arange(13), 40.0) - 0.2 * np.arange(11)[:, None]
    slope = {"radius_px": radius[None] + between(24, 0, 0.3, 2, 11, 13), "jump": 1.5}
    layout = random_layout(5, (40, 30), 9.0, 12.0, ObjectShape.MIXED)
    rng = np.random.default_rng(29)
    rough = rng.integers(-9, 9, (2, 11, 13)) + 9 * np.arange(13)
    farthest = {"order": rough.astype(np.int32), "reach_px": rng.integers(0, 4, rough.shape).astype(np.int32)}

    turns = Poses(rotation_matrix(0.2 * normal(30, 9, 3)), normal(31, 9, 3))
    wide = Poses(rotation_matrix(np.linspace(-0.6, 0.6, 9)[:, None] * (1.0, -0.5, 0.7)), normal(31, 9, 3))
    share = between(32, 0, 1, 4, 5) * (np.arange(5) != np.arange(4)[:, None])
    rows = {"first": np.array([0, 1, 1, 4]), "weight": share}

    def case(label: str, given: dict[str, Any]) -> Case:
        return Case(label, None, given, error={np.float64: 1e-10}, keeps_dtype=False, smooth=False)

    return {
        "rasterize": [case("whole", {"path": path}), case("a part, not centered", part)],
        "random_walk": [case("two walks", {"parameters": walk, "seed": SEEDS})],
        "object_labels": [
            case("two thirds of a picture", {"layout": layout, "origin_px": (9, -4), "size_px": (21, 34)})
        ],
        "mean_poses": [case("shaking", {"poses": turns, **rows}), case("turning far", {"poses": wide, **rows})],
        "surface_slope": [case("two surfaces", slope)],
        "farthest_seen": [case("rough", farthest)],
        "jumps": [
            case("steps", {"level": np.round(2 * between(33, 0, 3, 9, 23)), "jump": 2.5}),
            case("one row", {"level": normal(34, 1, 9), "jump": 1.0}),
            case("one column", {"level": normal(35, 9, 1), "jump": 1.0}),
        ],
    }


def _codes() -> dict[str, list[Case]]:
    display = np.concatenate([between(25, -0.2, 1.2, 60), (np.arange(20) + 0.5) / 255, np.arange(20) / 255])
    codes = np.arange(256, dtype=np.uint8).reshape(1, 2, 4, 32)
    return {
        "to_codes": [
            Case("halves too", display.reshape(1, 1, 4, 25), {}, error=EXACT, keeps_dtype=False, smooth=False)
        ],
        "from_codes": [Case("all codes", None, {"codes": codes}, error=EXACT, keeps_dtype=False, smooth=False)],
    }


MEANS = np.resize([0.0, 0.3, 6.9, 7.1, 12.0, 300.0, 5000.0, 1e5], (2, 2, 3, 19))

CASES: dict[str, list[Case]] = {
    "convolve": _convolve(),
    "convolve_adjoint": _convolve_adjoint(),
    "convolve_varying": _convolve_varying(),
    "convolve_varying_adjoint": _convolve_varying(),
    "warp_mean": _warp_mean(),
    "warp_mean_adjoint": _warp_mean(),
    "composite": _composite(),
    "composite_adjoint": _composite(),
    "resample": _resample(),
    "resample_adjoint": _resample_adjoint(),
    "poisson": [Case("small and large means", MEANS, KEYS, error=EXACT, smooth=False)],
    "gaussian_noise": [Case("noise", normal(26, 2, 2, 3, 19), {"sigma": np.array([0.1, 2.0]), **KEYS}, error=NORMAL)],
    "sensor": _sensor(),
    "develop": _develop(),
    "self_guided": [
        Case(
            "radii",
            between(27, 0, 1, 3, 2, 9, 11),
            {"strength": np.array([[0.1, 0.2], [0, 0.1], [0.3, 0]]), "radius_px": np.array([[1, 2], [2, 1], [3, 9]])},
        )
    ],
    "weighted_sum": [
        Case("three channels", between(28, 0, 1, 2, 3, 5, 19), {"weights": (0.3, -0.5, 2.0)}),
        Case("two channels", between(28, 0, 1, 3, 2, 5, 19), {"weights": (0.3, -0.5)}),
    ],
    "luma_chroma": [Case("colors", between(28, 0, 1, 2, 3, 5, 19), {})],
    "change_luma_chroma": [
        Case("all", between(29, 0.4, 0.6, 2, 3, 5, 19), {}, {"change": between(30, -0.1, 0.1, 2, 3, 5, 19)}),
        Case("luma", between(29, 0, 1, 2, 3, 5, 19), {}, {"change": normal(30, 2, 1, 5, 19)}, smooth=False),
    ],
    "smooth_depth": _smooth_depth(),
    "surface_edges": _surface_edges(),
    **_curves(),
    **_paths(),
    **_codes(),
}
"""By operation; a test holds it to have every one of them."""
