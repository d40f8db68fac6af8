"""The surfaces of a picture in order of distance, and what its nearer parts hide."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.surface_edges import (
    MIRRORED_PX,
    PURE_REACH_PX,
    SLOPE_REACH_PX,
    STEEPEST,
    UNEVEN_REACH_PX,
    Means,
    SurfaceEdges,
)

__all__ = [
    "JUMP_PX",
    "SLACK_PX",
    "Patches",
    "Scene",
    "blur_levels",
    "level_radius_px",
    "reach_of_layers_px",
    "reach_of_objects_px",
    "scene_of_layers",
    "scene_of_objects",
]

# Between neighboring pixels. Below it depth that is quantized or sloped is one surface.
JUMP_PX = 1.75
# A surface always continues at least this many px behind the edge of a nearer one: for the widths of pixels and slices,
# and for point spreads whose sizes are rounded to levels.
SLACK_PX = 2.0

# Up to half a pixel a point spread lies inside one pixel. From there to _PROPORTIONAL_PX its levels are in proportion
# to its radius: the error of an edge is that of the radius divided by the radius.
_NO_BLUR_PX = 0.5
_PROPORTIONAL_PX = 16.0


@dataclass(frozen=True, eq=False)
class Scene:
    """The surfaces behind the pixels of a batch of pictures, and how each one's light is spread.

    Every pixel shows one small opaque patch of a surface. Patches lie in slices; a nearer slice covers a farther one,
    patches of one slice lie side by side. Behind a pixel a second patch may be hidden: the farther surface continues
    there, with the slice and point spread of the pixel ``hidden`` names, and its color, or the mean of four colors that
    ``means`` gives. So what is hidden is assumed to be as smooth as that allows: its own texture is not known.

    At the edge of a nearer surface a pixel is a mixture. There ``front`` names a pixel of the nearer surface, ``share``
    says how much of the pixel that surface covers (a), ``pure`` names a pixel that shows its unmixed color (c), and
    ``hidden`` one with the unmixed color of the surface behind (h). With the two colors alike in how far they can be
    trusted, the pixel x is the sum of the front patch's light, ``a (c + a e / q)``, and of the share 1 - a of the
    hidden patch's, ``h + (1 - a) e / q``, where ``e = x - a c - (1 - a) h`` and ``q = a^2 + (1 - a)^2``. So a picture
    in focus is not changed, and ``share = 0`` is a pixel of the farther surface beside which a nearer one ends.

    Beyond its edge a nearer surface is missing: ``missing`` names a pixel of it wherever its blur could reach, so that
    it is known of every ray whether it passed beside the surface.

    The exposure (over the aperture, or over time) may be cut into parts. Within a part, light of two surfaces is
    assumed to come from different places of the aperture as far as there is room (which is exact where only one of two
    is blurred); between the parts occlusion is exact. One part per point of the aperture is the exact mean of pinhole
    pictures.

    Parameters
    ----------
    order
        ``[B, H, W]`` slice of every pixel, int32; larger is nearer. Only the order of the numbers matters, and, where
        ``connected``, whether two are neighbors; there they are less than 2^30.
    kernel
        ``[B, H, W]`` point spread of every pixel's light, int32, a number from 0 to K - 1.
    hidden
        ``[B, H, W]`` int32: ``row * W + column`` of the pixel whose surface continues behind this one; -1 where nothing
        is hidden. In a connected scene it is one slice farther at least.
    psf
        ``G * K`` point spreads; that of part g and kernel k stands at ``g * K + k``. Each sums to 1.
    part_weight
        ``[G]`` share of each part; they sum to 1.
    front, share, pure, missing
        ``[B, H, W]`` int32, float64 in 0..1, int32 and int32, all or none of them. ``front`` is -1 where a pixel is one
        unmixed patch of its own surface; the share is 1 there, and ``pure`` -1. Elsewhere something is hidden.
        ``missing`` is -1 where nothing is missing; where it is ``front``, the rest of the pixel is, 1 - share, and
        elsewhere all of it. Only ``connected`` scenes ask for it.
    slope
        ``[B, 2, H, W]`` float64, derivative of the signed radius of the blur by row and column, in px per px. A part
        that lies off the center sees a sloping surface stretched or compressed: its light is weighted by the
        determinant of that displacement, ``1 + slope . (center of the part)``, kept within 1/4 .. 4.
    part_center
        ``[G, 2]`` row and column of the centroid of every part, in units of the signed radius.
    connected
        Whether neighboring slices may be one surface. Its coverage is then, as far as it is known, the share of its
        own patches among these and the places where it is missing, so that steps, slopes and a little noise of its
        depth open no gaps. Otherwise every slice is a surface of its own.
    farthest
        ``[B, H, W]`` int32, or None: slices less than this are not seen at a pixel. A surface that fills all of a
        pixel's blur leaves nothing to what lies behind it, however coarse the steps of its depth are. Only
        ``connected`` scenes have it.
    means
        Colors of hidden patches that are not those of the pixels ``hidden`` names, all of them behind pixels that are
        not mixed, with a share of 1.

    Raises
    ------
    InvalidValueError
        Shapes or values do not fit.
    """

    order: NDArray[np.int32]
    kernel: NDArray[np.int32]
    hidden: NDArray[np.int32]
    psf: PointSpreads
    part_weight: NDArray[np.float64] = field(default_factory=lambda: np.ones(1))
    front: NDArray[np.int32] | None = None
    share: NDArray[np.float64] | None = None
    pure: NDArray[np.int32] | None = None
    missing: NDArray[np.int32] | None = None
    slope: NDArray[np.float64] | None = None
    part_center: NDArray[np.float64] | None = None
    connected: bool = False
    farthest: NDArray[np.int32] | None = None
    means: Means = field(default_factory=Means.none)

    def __post_init__(self) -> None:
        weight = np.asarray(self.part_weight, np.float64)
        object.__setattr__(self, "part_weight", weight)
        shapes = {np.shape(a) for a in (self.order, self.kernel, self.hidden)}
        if len(shapes) > 1 or len(next(iter(shapes))) != 3:
            raise InvalidValueError(f"order, kernel and hidden must be alike, [B, H, W], got {sorted(shapes)}.")
        for name in ("order", "kernel", "hidden"):
            if getattr(self, name).dtype != np.int32:
                raise InvalidValueError(f"{name} must be int32, got {getattr(self, name).dtype}.")
        if weight.ndim != 1 or not len(weight) or len(self.psf) % len(weight) or not len(self.psf):
            raise InvalidValueError(f"{len(self.psf)} point spreads do not fit {weight.shape} parts.")
        if not (weight > 0).all() or abs(weight.sum() - 1) > 1e-9:
            raise InvalidValueError(f"part_weight must be > 0 and sum to 1, got {weight}.")
        pixels = int(np.prod(self.kernel.shape[1:]))
        if self.kernel.size and not (self.kernel.min() >= 0 and self.kernel.max() < self.kernels):
            raise InvalidValueError(f"kernel must lie in 0 .. {self.kernels - 1}.")
        if self.hidden.size and not (self.hidden.min() >= -1 and self.hidden.max() < pixels):
            raise InvalidValueError(f"hidden must lie in -1 .. {pixels - 1}.")
        if self.connected and self.order.size and not -(2**30) < self.order.min() <= self.order.max() < 2**30:
            raise InvalidValueError("order must lie within 2^30 on both sides of 0 in a connected scene.")
        if self.farthest is not None and not (
            self.connected and self.farthest.shape == self.order.shape and self.farthest.dtype == np.int32
        ):
            raise InvalidValueError(
                f"farthest must be {self.order.shape} int32, of a connected scene, got {self.farthest.shape} "
                f"{self.farthest.dtype}, connected = {self.connected}."
            )
        self._check_edges(pixels)
        self._check_means(pixels)
        if (self.slope is None) != (self.part_center is None):
            raise InvalidValueError("slope and part_center belong together, got one of them.")
        if self.slope is not None and self.part_center is not None:
            batch, height, width = self.order.shape
            if self.slope.shape != (batch, 2, height, width) or self.part_center.shape != (self.parts, 2):
                raise InvalidValueError(
                    f"slope must be {(batch, 2, height, width)} and part_center {(self.parts, 2)}, "
                    f"got {self.slope.shape} and {self.part_center.shape}."
                )

    def _check_edges(self, pixels: int) -> None:
        edges = (self.front, self.share, self.pure, self.missing)
        if all(one is None for one in edges):
            return
        if any(one is None for one in edges):
            raise InvalidValueError("front, share, pure and missing belong together, got only some of them.")
        assert self.front is not None
        assert self.share is not None
        assert self.pure is not None
        batch, *size = self.order.shape
        for name, kind in (("front", np.int32), ("share", np.float64), ("pure", np.int32), ("missing", np.int32)):
            plane, shape = getattr(self, name), (batch, *size)
            if plane.shape != shape or plane.dtype != kind:
                raise InvalidValueError(f"{name} must be {shape} {np.dtype(kind)}, got {plane.shape} {plane.dtype}.")
        mixed = self.front >= 0
        for name in ("front", "pure", "missing"):
            plane = getattr(self, name)
            if not (plane.min(initial=-1) >= -1 and plane.max(initial=-1) < pixels):
                raise InvalidValueError(f"{name} must lie in -1 .. {pixels - 1}.")
        if not (self.share.min(initial=1.0) >= 0 and self.share.max(initial=0.0) <= 1):
            raise InvalidValueError("share must lie in 0 .. 1.")
        if (self.share[~mixed] != 1).any() or (self.hidden[mixed] < 0).any():
            raise InvalidValueError("Where front is -1 the share must be 1, and elsewhere something must be hidden.")
        if (self.pure[mixed & (self.share > 0)] < 0).any():
            raise InvalidValueError("pure must name a pixel wherever a front covers a share of another one.")

    def _check_means(self, pixels: int) -> None:
        at, of, weight = self.means.at, self.means.of, self.means.weight
        alike = at.ndim == 1 and of.shape == weight.shape == (at.size, 4)
        if not (alike and at.dtype == np.int64 and of.dtype == np.int32):
            raise InvalidValueError(
                f"means must be [M] int64, [M, 4] int32 and [M, 4], got {at.shape} {at.dtype}, {of.shape} {of.dtype} "
                f"and {weight.shape}."
            )
        if not at.size:
            return
        if not (at[0] >= 0 and at[-1] < self.order.size and (np.diff(at) > 0).all()):
            raise InvalidValueError(f"means must be at 0 .. {self.order.size - 1}, ascending.")
        if not (of.min() >= 0 and of.max() < pixels):
            raise InvalidValueError(f"means must be of pixels 0 .. {pixels - 1}.")
        if not (weight.min() >= 0 and np.abs(weight.sum(axis=1) - 1).max() <= 1e-9):
            raise InvalidValueError("The weights of means must be >= 0 and sum to 1.")
        mixed = self.share is not None and (self.share.ravel()[at] != 1).any()
        if mixed or (self.hidden.ravel()[at] < 0).any():
            raise InvalidValueError("means must be of what is hidden behind pixels with a share of 1.")

    @property
    def parts(self) -> int:
        """G, parts of the exposure."""
        return len(self.part_weight)

    @property
    def kernels(self) -> int:
        """K, point spreads of each part."""
        return len(self.psf) // len(self.part_weight)

    @staticmethod
    def concatenate(scenes: Sequence[Scene]) -> Scene:
        """The scenes of several pictures as one, the point spreads of each behind those of the last.

        Raises
        ------
        InvalidValueError
            They differ in their parts, or only some of them are connected, have edges or slopes.
        """
        if len(scenes) == 1:
            return scenes[0]
        first = scenes[0]
        planes = ("order", "kernel", "hidden", "front", "share", "pure", "missing", "slope", "farthest")
        for scene in scenes[1:]:
            alike = scene.connected == first.connected and np.array_equal(scene.part_weight, first.part_weight)
            centers = (scene.part_center is None) == (first.part_center is None)
            if centers and scene.part_center is not None and first.part_center is not None:
                centers = np.array_equal(scene.part_center, first.part_center)
            some = any((getattr(scene, name) is None) != (getattr(first, name) is None) for name in planes)
            if some or not (alike and centers):
                raise InvalidValueError(
                    "Scenes of one batch must have the same parts, and all or none edges and slopes.",
                    fix="Composite them one by one.",
                )
        joined: dict[str, Any] = {
            name: None if getattr(first, name) is None else np.concatenate([getattr(one, name) for one in scenes])
            for name in planes
        }
        joined["means"] = Means.concatenate([scene.means for scene in scenes], [scene.order.size for scene in scenes])
        before = np.cumsum([0] + [scene.kernels for scene in scenes[:-1]])
        joined["kernel"] = np.concatenate([s.kernel + np.int32(n) for s, n in zip(scenes, before, strict=True)])
        spreads = [s.psf[g * s.kernels : (g + 1) * s.kernels] for g in range(first.parts) for s in scenes]
        return _unchecked(
            psf=PointSpreads.concatenate(spreads), part_weight=first.part_weight, part_center=first.part_center,
            connected=first.connected, **joined,
        )  # fmt: skip

    def patches(self, b: int) -> Patches:
        """The patches of picture b."""
        height, width = self.order.shape[1:]
        own = np.arange(height * width, dtype=np.int32)
        order, kernel, hidden = (plane[b].ravel() for plane in (self.order, self.kernel, self.hidden))
        if self.front is None or self.share is None or self.pure is None or self.missing is None:
            of_front, cover, color = own, np.ones(own.size), own
            of_void, void = own, np.zeros(own.size)
        else:
            front, cover, missing = self.front[b].ravel(), self.share[b].ravel(), self.missing[b].ravel()
            of_front = np.where(front >= 0, front, own)
            color = np.where(self.pure[b].ravel() >= 0, self.pure[b].ravel(), own)
            of_void = np.maximum(missing, 0)
            void = np.where(missing == front, 1.0 - cover, 1.0) * (missing >= 0) * self.connected
        of_hidden = np.maximum(hidden, 0)
        there = np.stack([cover > 0, hidden >= 0, void > 0])
        surface = np.stack([of_front, of_hidden, of_void])
        order = order[surface]
        if self.connected:  # what is hidden is never of the slice that hides it
            order[1] = np.minimum(order[1], order[0] - 1)
        means = self.means.of_picture(b, own.size)
        return Patches(order, kernel[surface], surface, there, cover, void, color, of_hidden, means)

    def stretch(self, b: int, part: int) -> NDArray[np.float64] | None:
        """``[H * W]`` by how much a part compresses the surface of every pixel; None if all are 1."""
        if self.slope is None or self.part_center is None or not self.part_center[part].any():
            return None
        down, right = self.part_center[part]
        factor = 1.0 + down * self.slope[b, 0] + right * self.slope[b, 1]
        return np.asarray(np.clip(factor, 0.25, 4.0).ravel())


@dataclass(frozen=True, eq=False)
class Patches:
    """The patches at every pixel of one picture: a visible patch (0), a hidden one (1), a missing one (2); N = H * W.

    Parameters
    ----------
    order
        ``[3, N]`` slices.
    kernel
        ``[3, N]`` int32.
    surface
        ``[3, N]`` int32: the pixel whose slice and point spread the patch has.
    there
        ``[3, N]`` whether there is such a patch.
    cover
        ``[N]`` how much of its pixel the visible patch covers; a hidden one covers all of it.
    void
        ``[N]`` share of the pixel in which a surface is missing.
    color, behind
        ``[N]`` int32: pixels with the unmixed colors of both patches.
    means
        Of this picture: other colors of hidden patches.
    """

    order: NDArray[np.int32]
    kernel: NDArray[np.int32]
    surface: NDArray[np.int32]
    there: NDArray[np.bool_]
    cover: NDArray[np.float64]
    void: NDArray[np.float64]
    color: NDArray[np.int32]
    behind: NDArray[np.int32]
    means: Means

    def weights(self) -> NDArray[np.float64]:
        """``[2, 3, N]`` weights of the light of the pixel itself, of ``color`` and of ``behind`` in the patches."""
        a, rest = self.cover, 1.0 - self.cover
        q = a * a + rest * rest
        return np.stack(
            [
                np.stack([a * a / q, a * rest * rest / q, -a * a * rest / q]),
                np.stack([rest / q, -a * rest / q, a * a / q]),
            ]
        )

    def light(self, image: NDArray[np.floating]) -> NDArray[np.float64]:
        """``[2, C, N]`` light of the patches of a picture ``[C, N]``."""
        own = np.asarray(image, np.float64)
        behind = own[:, self.behind]
        behind[:, self.means.at] = (self.means.weight * own[:, self.means.of]).sum(axis=2)
        if (self.cover == 1).all():
            return np.stack([own, behind])
        weights = self.weights()
        parts = (own, own[:, self.color], behind)
        return np.stack([sum(w * x for w, x in zip(weights[s], parts, strict=True)) for s in range(2)])

    def light_adjoint(self, light: NDArray[np.float64]) -> NDArray[np.float64]:
        """``[C, N]`` the transpose of :meth:`light`."""
        weights = self.weights()
        out = np.asarray(weights[0, 0] * light[0] + weights[1, 0] * light[1])
        for c in range(len(out)):
            for n, places in ((1, self.color), (2, self.behind)):
                value = weights[0, n] * light[0, c] + weights[1, n] * light[1, c]
                if n == 2:
                    of_means = self.means.weight * value[self.means.at, None]
                    out[c] += np.bincount(self.means.of.ravel(), of_means.ravel(), out.shape[1])
                    value[self.means.at] = 0.0
                out[c] += np.bincount(places, value, out.shape[1])
        return out


def blur_levels(radius_px: NDArray[np.floating], tolerance_px: float) -> NDArray[np.int32]:
    """The nearest of a scale of blurs, as signed numbers, for every radius; 0 is no blur.

    Levels lie ``2 tolerance_px`` apart from a radius of 16 px on, and below it in proportion to the radius, down to
    half a pixel, below which there is no blur. So no radius is off by more than ``tolerance_px``, nor by more than 1/16
    of it in proportion to itself.

    >>> blur_levels(np.array([0.0, 0.6, -16.0, -20.0]), 0.25).tolist()
    [0, 6, -111, -119]
    """
    signed = np.asarray(radius_px, np.float32)  # faster, and as good where it is rounded anyway
    size = np.abs(signed)
    place = np.clip(size, np.float32(_NO_BLUR_PX), np.float32(_PROPORTIONAL_PX))
    place *= np.float32(1 / _NO_BLUR_PX)
    np.log(place, out=place)
    place *= np.float32(_PROPORTIONAL_PX)
    size -= np.float32(_PROPORTIONAL_PX)
    place += np.maximum(size, np.float32(0.0), out=size)
    place *= np.float32(0.5 / tolerance_px)
    level = np.copysign(np.rint(place, out=place), signed, out=place)
    return np.asarray(level.astype(np.int32))


def level_radius_px(level: int, tolerance_px: float) -> float:
    """The signed radius of a level of :func:`blur_levels`.

    >>> round(level_radius_px(-119, 0.25), 3)
    -20.048
    """
    place = abs(level) * 2.0 * tolerance_px
    end = _PROPORTIONAL_PX * math.log(_PROPORTIONAL_PX / _NO_BLUR_PX)
    if level == 0:
        return 0.0
    size = _NO_BLUR_PX * math.exp(place / _PROPORTIONAL_PX) if place <= end else _PROPORTIONAL_PX + place - end
    return math.copysign(size, level)


def reach_of_objects_px(largest_radius_px: float) -> int:
    """Largest distance of a pixel whose color contributes to another one, hidden surfaces included, of moving objects.

    Light travels by the radius. What lies behind an object is seen up to both radii behind its edge, and has the colors
    of pixels about as far from the edge on its other side at most, see ``surface_edges``.
    """
    behind = 2.0 * largest_radius_px + SLACK_PX
    return math.ceil(largest_radius_px + behind + min(behind, MIRRORED_PX) + PURE_REACH_PX + 2)


def reach_of_layers_px(
    nearness_px: NDArray[np.floating], radius_px: NDArray[np.floating], backend: Any, *, wider_px: float, sloped: bool
) -> int:
    """The largest distance of a pixel whose color or depth affects another one, hidden surfaces included.

    The light of a visible patch travels by its radius. A hidden one is seen as many px behind the edge of the nearer
    surface as their radii differ, has the colors of pixels about as far from the edge on its other side at most, see
    ``surface_edges``, and its light travels by its own radius from there. How much a nearer surface covers depends on
    where it is missing, up to twice its radius from its edge, and what arrives from there comes by that radius once
    more.

    Parameters
    ----------
    nearness_px, radius_px
        ``[H, W]`` of every pixel; the sign of the radius does not matter.
    backend
        Backend whose ``jumps`` is used.
    wider_px
        How much wider than its radius a blur may be, by rounding it to levels and pixels.
    sloped
        Whether the slopes of surfaces matter too.
    """
    size = np.abs(radius_px)
    largest = float(size.max(initial=0.0))
    if largest == 0:
        return 0
    reach = largest + wider_px
    edge = 1 + UNEVEN_REACH_PX  # what says whether a pixel is at an edge
    near, far = backend.jumps(nearness_px, jump=JUMP_PX)
    if near.size:
        level, width = nearness_px.ravel(), size.ravel()
        deep = level[near] - level[far] + SLACK_PX
        turned = np.minimum(deep, MIRRORED_PX)
        behind = float((width[far] + deep + (1.0 + STEEPEST) * turned).max()) + 1 + PURE_REACH_PX
        before = 3.0 * float(width[near].max()) + SLACK_PX
        # Whether one can see beyond a pixel depends on what is at edges as far off as any blur reaches.
        reach = max(reach, max(behind, before, largest + 1.0 + PURE_REACH_PX) + wider_px + edge)
    return math.ceil(reach + (SLOPE_REACH_PX if sloped else 0))


def scene_of_layers(
    image: Any,
    nearness_px: NDArray[np.float64],
    radius_px: NDArray[np.float64],
    kernel: NDArray[np.integer],
    point_spreads: Callable[[list[int]], PointSpreads],
    part_weight: NDArray[np.float64],
    backend: Any,
    *,
    part_center: NDArray[np.float64] | None = None,
    circular: bool = False,
) -> Scene:
    """The scene of a picture whose depth and blurs are known.

    Parameters
    ----------
    image
        ``[1, C, H, W]`` the picture, whose colors tell how pixels at edges are mixed.
    nearness_px
        ``[1, H, W]`` inverse depth in px of radius, larger is nearer: behind the edge of a nearer surface one sees a
        farther one as deep as theirs differ.
    radius_px
        ``[1, H, W]`` signed radius of the blur of every pixel.
    kernel
        ``[1, H, W]`` any integer that identifies the point spread of every pixel.
    point_spreads
        Returns the point spreads of K such numbers; that of part g and number k stands at ``g * K + k``.
    part_weight
        ``[G]`` share of each part.
    backend
        Backend whose ``surface_edges``, ``surface_slope`` and ``farthest_seen`` are used. What is too far away to be
        seen is left out, so a window of the picture and the whole picture have the same scene.
    part_center
        See :class:`Scene`; None for one part.
    circular
        Whether the picture goes on at its other side.
    """
    wide = 2.0 * np.abs(radius_px)
    around = 0
    if circular:  # a jump may lie between one side and the other
        beside = _wrapped(nearness_px[0], 1), _wrapped(radius_px[0], 1)
        around = reach_of_layers_px(*beside, backend, wider_px=0.0, sloped=part_center is not None)
    image, level, radius, wide = (_wrapped(plane, around) for plane in (image, nearness_px, radius_px, wide))
    edges = backend.surface_edges(image, level, None, wide, jump=JUMP_PX, slack_px=SLACK_PX)
    edges = _unwrapped(edges, around)
    slope = None if part_center is None else _inner(backend.surface_slope(radius, jump=JUMP_PX), around)
    # Slices that are not neighbors lie a jump apart, so what is not an edge is one surface.
    order = np.floor(nearness_px / JUMP_PX).astype(np.int32)
    kernel, psf = _numbered(kernel, point_spreads)
    # A pixel more: what lies between pixels, and mixtures.
    reach_px = (psf.reach_px().reshape(len(part_weight), -1).max(axis=0) + 1).astype(np.int32)
    farthest = _farthest_seen(order, edges, np.take(reach_px, kernel), backend, circular)
    return _unchecked(
        order=order, kernel=kernel, psf=psf, part_weight=part_weight, slope=slope, part_center=part_center,
        connected=True, farthest=farthest, **vars(edges),
    )  # fmt: skip


def _farthest_seen(
    order: NDArray[np.int32], edges: SurfaceEdges, reach_px: NDArray[np.int32], backend: Any, circular: bool
) -> NDArray[np.int32]:
    """``[B, H, W]`` the farthest slice that can be seen at every pixel."""
    order = order.copy()
    for one, front, hidden in zip(order, edges.front, edges.hidden, strict=True):
        at = np.flatnonzero(front >= 0)  # a pixel at an edge shows what lies behind it, too
        behind, before = (one.ravel()[plane.ravel()[at]] for plane in (hidden, front))
        one.ravel()[at] = np.minimum(np.minimum(one.ravel()[at], behind), before - 1)
    if not circular:
        return np.asarray(backend.farthest_seen(order, reach_px))
    most = int(reach_px.max())
    around = ((0, 0), (most, most), (most, most))
    padded = (np.pad(plane, around, mode="wrap") for plane in (order, reach_px))
    return np.ascontiguousarray(backend.farthest_seen(*padded)[:, most:-most, most:-most])


def _wrapped(plane: Any, around_px: int) -> Any:
    """Planes ``[..., H, W]``, arrays or tensors, that go on at their other side by this much."""
    if around_px == 0:
        return plane
    rows, columns = (np.arange(-around_px, size + around_px) % size for size in plane.shape[-2:])
    return plane[..., rows, :][..., columns]


def _inner(plane: NDArray[Any], around_px: int) -> NDArray[Any]:
    height, width = plane.shape[-2:]
    return np.ascontiguousarray(plane[..., around_px : height - around_px, around_px : width - around_px])


def _unwrapped(edges: SurfaceEdges, around_px: int) -> SurfaceEdges:
    """The edges of a picture from those of the wrapped one."""
    if around_px == 0:
        return edges
    height, width = (size - 2 * around_px for size in edges.front.shape[-2:])

    def places(numbers: NDArray[np.int32]) -> NDArray[np.int32]:
        row, column = np.divmod(numbers, width + 2 * around_px)
        place = (row - around_px) % height * width + (column - around_px) % width
        return np.where(row < 0, -1, place).astype(np.int32)  # -1 is no pixel

    front, pure, hidden, missing = (
        places(_inner(plane, around_px)) for plane in (edges.front, edges.pure, edges.hidden, edges.missing)
    )
    b, row, column = np.unravel_index(edges.means.at, edges.front.shape)
    row, column = row - around_px, column - around_px
    inner = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    at = np.ravel_multi_index((b[inner], row[inner], column[inner]), (len(front), height, width)).astype(np.int64)
    means = Means(at, places(edges.means.of[inner]), edges.means.weight[inner])
    return SurfaceEdges(front, _inner(edges.share, around_px), pure, hidden, missing, means)


def scene_of_objects(
    image: Any,
    label: NDArray[np.integer],
    number: NDArray[np.integer],
    radius_px: NDArray[np.float64],
    kernel: NDArray[np.integer],
    point_spreads: Callable[[list[int]], PointSpreads],
    part_weight: NDArray[np.float64],
    backend: Any,
    *,
    circular: bool = False,
) -> Scene:
    """The scene of a picture of objects: every one a surface of its own, the larger ``label`` ``[1, H, W]`` nearer.

    ``number`` ``[1, H, W]`` is the place of a label among those that occur in the picture, ``radius_px`` ``[N]`` how
    far the light of each of these reaches, ``kernel`` ``[N]`` any integer that identifies its point spread; behind the
    edge of an object one sees as deep as both radii together. The rest is as in :func:`scene_of_layers`.
    """
    # By label, not by number, so that a window has the same edges as the whole picture.
    level = label.astype(np.float64)
    around = reach_of_objects_px(float(np.abs(radius_px).max())) if circular else 0
    planes = (_wrapped(plane, around) for plane in (image, level, np.take(np.abs(radius_px), number)))
    edges = _unwrapped(backend.surface_edges(*planes, None, jump=0.5, slack_px=SLACK_PX), around)
    ranks, psf = _numbered(kernel, point_spreads)
    order, kernel = number.astype(np.int32), np.take(ranks, number)
    return _unchecked(order=order, kernel=kernel, psf=psf, part_weight=part_weight, **vars(edges))


def _numbered(
    kernel: NDArray[np.integer], point_spreads: Callable[[list[int]], PointSpreads]
) -> tuple[NDArray[np.int32], PointSpreads]:
    """The numbers that occur as places among them, and their point spreads."""
    lowest = int(kernel.min())
    numbers = kernel.astype(np.intp)
    numbers -= lowest
    occurs = np.bincount(numbers.ravel()) > 0
    rank = np.cumsum(occurs, dtype=np.int32) - np.int32(1)
    return np.take(rank, numbers), point_spreads((np.flatnonzero(occurs) + lowest).tolist())


def _unchecked(**given: Any) -> Scene:
    """A scene of values that fit together because they were made here: looking at all of them takes its time."""
    scene = object.__new__(Scene)
    scene.__dict__.update(given)
    return scene
